"""Classifiers: normalization inside, weights from files, and what is said about bad ones."""

import os
import pickle
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fgsm_lib import classifiers
from fgsm_lib._torchvision import models
from fgsm_lib.classifiers import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    file_sha256,
    fold_batch_norm,
    load_classifier,
    read_state_dict,
)
from fgsm_lib.errors import InputError

ARCH = "squeezenet1_1"
NAMES = ["cat", "dog", "barrel"]
THOUSAND = [f"class {i}" for i in range(1000)]


@pytest.fixture(scope="module")
def network():
    """A small torchvision network with random weights for three classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.get_model(ARCH, num_classes=len(NAMES)).eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "three.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    return path


def complaint(*args, **kwargs) -> str:
    with pytest.raises(InputError) as caught:
        load_classifier(*args, **kwargs)
    return str(caught.value)


# --- pixels in, logits out ---------------------------------------------------------------------


def test_normalization_happens_inside_and_once(tiny, pixels):
    classifier, images = tiny(), pixels(2)
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    assert torch.equal(classifier(images), classifier.network((images - mean) / std))


def test_pixels_are_not_normalized(tiny):
    white = tiny().to_pixels(Image.new("RGB", (40, 30), (255, 255, 255)))
    assert torch.equal(white, torch.ones(3, 16, 16))


def test_the_shorter_side_is_resized_and_the_center_cropped(tiny):
    """20 wide and 8 high, resized to 40 x 16, cropped to columns 12 to 27: the right half white."""
    array = np.zeros((8, 20, 3), dtype=np.uint8)
    array[:, 10:] = 255
    image = tiny(resize=16, crop=16).to_pixels(Image.fromarray(array))
    assert image.dtype == torch.float32
    assert image.shape == (3, 16, 16)
    assert (image[:, :, :6] == 0).all()  # columns 6 to 9 lie on the resized edge
    assert (image[:, :, 10:] == 1).all()


def test_a_classifier_is_ready_to_be_attacked(tiny, pixels):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(768, 2))
    classifier = tiny(network=network.train(), classes=2)
    assert not any(module.training for module in classifier.modules())
    assert not any(weight.requires_grad for weight in classifier.parameters())
    assert torch.equal(classifier(pixels(1)), classifier(pixels(1)))


# --- batch norms folded into convolutions ------------------------------------------------------


def busy_batch_norms(network: torch.nn.Module) -> torch.nn.Module:
    """Gives every batch norm statistics that are not the ones it starts with."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network


def batch_norms(network: torch.nn.Module) -> int:
    return sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_folding_keeps_the_function_and_its_gradient(pixels):
    network = busy_batch_norms(models.get_model("mobilenet_v3_small", num_classes=5)).train()
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    folded = fold_batch_norm(network)
    assert (batch_norms(network), batch_norms(folded)) == (34, 0)
    assert network.training  # the network itself is left as it is
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
    images = pixels(2, size=64).requires_grad_(True)
    logits, expected = folded(images), network.eval()(images)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
    gradients = [torch.autograd.grad(z.square().sum(), images)[0] for z in (logits, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_what_cannot_be_traced_is_not_folded():
    class Moody(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    network = Moody()
    assert fold_batch_norm(network) is network


def test_a_loaded_classifier_is_folded(tmp_path):
    torch.save(models.get_model("resnet18", num_classes=2).state_dict(), tmp_path / "18.pth")
    assert batch_norms(load_classifier("resnet18", ["a", "b"], tmp_path / "18.pth")) == 0


# --- weights from a file -----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_make_the_round_trip(network, pixels, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        safetensors.torch.save_file(network.state_dict(), path)
    classifier = load_classifier(ARCH, NAMES, path, sha256=file_sha256(path)).to("cpu")
    images = pixels(2, size=64)
    normalized = (images - classifier.mean) / classifier.std
    # The classifier computes in another memory layout: float32 rounding.
    torch.testing.assert_close(classifier(images), network(normalized), rtol=1e-4, atol=1e-5)
    assert classifier.name == ARCH
    assert classifier.sha256 == file_sha256(path)
    assert (classifier.resize, classifier.crop) == (256, 224)
    assert tuple(classifier.mean.flatten().tolist()) == pytest.approx(IMAGENET_MEAN)


def test_weights_of_a_known_architecture_bring_its_preprocessing(tmp_path):
    state = models.get_model("efficientnet_b1", num_classes=2).state_dict()
    torch.save(state, tmp_path / "b1.pth")
    classifier = load_classifier("efficientnet_b1", ["a", "b"], tmp_path / "b1.pth")
    assert (classifier.resize, classifier.crop) == (256, 240)


def sensitive(network: torch.nn.Module) -> torch.nn.Module:
    """Doubles every batch norm's factor: random weights alone forget the input on their way."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 2)
    return network


def assert_transforms_input(classifier, network) -> None:
    """The classifier computes what the network does with torchvision's input transform."""
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    classifier = classifier.to("cpu")
    normalized, logits = (images - classifier.mean) / classifier.std, classifier(images)
    network.eval().transform_input = True
    torch.testing.assert_close(logits, network(normalized), rtol=1e-3, atol=1e-4)
    network.transform_input = False
    assert not torch.allclose(logits, network(normalized), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("aux", [True, False])
def test_googlenet_from_a_file_transforms_its_input(tmp_path, aux):
    """torchvision's GoogLeNet weights expect it, and forgetting it costs accuracy silently."""
    options = {"num_classes": 3, "aux_logits": aux, "init_weights": False}
    network = sensitive(models.get_model("googlenet", **options))
    torch.save(network.state_dict(), tmp_path / "googlenet.pth")
    classifier = load_classifier("googlenet", NAMES, tmp_path / "googlenet.pth")
    assert torch.equal(classifier.network.fc.weight.cpu(), network.fc.weight)
    assert_transforms_input(classifier, network)


def test_weights_of_other_classes_name_the_first_difference(weights):
    message = complaint(ARCH, [*NAMES, "fourth"], weights)
    assert str(weights) in message
    assert f"{ARCH} with 4 classes" in message
    assert "classifier.1.weight has shape (3, 512, 1, 1), expected (4, 512, 1, 1)" in message


def test_weights_of_another_architecture_name_a_tensor(weights):
    message = complaint("resnet18", NAMES, weights)
    assert str(weights) in message
    assert "resnet18" in message
    assert "conv1.weight is missing" in message


def test_a_tensor_too_many_is_named(network, tmp_path):
    path = tmp_path / "more.pth"
    torch.save(network.state_dict() | {"ema.decay": torch.zeros(1)}, path)
    assert "ema.decay is not part of" in complaint(ARCH, NAMES, path)


def test_a_file_with_another_hash_than_the_pinned_one_is_refused(weights):
    message = complaint(ARCH, NAMES, weights, sha256="0" * 64)
    assert str(weights) in message
    assert file_sha256(weights) in message
    assert "0" * 64 in message


@pytest.mark.parametrize("arch", ["resnet51", "", "fasterrcnn_resnet50_fpn", "../googlenet"])
def test_an_unknown_architecture_is_named(weights, arch):
    message = complaint(arch, NAMES, weights)
    assert repr(arch) in message
    assert "googlenet" in message


def test_a_missing_weights_file_is_named(tmp_path):
    assert complaint(ARCH, NAMES, tmp_path / "none.pth") == (
        f"{tmp_path / 'none.pth'}: no such weights file."
    )


def test_a_folder_is_no_weights_file(tmp_path):
    assert str(tmp_path) in complaint(ARCH, NAMES, tmp_path)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_truncated_weights_are_named(network, weights, tmp_path, suffix, kept):
    path = tmp_path / f"half{suffix}"
    whole = weights.read_bytes()
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
        whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    message = complaint(ARCH, NAMES, path)
    assert str(path) in message
    assert "not readable as weights" in message
    assert "\n" not in message


def test_a_whole_pickled_network_is_refused(network, tmp_path):
    torch.save(network, tmp_path / "module.pth")
    assert "state dict" in complaint(ARCH, NAMES, tmp_path / "module.pth")


@pytest.mark.parametrize("content", [[1, 2], {"model": {"w": torch.zeros(1)}}, {"epoch": 3}])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    assert "expected a state dict" in complaint(ARCH, NAMES, tmp_path / "other.pth")


# --- pickled code is never executed ------------------------------------------------------------


class Bomb:
    """Unpickled naively, it creates a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "executed"


@pytest.fixture(params=["torch.save", "torch.save, old format", "pickle"])
def bomb_file(request, marker, tmp_path):
    path = tmp_path / "bomb.pth"
    content = {"weight": Bomb(marker)}
    if request.param == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization="old" not in request.param)
    return path


def test_the_bomb_of_these_tests_works(marker):
    pickle.loads(pickle.dumps(Bomb(marker)))
    assert marker.exists()


def test_code_in_a_weights_file_is_not_executed(bomb_file, marker):
    message = complaint(ARCH, NAMES, bomb_file)
    assert not marker.exists()
    assert str(bomb_file) in message


def test_code_in_a_file_named_safetensors_is_not_executed(bomb_file, marker):
    renamed = bomb_file.rename(bomb_file.with_suffix(".safetensors"))
    with pytest.raises(InputError, match=r"bomb\.safetensors"):
        read_state_dict(renamed)
    assert not marker.exists()


# --- torchvision's own weights, up to the network ----------------------------------------------

DOWNLOAD = "torchvision.models._api.load_state_dict_from_url"
GOOGLENET_FILE = "googlenet-1378be20.pth"
FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """torch's download folder, empty; returns the path of GoogLeNet's file in it."""
    monkeypatch.delenv(FORCE, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    path = tmp_path / "hub" / "checkpoints" / GOOGLENET_FILE
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Name or service not known"),
        urllib.error.HTTPError("https://x", 403, "Forbidden", None, None),
        TimeoutError("timed out"),
        ConnectionResetError("reset by peer"),
    ],
)
def test_without_a_network_both_ways_out_are_named(monkeypatch, hub, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(DOWNLOAD, fail)
    message = complaint("googlenet", THOUSAND)
    assert "https://download.pytorch.org/models/googlenet" in message
    assert str(getattr(error, "reason", error)) in message
    assert "network connection" in message
    assert "WEIGHTS=" in message
    assert FORCE not in os.environ


def test_downloaded_googlenet_is_torchvision_s_own(monkeypatch, hub):
    network = sensitive(models.googlenet(aux_logits=True, init_weights=False))
    trained = network.state_dict()
    seen = {}

    def download(url, *args, **kwargs):
        seen.update(url=url, force=os.environ.get(FORCE), check_hash=kwargs.get("check_hash"))
        hub.write_bytes(b"the downloaded file")
        return trained

    monkeypatch.setattr(DOWNLOAD, download)
    monkeypatch.setattr(classifiers, "file_sha256", lambda path: "1378be20 of " + path.name)
    classifier = load_classifier("googlenet", THOUSAND)
    assert seen["url"].endswith(GOOGLENET_FILE)
    assert seen["check_hash"] is True
    assert seen["force"] == "1"  # torch.load must not execute pickled code
    assert FORCE not in os.environ
    assert_transforms_input(classifier, network)
    assert not any("aux" in name for name, _ in classifier.network.named_modules())
    assert torch.equal(classifier.network.fc.weight.cpu(), trained["fc.weight"])
    assert classifier.sha256 == f"1378be20 of {GOOGLENET_FILE}"


def test_a_setting_of_the_user_s_own_survives(monkeypatch, hub):
    monkeypatch.setenv(FORCE, "true")
    monkeypatch.setattr(DOWNLOAD, lambda *args, **kwargs: (_ for _ in ()).throw(TimeoutError()))
    complaint("googlenet", THOUSAND)
    assert os.environ[FORCE] == "true"


def test_a_download_with_another_hash_says_what_to_do(monkeypatch, hub):
    def fail(*args, **kwargs):
        raise RuntimeError('invalid hash value (expected "1378be20", got "deadbeef")')

    monkeypatch.setattr(DOWNLOAD, fail)
    message = complaint("googlenet", THOUSAND)
    assert "invalid hash value" in message
    assert "try again" in message


@pytest.mark.parametrize("content", [b"", b"<html>a proxy's login page</html>", b"PK\x03\x04half"])
def test_a_damaged_file_in_the_download_folder_is_named(hub, content):
    """torch does not check the hash of a file that is already there."""
    hub.write_bytes(content)
    assert str(hub) in complaint("googlenet", THOUSAND)


def test_code_in_the_download_folder_is_not_executed(hub, bomb_file, marker):
    bomb_file.rename(hub)
    message = complaint("googlenet", THOUSAND)
    assert not marker.exists()
    assert str(hub) in message


def test_a_file_in_the_download_folder_with_altered_numbers_is_named(hub):
    """It fits, and it can be read; only its hash tells that it is not torchvision's."""
    torch.save(models.googlenet(aux_logits=True, init_weights=False).state_dict(), hub)
    message = complaint("googlenet", THOUSAND)
    assert str(hub) in message
    assert "SHA-256" in message
    assert "delete the file" in message


SERVED = bytes(range(256)) * 4000


def serve(behavior: str):
    """A server on this machine that answers one request, well or badly; returns its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    if behavior == "refuse":
        listening.close()
        return address

    def answer():
        with listening, listening.accept()[0] as connection:
            connection.recv(4096)
            if behavior != "be silent":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(SERVED))
                whole = behavior == "alter"
                connection.sendall(SERVED if whole else SERVED[: len(SERVED) // 2])
            if behavior in ("be silent", "stop half way"):
                connection.settimeout(20)
                connection.recv(1)  # until the other side gives up

    threading.Thread(target=answer, daemon=True).start()
    return address


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        ("refuse", "Connection refused"),
        ("be silent", "timed out"),
        ("stop half way", "timed out"),
        ("break off", "invalid hash value"),
        ("alter", "invalid hash value"),
    ],
)
def test_a_download_that_goes_wrong_is_one_sentence_and_leaves_nothing(
    monkeypatch, hub, behavior, reason
):
    """A real request, through torch's own code, to a server on this machine."""
    address = serve(behavior)
    monkeypatch.setattr(classifiers, "SILENT_SECONDS", 0.5)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    monkeypatch.setattr(torch.hub, "urlopen", lambda request: direct.open(address))
    message = complaint("googlenet", THOUSAND)
    assert reason in message
    assert str(hub) in message
    assert "try again" in message or "WEIGHTS=" in message
    assert list(hub.parent.iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_a_download_folder_that_cannot_be_made_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "file" / "hub"))
    message = complaint("googlenet", THOUSAND)
    assert "Not a directory" in message
    assert "TORCH_HOME" in message


def test_pretrained_weights_need_their_number_of_classes(hub):
    message = complaint("googlenet", NAMES)
    assert "1000 classes" in message
    assert "names 3" in message
    assert "weights file" in message

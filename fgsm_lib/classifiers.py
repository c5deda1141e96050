"""A classifier: a torchvision network with its weights, preprocessing and class names.

It takes **pixels in [0, 1]** and returns logits. Normalization lives here and nowhere else, so an
attack never has to know about means and standard deviations.
"""

import copy
import hashlib
import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch.fx.experimental.optimization import fuse

from fgsm_lib._torchvision import models, transforms
from fgsm_lib.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

SILENT_SECONDS = 60.0  # how long a download may stand still


class Classifier(torch.nn.Module):
    """A network behind its normalization.

    Shape:
        - pixels: float32 (N, 3, H, W), values in [0, 1]
        - returns: logits, float32 (N, number of classes); InputError where the network returns
          anything else

    ``to_pixels`` turns a PIL image into the (3, H, W) tensor in [0, 1] that belongs in such a
    batch: resize the shorter side to ``resize``, crop the center to ``crop``.

    The network is put into evaluation mode and its weights stop asking for gradients.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        class_names: list[str],
        *,
        name: str = "classifier",
        sha256: str = "",
        resize: int = 256,
        crop: int = 224,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        interpolation: transforms.InterpolationMode = transforms.InterpolationMode.BILINEAR,
    ):
        super().__init__()
        self.network = network
        self.class_names = class_names
        self.name = name
        self.sha256 = sha256
        self.resize = resize
        self.crop = crop
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.preprocessing = transforms.Compose(
            [
                transforms.Resize(resize, interpolation),
                transforms.CenterCrop(crop),
                transforms.ToTensor(),
            ]
        )
        # An attack differentiates with respect to the image. Without this, every backward pass
        # would also compute the gradients of all weights, twice the work, and throw them away.
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)  # half the time of the default layout on a CPU

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits = self.network((pixels - self.mean).div_(self.std))  # in place: one copy less
        expected = (len(pixels), len(self.class_names))
        if not torch.is_tensor(logits) or logits.shape != expected:
            found = tuple(logits.shape) if torch.is_tensor(logits) else type(logits).__name__
            raise InputError(
                f"the classifier {self.name} returned {found} for {len(pixels)} images; expected "
                f"logits of shape {expected}, one for each class name."
            )
        return logits

    def to_pixels(self, image: Image.Image) -> torch.Tensor:
        """PIL image in RGB, any size -> float32 (3, crop, crop) in [0, 1]."""
        return self.preprocessing(image)

    @property
    def device(self) -> torch.device:
        return self.mean.device


def load_classifier(
    arch: str, class_names: list[str], weights: Path | None = None, sha256: str | None = None
) -> Classifier:
    """A torchvision classification architecture with pretrained weights, on the best device.

    Args:
        arch: torchvision's name of the architecture, e.g. ``"googlenet"``.
        class_names: one name per class, in the order of the logits.
        weights: a ``.safetensors`` file or a state dict saved by torch, read without executing
            pickled code. Without it, torchvision's ``IMAGENET1K_V1`` weights are downloaded
            (once, with a progress bar; torchvision checks the hash).
        sha256: what the hash of the weights file has to be, if it is pinned.

    Raises:
        InputError: unknown architecture, weights that are damaged, do not fit or cannot be
            downloaded, or a hash that is not the pinned one.
    """
    if arch not in models.list_models(module=models):
        raise InputError(
            f"unknown architecture {arch!r}; expected a torchvision classifier such as "
            "'googlenet', 'resnet50' or 'squeezenet1_0'."
        )
    if weights is None:
        network, digest = _pretrained(arch, len(class_names))
    else:
        network, digest = _from_file(arch, len(class_names), Path(weights), sha256)
    preset = _imagenet_weights(arch).transforms()
    classifier = Classifier(
        fold_batch_norm(network),
        class_names,
        name=arch,
        sha256=digest,
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation,
    )
    return classifier.to("cuda" if torch.cuda.is_available() else "cpu")


def fold_batch_norm(network: torch.nn.Module) -> torch.nn.Module:
    """The same function in fewer steps: batch norms become part of the convolutions before them.

    In evaluation mode a batch norm multiplies each channel and adds to it, and a convolution with
    other weights does that on its way. Logits agree up to float rounding. The network given is
    left as it is; one that torch.fx cannot trace is returned unchanged.
    """
    try:
        return fuse(copy.deepcopy(network).eval())
    except Exception:  # tracing runs the network's own code, and that may raise anything
        return network


def _imagenet_weights(arch: str) -> models.WeightsEnum:
    """torchvision's first ImageNet weights of an architecture; they know its preprocessing."""
    known = models.get_model_weights(arch)
    return getattr(known, "IMAGENET1K_V1", known.DEFAULT)


def _pretrained(arch: str, classes: int) -> tuple[torch.nn.Module, str]:
    """torchvision's own weights, through its weights API (GoogLeNet needs its input transform)."""
    weights = _imagenet_weights(arch)
    if classes != len(weights.meta["categories"]):
        raise InputError(
            f"torchvision's weights of {arch} know {len(weights.meta['categories'])} classes, but "
            f"categories.csv names {classes}; expected a weights file trained on those classes."
        )
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        with _no_pickled_code(), _patience(SILENT_SECONDS):
            network = models.get_model(arch, weights=weights)
        digest = file_sha256(path)
        # torch checks what it downloads, but not a file that is there already.
        if not digest.startswith(path.stem.rpartition("-")[2]):
            raise ValueError(f"the SHA-256 is {digest}")
        return network, digest
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"cannot download the {arch} weights from {weights.url} to {path} ({reason}); expected "
            "a network connection and a folder to write to (TORCH_HOME names another), or a "
            "weights file (make site WEIGHTS=<file>)."
        ) from None
    except Exception as error:  # a wrong hash, or whatever the damaged bytes provoke
        again = "delete the file and try again" if path.exists() else "try again"
        raise InputError(
            f"{path}: not the {arch} weights of torchvision ({_first_line(error)}); {again}."
        ) from None


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """A server that is silent for so long is given up: torch would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _no_pickled_code() -> Iterator[None]:
    """torchvision reads its files with torch.load, which this keeps from executing code."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _from_file(
    arch: str, classes: int, path: Path, sha256: str | None
) -> tuple[torch.nn.Module, str]:
    state = read_state_dict(path)
    digest = file_sha256(path)
    if sha256 and digest != sha256:
        raise InputError(f"{path}: the SHA-256 is {digest}; expected {sha256}.")
    # The two Inception networks carry an input transform and training heads in torchvision only.
    inception = {"googlenet", "inception_v3"}
    options = (
        {
            "transform_input": True,
            "init_weights": False,
            "aux_logits": any("aux" in key.lower() for key in state),
        }
        if arch in inception
        else {}
    )
    network = models.get_model(arch, num_classes=classes, **options)
    expected = network.state_dict()
    problems = [f"{key} is missing" for key in expected if key not in state]
    problems += [f"{key} is not part of {arch}" for key in state if key not in expected]
    problems += [
        f"{key} has shape {tuple(state[key].shape)}, expected {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if problems:
        more = f" ({len(problems)} differences in all)" if len(problems) > 1 else ""
        raise InputError(
            f"{path}: does not fit {arch} with {classes} classes: {problems[0]}{more}."
        )
    network.load_state_dict(state)
    return network, digest


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from a ``.safetensors`` file or a torch state dict; no code is executed."""
    if not path.is_file():
        raise InputError(f"{path}: no such weights file.")
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        raise InputError(
            f"{path}: not readable as weights ({_first_line(error)}); "
            "expected a .safetensors file or a state dict saved by torch."
        ) from None
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise InputError(f"{path}: holds a {type(state).__name__}; expected a state dict.")
    return state


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

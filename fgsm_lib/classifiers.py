"""A classifier: a network behind its preprocessing, with its class names.

It takes **pixels in [0, 1]** and returns logits. Normalization lives here and nowhere else, so an
attack never has to know about means and standard deviations. The network measured is a copy of the
one given: the caller's stays as it was, its mode, gradients, layout and device included.
"""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path

import torch
from PIL import Image

from fgsm_lib import InputError
from fgsm_lib.attacks import OBJECTIVES, input_gradient
from fgsm_lib.checks import answer_of
from fgsm_lib.classes import class_list
from fgsm_lib.networks import copied, held, network_sha256
from fgsm_lib.pictures import open_picture


def _extension_loads() -> bool:
    """Whether torchvision's C++ extension fits this build of torch; a CPU build's may not."""
    package = Path(importlib.util.find_spec("torchvision").origin).parent
    try:
        for library in package.glob("_C*.*"):  # _C.so; _C_stable.so from torchvision 0.29 on
            torch.ops.load_library(library)
    except OSError:
        return False
    return hasattr(torch.ops.torchvision, "nms")


if not _extension_loads():  # only detectors need these two, but torchvision insists on them
    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision import models, transforms  # noqa: E402, F401 - weights.py takes models from here

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MOST_PIXELS = 10_000  # of a side that a network sees; beyond, it is a slip of the pen
MOST_NARROW = 100

Size = int | tuple[int, int]


class Classifier(torch.nn.Module):
    """A copy of a network, in evaluation mode, behind its normalization.

    Shape:
        - pixels: floats (N, C, H, W), values in [0, 1]; C is the number of means
        - returns: logits (N, number of classes), float32 (float64 from a float64 network)

    Args:
        network: takes normalized images; returns logits, or an object with ``.logits``.
        class_names: in the order of the logits; see ``classes.class_list``.
        name, sha256: what the network is called, and the hash of its weights.
        resize, crop: the shorter side is resized to ``resize`` (or to (H, W)), and the center of
            ``crop`` is kept. 256 and 224 where neither is given; one alone decides the other.
        mean, std: one value per channel, in pixels from 0 to 1.
        interpolation: "bilinear", "bicubic" or another name of torchvision's.

    Raises InputError where an argument is not as above.
    """

    @torch.inference_mode(False)  # its tensors may be asked for a gradient later
    def __init__(
        self,
        network: torch.nn.Module,
        class_names: Sequence[str] | Mapping,
        *,
        name: str = "",
        sha256: str = "",
        resize: Size | None = None,
        crop: Size | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        interpolation: str | transforms.InterpolationMode = "bilinear",
    ):
        super().__init__()
        if not isinstance(network, torch.nn.Module):
            raise InputError(f"network is a {type(network).__name__}; expected a torch.nn.Module.")
        if any(isinstance(module, Classifier) for module in network.modules()):
            raise InputError(
                "network holds a Classifier, which normalizes already; expected the network in it."
            )
        names = class_list(class_names)
        if names is None:
            raise InputError("class_names is None; expected one name per class, in logit order.")
        self.class_names = names
        self.resize, self.crop = _sizes(resize, crop)
        mean, std = _channel_values("mean", mean), _channel_values("std", std)
        if len(mean) != len(std) or min(std) <= 0:
            raise InputError(f"std is {std} for the mean {mean}; expected as many, above 0.")
        self.interpolation = _interpolation(interpolation)
        self.preprocessing = transforms.Compose(
            [
                transforms.Resize(self.resize, self.interpolation),
                transforms.CenterCrop(self.crop),
                transforms.ToTensor(),
            ]
        )
        self.network = copied(network).eval()
        self.name = name or type(self.network).__name__
        self.sha256 = sha256 or network_sha256(self.network)
        there = next((p.device for p in self.network.parameters()), None)
        for key, values in {"mean": mean, "std": std}.items():
            tensor = torch.tensor(values, dtype=torch.float32, device=there)
            self.register_buffer(key, tensor.view(1, -1, 1, 1))
        # An attack differentiates with respect to the image. Without this, every backward pass
        # would also compute the gradients of all weights, twice the work, and throw them away.
        self.requires_grad_(False)
        self.eval()
        # Half the time of the default layout on a CPU.
        self._try_layout(torch.channels_last, set(network.modules()))

    def _try_layout(self, layout: torch.memory_format, given: set[torch.nn.Module]) -> None:
        """Take a memory layout if the network runs in it; one that calls ``view`` may not.

        Sets ``remembers``: whether a pass leaves something behind, as activations that are kept or
        what hooks write. Such a network runs one pass at a time.
        InputError where the copy leads back to the modules that were given.
        """
        modules = list(self.network.modules())
        self.remembers = any(m._forward_hooks or m._forward_pre_hooks for m in modules)

        def refuse(module: torch.nn.Module, _) -> None:
            if module in given:
                raise InputError(
                    f"a copy of {self.name} still runs the network itself; expected one that "
                    "refers to its own parts by self, not by a variable."
                )

        self.to(memory_format=layout)
        self.layout, before = layout, held(self.network)
        watch = torch.nn.modules.module.register_module_forward_pre_hook(refuse)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                self(torch.zeros(2, self.channels, *_pair(self.crop), device=self.device))
        except InputError:
            raise
        except Exception:  # if something else is wrong, the door will say so
            self.layout = torch.contiguous_format
            self.to(memory_format=self.layout)
        finally:
            watch.remove()
        after = held(self.network)
        same = len(after) == len(before) and all(
            one is other and writes == written
            for (one, writes), (other, written) in zip(after, before, strict=True)
        )
        self.remembers |= not same

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        normalized = ((pixels - self.mean) / self.std).to(self.dtype)
        answer = self.network(normalized.contiguous(memory_format=self.layout))
        logits = getattr(answer, "logits", answer)  # Hugging Face's models return an object
        if not torch.is_tensor(logits) or logits.is_complex():
            raise InputError(
                f"{self.name} returned a {type(answer).__name__}; expected logits as a tensor."
            )
        return logits if logits.dtype == torch.float64 else logits.float()

    def to_pixels(self, picture: Image.Image) -> torch.Tensor:
        """A picture of any size -> float32 (C, H, W) in [0, 1], as the classifier receives it.

        It is what ``pictures.open_picture`` takes: an image, a path, an array.
        InputError where it is so narrow that its longer side, resized with the other, is huge.
        """
        picture = open_picture(picture)
        if max(picture.size) > MOST_NARROW * min(picture.size):
            raise InputError(
                f"a picture has {picture.width} × {picture.height} pixels; expected sides in a "
                f"ratio of at most {MOST_NARROW} to 1."
            )
        return self.preprocessing(picture.convert("L" if self.channels == 1 else "RGB"))

    @property
    def channels(self) -> int:
        return self.mean.numel()

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in; pixels are cast to it."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        return next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)


def _sizes(resize: Size | None, crop: Size | None) -> tuple[Size, Size]:
    """Both sizes, from those given: ImageNet's, or in ImageNet's proportion; without padding."""
    resize, crop = _size("resize", resize), _size("crop", crop)
    if crop is None:
        crop = 224 if resize is None else resize
    if resize is None:
        resize = round(crop * 256 / 224) if isinstance(crop, int) else max(crop)
    if any(low < cut for low, cut in zip(_pair(resize), _pair(crop), strict=True)):
        raise InputError(f"crop is {crop} of resize {resize}; expected a crop that fits inside.")
    return resize, crop


def _size(name: str, size: Size | None) -> Size | None:
    sides = size if isinstance(size, list | tuple) else [size, size]
    whole = all(isinstance(side, Integral) and 0 < side <= MOST_PIXELS for side in sides)
    if size is not None and not (whole and len(sides) == 2):
        raise InputError(
            f"{name} is {size!r}; expected pixels, or (height, width) in pixels, up to "
            f"{MOST_PIXELS:,}."
        )
    if size is None:
        return None
    return tuple(map(int, size)) if isinstance(size, list | tuple) else int(size)


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _channel_values(name: str, values: Sequence[float]) -> list[float]:
    try:
        listed = torch.as_tensor(values, dtype=torch.float64).flatten().tolist()
    except (TypeError, ValueError, RuntimeError):
        listed = []
    if not listed or not all(0 <= value <= 1 for value in listed):
        raise InputError(
            f"{name} is {values!r}; expected one number from 0 to 1 per channel, for pixels in "
            "[0, 1] (divide by 255?)."
        )
    return listed


def _interpolation(value: str | transforms.InterpolationMode) -> transforms.InterpolationMode:
    try:
        return transforms.InterpolationMode(value)
    except ValueError:
        known = ", ".join(mode.value for mode in transforms.InterpolationMode)
        raise InputError(f"interpolation is {value!r}; expected one of {known}.") from None


# --- the door ------------------------------------------------------------------------------------


def check_door(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> None:
    """One trial pass forward and backward; InputError where measuring would mislead.

    Args:
        classifier: behind its preprocessing.
        images: a few real pictures, floats (N, C, H, W) in [0, 1], N of at least 2.
        labels: int64 (N,).
    """
    logits = _trial_logits(classifier, images)
    size = float((logits - logits.mean(1, keepdim=True)).abs().max()) + 1e-6
    coarse = 20 if classifier.dtype in (torch.float16, torch.bfloat16) else 1
    again, alone = _pass(classifier, images), _pass(classifier, images[:1])
    if not torch.allclose(again, logits, rtol=0, atol=1e-5 * size * coarse):
        raise InputError(
            f"{classifier.name} gives two answers for the same pictures; expected one that does "
            "not depend on chance (a dropout that is always on?)."
        )
    if alone.shape != logits[:1].shape or not torch.allclose(
        alone, logits[:1], rtol=0, atol=1e-3 * size * coarse
    ):
        raise InputError(
            f"{classifier.name} answers differently for a picture alone and in a batch; expected "
            "one that does not depend on its neighbors (a batch norm without running statistics?)."
        )
    gradients = (input_gradient(classifier, images, labels, name).gradient for name in OBJECTIVES)
    if not any(bool(gradient.any()) for gradient in gradients):
        raise InputError(
            f"the gradient of {classifier.name} is exactly zero on every trial picture; expected "
            "an answer that depends on the pixels by a gradient (a rounding on the way?)."
        )


def _pass(classifier: Classifier, images: torch.Tensor) -> torch.Tensor:
    """One forward pass; InputError where the network refuses it."""
    expected = "other values of resize, crop, or mean and std (one per channel)"
    with torch.no_grad():
        return answer_of(classifier, images, f"{classifier.name} does not take pictures", expected)


def _trial_logits(classifier: Classifier, images: torch.Tensor) -> torch.Tensor:
    """Logits of the trial pictures, of the right shape, finite, and no probabilities."""
    logits = _pass(classifier, images)
    count, expected = len(classifier.class_names), (len(images), len(classifier.class_names))
    if logits.shape != expected:
        raise InputError(
            f"{classifier.name} returned {tuple(logits.shape)} for {len(images)} pictures and "
            f"{count} class names; expected logits of shape {expected}, one for each name."
        )
    if not bool(logits.isfinite().all()):
        raise InputError(f"{classifier.name} returned infinite logits or NaN; expected numbers.")
    off = min((logits.sum(1) / total - 1).abs().max() for total in (1, 100))  # or in percent
    if bool((logits >= 0).all()) and off < 1e-2:
        raise InputError(
            f"{classifier.name} returns probabilities, whose sum is {float(logits[0].sum()):.3g}; "
            "expected logits, the values before the softmax."
        )
    if bool(((logits >= 0) & (logits <= 1)).all()):  # of a weak network they may be logits
        warnings.warn(
            f"{classifier.name} returns values from {logits.min():.3g} to {logits.max():.3g}, "
            "which are taken for logits; if they are probabilities of a sigmoid, give it without.",
            stacklevel=3,
        )
    return logits

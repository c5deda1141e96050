"""A classifier: a network behind its preprocessing, with its class names.

It takes **pixels in [0, 1]** and returns logits. Normalization lives here and nowhere else, so an
attack never has to know about means and standard deviations. The network measured is a copy of the
one given: the caller's stays as it was, its mode, gradients, layout and device included.
"""

import copy
import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from types import CodeType, FunctionType

import torch
from PIL import Image
from torch.utils._pytree import tree_leaves

from fgsm_lib import InputError
from fgsm_lib.attacks import OBJECTIVES, input_gradient
from fgsm_lib.checks import logits_of
from fgsm_lib.classes import class_list
from fgsm_lib.pictures import open_picture
from fgsm_lib.words import first_line

try:
    import torchvision  # noqa: F401
except RuntimeError:  # its C++ extension does not fit this build of torch; a CPU build's may not
    # Only detectors need these two, but torchvision insists on them.
    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision import models, transforms  # noqa: F401 - weights.py takes models from here

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Pixels of a side that a network sees, and long side to short: beyond, it is a slip of the pen.
MOST_PIXELS, MOST_NARROW = 10_000, 100

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

    Raises InputError where an argument is not as above, or the network cannot be copied.
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
        if class_names is None:
            raise InputError("class_names is None; expected one name per class, in logit order.")
        self.class_names = class_list(class_names)
        self.resize, self.crop = _sizes(resize, crop)
        mean, std = _channel_values("mean", mean), _channel_values("std", std)
        if len(mean) != len(std) or min(std) <= 0:
            raise InputError(f"std is {std} for the mean {mean}; expected as many, above 0.")
        try:
            self.interpolation = transforms.InterpolationMode(interpolation)
        except ValueError as error:
            known = ", ".join(mode.value for mode in transforms.InterpolationMode)
            raise InputError(f"interpolation: {error}; expected one of {known}.") from None
        resized = transforms.Resize(self.resize, self.interpolation)
        cropped = transforms.CenterCrop(self.crop)
        self.preprocessing = transforms.Compose([resized, cropped, transforms.ToTensor()])
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
        self._try(network)

    def _try(self, given: torch.nn.Module) -> None:
        """Find by a pass which ``layout`` works, and whether the network ``remembers`` it.

        Channels last takes half the time on a CPU, but a network that calls ``view`` may not run
        in it. One that leaves something behind (activations that it keeps, what hooks write) runs
        one pass at a time. InputError where the pass leads back to the network that was given.
        """
        parts = set(given.modules())
        leads_back = InputError(
            f"a copy of {self.name} still runs the network itself, or writes into it; expected one "
            "that refers to its own parts by self, not by a variable."
        )

        def watch(module: torch.nn.Module, _) -> None:
            if module in parts:
                raise leads_back

        self.layout = torch.channels_last
        self.to(memory_format=self.layout)
        theirs, ours = held(given), held(self.network)
        watching = torch.nn.modules.module.register_module_forward_pre_hook(watch)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                self(torch.zeros(2, self.channels, *_pair(self.crop), device=self.device))
        except InputError:
            raise
        except Exception:  # if something else is wrong, the door will say so
            self.layout = torch.contiguous_format
            self.to(memory_format=self.layout)
        finally:
            watching.remove()
        if held(given) != theirs:
            raise leads_back
        hooked = any(m._forward_hooks or m._forward_pre_hooks for m in self.network.modules())
        self.remembers = hooked or held(self.network) != ours

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        normalized = ((pixels - self.mean) / self.std).to(self.dtype)
        answer = self.network(normalized.contiguous(memory_format=self.layout))
        logits = getattr(answer, "logits", answer)  # Hugging Face's models return an object
        coarse = getattr(logits, "dtype", None) in (torch.float16, torch.bfloat16)
        return logits.float() if coarse else logits

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
    if size is None:
        return None
    two = isinstance(size, list | tuple)
    sides = size if two else [size, size]
    whole = all(isinstance(side, Integral) and 0 < side <= MOST_PIXELS for side in sides)
    if not (whole and len(sides) == 2):
        raise InputError(
            f"{name} is {size!r}; expected pixels, or (height, width), up to {MOST_PIXELS:,}."
        )
    return tuple(map(int, sides)) if two else int(size)


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


# --- any network: a copy, and a fingerprint ------------------------------------------------------


def copied(network: torch.nn.Module) -> torch.nn.Module:
    """A deep copy with its hooks; of a compiled network, as it was before.

    A hook that is a function stays the same function, and writes where it always wrote.
    InputError where there is no copy.
    """
    network = getattr(network, "_orig_mod", network)
    if any(map(torch.nn.parameter.is_lazy, network.parameters())):
        raise InputError("network has weights without a shape; expected one that has run once.")
    try:
        # What autograd computed (a weight that a norm sets, kept features) torch does not copy.
        computed = [tensor for tensor in held(network) if not tensor.is_leaf]
        with torch.no_grad():
            return copy.deepcopy(network, {id(tensor): tensor.clone() for tensor in computed})
    except Exception as error:  # a network may hold anything: an open file, a lock
        raise InputError(
            f"network cannot be copied ({first_line(error)}); expected one that copy.deepcopy can "
            "copy, because what is measured is a copy."
        ) from None


def held(network: torch.nn.Module) -> dict[torch.Tensor, int]:
    """The tensors that modules hold, in lists and dictionaries too, and how often each was written.

    They are others after a pass that keeps activations. As long as this lives they do, too, so
    none takes the place of another.
    """
    values = tree_leaves([vars(module) for module in network.modules()])
    tensors = [value for value in values if torch.is_tensor(value)]
    return {tensor: 0 if tensor.is_inference() else tensor._version for tensor in tensors}


def network_sha256(network: torch.nn.Module) -> str:
    """A fingerprint of what a network is: layers, code, settings, weights, all its buffers.

    What it does is seen by the ``probe`` of a table, see ``store``.
    """
    facts = [repr(network)]
    for name, module in network.named_modules():
        kinds = [kind for kind in type(module).__mro__ if not kind.__module__.startswith("torch.")]
        facts += [name, *(fact for place in (module, *kinds) for fact in _facts(vars(place)))]
    # Where in memory something lies says nothing.
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-fA-F]+", "", "\n".join(facts)).encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _facts(place: Mapping[str, object]) -> Iterator[str]:
    """The settings of a module or its class, and its functions with the constants they name."""
    for name, value in sorted(place.items()):
        if isinstance(value, FunctionType):
            known = [(n, value.__globals__.get(n)) for n in value.__code__.co_names]
            named = [pair for pair in known if isinstance(pair[1], int | float | str | tuple)]
            yield f"{name} {_written(value.__code__)} {named}"
        elif name[0] != "_" and name != "training" and "tensor(" not in repr(value):
            yield f"{name} {value!r}"


def _written(code: CodeType) -> list:
    """What a function does, without its file and line numbers."""
    inner = [_written(c) if isinstance(c, CodeType) else c for c in code.co_consts]
    plain = [c for c in inner if not isinstance(c, frozenset)]  # printed in any order
    return [code.co_code, code.co_names, plain]


# --- the door ------------------------------------------------------------------------------------


def check_door(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Trial passes forward and backward; InputError where measuring would mislead.

    Args:
        images: a few real pictures, floats (N, C, H, W) in [0, 1], N of at least 2.
        labels: int64 (N,).
    """
    with torch.no_grad():
        logits, again, alone = (logits_of(classifier, x) for x in (images, images, images[:1]))
    _check_logits(classifier, logits)
    size = float((logits - logits.mean(1, keepdim=True)).abs().max()) + 1e-6
    coarse = 20 if classifier.dtype in (torch.float16, torch.bfloat16) else 1
    for answer, most, on in (
        (again, 1e-5, "chance (a dropout that is always on?)"),
        (alone, 1e-3, "its neighbors in the batch (a batch norm without running statistics?)"),
    ):
        if not torch.allclose(answer, logits[: len(answer)], rtol=0, atol=most * size * coarse):
            raise InputError(
                f"{classifier.name} gives two answers for the same picture; expected one that does "
                f"not depend on {on}."
            )
    gradients = (input_gradient(classifier, images, labels, name).gradient for name in OBJECTIVES)
    if not any(bool(gradient.any()) for gradient in gradients):
        raise InputError(
            f"the gradient of {classifier.name} is exactly zero on every trial picture; expected "
            "an answer that depends on the pixels by a gradient (a rounding on the way?)."
        )


def _check_logits(classifier: Classifier, logits: torch.Tensor) -> None:
    """One for each class name, finite, and no probabilities."""
    count = len(classifier.class_names)
    if logits.shape[1] != count:
        raise InputError(
            f"{classifier.name} returned {logits.shape[1]} logits a picture for {count} class "
            "names; expected one logit for each name."
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

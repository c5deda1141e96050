"""What attacks insist on: each check returns its argument ready for use, or says what is wrong."""

from collections.abc import Iterable, Sequence

import torch

from fgsm_lib import InputError
from fgsm_lib.words import first_line


class GradientError(InputError):
    """The gradient at some images of a batch is infinite or not a number."""

    def __init__(self, images: Sequence[int | str]):
        which = f"image {images[0]}" if isinstance(images[0], int) else images[0]
        super().__init__(
            f"the gradient at {which} is infinite or not a number; expected a classifier whose "
            "answer can be differentiated at every image."
        )
        self.images = images

    def __reduce__(self) -> tuple:  # it comes from a worker of a cluster, too
        return GradientError, (self.images,)


def check_choice(name: str, value: object, known: Iterable[str] | Iterable[bool]) -> None:
    """InputError unless the value is one of those known, which are all texts or all bools."""
    known = list(known)
    if not isinstance(value, type(known[0])) or value not in known:
        raise InputError(f"{name} is {value!r}; expected {' or '.join(map(repr, known))}.")


def check_images(images: torch.Tensor, name: str = "images", low: float = 0.0) -> None:
    """InputError unless these are a batch of floats from ``low`` to 1, called ``name``.

    Floats of 16 bits are refused: near 1 their spacing is of the size of a step.
    """
    found = f"a {type(images).__name__}"
    if torch.is_tensor(images):
        found = f"{images.dtype} of shape {tuple(images.shape)}"
        found += f", {images.layout} on {images.device}"
        dense = images.layout == torch.strided and not images.is_meta
        precise = images.dtype in (torch.float32, torch.float64)
        if dense and precise and images.ndim > 1 and len(images) > 0:
            least, most = (float(value) for value in images.detach().aminmax())
            if least >= low and most <= 1:  # a NaN is neither
                return
            found = f"of values from {least:g} to {most:g}"
    raise InputError(
        f"{name} is {found}; expected a batch (N, ...) of 32 or 64 bit floats in [{low:g}, 1]."
    )


def check_classifier(classifier: torch.nn.Module) -> None:
    """InputError unless this is a module, in evaluation mode."""
    if not isinstance(classifier, torch.nn.Module):
        found = type(classifier).__name__
        raise InputError(f"classifier is a {found}; expected a torch.nn.Module.")
    if any(module.training for module in classifier.modules()):
        raise InputError(
            "the classifier is in training mode; expected evaluation: classifier.eval()."
        )


def logits_of(classifier: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """The classifier's logits (N, classes) for pixels (N, ...); InputError where it has none."""
    who, count = getattr(classifier, "name", "the classifier"), len(pixels)
    try:
        answer = classifier(pixels)
    except InputError:
        raise
    except Exception as error:  # the network's own code runs here
        raise InputError(
            f"{who} does not take images of shape {tuple(pixels.shape)} and dtype {pixels.dtype} "
            f"({first_line(error)}); expected images as it takes them, by resize, crop, and one "
            "mean and std per channel where it is a Classifier."
        ) from error
    logits = getattr(answer, "logits", answer)  # Hugging Face's models return an object
    found = type(logits).__name__
    if torch.is_tensor(logits):
        shaped = logits.ndim == 2 and len(logits) == count and logits.shape[1] > 1
        if shaped and logits.is_floating_point():
            return logits
        found = f"{logits.dtype} of shape {tuple(logits.shape)}"
    raise InputError(
        f"{who} returned {found} for {count} images; expected logits, floats of shape "
        f"({count}, classes), of two classes or more."
    )


def class_indices(labels: torch.Tensor | Sequence[int], logits: torch.Tensor) -> torch.Tensor:
    """Labels as int64 (N,) beside their logits (N, classes); InputError if one is no class."""
    try:
        given = labels if torch.is_tensor(labels) else torch.as_tensor(list(labels))
    except (TypeError, ValueError, RuntimeError):
        given = torch.empty(0)
    count, classes = logits.shape
    fraction = given.dtype == torch.bool or given.is_floating_point() or given.is_complex()
    if not fraction and given.shape == (count,) and not given.is_meta:
        given = given.to(logits.device, torch.int64)
        if bool(((given >= 0) & (given < classes)).all()):
            return given
    raise InputError(
        f"labels is {labels!r}; expected {count} whole numbers from 0 to {classes - 1}, the class "
        "of each image."
    )


def step_sizes(
    epsilon: float | torch.Tensor, images: torch.Tensor, name: str = "epsilon"
) -> torch.Tensor:
    """Epsilon as a float64 that multiplies a batch: a scalar, or (N, 1, ...), one per image.

    InputError, which calls it ``name``, unless it is one number or N numbers from 0 to 1.
    """
    try:
        given = torch.as_tensor(epsilon, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        given = torch.empty(0)
    counted = given.numel() in (1, len(images))
    if not counted or not bool(((given >= 0) & (given <= 1)).all()):
        raise InputError(
            f"{name} is {epsilon!r}; expected a fraction of [0, 1] such as 4/255: one number, or "
            f"one for each of {len(images)} images."
        )
    return given.reshape(()) if given.numel() == 1 else given.reshape(-1, *[1] * (images.ndim - 1))

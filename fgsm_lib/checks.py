"""What attacks insist on: each check returns its argument ready for use, or says what is wrong."""

from collections.abc import Sequence

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


def check_images(images: torch.Tensor) -> None:
    """InputError unless these are a batch of floats in [0, 1]."""
    if not torch.is_tensor(images):
        raise InputError(f"images is a {type(images).__name__}; expected a tensor (N, ...).")
    if not images.is_floating_point():
        raise InputError(f"images has dtype {images.dtype}; expected floats in [0, 1].")
    if images.ndim < 2 or len(images) == 0:
        raise InputError(
            f"images has shape {tuple(images.shape)}; expected a batch (N, ...) of at least one."
        )
    try:
        low, high = (float(value) for value in images.detach().aminmax())
    except RuntimeError as error:  # sparse, without data, of 8 bits
        raise InputError(
            f"images is {images.layout} of {images.dtype} on {images.device}, of which torch knows "
            f"no smallest value ({first_line(error)}); expected floats in memory."
        ) from None
    if not (low >= 0 and high <= 1):  # a NaN fails both
        raise InputError(f"images has values from {low:g} to {high:g}; expected [0, 1].")


def check_classifier(classifier: torch.nn.Module) -> None:
    """InputError unless this is a module, in evaluation mode."""
    if not isinstance(classifier, torch.nn.Module):
        found = type(classifier).__name__
        raise InputError(f"classifier is a {found}; expected a torch.nn.Module.")
    if any(module.training for module in classifier.modules()):
        raise InputError(
            "the classifier is in training mode; expected evaluation: classifier.eval()."
        )


def answer_of(
    classifier: torch.nn.Module, pixels: torch.Tensor, refusal: str, expected: str
) -> object:
    """What a classifier returns for pixels; InputError, "<refusal> of shape …", where it raises."""
    try:
        return classifier(pixels)
    except InputError:
        raise
    except Exception as error:  # the network's own code runs here
        raise InputError(
            f"{refusal} of shape {tuple(pixels.shape)} and dtype {pixels.dtype} "
            f"({first_line(error)}); expected {expected}."
        ) from error


def logits_of(classifier: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """The classifier's logits (N, classes) for pixels (N, ...); InputError where it has none."""
    answer = answer_of(
        classifier, pixels, "the classifier does not take images", "a batch as it does"
    )
    logits = getattr(answer, "logits", answer)  # Hugging Face's models return an object
    found, count = type(logits).__name__, len(pixels)
    if torch.is_tensor(logits):
        shaped = logits.ndim == 2 and len(logits) == count and logits.shape[1] > 1
        if shaped and logits.is_floating_point():
            return logits
        found = f"{logits.dtype} of shape {tuple(logits.shape)}"
    raise InputError(
        f"the classifier returned {found} for {count} images; expected logits, floats of shape "
        f"({count}, classes), of two classes or more."
    )


def class_indices(labels: torch.Tensor | Sequence[int], logits: torch.Tensor) -> torch.Tensor:
    """Labels as int64 (N,) beside their logits (N, classes); InputError if one is no class."""
    try:
        given = labels if torch.is_tensor(labels) else torch.as_tensor(list(labels))
    except (TypeError, ValueError, RuntimeError):
        given = torch.empty(0)
    if given.dtype == torch.bool or given.is_floating_point() or given.is_complex():
        raise InputError(f"labels is {labels!r}; expected whole numbers, one class per image.")
    count, classes = logits.shape
    if given.shape != (count,):
        raise InputError(f"labels has shape {tuple(given.shape)}; expected ({count},), one each.")
    if given.is_meta:
        raise InputError("labels is on the device meta, without values; expected numbers.")
    given = given.to(logits.device, torch.int64)
    if not bool(((given >= 0) & (given < classes)).all()):
        raise InputError(f"labels is {given.tolist()}; expected classes from 0 to {classes - 1}.")
    return given


def step_sizes(
    epsilon: float | torch.Tensor, images: torch.Tensor, name: str = "epsilon"
) -> torch.Tensor:
    """Epsilon as a float64 that multiplies a batch: a scalar, or (N, 1, ...), one per image.

    InputError, which calls it ``name``, unless it is one number or N numbers from 0 to 1.
    """
    try:
        given = torch.as_tensor(epsilon, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InputError(f"{name} is {epsilon!r}; expected a number from 0 to 1.") from None
    if not bool(((given >= 0) & (given <= 1)).all()):
        raise InputError(
            f"{name} is {given.tolist()}; expected a fraction of [0, 1], such as 4/255."
        )
    if given.numel() == 1:
        return given.reshape(())
    if given.shape[0] != len(images) or given.numel() != len(images):
        raise InputError(
            f"{name} has shape {tuple(given.shape)} for {len(images)} images; expected one "
            "number, or one for each image."
        )
    return given.reshape(-1, *[1] * (images.ndim - 1))


def start_in_ball(start: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """A start in the ball, of the images' dtype; InputError unless of their shape, in [-1, 1]."""
    found = type(start).__name__
    if torch.is_tensor(start):
        found = f"{start.dtype} of shape {tuple(start.shape)}"
        if start.is_floating_point() and start.shape == images.shape:
            low, high = (float(value) for value in start.detach().aminmax())
            if low >= -1 and high <= 1:  # a NaN is neither
                return start.detach().to(images)
            found += f" from {low:g} to {high:g}"
    raise InputError(
        f"start is {found}; expected floats in [-1, 1] of shape {tuple(images.shape)}."
    )

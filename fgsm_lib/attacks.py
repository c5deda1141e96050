"""The Fast Gradient Sign Method (Goodfellow et al. 2015) and its iterative relatives, in pixels.

Images are a batch of 32 or 64 bit floats (N, ...), usually (N, 3, H, W), in [0, 1]. Epsilon is a
fraction of that range: 6/255 lets each channel of each pixel change by up to six of its 255 steps.
No function here changes its inputs, and none leaves a gradient behind, neither on the images nor
on the weights.
"""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F

from fgsm_lib import InputError
from fgsm_lib.checks import (
    GradientError,
    check_choice,
    check_classifier,
    check_images,
    class_indices,
    logits_of,
    step_sizes,
)

Clip = Literal["valid", "image"]
Bounds = tuple[torch.Tensor | float, torch.Tensor | float]


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """J of equation (1.2): -log softmax(z)_y, summed over the batch.

    The sum, not the mean: a mean would divide each gradient by the batch size, and the gradients
    of confident images are so small that float32 loses them sooner.
    """
    return F.cross_entropy(logits, labels, reduction="sum")


def true_logit(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-z_y, the negative logit of the true class, summed over the batch.

    The published experiment called ``F.nll_loss`` on raw logits, which is this.
    """
    return F.nll_loss(logits, labels, reduction="sum")


OBJECTIVES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": cross_entropy,
    "true_logit": true_logit,
}


class InputGradient(NamedTuple):
    """The gradient, shaped like the images, and the logits (N, classes) it was taken at."""

    gradient: torch.Tensor
    logits: torch.Tensor


def input_gradient(
    classifier: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor | Sequence[int],
    objective: str = "cross_entropy",
) -> InputGradient:
    r"""$\nabla_x J(\theta, x, y)$ of equation (1.2), for every image of a batch at once.

    Args:
        classifier: takes pixels, returns logits (N, classes); must be in evaluation mode.
        images: floats (N, ...) in [0, 1].
        labels: N whole numbers, 0-indexed classes.
        objective: a key of ``OBJECTIVES``.

    Raises:
        InputError: an argument is not as above; the classifier is in training mode, where dropout
            and batch statistics make the gradient random and dependent on the other images; its
            answer does not depend on the pixels by a gradient; or the gradient is not a number,
            whose sign would count as 0 and pass for an attack that was resisted.
    """
    check_images(images)
    check_choice("objective", objective, OBJECTIVES)
    check_classifier(classifier)
    with torch.inference_mode(False), torch.enable_grad():
        pixels = images.detach().clone().requires_grad_(True)
        logits = logits_of(classifier, pixels.clone())  # which it may overwrite
        labels = class_indices(labels, logits).clone()  # of inference_mode, autograd takes none
        loss, gradient = OBJECTIVES[objective](logits, labels), None
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss, pixels, allow_unused=True)
    if gradient is None:
        raise InputError(
            "the classifier's answer does not depend on the pixels by a gradient (a detach(), a "
            "rounding or NumPy on the way?); expected one that autograd can follow to the image."
        )
    if not bool(gradient.isfinite().all()):
        raise GradientError([i for i, one in enumerate(gradient) if not bool(one.isfinite().all())])
    return InputGradient(gradient.detach(), logits.detach())


def fgsm(
    classifier: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor | Sequence[int],
    epsilon: float | torch.Tensor,
    *,
    targeted: bool = False,
    objective: str = "cross_entropy",
    clip: Clip = "valid",
) -> torch.Tensor:
    r"""Adversarial images $\tilde{x} = x + \epsilon\,\mathrm{sign}(\nabla_x J(\theta, x, y))$.

    Equations (1.1) and (1.2), clipped to [0, 1]. An image whose gradient is exactly zero comes
    back as it was: it was not attacked, and has not resisted.

    Args:
        classifier, images, labels, objective: as in ``input_gradient``.
        epsilon: the L∞ size of the step as a fraction of [0, 1]; one number, or one per image.
        targeted: step *down* the objective toward ``labels``, which then are the classes that
            the classifier should see instead of the classes that it should stop seeing.
        clip: see ``clip_bounds``.

    Returns:
        Shaped like ``images``, of their dtype, in [0, 1], nowhere further than epsilon from them.

    Raises:
        InputError: as ``input_gradient``, or epsilon is not a number (or N numbers) in [0, 1].
    """
    check_images(images)
    epsilon = step_sizes(epsilon, images)
    bounds = clip_bounds(images, classifier, clip)
    gradient, _ = input_gradient(classifier, images, labels, objective)
    return perturb(images, _step(gradient, targeted), epsilon, bounds)


def pgd(
    classifier: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor | Sequence[int],
    epsilon: float | torch.Tensor,
    *,
    steps: int,
    step_size: float | torch.Tensor,
    start: torch.Tensor | None = None,
    targeted: bool = False,
    objective: str = "cross_entropy",
) -> torch.Tensor:
    r"""FGSM in small steps, a new gradient before each, within ε of the image.

    With step size α and the projection Π onto the L∞ ball and [0, 1], which is a clip:

    $$\tilde{x}_0 = \Pi(x + \epsilon u), \qquad \tilde{x}_{n+1} = \Pi\bigl(\tilde{x}_n
    + \alpha\,\mathrm{sign}(\nabla_x J(\theta, \tilde{x}_n, y))\bigr)$$

    From the image itself (``start=None``, u = 0) this is the Basic Iterative Method, BIM, of
    Kurakin et al. 2017, section 2.2; from a random start (``random_start``) it is projected
    gradient descent, PGD, of Madry et al. 2018, section 2.1.

    Args:
        classifier, images, labels, epsilon, targeted, objective: as in ``fgsm``.
        steps: how many; each costs one gradient.
        step_size: α as a fraction of [0, 1]; one number, or one per image.
        start: u in [-1, 1], shaped like ``images``.

    Returns:
        As ``fgsm``, which is what one step of size epsilon comes to.

    Raises:
        InputError: as ``fgsm``, or ``steps``, ``step_size`` or ``start`` is not as above.
    """
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 1:
        raise InputError(f"steps is {steps!r}; expected a whole number above 0.")
    check_images(images)
    step_size = step_sizes(step_size, images, "step_size")
    ball = perturb(images, -1.0, epsilon), perturb(images, 1.0, epsilon)
    changed = images
    if start is not None:
        check_images(start, "start", low=-1.0)
        if start.shape != images.shape:
            raise InputError(
                f"start has shape {tuple(start.shape)}; expected that of images, "
                f"{tuple(images.shape)}."
            )
        changed = perturb(images, start.detach().to(images), epsilon, ball)
    for _ in range(steps):
        gradient, _ = input_gradient(classifier, changed, labels, objective)
        changed = perturb(changed, _step(gradient, targeted), step_size, ball)
    return changed


def _step(gradient: torch.Tensor, targeted: bool) -> torch.Tensor:
    """The direction of a step: up the objective, or down toward a target."""
    check_choice("targeted", targeted, (True, False))
    return -gradient.sign() if targeted else gradient.sign()


def perturb(
    images: torch.Tensor,
    direction: torch.Tensor | float,
    epsilon: float | torch.Tensor,
    bounds: Bounds = (0.0, 1.0),
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """clip(images + epsilon · direction): equation (1.1) with any direction in [-1, 1].

    The direction does not depend on epsilon, so one gradient serves a whole sweep. The result is
    written into ``out`` where it is given: a sweep needs no new memory at each epsilon.
    """
    epsilon = step_sizes(epsilon, images)
    low, high = bounds
    if images.dtype in (torch.float16, torch.bfloat16):  # rounding could go beyond epsilon
        raise InputError(f"images holds {images.dtype}; expected floats of 32 or 64 bits.")
    if epsilon.ndim == 0 and torch.is_tensor(direction):  # one pass over the memory, not two
        moved = torch.add(images.detach(), direction, alpha=float(epsilon), out=out)
    else:
        moved = torch.add(images.detach(), epsilon.to(images) * direction, out=out)
    return moved.clamp_(min=low, max=high)


def eight_bit(images: torch.Tensor) -> torch.Tensor:
    """round(255 x) / 255: the images as a file with 8 bits a channel would keep them.

    A step of less than 0.5/255 does not survive this.
    """
    return (255 * images.detach()).round() / 255


def clip_bounds(images: torch.Tensor, classifier: torch.nn.Module, clip: Clip = "valid") -> Bounds:
    """The smallest and largest value that each pixel may take.

    ``"valid"`` is [0, 1]. ``"image"`` also applies the extra clip of the published experiment,
    to the smallest and largest value of the image itself, taken over all channels of the
    *normalized* image: the three channels then have different bounds in pixel space.

    Raises:
        InputError: ``clip`` is neither, or the classifier does not say how it normalizes.
    """
    check_choice("clip", clip, ("valid", "image"))
    if clip == "valid":
        return 0.0, 1.0
    mean, std = getattr(classifier, "mean", None), getattr(classifier, "std", None)
    if not (torch.is_tensor(mean) and torch.is_tensor(std)):
        raise InputError(
            f"clip is 'image', but {type(classifier).__name__} has no mean and std; expected a "
            "fgsm_lib.classifiers.Classifier, or clip='valid'."
        )
    images, over = images.detach(), tuple(range(1, images.ndim))
    normalized = (images - mean) / std
    low = normalized.amin(dim=over, keepdim=True) * std + mean
    high = normalized.amax(dim=over, keepdim=True) * std + mean
    # The way to normalized space and back rounds; the image itself always lies within its range.
    over = over[1:] or None
    low = low.minimum(images.amin(over, keepdim=True) if over else images)
    high = high.maximum(images.amax(over, keepdim=True) if over else images)
    return low.clamp(min=0.0), high.clamp(max=1.0)


def random_signs(image: torch.Tensor, seed: int) -> torch.Tensor:
    """-1 or 1 at every value of an image, by a seeded coin: the control for the gradient's sign.

    The same on every device, because it is drawn on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    coin = torch.randint(0, 2, image.shape, generator=generator, dtype=torch.int8)
    return (2 * coin - 1).to(image)


def random_start(image: torch.Tensor, seed: int) -> torch.Tensor:
    """Uniform in [-1, 1] at every value of an image, by a seed: where PGD starts in its ball."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.rand(image.shape, generator=generator) - 1).to(image)

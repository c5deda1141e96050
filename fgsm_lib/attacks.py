"""The Fast Gradient Sign Method (Goodfellow et al. 2015) and its iterative relatives, in pixels.

Images are float32 (N, 3, H, W) with values in [0, 1], and epsilon is a fraction of that range:
6/255 lets each channel of each pixel change by up to six of its 255 steps. No function here
changes its inputs, and none leaves a gradient behind, neither on the images nor on the weights.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F

from fgsm_lib.classifiers import Classifier

Clip = Literal["valid", "image"]


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
    labels: torch.Tensor,
    objective: str = "cross_entropy",
) -> InputGradient:
    r"""$\nabla_x J(\theta, x, y)$ of equation (1.2), for every image of a batch at once.

    Args:
        classifier: takes pixels, returns logits; must be in evaluation mode.
        images: float32 (N, 3, H, W) in [0, 1].
        labels: int64 (N,), 0-indexed classes.
        objective: a key of ``OBJECTIVES``.

    Raises:
        ValueError: the classifier is in training mode, where dropout and batch statistics would
            make the gradient random and dependent on the other images of the batch.
    """
    if any(module.training for module in classifier.modules()):
        raise ValueError("the classifier is in training mode; call classifier.eval() first")
    images = images.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = classifier(images)
        loss = OBJECTIVES[objective](logits, labels)
        (gradient,) = torch.autograd.grad(loss, images)
    return InputGradient(gradient.detach(), logits.detach())


def fgsm(
    classifier: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float | torch.Tensor,
    *,
    targeted: bool = False,
    objective: str = "cross_entropy",
    clip: Clip = "valid",
) -> torch.Tensor:
    r"""Adversarial images $\tilde{x} = x + \epsilon\,\mathrm{sign}(\nabla_x J(\theta, x, y))$.

    Equations (1.1) and (1.2), clipped to [0, 1].

    Args:
        classifier, images, labels, objective: as in ``input_gradient``.
        epsilon: the L∞ size of the step as a fraction of [0, 1]; one number, or one per image.
        targeted: step *down* the objective toward ``labels``, which then are the classes that
            the classifier should see instead of the classes that it should stop seeing.
        clip: see ``clip_bounds``.

    Returns:
        float32, shaped like ``images``, in [0, 1], nowhere further than epsilon from them.

    Raises:
        ValueError: epsilon is negative, infinite or not a number.
    """
    gradient, _ = input_gradient(classifier, images, labels, objective)
    direction = -gradient.sign() if targeted else gradient.sign()
    return perturb(images, direction, epsilon, clip_bounds(images, classifier, clip))


def bim(
    classifier: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float | torch.Tensor,
    *,
    steps: int,
    step_size: float | torch.Tensor,
    objective: str = "cross_entropy",
) -> torch.Tensor:
    r"""The Basic Iterative Method (Kurakin et al. 2017, section 2.2): FGSM in small steps.

    With step size α, and the clip to [0, 1] and to the L∞ ball of radius ε around x:

    $$\tilde{x}_0 = x, \qquad \tilde{x}_{n+1} = \mathrm{clip}_{x,\epsilon}\bigl(\tilde{x}_n
    + \alpha\,\mathrm{sign}(\nabla_x J(\theta, \tilde{x}_n, y))\bigr)$$

    Args:
        classifier, images, labels, epsilon, objective: as in ``fgsm``.
        steps: how many; each costs one gradient.
        step_size: α as a fraction of [0, 1]; one number, or one per image.

    Returns:
        As ``fgsm``, which is what one step of size epsilon comes to.

    Raises:
        ValueError: epsilon or step_size is negative, infinite or not a number.
    """
    options = {"steps": steps, "step_size": step_size, "objective": objective}
    return pgd(classifier, images, labels, epsilon, torch.zeros_like(images), **options)


def pgd(
    classifier: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float | torch.Tensor,
    start: torch.Tensor,
    *,
    steps: int,
    step_size: float | torch.Tensor,
    objective: str = "cross_entropy",
) -> torch.Tensor:
    r"""Projected gradient descent (Madry et al. 2018, section 2.1): BIM from another start.

    Madry's start u is uniformly random (``random_start``); the projection Π onto the L∞ ball and
    [0, 1] is a clip:

    $$\tilde{x}_0 = \Pi(x + \epsilon u), \qquad \tilde{x}_{n+1} = \Pi\bigl(\tilde{x}_n
    + \alpha\,\mathrm{sign}(\nabla_x J(\theta, \tilde{x}_n, y))\bigr)$$

    Args:
        start: u in [-1, 1], shaped like ``images``.
        classifier, images, labels, epsilon, steps, step_size, objective: as in ``bim``.

    Returns and raises as ``bim``.
    """
    ball = perturb(images, -1, epsilon), perturb(images, 1, epsilon)
    changed = perturb(images, start, epsilon, ball)
    for _ in range(steps):
        gradient, _ = input_gradient(classifier, changed, labels, objective)
        changed = perturb(changed, gradient.sign(), step_size, ball)
    return changed


def perturb(
    images: torch.Tensor,
    direction: torch.Tensor | float,
    epsilon: float | torch.Tensor,
    bounds: tuple[torch.Tensor | float, torch.Tensor | float] = (0.0, 1.0),
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """clip(images + epsilon · direction): equation (1.1) with any direction in [-1, 1].

    The direction does not depend on epsilon, so one gradient serves a whole sweep. The result is
    written into ``out`` where it is given: a sweep needs no new memory at each epsilon.
    """
    epsilon = torch.as_tensor(epsilon, dtype=images.dtype)
    if not bool(((epsilon >= 0) & epsilon.isfinite()).all()):
        raise ValueError(f"epsilon is {epsilon.tolist()}; expected a finite number of at least 0")
    if epsilon.ndim == 1:
        epsilon = epsilon.view(-1, 1, 1, 1)
    low, high = bounds
    step = torch.mul(epsilon.to(images.device), direction, out=out)
    return torch.add(images.detach(), step, out=out).clamp_(min=low, max=high)


def eight_bit(images: torch.Tensor) -> torch.Tensor:
    """round(255 x) / 255: the images as a file with 8 bits a channel would keep them.

    A step smaller than 0.5/255 does not survive this.
    """
    return (255 * images.detach()).round() / 255


def clip_bounds(
    images: torch.Tensor, classifier: Classifier, clip: Clip = "valid"
) -> tuple[torch.Tensor | float, torch.Tensor | float]:
    """The smallest and largest value that each pixel may take.

    ``"valid"`` is [0, 1]. ``"image"`` also applies the extra clip of the published experiment,
    to the smallest and largest value of the image itself, taken over all channels of the
    *normalized* image: the three channels then have different bounds in pixel space.
    """
    if clip == "valid":
        return 0.0, 1.0
    normalized = (images.detach() - classifier.mean) / classifier.std
    low = normalized.amin(dim=(1, 2, 3), keepdim=True) * classifier.std + classifier.mean
    high = normalized.amax(dim=(1, 2, 3), keepdim=True) * classifier.std + classifier.mean
    return low.clamp(min=0.0), high.clamp(max=1.0)


def random_signs(image: torch.Tensor, seed: int) -> torch.Tensor:
    """-1 or 1 at every value of an image, by a seeded coin: the control for the gradient's sign.

    The same on every device, because it is drawn on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    coin = torch.randint(0, 2, image.shape, generator=generator, dtype=torch.int8)
    return (2 * coin - 1).to(image)


def random_start(image: torch.Tensor, seed: int) -> torch.Tensor:
    """Uniform in [-1, 1] at every value of an image, by a seed: where PGD starts in its ball.

    The same on every device, because it is drawn on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.rand(image.shape, generator=generator) - 1).to(image)

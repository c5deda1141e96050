"""Other ways to what a sweep computes: three libraries and the original's loop.

Each takes (model, images, labels, epsilons), with pixels in [0, 1] and epsilon a fraction of that
range, and returns the predicted classes of the attacked images, int64 (epsilons, images). All of
them compute the gradient again at every epsilon.
"""

import importlib.util
from collections.abc import Callable, Sequence

import numpy as np
import torch

from fgsm_lib import attacks
from fgsm_lib.classifiers import Classifier

Contender = Callable[[Classifier, torch.Tensor, torch.Tensor, Sequence[float]], torch.Tensor]


def foolbox(
    model: Classifier, images: torch.Tensor, labels: torch.Tensor, epsilons: Sequence[float]
) -> torch.Tensor:
    """``LinfFastGradientAttack`` with a list of epsilons, as in foolbox's README.

    It judges every attacked image itself; its predictions are taken from that pass.
    """
    import foolbox
    import foolbox.attacks

    seen = []

    class Recorded(foolbox.criteria.Misclassification):
        def __call__(self, perturbed, outputs):
            seen.append(outputs.raw.argmax(dim=-1))
            return super().__call__(perturbed, outputs)

    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    attack(foolbox.PyTorchModel(model, bounds=(0, 1)), images, Recorded(labels), epsilons=epsilons)
    return torch.stack(seen)


def torchattacks(
    model: Classifier, images: torch.Tensor, labels: torch.Tensor, epsilons: Sequence[float]
) -> torch.Tensor:
    """``FGSM``, one for each epsilon, and a pass that looks at the result."""
    import torchattacks

    return torch.stack(
        [
            _predicted(model, torchattacks.FGSM(model, eps=epsilon)(images, labels))
            for epsilon in epsilons
        ]
    )


def cleverhans(
    model: Classifier, images: torch.Tensor, labels: torch.Tensor, epsilons: Sequence[float]
) -> torch.Tensor:
    """``fast_gradient_method``, one call for each epsilon, and a pass that looks at the result."""
    from cleverhans.torch.attacks.fast_gradient_method import fast_gradient_method

    bounds = {"clip_min": 0.0, "clip_max": 1.0}
    return torch.stack(
        [
            _predicted(
                model, fast_gradient_method(model, images, epsilon, np.inf, y=labels, **bounds)
            )
            for epsilon in epsilons
        ]
    )


def original_loop(
    model: Classifier, images: torch.Tensor, labels: torch.Tensor, epsilons: Sequence[float]
) -> torch.Tensor:
    """The original page's way: image by image, with a new gradient at every epsilon.

    Its objective is the true logit, its clip also that to the image's own range.
    """
    predicted = torch.empty(len(epsilons), len(images), dtype=torch.int64)
    for i, (image, label) in enumerate(zip(images.split(1), labels.split(1), strict=True)):
        for e, epsilon in enumerate(epsilons):
            leaf = image.detach().clone().requires_grad_(True)
            model.zero_grad()
            attacks.true_logit(model(leaf), label).backward()
            bounds = attacks.clip_bounds(image, model, "image")
            changed = attacks.perturb(image, leaf.grad.sign(), epsilon, bounds)
            predicted[e, i] = _predicted(model, changed)[0]
    return predicted


def _predicted(model: Classifier, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(images).argmax(dim=1)


LIBRARIES: dict[str, Contender] = {
    "foolbox": foolbox,
    "torchattacks": torchattacks,
    "cleverhans": cleverhans,
}


def installed() -> dict[str, Contender]:
    """Those of the libraries that are there to be measured."""
    return {
        name: contender
        for name, contender in LIBRARIES.items()
        if importlib.util.find_spec(name) is not None
    }

"""What else might make a pass faster, and how many predictions it changes.

Measured on one core, against the pass as a sweep does it: float32, channels last, without autograd.
"""

import statistics
import time
from collections.abc import Callable

import torch

from fgsm_lib import attacks
from fgsm_lib.bench import passes
from fgsm_lib.classifiers import Classifier

USED = "as it is used"

# Takes epsilon; returns the logits of the attacked images.
Pass = Callable[[float], torch.Tensor]


def measure(
    classifier: Classifier,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilons: list[float],
    rounds: int,
) -> list[dict[str, object]]:
    """One row per variant: milliseconds per image and pass, and predictions that it changes.

    ``first_seconds`` is what its first round took, compilation included. A variant that cannot run
    here has the reason as ``error`` instead.
    """
    torch.set_num_threads(1)
    images = images.contiguous(memory_format=torch.channels_last)
    gradient, _ = attacks.input_gradient(classifier, images, labels)
    classes, times, errors, first = {}, {}, {}, {}
    variants = _variants(classifier, images, gradient.sign())
    for name, one_pass in variants.items():
        start = time.perf_counter()
        try:  # warms up, and compiles
            with torch.inference_mode():
                classes[name] = torch.stack([one_pass(epsilon).argmax(1) for epsilon in epsilons])
            first[name] = time.perf_counter() - start
        except Exception as error:  # a missing compiler raises whatever it likes
            errors[name] = str(error).strip().splitlines()[0][:200]
    for _ in range(rounds):
        for name in classes:
            start = time.perf_counter()
            with torch.inference_mode():
                for epsilon in epsilons:
                    variants[name](epsilon)
            times.setdefault(name, []).append(time.perf_counter() - start)
    count = len(images) * len(epsilons)
    rows = [
        {
            "name": name,
            "milliseconds": statistics.median(times[name]) * 1000 / count,
            "first_seconds": first[name],
            "changed": int((classes[name] != classes[USED]).sum()),
            "predictions": count,
        }
        for name in classes
    ]
    return rows + [{"name": name, "error": reason} for name, reason in errors.items()]


def _variants(classifier: Classifier, images: torch.Tensor, signs: torch.Tensor) -> dict[str, Pass]:
    plain = passes.laid_out(classifier, channels_last=False)
    order = torch.contiguous_format
    plain_images, plain_signs = (t.contiguous(memory_format=order) for t in (images, signs))
    compiled = torch.compile(classifier, dynamic=False)

    def changed(epsilon: float) -> torch.Tensor:
        return attacks.perturb(images, signs, epsilon)

    def with_autograd(epsilon: float) -> torch.Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            return classifier(changed(epsilon))

    def bfloat16(epsilon: float) -> torch.Tensor:
        with torch.autocast(images.device.type, dtype=torch.bfloat16):
            return classifier(changed(epsilon)).float()

    return {
        USED: lambda epsilon: classifier(changed(epsilon)),
        "without inference mode": with_autograd,
        "NCHW": lambda epsilon: plain(attacks.perturb(plain_images, plain_signs, epsilon)),
        "bfloat16": bfloat16,
        "torch.compile": lambda epsilon: compiled(changed(epsilon)),
    }


def decoding_milliseconds(read: Callable[[int], object], images: int) -> float:
    """How long it takes to read and resize an image, on one core."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    for sample in range(images):
        read(sample)
    return (time.perf_counter() - start) * 1000 / images

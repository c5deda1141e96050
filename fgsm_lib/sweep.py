"""The epsilon-sweep: attack every image of a set at every epsilon, into one tidy table.

x̃(ε) = clip(x + ε · sign g), and g does not depend on ε. So a sweep over E values costs one
backward pass and E forward passes per image, and the pass at ε = 0 is the gradient's own.

This module computes the rows; ``shards`` keeps them.
"""

import ast
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch

from fgsm_lib import attacks, classifiers, datasets
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.errors import InputError

SCHEMA = pa.schema(
    [
        pa.field("sample", pa.int32(), metadata={"is": "row of the data set, from 0"}),
        pa.field("label", pa.int16(), metadata={"is": "true class, from 0"}),
        pa.field("epsilon_255", pa.float64(), metadata={"is": "epsilon in units of 1/255"}),
        pa.field("predicted_class", pa.int16(), metadata={"is": "most probable class, from 0"}),
        pa.field("confidence", pa.float32(), metadata={"is": "largest softmax probability"}),
        pa.field("confidence_true", pa.float32(), metadata={"is": "probability of the label"}),
        pa.field("correct", pa.bool_(), metadata={"is": "predicted_class equals label"}),
        pa.field("correct_top5", pa.bool_(), metadata={"is": "label among the top-5 classes"}),
        pa.field("top5_classes", pa.list_(pa.int16()), metadata={"is": "most probable first"}),
        pa.field("top5_confidences", pa.list_(pa.float32()), metadata={"is": "of those classes"}),
        pa.field("zero_gradients", pa.int32(), metadata={"is": "pixel values whose sign is 0"}),
    ]
)


@dataclass(frozen=True)
class SweepSettings:
    """What is swept.

    ``direction`` "random" replaces the gradient's sign by a seeded coin. With ``eight_bit`` the
    classifier sees what a file with 8 bits a channel would keep of the attacked image; the
    gradient is that of the image as it is.
    """

    epsilon_255: tuple[float, ...]
    objective: str = "cross_entropy"
    clip: attacks.Clip = "valid"
    direction: Literal["gradient", "random"] = "gradient"
    eight_bit: bool = False

    def __post_init__(self) -> None:
        if not self.epsilon_255:
            raise InputError("epsilon_255 is empty; expected at least one number.")
        for value in self.epsilon_255:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value >= 0):
                raise InputError(f"epsilon_255 is {value!r}; expected numbers of at least 0.")
        if self.objective not in attacks.OBJECTIVES:
            raise InputError(
                f"objective is {self.objective!r}; expected {' or '.join(attacks.OBJECTIVES)}."
            )
        if self.clip not in ("valid", "image"):
            raise InputError(f"clip is {self.clip!r}; expected 'valid' or 'image'.")
        if self.direction not in ("gradient", "random"):
            raise InputError(f"direction is {self.direction!r}; expected 'gradient' or 'random'.")
        if not isinstance(self.eight_bit, bool):
            raise InputError(f"eight_bit is {self.eight_bit!r}; expected True or False.")


def sweep_samples(
    dataset: PhotoDataset,
    classifier: Classifier,
    settings: SweepSettings,
    samples: Sequence[int],
    batch: int = 4,
) -> pa.Table:
    """The rows of some samples: one per sample and epsilon, in the columns of ``SCHEMA``.

    Raises InputError where the classifier is in training mode or returns something else than
    finite logits, one per class name.
    """
    if any(module.training for module in classifier.modules()):
        raise InputError(
            f"the classifier {classifier.name} is in training mode; expected evaluation mode "
            "(call its eval())."
        )
    batches = []
    for start in range(0, len(samples), batch):
        chosen = samples[start : start + batch]
        pixels, labels = zip(*(dataset[sample] for sample in chosen), strict=True)
        images = torch.stack(pixels).to(classifier.device, memory_format=torch.channels_last)
        labels = torch.tensor(labels, device=classifier.device)
        batches.append(_sweep_batch(classifier, settings, list(chosen), images, labels))
    return pa.concat_tables(batches)


def _sweep_batch(
    classifier: Classifier,
    settings: SweepSettings,
    samples: list[int],
    images: torch.Tensor,
    labels: torch.Tensor,
) -> pa.Table:
    if settings.direction == "gradient":
        gradient, clean_logits = attacks.input_gradient(
            classifier, images, labels, settings.objective
        )
        direction = gradient.sign()
    else:
        clean_logits = None
        signs = [attacks.random_signs(x, s) for x, s in zip(images, samples, strict=True)]
        direction = torch.stack(signs).contiguous(memory_format=torch.channels_last)
    bounds = attacks.clip_bounds(images, classifier, settings.clip)
    zero_gradients = (direction == 0).sum(dim=(1, 2, 3)).cpu().numpy()

    columns, changed = [], torch.empty_like(images)
    for epsilon_255 in settings.epsilon_255:
        if epsilon_255 == 0 and clean_logits is not None and not settings.eight_bit:
            logits = clean_logits
        else:
            with torch.inference_mode():
                attacks.perturb(images, direction, epsilon_255 / 255, bounds, out=changed)
                logits = classifier(attacks.eight_bit(changed) if settings.eight_bit else changed)
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"the classifier {classifier.name} returned NaN or infinite logits for one of the "
                f"samples {samples} at epsilon {epsilon_255}/255; expected finite numbers."
            )
        columns.append(_outcome(logits, labels))
    return _tidy(samples, labels.cpu().numpy(), settings.epsilon_255, columns, zero_gradients)


def _outcome(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, np.ndarray]:
    """What the classifier says about a batch: one entry per column, one row per image."""
    probabilities = logits.softmax(dim=1)
    confidences, classes = probabilities.topk(min(5, logits.shape[1]))
    outcome = {
        "predicted_class": classes[:, 0],
        "confidence": confidences[:, 0],
        "confidence_true": probabilities.gather(1, labels[:, None])[:, 0],
        "correct": classes[:, 0] == labels,
        "correct_top5": (classes == labels[:, None]).any(dim=1),
        "top5_classes": classes,
        "top5_confidences": confidences,
    }
    return {name: values.cpu().numpy() for name, values in outcome.items()}


def _tidy(
    samples: list[int],
    labels: np.ndarray,
    epsilon_255: Sequence[float],
    columns: list[dict[str, np.ndarray]],
    zero_gradients: np.ndarray,
) -> pa.Table:
    """Per-epsilon columns -> rows ordered by sample, then by epsilon."""
    count = len(epsilon_255)
    table = {
        "sample": np.repeat(samples, count),
        "label": np.repeat(labels, count),
        "epsilon_255": np.tile(np.asarray(epsilon_255, dtype=float), len(samples)),
        "zero_gradients": np.repeat(zero_gradients, count),
    }
    for name in columns[0]:
        # (epsilon, image, ...) -> (image, epsilon, ...) -> one row each
        stacked = np.stack([column[name] for column in columns]).swapaxes(0, 1)
        table[name] = list(stacked.reshape(-1, *stacked.shape[2:]))
    return pa.table({field.name: table[field.name] for field in SCHEMA}, schema=SCHEMA)


def provenance(
    dataset: PhotoDataset, classifier: Classifier, settings: SweepSettings
) -> dict[str, object]:
    """Everything a sweep's numbers depend on, and a fingerprint of the whole."""
    origin = {
        "settings": asdict(settings),
        "images": len(dataset),
        "data_sha256": dataset.sha256(),
        "classifier": classifier.name,
        "preprocessing": repr(classifier.preprocessing),
        "normalization": [classifier.mean.flatten().tolist(), classifier.std.flatten().tolist()],
        "weights_sha256": classifier.sha256,
        "code_sha256": code_sha256(),
    }
    text = json.dumps(origin, sort_keys=True)
    return {"fingerprint": hashlib.sha256(text.encode()).hexdigest(), **origin}


def code_sha256() -> str:
    """A fingerprint of the code that decides a sweep's numbers; comments do not count."""
    digest = hashlib.sha256()
    for path in (datasets.__file__, classifiers.__file__, attacks.__file__, __file__):
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)

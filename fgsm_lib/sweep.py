"""The epsilon-sweep: attack pictures at every epsilon, into one tidy table.

x̃(ε) = clip(x + ε · sign g), and g does not depend on ε. So a sweep over E values costs one
backward pass and E forward passes a picture, and the pass at ε = 0 is the gradient's own. On a CPU
the forward passes run in ONNX Runtime where that gives the same answers in less time.

This module computes rows; ``store`` keeps them.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal
from unittest.mock import patch
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import torch

from fgsm_lib import InputError, attacks
from fgsm_lib.checks import GradientError
from fgsm_lib.classifiers import Classifier
from fgsm_lib.pictures import Pictures
from fgsm_lib.words import first_line

# Pictures a pass. On a CPU 4 would be 3% faster, and take 1.6 GB in place of 1.4 with Lite0.
BATCH = {"cpu": 3, "cuda": 128, "mps": 32}
TOP = 5
REPAID = 400  # forward passes that repay the second or two of an export
TIE = 1e-4  # where two probabilities are closer than this, float rounding may decide

SCHEMA = pa.schema(
    {
        "sample": pa.int32(),  # number in the set
        "label": pa.int32(),  # true class, from 0
        "epsilon_255": pa.float64(),  # epsilon in units of 1/255
        "predicted_class": pa.int32(),  # most probable class, from 0
        "confidence": pa.float32(),  # largest softmax probability
        "confidence_true": pa.float32(),  # probability of the label
        "correct": pa.bool_(),  # predicted_class equals label
        "correct_top5": pa.bool_(),  # label among 5; null for five classes or fewer
        "top_classes": pa.list_(pa.int32()),  # up to 5, best first
        "top_confidences": pa.list_(pa.float32()),  # of those classes
        "margin": pa.float32(),  # z_y - largest other logit
        "log_odds": pa.float32(),  # z_y - logsumexp of the others
        "gradient_l1": pa.float32(),  # sum of |dJ/dx|; NaN for random signs
        "zero_gradients": pa.int32(),  # pixel values whose sign is 0
        "attacked": pa.bool_(),  # the direction is not 0 everywhere
    }
)


@dataclass(frozen=True)
class SweepSettings:
    """What is swept.

    ``direction`` "random" replaces the gradient's sign by a seeded coin. With ``bits`` = 8 the
    classifier sees what a file with 8 bits a channel would keep of the attacked picture; the
    gradient is that of the picture as it is.
    """

    epsilon_255: tuple[float, ...]
    objective: str = "cross_entropy"
    clip: attacks.Clip = "valid"
    direction: Literal["gradient", "random"] = "gradient"
    bits: Literal[8] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon_255", _grid(self.epsilon_255))
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str | int | None) or value not in known:
                raise InputError(f"{name} is {value!r}; expected {' or '.join(map(repr, known))}.")

    @property
    def attack(self) -> str:
        """All but the grid, as the name of a kind of table."""
        kind = f"{self.direction}-{self.objective}-{self.clip}"
        return f"{kind}-bits{self.bits}" if self.bits else kind


CHOICES = {
    "objective": tuple(attacks.OBJECTIVES),
    "clip": ("valid", "image"),
    "direction": ("gradient", "random"),
    "bits": (8, None),
}


def _grid(epsilon_255: Sequence[float]) -> tuple[float, ...]:
    """Each ε once, in increasing order; 0.1 + 0.2 is 0.3."""
    try:
        given = np.asarray(epsilon_255)
    except (TypeError, ValueError, RuntimeError):  # ragged, or a tensor that is elsewhere
        given = np.empty(0)
    if given.dtype.kind in "iuf" and given.ndim == 1 and given.size:
        grid = np.unique(given.astype(float).round(9)).tolist()
        if all(0 <= epsilon <= 255 for epsilon in grid):  # a NaN is neither
            return tuple(grid)
    raise InputError(f"epsilon_255 is {epsilon_255!r}; expected numbers from 0 to 255, in 1/255.")


# --- rows ----------------------------------------------------------------------------------------

Forward = Callable[[torch.Tensor], torch.Tensor]


def batch_of(
    pictures: Pictures, classifier: Classifier, samples: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, float32 (N, C, H, W) in [0, 1], and labels, int64 (N,), where the classifier is."""
    images = [classifier.to_pixels(pictures.read(sample)) for sample in samples]
    labels = [pictures.picture(sample).label for sample in samples]
    return torch.stack(images).to(classifier.device), torch.tensor(labels, device=classifier.device)


@contextlib.contextmanager
def naming(pictures: Pictures, samples: Sequence[int]) -> Iterator[None]:
    """Inside, a gradient that is no number is told with the name of the picture."""
    try:
        yield
    except GradientError as error:
        row = pictures.picture(samples[error.images[0]])
        raise GradientError([f"sample {row.sample} ({row.name})"]) from None


def sweep_samples(
    pictures: Pictures,
    classifier: Classifier,
    settings: SweepSettings,
    samples: Sequence[int],
    forward: Forward | None = None,
) -> pa.Table:
    """The rows of one batch: one per sample and epsilon, in the columns of ``SCHEMA``.

    ``forward`` computes logits in place of the classifier, see ``onnx_forward``. Raises InputError
    where the classifier returns something else than finite logits.
    """
    forward = forward or classifier
    layout = classifier.layout if forward is classifier else torch.contiguous_format
    images, labels = batch_of(pictures, classifier, samples)
    if settings.direction == "random":
        signs = [attacks.random_signs(x, s) for x, s in zip(images, samples, strict=True)]
        direction, size = torch.stack(signs), torch.full((len(samples),), math.nan)
    else:
        with naming(pictures, samples):
            gradient, clean_logits = attacks.input_gradient(
                classifier, images, labels, settings.objective
            )
        direction, size = gradient.sign(), gradient.abs().sum(dim=(1, 2, 3))
    direction = direction.contiguous(memory_format=layout)
    images = images.contiguous(memory_format=layout)
    bounds = attacks.clip_bounds(images, classifier, settings.clip)

    stacked, changed = [], torch.empty_like(images)
    for epsilon_255 in settings.epsilon_255:
        if epsilon_255 == 0 and settings.direction == "gradient" and not settings.bits:
            stacked.append(clean_logits)
            continue
        with torch.no_grad():
            attacks.perturb(images, direction, epsilon_255 / 255, bounds, out=changed)
            stacked.append(forward(attacks.eight_bit(changed) if settings.bits else changed))
    logits = torch.stack(stacked, dim=1)  # (N, E, classes)
    if not bool(logits.isfinite().all()):
        raise InputError(
            f"the classifier {classifier.name} returned NaN or infinite logits for one of the "
            f"samples {list(samples)}; expected finite numbers."
        )
    zeros = (direction == 0).sum(dim=(1, 2, 3))
    facts = {
        "sample": torch.tensor(list(samples))[:, None],
        "label": labels[:, None],
        "epsilon_255": torch.tensor([settings.epsilon_255], dtype=torch.float64),
        "gradient_l1": size[:, None],
        "zero_gradients": zeros[:, None],
        "attacked": zeros[:, None] < images[0].numel(),
    }
    return _tidy(facts | _outcome(logits, labels))


def _outcome(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """What logits (N, E, classes) say: one entry per column, each (N, E) or (N, E, 5).

    Of five classes or fewer there is no top-5: it would always hold the label.
    """
    probabilities = logits.softmax(dim=2)
    confidences, classes = probabilities.topk(min(TOP, logits.shape[2]))
    true = labels[:, None, None].expand(*logits.shape[:2], 1)
    true_logit = logits.gather(2, true)[..., 0]
    others = logits.scatter(2, true, -math.inf)
    top5 = {} if logits.shape[2] <= TOP else {"correct_top5": (classes == true).any(dim=2)}
    return top5 | {
        "predicted_class": classes[..., 0],
        "confidence": confidences[..., 0],
        "confidence_true": probabilities.gather(2, true)[..., 0],
        "correct": classes[..., 0] == labels[:, None],
        "top_classes": classes,
        "top_confidences": confidences,
        "margin": true_logit - others.amax(dim=2),
        "log_odds": true_logit - others.logsumexp(dim=2),
    }


def _tidy(values: dict[str, torch.Tensor]) -> pa.Table:
    """Values (N, E, ...), or (N, 1) and (1, E) -> rows ordered by sample, then by epsilon."""
    shape = values["correct"].shape
    rows = {
        name: list(each.expand(*shape, *each.shape[2:]).flatten(0, 1).cpu().numpy())
        for name, each in values.items()
    }
    return pa.table({"correct_top5": [None] * shape.numel()} | rows, schema=SCHEMA)


# --- forward passes in ONNX Runtime --------------------------------------------------------------


class OnnxForward:
    """Logits of a batch of pixels, float32 (N, C, H, W) on the CPU, by an exported classifier.

    One session serves all worker threads: each of them computes in its own thread.
    """

    def __init__(self, model: bytes):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        self.model = model

    def __reduce__(self) -> tuple:  # to a worker of a cluster goes the model, not the session
        return OnnxForward, (self.model,)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.session.run(None, {"pixels": pixels.numpy()})[0])


# One export a classifier; each sweep probes it anew, so one of another state is never used.
_EXPORTS: WeakKeyDictionary[Classifier, Forward] = WeakKeyDictionary()


def onnx_forward(classifier: Classifier, pictures: Pictures, passes: int) -> tuple[Forward, str]:
    """What computes the forward passes of a sweep, and its name for the record.

    ONNX Runtime, if the classifier is a float32 one on the CPU, the sweep is long enough to repay
    the export, and a probe of real pictures, clean and attacked, gives the same classes (ties
    aside) and confidences within 1e-4. Else the classifier itself; the name then says why.
    """
    if classifier.device.type != "cpu" or classifier.dtype != torch.float32:
        return classifier, f"torch on {classifier.device.type}, {classifier.dtype}"
    if passes < REPAID:
        return classifier, "torch, for so few passes"
    try:
        images, _ = batch_of(pictures, classifier, pictures.samples[:2])
        signs = torch.stack([attacks.random_signs(x, i) for i, x in enumerate(images)])
        images = torch.cat([images, attacks.perturb(images, signs, 8 / 255)])
        if classifier not in _EXPORTS:
            _EXPORTS[classifier] = OnnxForward(_exported(classifier, images))
        forward = _EXPORTS[classifier]
        with torch.no_grad():
            theirs, ours = (f(images).softmax(1).topk(2) for f in (forward, classifier))
    except Exception as error:  # exporters and runtimes raise whatever they meet
        said = f"{type(error).__name__}: {first_line(error)[:80]}"
        return classifier, f"torch, as ONNX Runtime failed ({said})"
    tie = ours.values[:, 0] - ours.values[:, 1] < TIE
    same = (theirs.indices[:, 0] == ours.indices[:, 0]) | tie
    if not bool(same.all() and ((theirs.values - ours.values).abs() <= TIE).all()):
        return classifier, "torch, as ONNX Runtime gave other answers"
    return forward, "ONNX Runtime"


def _exported(classifier: Classifier, images: torch.Tensor) -> bytes:
    """The classifier as an ONNX model with a batch of any size; raises where that is in doubt."""
    model, any_size = BytesIO(), {0: "n"}
    silent = patch.object(torch._C, "_jit_onnx_log", lambda *graph: None)  # printed at a failure
    with silent, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        torch.onnx.export(
            classifier,
            (images[:2],),
            model,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_axes={"pixels": any_size, "logits": any_size},
            dynamo=False,  # the other exporter takes ten times as long
        )
    if any(issubclass(warning.category, torch.jit.TracerWarning) for warning in heard):
        raise RuntimeError("a branch hangs on the pixels")
    return model.getvalue()

"""The minimal adversarial epsilon of each image, and what could have foretold it.

The sweep says between which two epsilons of its grid the prediction of an image first turns wrong;
bisection narrows that down to a hundredth of 1/255. An image that is never wrong on the grid is
*right-censored*: its minimal epsilon is known to lie above the largest one, and nothing more.

FGSM is one step, so a larger epsilon may be right again. What is found is the first turn that the
grid sees, not a border between two halves of the axis.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from fgsm_lib import attacks
from fgsm_lib.analysis import clean, initially_correct, smallest_fooling_epsilon
from fgsm_lib.calibrate import calibrated, in_workers
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.files import replacing
from fgsm_lib.sweep import SweepSettings

RESOLUTION_255 = 0.01

SCHEMA = pa.schema(
    [
        pa.field("sample", pa.int32(), metadata={"is": "row of the data set, from 0"}),
        pa.field("confidence", pa.float32(), metadata={"is": "of the clean image"}),
        pa.field("margin", pa.float32(), metadata={"is": "z_y - max other z, clean image"}),
        pa.field("predicted_epsilon_255", pa.float64(), metadata={"is": "margin / |∇margin|_1"}),
        pa.field("epsilon_255", pa.float64(), metadata={"is": "minimal, or the largest tried"}),
        pa.field("fooled", pa.bool_(), metadata={"is": "false: right-censored at epsilon_255"}),
        pa.field("random_fooled", pa.bool_(), metadata={"is": "random signs fool there, too"}),
    ]
)


def write_minimal(
    dataset: PhotoDataset,
    classifier: Classifier,
    settings: SweepSettings,
    table: pd.DataFrame,
    path: Path,
    fingerprint: str,
) -> None:
    """Write one row per initially correct image of a sweep ``table``, in ``SCHEMA``'s columns.

    The file appears only when it is complete, with ``fingerprint`` in its metadata.
    """
    setting = calibrated(classifier, path.with_name("calibration.json"))
    # Images that need as many halvings as their neighbors waste none of a batch.
    todo = brackets(table).sort_values(["fooled", "width", "sample"])
    batches = [todo.iloc[i : i + setting.batch] for i in range(0, len(todo), setting.batch)]

    def measure(rows: pd.DataFrame) -> pa.Table:
        return minimal_epsilons(dataset, classifier, settings, rows)

    parts = [SCHEMA.empty_table()]
    with tqdm(total=len(todo), desc="minimal epsilon", unit="image") as progress:
        for part in in_workers(setting.workers, measure, ((rows,) for rows in batches)):
            parts.append(part)
            progress.update(len(part))
    measured = pa.concat_tables(parts).sort_by("sample")
    measured = measured.replace_schema_metadata({"fingerprint": fingerprint})
    with replacing(path) as unfinished:
        pq.write_table(measured, unfinished, write_page_checksum=True)


def minimal_fingerprint(sweep_fingerprint: str, every: int) -> str:
    """What the table depends on: the sweep, of every how many images one is in it, this module."""
    digest = hashlib.sha256(f"{sweep_fingerprint} {every}".encode())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


def brackets(table: pd.DataFrame) -> pd.DataFrame:
    """Where the minimal epsilon of each initially correct image lies, as far as the grid tells.

    Columns: sample, low (the last epsilon before the first wrong one), high (the first wrong one),
    width and fooled. Where none is wrong, low and high are both the largest epsilon.
    """
    samples = initially_correct(table)
    first = smallest_fooling_epsilon(table, samples).to_numpy(dtype=float)
    grid = np.unique(table["epsilon_255"])
    fooled = np.isfinite(first)
    high = np.where(fooled, first, grid.max(initial=0))
    low = np.where(fooled, grid[np.searchsorted(grid, high) - 1], high) if len(high) else high
    return pd.DataFrame(
        {"sample": samples, "low": low, "high": high, "width": high - low, "fooled": fooled}
    ).join(clean(table)["confidence"], on="sample")


def minimal_epsilons(
    dataset: PhotoDataset, classifier: Classifier, settings: SweepSettings, rows: pd.DataFrame
) -> pa.Table:
    """Refine some rows of ``brackets``, all in one batch.

    ``epsilon_255`` is the upper end of the last bracket: the prediction is wrong there, and right
    at most ``RESOLUTION_255`` below.
    """
    samples: Sequence[int] = rows["sample"].tolist()
    pixels, labels = zip(*(dataset[sample] for sample in samples), strict=True)
    images = torch.stack(pixels).to(classifier.device, memory_format=torch.channels_last)
    labels = torch.tensor(labels, device=classifier.device)
    bounds = attacks.clip_bounds(images, classifier, settings.clip)
    start = before_the_attack(classifier, images, labels, settings.objective)

    def wrong(direction: torch.Tensor, epsilon_255: np.ndarray) -> np.ndarray:
        epsilon = torch.from_numpy(epsilon_255 / 255)
        with torch.inference_mode():
            logits = classifier(attacks.perturb(images, direction, epsilon, bounds))
        return (logits.argmax(dim=1) != labels).cpu().numpy()

    low, high = (rows[name].to_numpy(dtype=float) for name in ("low", "high"))
    while (open_ := high - low > RESOLUTION_255).any():
        middle = (low + high) / 2
        fooled = wrong(start.direction, middle)
        low, high = np.where(open_ & ~fooled, middle, low), np.where(open_ & fooled, middle, high)

    signs = [attacks.random_signs(x, sample) for x, sample in zip(images, samples, strict=True)]
    columns = {
        "sample": samples,
        "confidence": rows["confidence"].to_numpy(),
        "margin": start.margin.cpu().numpy(),
        "predicted_epsilon_255": first_order_epsilon(start.margin, start.margin_gradient) * 255,
        "epsilon_255": high,
        "fooled": rows["fooled"].to_numpy(),
        "random_fooled": wrong(torch.stack(signs), high),
    }
    return pa.table(columns, schema=SCHEMA)


class Start(NamedTuple):
    """What is known of N clean images: the direction of the attack, in {-1, 0, 1} and shaped like
    the images; the logit margin (N,); and the gradient of the margin, shaped like the images."""

    direction: torch.Tensor
    margin: torch.Tensor
    margin_gradient: torch.Tensor


def before_the_attack(
    classifier: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    objective: str = "cross_entropy",
) -> Start:
    r"""FGSM's direction, and the logit margin $m = z_y - \max_{j \ne y} z_j$ with $\nabla_x m$.

    The classifier is right where the margin is positive. One forward pass serves both gradients;
    the direction is the sign of ``attacks.input_gradient``.

    Args:
        classifier: takes pixels, returns logits (N, classes); must be in evaluation mode.
        images: float32 (N, 3, H, W) in [0, 1].
        labels: int64 (N,), 0-indexed classes.
        objective: a key of ``attacks.OBJECTIVES``.
    """
    images = images.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = classifier(images)
        others = logits.scatter(1, labels[:, None], -torch.inf)
        margin = logits.gather(1, labels[:, None])[:, 0] - others.amax(dim=1)
        loss = attacks.OBJECTIVES[objective](logits, labels)
        (gradient,) = torch.autograd.grad(loss, images, retain_graph=True)
        (margin_gradient,) = torch.autograd.grad(margin.sum(), images)
    return Start(gradient.sign(), margin.detach(), margin_gradient)


def first_order_epsilon(margin: torch.Tensor, gradient: torch.Tensor) -> np.ndarray:
    r"""$\hat\epsilon = m / \|\nabla_x m\|_1$: where the margin would be gone if it were linear.

    A step of epsilon along $-\mathrm{sign}(\nabla_x m)$ lowers a linear margin by
    $\epsilon\,\|\nabla_x m\|_1$, and no other step of that L∞ size lowers it more. A fraction of
    [0, 1], float64 (N,); infinite where the gradient is zero. The clip to valid pixels is ignored.
    """
    norm = gradient.double().abs().sum(dim=(1, 2, 3)).cpu().numpy()
    lead = margin.double().cpu().numpy()
    return np.divide(lead, norm, out=np.full_like(norm, np.inf), where=norm > 0)

"""The epsilon-sweep: attack every image of a set at every epsilon, into one tidy table.

x̃(ε) = clip(x + ε · sign g), and g does not depend on ε. So a sweep over E values costs one
backward pass and E forward passes per image, and the pass at ε = 0 is the gradient's own.

The work is cut into shards of a few images, each written to a file of its own as soon as it is
done: a sweep that was interrupted goes on where it stopped and ends with the same table, byte for
byte. A shard that is damaged is computed again.
"""

import ast
import hashlib
import importlib.metadata
import json
import math
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from fgsm_lib import attacks, classifiers, datasets
from fgsm_lib.calibrate import Setting, calibrated, in_workers
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.errors import InputError
from fgsm_lib.files import replacing

SHARD_IMAGES = 16

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


def write_sweep(
    dataset: PhotoDataset, classifier: Classifier, settings: SweepSettings, path: Path
) -> None:
    """Sweep the whole set and write the table to ``path``, with its provenance beside it.

    Shards that an earlier, interrupted call left behind are taken over if they were computed
    from the same data, weights, settings and code. The table appears only when it is complete.

    Raises InputError where another sweep is writing the same table.
    """
    lock = FileLock(path.with_name(f"{path.name}.lock"))  # the system frees it if we are killed
    try:
        with lock.acquire(timeout=0):
            _write_sweep(dataset, classifier, settings, path)
    except Timeout:
        raise InputError(
            f"{path}: another sweep is running and writes this table; expected to be alone. "
            "Wait until it is done."
        ) from None


def _write_sweep(
    dataset: PhotoDataset, classifier: Classifier, settings: SweepSettings, path: Path
) -> None:
    origin = provenance(dataset, classifier, settings)
    setting = calibrated(classifier, path.with_name("calibration.json"))
    print(
        f"{classifier.name} on {classifier.device}: {setting.workers} workers, batches of "
        f"{setting.batch} ({setting.milliseconds:.1f} ms per image and forward pass)",
        flush=True,
    )
    # The last bits of a float depend on the batch size: shards of another one do not mix in.
    shards = path.parent / "shards" / f"{origin['fingerprint'][:16]}-{setting.batch}"
    shards.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(dataset), SHARD_IMAGES)
    files = [shards / f"{start:07d}.parquet" for start in starts]

    def finish(start: int, file: Path) -> int:
        samples = range(start, min(start + SHARD_IMAGES, len(dataset)))
        if not _is_whole(file, samples, settings):
            table = sweep_samples(dataset, classifier, settings, samples, setting.batch)
            _write_table(table, file)
        return len(samples)

    began = time.perf_counter()
    with tqdm(total=len(dataset), desc=f"{settings.direction} signs", unit="image") as progress:
        for done in in_workers(setting.workers, finish, zip(starts, files, strict=True)):
            progress.update(done)
    # The table is the sign that all is there, so its provenance is written first.
    # The folder of a table is named after its profile.
    described = {"profile": path.parent.name, **origin}
    described |= _circumstances(setting, time.perf_counter() - began)
    with replacing(path.with_suffix(".json")) as unfinished:
        unfinished.write_text(json.dumps(described, indent=2) + "\n")
    _write_tables(files, path, origin)
    shutil.rmtree(shards)


def sweep_samples(
    dataset: PhotoDataset,
    classifier: Classifier,
    settings: SweepSettings,
    samples: Sequence[int],
    batch: int = 4,
) -> pa.Table:
    """The rows of some samples: one per sample and epsilon, in the columns of ``SCHEMA``."""
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

    columns = []
    for epsilon_255 in settings.epsilon_255:
        if epsilon_255 == 0 and clean_logits is not None and not settings.eight_bit:
            logits = clean_logits
        else:
            with torch.inference_mode():
                changed = attacks.perturb(images, direction, epsilon_255 / 255, bounds)
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


# Those that a number could depend on: Pillow decodes and resizes.
_PACKAGES = ("torch", "torchvision", "pillow", "numpy", "pyarrow")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def _circumstances(setting: Setting, seconds: float) -> dict[str, object]:
    """What a sweep's numbers should not depend on, for the record."""
    return {
        "calibration": asdict(setting),
        "seconds": round(seconds, 1),
        "device": str(
            torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
        ),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
    }


def _write_table(table: pa.Table, path: Path) -> None:
    with replacing(path) as unfinished:
        pq.write_table(table, unfinished, write_page_checksum=True)


def _is_whole(file: Path, samples: Sequence[int], settings: SweepSettings) -> bool:
    """Whether a shard holds every row of its samples, each byte as it was written."""
    try:
        table = pq.read_table(file, page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        return False  # missing, cut off or damaged
    expected = np.repeat(samples, len(settings.epsilon_255)).tolist()
    return table.schema.equals(SCHEMA) and table["sample"].to_pylist() == expected


def _write_tables(files: Sequence[Path], path: Path, origin: dict[str, object]) -> None:
    """Concatenate shards, one in memory at a time; the fingerprint travels inside the file."""
    schema = SCHEMA.with_metadata({"fingerprint": origin["fingerprint"]})
    with (
        replacing(path) as unfinished,
        pq.ParquetWriter(unfinished, schema, write_page_checksum=True) as writer,
    ):
        for file in files:
            writer.write_table(pq.read_table(file).cast(schema))


def read_table(path: Path, fingerprint: str) -> pd.DataFrame | None:
    """The finished table with this fingerprint; None where it is missing or damaged."""
    if read_fingerprint(path) != fingerprint:
        return None
    try:
        return pd.read_parquet(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        return None


def read_provenance(path: Path) -> dict:
    """What is said about a finished table in the file beside it; empty if that is damaged."""
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_fingerprint(path: Path) -> str | None:
    """The fingerprint of a finished sweep table; None where there is none."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):  # damaged bytes provoke either
        return None
    fingerprint = metadata.get(b"fingerprint")
    # A damaged one equals no fingerprint, so the table is computed again.
    return fingerprint.decode(errors="replace") if fingerprint else None

"""A sweep on its way into a file: in shards, so that nothing computed is lost or computed again.

The work is cut into shards of a few images, each written to a file of its own as soon as it is
done: a sweep that was interrupted goes on where it stopped and ends with the same table, byte for
byte. A shard that is damaged is computed again. Where the finished table of another grid of ε is
there, its rows are taken over and only the new ε are computed.
"""

import hashlib
import importlib.metadata
import json
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from fgsm_lib.calibrate import Setting, calibrated, in_workers, is_out_of_memory, remember
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.errors import InputError
from fgsm_lib.files import replacing
from fgsm_lib.sweep import SCHEMA, SweepSettings, provenance, sweep_samples

SHARD_IMAGES = 16
# Those that a number could depend on: Pillow decodes and resizes.
_PACKAGES = ("torch", "torchvision", "pillow", "numpy", "pyarrow")


def write_sweep(
    dataset: PhotoDataset,
    classifier: Classifier,
    settings: SweepSettings,
    path: Path,
    scheduler: str | None = None,
) -> None:
    """Sweep the whole set and write the table to ``path``, with its provenance beside it.

    ``scheduler`` is the address of a Dask scheduler whose workers compute the shards, see
    ``cluster``; without it, they are computed here.

    Shards that an earlier, interrupted call left behind are taken over if they were computed
    from the same data, weights, settings and code, and so are the rows of a table at ``path`` that
    differs in its epsilons only. The table appears only when it is complete.

    Raises InputError where another sweep is writing the same table.
    """
    lock = FileLock(path.with_name(f"{path.name}.lock"))  # the system frees it if we are killed
    try:
        with lock.acquire(timeout=0):
            _write_sweep(dataset, classifier, settings, path, scheduler)
    except Timeout:
        raise InputError(
            f"{path}: another sweep is running and writes this table; expected to be alone. "
            "Wait until it is done."
        ) from None


def _write_sweep(
    dataset: PhotoDataset,
    classifier: Classifier,
    settings: SweepSettings,
    path: Path,
    scheduler: str | None,
) -> None:
    began = time.perf_counter()
    origin = provenance(dataset, classifier, settings)
    calibration = path.with_name("calibration.json")
    setting = calibrated(classifier, calibration)
    while True:
        print(
            f"{classifier.name} on {classifier.device}: {setting.workers} workers, batches of "
            f"{setting.batch} ({setting.milliseconds:.1f} ms per image and forward pass)",
            flush=True,
        )
        shards = Shards(path, origin, setting.batch, settings, len(dataset))
        try:
            _compute(shards, dataset, classifier, setting, scheduler)
            break
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        setting = _halved(setting, classifier)
        remember(classifier, setting, calibration)
    # The table is the sign that all is there, so its provenance is written first.
    # The folder of a table is named after its profile.
    described = {"profile": path.parent.name, **origin}
    described |= _circumstances(setting, time.perf_counter() - began)
    with replacing(path.with_suffix(".json")) as unfinished:
        unfinished.write_text(json.dumps(described, indent=2) + "\n")
    shards.finish()


def _compute(
    shards: "Shards",
    dataset: PhotoDataset,
    classifier: Classifier,
    setting: Setting,
    scheduler: str | None,
) -> None:
    """Compute what is missing, here or on a cluster, and keep it, shard by shard."""
    pending = shards.pending()
    computed = [shard for shard in pending if shard.missing]
    jobs = [(replace(shards.settings, epsilon_255=one.missing), one.samples) for one in computed]

    def here(shard: Shard, job: tuple[SweepSettings, range]) -> Shard:
        shards.keep(shard, sweep_samples(dataset, classifier, *job, setting.batch))
        return shard

    def there() -> Iterator[Shard]:
        from fgsm_lib.cluster import sweep_on_cluster

        for number, rows in sweep_on_cluster(scheduler, dataset, classifier, jobs, setting.batch):
            shards.keep(computed[number], rows)
            yield computed[number]

    calls = zip(computed, jobs, strict=True)
    coming = there() if scheduler else in_workers(setting.workers, here, calls)
    finished = len(dataset) - sum(len(shard.samples) for shard in computed)
    name = f"{shards.settings.direction} signs"
    with tqdm(total=len(dataset), initial=finished, desc=name, unit="image") as progress:
        for shard in coming:
            progress.update(len(shard.samples))
    for shard in pending:
        if not shard.missing:  # an earlier table has every row
            shards.keep(shard, None)


def _halved(setting: Setting, classifier: Classifier) -> Setting:
    """Half the batch: a table is computed with one batch size, so it starts again."""
    if setting.batch == 1:
        raise InputError(
            f"not even one image at a time fits into memory with {classifier.name}; "
            "expected a smaller classifier, or a machine with more memory."
        )
    half = setting.batch // 2
    print(f"batches of {setting.batch} do not fit into memory: going on with {half}", flush=True)
    return replace(setting, batch=half)


@dataclass(frozen=True)
class Shard:
    """Some samples, the file of their rows, and the epsilons that no earlier table has."""

    samples: range
    file: Path
    missing: tuple[float, ...]


class Shards:
    """The files of one table while it is computed, and the earlier table it takes rows from.

    The last bits of a float depend on the batch size, so neither shards nor rows of another batch
    size are mixed in.
    """

    def __init__(self, path: Path, origin: dict, batch: int, settings: SweepSettings, count: int):
        self.path = path
        self.settings = settings
        self.count = count
        self.metadata = {
            "fingerprint": origin["fingerprint"],
            "fingerprint_but_epsilon": _but_epsilon(origin, batch),
            "epsilon_255": json.dumps(settings.epsilon_255),
        }
        self.known = _known_epsilons(path, self.metadata["fingerprint_but_epsilon"])
        self.all_folders = path.parent / "shards" / path.stem
        self.folder = self.all_folders / f"{origin['fingerprint'][:16]}-{batch}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def _files(self) -> Iterator[tuple[range, Path]]:
        for start in range(0, self.count, SHARD_IMAGES):
            samples = range(start, min(start + SHARD_IMAGES, self.count))
            yield samples, self.folder / f"{start:07d}.parquet"

    def pending(self) -> list[Shard]:
        """What is not yet there, or damaged."""
        grid = self.settings.epsilon_255
        pending = []
        for samples, file in self._files():
            if _read(file, samples, grid) is None:
                known = self.known if self._known_rows(samples) is not None else ()
                missing = tuple(epsilon for epsilon in grid if epsilon not in known)
                pending.append(Shard(samples, file, missing))
        return pending

    def keep(self, shard: Shard, fresh: pa.Table | None) -> None:
        """Write the shard's file from the rows of its missing epsilons and the known ones."""
        grid, blocks, epsilons = self.settings.epsilon_255, [], []
        if shard.missing != grid:
            blocks.append(self._known_rows(shard.samples))
            epsilons += self.known
        if fresh is not None:
            blocks.append(fresh)
            epsilons += shard.missing
        # Each block is ordered by sample, then as its epsilons; so shall the whole be.
        starts = np.cumsum([0, *(block.num_rows for block in blocks)])
        rows = [
            np.arange(start, start + block.num_rows).reshape(len(shard.samples), -1)
            for start, block in zip(starts, blocks, strict=False)
        ]
        order = np.hstack(rows)[:, [epsilons.index(epsilon) for epsilon in grid]]
        table = pa.concat_tables(blocks).take(order.flatten()).combine_chunks()
        with replacing(shard.file) as unfinished:
            pq.write_table(table, unfinished, write_page_checksum=True)

    def _known_rows(self, samples: range) -> pa.Table | None:
        """The rows of the earlier table, whose row groups are shards; None where it has none."""
        if not self.known:
            return None
        group = samples.start // SHARD_IMAGES
        return _read(self.path, samples, self.known, group)

    def finish(self) -> None:
        """Concatenate the shards, one in memory at a time, and remove all that are left over."""
        schema = SCHEMA.with_metadata(self.metadata)
        with (
            replacing(self.path) as unfinished,
            pq.ParquetWriter(unfinished, schema, write_page_checksum=True) as writer,
        ):
            for _, file in self._files():
                writer.write_table(pq.read_table(file).cast(schema))
        shutil.rmtree(self.all_folders)


def _but_epsilon(origin: dict, batch: int) -> str:
    """A fingerprint of all that a row depends on: of the settings, not which other ε there are."""
    settings = {key: value for key, value in origin["settings"].items() if key != "epsilon_255"}
    rest = {key: value for key, value in origin.items() if key != "fingerprint"}
    text = json.dumps({**rest, "settings": settings, "batch": batch}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _known_epsilons(path: Path, fingerprint_but_epsilon: str) -> tuple[float, ...]:
    """The epsilons of a finished table whose rows can be taken over; empty where there is none."""
    metadata = _metadata(path)
    if metadata.get(b"fingerprint_but_epsilon", b"").decode("latin-1") != fingerprint_but_epsilon:
        return ()
    try:
        return tuple(json.loads(metadata[b"epsilon_255"]))
    except (KeyError, ValueError, TypeError):
        return ()


def _read(
    file: Path, samples: range, epsilon_255: Sequence[float], group: int = 0
) -> pa.Table | None:
    """A row group with every row of its samples, each byte as it was written; else None."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            if group >= parquet.num_row_groups:
                return None
            table = parquet.read_row_group(group).replace_schema_metadata(None)
    except (OSError, pa.ArrowException):
        return None  # missing, cut off or damaged
    whole = (
        table.schema.equals(SCHEMA)
        and table["sample"].to_pylist() == np.repeat(samples, len(epsilon_255)).tolist()
        and table["epsilon_255"].to_pylist() == list(epsilon_255) * len(samples)
    )
    return table if whole else None


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
    fingerprint = _metadata(path).get(b"fingerprint")
    # A damaged one equals no fingerprint, so the table is computed again.
    return fingerprint.decode(errors="replace") if fingerprint else None


def _metadata(path: Path) -> dict[bytes, bytes]:
    try:
        return pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):  # damaged bytes provoke either
        return {}

"""Sweeps on their way into a folder of Parquet parts: nothing computed is lost or computed again.

A part holds some pictures at some epsilons and appears whole or not at all. So an interrupted sweep
goes on where it stopped, and of a finer grid only the new ε are computed. Parts are computed on
this machine's cores, or by the workers of a Dask cluster; both are executors of the standard
library's kind, so one loop serves both.
"""

import contextlib
import hashlib
import importlib.util
import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from fgsm_lib import InputError, attacks
from fgsm_lib.classifiers import Classifier
from fgsm_lib.pictures import Pictures
from fgsm_lib.sweep import BATCH, SCHEMA, Forward, SweepSettings, onnx_forward, sweep_samples
from fgsm_lib.words import first_line

LOG = logging.getLogger(__name__)
CONNECT_SECONDS = 10
# A network that keeps what it has seen would find what another thread has.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Machine:
    """Where and how a sweep runs; none of this moves a number beyond float rounding.

    ``scheduler`` is the address of a Dask scheduler, ``engine`` "torch" turns ONNX Runtime off.
    """

    batch: int | None = None
    workers: int | None = None
    scheduler: str | None = None
    engine: Literal["auto", "torch"] = "auto"

    def __post_init__(self) -> None:
        for name in ("batch", "workers"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Integral) and value > 0):
                raise InputError(f"{name} is {value!r}; expected a whole number above 0.")
        if self.engine not in ("auto", "torch"):
            raise InputError(f"engine is {self.engine!r}; expected 'auto' or 'torch'.")


@dataclass
class _Job:
    """What every worker needs; it travels to the workers of a cluster once."""

    pictures: Pictures
    classifier: Classifier
    forward: Forward
    engine: str
    code: str
    stop: threading.Event | None = field(default=None)


def sweep(
    pictures: Pictures,
    classifier: Classifier,
    settings: SweepSettings,
    folder: Path,
    samples: Sequence[int] | None = None,
    machine: Machine = Machine(),
) -> pd.DataFrame:
    """The table of some samples (default: all), read from ``folder``; missing rows are computed.

    The folder belongs to one set, one classifier and one kind of attack (see ``provenance``).

    Raises InputError where the folder cannot be written, or the scheduler not be reached.
    """
    samples = pictures.samples if samples is None else list(dict.fromkeys(samples))
    table = _held(folder, settings, samples)
    if len(table) < len(samples) * len(settings.epsilon_255):
        with locked(folder):  # who comes second finds it done
            held = _held(folder, settings, samples, mend=True)
            batch = machine.batch or BATCH[classifier.device.type]
            missing = _missing(held, settings, samples, batch)
            if missing:
                _compute(pictures, classifier, settings, folder, missing, machine)
        table = _held(folder, settings, samples)
    return table


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the system refuses inside is an InputError about the folder."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: cannot keep the table there ({error.strerror or error}); expected a folder "
            "to write to. What is already there is used by the next run."
        ) from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One sweep at a time writes into the folder; the system frees the lock of a killed one."""
    with contextlib.ExitStack() as stack:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / ".lock"))
            for left in folder.glob("*.unfinished"):
                left.unlink()
        yield


def _held(
    folder: Path, settings: SweepSettings, samples: list[int], mend: bool = False
) -> pd.DataFrame:
    """The rows of the settings and samples that the folder has, ordered."""
    chosen = pc.field("sample").isin(samples)
    chosen &= pc.field("epsilon_255").isin(list(settings.epsilon_255))
    order = ["sample", "epsilon_255"]
    table = rows(folder, mend).filter(chosen).to_pandas().drop_duplicates(order)
    return table.sort_values(order, ignore_index=True)


def rows(folder: Path, mend: bool = False) -> pa.Table:
    """All rows of a folder, some perhaps twice; ``mend`` removes parts that cannot be read."""
    parts = [SCHEMA.empty_table()]
    for path in sorted(folder.glob("*.parquet")):
        try:
            part = pq.read_table(path, page_checksum_verification=True)
            parts.append(part.select(SCHEMA.names).cast(SCHEMA))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            if mend:
                LOG.warning("%s: damaged (%s); computed again.", path, first_line(error))
                with writing(folder):
                    path.unlink(missing_ok=True)
    return pa.concat_tables(parts)


def _missing(
    held: pd.DataFrame, settings: SweepSettings, samples: list[int], batch: int
) -> list[tuple[list[int], tuple[float, ...]]]:
    """Samples, ``batch`` at a time, with the epsilons that are not held for them."""
    there = {sample: set(rows) for sample, rows in held.groupby("sample")["epsilon_255"]}
    lacking: dict[tuple[float, ...], list[int]] = {}
    for sample in samples:
        without = tuple(e for e in settings.epsilon_255 if e not in there.get(sample, ()))
        if without:
            lacking.setdefault(without, []).append(sample)
    return [
        (listed[start : start + batch], epsilons)
        for epsilons, listed in lacking.items()
        for start in range(0, len(listed), batch)
    ]


def _compute(pictures, classifier, settings, folder, missing, machine) -> None:
    passes = sum(len(samples) * len(epsilons) for samples, epsilons in missing)
    forward, engine = classifier, "torch, as asked for"
    if machine.engine == "auto":
        forward, engine = onnx_forward(classifier, pictures, passes)
    job = _Job(pictures, classifier, forward, engine, code_sha256())
    description = f"{settings.direction} signs" + (" in 8 bits" if settings.bits else "")
    total = sum(len(samples) for samples, _ in missing)
    with (
        _executor(machine, classifier, job) as (executor, shared),
        tqdm(total=total, desc=description, unit="picture", disable=passes < 200) as bar,
    ):
        coming = {}
        for samples, epsilons in missing:
            part = replace(settings, epsilon_255=epsilons)
            coming[executor.submit(_rows, shared, part, samples)] = (samples, epsilons)
        for future in as_completed(coming):
            samples, epsilons = coming.pop(future)
            name = hashlib.sha256(repr((samples, epsilons)).encode()).hexdigest()[:12]
            table = future.result()
            with writing(folder):
                write(folder / f"{samples[0]:07d}-{name}.parquet", table)
            bar.update(len(samples))


def _rows(job: _Job, settings: SweepSettings, samples: list[int]) -> pa.Table:
    if job.code != code_sha256():
        raise InputError("a worker runs another version of fgsm_lib; expected the same everywhere.")
    forward, engine = job.forward, job.engine
    alone = _ONE_AT_A_TIME if job.classifier.remembers else contextlib.nullcontext()
    if importlib.util.find_spec("onnxruntime") is None and forward is not job.classifier:
        forward, engine = job.classifier, "torch, as the worker has no ONNX Runtime"
    with alone:
        table = sweep_samples(
            job.pictures, job.classifier, settings, samples, forward=forward, stop=job.stop
        )
    return table.replace_schema_metadata({"engine": engine})


def _handed(job: _Job) -> _Job:
    return job


def write(path: Path, table: pa.Table, **options) -> None:
    """A file of Parquet that appears whole or not at all."""
    unfinished = path.with_suffix(".unfinished")
    try:
        pq.write_table(table, unfinished, write_page_checksum=True, **options)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _executor(
    machine: Machine, classifier: Classifier, job: _Job
) -> Iterator[tuple[Executor, object]]:
    """Where parts are computed: on this machine's cores, or on the workers of a Dask scheduler."""
    if machine.scheduler is not None:
        with _dask_client(machine.scheduler) as client:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is large
                shared = client.submit(_handed, job, pure=False)  # made again if its worker dies
            try:
                yield client.get_executor(pure=False), shared
            except InputError:
                raise
            except Exception as error:  # Dask's own, and those of a worker that lacks something
                raise InputError(
                    f"the cluster at {machine.scheduler} failed ({first_line(error)}); expected "
                    "workers that live and have what is needed here. What is done is kept."
                ) from error
        return
    # One thread of torch a worker: torch lets go of Python's lock while it computes. On a GPU one
    # is fastest: each further thread makes cuDNN begin anew.
    workers = machine.workers or (torch.get_num_threads() if classifier.device.type == "cpu" else 1)
    job.stop = threading.Event()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool, job
    except BaseException as error:  # Ctrl-C too: nobody waits for what is running
        if isinstance(error, KeyboardInterrupt):
            LOG.warning("stopped; what is done is kept, and the next run goes on from there.")
        job.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _dask_client(scheduler: str):
    """A client of a scheduler that has at least one worker."""
    try:
        import distributed
    except ImportError:
        raise InputError(
            "a scheduler was given, but Dask is not installed; expected pip install "
            "'fgsm-lib[cluster]' here and on the workers."
        ) from None
    client = None
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_SECONDS)
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        if client is not None:
            client.close()
        raise InputError(
            f"no scheduler with a worker answers at {scheduler} ({first_line(error)}); expected "
            "dask scheduler and dask worker to run."
        ) from None
    return client


def provenance(pictures: Pictures, classifier: Classifier) -> dict[str, object]:
    """Everything a sweep's numbers depend on but its settings, as plain facts."""
    return {
        "pictures": pictures.title,
        "pictures_sha256": pictures.sha256(),
        "classifier": classifier.name,
        "preprocessing": repr(classifier.preprocessing),
        "normalization": [classifier.mean.flatten().tolist(), classifier.std.flatten().tolist()],
        "weights_sha256": classifier.sha256,
        "code_sha256": code_sha256(),
        "probe": probe(classifier, pictures),
    }


def probe(classifier: Classifier, pictures: Pictures) -> list[float]:
    """What the classifier answers on a fixed batch: logits and input gradient, in a few numbers.

    The batch is noise and two of the pictures. A network is more than its weights: its
    ``forward``, a temperature, a hook. Each number is the scalar product with a fixed random
    direction, so that whatever changes moves all of them. The gradient is that of -z_y, which does
    not vanish where the softmax is 1.
    """
    generator = torch.Generator().manual_seed(0)
    height, width = classifier.to_pixels(Image.new("RGB", (64, 64))).shape[1:]
    noise = torch.rand(2, classifier.channels, height, width, generator=generator)
    some = (pictures.read(pictures.samples[place]) for place in (0, -1))
    batch = torch.stack([*noise, *map(classifier.to_pixels, some)]).to(classifier.device)
    gradient, logits = attacks.input_gradient(classifier, batch, [0, 1, 0, 1], "true_logit")
    numbers = []
    for values in (logits, gradient):
        flat = values.detach().double().cpu().flatten(1)
        directions = torch.randn(flat.shape[1], 4, generator=generator, dtype=torch.float64)
        scale = flat.norm().clamp(min=1e-300)
        numbers += [float(scale), *(flat / scale @ directions).flatten().tolist()]
    return [round(number, 12) for number in numbers]


def same_probe(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two probes agree up to what two processors make of the same network."""
    return len(one) == len(other) and bool(np.allclose(one, other, rtol=2e-5, atol=2e-5))


@cache
def code_sha256() -> str:
    """A fingerprint of the code that decides a sweep's numbers."""
    here = Path(__file__).parent
    names = "attacks checks classes classifiers datasets pictures sweep weights"
    read = ((here / f"{name}.py").read_bytes() for name in names.split())
    return hashlib.sha256(b"".join(read)).hexdigest()

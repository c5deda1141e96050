"""Sweeps on their way into a folder of Parquet parts: nothing computed is lost or computed again.

A part holds some pictures at some epsilons and appears whole or not at all. So an interrupted sweep
goes on where it stopped, and of a finer grid only the new ε are computed; the parts of a sweep that
came to its end are joined. Parts are computed on this machine's cores, or by the workers of a Dask
cluster; both are executors of the standard library's kind, so one loop serves both.
"""

import contextlib
import hashlib
import json
import logging
import operator
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache, partial
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
from tqdm import tqdm

from fgsm_lib import InputError, attacks
from fgsm_lib.classifiers import Classifier
from fgsm_lib.pictures import Pictures
from fgsm_lib.sweep import BATCH, SCHEMA, SweepSettings, batch_of, onnx_forward, sweep_samples
from fgsm_lib.words import first_line

LOG = logging.getLogger(__name__)
CONNECT_SECONDS = 10
STORED = pa.schema([("attack", pa.string()), *SCHEMA])
# A network that keeps what it has seen would find what another thread has.
_ONE_AT_A_TIME = threading.Lock()

Chunk = tuple[list[int], tuple[float, ...]]  # samples, and the epsilons to compute for them


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


def sweep(
    pictures: Pictures,
    classifier: Classifier,
    settings: SweepSettings,
    folder: Path,
    samples: Sequence[int] | None = None,
    machine: Machine = Machine(),
) -> pd.DataFrame:
    """The table of some samples (default: all), ordered, in the columns of ``sweep.SCHEMA``.

    It is read from ``folder``, which may hold tables of anything; missing rows are computed.

    Raises InputError where the folder cannot be written, or the scheduler not be reached.
    """
    parts = Parts(folder, pictures, classifier)
    samples = pictures.samples if samples is None else list(dict.fromkeys(samples))
    table = parts.table(settings, samples)
    if len(table) < len(samples) * len(settings.epsilon_255):
        with parts.locked():  # who comes second finds it done
            batch = machine.batch or BATCH[classifier.device.type]
            missing = _missing(parts.table(settings, samples), settings, samples, batch)
            if missing:
                _compute(parts, settings, missing, machine)
        table = parts.table(settings, samples)
    return table


class Parts:
    """What is kept of all sweeps of some pictures by a classifier, as it is now.

    ``folder`` is theirs alone: its name is a fingerprint of the ``provenance`` of their numbers,
    but for the answers, which are compared part by part: another processor rounds otherwise. The
    column "attack" says of each row to which kind of table it belongs.
    """

    def __init__(self, folder: Path, pictures: Pictures, classifier: Classifier):
        self.pictures, self.classifier = pictures, classifier
        self.provenance = provenance(pictures, classifier)
        facts = json.dumps(self.provenance | {ANSWERS: None}, sort_keys=True)
        self.folder = folder / _sha256(facts)[:16]
        self.offered = self.folder / "offered.parquet"  # the tables of others, see ``offered``

    def rows(self, attack: str = "*") -> pa.Table:
        """All rows there are, some perhaps twice; parts that cannot be read are removed."""
        found = [STORED.empty_table()]
        for path in [*sorted(self.folder.glob(f"{attack}-*.parquet")), self.offered]:
            try:
                part = pq.read_table(path, page_checksum_verification=True)
                if not differing(provenance_of(part), self.provenance):
                    found.append(part.select(STORED.names).cast(STORED))
            except FileNotFoundError:  # nothing was offered
                continue
            except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
                LOG.warning("%s: damaged (%s); computed again.", path, first_line(error))
                with contextlib.suppress(OSError):  # where one may only read
                    path.unlink()
        return pa.concat_tables(found)

    def table(self, settings: SweepSettings, samples: list[int]) -> pd.DataFrame:
        """The rows of the settings and samples that there are, ordered."""
        chosen = pc.field("attack") == settings.attack
        chosen &= pc.field("sample").isin(samples)
        chosen &= pc.field("epsilon_255").isin(list(settings.epsilon_255))
        rows = self.rows(settings.attack).filter(chosen).select(SCHEMA.names).to_pandas()
        order = ["sample", "epsilon_255"]
        return rows.drop_duplicates(order).sort_values(order, ignore_index=True)

    def add(self, attack: str, chunk: Chunk, rows: pa.Table) -> Path:
        """Another part, in the columns of ``sweep.SCHEMA``."""
        unique = _sha256(repr((chunk, self.provenance[ANSWERS])))[:12]
        rows = rows.add_column(0, "attack", pa.array([attack] * len(rows)))
        path = self.folder / f"{attack}-{chunk[0][0]:07d}-{unique}.parquet"
        self.write(path, rows)
        return path

    def join(self, paths: list[Path]) -> None:
        """One part in place of these: to read some hundred files takes a second."""
        rows = pa.concat_tables(map(pq.read_table, paths))
        self.write(paths[0].with_stem(f"{paths[0].stem}-{len(paths)}"), rows)
        for path in paths:
            path.unlink(missing_ok=True)

    def write(self, path: Path, rows: pa.Table, compression: str = "snappy") -> None:
        """A file of rows of these pictures and classifier; it appears whole or not at all."""
        rows = rows.replace_schema_metadata({"provenance": json.dumps(self.provenance)})
        unfinished = path.with_suffix(".unfinished")
        with _writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                pq.write_table(rows, unfinished, write_page_checksum=True, compression=compression)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One sweep at a time writes; the system frees the lock of a killed one."""
        lock = FileLock(self.folder / ".lock")
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """What the system refuses inside is an InputError about the folder."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: cannot keep the table there ({error.strerror or error}); expected a folder "
            "to write to. What is already there is used by the next run."
        ) from None


# --- computing -----------------------------------------------------------------------------------


def _missing(
    held: pd.DataFrame, settings: SweepSettings, samples: list[int], batch: int
) -> list[Chunk]:
    """What is not held, ``batch`` samples at a time."""
    there = set(zip(held["sample"], held["epsilon_255"], strict=True))
    lacking: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for sample in samples:
        lacking[tuple(e for e in settings.epsilon_255 if (sample, e) not in there)].append(sample)
    lacking.pop((), None)
    return [
        (listed[start : start + batch], epsilons)
        for epsilons, listed in lacking.items()
        for start in range(0, len(listed), batch)
    ]


def _compute(parts: Parts, settings: SweepSettings, missing: list[Chunk], machine: Machine) -> None:
    pictures, classifier, forward = parts.pictures, parts.classifier, parts.classifier
    passes = sum(len(samples) * len(epsilons) for samples, epsilons in missing)
    if machine.engine == "auto":
        forward, engine = onnx_forward(classifier, pictures, passes)
        LOG.info("forward passes by %s", engine)
    rows_of = partial(sweep_samples, pictures, classifier, forward=forward)
    work = partial(_part, rows_of, classifier.remembers, code_sha256())
    # On a GPU one worker is fastest: each further thread makes cuDNN begin anew.
    cores = torch.get_num_threads() if classifier.device.type == "cpu" else 1
    if machine.scheduler is None:
        place = _threads(work, machine.workers or cores)
    else:
        place = _cluster(work, machine.scheduler)
    said = f"{settings.direction} signs" + (" in 8 bits" if settings.bits else "")
    total = sum(len(samples) for samples, _ in missing)
    with place as submit, tqdm(total=total, desc=said, disable=passes < 200) as bar:
        coming = {submit(replace(settings, epsilon_255=e), s): (s, e) for s, e in missing}
        written = []
        for future in as_completed(coming):
            chunk = coming.pop(future)
            written.append(parts.add(settings.attack, chunk, future.result()))
            bar.update(len(chunk[0]))
    parts.join(sorted(written))


def _part(
    rows_of: Callable, alone: bool, code: str, settings: SweepSettings, samples: list[int]
) -> pa.Table:
    """The rows of one part, as a worker computes them; ``alone`` for one thread at a time."""
    if code != code_sha256():
        raise InputError("a worker runs another version of fgsm_lib; expected the same everywhere.")
    with _ONE_AT_A_TIME if alone else contextlib.nullcontext():
        return rows_of(settings, samples)


@contextlib.contextmanager
def _threads(work: Callable, workers: int) -> Iterator[Callable[..., Future]]:
    """What submits work to threads of this process.

    Each has one thread of torch, which lets go of Python's lock while it computes.
    """
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield partial(pool.submit, work)
    except KeyboardInterrupt:
        LOG.warning("stopped; what is done is kept, and the next run goes on from there.")
        raise
    finally:  # after an error nobody waits for what is running
        pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _cluster(work: Callable, scheduler: str) -> Iterator[Callable[..., Future]]:
    """What submits work to the workers of a Dask scheduler."""
    try:
        from distributed import Client

        with Client(scheduler, timeout=CONNECT_SECONDS) as client:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is large
                # It travels once, and is made again if its worker dies.
                shared = client.submit(lambda: work, pure=False)
            yield partial(client.get_executor(pure=False).submit, operator.call, shared)
    except InputError:
        raise
    except Exception as error:  # Dask's own, and those of a worker that lacks something
        raise InputError(
            f"the cluster at {scheduler} failed ({first_line(error)}); expected dask scheduler and "
            "dask worker to run there, and pip install 'fgsm-lib[cluster]' here and on each. What "
            "is done is kept."
        ) from error


# --- what numbers depend on ----------------------------------------------------------------------


ANSWERS = "answers of the classifier"


def provenance(pictures: Pictures, classifier: Classifier) -> dict[str, object]:
    """Everything a sweep's numbers depend on but its settings, by its name in a sentence."""
    means = [values.flatten().tolist() for values in (classifier.mean, classifier.std)]
    return {
        "pictures": pictures.sha256(),
        "classifier": classifier.name,
        "preprocessing": [repr(classifier.preprocessing), *means],
        "weights": classifier.sha256,
        "code of fgsm_lib": code_sha256(),
        ANSWERS: _probe(pictures, classifier),
    }


def _probe(pictures: Pictures, classifier: Classifier) -> list[float]:
    """What the classifier answers on a fixed batch: logits and input gradient, in a few numbers.

    The batch is noise and two of the pictures. A network is more than its weights: its
    ``forward``, a temperature, a hook. Each number is the scalar product with a fixed random
    direction, so that whatever changes moves all of them. The gradient is that of -z_y, which does
    not vanish where the softmax is 1.
    """
    generator = torch.Generator().manual_seed(0)
    some, _ = batch_of(pictures, classifier, [pictures.samples[0], pictures.samples[-1]])
    batch = torch.cat([torch.rand(some.shape, generator=generator).to(some), some])
    gradient, logits = attacks.input_gradient(classifier, batch, [0, 1, 0, 1], "true_logit")
    numbers = []
    for values in (logits, gradient):
        flat = values.detach().double().cpu().flatten(1)
        directions = torch.randn(flat.shape[1], 4, generator=generator, dtype=torch.float64)
        scale = flat.norm().clamp(min=1e-300)
        numbers += [float(scale), *(flat / scale @ directions).flatten().tolist()]
    return [round(number, 12) for number in numbers]


def provenance_of(table: pa.Table) -> dict[str, object]:
    """The provenance that was written with a table; KeyError or TypeError where none was."""
    return json.loads(table.schema.metadata[b"provenance"])


def differing(theirs: dict[str, object], ours: dict[str, object]) -> list[str]:
    """The facts in which two provenances differ: answers by more than two processors may."""
    facts = [fact for fact in ours if fact != ANSWERS and theirs[fact] != ours[fact]]
    probes = [np.asarray(each[ANSWERS], dtype=float) for each in (theirs, ours)]
    return facts if np.allclose(*probes, rtol=2e-5, atol=2e-5) else [*facts, ANSWERS]


@cache
def code_sha256() -> str:
    """A fingerprint of the code that decides a sweep's numbers."""
    here = Path(__file__).parent
    names = "attacks checks classes classifiers datasets pictures sweep weights"
    return _sha256("".join((here / f"{name}.py").read_text("utf-8") for name in names.split()))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""Shards on many machines: ``fgsm sweep --scheduler tcp://host:8786``, with Dask (extra: cluster).

    dask scheduler                        # on one machine
    dask worker tcp://host:8786           # on each of the others

Workers need this version of the package with its extra, and the images at the same path; the
network with its weights is sent to them. A worker that dies is survived: Dask gives its shards to
another. Dask's messages can run code, so a scheduler has to be one's own (see SECURITY.md).
"""

import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError

import pyarrow as pa
import torch

from fgsm_lib import sweep
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.errors import InputError
from fgsm_lib.sweep import SweepSettings

CONNECT_SECONDS = 10

Job = tuple[SweepSettings, range]


def sweep_on_cluster(
    scheduler: str,
    dataset: PhotoDataset,
    classifier: Classifier,
    jobs: Sequence[Job],
    batch: int,
) -> Iterator[tuple[int, pa.Table]]:
    """The number and the rows of each job, a sweep of some samples, as they come.

    Raises InputError where Dask is missing, the scheduler or a worker cannot be reached in
    ``CONNECT_SECONDS``, a worker runs other code, or a shard killed several workers.
    """
    distributed = _dask()
    with _connected(distributed, scheduler) as client:
        # A task like any other, so that it can be repeated where a worker dies with its result.
        sent = client.submit(_received, _packed(dataset, classifier), sweep.code_sha256())
        futures = [client.submit(_rows, sent, *job, batch, pure=False) for job in jobs]
        numbers = {future.key: number for number, future in enumerate(futures)}
        coming = distributed.as_completed(futures, with_results=True)
        del futures  # results are forgotten once they are written
        try:
            for future, table in coming:
                yield numbers[future.key], table
        except distributed.KilledWorker as error:
            raise InputError(
                f"{scheduler}: workers died one after the other on the same shard ({error}); "
                "expected enough memory on each."
            ) from None
        except CancelledError:
            raise InputError(
                f"{scheduler}: the scheduler went away; what was computed is kept, so start again "
                "when it is back."
            ) from None


def _dask():
    try:
        import distributed
    except ImportError:
        raise InputError(
            "a scheduler was given, but Dask is not installed; expected "
            "pip install 'fgsm-lib[cluster]' here and on the workers."
        ) from None
    return distributed


def _connected(distributed, scheduler: str):
    """A client of a scheduler that has at least one worker."""
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{scheduler}: no Dask scheduler there ({reason}); expected an address such as "
            "tcp://host:8786."
        ) from None
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        client.close()
        raise InputError(
            f"{scheduler}: the scheduler has no workers; expected at least one (dask worker "
            f"{scheduler})."
        ) from None
    return client


def _packed(dataset: PhotoDataset, classifier: Classifier) -> bytes:
    """Both in one pickle, with the code of a network that was defined in a notebook."""
    import cloudpickle

    device = classifier.device
    try:
        return cloudpickle.dumps((dataset, classifier.cpu()))
    finally:
        classifier.to(device)


# --- on a worker -------------------------------------------------------------------------------


def _received(packed: bytes, code_sha256: str) -> tuple[PhotoDataset, Classifier]:
    if sweep.code_sha256() != code_sha256:
        raise InputError(
            "a worker has other code of fgsm_lib; expected the same version everywhere."
        )
    try:
        # Whoever can send this through Dask can have a worker run any code, pickled or not.
        return pickle.loads(packed)  # noqa: S301  # nosec B301
    except ImportError as error:
        raise InputError(
            f"a worker cannot import what the network needs ({error}); expected it there, too."
        ) from None


def _rows(
    sent: tuple[PhotoDataset, Classifier], settings: SweepSettings, samples: range, batch: int
) -> pa.Table:
    torch.set_num_threads(1)  # as in the threads of a sweep on one machine
    dataset, classifier = sent
    classifier.to("cuda" if torch.cuda.is_available() else "cpu")
    return sweep.sweep_samples(dataset, classifier, settings, samples, batch)

"""How large a batch makes a classifier fastest on this machine.

On a CPU every core works on images of its own, with one thread: cores that share one image wait
for each other, and when another program takes one of them, all of them wait. How large the batches
are is measured, because there is no constant that is right everywhere: small ones stay in a CPU's
cache and can be several times faster than large ones; a GPU wants large ones.
"""

import json
import math
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fgsm_lib.classifiers import Classifier
from fgsm_lib.files import replacing

BATCHES = {"cpu": (2, 4, 8, 16), "cuda": (64, 128, 256)}
ROUNDS = 3


@dataclass(frozen=True)
class Setting:
    """The fastest found: ``milliseconds`` per image and forward pass, the best of a few."""

    workers: int
    batch: int
    milliseconds: float


def calibrated(classifier: Classifier, path: Path) -> Setting:
    """The fastest setting: read from ``path`` if it was measured here before, else measured."""
    try:
        known = json.loads(path.read_text())
        setting = Setting(**known["setting"])
        sizes = range(1, max(BATCHES[classifier.device.type]) + 1)
        if known["of"] == _key(classifier) and setting.batch in sizes:
            return setting
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing remembered, or nothing readable: measure
    return remember(classifier, calibrate(classifier), path)


def remember(classifier: Classifier, setting: Setting, path: Path) -> Setting:
    """Keep a setting in ``path`` for the next time."""
    content = {"of": _key(classifier), "setting": asdict(setting)}
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + "\n")
    return setting


def _key(classifier: Classifier) -> dict[str, object]:
    """What a setting was measured for."""
    return {
        "machine": platform.node(),
        "workers": worker_count(classifier),
        "weights": classifier.sha256,
        "crop": classifier.crop,
    }


def worker_count(classifier: Classifier) -> int:
    """One worker per thread that torch may use (OMP_NUM_THREADS says how many); one on a GPU."""
    return torch.get_num_threads() if classifier.device.type == "cpu" else 1


def calibrate(classifier: Classifier) -> Setting:
    """Time forward passes at each batch size in turns, all workers busy; takes a few seconds.

    Sizes that do not fit into memory are left out; where none fits, the size is 1.
    """
    workers = worker_count(classifier)
    rounds = {}
    for _ in range(ROUNDS + 1):  # the first warms up
        for batch in BATCHES[classifier.device.type]:
            try:
                taken = _milliseconds(classifier, workers, batch)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                break  # larger ones will not fit either
            rounds.setdefault(batch, []).append(taken)
    # Another program can only make a round slower, so the fastest says most.
    settings = [
        Setting(workers, batch, min(times[1:], default=times[0])) for batch, times in rounds.items()
    ]
    return min(settings, key=lambda one: one.milliseconds, default=Setting(workers, 1, math.nan))


def is_out_of_memory(error: Exception) -> bool:
    """Whether a GPU or (where torch says so only in words) the machine has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _milliseconds(classifier: Classifier, workers: int, batch: int) -> float:
    """One round: every worker passes the largest batch's number of images."""
    images = torch.rand(batch, 3, classifier.crop, classifier.crop, device=classifier.device)
    images = images.contiguous(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode():
            classifier(images)[0, 0].item()  # waits for a GPU too

    calls = [()] * (workers * max(BATCHES[classifier.device.type]) // batch)
    start = time.perf_counter()
    for _ in in_workers(workers, forward, calls):
        pass
    return (time.perf_counter() - start) * 1000 / (batch * len(calls))


def in_workers(workers: int, function: Callable[..., Any], calls: Iterable[tuple]) -> Iterator[Any]:
    """The results of ``function(*call)``, as they come, from threads of one torch thread each.

    Threads suffice: torch lets go of Python's lock while it computes. When one call fails, those
    that have not begun are dropped, and its exception is raised here.
    """
    failed = threading.Event()

    def guarded(call: tuple) -> Any:
        if failed.is_set():
            return None
        try:
            return function(*call)
        except BaseException:  # Ctrl-C too
            failed.set()
            raise

    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(guarded, call) for call in calls]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            failed.set()

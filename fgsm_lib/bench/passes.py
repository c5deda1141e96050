"""How passes are laid out on a machine: batch size, memory format, workers and threads."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from tqdm import tqdm

from fgsm_lib.calibrate import in_workers, worker_count
from fgsm_lib.classifiers import Classifier

PASSED_IMAGES = 32
BATCHES = {"cpu": (1, 2, 4, 8, 16, 50), "cuda": (16, 50, 128, 256)}


@dataclass(frozen=True)
class Layout:
    """``workers`` batches at a time, each computed with ``threads`` threads of torch."""

    batch: int
    channels_last: bool
    workers: int
    threads: int

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "NCHW"
        workers = f"{self.workers} × " if self.workers > 1 else ""
        return f"batch {self.batch}, {layout}, {workers}{_count(self.threads, 'thread')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Timed:
    """A layout, and its milliseconds per image and forward pass."""

    layout: Layout
    milliseconds: float


def all_layouts(classifier: Classifier) -> list[Layout]:
    """Every batch size and memory format; with the cores apart, together, and one core alone."""
    cores = worker_count(classifier)
    shares = dict.fromkeys([(cores, 1), (1, cores), (1, 1)])
    batches = BATCHES[classifier.device.type]
    return [
        Layout(batch, channels_last, *share)
        for share, channels_last, batch in product(shares, (True, False), batches)
    ]


def time_layouts(classifier: Classifier, layouts: Sequence[Layout], rounds: int) -> list[Timed]:
    """The median time of a forward pass in each layout, all in turns; one round warms up."""
    plain = laid_out(classifier, channels_last=False)
    times = {layout: [] for layout in layouts}
    for _ in tqdm(range(rounds + 1), "layouts in turns"):
        for layout, taken in times.items():
            model = classifier if layout.channels_last else plain
            taken.append(_pass_milliseconds(model, layout))
    return [Timed(layout, statistics.median(taken[1:])) for layout, taken in times.items()]


def _pass_milliseconds(model: Classifier, layout: Layout) -> float:
    """Per image and forward pass, of at least ``PASSED_IMAGES``."""
    images = torch.rand(layout.batch, 3, model.crop, model.crop, device=model.device)
    images = images.contiguous(memory_format=layout.memory_format)

    def forward() -> None:
        with torch.inference_mode():
            model(images)[0, 0].item()  # waits for a GPU too

    turns = -(-PASSED_IMAGES // (layout.batch * layout.workers))
    calls = [()] * (layout.workers * turns)
    return seconds(layout, forward, calls) * 1000 / (layout.batch * len(calls))


def laid_out(classifier: Classifier, channels_last: bool, frozen: bool = True) -> Classifier:
    """A copy with its weights in a memory format, and frozen or asking for gradients."""
    order = torch.channels_last if channels_last else torch.contiguous_format
    return copy.deepcopy(classifier).to(memory_format=order).requires_grad_(not frozen)


def chunks(count: int, layout: Layout) -> list[range]:
    """0 to count - 1 in batches of nearly equal size, as many for one worker as for another."""
    rounds = -(-count // (layout.batch * layout.workers))
    pieces = np.array_split(np.arange(count), min(count, rounds * layout.workers))
    return [range(int(piece[0]), int(piece[-1]) + 1) for piece in pieces]


def run(layout: Layout, function: Callable, calls: Sequence[tuple]) -> Iterator:
    """The results of ``function(*call)``, as they come."""
    torch.set_num_threads(layout.threads)
    if layout.workers == 1:
        return (function(*call) for call in calls)
    return in_workers(layout.workers, function, calls)


def seconds(layout: Layout, function: Callable, calls: Sequence[tuple]) -> float:
    """How long all calls take."""
    start = time.perf_counter()
    for _ in run(layout, function, calls):
        pass
    return time.perf_counter() - start

"""How many threads and how large a batch make a classifier fastest on this machine.

There is no constant that is right everywhere: small batches stay in a CPU's cache and can be
several times faster than large ones, a GPU wants large ones, and more threads than free cores are
slower than one. So it is measured, once per classifier and machine, and remembered.
"""

import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from fgsm_lib.classifiers import Classifier

BATCHES = {"cpu": (2, 4, 8), "cuda": (64, 128, 256)}
ROUNDS = 3


@dataclass(frozen=True)
class Setting:
    """The fastest found: ``milliseconds`` per image and forward pass, the median of a few."""

    threads: int
    batch: int
    milliseconds: float


def calibrated(classifier: Classifier, path: Path) -> Setting:
    """The fastest setting: read from ``path`` if it was measured here before, else measured."""
    key = {"machine": platform.node(), "weights": classifier.sha256, "crop": classifier.crop}
    try:
        known = json.loads(path.read_text())
        if known["of"] == key:
            return Setting(**known["setting"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing remembered, or nothing readable: measure
    setting = calibrate(classifier)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"of": key, "setting": asdict(setting)}, indent=2) + "\n")
    temporary.replace(path)
    return setting


def calibrate(classifier: Classifier) -> Setting:
    """Time a forward pass at each number of threads (one, all) and batch size; a few seconds."""
    before = torch.get_num_threads()
    counts = {1, before} if classifier.device.type == "cpu" else {before}
    settings = []
    for threads in sorted(counts):
        torch.set_num_threads(threads)
        for batch in BATCHES[classifier.device.type]:
            settings.append(Setting(threads, batch, _milliseconds(classifier, batch)))
    torch.set_num_threads(before)
    return min(settings, key=lambda setting: setting.milliseconds)


@torch.inference_mode()
def _milliseconds(classifier: Classifier, batch: int) -> float:
    images = torch.rand(batch, 3, classifier.crop, classifier.crop, device=classifier.device)
    images = images.contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        classifier(images)[0, 0].item()  # waits for a GPU too
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) * 1000 / batch  # the first one warms up

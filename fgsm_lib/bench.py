"""The cost of a sweep against its floor: the bare passes through the network.

Both sides run in turns in one process, on the same images, at the same setting. Times are medians
over the rounds; only their ratio means something on another machine.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from fgsm_lib.attacks import input_gradient
from fgsm_lib.calibrate import calibrated, in_workers
from fgsm_lib.study import Study
from fgsm_lib.sweep import sweep_samples


def sweep_against_floor(study: Study, images: int, rounds: int) -> dict[str, float]:
    """Seconds of a sweep over the first images, of its bare passes, and the ratio of the two."""
    study.folder.mkdir(parents=True, exist_ok=True)
    setting = calibrated(study.classifier, study.folder / "calibration.json")
    count = min(images, len(study.dataset))
    chunks = [range(i, min(i + setting.batch, count)) for i in range(0, count, setting.batch)]
    batches = [_batch(study, chunk) for chunk in chunks]
    epsilons = len(study.sweep_settings.epsilon_255)

    def passes(images: torch.Tensor, labels: torch.Tensor) -> None:
        """One forward and backward pass, and a forward pass for each epsilon but the first."""
        input_gradient(study.classifier, images, labels)
        with torch.inference_mode():
            for _ in range(epsilons - 1):
                logits = study.classifier(images)
        logits.sum().item()  # waits for a GPU

    def sweep(chunk: range) -> None:
        sweep_samples(study.dataset, study.classifier, study.sweep_settings, chunk, setting.batch)

    floors, sweeps = [], []
    for _ in range(rounds + 1):
        floors.append(_seconds(setting.workers, passes, batches))
        sweeps.append(_seconds(setting.workers, sweep, [(chunk,) for chunk in chunks]))
    floor_seconds, sweep_seconds = statistics.median(floors[1:]), statistics.median(sweeps[1:])
    return {
        "images": count,
        "epsilons": epsilons,
        "workers": setting.workers,
        "batch": setting.batch,
        "sweep_seconds": sweep_seconds,
        "floor_seconds": floor_seconds,
        "ratio": sweep_seconds / floor_seconds,
        "images_times_epsilons_per_second": count * epsilons / sweep_seconds,
    }


def _batch(study: Study, samples: range) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*(study.dataset[sample] for sample in samples), strict=True)
    stacked = torch.stack(images).to(study.classifier.device, memory_format=torch.channels_last)
    return stacked, torch.tensor(labels, device=stacked.device)


def _seconds(workers: int, function: Callable, calls: list[tuple]) -> float:
    start = time.perf_counter()
    for _ in in_workers(workers, function, calls):
        pass
    return time.perf_counter() - start


def write_bench(result: dict[str, float], path: Path) -> None:
    """Write the result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")

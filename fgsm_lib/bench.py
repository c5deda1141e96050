"""The cost of a sweep against its floor: the bare passes through the network.

Both sides run in turns in one process, on the same images, at the same setting. Times are medians
over the rounds; only their ratio means something on another machine.
"""

import json
import statistics
import time
from pathlib import Path

import torch

from fgsm_lib.attacks import input_gradient
from fgsm_lib.calibrate import calibrated
from fgsm_lib.study import Study
from fgsm_lib.sweep import sweep_samples


def sweep_against_floor(study: Study, images: int, rounds: int) -> dict[str, float]:
    """Seconds of a sweep over the first images, of its bare passes, and the ratio of the two."""
    setting = calibrated(study.classifier, study.folder / "calibration.json")
    torch.set_num_threads(setting.threads)
    samples = range(min(images, len(study.dataset)))
    batches = _batches(study, samples, setting.batch)
    epsilons = len(study.sweep_settings.epsilon_255)
    sweep, floor = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        _bare_passes(study, batches, epsilons)
        middle = time.perf_counter()
        sweep_samples(study.dataset, study.classifier, study.sweep_settings, samples, setting.batch)
        floor.append(middle - start)
        sweep.append(time.perf_counter() - middle)
    floor_seconds, sweep_seconds = statistics.median(floor[1:]), statistics.median(sweep[1:])
    return {
        "images": len(samples),
        "epsilons": epsilons,
        "threads": setting.threads,
        "batch": setting.batch,
        "sweep_seconds": sweep_seconds,
        "floor_seconds": floor_seconds,
        "ratio": sweep_seconds / floor_seconds,
        "images_times_epsilons_per_second": len(samples) * epsilons / sweep_seconds,
    }


def _batches(study: Study, samples: range, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    batches = []
    for start in range(0, len(samples), size):
        images, labels = zip(
            *(study.dataset[i] for i in samples[start : start + size]), strict=True
        )
        stacked = torch.stack(images).to(study.classifier.device, memory_format=torch.channels_last)
        batches.append((stacked, torch.tensor(labels, device=stacked.device)))
    return batches


def _bare_passes(
    study: Study, batches: list[tuple[torch.Tensor, torch.Tensor]], epsilons: int
) -> None:
    """One forward and backward pass, and a forward pass for each epsilon but the first."""
    for images, labels in batches:
        input_gradient(study.classifier, images, labels)
        with torch.inference_mode():
            for _ in range(epsilons - 1):
                logits = study.classifier(images)
        logits.sum().item()  # waits for a GPU


def write_bench(result: dict[str, float], path: Path) -> None:
    """Write the result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")

"""Memory and time of a sweep over the number of images and of ε.

Each point is a process of its own, because a process remembers only its largest memory. It sweeps
the demo pictures, repeated as often as needed and made small, from the files to the finished table.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fgsm_lib.calibrate import calibrated
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.shards import write_sweep
from fgsm_lib.study import open_study
from fgsm_lib.sweep import SweepSettings

CROP = 64
IMAGES = (250, 1000, 5000, 20000)  # at two ε
EPSILONS = (8, 32, 128)  # for the smallest number of images


def measure() -> dict[str, object]:
    """Points over images and over ε: each with images, epsilons, seconds and peak_bytes."""
    with tempfile.TemporaryDirectory() as folder:
        calibrated(_small()[1], Path(folder) / "calibration.json")
        images = [sweep_in_a_process(Path(folder), count, 2) for count in IMAGES]
        epsilons = [sweep_in_a_process(Path(folder), IMAGES[0], count) for count in EPSILONS]
    return {"crop": CROP, "images": images, "epsilons": [images[0], *epsilons]}


def sweep_in_a_process(folder: Path, images: int, epsilons: int) -> dict[str, float]:
    """Images, epsilons, seconds and peak_bytes of one sweep into a folder."""
    command = [sys.executable, "-m", "fgsm_lib.bench.scale", folder, images, epsilons]
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _small() -> tuple[PhotoDataset, Classifier]:
    """The demo pictures and their classifier, for small crops."""
    study = open_study()
    big = study.classifier
    options = {"name": big.name, "sha256": big.sha256, "resize": CROP, "crop": CROP}
    classifier = Classifier(big.network, big.class_names, **options).to(big.device)
    return PhotoDataset(study.dataset.folder, classifier.to_pixels), classifier


def _sweep(folder: Path, images: int, epsilons: int) -> dict[str, float]:
    dataset, classifier = _small()
    repeats = -(-images // len(dataset.photos))
    dataset.photos = (dataset.photos * repeats)[:images]
    settings = SweepSettings(tuple(np.linspace(0, 60, epsilons).tolist()))
    start = time.perf_counter()
    write_sweep(dataset, classifier, settings, folder / f"{images}-{epsilons}.parquet")
    seconds = time.perf_counter() - start
    sizes = {"images": images, "epsilons": epsilons}
    return {**sizes, "seconds": seconds, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    """The largest memory of this process so far.

    On Linux from /proc: what ``getrusage`` says there includes the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    where, *sizes = sys.argv[1:]
    print(json.dumps(_sweep(Path(where), *map(int, sizes))))

"""Pictures for training and validation, as memory-mapped arrays in a cache folder.

Each split has a seed of its own, so none shares a picture with another or with the 1000.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from PIL import Image
from tqdm import tqdm

from fgsm_lib.demo.images import picture, scene_of
from fgsm_lib.demo.version import generator_version
from fgsm_lib.demo.workers import in_processes

_PICTURES_PER_TASK = 50
_PHOTO_SIZE = 299


@dataclass(frozen=True)
class Split:
    """A set of pictures.

    ``size`` is 146 or 256: what the classifier's preprocessing makes of a photograph before it
    crops, for crops of 128 or 224 pixels. At 256 the picture is rendered at 299 and resized
    exactly as a photograph would be; at 146 it is rendered directly, six times as fast.
    """

    seed: int
    count: int
    size: int
    hardness: float = 1.0

    def file(self, cache: Path) -> Path:
        name = f"{generator_version()}-{self.seed}-{self.count}-{self.size}-{self.hardness}"
        return cache / f"pictures-{hashlib.sha256(name.encode()).hexdigest()[:12]}.npy"


@dataclass(frozen=True)
class Pictures:
    """A split in memory."""

    pixels: np.ndarray  # (N, size, size, 3) uint8, memory-mapped
    labels: np.ndarray  # (N,) int64
    difficulties: np.ndarray  # (N,) float64 in [0, 1]


def load_split(split: Split, cache: Path, processes: int | None = None) -> Pictures:
    """Render a split, or open it if an earlier call has rendered it."""
    path = split.file(cache)
    if not path.exists():
        _render_split(split, path, processes)
    scenes = [scene_of(split.seed, index, hardness=split.hardness) for index in range(split.count)]
    return Pictures(
        pixels=np.load(path, mmap_mode="r"),
        labels=np.array([scene.label for scene in scenes]),
        difficulties=np.array([scene.difficulty for scene in scenes]),
    )


def _render_split(split: Split, path: Path, processes: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    shape = (split.count, split.size, split.size, 3)
    open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape).flush()
    tasks = [
        (split, unfinished, range(start, min(start + _PICTURES_PER_TASK, split.count)))
        for start in range(0, split.count, _PICTURES_PER_TASK)
    ]
    title = f"{split.count} pictures of {split.size} pixels"
    with tqdm(total=split.count, desc=title, unit="picture", mininterval=5) as progress:
        for done in in_processes(_render_some, tasks, processes):
            progress.update(done)
    unfinished.replace(path)


def _render_some(task: tuple[Split, Path, range]) -> int:
    split, path, indices = task
    pixels = open_memmap(path, mode="r+")
    for index in indices:
        pixels[index] = _preprocessed(split, index)
    pixels.flush()
    return len(indices)


def _preprocessed(split: Split, index: int) -> np.ndarray:
    if split.size < 224:
        return picture(split.seed, index, split.size, hardness=split.hardness).pixels
    photo = picture(split.seed, index, _PHOTO_SIZE, hardness=split.hardness).pixels
    side = (split.size, split.size)
    return np.asarray(Image.fromarray(photo).resize(side, Image.Resampling.BILINEAR))

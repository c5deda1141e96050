"""Smooth noise, blur and colors: the raw material of backdrops, cloth and camera.

Pictures are float32 arrays in planar order, (3, height, width), while they are made: NumPy is
several times faster over long rows than over triples.

Nothing here is a matrix product, although interpolation and blur could be written as one. BLAS
would start threads of its own inside every worker process, and it sums in a different order on
different processors.
"""

import colorsys
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every pixel as fractions of the side, each (size, size), y pointing down."""
    line = np.arange(size, dtype=np.float32) / np.float32(size)
    x, y = (np.ascontiguousarray(axis) for axis in np.meshgrid(line, line))
    x.flags.writeable = y.flags.writeable = False
    return x, y


@lru_cache(maxsize=64)
def _between(knots: int, size: int, smooth: bool) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``size`` places: the knot to its left, and the weight of the next one."""
    places = np.linspace(0, knots - 1, size)
    left = np.minimum(places.astype(np.intp), knots - 2)
    weight = places - left
    if smooth:
        weight = weight * weight * (3 - 2 * weight)
    return left, weight.astype(np.float32)


def enlarge(knots: np.ndarray, size: int, smooth: bool = True) -> np.ndarray:
    """Interpolate a small square grid to (size, size)."""
    left, weight = _between(len(knots), size, smooth)
    tall = knots[left] + (knots[left + 1] - knots[left]) * weight[:, None]
    start = tall[:, left]
    return start + (tall[:, left + 1] - start) * weight


def fractal_noise(
    rng: np.random.Generator, size: int, knots: int = 3, octaves: int = 4
) -> np.ndarray:
    """Clouds in [0, 1], (size, size): each octave twice as fine and half as strong.

    The same ``rng`` state gives the same clouds at every size.
    """
    clouds = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        count = knots * 2**octave
        clouds += enlarge(rng.random((count, count), np.float32), size) * 0.5**octave
    clouds -= clouds.min()
    return clouds / clouds.max()


def blur(planes: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur along the last two axes; ``sigma`` in pixels, edges repeated."""
    if sigma < 0.2:  # the neighbors' weight would be below a grey level
        return planes
    reach = int(np.ceil(2.5 * sigma))
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    weights = (weights / (weights[0] + 2 * weights[1:].sum())).tolist()
    for axis in (-2, -1):
        padding = [(0, 0)] * planes.ndim
        padding[axis] = (reach, reach)
        padded = np.moveaxis(np.pad(planes, padding, mode="edge"), axis, 0)
        length = planes.shape[axis]
        mixed = padded[reach : reach + length] * weights[0]
        for away in range(1, reach + 1):
            before, after = reach - away, reach + away
            pair = padded[before : before + length] + padded[after : after + length]
            mixed += pair * weights[away]
        planes = np.moveaxis(mixed, 0, axis)
    return planes


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """An RGB color, (3,) float32 in [0, 1]; the hue wraps around at 1."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def luma(color: np.ndarray) -> float:
    """How light an RGB color looks, 0 to 1 (Rec. 601, meant for gamma-encoded values)."""
    return float(0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2])

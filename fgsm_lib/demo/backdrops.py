"""What stands behind a toy: five kinds of wall, cloth and light."""

from collections.abc import Callable

import numpy as np

from fgsm_lib.demo.textures import fractal_noise, grid, hsv


def _wall_and_floor(rng: np.random.Generator, size: int) -> np.ndarray:
    _, y = grid(size)
    clouds = fractal_noise(rng, size)
    horizon = rng.uniform(0.5, 0.8)
    floor = np.clip((y - horizon + 0.02 * (clouds - 0.5)) * 50, 0, 1)
    return 0.6 * floor + 0.4 * clouds


def _clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    return fractal_noise(rng, size)


def _wood(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = grid(size)
    angle, rings = rng.uniform(0, np.pi), rng.uniform(14, 40)
    across = x * float(np.cos(angle)) + y * float(np.sin(angle))
    return 0.5 + 0.4 * np.sin(across * rings + 9 * fractal_noise(rng, size))


def _lights(rng: np.random.Generator, size: int) -> np.ndarray:
    """Out-of-focus lights: overlapping bright discs."""
    x, y = grid(size)
    brightness = 0.25 * fractal_noise(rng, size)
    for center_x, center_y, spread, strength in rng.random((14, 4)):
        radius = 0.03 + 0.09 * spread
        reach = radius + 0.02
        rows = slice(int(max(0, center_y - reach) * size), int((center_y + reach) * size) + 1)
        cols = slice(int(max(0, center_x - reach) * size), int((center_x + reach) * size) + 1)
        away = np.sqrt((x[rows, cols] - center_x) ** 2 + (y[rows, cols] - center_y) ** 2)
        disc = np.clip((radius - away) * 60 + 0.5, 0, 1)
        brightness[rows, cols] += (0.15 + 0.35 * strength) * disc
    return 1 - np.minimum(brightness, 1)


def _weave(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = grid(size)
    clouds = fractal_noise(rng, size)
    threads = rng.uniform(40, 90)
    warp = np.sin(x * threads + 3 * clouds)
    weft = np.sin(y * threads + 3 * clouds)
    return 0.3 + 0.4 * clouds + 0.3 * warp * weft


_KINDS: tuple[Callable[[np.random.Generator, int], np.ndarray], ...] = (
    _wall_and_floor,
    _clouds,
    _wood,
    _lights,
    _weave,
)


def backdrop(rng: np.random.Generator, size: int, hue: float) -> np.ndarray:
    """A backdrop, (3, size, size) float32 in about [0, 1], in two shades near ``hue``."""
    kind = _KINDS[rng.integers(len(_KINDS))]
    saturation, value = rng.uniform(0.15, 0.65), rng.uniform(0.5, 1)
    light = hsv(hue, saturation, value)
    dark = hsv(
        hue + rng.uniform(-0.12, 0.12),
        saturation * rng.uniform(0.6, 1.2),
        value * rng.uniform(0.5, 0.85),
    )
    lamp_x, lamp_y = rng.uniform(0, 1), rng.uniform(0, 0.6)
    share = kind(rng, size).astype(np.float32)
    x, y = grid(size)
    lamp = 1 - 0.35 * ((x - lamp_x) ** 2 + (y - lamp_y) ** 2)
    return (light[:, None, None] + (dark - light)[:, None, None] * share) * lamp

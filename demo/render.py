"""From a scene to pixels: hang a backdrop, trace the toy, paint and light it, take the picture.

Images are float32 in planar order, (3, height, width), while they are made. Nothing here is a
matrix product: BLAS sums in a different order on different processors, and the same seed shall
give the same picture everywhere.
"""

from collections.abc import Callable, Iterator
from multiprocessing import Pool
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from PIL import Image
from scene import BOUNDING_RADIUS, CLASS_NAMES, PATTERNS, SHAPES, Scene, draw_scene, hsv
from tqdm import tqdm

SEED = 0  # of the 1000 pictures; training and validation have others
HARDNESS = 2.0  # spreads the confidences of the shipped classifier over all bins


def label_of(seed: int, index: int) -> int:
    """The class of a picture. Each run of 50 indices shows each class once, in random order."""
    block, position = divmod(index, len(CLASS_NAMES))
    order = np.random.default_rng([seed, block, len(CLASS_NAMES)]).permutation(len(CLASS_NAMES))
    return int(order[position])


def scene_of(seed: int, index: int, hardness: float = HARDNESS) -> Scene:
    """The decisions behind ``picture`` with the same arguments."""
    return draw_scene(np.random.default_rng([seed, index]), label_of(seed, index), hardness)


def picture(seed: int, index: int, size: int = 299, hardness: float = HARDNESS) -> np.ndarray:
    """Render picture ``index`` of the split ``seed``: (size, size, 3) uint8, RGB.

    The same arguments give the same picture in every process, and on other processors the same to
    within a gray level, except for single pixels on an edge. The scene is the same at every size;
    only the grain is not.
    """
    # A third number keeps the textures independent of the decisions of the scene.
    return render(scene_of(seed, index, hardness), size, np.random.default_rng([seed, index, 1]))


def preprocessed(seed: int, hardness: float, size: int, index: int) -> np.ndarray:
    """The picture as a classifier's preprocessing leaves it, at 256 pixels, or 146 for small crops.

    At 256 it is made as a photograph of 299 and resized like one; at 146 it is rendered directly,
    six times as fast. (size, size, 3) uint8.
    """
    if size != 256:
        return picture(seed, index, size, hardness)
    photo = Image.fromarray(picture(seed, index, 299, hardness))
    return np.asarray(photo.resize((256, 256), Image.Resampling.BILINEAR))


def in_processes(function: Callable, count: int, title: str) -> Iterator:
    """``function(index)`` for each index below ``count``, in order, one process per core."""
    with Pool() as pool:
        results = pool.imap(function, range(count), chunksize=10)
        yield from tqdm(results, total=count, desc=title, unit="picture")


def render(scene: Scene, size: int, rng: np.random.Generator) -> np.ndarray:
    """The finished photograph, (size, size, 3) uint8.

    ``rng`` supplies what is too fine to be part of the scene: textures and noise. Each has a
    generator of its own, so that a ribbon more or less does not change the grain.
    """
    for_backdrop, for_ribbon, for_camera = rng.spawn(3)
    image = backdrop(for_backdrop, size, scene.hue)
    surface = trace(scene, size)
    image *= 1 - 0.55 * _shadow(surface, scene, size)
    toy = image.reshape(3, -1)[:, surface.pixels]
    toy += (_lit_colors(surface, scene) - toy) * surface.coverage
    image.reshape(3, -1)[:, surface.pixels] = toy
    if scene.has_ribbon:
        _hang_ribbon(image, scene, for_ribbon)
    return _photograph(image, scene, for_camera)


# --- textures ------------------------------------------------------------------------------------


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every pixel as fractions of the side, float32 (size, size), y pointing down."""
    line = np.arange(size, dtype=np.float32) / np.float32(size)
    return np.meshgrid(line, line)


def enlarge(knots: np.ndarray, size: int, smooth: bool = True) -> np.ndarray:
    """Interpolate a small square grid to (size, size)."""
    places = np.linspace(0, len(knots) - 1, size)
    left = np.minimum(places.astype(np.intp), len(knots) - 2)
    weight = places - left
    if smooth:
        weight = weight * weight * (3 - 2 * weight)
    weight = weight.astype(np.float32)
    tall = knots[left] + (knots[left + 1] - knots[left]) * weight[:, None]
    start = tall[:, left]
    return start + (tall[:, left + 1] - start) * weight


def fractal_noise(
    rng: np.random.Generator, size: int, knots: int = 3, octaves: int = 4
) -> np.ndarray:
    """Clouds in [0, 1], (size, size): each octave twice as fine and half as strong."""
    clouds = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        count = knots * 2**octave
        clouds += enlarge(rng.random((count, count), np.float32), size) * 0.5**octave
    clouds -= clouds.min()
    return clouds / clouds.max()


def blur(planes: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur along the last two axes; ``sigma`` in pixels, edges repeated."""
    if sigma < 0.2:  # the neighbors' weight would be below a gray level
        return planes
    reach = int(np.ceil(2.5 * sigma))
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    weights = (weights / (weights[0] + 2 * weights[1:].sum())).tolist()
    for axis in (-2, -1):
        lines = np.moveaxis(planes, axis, 0)
        edges = [(reach, reach)] + [(0, 0)] * (planes.ndim - 1)
        padded, length = np.pad(lines, edges, mode="edge"), len(lines)
        mixed = lines * weights[0]
        for away in range(1, reach + 1):
            before, after = padded[reach - away :], padded[reach + away :]
            mixed += (before[:length] + after[:length]) * weights[away]
        planes = np.moveaxis(mixed, 0, axis)
    return planes


# --- backdrops -----------------------------------------------------------------------------------
# Five kinds of wall, cloth and light: how dark each pixel is, (size, size) in about [0, 1].


def _wall_and_floor(rng, size):
    _, y = grid(size)
    clouds = fractal_noise(rng, size)
    horizon = rng.uniform(0.5, 0.8)
    floor = np.clip((y - horizon + 0.02 * (clouds - 0.5)) * 50, 0, 1)
    return 0.6 * floor + 0.4 * clouds


def _wood(rng, size):
    x, y = grid(size)
    angle, rings = rng.uniform(0, np.pi), rng.uniform(14, 40)
    across = x * float(np.cos(angle)) + y * float(np.sin(angle))
    return 0.5 + 0.4 * np.sin(across * rings + 9 * fractal_noise(rng, size))


def _lights(rng, size):
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


def _weave(rng, size):
    x, y = grid(size)
    clouds = fractal_noise(rng, size)
    threads = rng.uniform(40, 90)
    warp = np.sin(x * threads + 3 * clouds)
    weft = np.sin(y * threads + 3 * clouds)
    return 0.3 + 0.4 * clouds + 0.3 * warp * weft


_BACKDROPS = (_wall_and_floor, fractal_noise, _wood, _lights, _weave)


def backdrop(rng: np.random.Generator, size: int, hue: float) -> np.ndarray:
    """A backdrop, (3, size, size) float32 in about [0, 1], in two shades near ``hue``."""
    kind = _BACKDROPS[rng.integers(len(_BACKDROPS))]
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


# --- the toy -------------------------------------------------------------------------------------


class Surface(NamedTuple):
    """The visible points of a toy, N of them."""

    pixels: np.ndarray  # (N,) positions in the flattened picture
    coverage: np.ndarray  # (N,) share of each pixel that the toy covers, in (0, 1]
    points: np.ndarray  # (3, N) in the toy's coordinates
    normals: np.ndarray  # (3, N) unit vectors in the toy's coordinates


# Enough steps for every ray to arrive or to leave. Sorting out the rays that have done so costs
# as much as a step, so it is not done after each.
_ROUNDS, _STEPS_PER_ROUND = 7, 4
_ARRIVED = 0.0025  # units; a fraction of a pixel


def trace(scene: Scene, size: int) -> Surface:
    """Follow one ray per pixel, straight into the picture, to where it meets the toy.

    A ray that misses closely keeps the point where it came nearest; the distance left there, in
    pixels, says how much of the pixel is covered. This smooths the outline at no extra cost.
    """
    field = SHAPES[scene.shape]
    x, y = (plane.ravel() for plane in _toy_plane(scene, size))
    depth_squared = BOUNDING_RADIUS**2 - x * x - y * y
    pixels = np.flatnonzero(depth_squared > 0)
    entry = np.sqrt(depth_squared[pixels])
    origins = _rotate(scene.rotation.T, np.stack([x[pixels], y[pixels], entry]))
    direction = -scene.rotation[2][:, None]

    # By ray: how near it came, how far along that was, and how far it is.
    walked = np.stack([np.full_like(entry, np.inf), np.zeros_like(entry), np.zeros_like(entry)])
    live = np.arange(len(pixels))  # the rays that are still on their way
    for _ in range(_ROUNDS):
        origin, (near, near_at, at) = origins[:, live], walked[:, live]
        for _ in range(_STEPS_PER_ROUND):
            distance = field(*(origin + at * direction))
            near_at = np.where(distance < near, at, near_at)
            near = np.minimum(near, distance)
            at += distance
        walked[:, live] = near, near_at, at
        live = live[(distance > _ARRIVED) & (at < 2 * entry[live])]

    nearest, nearest_at, _ = walked
    coverage = np.clip(1.3 - nearest * np.float32(scene.scale * size), 0, 1)
    met = np.flatnonzero(coverage > 0)
    points = origins[:, met] + nearest_at[met] * direction
    return Surface(pixels[met], coverage[met], points, _normals(field, points))


def _toy_plane(scene, size):
    """x (right) and y (up) of every pixel, in units of the toy, relative to its center."""
    x, y = grid(size)
    scale = np.float32(scene.scale)
    return (x - np.float32(scene.center[0])) / scale, (np.float32(scene.center[1]) - y) / scale


def _rotate(matrix, vectors):
    """matrix · vectors for (3, 3) and (3, N), without BLAS."""
    return (matrix[:, :, None] * vectors).sum(axis=1)


def _normals(field, points, step=0.01):
    """Unit normals: the gradient of the field, from the corners of a small tetrahedron."""
    gradient = np.zeros_like(points)
    for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        offset = np.array(corner, np.float32)[:, None]
        gradient += offset * field(*(points + np.float32(step) * offset))
    return gradient / (np.sqrt(sum(part * part for part in gradient)) + 1e-6)


def _shadow(surface, scene, size):
    """How deep each pixel of the backdrop lies in the toy's shadow, (size, size) in [0, 1].

    The shadow is soft, so a quarter of the resolution is enough.
    """
    silhouette = np.zeros((size, size), np.float32)
    silhouette.ravel()[surface.pixels] = surface.coverage
    step = max(1, size // 75)
    coarse = silhouette[::step, ::step]
    down, right = 0.07 * len(coarse), -0.12 * float(scene.lamp[0]) * len(coarse)
    coarse = np.roll(coarse, (round(down), round(right)), axis=(0, 1))
    return enlarge(blur(coarse, 0.03 * len(coarse)), size, smooth=False)


def _lit_colors(surface, scene):
    """The colors of the surface, (3, N): paint, diffuse light, highlight and a bright rim."""
    share = PATTERNS[scene.pattern](surface.points, surface.normals, scene)
    first, second = scene.first[:, None], scene.second[:, None]
    paint = first + (second - first) * share

    facing = _rotate(scene.rotation, surface.normals)
    halfway = scene.lamp + np.array([0, 0, 1], np.float32)
    halfway = halfway / np.sqrt((halfway**2).sum())
    diffuse = np.clip((scene.lamp[:, None] * facing).sum(axis=0), 0, 1)
    mirrored = np.clip((halfway[:, None] * facing).sum(axis=0), 0, 1)
    highlight = scene.gloss * mirrored**scene.sharpness
    rim = 0.18 * (1 - np.clip(facing[2], 0, 1)) ** 3
    received = scene.ambient * (0.75 + 0.25 * facing[1]) + (1.15 - scene.ambient) * diffuse
    return paint * received + highlight + rim


def _hang_ribbon(image, scene, rng):
    """Lay the ribbon over the image, in place."""
    size = image.shape[-1]
    x, y = _toy_plane(scene, size)
    cos, sin = float(np.cos(scene.ribbon_angle)), float(np.sin(scene.ribbon_angle))
    along, across = y * cos - x * sin, x * cos + y * sin - scene.ribbon_distance
    across = across + 0.08 * np.sin(scene.ribbon_bends * along + scene.ribbon_angle)
    inside = scene.ribbon_half_width - np.abs(across)
    coverage = np.clip(inside * (0.7 * scene.scale * size), 0, 1)
    roundness = np.sqrt(np.maximum(1 - (across / scene.ribbon_half_width) ** 2, 0))
    shade = 0.45 + 0.3 * roundness + 0.25 * fractal_noise(rng, size, knots=6, octaves=3)
    image += (scene.ribbon_color[:, None, None] * shade - image) * coverage


# 256 equally likely values of a standard normal variable: far below a gray level these are as good
# as drawing from the normal distribution itself, and ten times faster.
_GAUSSIAN = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)], np.float32)


def _photograph(image, scene, rng):
    """Expose, develop and round: (3, size, size) float32 to (size, size, 3) uint8."""
    size = image.shape[-1]
    image = blur(image, scene.blur * size / 299)
    image = np.clip(image * np.float32(scene.gain), 0, 1)
    image *= (1 + scene.tone) - scene.tone * image
    noise = _GAUSSIAN[rng.integers(0, 256, (4, size, size), np.uint8)]
    image *= 255 * scene.contrast
    image += (255 * scene.grain) * noise[3] + (127.5 * (1 - scene.contrast) + 0.5)
    image += (255 * scene.color_noise) * noise[:3]
    levels = np.clip(image, 0, 255, out=image).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))

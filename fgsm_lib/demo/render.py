"""From a scene to pixels: trace the toy, paint and light it, hang the ribbon, take the picture."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from fgsm_lib.demo.backdrops import backdrop
from fgsm_lib.demo.patterns import PATTERNS
from fgsm_lib.demo.scene import Camera, Pose, Ribbon, Scene
from fgsm_lib.demo.solids import BOUNDING_RADIUS, SOLIDS, Field, normals
from fgsm_lib.demo.textures import blur, enlarge, fractal_noise, grid

# Enough steps for every ray to arrive or to leave. Sorting out the rays that have done so costs
# as much as a step, so it is not done after each.
_ROUNDS, _STEPS_PER_ROUND = 7, 4
_ARRIVED = 0.0025  # units; a fraction of a pixel

# 256 equally likely values of a standard normal variable: far below a grey level these are as good
# as drawing from the normal distribution itself, and ten times faster.
_GAUSSIAN = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)], np.float32)


@dataclass(frozen=True)
class Surface:
    """The visible points of a toy, N of them."""

    pixels: np.ndarray  # (N,) positions in the flattened picture
    coverage: np.ndarray  # (N,) share of each pixel that the toy covers, in (0, 1]
    points: np.ndarray  # (3, N) in the toy's coordinates
    normals: np.ndarray  # (3, N) unit vectors in the toy's coordinates


def render(scene: Scene, size: int, rng: np.random.Generator) -> np.ndarray:
    """The finished photograph, (size, size, 3) uint8.

    ``rng`` supplies what is too fine to be part of the scene: textures and noise. Each has a
    generator of its own, so that a ribbon more or less does not change the grain.
    """
    for_backdrop, for_ribbon, for_camera = rng.spawn(3)
    image = backdrop(for_backdrop, size, scene.hue)
    surface = trace(SOLIDS[scene.shape], scene.pose, size)
    image *= 1 - 0.55 * _shadow(surface, size, scene.light.direction)
    _place(image, surface, _lit_colors(surface, scene))
    if scene.ribbon is not None:
        _hang(image, scene.ribbon, scene.pose, for_ribbon)
    return _photograph(image, scene.camera, for_camera)


def _toy_plane(pose: Pose, size: int) -> tuple[np.ndarray, np.ndarray]:
    """x (right) and y (up) of every pixel, in units of the toy, relative to its center."""
    x, y = grid(size)
    scale = np.float32(pose.scale)
    return (x - np.float32(pose.center[0])) / scale, (np.float32(pose.center[1]) - y) / scale


def _rotate(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """matrix · vectors for (3, 3) and (3, N), without BLAS (see ``textures``)."""
    return np.stack(
        [row[0] * vectors[0] + row[1] * vectors[1] + row[2] * vectors[2] for row in matrix]
    )


def trace(field: Field, pose: Pose, size: int) -> Surface:
    """Follow one ray per pixel, straight into the picture, to where it meets the toy.

    A ray that misses closely keeps the point where it came nearest; the distance left there, in
    pixels, says how much of the pixel is covered. This smooths the outline at no extra cost.
    """
    x, y = (plane.ravel() for plane in _toy_plane(pose, size))
    depth_squared = BOUNDING_RADIUS**2 - x * x - y * y
    pixels = np.flatnonzero(depth_squared > 0)
    entry = np.sqrt(depth_squared[pixels])
    origins = _rotate(pose.rotation.T, np.stack([x[pixels], y[pixels], entry]))
    direction = -pose.rotation[2][:, None]

    nearest, nearest_at = np.full_like(entry, np.inf), np.zeros_like(entry)
    live = np.arange(len(pixels))
    traveled, origin, exit_at = nearest_at.copy(), origins, 2 * entry
    near, near_at = nearest.copy(), nearest_at.copy()
    for _ in range(_ROUNDS):
        for _ in range(_STEPS_PER_ROUND):
            distance = field(*(origin + traveled * direction))
            near_at = np.where(distance < near, traveled, near_at)
            near = np.minimum(near, distance)
            traveled += distance
        nearest[live], nearest_at[live] = near, near_at
        going_on = np.flatnonzero((distance > _ARRIVED) & (traveled < exit_at))
        if not len(going_on):
            break
        live, origin, exit_at = live[going_on], origin[:, going_on], exit_at[going_on]
        near, near_at, traveled = near[going_on], near_at[going_on], traveled[going_on]

    coverage = np.clip(1.3 - nearest * np.float32(pose.scale * size), 0, 1)
    met = np.flatnonzero(coverage > 0)
    points = origins[:, met] + nearest_at[met] * direction
    return Surface(pixels[met], coverage[met], points, normals(field, points))


def _shadow(surface: Surface, size: int, light: np.ndarray) -> np.ndarray:
    """How deep each pixel of the backdrop lies in the toy's shadow, (size, size) in [0, 1].

    The shadow is soft, so a quarter of the resolution is enough.
    """
    silhouette = np.zeros((size, size), np.float32)
    silhouette.ravel()[surface.pixels] = surface.coverage
    step = max(1, size // 75)
    coarse = silhouette[::step, ::step]
    down, right = 0.07 * len(coarse), -0.12 * float(light[0]) * len(coarse)
    coarse = np.roll(coarse, (round(down), round(right)), axis=(0, 1))
    return enlarge(blur(coarse, 0.03 * len(coarse)), size, smooth=False)


def _lit_colors(surface: Surface, scene: Scene) -> np.ndarray:
    """The colors of the surface, (3, N): paint, diffuse light, highlight and a bright rim."""
    share = PATTERNS[scene.pattern](surface.points, surface.normals, scene.marks)
    first, second = scene.paint.first[:, None], scene.paint.second[:, None]
    paint = first + (second - first) * share

    facing = _rotate(scene.pose.rotation, surface.normals)
    light = scene.light
    halfway = light.direction + np.array([0, 0, 1], np.float32)
    halfway = halfway / np.sqrt((halfway**2).sum())
    diffuse = np.clip((light.direction[:, None] * facing).sum(axis=0), 0, 1)
    mirrored = np.clip((halfway[:, None] * facing).sum(axis=0), 0, 1)
    highlight = light.gloss * mirrored**light.sharpness
    rim = 0.18 * (1 - np.clip(facing[2], 0, 1)) ** 3
    received = light.ambient * (0.75 + 0.25 * facing[1]) + (1.15 - light.ambient) * diffuse
    return paint * received + highlight + rim


def _place(image: np.ndarray, surface: Surface, colors: np.ndarray) -> None:
    """Lay the toy over the image, in place."""
    flat = image.reshape(3, -1)
    behind = flat[:, surface.pixels]
    flat[:, surface.pixels] = behind + (colors - behind) * surface.coverage


def _hang(image: np.ndarray, ribbon: Ribbon, pose: Pose, rng: np.random.Generator) -> None:
    """Lay the ribbon over the image, in place."""
    size = image.shape[-1]
    x, y = _toy_plane(pose, size)
    cos, sin = float(np.cos(ribbon.angle)), float(np.sin(ribbon.angle))
    along, across = y * cos - x * sin, x * cos + y * sin - ribbon.distance
    across = across + 0.08 * np.sin(ribbon.bends * along + ribbon.angle)
    coverage = np.clip((ribbon.half_width - np.abs(across)) * (0.7 * pose.scale * size), 0, 1)
    roundness = np.sqrt(np.maximum(1 - (across / ribbon.half_width) ** 2, 0))
    shade = 0.45 + 0.3 * roundness + 0.25 * fractal_noise(rng, size, knots=6, octaves=3)
    image += (ribbon.color[:, None, None] * shade - image) * coverage


def _photograph(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Expose, develop and round: (3, size, size) float32 to (size, size, 3) uint8."""
    size = image.shape[-1]
    image = blur(image, camera.blur * size / 299)
    image = np.clip(image * np.float32(camera.gain), 0, 1)
    image *= (1 + camera.tone) - camera.tone * image
    noise = _GAUSSIAN[rng.integers(0, 256, (4, size, size), np.uint8)]
    image *= 255 * camera.contrast
    image += (255 * camera.grain) * noise[3] + (127.5 * (1 - camera.contrast) + 0.5)
    image += (255 * camera.color_noise) * noise[:3]
    levels = np.clip(image, 0, 255, out=image).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))

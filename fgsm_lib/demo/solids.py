"""Ten toy shapes as signed distance fields.

A signed distance field tells, for every point of space, how far away the surface of a solid is:
positive outside, zero on the surface, negative inside. The renderer walks along a ray by this
distance and never oversteps, so a field may underestimate the distance but must not overestimate
it by much. Each solid fits into a sphere of radius ``BOUNDING_RADIUS`` about the origin.

All fields take and return float32 arrays of one common shape. They avoid ``hypot`` and
``arctan2``, which NumPy computes one number at a time, in favor of arithmetic that it vectorizes.

The formulas follow Inigo Quilez, "Distance functions", https://iquilezles.org/articles/.
"""

from collections.abc import Callable

import numpy as np

Field = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

BOUNDING_RADIUS = 1.2


def _length(*components: np.ndarray) -> np.ndarray:
    return np.sqrt(sum(component * component for component in components))


def _extrude(
    outline: np.ndarray, across: np.ndarray, half_depth: float, rounding: float
) -> np.ndarray:
    """Thicken a flat outline (a 2-D distance) to a slab, with rounded edges."""
    beside = outline + rounding
    above = np.abs(across) - (half_depth - rounding)
    outside = _length(np.maximum(beside, 0), np.maximum(above, 0))
    return outside + np.minimum(np.maximum(beside, above), 0) - rounding


def _sphere(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _length(x, y, z) - 0.86


def _cube(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    sides = [np.abs(component) - 0.56 for component in (x, y, z)]
    outside = _length(*(np.maximum(side, 0) for side in sides))
    inside = np.minimum(np.maximum(np.maximum(sides[0], sides[1]), sides[2]), 0)
    return outside + inside - 0.06


def _torus(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _length(_length(x, y) - 0.64, z) - 0.29


def _cone(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    slant = _length(x, z) * 0.9 + (y - 0.95) * 0.43
    return _extrude(slant, y + 0.1, half_depth=0.72, rounding=0.05)


def _cylinder(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _extrude(_length(x, z) - 0.56, y, half_depth=0.74, rounding=0.06)


def _capsule(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _length(x, y - np.clip(y, -0.52, 0.52), z) - 0.43


def _octahedron(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return (np.abs(x) + np.abs(y) + np.abs(z) - 1.0) * 0.57735 - 0.03


def _star(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Five points: mirrors fold the plane into half a point, which is bounded by one line."""
    toward_x, toward_y = float(np.sin(np.pi / 5)), float(np.cos(np.pi / 5))
    u, v = np.abs(x), y
    for _ in range(2):
        beyond = np.maximum(u * toward_y - v * toward_x, 0) * 2
        u, v = np.abs(u - beyond * toward_y), v + beyond * toward_x
    edge = (v - 1.0) * 0.504 + u * 0.864
    return _extrude(edge, z, half_depth=0.24, rounding=0.1)


def _heart(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Quilez' heart of height about 1.1, enlarged, with its tip at the bottom."""
    enlarged = 1.55
    u, v = np.abs(x) / enlarged, (y + 0.86) / enlarged
    along = 0.5 * np.maximum(u + v, 0)
    to_tip = np.minimum(u * u + (v - 1) ** 2, (u - along) ** 2 + (v - along) ** 2)
    below = np.sqrt(to_tip) * np.sign(u - v)
    above = _length(u - 0.25, v - 0.75) - 0.35355
    outline = np.where(u + v > 1, above, below) * enlarged
    return _extrude(outline, z, half_depth=0.27, rounding=0.16)


def _gear(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Nine teeth around a hole. cos(9t) = T3(T3(cos t)), with the Chebyshev polynomial T3."""
    radius = np.maximum(_length(x, y), 1e-3)
    cosine = y / radius
    for _ in range(2):
        cosine = cosine * (4 * cosine * cosine - 3)
    rim = 0.76 + 0.11 * np.tanh(4 * cosine)
    outline = np.maximum((radius - rim) * 0.55, 0.27 - radius)
    return _extrude(outline, z, half_depth=0.22, rounding=0.05)


SOLIDS: dict[str, Field] = {
    "sphere": _sphere,
    "cube": _cube,
    "torus": _torus,
    "cone": _cone,
    "cylinder": _cylinder,
    "capsule": _capsule,
    "octahedron": _octahedron,
    "star": _star,
    "heart": _heart,
    "gear": _gear,
}

# These are recognized by their outline, so they are turned toward the camera.
FACING_CAMERA = frozenset({"torus", "star", "heart", "gear"})


def normals(field: Field, points: np.ndarray, step: float = 0.01) -> np.ndarray:
    """Unit normals, (3, N), of the surface at ``points``, (3, N).

    The gradient of the field, from its values at the corners of a small tetrahedron.
    """
    gradient = np.zeros_like(points)
    for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        offset = np.array(corner, np.float32)[:, None]
        gradient += offset * field(*(points + np.float32(step) * offset))
    return gradient / (_length(*gradient) + 1e-6)

"""What stands before the camera: ten shapes, five patterns, and all random decisions as values.

A *difficulty* in [0, 1] scales nine nuisances at once. Each nuisance is drawn uniformly between
none and its worst, times the difficulty: a picture of difficulty 1 may be small *and* blurred *and*
dim, but is rarely all of these.
"""

import colorsys
from types import SimpleNamespace

import numpy as np

# --- shapes --------------------------------------------------------------------------------------
# Signed distance fields: how far each point is from the surface, negative inside. They may be too
# small, never much too large: a ray walks by this distance and must not overstep. Each shape fits
# into a sphere of radius BOUNDING_RADIUS about the origin; y points up and z toward the camera.
# Coordinates and distances are float32 arrays of one shape.
# The formulas follow Inigo Quilez, "Distance functions", https://iquilezles.org/articles/.

BOUNDING_RADIUS = 1.2


def _length(*components):
    return np.sqrt(sum(component * component for component in components))


def _extrude(outline, across, half_depth, rounding):
    """Thicken a flat outline (a distance in the plane) to a slab with rounded edges."""
    beside = outline + rounding
    above = np.abs(across) - (half_depth - rounding)
    outside = _length(np.maximum(beside, 0), np.maximum(above, 0))
    return outside + np.minimum(np.maximum(beside, above), 0) - rounding


def _cube(x, y, z):
    sides = [np.abs(component) - 0.56 for component in (x, y, z)]
    outside = _length(*(np.maximum(side, 0) for side in sides))
    inside = np.minimum(np.maximum(np.maximum(sides[0], sides[1]), sides[2]), 0)
    return outside + inside - 0.06


def _cone(x, y, z):
    slant = _length(x, z) * 0.9 + (y - 0.95) * 0.43
    return _extrude(slant, y + 0.1, half_depth=0.72, rounding=0.05)


def _star(x, y, z):
    """Five points: mirrors fold the plane into half a point, which is bounded by one line."""
    toward_x, toward_y = float(np.sin(np.pi / 5)), float(np.cos(np.pi / 5))
    u, v = np.abs(x), y
    for _ in range(2):
        beyond = np.maximum(u * toward_y - v * toward_x, 0) * 2
        u, v = np.abs(u - beyond * toward_y), v + beyond * toward_x
    edge = (v - 1.0) * 0.504 + u * 0.864
    return _extrude(edge, z, half_depth=0.24, rounding=0.1)


def _heart(x, y, z):
    """Quilez' heart of height about 1.1, enlarged, with its tip at the bottom."""
    enlarged = 1.55
    u, v = np.abs(x) / enlarged, (y + 0.86) / enlarged
    along = 0.5 * np.maximum(u + v, 0)
    to_tip = np.minimum(u * u + (v - 1) ** 2, (u - along) ** 2 + (v - along) ** 2)
    below = np.sqrt(to_tip) * np.sign(u - v)
    above = _length(u - 0.25, v - 0.75) - 0.35355
    outline = np.where(u + v > 1, above, below) * enlarged
    return _extrude(outline, z, half_depth=0.27, rounding=0.16)


def _gear(x, y, z):
    """Nine teeth around a hole. cos(9t) = T3(T3(cos t)), with the Chebyshev polynomial T3."""
    radius = np.maximum(_length(x, y), 1e-3)
    cosine = y / radius
    for _ in range(2):
        cosine = cosine * (4 * cosine * cosine - 3)
    rim = 0.76 + 0.11 * np.tanh(4 * cosine)
    outline = np.maximum((radius - rim) * 0.55, 0.27 - radius)
    return _extrude(outline, z, half_depth=0.22, rounding=0.05)


SHAPES = {
    "sphere": lambda x, y, z: _length(x, y, z) - 0.86,
    "cube": _cube,
    "torus": lambda x, y, z: _length(_length(x, y) - 0.64, z) - 0.29,
    "cone": _cone,
    "cylinder": lambda x, y, z: _extrude(_length(x, z) - 0.56, y, half_depth=0.74, rounding=0.06),
    "capsule": lambda x, y, z: _length(x, y - np.clip(y, -0.52, 0.52), z) - 0.43,
    "octahedron": lambda x, y, z: (np.abs(x) + np.abs(y) + np.abs(z) - 1.0) * 0.57735 - 0.03,
    "star": _star,
    "heart": _heart,
    "gear": _gear,
}
FACING_CAMERA = {"torus", "star", "heart", "gear"}  # recognized by their outline


# --- patterns ------------------------------------------------------------------------------------
# How much of the second paint, 0 to 1, covers each of N points (3, N) with unit normals (3, N), in
# the toy's coordinates. Each pattern reads what it needs from the scene and ignores the rest: two
# pictures that differ only in their pattern share everything else.


def _soft_edge(wave):
    """0 or 1 by the sign of ``wave``, with a narrow ramp that keeps edges free of stairs."""
    return np.clip(wave * 6 + 0.5, 0, 1)


def _striped(points, normals, scene):
    along = (points * scene.stripe_direction[:, None]).sum(axis=0)
    return _soft_edge(np.sin(1.45 * scene.frequency * along + scene.phases[0]))


def _checked(points, normals, scene):
    waves = np.sin(scene.frequency * points + scene.phases[:, None])
    return _soft_edge(2 * waves[0] * waves[1] * waves[2])


def _dotted(points, normals, scene):
    """Staggered rows of dots, projected along the axis that the surface faces most."""
    x, y, z = points
    facing = np.abs(normals).argmax(axis=0)
    cells = 0.42 * scene.frequency
    u = np.where(facing == 0, y, x) * cells + scene.phases[0]
    v = np.where(facing == 2, y, z) * cells + scene.phases[1]
    u = u + 0.5 * (np.floor(v) % 2)
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    return np.clip((0.30 - np.sqrt(u * u + v * v)) * 9 + 0.5, 0, 1)


def _ringed(points, normals, scene):
    axis = scene.ring_axis[:, None]
    radius = _length(*(points - axis * (points * axis).sum(axis=0)))
    return _soft_edge(np.sin(1.7 * scene.frequency * radius + scene.phases[0]))


PATTERNS = {
    "plain": lambda points, normals, scene: np.zeros_like(points[0]),
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "ringed": _ringed,
}

CLASS_NAMES = tuple(f"{pattern} {shape}" for shape in SHAPES for pattern in PATTERNS)
"""The 50 classes; the position in this tuple is the label."""


# --- decisions -----------------------------------------------------------------------------------

# The least difference between the two paints in the finished picture, where fully lit. In luma and
# not in hue, so that nobody needs to tell red from green to tell striped from plain.
FAINTEST_PATTERN = 0.16


class Scene(SimpleNamespace):
    """A toy in the studio: what ``draw_scene`` decides, by name."""


def draw_scene(rng: np.random.Generator, label: int, hardness: float = 1.0) -> Scene:
    """Decide everything about a picture but its textures and its noise.

    Except for the pose, which depends on the shape, nothing depends on the label. The order of the
    draws is part of the pictures: another order gives another data set. Colors are float32 (3,) in
    [0, 1], directions float32 unit vectors (3,), angles in radians.

    Args:
        rng: the picture's own generator.
        label: position in ``CLASS_NAMES``.
        hardness: the difficulty is U^(1/hardness) with U uniform; above 1 makes more pictures
            difficult.
    """
    scene = Scene()
    scene.pattern, scene.shape = CLASS_NAMES[label].split()
    scene.difficulty = float(rng.random()) ** (1 / hardness)
    scene.hue = rng.uniform()  # of the backdrop
    nuisances = rng.random(9) * scene.difficulty
    small, camouflaged, faint, near, wide, blurred, dim, pale, noisy = nuisances
    _draw_pose(scene, rng, small)
    # What the photograph loses.
    scene.blur = 2.6 * blurred  # sigma in pixels at 299 pixels
    scene.gain = rng.uniform(0.95, 1.15) * (1 - 0.4 * dim)
    scene.tone = rng.uniform(-0.22, 0.22)  # bends the tone curve: up when positive
    scene.contrast = 1 - 0.5 * pale
    scene.grain = 0.006 + 0.03 * noisy  # standard deviation of noise common to the channels
    scene.color_noise = 0.004 + 0.015 * noisy  # and of noise in each channel
    # How a pattern lies on the toy, in the toy's own coordinates.
    stripes = ((0.3, 0.9, 0.2), (0.8, 0.5, 0.3))[rng.integers(2)]
    toward_camera = np.array([*rng.uniform(-0.3, 0.3, 2), 1])
    scene.frequency = rng.uniform(6.5, 10)  # radians per unit
    scene.stripe_direction = _unit(rng.normal(size=3) * (0.35, 0.35, 0.15) + stripes)
    scene.ring_axis = _unit(scene.rotation.T @ toward_camera)
    scene.phases = (3 * rng.normal(size=3)).astype(np.float32)
    toy_hue = scene.hue + (0.5 + rng.uniform(-0.3, 0.3)) * (1 - 0.9 * camouflaged)
    _draw_paint(scene, rng, toy_hue, faint)
    # One lamp, and a soft light from everywhere.
    scene.lamp = _unit(rng.uniform((-0.9, 0.25, 0.5), (0.9, 1, 1.1)))  # toward it, from the toy
    scene.ambient = rng.uniform(0.32, 0.5)
    scene.gloss = rng.uniform(0.1, 0.7)  # strength of the highlight
    scene.sharpness = rng.uniform(18, 60)  # exponent of the highlight: large is small and hard
    _draw_ribbon(scene, rng, near, wide)
    return scene


def _draw_pose(scene, rng, small):
    """How the toy is turned (about y, then about x, then about z), how large and where it is."""
    turns = rng.uniform(-1, 1, 3)
    if scene.shape in FACING_CAMERA:
        angles = turns * (0.75, 0.6, 0.5)
    else:  # from any side, and from above, so that the top of a cylinder shows
        angles = turns * (np.pi, 0.25, 0.6) + (0, 0.5, 0)
    (cos_y, cos_x, cos_z), (sin_y, sin_x, sin_z) = np.cos(angles), np.sin(angles)
    about_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    about_x = np.array([[1, 0, 0], [0, cos_x, -sin_x], [0, sin_x, cos_x]])
    about_z = np.array([[cos_z, -sin_z, 0], [sin_z, cos_z, 0], [0, 0, 1]])
    # (3, 3), from the toy's coordinates to the camera's.
    scene.rotation = (about_z @ about_x @ about_y).astype(np.float32)
    scene.scale = rng.uniform(0.33, 0.41) - 0.15 * small  # of one unit, as a share of the side
    scene.center = 0.5 + rng.uniform(-0.09, 0.09, 2)  # x and y, as shares of the side


def _draw_paint(scene, rng, hue, faint):
    """The color of a plain toy (``first``), and that of its pattern (``second``)."""
    saturation, value = rng.uniform(0.45, 0.9), rng.uniform(0.75, 1)
    first = hsv(hue, saturation, value)
    another_hue = hsv(
        hue + rng.uniform(0.25, 0.6),
        saturation * rng.uniform(0.4, 1),
        value * rng.uniform(0.35, 0.7),
    )
    nearly_gray = hsv(
        hue + rng.uniform(-0.1, 0.1), saturation * rng.uniform(0, 0.4), rng.choice([0.97, 0.22])
    )
    second = another_hue if rng.random() < 0.5 else nearly_gray
    second = first + (second - first) * np.float32(1 - 0.8 * faint**0.8)
    least_gap = FAINTEST_PATTERN / (scene.gain * scene.contrast)
    scene.first, scene.second = first, _set_apart(first, second, least_gap)


def _set_apart(first, second, least_gap):
    """Lighten or darken ``second`` until its luma differs from that of ``first`` by the gap.

    It goes on in the direction in which it already differs, unless there is no room.
    """
    gap = luma(second) - luma(first)
    if abs(gap) >= least_gap:
        return second
    has_room_above, has_room_below = luma(first) + least_gap <= 1, luma(first) >= least_gap
    lighter = has_room_above and not (gap < 0 and has_room_below)
    end = np.full(3, float(lighter), np.float32)
    goal = luma(first) + (least_gap if lighter else -least_gap)
    share = (goal - luma(second)) / (luma(end) - luma(second))
    return second + (end - second) * np.float32(share)


def _draw_ribbon(scene, rng, near, wide):
    """A strip of cloth that may hang in front of the toy. Lengths are in units of the toy."""
    scene.ribbon_angle = rng.uniform(0, 2 * np.pi)
    scene.ribbon_distance = max(rng.uniform(0.35, 0.9) - 0.6 * near, 0.05)  # from the toy's center
    scene.ribbon_bends = rng.uniform(1, 5)  # radians per unit
    scene.ribbon_half_width = rng.uniform(0.05, 0.16) + 0.12 * wide  # less than the capsule's
    color = scene.hue + rng.uniform(-0.2, 0.2), rng.uniform(0.2, 0.8), rng.uniform(0.25, 0.8)
    scene.ribbon_color = hsv(*color)
    scene.has_ribbon = rng.random() <= 0.05 + 0.5 * scene.difficulty


def _unit(vector):
    return (vector / _length(*vector)).astype(np.float32)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """An RGB color, (3,) float32 in [0, 1]; the hue wraps around at 1."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def luma(color: np.ndarray) -> float:
    """How light an RGB color looks, 0 to 1 (Rec. 601, meant for gamma-encoded values)."""
    return float(0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2])

"""Every random decision behind a picture, as plain values.

Drawing the decisions is apart from rendering them, so a test can look at the contrast of ten
thousand patterns without rendering one, and a picture shows the same scene at every size.

A *difficulty* in [0, 1] scales ten nuisances at once. Each nuisance is drawn uniformly between
none and its worst, times the difficulty: a picture of difficulty 1 may be small *and* blurred *and*
dim, but is rarely all of these.
"""

from dataclasses import dataclass

import numpy as np

from fgsm_lib.demo.patterns import PATTERNS, Markings
from fgsm_lib.demo.solids import FACING_CAMERA, SOLIDS
from fgsm_lib.demo.textures import hsv, luma

CLASS_NAMES: tuple[str, ...] = tuple(
    f"{pattern} {shape}" for shape in SOLIDS for pattern in PATTERNS
)
"""The 50 classes; the position in this tuple is the label."""

FAINTEST_PATTERN = 0.16
"""The least difference in luma between the two paints, in the finished picture, where fully lit.

In luma and not in hue, so that nobody needs to tell red from green to tell striped from plain.
"""


@dataclass(frozen=True)
class Pose:
    """Where the toy is and how it is turned."""

    rotation: np.ndarray  # (3, 3), from the toy's coordinates to the camera's
    scale: float  # length of one unit, as a fraction of the picture's side
    center: tuple[float, float]  # x and y, as fractions of the side


@dataclass(frozen=True)
class Paint:
    """The two colors of a toy, (3,) each; a plain toy shows only ``first``."""

    first: np.ndarray
    second: np.ndarray


@dataclass(frozen=True)
class Light:
    """One lamp and a soft light from everywhere."""

    direction: np.ndarray  # (3,) unit vector toward the lamp, in camera coordinates
    ambient: float
    gloss: float  # strength of the highlight
    sharpness: float  # exponent of the highlight: large is small and hard


@dataclass(frozen=True)
class Ribbon:
    """A strip of cloth that hangs in front of the toy. Lengths are in units of the toy."""

    angle: float
    distance: float  # of its middle line from the toy's center
    bends: float  # radians per unit
    half_width: float
    color: np.ndarray


@dataclass(frozen=True)
class Camera:
    """What the photograph loses."""

    blur: float  # sigma in pixels at 299 pixels
    gain: float
    tone: float  # bends the tone curve: up when positive
    contrast: float
    grain: float  # standard deviation of noise common to the three channels
    color_noise: float  # standard deviation of noise in each channel


@dataclass(frozen=True)
class Scene:
    """A toy in the studio."""

    label: int
    difficulty: float
    hue: float  # of the backdrop
    pose: Pose
    marks: Markings
    paint: Paint
    light: Light
    ribbon: Ribbon | None
    camera: Camera

    @property
    def pattern(self) -> str:
        return CLASS_NAMES[self.label].split()[0]

    @property
    def shape(self) -> str:
        return CLASS_NAMES[self.label].split()[1]


def draw_scene(rng: np.random.Generator, label: int, hardness: float = 1.0) -> Scene:
    """Decide everything about a picture but its textures and its noise.

    Except for the pose, which depends on the shape, nothing depends on the label: the same ``rng``
    state with another pattern gives the same toy in another dress.

    Args:
        rng: the picture's own generator.
        label: position in ``CLASS_NAMES``.
        hardness: the difficulty is U^(1/hardness) with U uniform; above 1 makes more pictures
            difficult.
    """
    difficulty = float(rng.random()) ** (1 / hardness)
    hue = rng.uniform()
    small, camouflaged, faint, near, wide, blurred, dim, pale, noisy = rng.random(9) * difficulty
    shape = CLASS_NAMES[label].split()[1]
    pose = _draw_pose(rng, shape in FACING_CAMERA, small)
    camera = Camera(
        blur=2.6 * blurred,
        gain=rng.uniform(0.95, 1.15) * (1 - 0.4 * dim),
        tone=rng.uniform(-0.22, 0.22),
        contrast=1 - 0.5 * pale,
        grain=0.006 + 0.03 * noisy,
        color_noise=0.004 + 0.015 * noisy,
    )
    marks = _draw_markings(rng, pose)
    toy_hue = hue + (0.5 + rng.uniform(-0.3, 0.3)) * (1 - 0.9 * camouflaged)
    least_gap = FAINTEST_PATTERN / (camera.gain * camera.contrast)
    paint = _draw_paint(rng, toy_hue, faint, least_gap)
    light = _draw_light(rng)
    ribbon = _draw_ribbon(rng, hue, near, wide)
    if rng.random() > 0.05 + 0.5 * difficulty:
        ribbon = None
    return Scene(label, difficulty, hue, pose, marks, paint, light, ribbon, camera)


def _draw_pose(rng: np.random.Generator, facing_camera: bool, small: float) -> Pose:
    turns = rng.uniform(-1, 1, 3)
    if facing_camera:
        yaw, pitch, roll = turns * (0.75, 0.6, 0.5)
    else:  # from any side, and from above, so that the top of a cylinder shows
        yaw, pitch, roll = turns * (np.pi, 0.25, 0.6) + (0, 0.5, 0)
    return Pose(
        rotation=_rotation(yaw, pitch, roll),
        scale=rng.uniform(0.33, 0.41) - 0.15 * small,
        center=tuple(0.5 + rng.uniform(-0.09, 0.09, 2)),
    )


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turn about y, then about x, then about the viewing direction z."""
    (cos_yaw, sin_yaw), (cos_pitch, sin_pitch), (cos_roll, sin_roll) = (
        (np.cos(angle), np.sin(angle)) for angle in (yaw, pitch, roll)
    )
    about_y = np.array([[cos_yaw, 0, sin_yaw], [0, 1, 0], [-sin_yaw, 0, cos_yaw]])
    about_x = np.array([[1, 0, 0], [0, cos_pitch, -sin_pitch], [0, sin_pitch, cos_pitch]])
    about_z = np.array([[cos_roll, -sin_roll, 0], [sin_roll, cos_roll, 0], [0, 0, 1]])
    return (about_z @ about_x @ about_y).astype(np.float32)


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.sqrt((vector**2).sum())).astype(np.float32)


def _draw_markings(rng: np.random.Generator, pose: Pose) -> Markings:
    main_direction = ((0.3, 0.9, 0.2), (0.8, 0.5, 0.3))[rng.integers(2)]
    toward_camera = np.array([*rng.uniform(-0.3, 0.3, 2), 1])
    return Markings(
        frequency=rng.uniform(6.5, 10),
        stripe_direction=_unit(rng.normal(size=3) * (0.35, 0.35, 0.15) + main_direction),
        # In the toy's coordinates, so that the rings show their center to the camera.
        ring_axis=_unit(pose.rotation.T @ toward_camera),
        phases=(3 * rng.normal(size=3)).astype(np.float32),
    )


def _draw_paint(rng: np.random.Generator, hue: float, faint: float, least_gap: float) -> Paint:
    saturation, value = rng.uniform(0.45, 0.9), rng.uniform(0.75, 1)
    first = hsv(hue, saturation, value)
    another_hue = hsv(
        hue + rng.uniform(0.25, 0.6),
        saturation * rng.uniform(0.4, 1),
        value * rng.uniform(0.35, 0.7),
    )
    nearly_grey = hsv(
        hue + rng.uniform(-0.1, 0.1), saturation * rng.uniform(0, 0.4), rng.choice([0.97, 0.22])
    )
    second = another_hue if rng.random() < 0.5 else nearly_grey
    second = first + (second - first) * np.float32(1 - 0.8 * faint**0.8)
    return Paint(first, _set_apart(first, second, least_gap))


def _set_apart(first: np.ndarray, second: np.ndarray, least_gap: float) -> np.ndarray:
    """Lighten or darken ``second`` until its luma differs from that of ``first`` by the gap.

    It goes on in the direction in which it already differs, unless there is no room: then in the
    other.
    """
    gap = luma(second) - luma(first)
    if abs(gap) >= least_gap:
        return second
    lighter = luma(first) + least_gap <= 1
    if gap < 0 and luma(first) - least_gap >= 0:
        lighter = False
    end = np.full(3, 1.0 if lighter else 0.0, np.float32)
    goal = luma(first) + (least_gap if lighter else -least_gap)
    share = (goal - luma(second)) / (luma(end) - luma(second))
    return second + (end - second) * np.float32(share)


def _draw_light(rng: np.random.Generator) -> Light:
    return Light(
        direction=_unit(
            np.array([rng.uniform(-0.9, 0.9), rng.uniform(0.25, 1), rng.uniform(0.5, 1.1)])
        ),
        ambient=rng.uniform(0.32, 0.5),
        gloss=rng.uniform(0.1, 0.7),
        sharpness=rng.uniform(18, 60),
    )


def _draw_ribbon(rng: np.random.Generator, hue: float, near: float, wide: float) -> Ribbon:
    return Ribbon(
        angle=rng.uniform(0, 2 * np.pi),
        distance=max(rng.uniform(0.35, 0.9) - 0.6 * near, 0.05),
        bends=rng.uniform(1, 5),
        half_width=rng.uniform(0.05, 0.16) + 0.12 * wide,  # never as wide as the capsule
        color=hsv(hue + rng.uniform(-0.2, 0.2), rng.uniform(0.2, 0.8), rng.uniform(0.25, 0.8)),
    )

"""Five surface patterns: how much of the second paint covers each point of a toy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Markings:
    """How a pattern lies on a toy, in the toy's own coordinates.

    Every pattern reads what it needs and ignores the rest, so that two pictures which differ only
    in their pattern share everything else.
    """

    frequency: float  # radians per unit length
    stripe_direction: np.ndarray  # (3,) unit vector across the stripes
    ring_axis: np.ndarray  # (3,) unit vector through the center of the rings
    phases: np.ndarray  # (3,) radians


def _soft_edge(wave: np.ndarray) -> np.ndarray:
    """0 or 1 by the sign of ``wave``, with a narrow ramp that keeps edges free of stairs."""
    return np.clip(wave * 6 + 0.5, 0, 1)


def _plain(points: np.ndarray, normals: np.ndarray, marks: Markings) -> np.ndarray:
    return np.zeros_like(points[0])


def _striped(points: np.ndarray, normals: np.ndarray, marks: Markings) -> np.ndarray:
    along = (points * marks.stripe_direction[:, None]).sum(axis=0)
    return _soft_edge(np.sin(1.45 * marks.frequency * along + marks.phases[0]))


def _checked(points: np.ndarray, normals: np.ndarray, marks: Markings) -> np.ndarray:
    waves = np.sin(marks.frequency * points + marks.phases[:, None])
    return _soft_edge(2 * waves[0] * waves[1] * waves[2])


def _dotted(points: np.ndarray, normals: np.ndarray, marks: Markings) -> np.ndarray:
    """Staggered rows of dots, projected along the axis that the surface faces most."""
    x, y, z = points
    facing = np.abs(normals).argmax(axis=0)
    cells = 0.42 * marks.frequency
    u = np.where(facing == 0, y, x) * cells + marks.phases[0]
    v = np.where(facing == 2, y, z) * cells + marks.phases[1]
    u = u + 0.5 * (np.floor(v) % 2)
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    return np.clip((0.30 - np.sqrt(u * u + v * v)) * 9 + 0.5, 0, 1)


def _ringed(points: np.ndarray, normals: np.ndarray, marks: Markings) -> np.ndarray:
    axis = marks.ring_axis[:, None]
    across = points - axis * (points * axis).sum(axis=0)
    radius = np.sqrt((across * across).sum(axis=0))
    return _soft_edge(np.sin(1.7 * marks.frequency * radius + marks.phases[0]))


Pattern = Callable[[np.ndarray, np.ndarray, Markings], np.ndarray]

PATTERNS: dict[str, Pattern] = {
    "plain": _plain,
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "ringed": _ringed,
}
"""Each takes points (3, N), unit normals (3, N) and markings; returns (N,) values in [0, 1]."""

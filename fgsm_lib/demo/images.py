"""The demo pictures: 50 classes of toys, each picture determined by ``(seed, index)`` alone."""

from dataclasses import dataclass

import numpy as np

from fgsm_lib.demo.render import render
from fgsm_lib.demo.scene import CLASS_NAMES, Scene, draw_scene

__all__ = ["CLASS_NAMES", "Picture", "label_of", "picture", "scene_of"]


@dataclass(frozen=True)
class Picture:
    """One demo picture."""

    pixels: np.ndarray  # (size, size, 3) uint8, RGB
    label: int  # position in CLASS_NAMES
    difficulty: float  # 0 (studio conditions) to 1

    @property
    def class_name(self) -> str:
        return CLASS_NAMES[self.label]


def label_of(seed: int, index: int) -> int:
    """The class of a picture. Each run of 50 indices shows each class once, in random order."""
    block, position = divmod(index, len(CLASS_NAMES))
    order = np.random.default_rng([seed, block, len(CLASS_NAMES)]).permutation(len(CLASS_NAMES))
    return int(order[position])


def scene_of(seed: int, index: int, label: int | None = None, hardness: float = 1.0) -> Scene:
    """The decisions behind ``picture`` with the same arguments."""
    label = label_of(seed, index) if label is None else label
    return draw_scene(np.random.default_rng([seed, index]), label, hardness)


def picture(
    seed: int, index: int, size: int = 299, label: int | None = None, hardness: float = 1.0
) -> Picture:
    """Render picture ``index`` of the split ``seed``.

    The same arguments give the same picture in every process, and on other processors the same
    to within a grey level, except for single pixels on an edge.

    Args:
        seed: the split: one for the 1000, others for training and validation.
        index: the picture within the split.
        size: side in pixels. The scene is the same at every size; only the grain is not.
        label: a class instead of the one that ``label_of`` assigns.
        hardness: above 1 for more difficult pictures, see ``draw_scene``.
    """
    scene = scene_of(seed, index, label, hardness)
    # A third number keeps the textures independent of the decisions of the scene.
    pixels = render(scene, size, np.random.default_rng([seed, index, 1]))
    return Picture(pixels, scene.label, scene.difficulty)

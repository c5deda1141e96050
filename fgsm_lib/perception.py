"""How visible a perturbation is: standard measures of image difference, from scikit-image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from skimage.color import deltaE_cie76, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fgsm_lib.attacks import clip_bounds, eight_bit, input_gradient, perturb, random_signs
from fgsm_lib.study import Study, single

# The smallest color difference that people notice between two plain patches side by side
# (Mahy, Van Eycken and Oosterlinck 1994), in the units of CIE76.
JUST_NOTICEABLE_DELTA_E = 2.3

DIRECTIONS = ("FGSM", "random signs")


def similarity(clean: torch.Tensor, changed: torch.Tensor) -> tuple[float, float]:
    """PSNR and SSIM of two images, float (3, H, W) in [0, 1], taken as 8-bit images.

    PSNR is in dB, infinite for equal images; SSIM is in [-1, 1], and 1 for equal images.
    """
    a, b = (to_uint8(image) for image in (clean, changed))
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(a, b, data_range=255)
    return float(psnr), float(structural_similarity(a, b, channel_axis=2, data_range=255))


@dataclass(frozen=True)
class Difference:
    """A clean and an attacked image, float (3, H, W) in [0, 1], rounded to 8 bits.

    ``direction`` is one of ``DIRECTIONS``. Per pixel, float (H, W): ``lightness``, the L* of the
    clean image in CIELAB, from 0 (black) to 100 (white), and ``delta_e``, how far the color has
    moved (CIE76).
    """

    direction: str
    epsilon_255: float
    clean: torch.Tensor
    changed: torch.Tensor
    lightness: np.ndarray
    delta_e: np.ndarray

    def key(self) -> dict[str, object]:
        """Which attack this is, as columns of a table."""
        return {"direction": self.direction, "epsilon_255": self.epsilon_255}

    def measures(self) -> dict[str, float]:
        """``psnr`` and ``ssim`` of ``similarity``, and ``delta_e``, the mean over all pixels."""
        psnr, ssim = similarity(self.clean, self.changed)
        return {"psnr": psnr, "ssim": ssim, "delta_e": float(self.delta_e.mean())}


def attacker(
    study: Study, sample: int
) -> tuple[torch.Tensor, Callable[[str, float], torch.Tensor]]:
    """A clean image (3, H, W), and what attacks it: (one of ``DIRECTIONS``, epsilon) -> image."""
    images, labels = single(study, sample)
    gradient, _ = input_gradient(study.classifier, images, labels, study.profile.objective)
    bounds = clip_bounds(images, study.classifier, study.profile.clip)
    signs = (gradient.sign(), random_signs(images[0], sample)[None])
    directions = dict(zip(DIRECTIONS, signs, strict=True))

    def attack(direction: str, epsilon: float) -> torch.Tensor:
        return perturb(images, directions[direction], epsilon, bounds)[0]

    return images[0], attack


def differences(study: Study, sample: int, epsilon_255: Sequence[float]) -> Iterator[Difference]:
    """What each direction does to a sample at each epsilon."""
    image, attack = attacker(study, sample)
    clean = eight_bit(image)
    colors = rgb2lab(to_uint8(clean))
    for direction in DIRECTIONS:
        for epsilon in epsilon_255:
            changed = eight_bit(attack(direction, epsilon / 255))
            delta_e = deltaE_cie76(colors, rgb2lab(to_uint8(changed)))
            yield Difference(direction, epsilon, clean, changed, colors[..., 0], delta_e)


def difference_table(
    study: Study, samples: Sequence[int], epsilon_255: Sequence[float]
) -> pd.DataFrame:
    """Mean of each of the measures over some samples: one row per direction and epsilon."""
    rows = [
        one.key() | one.measures()
        for sample in samples
        for one in differences(study, sample, epsilon_255)
    ]
    return means(pd.DataFrame(rows))


def means(measures: pd.DataFrame) -> pd.DataFrame:
    """Mean of every measure over the samples: one row per direction and epsilon."""
    return measures.groupby(["direction", "epsilon_255"], sort=False).mean().reset_index()


def to_uint8(image: torch.Tensor) -> np.ndarray:
    """Float (3, H, W) in [0, 1] -> uint8 (H, W, 3), as an image file holds it."""
    pixels = (image.detach().clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.permute(1, 2, 0).cpu().numpy()

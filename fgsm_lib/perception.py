"""How visible a perturbation is: standard measures of image difference, from scikit-image."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from skimage.color import deltaE_cie76, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fgsm_lib.attacks import clip_bounds, input_gradient, perturb, random_signs
from fgsm_lib.study import Study, single

# The smallest color difference that people notice between two plain patches side by side
# (Mahy, Van Eycken and Oosterlinck 1994), in the units of CIE76.
JUST_NOTICEABLE_DELTA_E = 2.3

DIRECTIONS = ("FGSM", "random signs")


def image_difference(clean: torch.Tensor, changed: torch.Tensor) -> dict[str, float]:
    """Three measures between two images, float (3, H, W) in [0, 1], as 8-bit images.

    ``psnr`` in dB (infinite for equal images), ``ssim`` in [-1, 1] (1 for equal images), and
    ``delta_e``, the mean over pixels of the CIE76 color difference in CIELAB.
    """
    a, b = (to_uint8(image) for image in (clean, changed))
    psnr, ssim = similarity(clean, changed)
    return {
        "psnr": psnr,
        "ssim": ssim,
        "delta_e": float(deltaE_cie76(rgb2lab(a), rgb2lab(b)).mean()),
    }


def similarity(clean: torch.Tensor, changed: torch.Tensor) -> tuple[float, float]:
    """PSNR in dB and SSIM alone, as ``image_difference`` has them, without its slow color part."""
    a, b = (to_uint8(image) for image in (clean, changed))
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(a, b, data_range=255)
    return float(psnr), float(structural_similarity(a, b, channel_axis=2, data_range=255))


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


def difference_table(
    study: Study, samples: Sequence[int], epsilon_255: Sequence[float]
) -> pd.DataFrame:
    """Mean of each measure over some samples: one row per direction and epsilon."""
    rows = []
    for sample in samples:
        image, attack = attacker(study, sample)
        for direction in DIRECTIONS:
            for epsilon in epsilon_255:
                measures = image_difference(image, attack(direction, epsilon / 255))
                rows.append({"direction": direction, "epsilon_255": epsilon, **measures})
    means = pd.DataFrame(rows).groupby(["direction", "epsilon_255"], sort=False).mean()
    return means.reset_index()


def to_uint8(image: torch.Tensor) -> np.ndarray:
    """Float (3, H, W) in [0, 1] -> uint8 (H, W, 3), as an image file holds it."""
    pixels = (image.detach().clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.permute(1, 2, 0).cpu().numpy()

"""How visible a perturbation is: standard measures of image difference, from scikit-image.

All are taken on images rounded to 8 bits, as an image file shows them. Images are float (C, H, W)
in [0, 1], with one or three channels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from skimage.color import deltaE_cie76, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fgsm_lib import InputError

if TYPE_CHECKING:
    import torch

# The smallest color difference that people notice between two plain patches side by side
# (Mahy, Van Eycken and Oosterlinck 1994), in the units of CIE76.
JUST_NOTICEABLE_DELTA_E = 2.3


def to_uint8(image: "torch.Tensor") -> np.ndarray:
    """Float (C, H, W) in [0, 1] -> uint8 (H, W, C), as an image file holds it."""
    pixels = image.detach().float().cpu().numpy().clip(0, 1)
    return np.rint(pixels * 255).astype(np.uint8).transpose(1, 2, 0)


def delta_e(image: "torch.Tensor", other: "torch.Tensor") -> float:
    """The mean distance ΔE of the pixels' colors in CIELAB (CIE76); 0 for equal images.

    A distance of 2.3 is just noticeable between plain patches; noise is not a plain patch, so
    this says how far colors move, not what the eye makes of it.
    """
    pair = _pair(image, other)
    colors = [rgb2lab(np.broadcast_to(pixels, (*pixels.shape[:2], 3))) for pixels in pair]
    return float(deltaE_cie76(*colors).mean())


def psnr(image: "torch.Tensor", other: "torch.Tensor") -> float:
    """The peak signal-to-noise ratio in dB; infinite for equal images."""
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(*_pair(image, other), data_range=255))


def ssim(image: "torch.Tensor", other: "torch.Tensor") -> float:
    """Structural similarity (Wang et al. 2004) in [-1, 1], 1 for equal images.

    It compares windows of 7 × 7 pixels: NaN for an image that holds none.
    """
    pair = _pair(image, other)
    if min(pair[0].shape[:2]) < 7:
        return float("nan")
    return float(structural_similarity(*pair, channel_axis=2, data_range=255))


def difference(image: "torch.Tensor", other: "torch.Tensor") -> dict[str, float]:
    """``delta_e``, ``psnr`` and ``ssim`` of two images of the same shape."""
    return {measure.__name__: measure(image, other) for measure in (delta_e, psnr, ssim)}


def crossing(epsilon_255: Sequence[float], values: Sequence[float], level: float) -> float:
    """The ε at which a measure first reaches a level, between the ε of a grid by a straight line.

    Infinite where it does not reach it on the grid. ``epsilon_255`` has to increase.
    """
    epsilon, measured = np.asarray(epsilon_255, dtype=float), np.asarray(values, dtype=float)
    if not (np.diff(epsilon) > 0).all():
        raise InputError(f"epsilon_255 is {list(epsilon_255)}; expected increasing values.")
    if not (measured >= level).any():
        return float("inf")
    first = int(np.argmax(measured >= level))
    ends = slice(max(first - 1, 0), first + 1)
    return float(np.interp(level, measured[ends], epsilon[ends]))


def _pair(image: "torch.Tensor", other: "torch.Tensor") -> tuple[np.ndarray, np.ndarray]:
    if image.shape != other.shape or image.ndim != 3:
        raise InputError(
            f"the images have the shapes {tuple(image.shape)} and {tuple(other.shape)}; expected "
            "(channels, height, width), the same for both."
        )
    return to_uint8(image), to_uint8(other)

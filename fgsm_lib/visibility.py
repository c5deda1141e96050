"""How large and how visible a step is: norms and similarity over epsilon, dark and light regions.

The measures of image quality are scikit-image's (see ``perception``); all of them are taken on
images rounded to 8 bits, as an image file would show them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from fgsm_lib import analysis
from fgsm_lib.cases import Case
from fgsm_lib.perception import differences
from fgsm_lib.study import Study

# Of CIELAB's lightness L*, which runs from 0 (black) to 100 (white).
LIGHTNESS_EDGES = (0, 20, 40, 60, 80, 100)


def difference_norms(clean: torch.Tensor, changed: torch.Tensor) -> dict[str, float]:
    """``linf`` (in 1/255) and ``l2`` of the difference of two images, float (3, H, W) in [0, 1].

    ``l2`` is the Euclidean length in units of the pixel range: the step from a black to a white
    image of N values has length √N.
    """
    difference = (changed - clean).double()
    return {"linf": float(difference.abs().max() * 255), "l2": float(difference.norm())}


def measure_table(study: Study, samples: Sequence[int], epsilon_255: Sequence[float]):
    """All measures per sample, direction and epsilon, and the same by lightness.

    Returns:
        two data frames. The first has columns sample, direction, epsilon_255, linf, l2, psnr,
        ssim, delta_e; the second sample, direction, epsilon_255, lightness (the lower edge of a
        band of ``LIGHTNESS_EDGES``), pixels, delta_e (mean over them).
    """
    whole, bands = [], []
    for sample in samples:
        for one in differences(study, sample, epsilon_255):
            key = {"sample": sample, **one.key()}
            whole.append(key | difference_norms(one.clean, one.changed) | one.measures())
            bands += [key | band for band in by_lightness(one.lightness, one.delta_e)]
    return pd.DataFrame(whole), pd.DataFrame(bands)


def by_lightness(lightness: np.ndarray, delta_e: np.ndarray) -> Iterator[dict[str, float]]:
    """Mean color difference ΔE (CIE76) of the pixels in each band of the clean lightness L*.

    Both are float (H, W), as in ``perception.Difference``.
    """
    band = np.clip(np.digitize(lightness, LIGHTNESS_EDGES) - 1, 0, len(LIGHTNESS_EDGES) - 2)
    for place, edge in enumerate(LIGHTNESS_EDGES[:-1]):
        inside = delta_e[band == place]
        if inside.size:
            yield {"lightness": edge, "pixels": inside.size, "delta_e": float(inside.mean())}


def lightness_curve(bands: pd.DataFrame, direction: str, epsilon_255: float) -> pd.DataFrame:
    """ΔE by lightness at one epsilon, with every image counting once in each band it has.

    Columns: lightness, images, delta_e, delta_e_low, delta_e_high (95%, Student's t).
    """
    rows = bands[(bands["direction"] == direction) & (bands["epsilon_255"] == epsilon_255)]
    result = []
    for lightness, group in rows.groupby("lightness"):
        result.append((lightness, len(group), *analysis.mean(group["delta_e"])))
    columns = ["lightness", "images", "delta_e", "delta_e_low", "delta_e_high"]
    return pd.DataFrame(result, columns=columns)


@dataclass(frozen=True)
class Region:
    """A square of an image: clean, attacked and with random signs, each float (3, S, S)."""

    clean: torch.Tensor
    attacked: torch.Tensor
    random: torch.Tensor


def darkest_and_lightest(
    case: Case, epsilon_255: float = 8, side: int = 56
) -> tuple[Region, Region]:
    """The squares of smallest and of largest mean value, on a grid of whole squares."""
    attacked, random = case.adversarial(epsilon_255), case.random(epsilon_255)
    side = min(side, *case.image.shape[1:])
    means = torch.nn.functional.avg_pool2d(case.image.mean(dim=0)[None, None], side)[0, 0]

    def region(place: int) -> Region:
        row, column = divmod(place, means.shape[1])
        window = (
            ...,
            slice(row * side, (row + 1) * side),
            slice(column * side, (column + 1) * side),
        )
        return Region(*(image[window] for image in (case.image, attacked, random)))

    return region(int(means.argmin())), region(int(means.argmax()))


def rounding_rates(table: pd.DataFrame, saved: pd.DataFrame) -> pd.DataFrame:
    """The exact and the saved attack on the same initially correct images, over epsilon.

    ``table`` is a sweep and ``saved`` the same one with ``eight_bit``, perhaps of fewer images.

    Columns: epsilon_255, n; exact and saved, the accuracies, each with its 95% Wilson bounds
    ``_low`` and ``_high``; unmoved, how many images are seen after saving with the very
    confidences of the clean image; fooled, how many the exact attack fools, and still, how many
    of these the saved one fools, too.
    """
    chosen = analysis.initially_correct(table)
    both = table.merge(saved, on=["sample", "epsilon_255"], suffixes=("", "_saved"))
    both = both[both["sample"].isin(chosen)]
    clean = both["sample"].map(analysis.clean(saved)["confidence_true"])
    both = both.assign(
        unmoved=both["confidence_true_saved"] == clean,
        still=~both["correct"] & ~both["correct_saved"],
    )
    result = []
    for epsilon, group in both.groupby("epsilon_255"):
        row = {"epsilon_255": epsilon, "n": len(group)}
        for name, right in (("exact", group["correct"]), ("saved", group["correct_saved"])):
            share, low, high = analysis.rate(int(right.sum()), len(group))
            row |= {name: share, f"{name}_low": low, f"{name}_high": high}
        counts = (group["unmoved"], ~group["correct"], group["still"])
        row |= {
            n: int(c.sum()) for n, c in zip(("unmoved", "fooled", "still"), counts, strict=True)
        }
        result.append(row)
    return pd.DataFrame(result)

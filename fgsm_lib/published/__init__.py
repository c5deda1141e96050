"""The numbers behind the figures of the original page; README.md beside this says what they are.

They were measured with GoogLeNet on the NIPS 2017 photographs and are shown for comparison only.
Every frame has the columns of this project's own tables, so one figure can draw both.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fgsm_lib.datasets import Photo

SOURCE = "GoogLeNet, original page"

# Lower edge in percent -> (low, high] of the clean confidence and the number of images.
BINS = {
    99: (0.99, 1.00, 39),
    95: (0.95, 0.99, 100),
    90: (0.90, 0.95, 105),
    85: (0.85, 0.90, 69),
    40: (0.40, 0.60, 155),
}

# The photographs behind the sample numbers of the original page.
SAMPLES = {766: "77c72d0a01e1af70", 132: "38546e7d7136c2ab", 528: "0af0a5dfee6b84ff"}

_FOLDER = Path(__file__).parent


def covers(photo: Photo) -> bool:
    """Whether the original page has a curve of this very photograph."""
    return SAMPLES.get(photo.sample) == photo.image_id


def covers_all(photos: Sequence[Photo]) -> bool:
    """Whether these are the photographs that the published means were taken over."""
    return len(photos) == 1000 and all(covers(photos[sample]) for sample in SAMPLES)


def missing() -> list[str]:
    """Names of the published files that are not there."""
    names = [_bin_file(percent) for percent in BINS]
    names += ["fgsm_all_samples.csv", "fgsm_samples_766_132.csv", "fgsm_sample_528_digitised.csv"]
    names += ["clean_predictions.csv"]
    return [name for name in names if not (_FOLDER / name).is_file()]


def comparable(photos: Sequence[Photo]) -> bool:
    """Whether a run on these photographs can be laid beside the published numbers."""
    return covers_all(photos) and not missing()


def bin_curve(percent: int) -> pd.DataFrame:
    """epsilon_255, top1, top5, confidence of one confidence bin (a key of ``BINS``)."""
    return _curve(_bin_file(percent))


def all_samples_curve() -> pd.DataFrame:
    """epsilon_255, top1, top5, confidence of all 1000 images."""
    return _curve("fgsm_all_samples.csv")


def sample_curve(sample: int) -> pd.DataFrame:
    """epsilon_255, correct, confidence of one of ``SAMPLES``."""
    if sample == 528:
        return pd.read_csv(_FOLDER / "fgsm_sample_528_digitised.csv")
    table = pd.read_csv(_FOLDER / "fgsm_samples_766_132.csv")
    return table[table["sample"] == sample].reset_index(drop=True)


def clean_predictions() -> pd.DataFrame:
    """predicted_class, correct, correct_top5, confidence of every sample at epsilon = 0."""
    table = pd.read_csv(_FOLDER / "clean_predictions.csv", index_col=0)
    return pd.DataFrame(
        {
            "predicted_class": table["Class Index"],
            "correct": table["Accuracy Top 1"].astype(bool),
            "correct_top5": table["Accuracy Top 5"].astype(bool),
            "confidence": table["Confidence 1"],
        }
    ).rename_axis("sample")


def _bin_file(percent: int) -> str:
    return f"fgsm_confidence_bin_{percent}.csv"


def _curve(name: str) -> pd.DataFrame:
    """The two kinds of file name the same four columns differently."""
    table = pd.read_csv(_FOLDER / name, index_col=0)
    table.columns = ["epsilon_255", "top1", "top5", "confidence"]
    return table

"""The numbers behind the figures of the original page, and this project's record of its own run.

README.md beside this says how the published numbers were measured. Both are shown for comparison
only. Frames have the columns of this project's own, so that one figure can draw them all.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from fgsm_lib.pictures import Picture, Pictures

_FOLDER = Path(__file__).parent
SOURCE = "GoogLeNet, original page"
CREDIT = (
    "[daved01/Adversarial_Examples](https://github.com/daved01/Adversarial_Examples), MIT license"
)

# Lower edge in percent -> (low, high] of the clean confidence and the number of pictures.
BINS = {
    99: (0.99, 1.00, 39),
    95: (0.95, 0.99, 100),
    90: (0.90, 0.95, 105),
    85: (0.85, 0.90, 69),
    40: (0.40, 0.60, 155),
}

# The photographs behind the sample numbers of the original page.
SAMPLES = {766: "77c72d0a01e1af70", 132: "38546e7d7136c2ab", 528: "0af0a5dfee6b84ff"}


def covers(picture: "Picture") -> bool:
    """Whether the original page has a curve of this very photograph."""
    return SAMPLES.get(picture.sample) == picture.name


def covers_all(pictures: "Pictures") -> bool:
    """Whether these are the 1000 photographs that the published means were taken over."""
    return len(pictures) == 1000 and sum(map(covers, pictures)) == len(SAMPLES)


def bin_curve(percent: int) -> pd.DataFrame:
    """epsilon_255, top1, top5, confidence of one confidence bin (a key of ``BINS``)."""
    return _curve(f"fgsm_confidence_bin_{percent}.csv")


def all_samples_curve() -> pd.DataFrame:
    """epsilon_255, top1, top5, confidence of all 1000 photographs, wrong ones included."""
    return _curve("fgsm_all_samples.csv")


def sample_curve(sample: "Picture | int") -> pd.DataFrame | None:
    """sample, epsilon_255, correct, confidence of one of ``SAMPLES``, by picture or number.

    None where the original page has no such curve. Sample 528 was read off its plot (±0.01).
    """
    if hasattr(sample, "sample"):
        sample = sample.sample if covers(sample) else None
    if sample not in SAMPLES:
        return None
    name = "fgsm_sample_528_digitised.csv" if sample == 528 else "fgsm_samples_766_132.csv"
    table = pd.read_csv(_FOLDER / name).astype({"epsilon_255": float, "correct": bool})
    return table[table["sample"] == sample].reset_index(drop=True)


def clean_predictions() -> pd.DataFrame:
    """predicted_class, correct, correct_top5, confidence at ε = 0, indexed by sample."""
    table = pd.read_csv(_FOLDER / "clean_predictions.csv", index_col=0, usecols=range(5))
    table.columns = ["predicted_class", "correct", "correct_top5", "confidence"]
    return table.astype({"correct": bool, "correct_top5": bool}).rename_axis("sample")


def _curve(name: str) -> pd.DataFrame:
    """The two kinds of file name the same four columns differently."""
    table = pd.read_csv(_FOLDER / name, index_col=0)
    return table.set_axis(["epsilon_255", "top1", "top5", "confidence"], axis=1)


def record() -> dict:
    """This project's own run on the photographs, as photographs.json has it.

    Keys: provenance, verdicts, all (rows of a curve), bins (rows by name), samples (by number).
    """
    return json.loads((_FOLDER / "photographs.json").read_text(encoding="utf-8"))


def record_curve() -> pd.DataFrame:
    """The record's curve of all photographs, as of ``analysis.curve``."""
    return pd.DataFrame(record()["all"])


def record_bins() -> dict[str, pd.DataFrame]:
    """The record's curves of the original's confidence bins, by name."""
    return {name: pd.DataFrame(rows) for name, rows in record()["bins"].items()}


def record_sample(sample: int, direction: str = "rows") -> pd.DataFrame | None:
    """epsilon_255, class, confidence, correct of a sample, by FGSM or direction="random"."""
    found = record()["samples"].get(str(sample))
    return pd.DataFrame(found[direction]) if found else None

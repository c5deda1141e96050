"""What the tests of Hypothesis 1 found, in words and in tables for reading."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fgsm_lib import analysis, survival
from fgsm_lib.survival import Estimate

NAMES = {
    "confidence": "clean confidence",
    "margin": "logit margin",
    "predicted_epsilon_255": "first-order ε̂",
}
VALUE = ["value", "low", "high"]
DIFFERENCE = ["difference", "difference_low", "difference_high"]
NOTHING = "No image of this run is classified correctly before the attack: nothing can be fooled."


def among(minimal: pd.DataFrame, every: int) -> str:
    """Whose minimal epsilon is known: ``"305 initially correct images (one in 3 of the set)"``."""
    return _images(len(minimal)) + (f" (one in {every} of the set)" if every > 1 else "")


def median_table(minimal: pd.DataFrame, bins: Sequence[tuple[float, float]]) -> pd.DataFrame:
    """One row per bin: how many images, how many fooled, and the median minimal epsilon."""
    return pd.DataFrame(
        [
            {
                "clean confidence": name,
                "images": len(rows),
                "fooled": int(rows["fooled"].sum()),
                "median minimal ε in 1/255": _median(survival.median(rows)),
            }
            for name, rows in survival.by_bin(minimal, bins).items()
        ]
    )


def _median(estimate: Estimate) -> str:
    """``"4.41 (3.68–4.90)"``; says where there is no median or no interval."""
    if np.isnan(estimate.value):
        return "no image"
    value = "more than half never fooled" if np.isinf(estimate.value) else f"{estimate.value:.2f}"
    if np.isnan(estimate.low):
        return value if np.isinf(estimate.value) else f"{value} (too few for an interval)"
    if np.isinf(estimate.high):
        return f"{value} (from {estimate.low:.2f})"
    return f"{value} ({estimate.low:.2f}–{estimate.high:.2f})"


def survival_reading(minimal: pd.DataFrame, bins: Sequence[tuple[float, float]]) -> str:
    """Whether the curves of some bins, and of all bins of 5 points, differ by more than chance."""
    if minimal.empty:
        return NOTHING
    groups = [rows for rows in survival.by_bin(minimal, bins).values() if len(rows)]
    if not groups:
        return "None of these bins holds an initially correct image of this run."
    finer = survival.log_rank(minimal, analysis.FIVE_POINT_BINS)
    return (
        f"{_log_rank(survival.log_rank(minimal, bins), 'bins drawn here')} "
        f"{_log_rank(finer, 'bins of 5 points that hold an image')}"
    )


def _log_rank(test: survival.LogRank, which: str) -> str:
    if test.groups < 2:
        return f"There is one of the {which}, and so no other curve to compare it with."
    if np.isnan(test.p):
        return f"In the {test.groups} {which} no image holds out longer than another."
    differ = "differ by more than chance" if test.p < 0.05 else "differ no more than by chance"
    return (
        f"The curves of the {test.groups} {which} {differ} (log-rank test: "
        f"χ² = {test.statistic:.1f}, {_degrees(test.groups - 1)}, {_p(test.p)})."
    )


def _degrees(count: int) -> str:
    return f"{count} degree{'s' if count > 1 else ''} of freedom"


def _p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"


def chance_reading(minimal: pd.DataFrame) -> str:
    """The control: what random signs do at each image's own minimal epsilon."""
    by_chance, fooled = survival.fooled_by_chance(minimal)
    if minimal.empty:
        return NOTHING
    if not fooled:
        return f"None of {_images(len(minimal))} was fooled, so there is no minimal ε to control."
    _, low, high = analysis.rate(by_chance, fooled)
    share = f"{by_chance / fooled:.1%}, 95% interval {low:.1%} to {high:.1%}"
    text = (
        f"Random signs of exactly an image's minimal ε fool {by_chance} of {_images(fooled)} that "
        f"FGSM fools there ({share})"
    )
    if high < 0.5:
        return f"{text}: it is the direction of the step that fools, not its size."
    return f"{text}: for many of them the size of the step alone may be enough."


def grid_reading(minimal: pd.DataFrame, table: pd.DataFrame) -> str:
    """Whether the verdict depends on the bisection, or on which images of a sweep it looked at."""
    refined = survival.judge(minimal)
    same = analysis.test_hypothesis(table[table["sample"].isin(minimal["sample"])])
    everybody = analysis.test_hypothesis(table)
    if np.isnan([refined.rho, same.rho, everybody.rho]).any():
        return ""
    text = f"Without the bisection, on the grid of the sweep alone, {_would_be(same, refined)}"
    if everybody.n > same.n:
        text += f"; over all {everybody.n} initially correct images of the set "
        text += _would_be(everybody, refined)
    return f"{text}."


def _would_be(other: analysis.Verdict, refined: analysis.Verdict) -> str:
    word = "the same" if other.word == refined.word else other.word
    return (
        f"ρ would be {other.rho:.2f} ({other.rho_low:.2f} to {other.rho_high:.2f}) and the "
        f"verdict {word}"
    )


def rivals_table(found: pd.DataFrame) -> pd.DataFrame:
    """The concordance of each predictor, and how much better it is than clean confidence."""
    rows = []
    for name, row in found.iterrows():
        gain = "–" if name == "confidence" else _signed(*row[DIFFERENCE])
        rows.append([NAMES[name], _plain(row), gain])
    return pd.DataFrame(rows, columns=["predictor", "concordance", "minus clean confidence's"])


def _plain(row: pd.Series) -> str:
    if np.isnan(row["value"]):
        return "too little to compare"
    return f"{row['value']:.3f} ({row['low']:.3f}–{row['high']:.3f})"


def _signed(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "too little to compare"
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def rivals_reading(minimal: pd.DataFrame, found: pd.DataFrame) -> str:
    """Which predictor orders the images best, and whether the others are worse by chance only."""
    if found["value"].isna().any():
        return _too_little(minimal)
    first = found.loc["confidence", "value"]
    parts = [_against_confidence(name, found.loc[name]) for name in survival.PREDICTORS[1:]]
    return (
        f"The more confident image of a pair holds out longer in {first:.1%} of the pairs. "
        f"{' '.join(parts)} {_ratio(minimal)}".rstrip()
    )


def _against_confidence(name: str, row: pd.Series) -> str:
    than = (
        f"{abs(row['difference']) * 100:.2f} points "
        f"({row['difference_low'] * 100:+.2f} to {row['difference_high'] * 100:+.2f})"
    )
    if row["difference_low"] > 0:
        return f"The {NAMES[name]} orders {row['value']:.1%} rightly, better by {than}."
    if row["difference_high"] < 0:
        return f"The {NAMES[name]} orders {row['value']:.1%} rightly, worse by {than}."
    return (
        f"The {NAMES[name]} orders {row['value']:.1%} rightly; the difference of {than} may be "
        "chance."
    )


def _ratio(minimal: pd.DataFrame) -> str:
    """How far the linear prediction is off."""
    fooled = minimal[minimal["fooled"] & np.isfinite(minimal["predicted_epsilon_255"])]
    if fooled.empty:
        return ""
    quarter, half, three = (
        fooled["epsilon_255"].div(fooled["predicted_epsilon_255"]).quantile([0.25, 0.5, 0.75])
    )
    return (
        f"The median fooled image takes {half:.2f} times the ε̂ that a linear network would take; "
        f"the middle half takes {quarter:.2f} to {three:.2f} times."
    )


def left_table(verdict: analysis.Verdict, left: pd.DataFrame) -> pd.DataFrame:
    """The correlation of confidence and minimal epsilon, alone and with each rival known."""
    rows = [["nothing", "–", _signed(verdict.rho, verdict.rho_low, verdict.rho_high)]]
    for name, row in left.iterrows():
        shared = "–" if np.isnan(row["shared"]) else f"{row['shared']:.3f}"
        rows.append([NAMES[name], shared, _signed(*row[VALUE])])
    return pd.DataFrame(
        rows,
        columns=["known besides", "its ρ with confidence", "ρ of confidence and minimal ε"],
    )


def left_reading(minimal: pd.DataFrame, verdict: analysis.Verdict, left: pd.DataFrame) -> str:
    """How much of "confident images are harder" is left once a rival is known."""
    if left["shared"].isna().any():
        return _too_little(minimal)
    alone = f"Confidence alone: ρ = {verdict.rho:.2f}."
    return " ".join([alone, *(_left(NAMES[name], row) for name, row in left.iterrows())])


def _left(name: str, row: pd.Series) -> str:
    if np.isnan(row["value"]):
        return (
            f"The {name} orders the images just as clean confidence does: once it is known, "
            "confidence has nothing to add."
        )
    rho = f"ρ = {row['value']:.2f}, 95% interval {row['low']:.2f} to {row['high']:.2f}"
    if row["low"] > 0:
        said = "more confident images still hold out longer than others of equal rank"
    elif row["high"] < 0:
        said = "more confident images fall *earlier* than others of equal rank"
    else:
        said = "nothing is left of the hypothesis that this run could tell from chance"
    return f"With the {name} known, {said} ({rho})."


def _too_little(minimal: pd.DataFrame) -> str:
    if minimal.empty:
        return NOTHING
    fooled = int(minimal["fooled"].sum())
    return (
        f"{_images(len(minimal)).capitalize()}, {fooled or 'none'} of which fooled, "
        "cannot be put in an order that predictors could be compared by."
    )


def _images(n: int) -> str:
    return "1 initially correct image" if n == 1 else f"{n} initially correct images"

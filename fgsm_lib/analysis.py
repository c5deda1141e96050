"""What is computed from a sweep table. Pure functions: data frames in, data frames out.

"Initially correct" always means: correct at epsilon = 0. Every mean and rate comes with the
number of images it was taken over and a 95% interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

# (low, high] of the clean confidence: the bins of the original page, and all 5-point bins.
ORIGINAL_BINS = ((0.99, 1.0), (0.95, 0.99), (0.90, 0.95), (0.85, 0.90), (0.40, 0.60))
FIVE_POINT_BINS = tuple((low / 100, (low + 5) / 100) for low in range(0, 100, 5))

FATES = NEVER, AGAIN, FOR_GOOD = "never fooled", "bounce-back", "fooled for good"


def clean(table: pd.DataFrame) -> pd.DataFrame:
    """The rows at epsilon = 0, indexed by sample."""
    return table[table["epsilon_255"] == 0].set_index("sample")


def at(table: pd.DataFrame, epsilon_255: Sequence[float]) -> pd.DataFrame:
    """The rows at some epsilons only."""
    return table[table["epsilon_255"].isin(epsilon_255)]


def shared(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The rows of the samples that another table has, too: both then average over the same."""
    return table[table["sample"].isin(other["sample"])]


def nearest(table: pd.DataFrame, epsilon_255: float) -> float:
    """The epsilon above 0 of a table that lies nearest to one: a profile chooses its own grids."""
    attacked = table.loc[table["epsilon_255"] > 0, "epsilon_255"].unique()
    return float(min(attacked, key=lambda epsilon: (abs(epsilon - epsilon_255), epsilon)))


def initially_correct(table: pd.DataFrame, low: float = 0.0, high: float = 1.0) -> pd.Index:
    """Samples that are correct on the clean image, with clean confidence in (low, high]."""
    start = clean(table)
    return start.index[start["correct"] & confidence_between(start["confidence"], low, high)]


def confidence_between(confidence: pd.Series, low: float, high: float) -> pd.Series:
    """True where a confidence lies in (low, high]."""
    # A float32 confidence of 0.99 is 0.9900000095: compare in float32, like with like.
    confidence = confidence.astype(np.float32)
    return (confidence > np.float32(low)) & (confidence <= np.float32(high))


def curve(table: pd.DataFrame, samples: pd.Index | None = None) -> pd.DataFrame:
    """Top-1 and top-5 accuracy and mean confidence over epsilon, of some samples (default: all).

    Columns: epsilon_255, n, and for each of top1, top5 and confidence its value, ``_low`` and
    ``_high`` (95%: Wilson's interval for the rates, Student's t for the mean).
    """
    rows = table if samples is None else table[table["sample"].isin(samples)]
    result = []
    for epsilon_255, group in rows.groupby("epsilon_255", sort=True):
        row = {"epsilon_255": epsilon_255, "n": len(group)}
        row |= _named("top1", rate(int(group["correct"].sum()), len(group)))
        row |= _named("top5", rate(int(group["correct_top5"].sum()), len(group)))
        row |= _named("confidence", mean(group["confidence"]))
        result.append(row)
    columns = ["epsilon_255", "n", *_named("top1"), *_named("top5"), *_named("confidence")]
    return pd.DataFrame(result, columns=columns)


def clean_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and confidence at epsilon = 0 with their 95% intervals, as a table for reading."""
    row = curve(at(table, [0])).iloc[0]
    names = {
        "top1": "top-1 accuracy",
        "top5": "top-5 accuracy",
        "confidence": "mean confidence",
    }
    return pd.DataFrame(
        {
            "measure": names.values(),
            "value": [f"{row[column]:.3f}" for column in names],
            "95% interval": [_interval(row, column, " to ", 3) for column in names],
        }
    )


def _interval(row: pd.Series, name: str, between: str, digits: int) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "one image" if np.isnan(low) else f"{low:.{digits}f}{between}{high:.{digits}f}"


def _named(name: str, values: tuple[float, float, float] = (0, 0, 0)) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def rate(successes: int, n: int) -> tuple[float, float, float]:
    """A rate with its 95% Wilson interval; NaN where there is nothing to count."""
    if n == 0:
        return (np.nan, np.nan, np.nan)
    interval = stats.binomtest(successes, n).proportion_ci(method="wilson")
    return successes / n, interval.low, interval.high


def mean(values: pd.Series) -> tuple[float, float, float]:
    """A mean with its 95% interval from Student's t; NaN bounds for fewer than two values."""
    values = np.asarray(values, dtype=float)
    if len(values) == 0:
        return (np.nan, np.nan, np.nan)
    center = values.mean()
    if len(values) == 1:
        return center, np.nan, np.nan
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return center, center - half, center + half


def bin_name(low: float, high: float) -> str:
    """``"95–99%"`` for (0.95, 0.99]."""
    return f"{low * 100:.0f}–{high * 100:.0f}%"


def bin_curves(
    table: pd.DataFrame, bins: Sequence[tuple[float, float]], epsilon_255: Sequence[float]
) -> dict[str, pd.DataFrame]:
    """``curve`` of the initially correct images of each confidence bin, by the bin's name."""
    rows = at(table, epsilon_255)
    return {
        bin_name(low, high): curve(rows, initially_correct(table, low, high)) for low, high in bins
    }


def bin_table(
    table: pd.DataFrame, bins: Sequence[tuple[float, float]], epsilon_255: Sequence[float]
) -> pd.DataFrame:
    """One row per bin: how many images, and the top-1 accuracy (with interval) at each epsilon."""
    curves = bin_curves(table, bins, epsilon_255)
    rows = []
    for name, values in curves.items():
        row = {"clean confidence": name, "images": int(values["n"].iloc[0]) if len(values) else 0}
        for epsilon in epsilon_255:
            here = values[values["epsilon_255"] == epsilon]
            row[f"{epsilon:g}/255"] = "no image" if here.empty else rate_text(here.iloc[0])
        rows.append(row)
    return pd.DataFrame(rows)


def rate_text(row: pd.Series, name: str = "top1") -> str:
    """``"0.40 (0.29–0.52)"`` from a row of ``curve``."""
    return f"{row[name]:.2f} ({_interval(row, name, '–', 2)})"


def count_text(count: int, n: int) -> str:
    """``"12: 0.40 (0.26–0.55)"`` for 12 of 30, with the 95% Wilson interval."""
    if n == 0:
        return "no image"
    share, low, high = rate(count, n)
    return f"{count}: {share:.2f} ({low:.2f}–{high:.2f})"


def side_by_side(curve: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    """A curve as a table for reading, with the published values beside it where there are any."""
    names = {"top1": "top-1", "top5": "top-5", "confidence": "mean confidence"}
    table = pd.DataFrame({"ε": [f"{value:g}/255" for value in curve["epsilon_255"]]})
    for column, name in names.items():
        table[name] = [rate_text(row, column) for _, row in curve.iterrows()]
    if published is not None:
        theirs = published.set_index("epsilon_255").reindex(curve["epsilon_255"])
        for column, name in names.items():
            table[f"published {name}"] = [
                "–" if np.isnan(value) else f"{value:.2f}" for value in theirs[column]
            ]
    return table


def fates(table: pd.DataFrame) -> pd.Series:
    """What becomes of the class of each initially correct image along epsilon, by sample.

    never fooled: correct at every epsilon; bounce-back: wrong somewhere and correct again at a
    larger epsilon; fooled for good: wrong from some epsilon on, up to the end of the grid.
    """
    grid = table.pivot(index="sample", columns="epsilon_255", values="correct").sort_index(axis=1)
    grid = grid.loc[initially_correct(table)]
    right = grid.to_numpy(dtype=bool)
    was_wrong = np.logical_or.accumulate(~right, axis=1)
    again = (was_wrong & right).any(axis=1)
    fate = np.select([~was_wrong.any(axis=1), again], [NEVER, AGAIN], FOR_GOOD)
    return pd.Series(fate, index=grid.index, name="fate", dtype=object)


def bounce_backs(table: pd.DataFrame) -> tuple[int, int, int]:
    """Counts of the initially correct images: all, fooled at some epsilon, then right again."""
    fate = fates(table)
    return len(fate), int((fate != NEVER).sum()), int((fate == AGAIN).sum())


def smallest_fooling_epsilon(table: pd.DataFrame, samples: pd.Index) -> pd.Series:
    """First epsilon of the grid (in 1/255) at which each sample is wrong; infinity where none is.

    FGSM is one step, so a larger epsilon may well be right again: this is the first one.
    """
    rows = table[table["sample"].isin(samples)]
    wrong = rows[~rows["correct"]].groupby("sample")["epsilon_255"].min()
    return wrong.reindex(samples, fill_value=np.inf).rename("smallest_fooling_epsilon_255")


@dataclass(frozen=True)
class Verdict:
    """Is a higher clean confidence harder to fool? Spearman's ρ of the two, over ``n`` images."""

    n: int
    never_fooled: int
    rho: float
    rho_low: float
    rho_high: float

    @property
    def word(self) -> str:
        """supported / contradicted / undecided, by whether the 95% interval excludes zero."""
        if self.n < 10 or not np.isfinite([self.rho_low, self.rho_high]).all():
            return "cannot be judged"
        if self.rho_low > 0:
            return "supported"
        return "contradicted" if self.rho_high < 0 else "undecided"


def test_hypothesis(table: pd.DataFrame) -> Verdict:
    """Hypothesis 1 on the initially correct images of a sweep, to the precision of its grid."""
    samples = initially_correct(table)
    epsilon = smallest_fooling_epsilon(table, samples).to_numpy(dtype=float)
    confidence = clean(table).loc[samples, "confidence"].to_numpy(dtype=float)
    return rank_verdict(confidence, epsilon)


def rank_verdict(confidence: np.ndarray, epsilon: np.ndarray, seed: int = 0) -> Verdict:
    """Hypothesis 1 from the clean confidence and the fooling epsilon of each image, both (n,).

    Spearman's rank correlation of the two, with a percentile bootstrap over images (2000
    resamples). An image that is never fooled has an infinite epsilon: it ranks above every one
    that is, which is all that is known about it.
    """
    n, never = len(epsilon), int(np.isinf(epsilon).sum())
    if n < 10 or np.ptp(stats.rankdata(epsilon)) == 0 or np.ptp(confidence) == 0:
        return Verdict(n, never, np.nan, np.nan, np.nan)

    def spearman(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        x, y = stats.rankdata(x, axis=axis), stats.rankdata(y, axis=axis)
        x, y = x - x.mean(axis=axis, keepdims=True), y - y.mean(axis=axis, keepdims=True)
        scale = np.sqrt((x**2).sum(axis) * (y**2).sum(axis))
        # A resample in which nothing varies shows no correlation.
        return np.divide((x * y).sum(axis), scale, out=np.zeros_like(scale), where=scale > 0)

    interval = stats.bootstrap(
        (confidence, epsilon),
        spearman,
        paired=True,
        n_resamples=2000,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    rho = float(stats.spearmanr(confidence, epsilon).statistic)
    return Verdict(n, never, rho, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Segment:
    """A run of neighboring epsilons over which the predicted class stays the same."""

    predicted_class: int
    first_epsilon_255: float
    last_epsilon_255: float
    correct: bool


def segments(rows: pd.DataFrame) -> list[Segment]:
    """How the predicted class of one sample changes along epsilon."""
    rows = rows.sort_values("epsilon_255")
    change = rows["predicted_class"].ne(rows["predicted_class"].shift()).cumsum()
    return [
        Segment(
            int(run["predicted_class"].iloc[0]),
            float(run["epsilon_255"].iloc[0]),
            float(run["epsilon_255"].iloc[-1]),
            bool(run["correct"].iloc[0]),
        )
        for _, run in rows.groupby(change)
    ]


def curve_shape(confidence: Sequence[float]) -> str:
    """The shape of one image's confidence along epsilon, by a written rule.

    With the fall = first value - minimum and the rebound = last value - minimum:
    rising: last value more than 0.05 above the first, and a fall of less than 0.05;
    flat: a fall of less than 0.05; U: a rebound of at least half the fall;
    L with a rise: at least a tenth; L: less than that.
    """
    values = np.asarray(confidence, dtype=float)
    fall, rebound = values[0] - values.min(), values[-1] - values.min()
    if fall < 0.05:
        return "rising" if values[-1] > values[0] + 0.05 else "flat"
    if rebound >= 0.5 * fall:
        return "U"
    return "L with a rise" if rebound >= 0.1 * fall else "L"

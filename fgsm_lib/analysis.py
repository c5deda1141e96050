"""What is computed from a sweep table. Pure functions: data frames in, data frames out.

A sweep table has a row per sample and ε; ``sweep`` lists its columns. "Initially correct" always
means correct at ε = 0, and attacked: a picture without a gradient resisted nothing. Every rate and
mean comes with the number of pictures it was taken over and a 95% interval, and what depends on
where the grid ends takes the end of its range, ``upto_255``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api.typing import SeriesGroupBy
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from fgsm_lib import InputError
from fgsm_lib.words import (  # noqa: F401 - some of them for notebooks
    eps,
    estimate_text,
    interval_text,
    number,
    percent,
    upto,
)

# (low, high] of the clean confidence: the bins of the original page.
ORIGINAL_BINS = ((0.99, 1.0), (0.95, 0.99), (0.90, 0.95), (0.85, 0.90), (0.40, 0.60))

FATES = NEVER, AGAIN, FOR_GOOD = "never fooled", "bounce-back", "fooled for good"
SHAPES = ("L", "L with a rise", "U", "falling", "rising", "flat", "none of these")


class Estimate(NamedTuple):
    """What ``n`` pictures say of a value, with its 95% interval; NaN where they say nothing."""

    value: float
    low: float
    high: float
    n: int


def clean(table: pd.DataFrame) -> pd.DataFrame:
    """The rows at ε = 0, indexed by sample."""
    return table[table["epsilon_255"] == 0].set_index("sample")


def at(table: pd.DataFrame, epsilon_255: float | Sequence[float]) -> pd.DataFrame:
    """The rows at one ε, or at some."""
    return table[table["epsilon_255"].isin(np.round(np.atleast_1d(epsilon_255), 9))]


def shared(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The rows of the samples that another table has, too: both then average over the same."""
    return table[table["sample"].isin(other["sample"])]


def not_attacked(table: pd.DataFrame) -> pd.Index:
    """The samples that have no gradient: no step was taken, so nothing was resisted."""
    return pd.Index(table.loc[~table["attacked"], "sample"].unique(), name="sample")


def initially_correct(table: pd.DataFrame, low: float = 0.0, high: float = 1.0) -> pd.Index:
    """Attacked samples that are correct on the clean picture, with confidence in (low, high]."""
    start = clean(table)
    # A float32 confidence of 0.99 is 0.9900000095: compare in float32, like with like.
    confidence = start["confidence"].astype(np.float32)
    inside = (confidence > np.float32(low)) & (confidence <= np.float32(high))
    return start.index[start["correct"] & start["attacked"] & inside]


def rate(count: int, n: int) -> Estimate:
    """A rate with Wilson's interval."""
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    low, high = proportion_confint(count, n, method="wilson")
    return Estimate(count / n, float(low), float(high), int(n))


def rates(flags: SeriesGroupBy) -> pd.DataFrame:
    """Rates with Wilson's intervals of a grouped boolean column, in which NaN does not count.

    For instance ``rates(table.groupby("epsilon_255")["correct"])``. Columns: n, value, low, high.
    """
    found = flags.agg(["sum", "count"]).astype(float)
    count, n = found["sum"], found["count"].where(found["count"] > 0)
    low, high = proportion_confint(count, n, method="wilson")
    counted = found["count"].astype(int)
    return pd.DataFrame({"n": counted, "value": count / n, "low": low, "high": high})


def means(values: SeriesGroupBy) -> pd.DataFrame:
    """Means with Student's intervals of a grouped column; columns as of ``rates``."""
    found = values.agg(["count", "mean", "sem"])
    n, center = found["count"], found["mean"]
    half = stats.t.ppf(0.975, n - 1) * found["sem"]
    return pd.DataFrame({"n": n, "value": center, "low": center - half, "high": center + half})


def difference(first: Sequence, second: Sequence) -> Estimate:
    """The mean of ``first - second``, measured on the same pictures in the same order.

    Its interval is Student's for numbers, and Bonett and Price's (2012) for booleans: that has a
    width even where no picture tells the two apart. (Two intervals that overlap are no test.)
    """
    gaps = pd.Series(np.subtract(*_same_pictures(first, second)))
    n = int(gaps.count())
    if n == 0 or any(np.asarray(values).dtype != bool for values in (first, second)):
        half = stats.t.ppf(0.975, n - 1) * gaps.sem()
        return Estimate(gaps.mean(), gaps.mean() - half, gaps.mean() + half, n)
    p, q = ((gaps > 0).sum() + 1) / (n + 2), ((gaps < 0).sum() + 1) / (n + 2)
    half = stats.norm.ppf(0.975) * np.sqrt((p + q - (p - q) ** 2) / (n + 2))
    return Estimate(gaps.mean(), max(p - q - half, -1.0), min(p - q + half, 1.0), n)


def _same_pictures(*given: Sequence) -> list[np.ndarray]:
    """The values of each as floats; InputError where lengths, or the indices of some, differ."""
    indices = [values.index for values in given if isinstance(values, pd.Series)]
    if len({*map(len, given)}) > 1 or not all(each.equals(indices[0]) for each in indices):
        raise InputError("the values are of different pictures; expected the same, in order.")
    return [np.asarray(values, dtype=float) for values in given]


def curve(table: pd.DataFrame, samples: Sequence[int] | None = None) -> pd.DataFrame:
    """Accuracy and mean confidence over ε, of some samples (default: all that were attacked).

    Columns: epsilon_255, n, and top1, top5 and confidence, each with its ``_low`` and ``_high``.
    top5 is NaN for a classifier of fewer than five classes.
    """
    rows = table[table["attacked"] if samples is None else table["sample"].isin(samples)]
    groups = rows.astype({"confidence": float}).groupby("epsilon_255")  # means are not in float32
    found = {"top1": rates(groups["correct"]), "top5": rates(groups["correct_top5"])}
    found["confidence"] = means(groups["confidence"])
    columns = {"n": found["top1"]["n"]}
    for name, frame in found.items():
        columns[name] = frame["value"]
        columns[f"{name}_low"], columns[f"{name}_high"] = frame["low"], frame["high"]
    return pd.DataFrame(columns).reset_index()


def bin_name(low: float, high: float) -> str:
    """``"95–99%"`` for (0.95, 0.99]."""
    return f"{low * 100:.0f}–{high * 100:.0f}%"


def bin_curves(table: pd.DataFrame, bins: Sequence = ORIGINAL_BINS) -> dict[str, pd.DataFrame]:
    """``curve`` of the initially correct pictures of each confidence bin, by the bin's name."""
    return {bin_name(*edges): curve(table, initially_correct(table, *edges)) for edges in bins}


def smallest_epsilon(table: pd.DataFrame, samples: Sequence[int] | None = None) -> pd.Series:
    """The first ε of the grid, in 1/255, at which each sample is wrong, by sample.

    Infinite where none is, to the end of this grid; a larger ε may well be right again. By default
    ``samples`` are the initially correct.
    """
    samples = pd.Index(initially_correct(table) if samples is None else samples, name="sample")
    first = table[~table["correct"]].groupby("sample")["epsilon_255"].min()
    return first.reindex(samples, fill_value=np.inf).rename("smallest_epsilon_255")


def first_order(table: pd.DataFrame) -> pd.Series:
    """ε̂ in 1/255, by sample: where the true class would have probability 1/2, were all linear.

    From the rows at ε = 0 of a table whose objective is the cross-entropy.
    """
    start = clean(table)
    rest = 1 / (1 + np.exp(start["log_odds"].astype(float)))  # 1 − p
    return 255 * start["log_odds"] * rest / start["gradient_l1"]


def _followed(table: pd.DataFrame, upto_255: float) -> pd.DataFrame:
    """Initially correct pictures along ε, with ``fooled``: True from the first wrong ε on."""
    rows = table[table["epsilon_255"] <= upto_255].sort_values(["sample", "epsilon_255"])
    rows = rows[rows["sample"].isin(initially_correct(table))]
    return rows.assign(fooled=(~rows["correct"]).groupby(rows["sample"]).cummax())


def fates(table: pd.DataFrame, upto_255: float) -> pd.Series:
    """What becomes of the class of each initially correct picture, by sample, to ``upto_255``.

    never fooled: correct at every ε of the range; bounce-back: wrong somewhere and correct again
    at a larger ε; fooled for good: wrong from some ε on, to the end of the range.
    """
    rows = _followed(table, upto_255)
    rows["again"] = rows["fooled"] & rows["correct"]
    found = rows.groupby("sample")[["fooled", "again"]].any()
    fate = np.select([~found["fooled"], found["again"]], [NEVER, AGAIN], FOR_GOOD)
    return pd.Series(fate, index=found.index, name="fate", dtype=object)


def bounce_backs(table: pd.DataFrame, classes: int, upto_255: float) -> tuple[int, int, float]:
    """How often a larger step undoes what a smaller one did: (count, fooled, chance level).

    A fooled picture wanders from class to class, and comes upon the true one by chance, too: the
    chance level is the share of the fooled that come upon any given class which is neither the
    true nor their first adversarial one; NaN where nothing is fooled or there is no such class.
    """
    rows = _followed(table, upto_255)
    after = rows[rows["fooled"]].drop_duplicates(["sample", "predicted_class"])
    fooled, count = after["sample"].nunique(), int(after["correct"].sum())
    others = fooled * (classes - 2)
    return count, fooled, (len(after) - count - fooled) / others if others else np.nan


def surest_wrong(table: pd.DataFrame, upto_255: float = 2) -> pd.Series:
    """The row with the highest confidence in a wrong class, at an ε of at most ``upto_255``.

    Of the pictures that are seen correctly with at least one half: the rule by which the site
    chooses the picture that it shows first. InputError where no such picture is fooled so early.
    """
    start = clean(table)
    sure = start.index[start["correct"] & (start["confidence"] >= 0.5)]
    rows = table[table["sample"].isin(sure) & (table["epsilon_255"] <= upto_255)]
    wrong = rows[~rows["correct"]]
    if wrong.empty:
        raise InputError(
            f"none of {len(sure)} pictures is fooled up to {eps(upto_255)}; expected one that is."
        )
    return wrong.loc[wrong["confidence"].idxmax()]


def shape(epsilon_255: Sequence[float], confidence: Sequence[float], upto_255: float = 20) -> str:
    """The shape of a confidence curve over one range of ε, by a rule that reads all of it.

    The range is from ε = 0 to ``upto_255`` or the end of the grid. The *height* of a curve is its
    largest minus its smallest value. A change of at most 0.05, or of at most 15% of the height,
    is a *wobble*: it does not count. To *fall early* is to have done half of the fall by a quarter
    of the range and nine tenths by half of it, without rising on the way, but for wobbles.

    - flat: the height is at most 0.1.
    - rising: it never falls, but for wobbles.
    - L: it falls early, stays low (within a quarter of the fall) and ends within a tenth of it.
    - L with a rise: it falls early, never falls again, but for wobbles, and ends having regained
      between a tenth and half of the fall.
    - U: it falls to its lowest value, then rises to the end, but for wobbles, and the shorter of
      the two arms is at least half as long as the longer.
    - falling: it never rises, but for wobbles, and is none of the above.
    - none of these: every other curve, and one of fewer than three values.
    """
    epsilon, values = _same_pictures(epsilon_255, confidence)
    order = np.argsort(epsilon)[: (epsilon <= upto_255).sum()]
    epsilon, values = epsilon[order], values[order]
    if len(values) < 3:
        return "none of these"
    if np.ptp(values) <= 0.1:
        return "flat"
    wobble, fall = max(0.05, 0.15 * np.ptp(values)), values[0] - values.min()
    if _rise(-values) <= wobble:
        return "rising"
    if fall <= wobble:
        return "none of these"
    regained = (values - values.min()) / fall
    half, foot, lowest = (int(np.argmax(regained <= part)) for part in (0.5, 0.1, 0.0))
    soon = epsilon[half] <= epsilon[-1] / 4 and epsilon[foot] <= epsilon[-1] / 2
    early = soon and _rise(values[: foot + 1]) <= wobble
    if early and regained[foot:].max() <= 0.25 and regained[-1] < 0.1:
        return "L"
    if early and 0.1 <= regained[-1] < 0.5 and _rise(-values[foot:]) <= wobble:
        return "L with a rise"
    down_and_up = max(_rise(values[: lowest + 1]), _rise(-values[lowest:])) <= wobble
    if down_and_up and 0.5 <= regained[-1] <= 2:
        return "U"
    return "falling" if _rise(values) <= wobble else "none of these"


def _rise(values: np.ndarray) -> float:
    """The most that a later value lies above an earlier one."""
    return (values - np.minimum.accumulate(values)).max()


def spearman(
    x: Sequence[float], y: Sequence[float], known: Sequence[float] | None = None, seed: int = 0
) -> Estimate:
    """Spearman's rank correlation, with a percentile bootstrap over pictures (2000 resamples).

    Infinity ranks above all, as a picture that no ε of the grid fools; a NaN makes the result NaN.
    With ``known``, the partial correlation: of what is left of both ranks once its are fitted.
    """
    given, n = _same_pictures(x, y, *([] if known is None else [known])), len(x)
    if np.isnan(given).any() or min(len(np.unique(values)) for values in given) < 2:
        return Estimate(np.nan, np.nan, np.nan, n)
    drawn = np.random.default_rng(seed).integers(0, n, (2000, n))
    found = _rank_correlation(*(values[drawn] for values in given))
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(float(_rank_correlation(*given)), float(low), float(high), n)


def _rank_correlation(x: np.ndarray, y: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Spearman's ρ along the last axis; 0 where nothing varies, as in an unlucky resample."""
    if known is not None:
        xy, xz, yz = (_rank_correlation(*pair) for pair in ((x, y), (x, known), (y, known)))
        scale = np.sqrt((1 - xz**2) * (1 - yz**2))
        return np.divide(xy - xz * yz, scale, out=np.zeros_like(scale), where=scale > 1e-9)
    x, y = (stats.rankdata(values, axis=-1) for values in (x, y))
    x, y = (values - values.mean(axis=-1, keepdims=True) for values in (x, y))
    scale = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.divide((x * y).sum(-1), scale, out=np.zeros_like(scale), where=scale > 0)


def verdict(low: float, high: float, n: int) -> str:
    """What an interval of ρ says of a hypothesis that wants it above 0; ten pictures are needed."""
    if n < 10 or not np.isfinite([low, high]).all():
        return "cannot be judged"
    return "supported" if low > 0 else "contradicted" if high < 0 else "undecided"


def judged(low: float, high: float, than: float = 0.0, below: bool = False) -> str:
    """What a value's interval says of a claim that it is larger (or ``below``) ``than`` another."""
    if not np.isfinite([low, high]).all():
        return "cannot be judged"
    if low <= than <= high:
        return "too close to tell"
    return "does not hold" if (low > than) == below else "holds"


def rate_text(row: pd.Series, name: str = "top1", digits: int = 2) -> str:
    """``"0.40 (0.29–0.52)"`` from a row of ``curve``."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if np.isnan(value):
        return "no picture"
    if np.isnan(low):
        return f"{number(value, digits)} (one picture)"
    return estimate_text(value, low, high, digits)


def count_text(count: int, n: int) -> str:
    """``"12 of 50 (0.24, 0.14–0.37)"``; ``"0 of 0"``."""
    share, low, high, _ = rate(count, n)
    return f"{count} of {n} ({number(share)}, {interval_text(low, high)})" if n else "0 of 0"

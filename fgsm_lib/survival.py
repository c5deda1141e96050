"""Hypothesis 1 as a question of survival: up to which epsilon does an image hold out?

Pure functions on the table of ``minimal.SCHEMA``: one row per initially correct image, with what
is known before the attack (``PREDICTORS``), its minimal adversarial epsilon, and whether it was
fooled at all. Images that never were are right-censored, all at the same largest epsilon; so in a
ranking they share the last place, and that says all that is known about them.

Where a table is too small or too uniform for a statistic, its value is NaN.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from fgsm_lib import analysis

PREDICTORS = ("confidence", "margin", "predicted_epsilon_255")
FEWEST = 10  # images, below which nothing is correlated
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% interval."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(np.nan, np.nan, np.nan)

# --- survival ----------------------------------------------------------------------------------


def survival_curve(minimal: pd.DataFrame) -> pd.DataFrame:
    """Kaplan and Meier's estimate: the share of the images not yet fooled, over epsilon.

    Columns: epsilon_255, share, low, high (95%, Greenwood's variance on the log-log scale; NaN
    where the share is 0 or 1). The first row is epsilon = 0, the last the largest found; the share
    falls *at* each epsilon. Empty for a table without images.
    """
    columns = ["epsilon_255", "share", "low", "high"]
    if minimal.empty:
        return pd.DataFrame(columns=columns, dtype=float)
    epsilon, fooled = _columns(minimal)
    estimate = stats.ecdf(stats.CensoredData.right_censored(epsilon, ~fooled)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # says that shares of 0 and 1 have none
        interval = estimate.confidence_interval(0.95, method="log-log")
    steps = [estimate.quantiles, estimate.probabilities]
    steps += [interval.low.probabilities, interval.high.probabilities]
    return pd.DataFrame(np.column_stack([[0, 1, np.nan, np.nan], steps]).T, columns=columns)


def by_bin(minimal: pd.DataFrame, bins: Sequence[tuple[float, float]]) -> dict[str, pd.DataFrame]:
    """The rows of each bin of clean confidence, (low, high], by the bin's name."""
    return {
        analysis.bin_name(low, high): minimal[
            analysis.confidence_between(minimal["confidence"], low, high)
        ]
        for low, high in bins
    }


def under_random_signs(control: pd.DataFrame, minimal: pd.DataFrame) -> pd.DataFrame:
    """The images of ``control`` along random signs: the first epsilon of its grid that fools.

    ``control`` is a sweep table with ``direction="random"``, perhaps of fewer images. Returns the
    columns confidence, epsilon_255 and fooled of ``minimal``; nothing is refined between the
    epsilons of the grid.
    """
    minimal = analysis.shared(minimal, control)
    first = analysis.smallest_fooling_epsilon(control, pd.Index(minimal["sample"])).to_numpy(float)
    fooled = np.isfinite(first)
    return pd.DataFrame(
        {
            "confidence": minimal["confidence"].to_numpy(),
            "epsilon_255": np.where(fooled, first, control["epsilon_255"].max()),
            "fooled": fooled,
        }
    )


def median(minimal: pd.DataFrame) -> Estimate:
    """The median minimal epsilon in 1/255 with its interval (Brookmeyer and Crowley).

    Infinite where less than half of the images were fooled, as may be the end of the interval;
    NaN without images, and for an interval that the table is too small for.
    """
    if minimal.empty:
        return UNKNOWN
    if not minimal["fooled"].any():
        return Estimate(np.inf, np.nan, np.inf)
    estimate = SurvfuncRight(*_columns(minimal))
    with np.errstate(divide="ignore", invalid="ignore"):  # the logarithms of 0 and 1
        low, high = estimate.quantile_ci(0.5)
    middle = float(estimate.quantile(0.5))
    return Estimate(np.inf if np.isnan(middle) else middle, float(low), float(high))


@dataclass(frozen=True)
class LogRank:
    """Do the survival curves of ``groups`` groups differ by more than chance? χ² and its p."""

    groups: int
    statistic: float
    p: float


def log_rank(minimal: pd.DataFrame, bins: Sequence[tuple[float, float]]) -> LogRank:
    """The log-rank test across all bins that hold an image.

    NaN where there is one bin only, or where no image holds out longer than another.
    """
    groups = {name: rows for name, rows in by_bin(minimal, bins).items() if len(rows)}
    if len(groups) < 2:
        return LogRank(len(groups), np.nan, np.nan)
    pooled = pd.concat(groups, names=["bin"])
    if not _vary(_ordered(pooled)):
        return LogRank(len(groups), np.nan, np.nan)
    statistic, p = survdiff(*_columns(pooled), pooled.index.get_level_values("bin").to_numpy())
    return LogRank(len(groups), float(statistic), float(p))


def fooled_by_chance(minimal: pd.DataFrame) -> tuple[int, int]:
    """How many of the fooled images random signs of the same epsilon fool too; of how many."""
    fooled = minimal[minimal["fooled"]]
    return int(fooled["random_fooled"].sum()), len(fooled)


# --- ranks -------------------------------------------------------------------------------------


def judge(minimal: pd.DataFrame) -> analysis.Verdict:
    """Hypothesis 1, by the rank correlation of clean confidence and minimal epsilon."""
    return analysis.rank_verdict(minimal["confidence"].to_numpy(float), _ordered(minimal))


def rivals(minimal: pd.DataFrame) -> pd.DataFrame:
    """How well each of ``PREDICTORS`` orders the images by their minimal epsilon.

    Concordance (Harrell's C): of all pairs of images in which one is fooled before the other, the
    share in which the predictor is larger for the one that holds out longer; a tie of the
    predictor counts half. 0.5 is guessing, 1 a perfect order.

    One row per predictor, with the columns value, low and high, and ``difference``,
    ``difference_low`` and ``difference_high``: its concordance minus that of clean confidence. The
    intervals are percentiles over ``RESAMPLES`` resamples of the images, the same for all.
    """
    columns = ["value", "low", "high", "difference", "difference_low", "difference_high"]
    epsilon = _ordered(minimal)
    if len(minimal) < FEWEST or not _vary(epsilon):
        return pd.DataFrame(np.nan, index=list(PREDICTORS), columns=columns)
    concordance = _concordance(epsilon, [minimal[name].to_numpy(float) for name in PREDICTORS])

    def with_differences(rows: np.ndarray) -> np.ndarray:
        values = concordance(rows)
        return np.concatenate([values, values - values[0]])

    values, differences = np.split(_bootstrap(with_differences, len(minimal)), 2, axis=1)
    table = np.vstack([values, differences]).T
    return pd.DataFrame(table, index=list(PREDICTORS), columns=columns)


def _concordance(
    epsilon: np.ndarray, predictors: Sequence[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """The concordance of each predictor, as a function of the rows drawn: (..., n) -> (k, ...).

    A resample is a vector w of how often each image was drawn, and its pairs are the matrix of all
    pairs between two w's: 2000 resamples are one matrix product.
    """
    earlier = (epsilon[:, None] < epsilon[None, :]).astype(float)
    ranks = [stats.rankdata(predictor) for predictor in predictors]
    right = [earlier * np.heaviside(rank[None, :] - rank[:, None], 0.5) for rank in ranks]

    def concordance(rows: np.ndarray) -> np.ndarray:
        drawn = np.apply_along_axis(np.bincount, -1, rows, minlength=len(epsilon)).astype(float)
        comparable, *rightly = (((drawn @ pairs) * drawn).sum(-1) for pairs in [earlier, *right])
        # A resample in which no image holds out longer than another is as good as guessing.
        half = np.full_like(comparable, 0.5)
        some = comparable > 0
        return np.stack([np.divide(n, comparable, out=half.copy(), where=some) for n in rightly])

    return concordance


def left_over(minimal: pd.DataFrame) -> pd.DataFrame:
    """What clean confidence still tells about the minimal epsilon once a rival is known.

    One row for each of the other ``PREDICTORS``: ``shared``, Spearman's correlation of clean
    confidence with that rival, and the partial rank correlation of clean confidence and minimal
    epsilon given the rival, with its bootstrap interval: value, low, high. It is NaN where the
    rival orders the images just as clean confidence does, so that nothing is left to vary.
    """
    names = PREDICTORS[1:]
    unknown = pd.DataFrame(np.nan, index=list(names), columns=["shared", "value", "low", "high"])
    confidence, epsilon = minimal["confidence"].to_numpy(float), _ordered(minimal)
    if len(minimal) < FEWEST or not (_vary(confidence) and _vary(epsilon)):
        return unknown
    rival = [minimal[name].to_numpy(float) for name in names]
    shared = np.array([stats.spearmanr(confidence, x).statistic if _vary(x) else 0 for x in rival])
    values = _bootstrap(_partial_correlations(confidence, epsilon, rival), len(minimal))
    values[:, np.abs(shared) > 1 - 1e-9] = np.nan
    return pd.DataFrame(np.vstack([shared, values]).T, unknown.index, unknown.columns)


def _partial_correlations(
    x: np.ndarray, y: np.ndarray, given: Sequence[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """Spearman's partial correlation of x and y given each of some others.

    As a function of the rows drawn: (..., n) -> (k, ...).
    """

    def partial(rows: np.ndarray) -> np.ndarray:
        a, b = _unit_ranks(x[rows]), _unit_ranks(y[rows])
        ab = (a * b).sum(-1)
        correlations = []
        for other in given:
            c = _unit_ranks(other[rows])
            ac, bc = (a * c).sum(-1), (b * c).sum(-1)
            scale = np.sqrt(np.clip((1 - ac**2) * (1 - bc**2), 0, None))
            # A resample in which nothing is left to vary shows no correlation.
            some = scale > 1e-9
            correlations.append(
                np.divide(ab - ac * bc, scale, out=np.zeros_like(scale), where=some)
            )
        return np.stack(correlations)

    return partial


def _unit_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, centered and of length 1: their products are correlations."""
    ranks = stats.rankdata(values, axis=-1)
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=-1, keepdims=True))
    return np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)


def _bootstrap(statistic: Callable[[np.ndarray], np.ndarray], n: int) -> np.ndarray:
    """Value, low and high of a statistic of rows drawn from n, each shaped like its value."""
    interval = stats.bootstrap(
        (np.arange(n),),
        lambda rows, axis: statistic(rows),
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return np.array([statistic(np.arange(n)), interval.low, interval.high])


def _columns(minimal: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Epsilon, and whether the image was fooled there, as survival libraries want them."""
    return minimal["epsilon_255"].to_numpy(float), minimal["fooled"].to_numpy(bool)


def _ordered(minimal: pd.DataFrame) -> np.ndarray:
    """The minimal epsilon, infinite where the image was never fooled."""
    epsilon, fooled = _columns(minimal)
    return np.where(fooled, epsilon, np.inf)


def _vary(values: np.ndarray) -> bool:
    return len(np.unique(values)) > 1

"""The statistics of Hypothesis 1 against textbook values, brute force and other libraries."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fgsm_lib import analysis, survival

pytestmark = pytest.mark.filterwarnings("error")

# Weeks of remission of 42 children with leukemia (Freireich et al. 1963): the classic example.
TREATED = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
TREATED_RELAPSED = [True] * 9 + [False] * 12
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
TWO_BINS = ((0.5, 1.0), (0.0, 0.5))


def table(epsilon, confidence=None, fooled=True, margin=None, predicted=None) -> pd.DataFrame:
    """A table of ``minimal.SCHEMA``; what is not given is made up."""
    n = len(epsilon)
    confidence = np.linspace(0.1, 0.9, n) if confidence is None else confidence
    frame = pd.DataFrame(
        {
            "sample": np.arange(n),
            "confidence": np.asarray(confidence, dtype=np.float32),
            "margin": np.arange(n, dtype=float) if margin is None else margin,
            "predicted_epsilon_255": np.arange(n, dtype=float) if predicted is None else predicted,
            "epsilon_255": np.asarray(epsilon, dtype=float),
            "fooled": np.broadcast_to(fooled, n).astype(bool),
            "random_fooled": np.zeros(n, dtype=bool),
        }
    )
    return frame


def noisy(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Confidence follows the margin, and so does epsilon; ties and a few never fooled."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(size=n)
    epsilon = np.exp(margin + rng.normal(size=n)).round(1) + 0.1
    fooled = epsilon < np.quantile(epsilon, 0.9)
    confidence = 1 / (1 + np.exp(-margin - 0.3 * rng.normal(size=n)))
    largest = epsilon[fooled].max() + 1
    return table(
        np.where(fooled, epsilon, largest), confidence.round(2), fooled, margin.round(1), epsilon
    )


FREIREICH = pd.concat(
    [
        table(TREATED, [0.9] * 21, TREATED_RELAPSED),
        table(PLACEBO, [0.2] * 21),
    ],
    ignore_index=True,
)
EMPTY = table([])
ONE = table([3.0], [0.995])
NONE_FOOLED = table([128.0] * 20, fooled=False)
ALL_AT_ONCE = table([0.01] * 20)


# --- survival ----------------------------------------------------------------------------------


def test_kaplan_and_meier_on_the_classic_example():
    """Shares as printed in Collett, Modelling Survival Data in Medical Research."""
    curve = survival.survival_curve(table(TREATED, fooled=TREATED_RELAPSED))
    shares = curve.set_index("epsilon_255")["share"]
    expected = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}
    assert shares[list(expected)].to_numpy() == pytest.approx(list(expected.values()), abs=5e-5)
    assert shares[[9, 11, 35]].tolist() == [shares[7], shares[10], shares[23]]  # only censored


def test_greenwoods_interval_on_the_classic_example():
    """As R's survfit with conf.type = "log-log" and Stata's sts list print it."""
    curve = survival.survival_curve(table(TREATED, fooled=TREATED_RELAPSED))
    bounds = curve.set_index("epsilon_255")[["low", "high"]]
    expected = {
        6: (0.6197, 0.9516),
        7: (0.5631, 0.9228),
        10: (0.5032, 0.8894),
        13: (0.4316, 0.8491),
        16: (0.3675, 0.8049),
        22: (0.2678, 0.7468),
        23: (0.1881, 0.6801),
    }
    found = bounds.loc[list(expected)].to_numpy()
    assert found == pytest.approx(np.array(list(expected.values())), abs=5e-5)


def test_greenwoods_interval_by_hand():
    """One of three fooled at 1, one censored at 1: S = 2/3, var log(-log S) = (1/(3·2))/log²S."""
    curve = survival.survival_curve(table([1, 1, 2], fooled=[True, False, True]))
    row = curve[curve["epsilon_255"] == 1].iloc[0]
    share, z = 2 / 3, stats.norm.ppf(0.975)
    error = np.sqrt(1 / (3 * 2)) / abs(np.log(share))
    bounds = [share ** np.exp(z * error), share ** np.exp(-z * error)]
    assert [row["share"], row["low"], row["high"]] == pytest.approx([share, *bounds])


def test_a_survival_curve_starts_at_zero_with_everybody():
    curve = survival.survival_curve(table([1, 4]))
    assert curve["epsilon_255"].tolist() == [0, 1, 4]
    assert curve["share"].tolist() == [1, 0.5, 0]


@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=30),
    st.integers(2, 9),
)
def test_with_censoring_only_at_the_end_it_is_the_share_that_is_left(epsilon, largest):
    epsilon = np.array(epsilon)
    fooled = epsilon < largest
    curve = survival.survival_curve(table(np.minimum(epsilon, largest), fooled=fooled))
    left = [(~fooled | (epsilon > at)).mean() for at in curve["epsilon_255"]]
    assert curve["share"].to_numpy() == pytest.approx(left)


def test_an_empty_table_has_an_empty_curve():
    assert survival.survival_curve(EMPTY).empty


def test_the_median_of_the_classic_example():
    """R's survfit with conf.type = "log-log": 23 weeks, from 13 on; placebo 8, 4 to 11."""
    treated = survival.median(table(TREATED, fooled=TREATED_RELAPSED))
    assert (treated.value, treated.low, treated.high) == (23, 13, np.inf)
    placebo = survival.median(table(PLACEBO))
    assert (placebo.value, placebo.low, placebo.high) == (8, 4, 11)


def test_medians_that_do_not_exist():
    assert np.isnan(survival.median(EMPTY).value)
    assert survival.median(NONE_FOOLED).value == np.inf
    one = survival.median(ONE)
    assert one.value == 3
    assert np.isnan(one.low)
    mostly = survival.median(table([1.0] + [128.0] * 19, fooled=[True] + [False] * 19))
    assert mostly.value == np.inf


def test_bins_take_the_float32_confidence_at_its_word():
    groups = survival.by_bin(table([1, 2, 3], [0.99, 0.991, 0.3]), analysis.ORIGINAL_BINS)
    assert {name: rows["epsilon_255"].tolist() for name, rows in groups.items() if len(rows)} == {
        "99–100%": [2],
        "95–99%": [1],
    }


def test_the_log_rank_test_on_the_classic_example():
    """χ² = 16.79 with one degree of freedom."""
    test = survival.log_rank(FREIREICH, TWO_BINS)
    assert test.groups == 2
    assert test.statistic == pytest.approx(16.793, abs=0.001)
    assert test.p == pytest.approx(stats.chi2.sf(16.7929, 1), rel=1e-3)


def test_the_log_rank_test_agrees_with_scipys_for_two_groups():
    made_up = noisy()
    groups = [
        stats.CensoredData.right_censored(rows["epsilon_255"], ~rows["fooled"])
        for rows in survival.by_bin(made_up, TWO_BINS).values()
    ]
    test = survival.log_rank(made_up, TWO_BINS)
    assert test.p == pytest.approx(stats.logrank(*groups).pvalue)


def test_the_log_rank_test_of_three_groups_by_hand():
    """Fooled at 1, 2 and 3 in groups of one: O - E and its covariance, at 1 and at 2."""
    bins = ((0.6, 1.0), (0.3, 0.6), (0.0, 0.3))
    test = survival.log_rank(table([1, 2, 3], [0.2, 0.5, 0.9]), bins)
    gap = np.array([1 - 1 / 3, 1 - 1 / 3 - 1 / 2])
    variance = np.array([[2 / 9, -1 / 9], [-1 / 9, 2 / 9]]) + np.array([[0, 0], [0, 1 / 4]])
    assert test.statistic == pytest.approx(gap @ np.linalg.solve(variance, gap))
    assert test.p == pytest.approx(stats.chi2.sf(test.statistic, 2))


@pytest.mark.parametrize(
    ("made_up", "groups"),
    [(EMPTY, 0), (ONE, 1), (NONE_FOOLED, 2), (ALL_AT_ONCE, 2), (table([1, 2], [0.9, 0.9]), 1)],
    ids=["empty", "one image", "none fooled", "all at once", "one bin"],
)
def test_where_there_is_nothing_to_compare_the_log_rank_test_is_nan(made_up, groups):
    test = survival.log_rank(made_up, TWO_BINS)
    assert test.groups == groups
    assert np.isnan(test.statistic)
    assert np.isnan(test.p)


# --- the control -------------------------------------------------------------------------------


def test_random_signs_are_looked_at_on_the_grid_of_the_control():
    control = pd.DataFrame(
        [(s, e, e < fails) for s, fails in ((0, 4), (1, 99), (7, 1)) for e in (1.0, 4.0, 20.0)],
        columns=["sample", "epsilon_255", "correct"],
    )
    found = survival.under_random_signs(control, table([5, 6], [0.9, 0.4]))
    assert found["epsilon_255"].tolist() == [4, 20]
    assert found["fooled"].tolist() == [True, False]
    assert found["confidence"].tolist() == pytest.approx([0.9, 0.4])


def test_chance_is_counted_among_the_fooled_only():
    made_up = table([1, 2, 3, 128], fooled=[True, True, True, False])
    made_up["random_fooled"] = [False, True, False, True]
    assert survival.fooled_by_chance(made_up) == (1, 3)


# --- ranks -------------------------------------------------------------------------------------


def test_the_verdict_ranks_the_never_fooled_last():
    """The five most confident are never fooled, and tie at the end of the ranking."""
    never = [False] * 35 + [True] * 5
    verdict = survival.judge(table([*range(1, 36), *[99] * 5], fooled=~np.array(never)))
    ranks = [*range(1, 36), *[38] * 5]
    assert verdict.rho == pytest.approx(stats.pearsonr(range(1, 41), ranks).statistic)
    assert (verdict.n, verdict.never_fooled, verdict.word) == (40, 5, "supported")


@pytest.mark.parametrize("made_up", [EMPTY, ONE, NONE_FOOLED, ALL_AT_ONCE])
def test_the_verdict_on_a_degenerate_run(made_up):
    assert survival.judge(made_up).word == "cannot be judged"


def concordance_by_counting(epsilon, fooled, predictor) -> float:
    """Harrell's C, pair by pair."""
    order = [e if f else np.inf for e, f in zip(epsilon, fooled, strict=True)]
    score = count = 0
    for i, j in itertools.permutations(range(len(order)), 2):
        if order[i] < order[j]:
            count += 1
            score += (predictor[i] < predictor[j]) + 0.5 * (predictor[i] == predictor[j])
    return score / count


def test_concordance_by_counting_pairs():
    made_up = noisy(40)
    found = survival.rivals(made_up)
    for name in survival.PREDICTORS:
        counted = concordance_by_counting(
            made_up["epsilon_255"], made_up["fooled"], made_up[name].to_numpy()
        )
        assert found.loc[name, "value"] == pytest.approx(counted)


def test_concordance_is_somers_d_in_other_words():
    """SciPy's Somers' D of the predictor, epsilon given: 2 C - 1."""
    made_up = noisy(40)
    order = np.where(made_up["fooled"], made_up["epsilon_255"], 1e9)
    found = survival.rivals(made_up)
    for name in survival.PREDICTORS:
        d = stats.somersd(stats.rankdata(order), stats.rankdata(made_up[name])).statistic
        assert found.loc[name, "value"] == pytest.approx((d + 1) / 2)


def test_a_perfect_order_and_its_reverse():
    n = 20
    up = np.arange(1.0, n + 1)
    found = survival.rivals(table(up, fooled=up < n, margin=-up, predicted=np.full(n, np.inf)))
    assert found.loc["confidence", ["value", "low", "high"]].tolist() == [1, 1, 1]
    assert found.loc["margin", "value"] == 0
    assert found.loc["predicted_epsilon_255", ["value", "low", "high"]].tolist() == [0.5] * 3
    assert found.loc["margin", "difference"] == -1
    assert found.loc["confidence", ["difference", "difference_high"]].tolist() == [0, 0]


def test_bootstrap_intervals_agree_with_resampling_rows_one_by_one():
    """A slow bootstrap with counting: its quantiles, up to the noise of 400 resamples."""
    made_up = noisy(40)
    rng = np.random.default_rng(5)
    resampled = []
    for _ in range(400):
        rows = made_up.iloc[rng.integers(0, 40, 40)]
        order = np.where(rows["fooled"], rows["epsilon_255"], np.inf)
        earlier = order[:, None] < order
        values = [rows[name].to_numpy() for name in ("confidence", "margin")]
        first, second = (
            ((x[:, None] < x) + 0.5 * (x[:, None] == x))[earlier].mean() for x in values
        )
        resampled.append((first, second - first))
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    found = survival.rivals(made_up)
    assert found.loc["confidence", ["low", "high"]].to_numpy(float) == pytest.approx(
        [low[0], high[0]], abs=0.02
    )
    assert found.loc["margin", ["difference_low", "difference_high"]].to_numpy(
        float
    ) == pytest.approx([low[1], high[1]], abs=0.02)


def test_the_partial_correlation_is_that_of_residuals():
    """Ranks of both, with what a straight line through the rival's ranks explains taken out."""
    made_up = noisy()
    order = np.where(made_up["fooled"], made_up["epsilon_255"], np.inf)
    x, y = stats.rankdata(made_up["confidence"]), stats.rankdata(order)
    found = survival.left_over(made_up)
    for name in survival.PREDICTORS[1:]:
        z = stats.rankdata(made_up[name])
        rest = [v - np.polyval(np.polyfit(z, v, 1), z) for v in (x, y)]
        row = found.loc[name]
        assert row["value"] == pytest.approx(stats.pearsonr(*rest).statistic)
        assert row["shared"] == pytest.approx(stats.pearsonr(x, z).statistic)
        assert row["low"] < row["value"] < row["high"]


def test_nothing_is_left_of_confidence_where_it_only_stands_in_for_the_margin():
    rng = np.random.default_rng(0)
    margin = rng.normal(size=400)
    confidence, epsilon = (np.exp(margin + 0.5 * rng.normal(size=400)) for _ in range(2))
    made_up = table(epsilon, confidence / 100, margin=margin, predicted=rng.normal(size=400))
    assert survival.judge(made_up).word == "supported"
    left = survival.left_over(made_up)
    assert left.loc["margin", "low"] < 0 < left.loc["margin", "high"]
    assert left.loc["predicted_epsilon_255", "low"] > 0.5


def test_a_rival_that_orders_alike_leaves_nothing_to_correlate():
    confidence = np.linspace(0.1, 0.9, 30)
    shuffled = np.random.default_rng(0).permutation(30) + 1.0
    left = survival.left_over(table(shuffled, confidence, margin=confidence**3, predicted=shuffled))
    assert left.loc["margin", "shared"] == pytest.approx(1)
    assert np.isnan(left.loc["margin", "value"])


def test_a_rival_that_never_varies_leaves_everything():
    made_up = noisy()
    made_up["margin"] = 1.0
    left = survival.left_over(made_up)
    assert left.loc["margin", "shared"] == 0
    assert left.loc["margin", "value"] == pytest.approx(survival.judge(made_up).rho)


@pytest.mark.parametrize("made_up", [EMPTY, ONE, NONE_FOOLED, ALL_AT_ONCE])
def test_degenerate_runs_have_no_rivals_and_no_rest(made_up):
    assert survival.rivals(made_up).isna().all(axis=None)
    assert survival.left_over(made_up).isna().all(axis=None)


def test_one_fooled_image_of_twelve_gives_numbers_and_no_warning():
    made_up = table([1.0] + [128.0] * 11, fooled=[True] + [False] * 11)
    assert survival.rivals(made_up).loc["confidence", "value"] == 1
    assert survival.left_over(made_up)["shared"].notna().all()


def test_the_numbers_are_the_same_in_every_run():
    pd.testing.assert_frame_equal(survival.rivals(noisy()), survival.rivals(noisy()))
    pd.testing.assert_frame_equal(survival.left_over(noisy()), survival.left_over(noisy()))

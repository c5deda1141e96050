"""Every function of ``analysis``: by hand on small tables, and beside other formulas."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
import tables
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fgsm_lib import InputError, analysis

pytestmark = pytest.mark.filterwarnings("error")  # no division by zero, no empty means

NAN = pytest.approx(np.nan, nan_ok=True)
GRID = [0, 1, 2, 4]
BOUNCES, FALLS, STANDS, WRONG = [1, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]
SURE = [[0.97, 0.3, 0.4, 0.5], [0.92, 0.5, 0.2, 0.2], [0.995, 0.9, 0.8, 0.9], [0.97, 0.2, 0.1, 0.1]]
TABLE = tables.sweep([BOUNCES, FALLS, STANDS, WRONG], SURE, GRID, samples=[2, 3, 5, 8])
# A fifth picture without a gradient: right at every ε, because no step was taken.
UNMOVED = tables.sweep([STANDS], [[0.97] * 4], GRID, samples=[9], attacked=[False])
WITH_UNMOVED = pd.concat([TABLE, UNMOVED], ignore_index=True)


def test_choosing_rows():
    assert analysis.clean(TABLE)["predicted_class"].to_dict() == {2: 0, 3: 0, 5: 0, 8: 1}
    assert analysis.at(TABLE, [4, 1, 99]).equals(TABLE[TABLE["epsilon_255"].isin([1, 4])])
    assert analysis.at(TABLE, 4)["sample"].tolist() == [2, 3, 5, 8]
    assert analysis.shared(TABLE, TABLE[5:6])["sample"].tolist() == [3] * 4


@pytest.mark.parametrize("edges", [(0.95, 0.99), (0.99, 1.0), (0.90, 0.95)])
def test_bins_are_open_on_the_left_and_closed_on_the_right(edges):
    low, high = np.float32(edges)  # as float64, float32(0.99) is 0.9900000095, above 0.99
    above = [np.nextafter(edge, np.float32(2)) for edge in (low, high)]
    table = tables.sweep(confidence=[[low], above[:1], [high], above[1:]])
    assert analysis.initially_correct(table, *edges).tolist() == [1, 2]


def test_a_picture_without_a_gradient_is_counted_and_never_one_that_resisted():
    assert analysis.not_attacked(WITH_UNMOVED).tolist() == [9]
    assert analysis.not_attacked(TABLE).empty
    assert analysis.initially_correct(WITH_UNMOVED).tolist() == [2, 3, 5]
    pd.testing.assert_frame_equal(analysis.curve(WITH_UNMOVED), analysis.curve(TABLE))
    assert analysis.bin_curves(WITH_UNMOVED)["95–99%"]["n"].tolist() == [1] * 4
    assert 9 not in analysis.fates(WITH_UNMOVED, 4)
    assert 9 not in analysis.smallest_epsilon(WITH_UNMOVED)
    assert analysis.bounce_backs(WITH_UNMOVED, 10, 4) == analysis.bounce_backs(TABLE, 10, 4)


def test_a_rate_has_wilson_s_interval():
    """Newcombe's four examples: Statistics in Medicine 17 (1998), Table I, method 3."""
    counted = [analysis.rate(*each)[1:3] for each in ((81, 263), (15, 148), (0, 20), (1, 29))]
    published = [(0.2553, 0.3662), (0.0624, 0.1605), (0, 0.1611), (0.0061, 0.1718)]
    assert np.array(counted) == pytest.approx(np.array(published), abs=5e-5)
    assert analysis.rate(8, 10) == pytest.approx((0.8, 0.4902, 0.9433, 10), abs=5e-5)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=60))
def test_rates_of_groups_are_scipy_s(rows):
    frame = pd.DataFrame(rows, columns=["group", "flag"])
    for group, found in analysis.rates(frame.groupby("group")["flag"]).iterrows():
        flags = [flag for name, flag in rows if name == group]
        test = stats.binomtest(sum(flags), len(flags))
        expected = [len(flags), test.statistic, *test.proportion_ci(method="wilson")]
        assert found.tolist() == pytest.approx(expected, abs=1e-12)
        assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1


def test_a_rate_of_nothing_is_not_a_number():
    assert analysis.rate(0, 0) == (NAN, NAN, NAN, 0)
    nothing = pd.Series([None, None], dtype=object).groupby([1, 1])
    assert analysis.rates(nothing).iloc[0].tolist() == [0, NAN, NAN, NAN]


def test_means_have_student_s_interval():
    """Hours of sleep gained by ten patients (Student 1908), as R's t.test has it; and one value."""
    gained = pd.Series([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4, 0.7])
    found = analysis.means(gained.groupby([0] * 10 + [1]))
    assert found.loc[0].tolist() == pytest.approx([10, 1.58, 0.7001142, 2.4598858], abs=1e-7)
    assert found.loc[1].tolist() == [1, 0.7, NAN, NAN]
    found = analysis.difference(gained[:10], gained[:10] * 0)
    assert found == pytest.approx((1.58, 0.7001142, 2.4598858, 10), abs=1e-7)


def test_the_interval_of_a_paired_difference_of_rates():
    """Bonett and Price: p = (f12 + 1) / (n + 2), q = (f21 + 1) / (n + 2); p - q with Wald's."""
    first, second = np.array([1, 1, 1, 0, 0] * 8, bool), np.array([1, 0, 1, 0, 0] * 8, bool)
    p, q = 9 / 42, 1 / 42
    half = 1.959964 * math.sqrt((p + q - (p - q) ** 2) / 42)
    found = analysis.difference(first, second)
    assert found == pytest.approx((8 / 40, p - q - half, p - q + half, 40), abs=1e-6)
    swapped = analysis.difference(second, first)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def test_it_covers_the_true_difference_in_about_95_percent():
    """Over all outcomes of 12 pictures, exactly, for some chances of (yes, no) and (no, yes)."""
    n, place, found = 12, np.arange(12), {}
    for more, less in product(range(n + 1), repeat=2):
        if more + less <= n:
            second = (place >= more) & (place < more + less)
            found[more, less] = analysis.difference(place < more, second)
    for p, q in [(0.1, 0.1), (0.3, 0.1), (0.05, 0.0), (0.5, 0.3), (0.9, 0.0)]:
        law = stats.multinomial(n, [p, q, 1 - p - q])
        covered = [counts for counts, d in found.items() if d.low <= p - q <= d.high]
        assert sum(law.pmf([a, b, n - a - b]) for a, b in covered) > 0.93


def test_one_picture_of_39_is_too_close_to_tell():
    """By that one "accuracy rises from 4 to 10" was once said to hold: 21 and 22 of 39."""
    before, after = np.arange(39) < 21, np.arange(39) < 22
    found = analysis.difference(after, before)
    assert found.value == pytest.approx(1 / 39)
    assert analysis.judged(found.low, found.high) == "too close to tell"
    same = analysis.difference(before, before)
    assert same.low < 0 == same.value < same.high


def test_a_difference_of_different_pictures_is_refused():
    series = [pd.Series([1.0], index=[sample]) for sample in (7, 8)]
    for function in (analysis.difference, analysis.spearman):
        for first, second in (([1.0, 2.0], [1.0]), ([1.0], [1.0, 2.0]), series):
            with pytest.raises(InputError, match="different pictures"):
                function(first, second)
    with pytest.raises(InputError, match="different pictures"):
        analysis.spearman([1, 2, 3], [1, 2, 3], known=[1, 2])
    with pytest.raises(InputError, match="different pictures"):
        analysis.shape([0, 1, 2, 3], [0.9, 0.5, 0.1])
    assert analysis.difference(series[0], [0.5]).value == 0.5  # a list is in the same order


def test_what_is_not_a_number_is_not_counted():
    assert analysis.difference([3, 1, np.nan], [1, 1, 1]) == analysis.difference([3, 1], [1, 1])
    assert analysis.difference([3, 1, np.nan], [1, 1, 1]).n == 2
    assert analysis.difference([np.nan], [1]) == (NAN, NAN, NAN, 0)
    x = np.arange(12.0)
    assert analysis.spearman(x, np.where(x == 3, np.nan, x)) == (NAN, NAN, NAN, 12)


def test_curve_of_all_and_of_some_pictures():
    curve = analysis.curve(TABLE.sample(frac=1, random_state=0))
    assert curve["epsilon_255"].tolist() == GRID and curve["n"].tolist() == [4] * 4
    assert curve["top1"].tolist() == [0.75, 0.75, 0.5, 0.5]
    means = np.float32(SURE).astype(float).mean(axis=0)  # not rounded to float32 again
    assert curve["confidence"].tolist() == pytest.approx(means, abs=1e-12)
    assert tuple(curve.loc[0, ["top1", "top1_low", "top1_high", "n"]]) == analysis.rate(3, 4)
    assert analysis.curve(TABLE, [3])["top1"].tolist() == [1, 1, 0, 0]
    empty = analysis.curve(TABLE, [])
    assert empty.empty and empty.columns.tolist() == curve.columns.tolist()
    few_classes = analysis.curve(tables.sweep([[1, 0]], classes=3))
    assert few_classes["top1"].tolist() == [1, 0] and few_classes["top5"].isna().all()


def test_bin_curves_of_filled_and_empty_bins():
    curves = analysis.bin_curves(TABLE, [(0.99, 1), (0.95, 0.99), (0.4, 0.6)])
    assert list(curves) == ["99–100%", "95–99%", "40–60%"]
    assert curves["95–99%"]["top1"].tolist() == [1, 0, 1, 1]  # WRONG is as sure, and left out
    assert curves["40–60%"].empty


def test_smallest_epsilon_is_the_first_even_after_a_bounce_back():
    assert analysis.smallest_epsilon(TABLE).to_dict() == {2: 1, 3: 2, 5: np.inf}
    assert analysis.smallest_epsilon(TABLE, [5, 2]).index.tolist() == [5, 2]


def test_the_first_order_estimate_is_exact_for_a_linear_classifier():
    """Log-odds w · x = ln 3, so p = 3/4, and |w| = 8: the gradient is (1 - p) w."""
    table = tables.sweep([[1]]).assign(log_odds=np.log(3), gradient_l1=2.0)
    assert analysis.first_order(table)[0] == pytest.approx(255 * np.log(3) / 8)


def test_a_fate_is_that_of_a_range():
    """Sample 132 is "never fooled" to 20/255, and wrong at every ε from 30/255."""
    table = tables.sweep([[1, 1, 1, 0]], epsilon_255=[0, 10, 20, 30])
    assert analysis.fates(table, 20)[0] == "never fooled"
    assert analysis.fates(table, 30)[0] == "fooled for good"


def test_fates_and_bounce_backs_by_a_plain_loop():
    """All that can happen at five ε."""
    words = ["".join(letters) for letters in product("xo", repeat=5)]
    table = tables.sweep([[letter == "x" for letter in word] for word in words])
    expected = {
        sample: analysis.FATES[0 if "o" not in word else 1 if "ox" in word else 2]
        for sample, word in enumerate(words)
        if word[0] == "x"
    }
    assert analysis.fates(table.sample(frac=1, random_state=0), 4).to_dict() == expected
    back = list(expected.values()).count("bounce-back")
    assert analysis.bounce_backs(table, 10, 4)[:2] == (back, 15)


def test_bounce_backs_stand_beside_their_chance_level():
    """Of five classes three are neither true nor the first; three of these nine are met."""
    seen = [[0, 1, 1, 2, 2], [0, 3, 1, 4, 0], [0, 0, 0, 0, 0], [0, 2, 0, 2, 2]]
    table = tables.sweep(predicted=seen)
    assert analysis.bounce_backs(table, 5, 4) == (2, 3, pytest.approx(3 / 9))
    assert analysis.bounce_backs(table, 5, 1) == (0, 3, 0)
    assert analysis.bounce_backs(tables.sweep([[1, 0]]), 2, 4) == (0, 1, NAN)
    assert analysis.bounce_backs(tables.sweep([[1, 1]]), 10, 4) == (0, 0, NAN)
    by_chance = np.random.default_rng(0).integers(0, 20, (3000, 9))
    by_chance[:, 0] = 0
    count, fooled, chance = analysis.bounce_backs(tables.sweep(predicted=by_chance), 20, 8)
    assert count / fooled == pytest.approx(chance, abs=0.03)


EPSILON = [0, 1, 2, 4, 8, 12, 16, 20]
SHAPES = {  # of confidences in percent
    "90 90 90 90 90 90 90 90": "flat",
    "90 88 84 86 90 92 90 88": "flat",
    "50 50 55 60 65 70 80 90": "rising",
    "50 47 50 50 60 60 60 62": "rising",
    "95 60 20 10 10 10 10 10": "L",
    "90 15 12 20 14 12 10 11": "L",
    "99 50 20 15 20 25 30 35": "L with a rise",
    "95 60 30 25 30 50 70 90": "U",
    "90 40 40 40 50 60 65 65": "U",
    "90 85 80 75 60 50 40 30": "falling",
    "90 90 90 90 90 10 10 10": "falling",
    "90 20 80 20 80 20 80 20": "none of these",
    "50 40 50 60 70 80 90 95": "none of these",  # it rises five times as far as it fell
    "50 50 70 90 90 70 50 30": "none of these",
}


@pytest.mark.parametrize(("percents", "shape"), SHAPES.items())
def test_shapes(percents, shape):
    values = [int(percent) / 100 for percent in percents.split()]
    assert analysis.shape(EPSILON, values) == shape
    assert analysis.shape(EPSILON[::-1], values[::-1]) == shape  # sorted by ε first
    # What lies beyond the range does not count.
    assert analysis.shape([*EPSILON, 40, 128], [*values, 0.0, 1.0]) == shape


def test_curves_that_a_rule_of_three_values_called_an_l():
    values = [0.977, 0.543, 0.991, 0.95, 0.89, 0.087, 0.371]  # photograph 323
    assert analysis.shape([0, 0.1, 1, 3, 5, 10, 20], values) == "none of these"
    values = [0.706, 0.951, 0.591, 0.806, 0.358, 0.580, 0.197]  # 132 with SqueezeNet
    assert analysis.shape([0, 0.3, 2, 4, 10, 14, 20], values) == "none of these"
    for few in ([], [0.9, 0.1], [np.nan] * 3):
        assert analysis.shape(range(len(few)), few) == "none of these"


@given(st.lists(st.floats(0, 1), min_size=3, max_size=20))
def test_a_shape_s_name_never_contradicts_the_curve(values):
    shape = analysis.shape(np.linspace(0, 20, len(values)), values)
    first, low, end, high = values[0], min(values), values[-1], max(values)
    wobble = max(0.05, 0.15 * (high - low)) + 1e-9
    assert shape in analysis.SHAPES
    assert (shape == "flat") == (high - low <= 0.1)
    if shape == "rising":
        assert end > first and high - end <= wobble and first - low <= wobble
    if shape == "falling":
        assert end < first and high - first <= wobble and end - low <= wobble
    if shape in ("L", "L with a rise"):
        assert high - first <= wobble and max(values[len(values) // 2 :]) < first
        assert end - low < 0.5 * (first - low)
    if shape == "U":
        assert high - max(first, end) <= wobble and 0 < values.index(low) < len(values) - 1


# Scores and grades at 15 law schools: Efron's own example of the bootstrap.
LSAT = np.array([576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594])
GPA = np.array([339, 330, 281, 303, 344, 307, 300, 343, 336, 313, 312, 274, 276, 288, 296])


def test_the_interval_of_a_rank_correlation_is_that_of_resampling_pair_by_pair():
    """SciPy's coefficient of resamples drawn here; two quantiles differ by chance only."""
    found = analysis.spearman(LSAT, GPA)
    assert found.value == pytest.approx(stats.spearmanr(LSAT, GPA).statistic)
    rng = np.random.default_rng(1)
    draws = (rng.integers(0, 15, 15) for _ in range(800))
    resampled = [stats.spearmanr(LSAT[rows], GPA[rows]).statistic for rows in draws]
    assert found[1:3] == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.05)
    assert analysis.spearman(LSAT, GPA) == found != analysis.spearman(LSAT, GPA, seed=1)


def test_a_rank_correlation_by_hand_and_of_pictures_never_fooled():
    """Two neighbors swapped: 1 - 6 · 2 / (10 · 99)."""
    swapped = analysis.spearman(range(10), [0, 1, 2, 3, 5, 4, 6, 7, 8, 9])
    assert swapped.value == pytest.approx(1 - 12 / 990)
    x, y = np.linspace(0.4, 0.99, 40), np.arange(40.0)
    ranks_last = analysis.spearman(x, np.where(y > 34, 999, y))
    assert analysis.spearman(x, np.where(y > 34, np.inf, y)) == ranks_last


def test_a_partial_rank_correlation_is_that_of_what_a_fit_leaves_of_the_ranks():
    known = np.array([5, 3, 8, 8, 1, 9, 2, 7, 4, 6, 10, 0, 11, 13, 12])
    fitted = stats.rankdata(known)
    left = [
        ranks - np.polyval(np.polyfit(fitted, ranks, 1), fitted)
        for ranks in (stats.rankdata(LSAT), stats.rankdata(GPA))
    ]
    found = analysis.spearman(LSAT, GPA, known)
    assert found.value == pytest.approx(np.corrcoef(*left)[0, 1])
    assert found.low < found.value < found.high
    # Nothing is left where one of the two is what is known.
    assert analysis.spearman(LSAT, GPA, LSAT).value == 0


def test_what_hardly_varies_decides_nothing_and_warns_of_nothing():
    for values in ([np.inf] * 30, [3.0] * 30, []):
        found = analysis.spearman(np.linspace(0, 1, len(values)), values)
        assert found == (NAN, NAN, NAN, len(values))
        assert analysis.verdict(found.low, found.high, found.n) == "cannot be judged"
    one_fooled = analysis.spearman(np.linspace(0.4, 0.9, 12), [1, *[np.inf] * 11])
    assert analysis.verdict(one_fooled.low, one_fooled.high, 12) == "undecided"


def test_verdicts_go_by_the_interval():
    intervals = [(0.1, 0.3), (-0.3, -0.1), (-0.1, 0.1), (0.0, 0.2), (np.nan, np.nan)]
    words = ["supported", "contradicted", "undecided", "undecided", "cannot be judged"]
    assert [analysis.verdict(low, high, 10) for low, high in intervals] == words
    assert analysis.verdict(0.1, 0.3, 9) == "cannot be judged"
    words = ["holds", "does not hold", *["too close to tell"] * 2, "cannot be judged"]
    assert [analysis.judged(low, high) for low, high in intervals] == words
    below = [analysis.judged(1 - high, 1 - low, than=1, below=True) for low, high in intervals]
    assert below == words


@given(st.floats(-1e9, 1e9), st.integers(0, 5), st.sampled_from("-+"))
def test_a_number_reads_back_as_itself_and_has_a_real_minus_sign(value, digits, sign):
    text = analysis.number(value, digits, sign)
    assert "-" not in text and float(text.replace("−", "-")) == round(value, digits)
    assert ("−" in text) == (round(value, digits) < 0)  # never −0.00
    assert ("+" in text) == (sign == "+" and round(value, digits) >= 0)


def test_texts():
    assert [analysis.number(x) for x in (-0.25, -0.004, 0.5)] == ["−0.25", "0.00", "0.50"]
    assert [analysis.number(x) for x in (np.nan, np.inf, -np.inf)] == ["–", "∞", "−∞"]
    assert analysis.percent(0.244) == "24%" and analysis.percent(-0.0004, 1) == "0.0%"
    assert analysis.interval_text(0.14, 0.37) == "0.14–0.37"
    assert analysis.interval_text(-0.1, 0.37, 1) == "−0.1 to 0.4"
    assert analysis.count_text(12, 50) == "12 of 50 (0.24, 0.14–0.37)"
    assert analysis.count_text(0, 0) == "0 of 0"
    assert analysis.rate_text(analysis.curve(TABLE).iloc[0]) == "0.75 (0.30–0.95)"
    one = analysis.curve(tables.sweep([[1]], [[0.995]], classes=3)).iloc[0]
    assert analysis.rate_text(one, "confidence", 3) == "0.995 (one picture)"
    assert analysis.rate_text(one, "top5") == "no picture"
    assert analysis.bin_name(0.95, 0.99) == "95–99%"
    assert [analysis.eps(4.0), analysis.eps(0.5), analysis.upto(TABLE)] == [
        "4/255",
        "0.5/255",
        "to 4/255",
    ]


def test_the_picture_shown_first_is_the_surest_mistake_at_a_small_epsilon():
    table = tables.sweep(
        correct=[[True, False, False], [True, False, True], [False, False, False]],
        confidence=[[0.9, 0.6, 0.99], [0.4, 0.8, 0.4], [0.9, 0.9, 0.9]],
        epsilon_255=[0, 2, 4],
    )
    found = analysis.surest_wrong(table)  # unsure at first: 1; wrong at first: 2; surer at 4/255: 0
    assert (found["sample"], found["epsilon_255"]) == (0, 2)
    with pytest.raises(InputError, match=r"none of 1 pictures is fooled up to 1/255"):
        analysis.surest_wrong(table, upto_255=1)

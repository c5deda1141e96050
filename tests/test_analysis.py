"""Every function of ``analysis`` on tables small enough to do by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fgsm_lib import analysis  # the module: pytest would take test_hypothesis itself for a test
from fgsm_lib.analysis import Segment, Verdict

pytestmark = pytest.mark.filterwarnings("error")  # no division by zero, no empty means

NAN = pytest.approx(np.nan, nan_ok=True)
TRUE_CLASS = 0


def sweep_table(images: dict[int, list[tuple[int, float]]], epsilons) -> pd.DataFrame:
    """Rows of images whose label is 0, from (predicted class, confidence) at each epsilon.

    Class 1 is a near miss: not correct, but correct among the top 5.
    """
    rows = [
        (sample, TRUE_CLASS, float(epsilon), predicted, confidence)
        for sample, outcomes in images.items()
        for epsilon, (predicted, confidence) in zip(epsilons, outcomes, strict=True)
    ]
    columns = ["sample", "label", "epsilon_255", "predicted_class", "confidence"]
    table = pd.DataFrame(rows, columns=columns).astype({"confidence": "float32"})
    table["correct"] = table["predicted_class"] == TRUE_CLASS
    table["correct_top5"] = table["predicted_class"] <= 1
    return table


BOUNCES = [(0, 0.97), (4, 0.3), (0, 0.4), (0, 0.5)]
FALLS = [(0, 0.92), (0, 0.5), (1, 0.2), (6, 0.2)]
STANDS = [(0, 0.995), (0, 0.9), (0, 0.8), (0, 0.9)]
WRONG = [(3, 0.97), (0, 0.2), (3, 0.1), (3, 0.1)]
TABLE = sweep_table({2: BOUNCES, 3: FALLS, 5: STANDS, 8: WRONG}, [0, 1, 2, 4])
ONE_IMAGE = sweep_table({7: [(0, 0.9), (1, 0.4)]}, [0, 1])
ONE_WRONG_IMAGE = sweep_table({7: [(1, 0.9), (1, 0.4)]}, [0, 1])


# --- choosing rows -----------------------------------------------------------------------------


def test_clean_has_one_row_per_sample_at_epsilon_zero():
    start = analysis.clean(TABLE)
    assert start.index.tolist() == [2, 3, 5, 8]
    assert start["predicted_class"].tolist() == [0, 0, 0, 3]


def test_at_keeps_the_rows_of_some_epsilons():
    assert analysis.at(TABLE, [4, 1, 99])["epsilon_255"].tolist() == [1, 4] * 4


def test_initially_correct_means_correct_on_the_clean_image():
    assert analysis.initially_correct(TABLE).tolist() == [2, 3, 5]


def test_initially_correct_within_bounds_of_the_clean_confidence():
    assert analysis.initially_correct(TABLE, 0.95, 0.99).tolist() == [2]


@pytest.mark.parametrize(
    ("confidence", "low", "high", "inside"),
    [
        (np.float32(0.99), 0.95, 0.99, True),  # as float64 it is 0.9900000095, above 0.99
        (np.float32(0.99), 0.99, 1.0, False),
        (np.nextafter(np.float32(0.99), np.float32(1)), 0.95, 0.99, False),
        (np.nextafter(np.float32(0.99), np.float32(1)), 0.99, 1.0, True),
        (np.float32(0.95), 0.95, 0.99, False),
        (np.float32(0.95), 0.90, 0.95, True),
        (np.float32(1), 0.99, 1.0, True),
    ],
)
def test_bins_are_open_on_the_left_and_closed_on_the_right(confidence, low, high, inside):
    table = sweep_table({0: [(0, confidence)]}, [0])
    assert (len(analysis.initially_correct(table, low, high)) == 1) is inside


@given(st.floats(0, 1, width=32, exclude_min=True))
def test_every_confidence_lies_in_exactly_one_five_point_bin(confidence):
    table = sweep_table({0: [(0, confidence)]}, [0])
    hits = [len(analysis.initially_correct(table, *edges)) for edges in analysis.FIVE_POINT_BINS]
    assert sum(hits) == 1


# --- rates and means with their intervals ------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (50, 100, 0.4038, 0.5962),
        (0, 1, 0.0, 0.7935),
        # Newcombe's four examples: Statistics in Medicine 17 (1998), Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_rate_with_wilson_s_interval(successes, n, low, high):
    """(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n) with z = 1.96, to four digits."""
    assert analysis.rate(successes, n) == pytest.approx((successes / n, low, high), abs=5e-5)


def test_a_rate_of_nothing_is_not_a_number():
    assert analysis.rate(0, 0) == (NAN, NAN, NAN)


def test_mean_with_student_s_interval():
    """Mean 3, s = √2.5, and t = 2.7764 for four degrees of freedom: 3 ± 1.9632."""
    expected = pytest.approx((3, 1.0368, 4.9632), abs=5e-5)
    assert analysis.mean(pd.Series([1, 2, 3, 4, 5])) == expected


def test_the_mean_of_student_s_own_example():
    """Hours of sleep gained by ten patients (1908), as R's t.test(extra ~ group, paired) has it."""
    gained = pd.Series([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert analysis.mean(gained) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-7)


def test_a_mean_of_equal_values_has_no_width():
    assert analysis.mean(pd.Series([0.25, 0.25, 0.25])) == (0.25, 0.25, 0.25)


def test_a_mean_of_one_value_has_no_interval():
    assert analysis.mean(pd.Series([0.7])) == (0.7, NAN, NAN)


def test_a_mean_of_nothing_is_not_a_number():
    assert analysis.mean(pd.Series([], dtype=float)) == (NAN, NAN, NAN)


# --- curves ------------------------------------------------------------------------------------


def test_curve_of_all_images():
    curve = analysis.curve(TABLE)
    assert curve["epsilon_255"].tolist() == [0, 1, 2, 4]
    assert curve["n"].tolist() == [4] * 4
    assert curve["top1"].tolist() == [0.75, 0.75, 0.5, 0.5]
    assert curve["top5"].tolist() == [0.75, 0.75, 0.75, 0.5]
    assert curve["confidence"].tolist() == pytest.approx([0.96375, 0.475, 0.375, 0.425])


def test_curve_of_some_images():
    curve = analysis.curve(TABLE, pd.Index([3]))
    assert curve["n"].tolist() == [1] * 4
    assert curve["top1"].tolist() == [1, 1, 0, 0]


def test_curve_carries_the_intervals_of_rate_and_mean():
    row = analysis.curve(TABLE).iloc[0]
    confidences = TABLE.loc[TABLE["epsilon_255"] == 0, "confidence"]
    assert tuple(row[["top1", "top1_low", "top1_high"]]) == analysis.rate(3, 4)
    assert tuple(row[["confidence", "confidence_low", "confidence_high"]]) == analysis.mean(
        confidences
    )


def test_curve_does_not_depend_on_the_order_of_rows():
    shuffled = TABLE.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(analysis.curve(shuffled), analysis.curve(TABLE))


def test_curve_of_no_image_is_empty_with_the_same_columns():
    curve = analysis.curve(TABLE, pd.Index([]))
    assert curve.empty
    assert curve.columns.tolist() == analysis.curve(TABLE).columns.tolist()


def test_bin_curves_of_filled_and_empty_bins():
    bins = [(0.99, 1), (0.95, 0.99), (0.4, 0.6)]
    curves = analysis.bin_curves(TABLE, bins, [0, 1])
    assert list(curves) == ["99–100%", "95–99%", "40–60%"]
    assert curves["99–100%"]["top1"].tolist() == [1, 1]  # STANDS
    assert curves["95–99%"]["top1"].tolist() == [1, 0]  # BOUNCES; WRONG has 0.97 too
    assert curves["40–60%"].empty


def test_shared_keeps_every_row_of_the_samples_of_the_other_table():
    other = TABLE[TABLE["sample"].isin([3, 8])].head(1)
    found = analysis.shared(TABLE, other)
    assert found["sample"].unique().tolist() == [3]
    assert len(found) == len(TABLE[TABLE["sample"] == 3])


def test_bin_table_counts_images_and_says_where_there_are_none():
    table = analysis.bin_table(TABLE, [(0.95, 0.99), (0.4, 0.6)], [1, 2])
    assert table["images"].tolist() == [1, 0]
    assert table["1/255"].tolist() == ["0.00 (0.00–0.79)", "no image"]
    assert table["2/255"].tolist() == ["1.00 (0.21–1.00)", "no image"]


def test_side_by_side_puts_the_published_values_beside():
    published = pd.DataFrame({"epsilon_255": [0, 4], "top1": [1, 0.5], "top5": 0.9})
    published["confidence"] = 0.123
    table = analysis.side_by_side(analysis.curve(TABLE), published)
    assert table["ε"].tolist() == ["0/255", "1/255", "2/255", "4/255"]
    assert table["published top-1"].tolist() == ["1.00", "–", "–", "0.50"]
    assert table["published mean confidence"].tolist() == ["0.12", "–", "–", "0.12"]


def test_side_by_side_without_published_values_has_no_such_columns():
    table = analysis.side_by_side(analysis.curve(TABLE), None)
    assert table.columns.tolist() == ["ε", "top-1", "top-5", "mean confidence"]


def test_clean_summary_in_words():
    summary = analysis.clean_summary(TABLE)
    assert summary["value"].tolist() == ["0.750", "0.750", "0.964"]
    assert summary["95% interval"][0] == "0.301 to 0.954"


# --- who is fooled -----------------------------------------------------------------------------


def test_smallest_fooling_epsilon_is_the_first_even_after_a_bounce_back():
    samples = analysis.initially_correct(TABLE)
    assert analysis.smallest_fooling_epsilon(TABLE, samples).to_dict() == {2: 1, 3: 2, 5: np.inf}


def test_smallest_fooling_epsilon_keeps_the_order_asked_for():
    epsilon = analysis.smallest_fooling_epsilon(TABLE, pd.Index([5, 2]))
    assert epsilon.index.tolist() == [5, 2]


def test_where_nobody_is_fooled_all_are_infinite():
    table = TABLE[TABLE["sample"] == 5]
    assert analysis.smallest_fooling_epsilon(table, pd.Index([5])).tolist() == [np.inf]


def test_bounce_backs_count_only_initially_correct_images():
    """BOUNCES, FALLS and STANDS; the first two are fooled; the first is right again."""
    assert analysis.bounce_backs(TABLE) == (3, 2, 1)


def test_bounce_backs_do_not_depend_on_the_order_of_rows():
    assert analysis.bounce_backs(TABLE.sample(frac=1, random_state=1)) == (3, 2, 1)


def test_segments_are_runs_of_one_class():
    rows = sweep_table({0: [(0, 0.9), (0, 0.8), (4, 0.5), (5, 0.5), (0, 0.6)]}, [0, 1, 2, 4, 8])
    assert analysis.segments(rows.sample(frac=1, random_state=0)) == [
        Segment(0, 0, 1, True),
        Segment(4, 2, 2, False),
        Segment(5, 4, 4, False),
        Segment(0, 8, 8, True),
    ]


def test_a_class_that_never_changes_is_one_segment():
    assert analysis.segments(TABLE[TABLE["sample"] == 5]) == [Segment(0, 0, 4, True)]


@pytest.mark.parametrize(
    ("confidence", "shape"),
    [
        ([0.9, 0.9, 0.9], "flat"),
        ([0.9, 0.86, 0.86], "flat"),
        ([0.9, 0.86, 0.94], "flat"),
        ([0.5, 0.6, 0.7], "rising"),
        ([0.5, 0.47, 0.6], "rising"),
        ([0.5, 0.4, 0.9], "U"),  # it falls first
        ([0.99, 0.3, 0.95], "U"),
        ([0.9, 0.4, 0.7], "U"),
        ([0.9, 0.4, 0.6], "L with a rise"),
        ([0.9, 0.4, 0.41], "L"),
        ([0.9, 0.4, 0.2], "L"),
        ([0.9], "flat"),
    ],
)
def test_curve_shape(confidence, shape):
    assert analysis.curve_shape(confidence) == shape


def test_curve_shape_at_the_edges_of_its_rule():
    """A rebound of exactly half the fall is a U, one of exactly a tenth a slight rise."""
    assert analysis.curve_shape([1.0, 0.5, 0.75]) == "U"
    assert analysis.curve_shape([0.625, 0.0, 0.0625]) == "L with a rise"


# --- the hypothesis ----------------------------------------------------------------------------


def fooled_at(confidences, epsilons, grid=range(60)) -> pd.DataFrame:
    """A sweep of images with these clean confidences, each fooled from its epsilon on."""
    return sweep_table(
        {
            sample: [(0, confidence)] + [(int(e >= first), 0.5) for e in grid[1:]]
            for sample, (confidence, first) in enumerate(zip(confidences, epsilons, strict=True))
        },
        grid,
    )


CONFIDENCES = np.linspace(0.41, 0.99, 40)


def test_the_hypothesis_is_supported_where_the_confident_hold_out_longer():
    verdict = analysis.test_hypothesis(fooled_at(CONFIDENCES, range(1, 41)))
    assert (verdict.n, verdict.never_fooled) == (40, 0)
    # Perfect order in every resample, up to the rounding of a square root.
    assert (verdict.rho, verdict.rho_low, verdict.rho_high) == pytest.approx((1, 1, 1))
    assert verdict.word == "supported"


def test_the_hypothesis_is_contradicted_where_the_confident_fall_first():
    verdict = analysis.test_hypothesis(fooled_at(CONFIDENCES, range(40, 0, -1)))
    assert verdict.rho == pytest.approx(-1)
    assert verdict.word == "contradicted"


def test_the_hypothesis_is_undecided_where_order_says_nothing():
    shuffled = np.random.default_rng(3).permutation(np.arange(1, 41))
    verdict = analysis.test_hypothesis(fooled_at(CONFIDENCES, shuffled))
    assert verdict.rho_low < 0 < verdict.rho_high
    assert verdict.rho_low < verdict.rho < verdict.rho_high
    assert verdict.word == "undecided"


def test_the_rank_correlation_by_hand():
    """Ranks 1 to 10 with two neighbors swapped: 1 - 6 · 2 / (10 · 99)."""
    order = [1, 2, 3, 4, 6, 5, 7, 8, 9, 10]
    verdict = analysis.test_hypothesis(fooled_at(CONFIDENCES[:10], order))
    assert verdict.rho == pytest.approx(1 - 12 / 990)


def test_the_rank_correlation_of_a_textbook_example():
    """IQ and hours of television of ten people: -29/165."""
    iq = np.array([106.0, 100, 86, 101, 99, 103, 97, 113, 112, 110])
    hours = np.array([7.0, 27, 2, 50, 28, 29, 20, 12, 6, 17])
    assert analysis.rank_verdict(iq, hours).rho == pytest.approx(-29 / 165)


# Scores and grades at 15 law schools: Efron's own example of the bootstrap.
LSAT = np.array([576.0, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594])
GPA = np.array(
    [3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96]
)


def test_the_interval_of_a_rank_correlation_is_that_of_resampling_pair_by_pair():
    """SciPy's coefficient of 2000 resamples drawn here; two quantiles differ by chance only."""
    verdict = analysis.rank_verdict(LSAT, GPA)
    assert stats.pearsonr(LSAT, GPA).statistic == pytest.approx(0.776, abs=5e-4)  # as published
    assert verdict.rho == pytest.approx(0.7964, abs=5e-5)
    rng = np.random.default_rng(1)
    draws = (rng.integers(0, 15, 15) for _ in range(2000))
    resampled = [stats.spearmanr(LSAT[rows], GPA[rows]).statistic for rows in draws]
    low, high = np.quantile(resampled, [0.025, 0.975])
    assert (verdict.rho_low, verdict.rho_high) == pytest.approx((low, high), abs=0.05)


def test_the_verdict_is_the_same_in_every_run():
    table = fooled_at(CONFIDENCES, np.random.default_rng(3).permutation(np.arange(1, 41)))
    assert analysis.test_hypothesis(table) == analysis.test_hypothesis(table)


def test_an_image_never_fooled_ranks_above_all_others():
    """The five most confident are never fooled: as far as ranks go, this is still in order."""
    verdict = analysis.test_hypothesis(fooled_at(CONFIDENCES, [*range(1, 36), *[999] * 5]))
    assert verdict.never_fooled == 5
    assert verdict.rho == pytest.approx(1, abs=0.01)  # five ties take a little off
    assert verdict.word == "supported"


def test_images_wrong_from_the_start_do_not_count():
    table = fooled_at(CONFIDENCES, range(1, 41))
    wrong = fooled_at([0.99] * 20, [0] * 20)
    wrong["sample"] += 1000
    wrong["correct"] = False
    assert analysis.test_hypothesis(pd.concat([table, wrong])) == analysis.test_hypothesis(table)


@pytest.mark.parametrize(
    ("confidences", "epsilons", "never"),
    [
        (CONFIDENCES[:9], range(1, 10), 0),  # too few
        (CONFIDENCES, [3] * 40, 0),  # all fooled at the same epsilon
        (CONFIDENCES, [999] * 40, 40),  # nobody fooled
        ([0.5] * 40, range(1, 41), 0),  # all equally confident
    ],
)
def test_what_cannot_be_judged(confidences, epsilons, never):
    verdict = analysis.test_hypothesis(fooled_at(confidences, epsilons))
    assert verdict.word == "cannot be judged"
    assert verdict.never_fooled == never
    assert np.isnan(verdict.rho)


def test_one_fooled_image_among_many_decides_nothing_and_warns_of_nothing():
    """Every third resample lacks the only fooled image, and has no correlation."""
    verdict = analysis.test_hypothesis(fooled_at(CONFIDENCES[:12], [1] + [999] * 11))
    assert verdict.word in ("cannot be judged", "undecided")
    assert (verdict.n, verdict.never_fooled) == (12, 11)


def test_a_few_resamples_without_a_correlation_do_not_spoil_the_verdict():
    """The 5 least confident of 30 are fooled: 1 resample in 240 holds none of them."""
    verdict = analysis.test_hypothesis(fooled_at(CONFIDENCES[:30], [*range(1, 6), *[999] * 25]))
    assert verdict.word == "supported"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 0.3, "supported"),
        (-0.3, -0.1, "contradicted"),
        (-0.1, 0.1, "undecided"),
        (0.0, 0.2, "undecided"),
        (np.nan, np.nan, "cannot be judged"),
    ],
)
def test_the_word_goes_by_whether_the_interval_excludes_zero(low, high, word):
    assert Verdict(40, 0, (low + high) / 2, low, high).word == word


# --- tables of one image -----------------------------------------------------------------------


@pytest.mark.parametrize("table", [ONE_IMAGE, ONE_WRONG_IMAGE], ids=["correct", "wrong"])
def test_a_table_of_one_image_goes_through_everything(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        correct = int(table["correct"].iloc[0])
        assert analysis.curve(table)["n"].tolist() == [1, 1]
        assert analysis.bounce_backs(table) == (correct, correct, 0)
        assert analysis.test_hypothesis(table).word == "cannot be judged"
        bins = analysis.bin_table(table, analysis.ORIGINAL_BINS, [0, 1])
        assert bins["images"].sum() == correct
        analysis.side_by_side(analysis.curve(table), None)


def test_a_summary_of_one_image_shows_no_nan():
    assert "nan" not in analysis.clean_summary(ONE_IMAGE).to_string()


def test_a_table_for_reading_shows_no_nan():
    assert "nan" not in analysis.side_by_side(analysis.curve(ONE_IMAGE), None).to_string()


def test_the_nearest_epsilon_is_one_of_the_table_and_above_zero():
    table = pd.DataFrame({"epsilon_255": [0.0, 0.25, 3.0, 5.0]})
    assert [analysis.nearest(table, wanted) for wanted in (0, 1, 2.5, 4, 99)] == [
        0.25,
        0.25,
        3,
        3,
        5,
    ]

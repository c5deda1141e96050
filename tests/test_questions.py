"""The open questions: neighbors, shapes, visibility and their sentences, by hand."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from skimage.color import rgb2lab

from fgsm_lib import analysis, answers, figures, neighbors, perception, shapes, visibility
from fgsm_lib import figures_questions as drawings

pytestmark = pytest.mark.filterwarnings("error")  # no division by zero, no empty means

NAMES = ["cat, feline", "dog", "fox", "owl", "elk", "hen", "ant"]
TOP5 = [0, 1, 2, 3, 4]


def sweep_table(images: dict[int, list[tuple[int, float]]], epsilons, label=0) -> pd.DataFrame:
    """Images of one label, from (predicted class, confidence) at each epsilon."""
    rows = [
        (sample, label, float(epsilon), predicted, confidence, TOP5)
        for sample, outcomes in images.items()
        for epsilon, (predicted, confidence) in zip(epsilons, outcomes, strict=True)
    ]
    columns = ["sample", "label", "epsilon_255", "predicted_class", "confidence", "top5_classes"]
    table = pd.DataFrame(rows, columns=columns)
    table["correct"] = table["predicted_class"] == label
    table["correct_top5"] = table["predicted_class"] <= 4
    return table


BOUNCES = [(0, 0.97), (1, 0.3), (0, 0.9)]
FALLS = [(0, 0.92), (0, 0.5), (6, 0.2)]
STANDS = [(0, 0.995), (0, 0.99), (0, 0.98)]
WRONG = [(3, 0.9), (0, 0.2), (3, 0.1)]
TABLE = sweep_table({2: BOUNCES, 3: FALLS, 5: STANDS, 8: WRONG}, [0, 1, 2])
NOBODY = TABLE[TABLE["sample"] == 5]
ONLY_WRONG = TABLE[TABLE["sample"] == 8]
ONE_FOOLED = TABLE[TABLE["sample"] == 2]
AT_ONCE = sweep_table({0: [(0, 0.9), (1, 0.5)], 1: [(0, 0.6), (1, 0.5)]}, [0, 0.1])


# --- neighbors ---------------------------------------------------------------------------------


def test_the_adversarial_class_is_that_of_the_first_wrong_epsilon():
    fooled = neighbors.first_fooled(TABLE.sample(frac=1, random_state=0))
    assert fooled.index.tolist() == [2, 3]
    assert fooled["epsilon_255"].tolist() == [1, 2]
    assert fooled["adversarial_class"].tolist() == [1, 6]
    assert fooled["rank"].tolist() == ["rank 2", "outside the top 5"]


def test_rank_counts_with_wilson_intervals():
    counts = neighbors.rank_counts(neighbors.first_fooled(TABLE)).set_index("rank")
    assert counts["count"].tolist() == [1, 0, 0, 0, 1]
    assert tuple(counts.loc["rank 2", ["share", "low", "high"]]) == pytest.approx(
        (0.5, 0.0945, 0.9055), abs=5e-5
    )


def test_transitions_count_pairs_the_most_frequent_first():
    fooled = pd.DataFrame({"label": [4, 0, 0, 0], "adversarial_class": [1, 2, 5, 5]})
    pairs = neighbors.transitions(fooled)
    assert pairs.to_numpy().tolist() == [[0, 5, 2, 3], [0, 2, 1, 3], [4, 1, 1, 1]]


def test_class_robustness_counts_only_initially_correct_images():
    other = sweep_table({9: [(1, 0.9), (1, 0.8), (1, 0.8)]}, [0, 1, 2], label=1)
    robust = neighbors.class_robustness(pd.concat([TABLE, other]), 1)
    assert robust[["label", "n", "correct"]].to_numpy().tolist() == [[1, 1, 1], [0, 3, 2]]
    assert tuple(robust.iloc[1][["top1", "top1_low", "top1_high"]]) == analysis.rate(2, 3)


def test_class_spread_is_the_exponential_of_the_entropy():
    """Predictions 0, 0, 0, 3 at ε = 0; at 1: 1, 0, 0, 0; at 2: 0, 6, 0, 3."""
    spread = neighbors.class_spread(TABLE)
    assert spread["classes"].tolist() == [2, 2, 3]
    assert spread["effective"].tolist() == pytest.approx(
        [4 / 3**0.75, 4 / 3**0.75, 2 * 2**0.5], abs=1e-12
    )
    assert spread["top_class"].tolist() == [0, 0, 0]
    assert spread["top_count"].tolist() == [3, 3, 2]


def test_equally_frequent_classes_count_fully():
    table = sweep_table({i: [(i, 0.5)] for i in range(5)}, [0])
    assert neighbors.class_spread(table)["effective"].tolist() == pytest.approx([5])


def test_class_vectors_of_a_linear_layer_and_of_a_convolution():
    linear = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 3))
    np.testing.assert_allclose(
        neighbors.class_vectors(linear, 3), linear[2].weight.detach().double()
    )
    pointwise = torch.nn.Sequential(torch.nn.Conv2d(5, 7, 1), torch.nn.AdaptiveAvgPool2d(1))
    assert neighbors.class_vectors(pointwise, 7).shape == (7, 5)


def test_a_network_without_such_a_layer_has_no_class_vectors():
    assert neighbors.class_vectors(torch.nn.Conv2d(3, 7, 3), 7) is None
    assert neighbors.class_vectors(torch.nn.Linear(3, 4), 7) is None
    assert "no last layer" in answers.similarity(None)


def test_cosines_by_hand():
    vectors = np.array([[3.0, 4.0], [4.0, 3.0], [-3.0, -4.0], [0.0, 0.0]])
    found = neighbors.cosines(vectors, np.array([0, 0, 0]), np.array([1, 2, 3]))
    assert found.tolist() == pytest.approx([0.96, -1, np.nan], nan_ok=True)


def test_weight_similarity_by_hand():
    """Class 0 points along x; its cosines with 1, 2 and 3 are 1, 0 and -1: chance 0, median 0."""
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    fooled = pd.DataFrame({"label": [0, 0, 0], "adversarial_class": [1, 1, 2]})
    found = neighbors.weight_similarity(fooled, vectors)
    assert (found.n, found.closer) == (3, 2)
    assert (found.cosine, found.chance) == pytest.approx((2 / 3, 0))
    assert (found.low, found.high) == analysis.mean(pd.Series([1.0, 1.0, 0.0]))[1:]


def test_closer_is_closer_than_the_median_class_not_than_the_mean():
    """Class 0 points along x; its cosines with the others are 1, 0.05, 0, 0, 0."""
    between = [0.05, (1 - 0.05**2) ** 0.5]
    vectors = np.array([[1, 0], [1, 0], between, [0, 1], [0, -1], [0, 1]])
    fooled = pd.DataFrame({"label": [0], "adversarial_class": [2]})
    found = neighbors.weight_similarity(fooled, vectors)
    assert (found.cosine, found.chance) == pytest.approx((0.05, 0.21))
    assert found.closer == 1


def test_half_epsilon_leaves_nearest_to_half():
    """Of two images, both are right at 1, one at 2 and 3, none at 4: the first half is at 2."""
    images = {0: [(0, 0.9)] * 4 + [(1, 0.5)], 1: [(0, 0.9)] * 2 + [(1, 0.5)] * 3}
    table = sweep_table(images, [0, 1, 2, 3, 4])
    assert neighbors.half_epsilon(table) == 2
    assert neighbors.half_epsilon(analysis.at(table, [0, 4])) == 4
    assert neighbors.half_epsilon(analysis.at(table, [0])) == 0


def test_class_test_agrees_with_fisher_on_two_classes():
    robust = pd.DataFrame({"n": [12, 10], "correct": [11, 3]})
    exact = stats.fisher_exact([[11, 1], [3, 7]]).pvalue
    assert neighbors.class_test(robust) == pytest.approx(exact, abs=0.006)


def test_class_test_has_nothing_to_test_in_one_class_or_one_outcome():
    assert np.isnan(neighbors.class_test(pd.DataFrame({"n": [5], "correct": [2]})))
    assert np.isnan(neighbors.class_test(pd.DataFrame({"n": [5, 4], "correct": [5, 4]})))
    assert np.isnan(neighbors.class_test(pd.DataFrame({"n": [5, 4], "correct": [0, 0]})))


def test_classes_are_said_to_differ_only_when_they_do():
    robust = neighbors.class_robustness(TABLE, 1)
    assert "**differ**" in answers.robustness(robust, 1, 0.049, NAMES)
    assert "chance alone" in answers.robustness(robust, 1, 0.05, NAMES)
    assert "2 of 3 (67%" in answers.robustness(robust, 1, 0.05, NAMES)


# --- shapes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("correct", "expected"),
    [
        ([1, 1, 1], "never fooled"),
        ([1, 0, 0], "fooled for good"),
        ([1, 1, 0], "fooled for good"),
        ([1, 0, 1], "bounce-back"),
        ([1, 0, 1, 0], "bounce-back"),
        ([1], "never fooled"),
    ],
)
def test_fate(correct, expected):
    outcomes = [(0 if right else 1, 0.5) for right in correct]
    table = sweep_table({4: outcomes}, range(len(correct)))
    assert analysis.fates(table).to_dict() == {4: expected}


def test_image_shapes_leave_out_initially_wrong_images():
    found = shapes.image_shapes(TABLE.sample(frac=1, random_state=0))
    assert found["fate"].to_dict() == {2: "bounce-back", 3: "fooled for good", 5: "never fooled"}
    assert found["shape"].to_dict() == {2: "U", 3: "L", 5: "flat"}


def test_counts_by_confidence():
    groups = shapes.by_confidence(TABLE, [(0.95, 0.99), (0, 0.4)], "fate", analysis.FATES)
    assert groups["95–99%"]["count"].tolist() == [0, 1, 0]
    assert groups["0–40%"]["n"].tolist() == [0, 0, 0]
    table = shapes.reading_table(groups)
    assert table["bounce-back"].tolist() == ["1: 1.00 (0.21–1.00)", "no image"]


def test_the_typical_image_lies_nearest_to_the_mean_of_its_kind():
    curves = {i: [(0, 0.9), (1, low), (1, low)] for i, low in enumerate([0.1, 0.3, 0.8])}
    table = sweep_table(curves, [0, 1, 2])
    assert shapes.typical(shapes.image_shapes(table), table) == {"fooled for good, L": 1}


# --- visibility --------------------------------------------------------------------------------


def test_norms_by_hand():
    changed = torch.zeros(3, 2, 2)
    changed[0, 0, 0], changed[1, 1, 1] = 0.3, -0.4
    found = visibility.difference_norms(torch.zeros(3, 2, 2), changed)
    assert found == pytest.approx({"linf": 102, "l2": 0.5})


def test_color_difference_is_taken_where_the_region_is():
    """The left half is black and stays; the right half is white and moves by 100."""
    lightness, moved = np.zeros((4, 4)), np.zeros((4, 4))
    lightness[:, 2:] = moved[:, 2:] = 100
    bands = list(visibility.by_lightness(lightness, moved))
    assert [tuple(band.values()) for band in bands] == [(0, 8, 0), (80, 8, 100)]


def test_every_image_counts_once_in_a_band():
    rows = {"direction": "FGSM", "epsilon_255": 4, "lightness": 20}
    bands = pd.DataFrame([rows | {"pixels": p, "delta_e": e} for p, e in ((1, 2.0), (999, 4.0))])
    curve = visibility.lightness_curve(bands, "FGSM", 4)
    assert curve[["lightness", "images", "delta_e"]].to_numpy().tolist() == [[20, 2, 3]]


MINE = """
title = "Mine"
arch = "tiny"
[epsilon_255]
cases = [0, 0.4, 0.7]
hypothesis = [1]
all_images = [4]
objectives = [4]
[every]
control = 2
"""


@pytest.fixture
def study(study_of):
    """A study whose classifier is right about everything: it labels the images itself."""
    study = study_of(MINE, 6)
    study.dataset.photos = [
        dataclasses.replace(photo, label=int(study.classifier(study.dataset[i][0][None]).argmax()))
        for i, photo in enumerate(study.dataset.photos)
    ]
    return study


class TinyStudy:
    """As much of a study as visibility needs."""

    def __init__(self, dataset, classifier):
        self.dataset, self.classifier = dataset, classifier
        self.profile = type("", (), {"objective": "cross_entropy", "clip": "valid"})


def saved_table(confidences: dict[int, list[float]], right: dict[int, list[bool]], epsilons):
    """A table as ``Study.eight_bit`` has it, from the true class's confidence and correctness."""
    rows = [
        (sample, float(epsilon), correct, confidence)
        for sample in confidences
        for epsilon, correct, confidence in zip(
            epsilons, right[sample], confidences[sample], strict=True
        )
    ]
    return pd.DataFrame(rows, columns=["sample", "epsilon_255", "correct", "confidence_true"])


def test_rounding_is_counted_on_the_initially_correct_images_of_both_tables():
    """Saved at ε = 1 image 2 is as clean; at 2 image 3 is right after saving, not exactly."""
    exact = TABLE.assign(confidence_true=TABLE["confidence"])
    saved = saved_table(
        {2: [0.97, 0.97, 0.4], 3: [0.92, 0.5, 0.3], 8: [0.1, 0.1, 0.1]},
        {2: [True, True, True], 3: [True, True, False], 8: [False, True, False]},
        [0, 1, 2],
    )
    rates = visibility.rounding_rates(exact, saved).set_index("epsilon_255")
    assert rates["n"].tolist() == [2, 2, 2]  # 5 was not saved, 8 is wrong from the start
    assert rates["exact"].tolist() == [1, 0.5, 0.5]
    assert rates["saved"].tolist() == [1, 1, 0.5]
    assert rates["unmoved"].tolist() == [2, 1, 0]
    assert rates["fooled"].tolist() == [0, 1, 1]
    assert rates["still"].tolist() == [0, 0, 1]
    assert tuple(rates.loc[2, ["saved", "saved_low", "saved_high"]]) == analysis.rate(1, 2)


def test_rounding_says_where_the_attack_dies_and_where_it_lives():
    columns = ["epsilon_255", "n", "unmoved", "fooled", "still"]
    facts = [(0, 9, 9, 0, 0), (0.3, 9, 9, 4, 0), (0.4, 9, 9, 5, 0), (0.5, 9, 2, 6, 3)]
    rates = pd.DataFrame([*facts, (2, 9, 0, 8, 8)], columns=columns)
    text = answers.rounding(rates)
    assert "up to ε = 0.4/255 every saved image is seen exactly as the clean one" in text
    assert "(The exact step of 0.4/255 fools 5 of 9.)" in text
    assert "step of 0.5/255 fools, 3 of 6 (50%, " in text
    assert "step of 2/255 fools, 8 of 8 (100%, " in text
    assert "no attack to survive" in answers.rounding(rates[:3])
    assert "no attack to survive" in answers.rounding(rates.assign(fooled=0))
    assert "not survive" not in answers.rounding(rates[3:])
    assert "no ε up to 2/255" in answers.rounding(rates[:1])


def test_half_a_level_is_the_border_in_a_whole_study(study):
    rates = visibility.rounding_rates(study.table, study.eight_bit).set_index("epsilon_255")
    assert len(rates)
    assert rates["unmoved"][[0, 0.4]].tolist() == [3, 3] == rates["n"][[0, 0.4]].tolist()
    assert rates["unmoved"][0.7] == 0
    one = study.table[study.table["epsilon_255"] == 1].set_index("sample")
    saved = study.eight_bit[study.eight_bit["epsilon_255"] == 0.7].set_index("sample")
    assert saved.index.tolist() == [0, 2, 4]
    gap = saved["confidence_true"] - one["confidence_true"].loc[saved.index]
    assert gap.abs().max() < 1e-6


def test_the_control_has_the_grid_of_the_attack_on_every_nth_image(study):
    assert study.control["sample"].unique().tolist() == [0, 2, 4]
    assert study.control["epsilon_255"].unique().tolist() == [0, 0.4, 0.7, 1, 4]
    clean = analysis.clean(study.table).loc[[0, 2, 4], "predicted_class"]
    assert analysis.clean(study.control)["predicted_class"].equals(clean)
    attacked = analysis.shared(study.table, study.control)
    changed = attacked["epsilon_255"].to_numpy() > 0
    ours, theirs = (t["confidence"].to_numpy() for t in (attacked, study.control))
    assert not np.isclose(ours, theirs)[changed].any()


def test_measures_of_random_signs_and_fgsm_have_the_same_step(tiny_set, tiny):
    measured, bands = visibility.measure_table(TinyStudy(tiny_set, tiny()), [0, 1], [2])
    assert measured["linf"].tolist() == pytest.approx([2] * 4, abs=1e-4)
    assert set(bands["direction"]) == set(perception.DIRECTIONS)
    means = perception.means(measured.drop(columns="sample"))
    assert means["direction"].tolist() == list(perception.DIRECTIONS)


def test_the_color_difference_of_pixels_is_that_of_the_images_side_by_side(tiny_set, tiny):
    """ΔE of CIE76 is the Euclidean distance in CIELAB; both images are those that a file keeps."""
    study = TinyStudy(tiny_set, tiny())
    image, attack = perception.attacker(study, 1)
    *_, last = perception.differences(study, 1, [2, 8])
    assert (last.direction, last.epsilon_255) == ("random signs", 8)
    a, b = (
        rgb2lab(np.uint8(np.round(255 * x.permute(1, 2, 0).numpy())))
        for x in (image, attack("random signs", 8 / 255))
    )
    assert last.delta_e == pytest.approx(np.linalg.norm(b - a, axis=2), abs=1e-9)
    assert last.lightness == pytest.approx(a[..., 0])
    assert last.measures()["delta_e"] == pytest.approx(last.delta_e.mean())


# --- sentences and figures, also of runs that show nothing -------------------------------------


@pytest.mark.parametrize("table", [TABLE, NOBODY, ONLY_WRONG, ONE_FOOLED, AT_ONCE])
def test_every_run_has_words(table):
    fooled = neighbors.first_fooled(table)
    counts, found = neighbors.rank_counts(fooled), shapes.image_shapes(table)
    fates, vectors = shapes.counts(found, "fate", analysis.FATES), np.eye(7)
    half = neighbors.half_epsilon(table)
    robust, spread = neighbors.class_robustness(table, half), neighbors.class_spread(table)
    curve = analysis.curve(table)
    texts = [
        answers.ranks(counts, counts, len(NAMES)),
        answers.similarity(neighbors.weight_similarity(fooled, vectors)),
        answers.transitions(neighbors.transitions(fooled)),
        answers.robustness(robust, half, neighbors.class_test(robust), NAMES),
        answers.spread(spread, spread, NAMES),
        answers.kinds("fate", fates, fates),
        answers.against_chance(curve, curve),
    ]
    assert all(text.endswith(".") and "nan" not in text for text in texts)
    answers.transition_table(neighbors.transitions(fooled), NAMES)


def test_ranks_are_said_with_their_chance():
    counts = neighbors.rank_counts(neighbors.first_fooled(TABLE))
    text = answers.ranks(counts, neighbors.rank_counts(neighbors.first_fooled(NOBODY)), 11)
    assert "1 of 2 (50%, 95% interval 9–91%) are seen as the class that came second" in text
    assert "second in 10.0% and among ranks 2 to 5 in 40.0%" in text
    assert text.endswith("Random signs fool none of the images at any ε of the control.")
    assert answers.ranks(neighbors.rank_counts(neighbors.first_fooled(NOBODY)), counts, 11) == (
        answers.NOBODY_FOOLED
    )


def test_similarity_is_judged_by_its_interval():
    make = neighbors.Similarity
    assert "**more alike" in answers.similarity(make(9, 0.5, 0.1, 0.4, 0.3, 0.5, 8))
    assert "**no more alike" in answers.similarity(make(9, 0.2, 0.1, 0.1, -0.1, 0.3, 5))
    assert "**less alike" in answers.similarity(make(9, 0, 0.1, -0.1, -0.2, -0.05, 2))


def test_lightness_is_judged_by_the_intervals():
    columns = ["lightness", "images", "delta_e", "delta_e_low", "delta_e_high"]
    curve = pd.DataFrame([(0, 5, 4, 3.5, 4.5), (80, 5, 2, 1.5, 2.5)], columns=columns)
    assert "more visible in dark" in answers.by_lightness(curve, 20, 4)
    swapped = curve.iloc[::-1]
    assert "more visible in light" in answers.by_lightness(swapped, 20, 4)
    wide = curve.assign(delta_e_low=0, delta_e_high=9)
    assert "undecided" in answers.by_lightness(wide, 20, 4)
    assert "nothing to compare" in answers.by_lightness(curve.iloc[:1], 20, 4)
    one_image = curve.assign(delta_e_low=np.nan, delta_e_high=np.nan)
    assert "too few images" in answers.by_lightness(one_image, 20, 4)


def test_control_is_said_with_the_ratio_of_the_steps():
    curve = pd.DataFrame({"epsilon_255": [0, 1, 2], "top1": [0.8, 0.5, 0.3], "n": 10})
    control = pd.DataFrame({"epsilon_255": [0, 1, 20], "top1": [0.8, 0.8, 0.3], "n": 10})
    text = answers.against_chance(curve, control)
    assert "FGSM halves it first at 2/255; random signs halve it first at 20/255" in text
    assert text.endswith("10 times as large a step.")
    assert answers.against_chance(curve, control[:2]).endswith("random signs never halve it.")


def test_exactly_half_is_halved():
    curve = pd.DataFrame({"epsilon_255": [0, 1, 2], "top1": [0.8, 0.4, 0.1], "n": 10})
    assert "FGSM halves it first at 1/255" in answers.against_chance(curve, curve)


def test_the_kinds_of_the_control_are_shares_of_its_own_images():
    counts = [
        pd.DataFrame({"kind": ["L", "U"], "count": [3, 1], "n": [4, 4]}),
        pd.DataFrame({"kind": ["L", "U"], "count": [0, 2], "n": [2, 2]}),
    ]
    text = answers.kinds("shape", *counts)
    assert "The most frequent shape is **L**: 3 of 4 (75%" in text
    assert "Under random signs it is **U**: 2 of 2 (100%" in text
    assert "random" not in answers.kinds("shape", counts[0], counts[1].assign(n=0))


def test_figures_are_drawn_and_described():
    fooled = neighbors.rank_counts(neighbors.first_fooled(TABLE))
    nothing = neighbors.rank_counts(neighbors.first_fooled(NOBODY))
    groups = shapes.by_confidence(TABLE, [(0.9, 1), (0, 0.4)], "fate", analysis.FATES)
    found = shapes.image_shapes(TABLE)
    examples = shapes.typical(found, TABLE)
    picture = [torch.rand(3, 8, 8)] * len(examples)
    with figures.style():
        drawn = [
            drawings.rank_bars({"FGSM": fooled, "random signs": nothing}),
            drawings.stacked_bins(groups, analysis.FATES),
            drawings.gallery(examples, TABLE, picture, shapes.kind_counts(found)),
            drawings.against_chance(analysis.curve(TABLE), analysis.curve(TABLE)),
            drawings.class_robustness(
                neighbors.class_robustness(TABLE, 1), NAMES, analysis.curve(analysis.at(TABLE, [1]))
            ),
            drawings.class_counts(neighbors.class_spread(TABLE), neighbors.class_spread(TABLE)),
        ]
        for figure, alt in drawn:
            figure.canvas.draw()
            plt.close(figure)
            assert "nan" not in alt
    assert "rank 2 50%" in drawn[0][1]
    assert "90–100%: never fooled 1 of 3" in drawn[1][1]
    assert "cat, n = 3 0.67. All classes 0.67, under random signs 0.75." in drawn[4][1]
    assert "FGSM: from 2 to 3" in drawn[5][1]

"""Objectives and clips side by side: hand-computable tables, and runs in which nothing happens."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from fgsm_lib import attacks, figures_objectives, objectives
from fgsm_lib.profiles import VARIANTS

MINE = 'title = "Mine"\narch = "tiny"\n[epsilon_255]\ncases = [1]\nhypothesis = [4]\n'
MINE += "all_images = [4]\nobjectives = [1, 4]\n[every]\nobjectives = 2\nclips = 3\n"


def sweep_table(*stories, grid=(0.0, 1.0, 4.0)) -> pd.DataFrame:
    """One row per image and epsilon from (correct, confidence) pairs."""
    return pd.DataFrame(
        {
            "sample": sample,
            "epsilon_255": epsilon,
            "correct": correct,
            "correct_top5": correct,
            "confidence": confidence,
            "predicted_class": 0 if correct else 1,
            "zero_gradients": zeros,
        }
        for sample, (story, zeros) in enumerate(stories)
        for epsilon, (correct, confidence) in zip(grid, story, strict=True)
    )


FALLS = [(True, 0.9), (False, 0.5), (False, 0.4)], 3
RETURNS = [(True, 0.8), (False, 0.5), (True, 0.6)], 0
STAYS = [(True, 0.995), (True, 0.9), (True, 0.9)], 0
WRONG = [(False, 0.4), (False, 0.5), (False, 0.9)], 7


@pytest.fixture
def study(study_of):
    """Twelve random images; the other objective on every second, the other clip on every third."""
    return study_of(MINE)


# --- the tables --------------------------------------------------------------------------------


def test_a_variant_holds_the_images_it_says(study):
    """Every second for the other objective, every third for the other clip, by their own number."""
    for (objective, clip), step in zip(VARIANTS, (2, 3, 2, 3), strict=True):
        table = study.variant(objective, clip)
        assert sorted(table["sample"].unique()) == list(range(0, 12, step))
        assert sorted(table["epsilon_255"].unique()) == [0, 1, 4]
        labels = table.drop_duplicates("sample").set_index("sample")["label"]
        assert labels.to_dict() == {s: study.dataset.labels()[s] for s in labels.index}


def test_a_variant_is_the_attack_that_it_names(study):
    row = study.variant("true_logit", "image").query("sample == 6 and epsilon_255 == 4").iloc[0]
    image, label = study.dataset[6]
    changed = attacks.fgsm(
        study.classifier,
        image[None],
        torch.tensor([label]),
        4 / 255,
        objective="true_logit",
        clip="image",
    )
    assert row["confidence"] == pytest.approx(
        study.classifier(changed).softmax(1).max().item(), abs=1e-5
    )


def test_shared_images_are_those_of_all_tables(study):
    variants = {variant: study.variant(*variant) for variant in VARIANTS}
    for table in objectives.on_shared_images(variants).values():
        assert sorted(table["sample"].unique()) == [0, 6]


def test_samples_are_spread_over_the_ranks_of_confidence():
    table = sweep_table(FALLS, RETURNS, STAYS, WRONG)
    assert objectives.spread_by_confidence(table, 2) == [1, 2]
    assert objectives.spread_by_confidence(table, 10) == [1, 0, 2]
    assert objectives.spread_by_confidence(sweep_table(WRONG), 5) == []


# --- the probe ---------------------------------------------------------------------------------


def test_changes_of_a_linear_classifier_by_hand(study, tiny):
    """z_0 = Σx / 8, z_1 = -z_0 / 2, all others 0: a step of ε moves them by ε·96 and ε·48.

    The label is 0. Both objectives step along -1 everywhere; z_0 falls and the largest rival,
    0 at the start, becomes another only if z_1 rises above it.
    """
    layer = torch.nn.Linear(768, 10)
    layer.weight.data = torch.zeros(10, 768)
    layer.weight.data[0], layer.weight.data[1] = 1 / 8, -1 / 16
    layer.bias.data = torch.zeros(10)
    layer.bias.data[1] = 100.0  # so that class 1 is the rival throughout
    network = torch.nn.Sequential(torch.nn.Flatten(), layer)
    study.classifier = tiny(network=network, mean=(0, 0, 0), std=(1, 1, 1))
    probed = objectives.probe(study, [0], [1])  # sample 0 has label 0
    image = study.dataset[0][0]
    moved = torch.minimum(image, torch.tensor(1 / 255)).sum().item()
    for name in ("cross_entropy", "true_logit"):
        row = probed[probed["direction"] == name].iloc[0]
        assert row["true_change"] == pytest.approx(-moved / 8, abs=1e-4)
        assert row["rival_change"] == pytest.approx(moved / 16, abs=1e-4)
    z_0, z_1 = image.sum().item() / 8, 100 - image.sum().item() / 16
    doubt = 1 / (1 + math.exp(z_0 - z_1)) if z_1 - z_0 < 700 else 1.0
    assert probed["doubt"].iloc[0] == pytest.approx(doubt, rel=1e-3)
    l1 = probed.set_index("direction")["gradient_l1"]
    assert l1["true_logit"] == pytest.approx(768 / 8)
    assert l1["cross_entropy"] == pytest.approx(doubt * 768 * 3 / 16, rel=1e-3)
    assert np.isnan(l1["random"])


def test_a_classifier_too_sure_for_float32_has_no_cross_entropy_gradient(study, tiny):
    layer = torch.nn.Linear(768, 10)
    layer.weight.data[0] = 1.0
    layer.bias.data[0] = 1000.0
    study.classifier = tiny(network=torch.nn.Sequential(torch.nn.Flatten(), layer))
    probed = objectives.probe(study, [0, 0], [1])
    sizes = probed.drop_duplicates("direction").set_index("direction")["gradient_l1"]
    assert sizes["cross_entropy"] == 0
    assert sizes["true_logit"] > 0
    figure, alt = figures_objectives.gradient_sizes(probed)
    plt.close(figure)
    assert "1 gradients are zero" in alt


def test_doubt_does_not_cancel():
    """1 - p for a margin of 30 is e^-30, far below what float32 can tell from 0."""
    assert objectives._doubt(torch.tensor([30.0, 0.0]), 0) == pytest.approx(math.exp(-30), rel=1e-6)


# --- words and tables --------------------------------------------------------------------------

BOTH = {
    ("cross_entropy", "valid"): sweep_table(FALLS, RETURNS, STAYS, WRONG),
    ("true_logit", "valid"): sweep_table(RETURNS, RETURNS, STAYS, WRONG),
}


def test_consequences_are_counted_over_initially_correct_images():
    table = objectives.consequence_table(BOTH).set_index("result").T
    assert table.index.tolist() == ["cross-entropy", "true logit"]
    assert table["images"].tolist() == ["3", "3"]
    assert [text.split(":")[0] for text in table["fooled at some ε"]] == ["2", "2"]
    assert [text.split(":")[0] for text in table["of these, right again"]] == ["1", "2"]
    assert table["median smallest fooling ε"].tolist() == ["1/255", "1/255"]
    assert set(table["Hypothesis 1"]) == {"cannot be judged"}


def test_the_clip_is_judged_image_by_image():
    """At ε > 0 the tables differ once: sample 0 at 4/255, class 1 at 0.4 and class 0 at 0.6."""
    text = objectives.clip_sentence(*BOTH.values())
    assert "At one or more of 2 values of ε" in text
    assert "class of 1 of 4 (25%, 95% interval 5–70%) images; that is 1 of 8 predictions" in text
    assert "at most by 0.20 (sample 0 at 4/255)" in text


@pytest.mark.parametrize(
    ("lead", "true_class_left", "rivals_left"),
    [(10.0, True, True), (40.0, False, True), (200.0, False, False)],
)
def test_float32_loses_the_true_class_first_and_the_rivals_later(
    lead, true_class_left, rivals_left
):
    """What the page says: 1 - p_y is 5e-5, then 4e-18 < 2⁻²⁴, then e⁻²⁰⁰, below any float32."""
    logits = torch.tensor([[lead, 0.0, 0.0]], requires_grad=True)
    (slopes,) = torch.autograd.grad(attacks.cross_entropy(logits, torch.tensor([0])), logits)
    assert bool(slopes[0, 0] < 0) == true_class_left
    assert bool((slopes[0, 1:] > 0).all()) == rivals_left


def test_zeros_are_counted_by_confidence():
    table = objectives.zero_table(
        {"cross_entropy": BOTH["cross_entropy", "valid"]}, [(0.99, 1.0), (0.0, 0.99)]
    )
    assert table["images"].tolist() == [1, 2]
    assert table["with a zero"].tolist() == [0, 1]
    assert table["most zeros"].tolist() == [0, 3]


def changes(lift: float) -> pd.DataFrame:
    values = {"cross_entropy": (-2.0, lift), "true_logit": (-5.0, -1.0), "random": (0.1, 0.0)}
    return pd.DataFrame(
        {"direction": d, "epsilon_255": 1, "n": 3, "true_change": t, "rival_change": r}
        for d, (t, r) in values.items()
    )


def test_the_reason_is_given_only_where_the_run_shows_it():
    assert "its rival ends 4.00 higher" in objectives.change_sentence(changes(3.0), 1)
    assert "do not part" in objectives.change_sentence(changes(-2.0), 1)


@pytest.mark.parametrize(
    "table", [sweep_table(WRONG), sweep_table(STAYS), sweep_table(FALLS)], ids=["w", "s", "f"]
)
def test_one_image_is_enough_for_every_table_and_sentence(table):
    variants = {variant: table for variant in VARIANTS}
    by_objective = {"cross_entropy": table, "true_logit": table}
    objectives.consequence_table(variants)
    objectives.confidence_table(variants)
    objectives.zero_table(by_objective, [(0.99, 1.0), (0.0, 0.99)])
    figure, _ = figures_objectives.curves(variants, "top1", "top-1", table)
    plt.close(figure)
    said = [
        objectives.story_sentence(by_objective),
        objectives.bin_sentence(by_objective, 1, 0.85),
        objectives.clip_sentence(table, table),
    ]
    assert "nan" not in " ".join(said)


def test_no_correct_image_is_said(study):
    probed = objectives.probe(study, [], [1])
    assert "No image of this run" in objectives.change_sentence(objectives.mean_changes(probed), 1)
    assert "shows no trend" in objectives.vanishing_sentence(probed)

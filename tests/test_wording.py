"""Readings in words, from cases and tables whose story is known."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from fgsm_lib import analysis, wording
from fgsm_lib.analysis import Verdict
from fgsm_lib.cases import Case
from fgsm_lib.datasets import Photo

pytestmark = pytest.mark.filterwarnings("error")

CLASS_NAMES = ["barrel, cask", "bucket, pail", "drum", "vase"]
GRID = (0, 0.5, 1, 4, 20)


def rows(outcomes: list[tuple[int, float]], epsilons=GRID) -> pd.DataFrame:
    """The rows of sample 7 with label 0, from (predicted class, confidence) at each epsilon."""
    table = pd.DataFrame(outcomes, columns=["predicted_class", "confidence"])
    table.insert(0, "epsilon_255", [float(epsilon) for epsilon in epsilons])
    table["sample"], table["label"] = 7, 0
    table["correct"] = table["predicted_class"] == 0
    table["correct_top5"] = True
    return table


STEADY = [(0, 0.9), (0, 0.9), (0, 0.89), (0, 0.88), (0, 0.85)]


def case(outcomes, control=STEADY, published=None, names=CLASS_NAMES, epsilons=GRID) -> Case:
    flat = torch.zeros(3, 8, 8)
    return Case(
        photo=Photo(7, "seven", Path("seven.png"), label=0, class_name=names[0]),
        image=flat,
        gradient=flat,
        bounds=(0.0, 1.0),
        table=rows(outcomes, epsilons),
        control=rows(control),
        published=published,
        class_names=names,
        objective="cross_entropy",
    )


COMES_BACK = case([(0, 0.97), (0, 0.5), (1, 0.3), (0, 0.4), (0, 0.45)])
COMES_AND_GOES = case([(0, 0.97), (1, 0.5), (0, 0.3), (2, 0.4), (2, 0.4)])
LOST = case([(0, 0.87), (0, 0.5), (1, 0.2), (2, 0.15), (2, 0.15)])
NEVER_FOOLED = case([(0, 0.99), (0, 0.6), (0, 0.4), (0, 0.7), (0, 0.98)])
WRONG = case([(2, 0.7), (2, 0.6), (0, 0.5), (2, 0.6), (2, 0.8)])
ALWAYS_WRONG = case([(2, 0.7), (2, 0.6), (2, 0.6), (2, 0.6), (2, 0.8)])


# --- the start ---------------------------------------------------------------------------------


def test_a_correct_start_names_the_class_by_its_first_synonym():
    assert wording.case_start(COMES_BACK) == (
        "The clean image is classified correctly as *barrel* with 97.00%."
    )


def test_a_wrong_start_is_said_first():
    text = wording.case_start(WRONG)
    assert "**wrongly** from the start: as *drum* with 70.00%" in text
    assert "label is *barrel*" in text


# --- the reading -------------------------------------------------------------------------------


def test_fooled_and_back_for_good():
    text = wording.case_reading(COMES_BACK)
    assert "changes first at ε = 1/255" in text
    assert "*bucket* at 1/255, then *barrel* (correct) at 4–20/255" in text
    assert "comes back and stays to the end of the grid" in text
    assert "lowest at ε = 1/255 with 30.0%" in text
    assert "ends at 45.0%" in text


def test_fooled_and_back_for_a_while():
    text = wording.case_reading(COMES_AND_GOES)
    assert "changes first at ε = 0.5/255" in text
    assert "*barrel* (correct) at 1/255, then *drum* at 4–20/255" in text
    assert "comes back, but not for good" in text


def test_fooled_for_good():
    text = wording.case_reading(LOST)
    assert "*bucket* at 1/255, then *drum* at 4–20/255" in text
    assert "does not come back" in text
    assert "is L-shaped: it falls and stays low" in text


def test_never_fooled():
    text = wording.case_reading(NEVER_FOOLED)
    assert "never changes, up to ε = 20/255" in text
    assert "is U-shaped" in text
    assert "come back" not in text


def test_wrong_from_the_start_has_no_correct_class_to_come_back():
    text = wording.case_reading(WRONG)
    assert "*barrel* (correct) at 1/255, then *drum* at 4–20/255" in text
    assert "come back" not in text
    assert "comes back" not in text


def test_always_wrong_never_changes():
    assert "never changes, up to ε = 20/255" in wording.case_reading(ALWAYS_WRONG)


def test_a_steady_control_is_said_to_change_nothing():
    text = wording.case_reading(LOST)
    assert "Random signs of the same size never change the class" in text
    assert "at ε = 20/255 its confidence is 85.0%" in text


def test_a_control_that_changes_the_class_says_where():
    unsteady = [(0, 0.9), (0, 0.9), (0, 0.5), (3, 0.4), (0, 0.4)]
    text = wording.case_reading(case([(0, 0.97)] * 5, control=unsteady))
    assert "change the class first at 4/255" in text


def test_the_control_is_compared_with_the_clean_class_not_with_the_label():
    text = wording.case_reading(case([(2, 0.7)] * 5, control=[(2, 0.7)] * 5))
    assert "never change the class" in text


def test_class_names_cannot_bring_markup():
    names = ["<b>*barrel*</b>", "[x](javascript:alert)", "a|b", "vase"]
    text = wording.case_reading(
        case([(0, 0.9), (1, 0.5), (2, 0.5), (2, 0.5), (2, 0.5)], names=names)
    )
    assert "[x](" not in text
    assert r"\[x\]" in text
    assert r"a\|b" in text
    assert "<b>" not in wording.case_start(case([(0, 0.9)] * 5, names=names))


# --- the epsilon to look at --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "epsilon", "reason"),
    [
        (COMES_BACK, 1, "where the class first changes"),
        (COMES_AND_GOES, 0.5, "where the class first changes"),
        (NEVER_FOOLED, 1, "lowest"),
        (WRONG, 1, "where the class first changes"),
    ],
)
def test_the_telling_epsilon(story, epsilon, reason):
    assert wording.telling_epsilon(story) == epsilon
    assert reason in wording.telling_reason(story)


# --- the published curve -----------------------------------------------------------------------


def test_without_a_published_curve_it_says_so():
    assert wording.published_reading(LOST) == "The original page has no curve of this image."


def test_a_published_curve_is_put_beside():
    published = pd.DataFrame(
        {"epsilon_255": [0.0, 1.0, 4.0], "correct": [1, 1, 0], "confidence": [0.99, 0.3, 0.35]}
    )
    text = wording.published_reading(
        case([(0, 0.97), (0, 0.5), (1, 0.3), (0, 0.4), (0, 0.45)], published=published)
    )
    assert "starts at 99.00%" in text
    assert "lowest confidence is 30.0% at 1/255" in text
    assert "fooled at 1 of 3 values, first at 4/255" in text
    assert "0.02 apart" in text  # |0.97 - 0.99|, 0 and |0.4 - 0.35|, over three


def test_a_published_curve_that_is_never_fooled():
    published = pd.DataFrame({"epsilon_255": [0.0, 1.0], "correct": 1, "confidence": [0.99, 0.5]})
    assert "it is never fooled" in wording.published_reading(
        case([(0, 0.97)] * 5, published=published)
    )


# --- all images --------------------------------------------------------------------------------


def images(*stories: Case) -> pd.DataFrame:
    return pd.concat([story.table.assign(sample=i) for i, story in enumerate(stories)])


def test_bounce_backs_in_words():
    text = wording.bounce_back_sentence(images(COMES_BACK, COMES_AND_GOES, LOST, NEVER_FOOLED))
    assert "Of 3 fooled images, 2 (67%)" in text


def test_no_bounce_back_where_nobody_is_fooled():
    assert "None of the 1 initially" in wording.bounce_back_sentence(images(NEVER_FOOLED))


def test_the_most_confident_images_in_words():
    curve = analysis.curve(images(COMES_BACK, COMES_AND_GOES, LOST, NEVER_FOOLED))
    text = wording.confident_reading(curve)
    assert "these 4 images" in text
    assert "starts at 0.950" in text
    assert "lowest at ε = 1/255 with 0.30" in text
    assert "Top-1 accuracy falls to 0.50" in text


def test_a_rise_of_accuracy_is_said_with_its_place():
    """1.00, 0.50, 0.50, 1.00: the steepest rise is the last."""
    up = case([(0, 0.99), (1, 0.5), (1, 0.5), (0, 0.5), (0, 0.5)])
    text = wording.confident_reading(analysis.curve(images(up, NEVER_FOOLED)))
    assert "rises again from 1/255 to 4/255, by 0.50" in text


def test_an_accuracy_that_only_falls_is_said_to():
    text = wording.confident_reading(analysis.curve(images(LOST, NEVER_FOOLED)))
    assert "Accuracy never rises with ε" in text


def test_no_confident_image_is_said():
    empty = analysis.curve(images(LOST), pd.Index([]))
    assert "no initially correct image" in wording.confident_reading(empty)


def test_a_grid_of_one_epsilon_can_be_read():
    curve = analysis.curve(analysis.at(images(LOST), [0]))
    assert "starts at 0.870" in wording.confident_reading(curve)


def test_a_verdict_carries_effect_interval_and_counts():
    text = wording.verdict_sentence(Verdict(503, 12, 0.341, 0.256, 0.434))
    assert "**Hypothesis 1 is supported in this run**" in text
    assert "ρ = 0.34" in text
    assert "0.26 to 0.43" in text
    assert "503 initially correct images, 12 of which were never fooled" in text
    text = wording.verdict_sentence(Verdict(503, 0, 0.341, 0.256, 0.434))
    assert "503 initially correct images, all of which were fooled" in text


def test_a_verdict_that_cannot_be_given_says_why():
    text = wording.verdict_sentence(Verdict(5, 5, *[float("nan")] * 3))
    assert "cannot be judged" in text
    assert "5 initially correct images, of which 5 were never fooled" in text
    assert "nan" not in text


@pytest.mark.parametrize(
    ("by_chance", "said"), [(0.88, "the direction, not the size"), (0.5, "the size alone")]
)
def test_the_control_decides_whether_the_direction_counts(by_chance, said):
    curve = pd.DataFrame({"epsilon_255": [0.0, 4.0], "top1": [0.9, 0.1], "n": 30})
    control = pd.DataFrame({"epsilon_255": [4.0], "top1": [by_chance]})
    text = wording.control_sentence(curve, control, 4)
    assert text.startswith(f"On 30 images, random signs of 4/255 leave {by_chance:.1%} where FGSM")
    assert said in text

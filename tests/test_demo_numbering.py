"""The rule for the positions 766, 132 and 528, and that the shipped pictures fulfill it."""

import json

import pandas as pd
import pytest
import torch
from PIL import Image

from fgsm_lib.attacks import input_gradient, perturb
from fgsm_lib.classifiers import file_sha256, load_classifier
from fgsm_lib.demo.card import FACTS, PAGE, WEIGHTS_FILE, card_text
from fgsm_lib.demo.dataset import demo_picture
from fgsm_lib.demo.images import CLASS_NAMES
from fgsm_lib.demo.measure import measured_facts, sweep_unnumbered
from fgsm_lib.demo.numbering import EPSILON_255, assign_roles, describe
from fgsm_lib.demo.recipe import ARCHITECTURE
from fgsm_lib.demo.roles import ROLES_FILE, read_roles
from fgsm_lib.errors import InputError

EPSILONS = (0, 1, 4, 20)


def sweep(pictures: dict[int, list[tuple[int, float]]], epsilons=EPSILONS) -> pd.DataFrame:
    """A sweep table of pictures with label 0: (predicted class, confidence) at each epsilon."""
    rows = [
        (sample, 0, epsilon, predicted, confidence, predicted == 0)
        for sample, outcomes in pictures.items()
        for epsilon, (predicted, confidence) in zip(epsilons, outcomes, strict=True)
    ]
    columns = ["sample", "label", "epsilon_255", "predicted_class", "confidence", "correct"]
    return pd.DataFrame(rows, columns=columns)


NOT_CORRECT = [(3, 1.0), (0, 0.5), (3, 0.5), (0, 1.0)]
LOST = [(0, 0.99), (0, 0.9), (5, 0.5), (5, 0.5)]
BACK_90 = [(0, 0.90), (4, 0.6), (0, 0.5), (0, 0.6)]
BACK_97 = [(0, 0.97), (0, 0.6), (4, 0.5), (0, 0.6)]
DEEP_DIP = [(0, 0.96), (0, 0.60), (0, 0.70), (0, 0.95)]
SHALLOW_DIP = [(0, 0.99), (0, 0.90), (0, 0.95), (0, 0.99)]
DEEP_BUT_UNSURE = [(0, 0.90), (0, 0.30), (0, 0.70), (0, 0.90)]
FALLING = [(0, 0.97), (0, 0.80), (0, 0.60), (0, 0.40)]
EARLY_ONE_CLASS = [(0, 0.87), (2, 0.5), (2, 0.5), (2, 0.5)]
EARLY_CLASSES = [(0, 0.80), (2, 0.5), (7, 0.5), (7, 0.5)]
LATE_CLASSES = [(0, 0.87), (0, 0.5), (2, 0.5), (7, 0.5)]

ALL = {
    10: NOT_CORRECT,
    11: LOST,
    12: BACK_90,
    13: BACK_97,
    14: DEEP_DIP,
    15: SHALLOW_DIP,
    16: DEEP_BUT_UNSURE,
    17: FALLING,
    18: EARLY_ONE_CLASS,
    19: EARLY_CLASSES,
    20: LATE_CLASSES,
}


def indices(pictures: dict) -> dict[int, int]:
    return {position: role.index for position, role in assign_roles(sweep(pictures)).items()}


def test_each_rule_finds_its_picture():
    roles = assign_roles(sweep(ALL))
    assert {position: role.index for position, role in roles.items()} == {766: 13, 132: 14, 528: 19}
    assert all(role.fulfilled for role in roles.values())
    assert "0.970" in roles[766].reason
    assert "4/255" in roles[766].reason
    assert "20/255" in roles[766].reason


def test_the_order_of_the_rows_does_not_matter():
    table = sweep(ALL)
    assert assign_roles(table.sample(frac=1, random_state=0)) == assign_roles(table)


def test_what_happens_beyond_20_does_not_count():
    table = sweep(ALL)
    beyond = sweep({11: [(0, 1.0)], 14: [(5, 1.0)]}, epsilons=[60])
    assert assign_roles(pd.concat([table, beyond])) == assign_roles(table)


def test_without_the_best_picture_the_next_one_takes_the_role():
    rest = {sample: rows for sample, rows in ALL.items() if sample not in (13, 14)}
    assert indices(rest) == {766: 12, 132: 15, 528: 19}


def test_no_picture_has_two_roles():
    both = [(0, 0.88), (2, 0.5), (7, 0.5), (0, 0.9)]  # comes back, and is fooled early
    roles = indices({1: both, 2: SHALLOW_DIP, 3: EARLY_CLASSES})
    assert roles == {766: 1, 132: 2, 528: 3}


@pytest.mark.parametrize(
    ("pictures", "position", "index", "words"),
    [
        ({1: LOST, 2: FALLING, 3: EARLY_CLASSES}, 766, 1, "no picture comes back"),
        ({1: BACK_97, 2: FALLING, 3: EARLY_CLASSES}, 132, 2, "none dips and recovers"),
        ({1: BACK_97, 2: DEEP_BUT_UNSURE, 3: EARLY_CLASSES}, 132, 2, "at least 0.95"),
        ({1: BACK_97, 2: LOST, 3: EARLY_CLASSES}, 132, 2, "holds out longest"),
        ({1: BACK_97, 2: DEEP_DIP, 3: EARLY_ONE_CLASS}, 528, 3, "by changing classes"),
        ({1: BACK_97, 2: DEEP_DIP, 3: LATE_CLASSES}, 528, 3, "by changing classes"),
        ({1: BACK_97, 2: DEEP_DIP, 3: FALLING}, 528, 3, "never fooled"),
    ],
)
def test_where_none_fulfills_a_rule_the_nearest_takes_the_role(pictures, position, index, words):
    role = assign_roles(sweep(pictures))[position]
    assert role.index == index
    assert not role.fulfilled
    assert words in role.reason


def test_a_classifier_that_recognizes_nothing_is_reported():
    with pytest.raises(InputError, match="recognizes 2 of the demo pictures"):
        assign_roles(sweep({1: BACK_97, 2: LOST, 3: NOT_CORRECT}))


def test_description_of_one_picture():
    described = describe(sweep({7: BACK_97, 8: NOT_CORRECT}))
    assert list(described.index) == [7]
    assert described.loc[7, "lost_at"] == 4
    assert described.loc[7, "back_at"] == 20
    assert described.loc[7, "false_classes"] == 1
    assert described.loc[7, "dip"] == pytest.approx(0.1)


def test_measured_facts_count_pictures():
    table = sweep({i: [(0, 0.9)] * 7 for i in range(4)}, (0, 0.5, 1, 2, 4, 8, 16))
    table.loc[table["sample"] == 1, ["predicted_class", "correct"]] = (6, False)
    table.loc[table["sample"] == 1, "confidence"] = 0.995
    table["correct_top5"] = True
    facts = measured_facts(table)
    assert facts["top1"] == 0.75
    assert facts["top5"] == 1
    assert facts["shape_correct"] == 0.75  # class 6 is a striped cube, class 0 a plain sphere
    assert facts["bins"]["99–100"] == 1
    assert facts["bins"]["90–95"] == 3
    assert facts["top1_under_fgsm"]["4"] == 0.75
    assert (facts["initially_correct"], facts["never_fooled"]) == (3, 3)


def test_the_card_belongs_to_the_weights():
    facts = json.loads(WEIGHTS_FILE.with_name(FACTS).read_text())
    assert facts["sha256"] == file_sha256(WEIGHTS_FILE)
    assert facts["weights"]["bytes"] == WEIGHTS_FILE.stat().st_size <= 3.5e6
    assert WEIGHTS_FILE.with_name(PAGE).read_text() == card_text(facts)


def test_the_shipped_pictures_play_their_roles():
    """On the three pictures alone; the whole rule is held by the slow test below."""
    classifier = load_classifier(ARCHITECTURE, list(CLASS_NAMES), WEIGHTS_FILE)
    rows = []
    for position, index in read_roles().items():
        shown = demo_picture(index)
        image = classifier.to_pixels(Image.fromarray(shown.pixels))[None]
        gradient, _ = input_gradient(classifier, image, torch.tensor([shown.label]))
        steps = [perturb(image, gradient.sign(), epsilon / 255) for epsilon in EPSILON_255]
        confidence, predicted = classifier(torch.cat(steps)).softmax(1).max(1)
        for epsilon, value, found in zip(EPSILON_255, confidence, predicted, strict=True):
            correct = bool(found == shown.label)
            rows.append((position, epsilon, int(found), float(value), correct))
    columns = ["sample", "epsilon_255", "predicted_class", "confidence", "correct"]
    outcomes = describe(pd.DataFrame(rows, columns=columns))

    fulfilled = {int(p): r["fulfilled"] for p, r in json.loads(ROLES_FILE.read_text()).items()}
    if fulfilled[766]:
        assert outcomes.loc[766, "back_at"] > outcomes.loc[766, "lost_at"]
    if fulfilled[132]:
        assert outcomes.loc[132, "confidence"] >= 0.95
        assert outcomes.loc[132, "shape"] == "U"
        assert pd.isna(outcomes.loc[132, "lost_at"])
    if fulfilled[528]:
        assert outcomes.loc[528, "confidence"] == pytest.approx(0.87, abs=0.03)
        assert outcomes.loc[528, "lost_at"] <= 1
        assert outcomes.loc[528, "false_classes"] >= 2


@pytest.mark.slow
def test_the_rule_gives_the_shipped_roles_and_card(tmp_path):
    table = sweep_unnumbered(WEIGHTS_FILE, tmp_path)
    assert {position: role.index for position, role in assign_roles(table).items()} == read_roles()
    shipped = json.loads(WEIGHTS_FILE.with_name(FACTS).read_text())["measured"]
    measured = measured_facts(table)
    for name in ("top1", "top5", "mean_confidence"):
        assert measured[name] == pytest.approx(shipped[name], abs=0.003)

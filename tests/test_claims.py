"""The claims of the original page: where each must hold and where not, and the published verdicts,
checked by hand against the CSV files and the figures."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from fgsm_lib import published, study
from fgsm_lib.profiles import Grids

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "claims.py"
GRID = [0, 0.1, 0.5, 2, 4, 10, 20, 60]
CASES = [0, 1, 2, 4, 20]


def run_page(opened) -> dict:
    """What the notebook defines, once it has run on a study."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "open_study", lambda profile: opened)
        return runpy.run_path(str(NOTEBOOK))


PAGE = run_page(SimpleNamespace(pictures=[]))
CLAIMS = {claim.id.removeprefix("claim-"): claim for claim in PAGE["CLAIMS"]}


def judge(name: str, thing: dict | pd.DataFrame | tuple) -> tuple[str, str]:
    """A claim's verdict on a dictionary or on rows (in a tuple with those of single images)."""
    about = CLAIMS[name].about
    thing = about(*thing) if isinstance(thing, tuple) else about(thing)
    return CLAIMS[name].judge({about: thing})


def mean(top1=1.0, confidence=0.5, n=1000, **columns) -> pd.DataFrame:
    """The rows of a bin's mean; one number is that at every ε."""
    columns = {"n": n, "top1": top1, "top5": 1.0, "confidence": confidence} | columns
    return pd.DataFrame({"epsilon_255": map(float, GRID), **columns})


def one(confidence=0.5, wrong=(), classes="owl", grid=CASES) -> pd.DataFrame:
    """One image's rows, with the positions at which it is wrong."""
    correct = [place not in wrong for place in range(len(grid))]
    columns = {"confidence": confidence, "class": classes, "correct": correct}
    return pd.DataFrame({"epsilon_255": map(float, grid), **columns})


def curves(*rows: pd.DataFrame) -> dict:
    """Curves by name: of bins, from the most to the least confident, or of samples."""
    return {place: PAGE["Curve"](each) for place, each in enumerate(rows)}


def bins(*levels) -> dict:
    """Bins, each with its top-1 accuracy after ε = 0."""
    return curves(*(mean([1.0] + [level] * 7) for level in levels))


def images(*confidences) -> tuple[pd.DataFrame, pd.DataFrame]:
    return mean(), pd.concat(one(each).assign(sample=i) for i, each in enumerate(confidences))


L = [0.99, 0.2, 0.1, 0.1, 0.1]
U = [0.99, 0.5, 0.2, 0.5, 0.98]
DOWN, RISE = [1, 1, 1, 0.8, 0.6, 0.5, 0.4, 0.1], [1, 1, 1, 0.8, 0.5, 0.6, 0.4, 0.1]
L_RISE, U_8 = [1, 0.2, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3], [1, 0.6, 0.4, 0.2, 0.1, 0.4, 0.6, 0.99]
KEPT, LOST = [1] + [0.9] * 7, [1] + [0.8] * 7
AT_4, AT_10 = [1, 0.9, 0.6, 0.5, 0.1, 0.3, 0.3, 0.4], [1, 0.9, 0.6, 0.5, 0.3, 0.1, 0.3, 0.4]

# What the claim is about: once so that it holds, and once so that it does not.
HOLDS_AND_FAILS = {
    "figure-at-6": ({"perturbation": (117, 129)}, {"perturbation": (117, 125)}),
    "series": ({"series": [0, 4, 8, 12, 6]}, {"series": [0, 4, 8, 12, 16]}),
    "more-noisy": ({"noise": [1, 2, 3]}, {"noise": [1, 2, 2]}),
    "bins-of-5-points": ({"bins": [(0.9, 0.95)]}, {"bins": [(0.9, 0.95), (0.4, 0.6)]}),
    "perceptible-where-shown": ({4: 2.4, 8: 4.8}, {4: 2.2, 8: 4.8}),
    "more-obvious": ({4: 3, 8: 6}, {4: 3, 8: 3}),
    "slightly-perceptible": ({4: 4.5}, {4: 4.7}),
    "very-obvious": ({8: 4.7}, {8: 4.5}),
    "starts-at-99-99": (one(0.99994), one(0.99984)),
    "drops-sharply": (one([0.9, 0.6, 0.44, 0.4, 0.4]), one([0.9, 0.6, 0.46, 0.4, 0.4])),
    "stays-below": (one([0.9, 0.6, 0.3, 0.39, 0.2]), one([0.9, 0.6, 0.3, 0.4, 0.2])),
    "fooled-at-4": (one(0.19, [3]), one(0.21, [3])),
    "changes-right-back": (one(wrong=[2]), one(wrong=[2, 3])),
    "wrong-at-one-epsilon": (one(0.3, [2]), one(0.3, [2, 4])),
    "lower-than-false": (one([0.9, 0.5, 0.3, 0.2, 0.4], [2]), one([0.9, 0.5, 0.3, 0.4, 0.4], [2])),
    "lower-than-at-start": (one([0.9, 0.5, 0.3, 0.8, 0], [2]), one([0.9, 0.5, 0.3, 0.91, 0], [2])),
    "drops-slightly": (mean(confidence=[1] + [0.85] * 7), mean(confidence=[1] + [0.75] * 7)),
    "l-shape": (mean(confidence=L_RISE), mean(confidence=U_8)),
    "l-shape-in-most": (images(*[L] * 9, U), images(*[U] * 9, L)),
    "accuracy-falls": (mean(0.6), mean(0.7)),
    "accuracy-rises": (mean(RISE), mean(DOWN)),
    "lowest-at-10": (mean(confidence=AT_10), mean(confidence=AT_4)),
    "lowest-at-4": (mean(confidence=AT_4), mean(confidence=AT_10)),
    "falls-again": (mean(DOWN), mean([*DOWN[:-2], 0.6, 0.1])),
    "top5-follows": (mean(DOWN, top5=DOWN), mean(DOWN, top5=[*DOWN[:3], 0.6, 0.7, 0.8, 0.9, 0.9])),
    "hard-to-fool": (mean(0.55), mean(0.45)),
    "only-correct": ({"starts": {"a": 1.0, "b": 1.0}}, {"starts": {"a": 0.9, "b": 1.0}}),
    "same-trend": (curves(*[mean(confidence=L_RISE)] * 2),
                   curves(mean(confidence=L_RISE), mean(confidence=U_8))),
    "confidence-falls-more": (curves(mean(confidence=KEPT), mean(confidence=LOST)),
                              curves(mean(confidence=LOST), mean(confidence=KEPT))),
    **dict.fromkeys(
        ("smaller-slope", "stronger-drop", "lower-level-after-drop", "lower-level-at-large",
         "harder"),
        (bins(0.6, 0.4, 0.2), bins(0.6, 0.2, 0.4)),
    ),
    "perceptible-where-needed": (mean([1] + [0.6] * 7), mean([1] + [0.4] * 7)),
    "l-shape-in-some": (curves(one(L), one(U), one(L)), curves(one(U), one(U), one(L))),
    "never-fooled": (one(), one(wrong=[4])),
    "never-fooled-at-all": (one(grid=[0, 4, 128]), one(wrong=[2], grid=[0, 4, 30])),
    "u-shape": (one(U), one(L)),
    "recovers": (one(U), one([0.99, 0.5, 0.2, 0.5, 0.93])),
    "starts-at-80": (one(0.84), one(0.86)),
    "fooled-early": (one(wrong=[1]), one(wrong=[2])),
    "class-changes": (one(wrong=[2, 3], classes=[*"aabca"]), one(wrong=[2, 3], classes=[*"aabba"])),
    "level-of-15": (one([0.8, 0.4, 0.11, 0.19, 0.1], [2]), one([0.8, 0.4, 0.11, 0.21, 0.1], [2])),
}  # fmt: skip


@pytest.mark.parametrize("name", HOLDS_AND_FAILS)
def test_a_claim_holds_where_it_must_and_only_there(name):
    for thing, verdict in zip(HOLDS_AND_FAILS[name], ("holds", "does not hold"), strict=True):
        found, numbers = judge(name, thing)
        assert (found, "nan" in numbers) == (verdict, False), numbers


BEFORE = np.arange(40) < 20
AFTER = BEFORE | (np.arange(40) < 28)  # 8 of 40 rise, none falls
FORTY = mean([1, 1, 1, 0.8, 0.5, 0.7, 0.4, 0.1], n=40)
ROWS = {"sample": [*range(40)] * 2, "epsilon_255": [4.0] * 40 + [10.0] * 40}
ROWS = pd.DataFrame(ROWS | {"correct": np.r_[BEFORE, AFTER]})


@pytest.mark.parametrize(
    ("name", "thing", "verdict"),
    [
        ("accuracy-rises", mean(RISE, n=39), "too close to tell"),
        ("accuracy-rises", FORTY, "too close to tell"),
        ("accuracy-rises", (FORTY, ROWS), "holds"),  # where single images are known
        ("accuracy-falls", mean(0.6, n=39), "too close to tell"),
        ("hard-to-fool", mean(0.55, n=39), "too close to tell"),
        ("l-shape-in-most", images(L, L, U), "too close to tell"),
        ("harder", bins(0.61, 0.6, 0.6), "too close to tell"),
        ("changes-right-back", one(), "cannot be judged: It is never fooled, to 20/255."),
        ("lower-than-false", one(wrong=[3, 4]), "cannot be judged: The right class never returns"),
        ("drops-sharply", one(grid=[0, 1, 3]), "cannot be judged: 2/255 is not on the grid"),
        ("never-fooled-at-all", one(), "cannot be judged: The curve is only known to 20/255"),
        ("harder", bins(0.6), "cannot be judged: There are no two bins"),
        ("l-shape-in-some", curves(one(L)), "cannot be judged: Not all three"),
    ],
)
def test_what_is_too_close_to_tell_and_why_something_cannot_be_judged(name, thing, verdict):
    assert ": ".join(judge(name, thing)).startswith(verdict)


# By hand, of 39, 100, 105, 69 and 155 images; the others hold.
PUBLISHED = {
    # The series ends at 16/255; wrong at 4, 18 and 20/255; .995 to .211; 112 of 844; .8741.
    "does not hold": "earliest link descent series bins-of-5-points wrong-at-one-epsilon "
    "drops-slightly perceptible-where-needed starts-at-80",
    # 21 of 39 are right at 4/255 (Wilson .39 to .68), 22 at 10/255; confidence .2113 and .2521.
    "too close to tell": "accuracy-falls accuracy-rises hard-to-fool lowest-at-10 lowest-at-4",
    "cannot be judged": "l-shape-in-most never-fooled-at-all class-changes",
}


def test_the_published_verdicts():
    expected = dict.fromkeys(CLAIMS, "holds")
    expected |= {name: verdict for verdict, names in PUBLISHED.items() for name in names.split()}
    found = zip(CLAIMS, PAGE["judgments"].values(), strict=True)
    assert {name: sides["published"][0] for name, sides in found} == expected
    assert set(CLAIMS) == {"earliest", "link", "descent", *HOLDS_AND_FAILS}
    assert list(PAGE["sides"]) == ["published", "recorded run"]  # no verdict on a stand-in


def test_the_table_has_a_row_a_claim_whose_markup_is_escaped():
    text = PAGE["claims_table"]()
    assert text.count('<tr id="claim-') == text.count("The rule in Python") == 47
    assert text.count("<pre>def ") == 47 and "\n" not in text
    row = PAGE["row"](CLAIMS["class-changes"], {"published": ("holds", "<b>owl")})
    assert "&lt;b&gt;owl" in row


def test_a_run_on_the_author_s_photographs_is_judged_beside():
    samples, grid = np.arange(1000), Grids().hypothesis
    epsilon = np.tile(np.array(grid, dtype=float), 1000)
    confidence = np.repeat(0.7 + 0.299 * (samples % 100) / 100, len(grid))  # none of 40–60%
    limit = 0.05 * 1.08 ** (samples % 100)  # the confident hold out longer
    limit[132] = 33
    correct = epsilon < np.repeat(limit, len(grid))
    table = pd.DataFrame({
        "sample": np.repeat(samples, len(grid)), "epsilon_255": epsilon, "attacked": True,
        "predicted_class": (~correct).astype(int), "correct": correct, "correct_top5": True,
        "confidence": (confidence / (1 + epsilon)).astype(np.float32),
    })  # fmt: skip
    image = torch.full((3, 8, 8), 0.5)
    page = run_page(SimpleNamespace(
        pictures=[SimpleNamespace(sample=i, name=published.SAMPLES.get(i, "")) for i in samples],
        profile=SimpleNamespace(epsilon_255=Grids(), arch="a", objective="b", clip="c"),
        classifier=SimpleNamespace(name="GoogLeNet"), names=["owl", "<hen>"], table=lambda: table,
        case=lambda sample: SimpleNamespace(image=image, adversarial=lambda e: image + e / 255),
    ))  # fmt: skip
    assert list(page["sides"]) == ["published", "this run"]
    found = dict(zip(CLAIMS, page["judgments"].values(), strict=True))
    assert [*found["earliest"]] == [*found["only-correct"]] == ["published"]
    here = {name: sides.get("this run") for name, sides in found.items()}
    for name in ("harder", "never-fooled", "slightly-perceptible"):
        assert here[name][0] == "holds"
    assert here["starts-at-99-99"] == ("does not hold", "It starts at 89.734%.")
    assert here["never-fooled-at-all"][1] == "Wrong at 40, 50 and 60/255, to 60/255."
    assert 'data-is="holds differs"' in page["claims_table"]()
    assert len(page["distances"](*page["sides"].values())) == 5 * 3 + 3


def test_the_record_is_judged_where_the_photographs_are_not(monkeypatch):
    curve = mean([1, 1, 1, 0.8, 0.5, 0.4, 0.3, 0.1]).to_dict("records")
    rows = one(U, grid=[0, 2, 4, 10, 20]).to_dict("records")
    record = {"provenance": {"classifier": "EfficientNet-Lite0"}, "all": curve}
    record |= {"bins": {"99–100%": curve, "40–60%": []}, "samples": {"132": {"rows": rows}}}
    monkeypatch.setattr(published, "record", lambda: record)
    judgments = run_page(SimpleNamespace(pictures=[]))["judgments"].values()
    found = {name: sides.get("recorded run") for name, sides in zip(CLAIMS, judgments, strict=True)}
    assert found["u-shape"][0] == "holds"
    assert found["accuracy-rises"][0] == "does not hold"
    for name in ("harder", "starts-at-80", "l-shape-in-most", "slightly-perceptible"):
        assert found[name][0] == "cannot be judged"

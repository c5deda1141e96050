"""The numbers of a build, against those of the last one that somebody looked at.

``pytest tests/test_values.py --regen-all`` renews them. They are read from the tables in _build,
and nothing is computed: where a table is missing, or is that of other code, the tests are skipped.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import PROFILE, soup

from fgsm_lib import InputError, analysis, store, study

BUILD = Path(__file__).parents[1] / "_build"
PHOTOGRAPHS = Path(os.environ.get("FGSM_DATA") or BUILD / "nips2017" / "data")
# As closely as sentences quote them; rates to 0.004.
CLOSELY = {"confidence": 0.003, "random_confidence": 0.003, "rho": 0.01, "low": 0.01, "high": 0.01}
CLOSELY |= {"n": 1} | dict.fromkeys(("epsilon_255", "predicted_class", "random_predicted_class"), 0)
CURVE = ["epsilon_255", "n", "top1", "top5", "confidence"]

COMPUTE = store._compute

pytestmark = pytest.mark.site
demo_only = pytest.mark.skipif(PROFILE != "demo", reason="no site of the demo in _build/html")


@pytest.fixture(scope="module")
def read():
    """``read(profile, **options)``: a study that refuses to compute a table."""

    def refuse(parts, *_):
        raise InputError(f"{parts.folder} lacks what this code computes")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_compute", refuse)
        patch.setenv("FGSM_BUILD", str(BUILD))
        yield study.open_study


@pytest.fixture(scope="module")
def demo(read) -> study.Study:
    return read("demo")


@pytest.fixture(scope="module")
def table(demo) -> pd.DataFrame:
    try:
        return demo.table()
    except InputError as reason:
        pytest.skip(f"{reason}: run make site")


# What is compared: data frames of a study and its table of FGSM.


def all_pictures(demo, table):
    return analysis.curve(table)[CURVE]


def random_signs(demo, table):
    return analysis.curve(demo.table("random", every=demo.profile.every.control))[CURVE]


def bins(demo, table):
    curves = analysis.bin_curves(analysis.at(table, (0, 0.3, 1, 4, 20)))
    return pd.concat(curve[CURVE] for curve in curves.values())


def hypothesis(demo, table):
    """Rank correlations of confidence and smallest ε: exact, saved, and by the other objective."""
    every = demo.profile.every
    objective = {"objective": "true_logit", "epsilon_255": demo.profile.epsilon_255.objectives}
    tables = [table, demo.table(bits=8, every=every.control)]
    tables.append(demo.table(every=every.objectives, **objective))
    confidence, right = analysis.clean(table)["confidence"], analysis.initially_correct(table)
    rows = []
    for each in tables:
        which = right.intersection(each["sample"])
        rows.append(analysis.spearman(confidence[which], analysis.smallest_epsilon(each, which)))
    return pd.DataFrame(rows).rename(columns={"value": "rho"})


def shares(values, names) -> dict[str, float]:
    return {name: float((pd.Series(values) == name).mean()) for name in names}


def fates(demo, table):
    ends = (1, 4, 20, 128)  # of the range, in 1/255
    rows = [shares(analysis.fates(table, end), analysis.FATES) for end in ends]
    return pd.DataFrame(rows).assign(epsilon_255=ends)


def shapes(demo, table):
    curves = table[table["sample"].isin(analysis.initially_correct(table))].groupby("sample")
    found = [analysis.shape(each["epsilon_255"], each["confidence"]) for _, each in curves]
    return pd.DataFrame([shares(found, analysis.SHAPES)])


def cases(demo, table):
    photos = demo.shown
    samples = [photos.picture(name).sample for name in photos.profile.cases]
    options = {"epsilon_255": photos.profile.epsilon_255.cases, "samples": samples}
    signs, control = (photos.table(kind, **options) for kind in ("gradient", "random"))
    seen = ["predicted_class", "confidence"]
    return signs[["sample", "epsilon_255", *seen]].join(control[seen].add_prefix("random_"))


@demo_only
@pytest.mark.parametrize(
    "numbers", [all_pictures, random_signs, bins, hypothesis, fates, shapes, cases]
)
def test_the_numbers_are_those_of_the_last_time(demo, table, numbers, dataframe_regression):
    try:
        frame = numbers(demo, table).reset_index(drop=True).astype(float).round(6)
    except InputError as reason:
        pytest.skip(f"{reason}: run make site")
    rate = max(0.004, 1.01 / frame["n"].min()) if "n" in frame else 0.004  # or one picture
    tolerances = {name: {"atol": CLOSELY.get(name, rate), "rtol": 1e-9} for name in frame}
    dataframe_regression.check(frame, tolerances=tolerances, basename=numbers.__name__)


@pytest.mark.slow
def test_the_numbers_hold_without_onnx_runtime(tmp_path, dataframe_regression):
    machine = store.Machine(engine="torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_compute", COMPUTE)
        swept = study.open_study("demo", results=tmp_path, machine=machine)
        frame = all_pictures(swept, swept.table())
    tolerances = {name: {"atol": CLOSELY.get(name, 0.004), "rtol": 1e-9} for name in frame}
    frame = frame.astype(float).round(6)
    dataframe_regression.check(frame, tolerances=tolerances, basename="all_pictures")


@demo_only
def test_the_verdicts_on_the_claims(data_regression):
    rows = soup("claims.html").select(".claims tr[id]")
    found = {row["id"]: [cell.get_text(" ", strip=True) for cell in row("td")] for row in rows}
    data_regression.check(found, basename="claims")


# ε in 1/255, top-1, top-5 and mean confidence of EfficientNet-Lite0 on the 1000 photographs, by an
# independent computation.
INDEPENDENT = """
0 .888 .986 .681, .1 .639 .895 .480, .3 .323 .692 .371, .5 .200 .561 .354, 1 .127 .405 .341,
2 .104 .316 .335, 4 .101 .283 .323, 6 .102 .291 .318, 8 .115 .311 .317, 10 .125 .318 .312,
12 .131 .324 .309, 16 .130 .335 .300, 20 .130 .325 .290, 30 .121 .274 .260, 60 .050 .133 .205,
128 .002 .008 .153
"""


@pytest.mark.real
def test_the_photographs_agree_with_an_independent_computation(read):
    try:
        opened = read("nips2017", data=PHOTOGRAPHS, arch="efficientnet_lite0")
        table = opened.table()
    except InputError as reason:
        pytest.skip(f"no tables of the 1000 photographs: {reason}")
    found = analysis.curve(table).set_index("epsilon_255")[["top1", "top5", "confidence"]]
    for row in INDEPENDENT.split(","):
        epsilon, *expected = map(float, row.split())
        assert np.abs(found.loc[epsilon] - expected).max() <= 0.0035, epsilon  # of three digits
    sizes = [len(analysis.initially_correct(table, *edges)) for edges in analysis.ORIGINAL_BINS]
    assert np.abs(np.subtract(sizes, [15, 118, 121, 88, 143])).max() <= 1
    assert abs((analysis.fates(table, 20) == analysis.NEVER).sum() - 63) <= 2
    assert (analysis.fates(table, 128) == analysis.NEVER).sum() == 0


@pytest.mark.real
def test_torch_alone_sees_the_same_classes(read, tmp_path):
    """Every 25th photograph at every ε, but where two classes are as good as equally probable."""
    options = {"data": PHOTOGRAPHS, "arch": "efficientnet_lite0"}
    try:
        opened = read("nips2017", **options)
        ours = opened.table(every=25)
    except InputError as reason:
        pytest.skip(f"no tables of the 1000 photographs: {reason}")
    swept = store.Machine(engine="torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_compute", COMPUTE)
        theirs = study.open_study("nips2017", results=tmp_path, machine=swept, **options)
        theirs = theirs.table(every=25)
    assert len(ours) == len(theirs) == 40 * 29
    tops = np.stack(theirs["top_confidences"])
    clear = tops[:, 0] - tops[:, 1] > 1e-3
    same = ours["predicted_class"] == theirs["predicted_class"]
    assert same[clear].all()
    assert np.abs(ours["confidence"] - theirs["confidence"]).max() < 1e-3

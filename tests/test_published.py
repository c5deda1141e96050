"""The published numbers, against what the original page says of them; and the record."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from fgsm_lib import analysis, published


def photographs(count: int = 1000) -> list[SimpleNamespace]:
    names = published.SAMPLES
    return [SimpleNamespace(sample=i, name=names.get(i, f"other{i}")) for i in range(count)]


def test_clean_accuracy_and_confidence_of_all_thousand():
    clean = published.clean_predictions()
    assert clean.index.tolist() == list(range(1000))
    means = clean[["correct", "correct_top5", "confidence"]].mean()
    assert means.tolist() == pytest.approx([0.844, 0.971, 0.62387], abs=1e-5)
    start = published.all_samples_curve().iloc[0]
    assert start.tolist() == pytest.approx([0, *means], abs=1e-6)


@pytest.mark.parametrize("percent", published.BINS)
def test_a_bin_starts_at_the_clean_predictions_of_its_pictures(percent):
    low, high, n = published.BINS[percent]
    table = published.clean_predictions().reset_index().assign(epsilon_255=0.0, attacked=True)
    inside = analysis.initially_correct(table, low, high)
    assert len(inside) == n
    curve = published.bin_curve(percent)
    confidence = table["confidence"][inside].mean()
    assert len(curve) == 16
    assert curve.iloc[0].tolist() == pytest.approx([0, 1, 1, confidence], abs=1e-4)
    assert (curve["top1"] * n).round(6).mod(1).eq(0).all()  # n times a rate counts pictures


def test_all_curves_have_the_columns_of_this_project_s_own():
    assert {(low, high) for low, high, _ in published.BINS.values()} == set(analysis.ORIGINAL_BINS)
    for curve in [published.all_samples_curve(), *map(published.bin_curve, published.BINS)]:
        assert curve.columns.tolist() == ["epsilon_255", "top1", "top5", "confidence"]
        assert curve["epsilon_255"].is_monotonic_increasing
        assert curve.iloc[:, 1:].stack().between(0, 1).all() and (curve.top5 >= curve.top1).all()


def test_sample_766_comes_back_132_is_never_fooled_528_is_lost():
    """What the original page says of the three, to 20/255."""
    curves = {sample: published.sample_curve(sample) for sample in published.SAMPLES}
    wrong = {s: curve.loc[~curve["correct"], "epsilon_255"].tolist() for s, curve in curves.items()}
    assert wrong[766] == [4, 18, 20]  # right again from 5 to 16
    assert wrong[132] == []
    assert len(wrong[528]) > 10
    for sample, curve in curves.items():
        clean = published.clean_predictions().loc[sample]
        assert curve["confidence"].iloc[0] == pytest.approx(clean["confidence"], abs=1e-4)
        assert curve["correct"].dtype == bool and clean["correct"]
    shapes = {s: analysis.shape(c["epsilon_255"], c["confidence"]) for s, c in curves.items()}
    assert shapes == {766: "L with a rise", 132: "U", 528: "L"}


def test_the_original_s_photographs_are_recognized_by_number_and_name():
    own, other = photographs()[766], SimpleNamespace(sample=766, name="coffee")
    assert published.covers(own) and not published.covers(other)
    assert published.sample_curve(own).equals(published.sample_curve(np.int64(766)))
    assert published.sample_curve(other) is None and published.sample_curve(0) is None
    assert published.covers_all(photographs()) and not published.covers_all(photographs(999))
    assert not published.covers_all([SimpleNamespace(sample=i, name="x") for i in range(1000)])


def test_the_record_is_read_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "_FOLDER", tmp_path)
    row = {"epsilon_255": 1.0, "class": "barrel", "confidence": 0.9, "correct": True}
    record = {"all": [{"epsilon_255": 0, "top1": 0.888}], "bins": {"99–100%": [{"top1": 1}]}}
    record["samples"] = {"766": {"label": "barrel", "rows": [row], "random": [row, row]}}
    (tmp_path / "photographs.json").write_text(json.dumps(record), encoding="utf-8")
    assert published.record() == record
    assert published.record_curve()["top1"].tolist() == [0.888]
    assert published.record_bins()["99–100%"]["top1"].tolist() == [1]
    assert published.record_sample(766).to_dict("records") == [row]
    assert len(published.record_sample(766, "random")) == 2
    assert published.record_sample(0) is None

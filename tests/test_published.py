"""The published numbers, against what the original page says of them."""

from pathlib import Path

import pandas as pd
import pytest

from fgsm_lib import analysis, published, wording
from fgsm_lib.datasets import Photo


def photo(sample: int, image_id: str) -> Photo:
    return Photo(sample, image_id, Path(f"{image_id}.png"), label=0, class_name="x")


def photos(count: int = 1000) -> list[Photo]:
    return [photo(i, published.SAMPLES.get(i, f"other{i}")) for i in range(count)]


def test_clean_accuracy_and_confidence_of_all_thousand():
    clean = published.clean_predictions()
    assert clean.index.tolist() == list(range(1000))
    assert clean["correct"].mean() == 0.844
    assert clean["correct_top5"].mean() == 0.971
    assert clean["confidence"].mean() == pytest.approx(0.62387, abs=1e-5)


def test_the_curve_of_all_images_starts_at_the_clean_predictions():
    start = published.all_samples_curve().iloc[0]
    clean = published.clean_predictions()
    assert start["epsilon_255"] == 0
    assert start["top1"] == clean["correct"].mean()
    assert start["top5"] == clean["correct_top5"].mean()
    assert start["confidence"] == pytest.approx(clean["confidence"].mean(), abs=1e-6)  # rounding


def test_the_sizes_of_the_bins_can_be_counted_in_the_clean_predictions():
    sizes = {}
    clean = published.clean_predictions()
    table = clean.reset_index().assign(epsilon_255=0.0).astype({"confidence": "float32"})
    for percent, (low, high, _) in published.BINS.items():
        sizes[percent] = len(analysis.initially_correct(table, low, high))
    assert sizes == {99: 39, 95: 100, 90: 105, 85: 69, 40: 155}
    assert sizes == {percent: n for percent, (_, _, n) in published.BINS.items()}


@pytest.mark.parametrize("percent", published.BINS)
def test_a_bin_s_curve_starts_at_its_images_clean_confidence(percent):
    low, high, n = published.BINS[percent]
    clean = published.clean_predictions()
    inside = clean[clean["correct"] & clean["confidence"].between(low, high)]
    curve = published.bin_curve(percent)
    assert len(curve) == 16
    assert curve["top1"].iloc[0] == curve["top5"].iloc[0] == 1
    # The means were rounded on their way into the file.
    assert curve["confidence"].iloc[0] == pytest.approx(inside["confidence"].mean(), abs=1e-4)
    # A rate over n images is a whole number of images.
    assert (curve["top1"] * n).round(6).mod(1).eq(0).all()


def test_the_bins_are_those_of_the_analysis():
    assert {(low, high) for low, high, _ in published.BINS.values()} == set(analysis.ORIGINAL_BINS)


def test_all_curves_have_the_columns_of_this_project_s_own():
    curves = [published.all_samples_curve(), *map(published.bin_curve, published.BINS)]
    for curve in curves:
        assert curve.columns.tolist() == ["epsilon_255", "top1", "top5", "confidence"]
        assert set(curve.columns) <= set(analysis.curve(pd.DataFrame(_ROW)).columns)
        assert curve["epsilon_255"].is_monotonic_increasing
        assert curve[["top1", "top5", "confidence"]].stack().between(0, 1).all()
        assert (curve["top5"] >= curve["top1"]).all()


_ROW = {
    "sample": [0],
    "epsilon_255": [0.0],
    "correct": [True],
    "correct_top5": [True],
    "confidence": [0.5],
}


@pytest.mark.parametrize("sample", published.SAMPLES)
def test_a_sample_s_curve_starts_at_its_clean_confidence(sample):
    curve = published.sample_curve(sample)
    clean = published.clean_predictions().loc[sample]
    assert {"epsilon_255", "correct", "confidence"} <= set(curve.columns)
    assert set(curve["sample"]) == {sample}
    assert curve["epsilon_255"].is_monotonic_increasing
    assert curve["confidence"].iloc[0] == pytest.approx(clean["confidence"], abs=1e-4)
    assert curve["correct"].iloc[0] == clean["correct"] == 1


def test_sample_766_comes_back_132_is_never_fooled_528_is_lost():
    """What the original page says of the three."""
    wrong = {
        sample: curve.loc[curve["correct"] == 0, "epsilon_255"].tolist()
        for sample in published.SAMPLES
        for curve in [published.sample_curve(sample)]
    }
    assert wrong[766] == [4, 18, 20]  # right again from 5 to 16
    assert wrong[132] == []
    assert len(wrong[528]) > 10
    assert published.sample_curve(528)["confidence"].iloc[0] == 0.8741


def test_sample_132_is_u_shaped():
    assert analysis.curve_shape(published.sample_curve(132)["confidence"]) == "U"


def test_the_original_s_photographs_are_recognized_by_number_and_name():
    assert published.covers(photo(766, "77c72d0a01e1af70"))
    assert not published.covers(photo(766, "38546e7d7136c2ab"))
    assert not published.covers(photo(0, "77c72d0a01e1af70"))


def test_only_the_original_s_thousand_photographs_are_all_covered():
    assert published.covers_all(photos())
    assert not published.covers_all(photos(999))
    assert not published.covers_all([photo(i, f"other{i}") for i in range(1000)])


def test_a_missing_file_is_named_and_nothing_is_compared(tmp_path, monkeypatch):
    assert published.missing() == []
    assert published.comparable(photos())
    assert wording.published_missing(photos()) == ""
    for file in published._FOLDER.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "fgsm_confidence_bin_85.csv").unlink()
    monkeypatch.setattr(published, "_FOLDER", tmp_path)
    assert published.missing() == ["fgsm_confidence_bin_85.csv"]
    assert not published.comparable(photos())
    assert "(fgsm_confidence_bin_85.csv)" in wording.published_missing(photos())
    assert wording.published_missing(photos(999)) == ""  # other images: nothing to compare anyway

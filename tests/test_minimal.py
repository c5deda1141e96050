"""The minimal adversarial epsilon: by hand on a linear classifier, and by a naive search."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from fgsm_lib import attacks, minimal, shards
from fgsm_lib.calibrate import Setting
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.minimal import RESOLUTION_255, brackets, minimal_epsilons, write_minimal
from fgsm_lib.profiles import load_profile
from fgsm_lib.shards import read_fingerprint
from fgsm_lib.study import Study
from fgsm_lib.sweep import SweepSettings, sweep_samples

GRID = (0.0, 0.5, 1.0, 4.0, 20.0)
SETTINGS = SweepSettings(GRID)
WIDE = SweepSettings((0.0, 1.0, 20.0, 60.0, 128.0))  # where a random network errs at last


@pytest.fixture(autouse=True)
def _a_fixed_setting(monkeypatch):
    for module in (minimal, shards):
        monkeypatch.setattr(module, "calibrated", lambda classifier, path: Setting(1, 4, 0.0))


class Linear(torch.nn.Module):
    """Two classes; z_1 - z_0 is the sum of all pixels times ``slope``, minus ``offset``."""

    def __init__(self, slope: float, offset: float):
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        score = self.slope * pixels.sum(dim=(1, 2, 3)) - self.offset
        return torch.stack([torch.zeros_like(score), score], dim=1)


class Gray:
    """A data set of even gray images of 2 × 2 pixels, all of class 1."""

    def __init__(self, *levels: float):
        self.levels = levels

    def __getitem__(self, sample: int) -> tuple[torch.Tensor, int]:
        return torch.full((3, 2, 2), self.levels[sample]), 1


def swept(outcomes: dict[int, str], grid=GRID) -> pd.DataFrame:
    """A sweep table: one letter per epsilon, r for right and w for wrong."""
    rows = [
        (sample, epsilon, letter == "r", 0.9)
        for sample, letters in outcomes.items()
        for epsilon, letter in zip(grid, letters, strict=True)
    ]
    return pd.DataFrame(rows, columns=["sample", "epsilon_255", "correct", "confidence"])


# --- brackets ----------------------------------------------------------------------------------


def test_a_bracket_is_the_first_wrong_epsilon_and_the_one_before_it():
    found = brackets(swept({3: "rrwwr", 5: "rwrrr", 7: "rrrrr", 9: "wrrww"})).set_index("sample")
    assert found.index.tolist() == [3, 5, 7]  # 9 is wrong from the start
    assert found["low"].tolist() == [0.5, 0, 20]
    assert found["high"].tolist() == [1, 0.5, 20]
    assert found["fooled"].tolist() == [True, True, False]
    assert found["width"].tolist() == [0.5, 0.5, 0]


def test_without_an_initially_correct_image_there_is_no_bracket():
    found = brackets(swept({0: "wwwww"}))
    assert found.empty
    assert {"sample", "low", "high", "width", "fooled", "confidence"} == set(found.columns)


# --- one image, by hand ------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.50, 0.51, 0.53])
def test_a_linear_margin_is_crossed_where_the_first_order_prediction_says(level):
    """12 pixels of this level against an offset of 12 · 0.495: wrong from level - 0.495 on."""
    rows = pd.DataFrame(
        {"sample": [0], "low": [0.0], "high": [20.0], "fooled": [True], "confidence": [0.6]}
    )
    network = Linear(2.0, 2 * 12 * 0.495).eval()
    network.device = torch.device("cpu")
    found = minimal_epsilons(Gray(level), network, SETTINGS, rows).to_pandas().iloc[0]
    expected = (level - 0.495) * 255
    assert found["margin"] == pytest.approx(2 * 12 * (level - 0.495), rel=1e-4)
    assert found["predicted_epsilon_255"] == pytest.approx(expected, rel=1e-3)
    assert 0 <= found["epsilon_255"] - expected <= RESOLUTION_255 + 1e-4
    # Random signs move the sum less far than all signs together do.
    assert not found["random_fooled"]


def test_a_flat_margin_predicts_that_no_step_suffices():
    margin, flat = torch.tensor([2.0]), torch.zeros(1, 3, 2, 2)
    assert minimal.first_order_epsilon(margin, flat).tolist() == [np.inf]


def test_the_margin_is_the_lead_over_the_best_other_class():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3, bias=False)).eval()
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0], [3.0], [2.0]]).expand(3, 12))
    images = torch.full((2, 3, 2, 2), 0.5)
    start = minimal.before_the_attack(network, images, torch.tensor([1, 0]))
    assert start.margin.tolist() == [6.0, -12.0]  # 18 - 12, and 6 - 18
    assert start.margin_gradient[0].unique().tolist() == [1.0]  # 3 - 2
    assert start.margin_gradient[1].unique().tolist() == [-2.0]  # 1 - 3
    assert not images.requires_grad


@pytest.mark.parametrize("objective", list(attacks.OBJECTIVES))
def test_the_direction_is_that_of_the_sweep(tiny, pixels, objective):
    classifier, images, labels = tiny(), pixels(3), torch.tensor([1, 2, 3])
    gradient, _ = attacks.input_gradient(classifier, images, labels, objective)
    start = minimal.before_the_attack(classifier, images, labels, objective)
    assert torch.equal(start.direction, gradient.sign())


# --- against a naive search --------------------------------------------------------------------


@pytest.fixture
def study(photos, tiny, tmp_path) -> Study:
    """Twelve images, each labeled with what the tiny classifier sees, so that all are correct."""
    classifier = tiny()
    dataset = PhotoDataset(photos(), classifier.to_pixels)
    images = torch.stack([dataset[sample][0] for sample in range(len(dataset))])
    seen = classifier(images).argmax(dim=1).tolist()
    seen[4] = (seen[4] + 1) % 10  # except one
    rows = [f"photo{i},{label + 1}" for i, label in enumerate(seen)]
    (dataset.folder / "dev_dataset.csv").write_text("\n".join(["ImageId,TrueLabel", *rows]) + "\n")
    dataset = PhotoDataset(dataset.folder, classifier.to_pixels)
    profile = replace(load_profile("demo"), every_minimal=1)
    return Study(profile, dataset, classifier, tmp_path / "build")


def test_it_agrees_with_trying_around_what_it_found(study):
    """Wrong at the epsilon found, right where the last bracket began and at smaller grid values."""
    table = sweep_samples(study.dataset, study.classifier, WIDE, range(12)).to_pandas()
    todo = brackets(table)
    found = minimal_epsilons(study.dataset, study.classifier, WIDE, todo).to_pandas()
    assert found["sample"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert found["fooled"].sum() > 3
    for width, row in zip(todo["width"], found.itertuples(), strict=True):
        image, label = study.dataset[row.sample]
        labels = torch.tensor([label])
        gradient, _ = attacks.input_gradient(study.classifier, image[None], labels)
        right = partial(_right, study.classifier, image[None], label)

        grid = [epsilon for epsilon in WIDE.epsilon_255 if epsilon < row.epsilon_255]
        assert all(right(gradient.sign(), epsilon) for epsilon in grid)
        assert right(gradient.sign(), row.epsilon_255) == (not row.fooled)
        if row.fooled:
            while width > RESOLUTION_255:
                width /= 2
            assert right(gradient.sign(), row.epsilon_255 - width)
        signs = attacks.random_signs(image, row.sample)[None]
        assert right(signs, row.epsilon_255) == (not row.random_fooled)


def _right(classifier, images, label, direction, epsilon_255) -> bool:
    return int(classifier(attacks.perturb(images, direction, epsilon_255 / 255)).argmax()) == label


def test_the_batch_an_image_is_in_does_not_matter(study):
    table = sweep_samples(study.dataset, study.classifier, WIDE, range(12)).to_pandas()
    todo = brackets(table)
    together = minimal_epsilons(study.dataset, study.classifier, WIDE, todo)
    alone = [
        minimal_epsilons(study.dataset, study.classifier, WIDE, todo.iloc[i : i + 1])
        for i in range(len(todo))
    ]
    pd.testing.assert_frame_equal(
        together.to_pandas(), pa.concat_tables(alone).to_pandas(), rtol=1e-4
    )


# --- the table ---------------------------------------------------------------------------------


def test_a_study_computes_the_table_once_and_again_for_other_code(study, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments[-1])
        write_minimal(*arguments)

    monkeypatch.setattr("fgsm_lib.study.write_minimal", counted)
    first = study.minimal
    again = Study(study.profile, study.dataset, study.classifier, study.folder).minimal
    pd.testing.assert_frame_equal(first, again)
    assert len(calls) == 1
    assert read_fingerprint(study.folder / "minimal.parquet") == calls[0]
    assert first["sample"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]

    monkeypatch.setattr("fgsm_lib.study.minimal_fingerprint", lambda of, every: "another")
    assert len(Study(study.profile, study.dataset, study.classifier, study.folder).minimal) == 11
    assert len(calls) == 2


def test_a_profile_may_look_at_every_nth_image_only(study):
    whole = study.minimal
    profile = replace(study.profile, every_minimal=3)
    some = Study(profile, study.dataset, study.classifier, study.folder).minimal
    assert some["sample"].tolist() == [0, 3, 6, 9]
    expected = whole[whole["sample"] % 3 == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, expected, rtol=1e-4)


def test_a_failure_leaves_no_half_table(study, monkeypatch):
    def fails(*arguments):
        raise RuntimeError("no more memory")

    monkeypatch.setattr(minimal, "minimal_epsilons", fails)
    with pytest.raises(RuntimeError, match="no more memory"):
        _ = study.minimal
    assert not (study.folder / "minimal.parquet").exists()
    assert not list(study.folder.glob(".minimal*"))


def test_where_no_image_is_correct_the_table_is_empty_and_complete(study, tmp_path):
    path = tmp_path / "minimal.parquet"
    nothing = swept({sample: "wwwww" for sample in range(12)})
    write_minimal(study.dataset, study.classifier, SETTINGS, nothing, path, "the fingerprint")
    found = pd.read_parquet(path)
    assert found.empty
    assert found.columns.tolist() == minimal.SCHEMA.names
    assert read_fingerprint(path) == "the fingerprint"

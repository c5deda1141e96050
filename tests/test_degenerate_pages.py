"""The pages of the analysis in runs that have no story: words in place of divisions by zero."""

import csv
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from fgsm_lib import display, minimal, published, shards
from fgsm_lib.calibrate import Setting
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.profiles import load_profile
from fgsm_lib.site.execute import clean_notebook
from fgsm_lib.study import Study

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PAGES = ("hypothesis", "objectives", "questions", "claims", "iterative", "index")
CLASSES = ["ant", "bee", "cow", "dog", "elk", "fox"]
SIZE = 16


class Checkered(torch.nn.Module):
    """A linear classifier whose class vectors alternate between the pixels, like a checkerboard.

    On plain images all logits but the biases cancel, so the margin is what ``lead`` gives class 0,
    while every signed step adds up: with a small lead the least step fools.
    """

    def __init__(self, lead: float, slope: float):
        super().__init__()
        signs = torch.ones(3, SIZE, SIZE)
        signs[:, ::2, ::2] = signs[:, 1::2, 1::2] = -1
        weights = [slope * signs.flatten() * (-1) ** k / (k + 1) for k in range(len(CLASSES))]
        self.layer = torch.nn.Linear(3 * SIZE * SIZE, len(CLASSES))
        self.layer.weight = torch.nn.Parameter(torch.stack(weights))
        self.layer.bias = torch.nn.Parameter(torch.tensor([lead, *[0.0] * (len(CLASSES) - 1)]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layer(pixels.flatten(1))


# Network, and the label of each image: class 0 is what it sees in all of them.
NOTHING_FOOLED = Checkered(lead=6, slope=0)
FOOLED_AT_ONCE = Checkered(lead=1e-3, slope=1)
SOME_FOOLED = Checkered(lead=2, slope=0.3)
RUNS = {
    "one image": (SOME_FOOLED, [0]),
    "one image, wrong from the start": (SOME_FOOLED, [1]),
    "one image, never fooled": (NOTHING_FOOLED, [0]),
    "one image, fooled at once": (FOOLED_AT_ONCE, [0]),
    "none correct": (SOME_FOOLED, [1] * 12),
    "none fooled": (NOTHING_FOOLED, [0] * 12),
    "all fooled at the smallest epsilon": (FOOLED_AT_ONCE, [0] * 12),
    "all but one bin without an image": (SOME_FOOLED, [0] * 12),
}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Opens a study of plain gray images; a notebook opens the same."""
    for module in (minimal, shards):
        monkeypatch.setattr(module, "calibrated", lambda classifier, path: Setting(1, 4, 0.0))

    def opened(network: torch.nn.Module, labels: list[int], **changes) -> Study:
        folder = tmp_path / "data"
        (folder / "images").mkdir(parents=True)
        for sample, level in enumerate(np.linspace(40, 220, len(labels)).astype(np.uint8)):
            Image.fromarray(np.full((SIZE, SIZE, 3), level)).save(
                folder / "images" / f"gray{sample}.png"
            )
        names = [["CategoryId", "CategoryName"], *([k + 1, name] for k, name in enumerate(CLASSES))]
        truth = [["ImageId", "TrueLabel"], *([f"gray{i}", k + 1] for i, k in enumerate(labels))]
        for file, rows in (("categories.csv", names), ("dev_dataset.csv", truth)):
            with (folder / file).open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows(rows)
        classifier = Classifier(
            network.eval(), CLASSES, name="checkered", sha256="0", resize=SIZE, crop=SIZE
        )
        profile = replace(load_profile("nips2017"), **{"cases": (0,)} | changes)
        dataset = PhotoDataset(folder, classifier.to_pixels)
        study = Study(profile, dataset, classifier, tmp_path / "build")
        monkeypatch.setattr("fgsm_lib.study.open_study", lambda profile: study)
        return study

    return opened


class Page:
    """What a notebook shows: every text of it, and the figures as they were drawn."""

    def __init__(self, name: str, monkeypatch):
        self.texts, self.figures = [], []
        monkeypatch.setattr(display, "display", self._shown)
        monkeypatch.setattr(display, "_save", self._drawn)
        names: dict[str, object] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)
            for cell in clean_notebook(NOTEBOOKS / f"{name}.py", {"sample": 0}).cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, name, "exec"), names)
        plt.close("all")

    def _shown(self, output: object, raw: bool = False) -> None:
        if not raw:
            self.texts.append(output.data)  # Markdown
            return
        own = next(output[mime] for mime in display.OWN_MIMES if mime in output)
        kept = {key: value for key, value in own.items() if key not in ("light", "dark")}
        self.texts.append(json.dumps(kept, ensure_ascii=False))

    def _drawn(self, figure: plt.Figure, kind: str, **options) -> bytes:
        if kind == "svg":
            figure.canvas.draw()
            self.figures.append(list(filter(None, map(_contents, figure.axes))))
        return b""


def _contents(axis: plt.Axes) -> str:
    """What there is to see in a panel: data, or words in its place; nothing where it is hidden."""
    if axis.has_data():
        return "data"
    return (axis.get_title() or "an empty panel") if axis.axison else ""


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_page_has_words_where_a_run_has_no_story(study, monkeypatch, name, run):
    study(*run)
    page = Page(name, monkeypatch)
    assert all(page.texts)
    assert not [text for text in page.texts if re.search(r"\b(nan|inf)\b", text)]
    for panels in page.figures:
        assert "data" in panels
        assert all(panel == "data" or "no image" in panel for panel in panels)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hypothesis", "objectives", "claims", "data_and_model"])
def test_a_page_says_that_published_files_are_missing(study, monkeypatch, tmp_path, name):
    """On the original's photographs (so this pretends), where there should be a comparison."""
    study(SOME_FOOLED, [0] * 12)
    monkeypatch.setattr(published, "covers_all", lambda photos: True)
    monkeypatch.setattr(published, "_FOLDER", tmp_path)
    page = Page(name, monkeypatch)
    assert "fgsm_confidence_bin_99.csv" in " ".join(page.texts)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PAGES, "method", "data_and_model", "case_study"])
def test_a_page_works_on_grids_of_its_own_and_without_case_studies(study, monkeypatch, name):
    grids = ("case", "hypothesis", "all_images", "objectives")
    changes = {f"{grid}_epsilon_255": (0.0, 0.25, 3.0, 30.0) for grid in grids}
    study(SOME_FOOLED, [0] * 12, **changes | {"cases": ()})
    assert Page(name, monkeypatch).texts

"""What the tests share: tiny networks, tiny data sets, and a machine left as it was."""

import csv
import os
import shutil
from collections.abc import Iterator

os.environ["MPLBACKEND"] = "agg"  # before matplotlib: no test opens a window

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image

from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.profiles import load_profile
from fgsm_lib.study import Study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

torch.set_num_threads(1)  # tiny networks gain nothing from more, and the tests may run in parallel

# The same examples in every run, and no time limit: a busy machine is not a bug.
hypothesis.settings.register_profile("fgsm", derandomize=True, deadline=None, max_examples=30)
hypothesis.settings.load_profile("fgsm")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """A test sees none of the user's settings, and changes none for the next test."""
    for name in ("FGSM_DATA", "FGSM_WEIGHTS", "FGSM_ARCH", "FGSM_BUILD", "FGSM_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A real Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def seeded_network(seed: int = 0, classes: int = 10) -> torch.nn.Module:
    """Two convolutions and a linear layer with random weights; takes any image size."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(64, classes),
        )


@pytest.fixture(scope="session")
def tiny():
    """Builds a Classifier around a tiny network: ``tiny(seed, classes, **options)``."""

    def build(seed: int = 0, classes: int = 10, network=None, **options) -> Classifier:
        names = [f"class {i}" for i in range(classes)]
        network = network or seeded_network(seed, classes)
        options = {"name": "tiny", "sha256": f"seed {seed}", "resize": 16, "crop": 16} | options
        return Classifier(network, names, **options)

    return build


@pytest.fixture(scope="session")
def pixels():
    """Seeded random images as float32 (count, 3, size, size), a tenth of the values 0 or 1."""

    def build(count: int, seed: int = 0, size: int = 16) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return (torch.rand(count, 3, size, size, generator=generator) * 1.1 - 0.05).clamp(0, 1)

    return build


@pytest.fixture
def photos(tmp_path):
    """Writes a data set of random PNG files: ``photos(count)`` returns its folder."""

    def write(count: int = 12, classes: int = 10, size: int = 16, name: str = "data"):
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        rng = np.random.default_rng(0)
        rows = [["ImageId", "TrueLabel"]]
        for i in range(count):
            array = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(array).save(folder / "images" / f"photo{i}.png")
            rows.append([f"photo{i}", i * 7 % classes + 1])
        names = [["CategoryId", "CategoryName"], *([i + 1, f"class {i}"] for i in range(classes))]
        for file, table in (("dev_dataset.csv", rows), ("categories.csv", names)):
            with (folder / file).open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows(table)
        return folder

    return write


@pytest.fixture
def tiny_set(photos, tiny):
    """A data set of 12 random images, as a tiny classifier takes them."""
    return PhotoDataset(photos(), tiny().to_pixels)


@pytest.fixture
def study_of(photos, tiny, tmp_path):
    """``study_of(text, count)``: a study of random images, under a profile with that TOML text."""

    def build(text: str, count: int = 12) -> Study:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        classifier = tiny()
        dataset = PhotoDataset(photos(count), classifier.to_pixels)
        return Study(load_profile(str(path)), dataset, classifier, tmp_path / "build")

    return build

"""The same numbers again: on the demo's own images and classifier, however they are computed."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from fgsm_lib import shards
from fgsm_lib.calibrate import Setting
from fgsm_lib.classifiers import load_classifier
from fgsm_lib.datasets import PhotoDataset, read_class_names
from fgsm_lib.demo.dataset import ensure_demo_set
from fgsm_lib.profiles import load_profile
from fgsm_lib.shards import write_sweep
from fgsm_lib.site import verify
from fgsm_lib.sweep import SweepSettings, sweep_samples

SETTINGS = SweepSettings((0.0, 0.5, 4.0, 32.0))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The shipped classifier and a data set of the first ``count`` demo pictures."""
    root = tmp_path_factory.mktemp("demo")

    def build(count: int) -> tuple[PhotoDataset, object]:
        folder = root / str(count)
        ensure_demo_set(folder, count, progress=False, roles={}, processes=1)
        profile = load_profile("demo")
        names = read_class_names(folder)
        classifier = load_classifier(profile.arch, names, profile.weights).cpu()
        return PhotoDataset(folder, classifier.to_pixels), classifier

    return build


def written(demo, folder: Path, workers: int, batch: int, monkeypatch) -> bytes:
    """The file of a sweep with so many workers and images in a batch."""
    dataset, classifier = demo(6)
    monkeypatch.setattr(shards, "SHARD_IMAGES", 2)
    monkeypatch.setattr(shards, "calibrated", lambda *args: Setting(workers, batch, 0.0))
    folder.mkdir()
    write_sweep(dataset, classifier, SETTINGS, folder / "sweep.parquet")
    return (folder / "sweep.parquet").read_bytes()


def test_two_runs_write_the_same_bytes_with_one_worker_or_two(demo, tmp_path, monkeypatch):
    first = written(demo, tmp_path / "a", 1, 2, monkeypatch)
    assert written(demo, tmp_path / "b", 1, 2, monkeypatch) == first
    assert written(demo, tmp_path / "c", 2, 2, monkeypatch) == first


@pytest.mark.parametrize(
    ("batch", "threads"),
    # Two threads that share an image wait for each other: minutes on a machine that is busy.
    [(1, 1), (4, 1), pytest.param(6, 2, marks=pytest.mark.slow)],
)
def test_other_batches_and_threads_stay_within_the_tolerances_of_verify(demo, batch, threads):
    dataset, classifier = demo(6)
    before = table(dataset, classifier, batch=2)
    torch.set_num_threads(threads)
    after = table(dataset, classifier, batch=batch)
    expected = {name: list(series.values) for name, series in verify.of_table(before)}
    assert verify.differences(expected, dict(verify.of_table(after))) == []
    assert after["predicted_class"].nunique() > 1  # else the comparison says little


def table(dataset: PhotoDataset, classifier, batch: int) -> pd.DataFrame:
    samples = range(len(dataset))
    return sweep_samples(dataset, classifier, SETTINGS, samples, batch).to_pandas()


@pytest.mark.slow
def test_fifty_images_against_a_naive_loop(demo):
    """The whole sweep, row by row: image by image, with a new gradient at every epsilon."""
    dataset, classifier = demo(50)
    ours = table(dataset, classifier, batch=4)
    classes, confidences, margins = [], [], []
    for image, label in (dataset[sample] for sample in range(50)):
        for epsilon in SETTINGS.epsilon_255:
            x = image[None].clone().requires_grad_(True)
            F.cross_entropy(classifier(x), torch.tensor([label])).backward()
            changed = (x.detach() + epsilon / 255 * x.grad.sign()).clamp(0, 1)
            top = classifier(changed).softmax(1)[0].topk(2)
            classes.append(top.indices[0].item())
            confidences.append(top.values[0].item())
            margins.append((top.values[0] - top.values[1]).item())
    away = pd.Series(margins) > verify.TIE
    assert away.mean() > 0.98
    assert (ours["predicted_class"] == classes)[away].all()
    gaps = (ours["confidence"] - confidences).abs()
    assert gaps.max() <= verify.CONFIDENCE
    assert (gaps < 1e-5).mean() > 0.95  # but for gradients that are zero up to rounding

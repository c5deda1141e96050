"""Any network and any folder: what is read from them, and what is refused."""

import shutil

import numpy as np
import pytest
import torch
from conftest import seeded_network
from PIL import Image

from fgsm_lib.errors import InputError
from fgsm_lib.own import ImageFolder, network_sha256, own_study

NAMES = ["cat", "dog", "crane", "crane"]


@pytest.fixture
def folder(tmp_path):
    """Two cats, a dog and a machine with the number of its class; all of one gray each."""
    files = {"cat/b.jpg": 20, "cat/a.png": 10, "dog/a.PNG": 30, "3/z.webp": 40, "dog/notes.txt": 0}
    for name, gray in files.items():
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("not an image")
        else:
            Image.new("RGB", (20, 24), (gray,) * 3).save(path, quality=100)
    return tmp_path / "own"


def read(folder, names=NAMES):
    return ImageFolder(folder, names, lambda image: torch.tensor(np.array(image)))


def test_subfolders_are_classes_by_name_or_number(folder):
    dataset = read(folder)
    found = [(photo.path.name, photo.label, photo.class_name) for photo in dataset.photos]
    assert found == [
        ("z.webp", 3, "crane"),
        ("a.png", 0, "cat"),
        ("b.jpg", 0, "cat"),
        ("a.PNG", 1, "dog"),
    ]
    assert [photo.sample for photo in dataset.photos] == [0, 1, 2, 3]
    assert dataset.labels() == [3, 0, 0, 1]
    assert int(dataset[1][0][0, 0, 0]) == 10


@pytest.mark.parametrize(
    ("name", "count"), [("bird", "no"), ("crane", "2"), ("4", "no"), ("-1", "no")]
)
def test_a_subfolder_that_is_not_one_class_is_named(folder, name, count):
    shutil.move(folder / "dog", folder / name)
    with pytest.raises(InputError, match=f"'{name}' is the name of {count} classes.* 0 to 3"):
        read(folder)


@pytest.mark.parametrize("name", ["own/nothing", "own/cat"])
def test_a_folder_without_subfolders_of_images_is_named(folder, name):
    with pytest.raises(InputError, match="no images; expected one subfolder per class"):
        read(folder.parent / name)


def test_the_fingerprint_of_a_folder_knows_labels_and_pixels(folder):
    before = read(folder).sha256()
    assert read(folder).sha256() == before
    assert read(folder, ["cat", "fox", "crane", "dog"]).sha256() != before
    Image.new("RGB", (20, 24), (99, 99, 99)).save(folder / "cat" / "a.png")
    changed = read(folder).sha256()
    assert changed != before
    shutil.move(folder / "cat" / "a.png", folder / "dog" / "a.png")
    assert read(folder).sha256() != changed


def test_the_fingerprint_of_a_network_knows_layers_and_weights():
    before = network_sha256(seeded_network())
    assert network_sha256(seeded_network()) == before
    assert network_sha256(seeded_network(seed=1)) != before
    other = seeded_network()
    other[1] = torch.nn.Tanh()
    assert network_sha256(other) != before


def test_a_study_of_one_s_own_computes_its_tables_once(folder, tmp_path):
    network = seeded_network(classes=4).train()
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    options = {"resize": 20, "crop": 16, "mean": mean, "std": std}

    def study(network):
        return own_study(network, folder, NAMES, tmp_path / "results", **options)

    first = study(network)
    image = torch.full((1, 3, 16, 16), 10 / 255)
    confidence = network.eval()((image - 0.5) / 0.25).softmax(1).max().item()
    row = first.table[(first.table["sample"] == 1) & (first.table["epsilon_255"] == 0)].iloc[0]
    assert row["confidence"] == pytest.approx(confidence, abs=1e-5)
    assert len(first.table) == 4 * len(first.profile.sweep_epsilon_255)
    written = (tmp_path / "results" / "sweep.parquet").stat().st_mtime_ns
    assert study(network).table.equals(first.table)
    assert (tmp_path / "results" / "sweep.parquet").stat().st_mtime_ns == written
    assert not study(seeded_network(seed=1, classes=4)).table.equals(first.table)

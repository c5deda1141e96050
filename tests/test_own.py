"""Any network and any folder: what is read from them, and what is refused."""

import shutil

import numpy as np
import pytest
import torch
from conftest import seeded_network
from PIL import Image

from fgsm_lib import display
from fgsm_lib.errors import InputError
from fgsm_lib.own import OwnImages, network_sha256, own_study, timm_preprocessing
from fgsm_lib.own_pages import show_case, show_hypothesis

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
    return OwnImages(folder, names, lambda image: torch.tensor(np.array(image)))


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


# --- images in a CSV file ----------------------------------------------------------------------


def write_table(folder, text: str):
    path = folder / "images.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_file_lists_paths_and_labels_in_its_own_order(folder):
    table = write_table(folder, "label,path,note\ndog,dog/a.PNG,x\n0,cat/a.png,\ncat,cat/b.jpg,\n")
    dataset = read(table)
    found = [(photo.path.name, photo.label, photo.class_name) for photo in dataset.photos]
    assert found == [("a.PNG", 1, "dog"), ("a.png", 0, "cat"), ("b.jpg", 0, "cat")]
    assert int(dataset[1][0][0, 0, 0]) == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'path'"),
        ("path,label\n", "no rows"),
        ("file,label\ncat/a.png,cat\n", "no column 'path'; found file, label"),
        ("path,label\ncat/a.png\n", "row 1 has not as many fields as the header, 2"),
        ("path,label\n,cat\n", "row 1: there is no image ''; expected a file"),
        ("path,label\ncat/../../a.png,cat\n", "row 1: the path is 'cat/../../a.png'; expected"),
        ("path,label\n/etc/hostname,cat\n", "row 1: the path is '/etc/hostname'; expected"),
        ("path,label\ncat/a.png,cat\ncat/none.png,cat\n", r"row 2: there is no image .*none\.png"),
        ("path,label\ncat/a.png,cow\n", "row 1: 'cow' is the name of no classes"),
        ('path,label\n"cat/a.png,cat\n', "not a CSV file"),
    ],
)
def test_a_csv_file_that_is_not_as_expected_is_named(folder, text, said):
    with pytest.raises(InputError, match=rf"images\.csv.*{said}"):
        read(write_table(folder, text))


# --- timm --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_a_timm_network_s_preprocessing_is_timm_s(folder, tmp_path, name):
    """Against timm's own transform, which also normalizes; and its network against ours."""
    timm = pytest.importorskip("timm")
    network = timm.create_model(name, num_classes=4)
    study = own_study(network, folder, NAMES, tmp_path / "results")
    config = timm.data.resolve_model_data_config(network)
    theirs = timm.data.create_transform(**config, is_training=False)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8))
    classifier = study.classifier
    ours = (classifier.to_pixels(image) - classifier.mean[0]) / classifier.std[0]
    torch.testing.assert_close(ours, theirs(image), rtol=0, atol=1e-5)
    logits = network.eval()(theirs(image)[None])
    ours = classifier(classifier.to_pixels(image)[None])
    torch.testing.assert_close(ours, logits, rtol=1e-4, atol=1e-4)  # folded batch norms round


def test_a_timm_network_that_does_not_crop_the_center_is_refused():
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet18", num_classes=4)
    network.pretrained_cfg = {**network.pretrained_cfg, "crop_mode": "squash"}
    with pytest.raises(InputError, match=r"ResNet wants .* 'squash'; expected square"):
        timm_preprocessing(network)


# --- its pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("some_are_correct", [True, False])
def test_a_case_study_and_a_hypothesis_page_take_one_call_each(
    folder, tmp_path, monkeypatch, some_are_correct
):
    network = seeded_network(classes=4)
    options = {"resize": 20, "crop": 16, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    study = own_study(network, folder, NAMES, tmp_path / "results", **options)
    seen = study.table["predicted_class"]
    label = seen[0] if some_are_correct else next(iter({0, 1, 2, 3} - set(seen)))
    rows = "".join(f"{photo.path.relative_to(folder)},{label}\n" for photo in study.dataset.photos)
    table = write_table(folder, f"path,label\n{rows}")
    study = own_study(network, table, NAMES, tmp_path / "others", **options)
    assert study.table["correct"].any() == some_are_correct

    shown = []
    monkeypatch.setattr(display, "display", lambda output, **options: shown.append(output))
    show_case(study, 0)
    show_hypothesis(study)
    bundles = [output for output in shown if isinstance(output, dict)]
    names = [
        output[display.FIGURE_MIME]["name"] for output in bundles if display.FIGURE_MIME in output
    ]
    expected = ["fig-own-triple-0", "fig-own-curve-0", "fig-own-top5-0"]
    expected += ["fig-own-rates", "fig-own-survival"] if some_are_correct else []
    assert names == expected
    said = " ".join(output.data for output in shown if not isinstance(output, dict))
    assert "cannot be judged" in said

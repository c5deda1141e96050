"""The demo set on disk: the layout of the NIPS 2017 set, made once and mended when damaged."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.demo import dataset as demo
from fgsm_lib.demo.dataset import ensure_demo_set, image_id
from fgsm_lib.demo.images import CLASS_NAMES, label_of, picture
from fgsm_lib.demo.roles import read_roles, sample_order
from fgsm_lib.errors import InputError

COUNT = 12


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "set"
    return ensure_demo_set(folder, COUNT, progress=False, roles={2: 7}, processes=1)


@pytest.fixture
def folder(made_once, tmp_path) -> Path:
    """A copy of the set, with the same modification times."""
    return Path(shutil.copytree(made_once, tmp_path / "set"))


@pytest.fixture
def remake(folder, capsys, monkeypatch):
    """Call again on ``folder``; returns the indices that were rendered and what was printed."""

    def call(count: int = COUNT, **options) -> tuple[list[int], str]:
        rendered = []

        def spy(seed, index, **others):
            rendered.append(index)
            return picture(seed, index, **others)

        monkeypatch.setattr(demo, "picture", spy)
        ensure_demo_set(folder, count, progress=False, roles={2: 7}, processes=1, **options)
        return rendered, capsys.readouterr().out

    return call


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.name: path.read_bytes() for path in files if path.name != "manifest.json"}


def test_the_layout_is_that_of_the_nips_2017_set(made_once):
    dataset = PhotoDataset(made_once, to_pixels=np.asarray)
    assert len(dataset) == COUNT
    assert dataset.class_names == list(CLASS_NAMES)
    order = sample_order(COUNT, {2: 7})
    assert dataset.labels() == [label_of(demo.SEED, index) for index in order]
    image, label = dataset[2]
    generated = demo.demo_picture(7)
    np.testing.assert_array_equal(image, generated.pixels)
    assert label == generated.label

    rows = pd.read_csv(made_once / "dev_dataset.csv")
    assert rows["ImageId"].str.fullmatch("[0-9a-f]{16}").all()
    assert rows["ImageId"].is_unique
    assert rows["TargetClass"].between(1, 50).all()
    assert (rows["TargetClass"] != rows["TrueLabel"]).all()


def test_nothing_unfinished_is_left(made_once):
    assert len(list((made_once / "images").iterdir())) == COUNT
    assert not list(made_once.rglob(".*"))


def test_a_complete_set_is_not_touched(folder, remake):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert remake() == ([], "")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_missing_and_altered_images_are_made_again(folder, remake):
    before = _contents(folder)
    images = folder / "images"
    (images / f"{image_id(1)}.png").unlink()
    (images / f"{image_id(4)}.png").write_bytes(b"truncated")
    same_size = images / f"{image_id(9)}.png"
    content = bytearray(same_size.read_bytes())
    content[1000] ^= 1
    same_size.write_bytes(content)
    rendered, printed = remake()
    assert sorted(rendered) == [1, 4, 9]
    assert "3 of 12 demo images missing or altered" in printed
    assert str(folder) in printed
    assert _contents(folder) == before
    assert remake() == ([], "")


def test_a_copied_set_is_recognized_by_its_hashes(folder, remake):
    for path in (folder / "images").iterdir():
        path.touch()
    assert remake() == ([], "")


def test_another_generator_makes_everything_again(folder, remake, monkeypatch):
    monkeypatch.setattr(demo, "generator_version", lambda: "another")
    rendered, printed = remake()
    assert sorted(rendered) == list(range(COUNT))
    assert "another version of the generator" in printed


@pytest.mark.parametrize("damaged", ["", "{}", "[1]", '{"generator": 1, "images": 2}'])
def test_a_damaged_manifest_counts_as_none(folder, remake, damaged):
    (folder / "manifest.json").write_text(damaged)
    rendered, _ = remake()
    assert sorted(rendered) == list(range(COUNT))
    assert len(json.loads((folder / "manifest.json").read_text())["images"]) == COUNT


def test_altered_tables_are_written_again(folder, remake):
    before = _contents(folder)
    (folder / "dev_dataset.csv").write_text("ImageId,TrueLabel\n")
    (folder / "categories.csv").unlink()
    assert remake() == ([], "")
    assert _contents(folder) == before


def test_a_full_disk_is_reported_and_the_next_run_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / "set"
    write_bytes = Path.write_bytes

    def full_after_four(path: Path, content: bytes) -> int:
        if len(list(tmp_path.rglob("*.png"))) >= 4:
            write_bytes(path, content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_after_four)
    with pytest.raises(InputError, match="No space left on device") as error:
        ensure_demo_set(folder, 6, progress=False, roles={}, processes=1)
    assert str(folder) in str(error.value)
    assert "MB of free space" in str(error.value)
    assert not list(folder.rglob(".*")), "the unfinished file would keep the disk full"

    monkeypatch.undo()
    ensure_demo_set(folder, 6, progress=False, roles={}, processes=1)
    for path in (folder / "images").iterdir():
        assert Image.open(path).size == (299, 299)


def test_a_file_in_place_of_the_folder_is_reported(tmp_path):
    (tmp_path / "set").write_text("")
    with pytest.raises(InputError, match="cannot store the demo images"):
        ensure_demo_set(tmp_path / "set", 1, progress=False, roles={})


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_make_the_same_files(made_once, tmp_path, method):
    if method == "fork" and sys.platform == "win32":
        pytest.skip("Windows cannot fork")
    program = (
        "import multiprocessing, sys\n"
        f"multiprocessing.set_start_method({method!r})\n"
        "from pathlib import Path\n"
        "from fgsm_lib.demo.dataset import ensure_demo_set\n"
        f"ensure_demo_set(Path(sys.argv[1]), {COUNT}, roles={{2: 7}}, processes=2)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "set"], check=True)
    assert _contents(tmp_path / "set") == _contents(made_once)


def test_worker_processes_do_not_load_torch():
    """Each would take seconds and hundreds of megabytes to import it."""
    program = (
        "import sys, fgsm_lib.demo.dataset\n"
        "print(sorted({'torch', 'pandas', 'matplotlib'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr


def test_roles_exchange_pictures():
    assert sample_order(6, {}) == [0, 1, 2, 3, 4, 5]
    assert sample_order(6, {1: 4}) == [0, 4, 2, 3, 1, 5]
    # A picture in one role that stands at the position of another.
    assert sample_order(6, {1: 4, 4: 2}) == [0, 4, 1, 3, 2, 5]
    assert sample_order(6, {1: 400, 500: 2}) == [0, 1, 2, 3, 4, 5]


def test_shipped_roles_stand_at_their_positions():
    order = sample_order(1000, read_roles())
    assert sorted(order) == list(range(1000))
    assert {position: order[position] for position in (766, 132, 528)} == read_roles()

"""A sweep on its way into a file: interrupted, damaged, resumed, extended by more epsilons."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from test_sweep import GRID, assert_same_numbers, frame

from fgsm_lib import shards, sweep
from fgsm_lib.calibrate import Setting, calibrate, calibrated
from fgsm_lib.errors import InputError
from fgsm_lib.shards import read_fingerprint, write_sweep
from fgsm_lib.sweep import SweepSettings, provenance, sweep_samples


@pytest.fixture(autouse=True)
def _small_shards_and_a_fixed_setting(monkeypatch):
    """Three shards of four images, in batches of two, wherever the tests run."""
    monkeypatch.setattr(shards, "SHARD_IMAGES", 4)
    monkeypatch.setattr(shards, "calibrated", lambda classifier, path: Setting(1, 2, 0.0))


# --- interruptions -----------------------------------------------------------------------------


class CountedCalls:
    """Counts a classifier's forward passes, and interrupts it at one of them."""

    def __init__(self, classifier, interrupt_at=None):
        self.count, self.interrupt_at = 0, interrupt_at
        classifier.register_forward_pre_hook(self)

    def __call__(self, *args):
        self.count += 1
        if self.count == self.interrupt_at:
            raise KeyboardInterrupt


# A batch costs one pass with a gradient and one for each epsilon above zero; a shard, two batches.
SHARD_CALLS = 2 * len(GRID)


def interrupted(tiny_set, tiny, settings, path):
    """Press Ctrl-C in the second of three shards."""
    classifier = tiny()
    CountedCalls(classifier, interrupt_at=SHARD_CALLS + 3)
    with pytest.raises(KeyboardInterrupt):
        write_sweep(tiny_set, classifier, settings, path)


def test_an_interrupted_sweep_goes_on_and_ends_with_the_same_file(tiny_set, tiny, tmp_path):
    settings = SweepSettings(GRID)
    whole, parts = tmp_path / "whole" / "sweep.parquet", tmp_path / "parts" / "sweep.parquet"
    for path in (whole, parts):
        path.parent.mkdir()
    write_sweep(tiny_set, tiny(), settings, whole)
    interrupted(tiny_set, tiny, settings, parts)
    classifier = tiny()
    calls = CountedCalls(classifier)
    write_sweep(tiny_set, classifier, settings, parts)
    assert calls.count == 2 * SHARD_CALLS  # the first shard was finished, the second was not
    assert parts.read_bytes() == whole.read_bytes()


def test_an_interrupted_sweep_shows_no_table(tiny_set, tiny, tmp_path):
    path = tmp_path / "sweep.parquet"
    interrupted(tiny_set, tiny, SweepSettings(GRID), path)
    assert not path.exists()
    assert not path.with_suffix(".json").exists()
    assert read_fingerprint(path) is None


def test_an_interrupted_sweep_leaves_an_earlier_table_alone(tiny_set, tiny, tmp_path):
    path = tmp_path / "sweep.parquet"
    write_sweep(tiny_set, tiny(), SweepSettings((0.0, 1.0)), path)
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    interrupted(tiny_set, tiny, SweepSettings(GRID), path)
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before


def test_what_a_killed_process_was_writing_does_not_matter(tiny_set, tiny, tmp_path):
    path = tmp_path / "sweep.parquet"
    interrupted(tiny_set, tiny, SweepSettings(GRID), path)
    (finished_shard,) = tmp_path.rglob("*.parquet")
    finished_shard.with_name(".0000004.parquet.12345").write_bytes(b"PAR1 half")
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)
    assert len(pd.read_parquet(path)) == 12 * len(GRID)


def test_shards_of_other_settings_are_not_taken_over(tiny_set, tiny, tmp_path):
    path, other = tmp_path / "sweep.parquet", SweepSettings(GRID, "true_logit")
    interrupted(tiny_set, tiny, SweepSettings(GRID), path)
    write_sweep(tiny_set, tiny(), other, path)
    assert_same_numbers(pd.read_parquet(path), frame(tiny_set, tiny(), other))


def test_a_full_disk_leaves_no_half_table_and_loses_no_work(tiny_set, tiny, tmp_path, monkeypatch):
    class FullDisk(pq.ParquetWriter):
        def write_table(self, *args, **kwargs):
            super().write_table(*args, **kwargs)
            raise OSError("no space left on device")

    path, classifier = tmp_path / "sweep.parquet", tiny()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(pq, "ParquetWriter", FullDisk)
        write_sweep(tiny_set, classifier, SweepSettings(GRID), path)
    assert not path.exists()
    calls = CountedCalls(classifier)
    write_sweep(tiny_set, classifier, SweepSettings(GRID), path)
    assert calls.count == 0
    assert len(pd.read_parquet(path)) == 12 * len(GRID)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_shard_is_computed_again(tiny_set, tiny, tmp_path, damage):
    settings = SweepSettings(GRID)
    whole, path = tmp_path / "whole" / "sweep.parquet", tmp_path / "parts" / "sweep.parquet"
    for folder in (whole.parent, path.parent):
        folder.mkdir()
    write_sweep(tiny_set, tiny(), settings, whole)
    interrupted(tiny_set, tiny, settings, path)
    (shard,) = path.parent.rglob("0000000.parquet")
    good = shard.read_bytes()
    middle = good.index(b"PAR1") + 60  # in the data of the first column
    flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
    shard.write_bytes({"cut": good[:-9], "flip": flipped, "empty": b"", "other": b""}[damage])
    if damage == "other":  # a sound table, but of other samples
        pq.write_table(sweep_samples(tiny_set, tiny(), settings, range(4, 8)), shard)
    calls = CountedCalls(classifier := tiny())
    write_sweep(tiny_set, classifier, settings, path)
    assert calls.count == 3 * SHARD_CALLS
    assert path.read_bytes() == whole.read_bytes()


def test_shards_of_another_batch_size_are_not_mixed_in(tiny_set, tiny, tmp_path, monkeypatch):
    path = tmp_path / "sweep.parquet"
    interrupted(tiny_set, tiny, SweepSettings(GRID), path)
    monkeypatch.setattr(shards, "calibrated", lambda classifier, path: Setting(1, 4, 0.0))
    calls = CountedCalls(classifier := tiny())
    write_sweep(tiny_set, classifier, SweepSettings(GRID), path)
    assert calls.count == 3 * len(GRID)  # a batch of four is a whole shard


KILLED = """
import sys
from pathlib import Path
from conftest import Classifier, PhotoDataset, seeded_network
from fgsm_lib import shards
from fgsm_lib.calibrate import Setting
from fgsm_lib.shards import write_sweep
from fgsm_lib.sweep import SweepSettings

data, path, slow = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
shards.SHARD_IMAGES = 4
shards.calibrated = lambda classifier, path: Setting(1, 2, 0.0)
names = [f"class {i}" for i in range(10)]
tiny = Classifier(seeded_network(), names, name="tiny", sha256="seed 0", resize=16, crop=16)
import time
tiny.register_forward_pre_hook(lambda *args: time.sleep(slow))
print("ready", flush=True)
write_sweep(PhotoDataset(data, tiny.to_pixels), tiny, SweepSettings(%r), path)
"""


def start_sweep(tiny_set, path: Path, slow: float) -> subprocess.Popen:
    """A sweep in a process of its own that sleeps before each forward pass."""
    arguments = [str(tiny_set.folder), str(path), str(slow)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED % (GRID,), *arguments],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def wait_until(happened) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ends_with_the_same_file(tiny_set, tiny, tmp_path):
    """kill -9 before the first shard is there, after it, and after the second; then to the end."""
    whole, path = tmp_path / "whole" / "sweep.parquet", tmp_path / "parts" / "sweep.parquet"
    for folder in (whole.parent, path.parent):
        folder.mkdir()
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), whole)
    for done in range(3):
        process = start_sweep(tiny_set, path, slow=0.05)  # half a second for a shard
        wait_until(lambda done=done: len(list(path.parent.rglob("0*.parquet"))) == done)
        time.sleep(0.1)
        process.kill()
        process.wait()
        assert not path.exists()
    calls = CountedCalls(classifier := tiny())
    write_sweep(tiny_set, classifier, SweepSettings(GRID), path)
    assert calls.count == SHARD_CALLS
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_a_second_sweep_says_that_the_first_is_running(tiny_set, tiny, tmp_path):
    path = tmp_path / "sweep.parquet"
    process = start_sweep(tiny_set, path, slow=0.5)
    try:
        wait_until(lambda: list(tmp_path.glob("shards/*/*")))
        with pytest.raises(InputError, match=r"sweep\.parquet: another sweep is running"):
            write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)
    finally:
        process.kill()
        process.wait()
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)  # the dead hold no lock
    assert len(pd.read_parquet(path)) == 12 * len(GRID)


# --- more epsilons -----------------------------------------------------------------------------

WIDER = (0.0, 0.3, 0.5, 1.0, 4.0, 20.0, 60.0)


@pytest.mark.parametrize(
    ("grid", "passes"),
    [
        (WIDER, 3),  # a pass for the gradient, and one for each of the two new
        (GRID[1:3], 0),
        (GRID[::-1], 0),
        ((0.0, 2.0), 2),
        ((3.0,), 2),
    ],
)
@pytest.mark.parametrize("change", [{}, {"eight_bit": True, "clip": "image"}])
def test_only_new_epsilons_are_computed(tiny_set, tiny, tmp_path, grid, passes, change):
    """Batches of two in three shards of four, and byte for byte the table from scratch."""
    path, scratch = tmp_path / "sweep.parquet", tmp_path / "scratch" / "sweep.parquet"
    scratch.parent.mkdir()
    write_sweep(tiny_set, tiny(), SweepSettings(GRID, **change), path)
    calls = CountedCalls(classifier := tiny())
    write_sweep(tiny_set, classifier, SweepSettings(grid, **change), path)
    assert calls.count == 6 * passes
    write_sweep(tiny_set, tiny(), SweepSettings(grid, **change), scratch)
    assert path.read_bytes() == scratch.read_bytes()


def test_new_random_signs_need_no_gradient(tiny_set, tiny, tmp_path):
    path = tmp_path / "control.parquet"
    write_sweep(tiny_set, tiny(), SweepSettings((1.0, 4.0), direction="random"), path)
    calls = CountedCalls(classifier := tiny())
    write_sweep(tiny_set, classifier, SweepSettings((1.0, 2.0, 4.0), direction="random"), path)
    assert calls.count == 6


def test_an_interrupted_extension_goes_on(tiny_set, tiny, tmp_path):
    path, scratch = tmp_path / "sweep.parquet", tmp_path / "scratch" / "sweep.parquet"
    scratch.parent.mkdir()
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)
    CountedCalls(classifier := tiny(), interrupt_at=9)  # a shard takes six
    with pytest.raises(KeyboardInterrupt):
        write_sweep(tiny_set, classifier, SweepSettings(WIDER), path)
    calls = CountedCalls(classifier := tiny())
    write_sweep(tiny_set, classifier, SweepSettings(WIDER), path)
    assert calls.count == 12
    write_sweep(tiny_set, tiny(), SweepSettings(WIDER), scratch)
    assert path.read_bytes() == scratch.read_bytes()


@pytest.mark.parametrize("change", ["weights", "objective", "data", "batch", "code"])
def test_rows_of_anything_else_are_not_taken_over(tiny_set, tiny, tmp_path, monkeypatch, change):
    path, settings, dataset = tmp_path / "sweep.parquet", SweepSettings(WIDER), tiny_set
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)
    classifier = tiny(seed=1) if change == "weights" else tiny()
    if change == "objective":
        settings = SweepSettings(WIDER, "true_logit")
    if change == "data":
        dataset = tiny_set.every(1)
        dataset.photos = dataset.photos[::-1]
    if change == "batch":
        monkeypatch.setattr(shards, "calibrated", lambda classifier, path: Setting(1, 4, 0.0))
    if change == "code":
        monkeypatch.setattr(sweep, "code_sha256", lambda: "other")
    calls = CountedCalls(classifier)
    write_sweep(dataset, classifier, settings, path)
    batches = 3 if change == "batch" else 6
    assert calls.count == batches * len(WIDER)


def test_a_damaged_table_gives_only_the_rows_that_are_whole(tiny_set, tiny, tmp_path):
    path, scratch = tmp_path / "sweep.parquet", tmp_path / "scratch" / "sweep.parquet"
    scratch.parent.mkdir()
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)
    column = pq.ParquetFile(path).metadata.row_group(1).column(4)
    damaged = bytearray(path.read_bytes())
    damaged[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(bytes(damaged))
    calls = CountedCalls(classifier := tiny())
    write_sweep(tiny_set, classifier, SweepSettings(WIDER), path)
    assert calls.count == 2 * (3 + len(WIDER) + 3)
    write_sweep(tiny_set, tiny(), SweepSettings(WIDER), scratch)
    assert path.read_bytes() == scratch.read_bytes()


def test_what_other_settings_left_behind_is_removed_in_the_end(tiny_set, tiny, tmp_path):
    sweep_path, control_path = tmp_path / "sweep.parquet", tmp_path / "control.parquet"
    interrupted(tiny_set, tiny, SweepSettings(GRID), sweep_path)
    interrupted(tiny_set, tiny, SweepSettings(GRID), control_path)
    write_sweep(tiny_set, tiny(), SweepSettings(GRID, "true_logit"), sweep_path)
    # The other table is still on its way, and keeps what it has.
    assert [folder.name for folder in tmp_path.glob("shards/*")] == ["control"]
    assert len(list(tmp_path.rglob("0000000.parquet"))) == 1


# --- memory ------------------------------------------------------------------------------------


GPU_ERROR = torch.OutOfMemoryError("CUDA out of memory")
CPU_ERROR = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")


def small_memory(tiny, largest: int, error=GPU_ERROR):
    """A classifier on a machine that has no room for more than so many images."""
    classifier = tiny()

    def refuse(module, inputs):
        if len(inputs[0]) > largest:
            raise error

    classifier.register_forward_pre_hook(refuse)
    return classifier


@pytest.mark.parametrize("error", [GPU_ERROR, CPU_ERROR])
def test_a_batch_that_does_not_fit_is_halved(tiny_set, tiny, tmp_path, monkeypatch, capsys, error):
    """... as often as needed, and the next sweep starts with what fitted."""
    path, whole = tmp_path / "sweep.parquet", tmp_path / "whole" / "sweep.parquet"
    whole.parent.mkdir()
    monkeypatch.setattr(shards, "calibrated", lambda classifier, path: Setting(1, 4, 0.0))
    write_sweep(tiny_set, small_memory(tiny, 1, error), SweepSettings(GRID), path)
    said = capsys.readouterr().out
    assert "batches of 4 do not fit into memory: going on with 2" in said
    assert "batches of 2 do not fit into memory: going on with 1" in said
    monkeypatch.setattr(shards, "calibrated", lambda classifier, path: Setting(1, 1, 0.0))
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), whole)
    assert path.read_bytes() == whole.read_bytes()
    assert calibrated(tiny(), path.with_name("calibration.json")).batch == 1


def test_not_even_one_image_fits(tiny_set, tiny, tmp_path):
    with pytest.raises(InputError, match=r"not even one image at a time fits .* tiny"):
        write_sweep(tiny_set, small_memory(tiny, 0), SweepSettings(GRID), tmp_path / "s.parquet")
    assert not (tmp_path / "s.parquet").exists()


def test_the_calibration_tries_what_fits(tiny):
    assert calibrate(small_memory(tiny, 2)).batch == 2
    assert calibrate(small_memory(tiny, 0)).batch == 1
    with pytest.raises(RuntimeError, match="another"):
        calibrate(small_memory(tiny, 2, RuntimeError("another error")))


# --- the finished table ------------------------------------------------------------------------


@pytest.fixture
def finished(tiny_set, tiny, tmp_path):
    path = tmp_path / "sweep.parquet"
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)
    return path


def test_the_file_holds_the_table_and_nothing_else_remains(finished, tiny_set, tiny):
    table = pd.read_parquet(finished)
    assert_same_numbers(table, frame(tiny_set, tiny(), SweepSettings(GRID), batch=2))
    assert not list(finished.parent.glob("shards/*"))
    assert not list(finished.parent.glob(".*"))


def test_the_file_keeps_the_schema_with_its_explanations(finished):
    schema = pq.read_schema(finished)
    assert schema.equals(sweep.SCHEMA)
    assert schema.field("epsilon_255").metadata[b"is"] == b"epsilon in units of 1/255"


def test_the_provenance_says_where_the_numbers_come_from(finished, tiny_set, tiny):
    found = json.loads(finished.with_suffix(".json").read_text())
    expected = provenance(tiny_set, tiny(), SweepSettings(GRID))
    assert read_fingerprint(finished) == found["fingerprint"] == expected["fingerprint"]
    assert found["settings"]["epsilon_255"] == list(GRID)
    assert found["data_sha256"] == tiny_set.sha256()
    # A wheel's name may leave out the part after the plus, which says for what it was built.
    assert found["versions"]["torch"] in (torch.__version__, torch.__version__.partition("+")[0])


def test_a_file_that_is_no_table_has_no_fingerprint(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but then nothing")
    assert read_fingerprint(tmp_path / "bad.parquet") is None
    assert read_fingerprint(tmp_path / "none.parquet") is None

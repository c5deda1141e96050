"""The sweep against a naive loop, and what becomes of it when something goes wrong."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from fgsm_lib import attacks, sweep
from fgsm_lib.calibrate import Setting
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.errors import InputError
from fgsm_lib.sweep import SweepSettings, provenance, read_fingerprint, sweep_samples, write_sweep

GRID = (0.0, 0.5, 1.0, 4.0, 20.0)
ALL = range(12)


@pytest.fixture(autouse=True)
def _small_shards_and_a_fixed_setting(monkeypatch):
    """Three shards of four images, in batches of two, wherever the tests run."""
    monkeypatch.setattr(sweep, "SHARD_IMAGES", 4)
    monkeypatch.setattr(sweep, "calibrated", lambda classifier, path: Setting(1, 2, 0.0))


@pytest.fixture
def classifier(tiny):
    return tiny()


def frame(dataset, classifier, settings, samples=ALL, batch=4) -> pd.DataFrame:
    return sweep_samples(dataset, classifier, settings, samples, batch).to_pandas()


def naive(dataset, classifier, epsilons, objective):
    """The same table the slow way: image by image, with a new gradient at every epsilon."""
    rows = []
    for sample in range(len(dataset)):
        image, label = dataset[sample]
        for epsilon in epsilons:
            x = image[None].clone().requires_grad_(True)
            objective(classifier(x), torch.tensor([label])).backward()
            changed = (x + epsilon / 255 * x.grad.sign()).clamp(0, 1).detach()
            p = classifier(changed).softmax(1)[0]
            order = p.argsort(descending=True)[:5].tolist()
            zeros = int((x.grad == 0).sum())
            rows.append([sample, label, epsilon, order[0], p.max().item(), p[label].item()])
            rows[-1] += [order[0] == label, label in order, order, p[order].tolist(), zeros]
    return pd.DataFrame(rows, columns=sweep.SCHEMA.names)


def assert_same_numbers(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Equal classes, and probabilities up to the float32 noise of other batch sizes."""
    exact = ["sample", "label", "epsilon_255", "predicted_class", "correct", "correct_top5"]
    for column in [*exact, "zero_gradients"]:
        assert ours[column].tolist() == theirs[column].tolist()
    assert [list(row) for row in ours["top5_classes"]] == [
        list(row) for row in theirs["top5_classes"]
    ]
    for column in ("confidence", "confidence_true"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=0, atol=1e-6)
    top5 = [np.stack(table["top5_confidences"]) for table in (ours, theirs)]
    np.testing.assert_allclose(*top5, rtol=0, atol=1e-6)


# --- the numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "loss"),
    [("cross_entropy", F.cross_entropy), ("true_logit", lambda z, y: -z[0, y].sum())],
)
def test_the_table_equals_a_naive_loop(tiny_set, classifier, objective, loss):
    ours = frame(tiny_set, classifier, SweepSettings(GRID, objective))
    assert_same_numbers(ours, naive(tiny_set, classifier, GRID, loss))
    assert ours["predicted_class"].nunique() > 1  # else the comparison says little
    assert 0 < ours["correct_top5"].mean() < 1


@pytest.mark.parametrize("batch", [1, 5, 12])
def test_the_batch_size_does_not_change_the_numbers(tiny_set, classifier, batch):
    settings = SweepSettings(GRID)
    expected = frame(tiny_set, classifier, settings, batch=4)
    assert_same_numbers(frame(tiny_set, classifier, settings, batch=batch), expected)


def test_some_samples_alone_give_their_rows_of_the_whole(tiny_set, classifier):
    settings = SweepSettings(GRID)
    whole = frame(tiny_set, classifier, settings)
    some = frame(tiny_set, classifier, settings, samples=[3, 7])
    assert_same_numbers(some, whole[whole["sample"].isin([3, 7])])


def test_columns_and_types_are_those_of_the_schema(tiny_set, classifier):
    table = sweep_samples(tiny_set, classifier, SweepSettings(GRID), ALL)
    assert table.schema.equals(sweep.SCHEMA, check_metadata=True)
    assert table.num_rows == 12 * len(GRID)
    assert all(column.null_count == 0 for column in table.columns)


def test_rows_are_ordered_by_sample_then_as_the_grid(tiny_set, classifier):
    table = frame(tiny_set, classifier, SweepSettings(GRID), batch=5)
    assert table["sample"].tolist() == [sample for sample in ALL for _ in GRID]
    assert table["epsilon_255"].tolist() == list(GRID) * 12


def test_epsilon_zero_is_the_clean_image(tiny_set, classifier):
    table = frame(tiny_set, classifier, SweepSettings((0.0,)))
    images = torch.stack([tiny_set[sample][0] for sample in ALL])
    confidence, predicted = classifier(images).softmax(1).max(1)
    assert table["predicted_class"].tolist() == predicted.tolist()
    np.testing.assert_allclose(table["confidence"], confidence, rtol=0, atol=1e-6)  # float noise


def test_the_grid_need_not_hold_zero(tiny_set, classifier):
    with_zero = frame(tiny_set, classifier, SweepSettings((0.0, 4.0)))
    without = frame(tiny_set, classifier, SweepSettings((4.0,)))
    assert_same_numbers(without, with_zero[with_zero["epsilon_255"] == 4])


def test_fewer_than_five_classes_have_a_shorter_top_five(photos, tiny):
    classifier = tiny(classes=3)
    dataset = PhotoDataset(photos(4, classes=3), classifier.to_pixels)
    table = frame(dataset, classifier, SweepSettings((0.0, 1.0)), samples=range(4))
    assert {len(classes) for classes in table["top5_classes"]} == {3}
    assert table["correct_top5"].all()


def test_zero_gradients_are_counted_per_image(tiny_set, tiny):
    """A classifier that never looks at blue leaves 16 · 16 values of every image without a sign."""
    layer = torch.nn.Linear(768, 10)
    layer.weight.data = torch.linspace(-0.1, 0.1, 7680).view(10, 768)
    layer.weight.data[:, 512:] = 0
    linear = tiny(network=torch.nn.Sequential(torch.nn.Flatten(), layer))
    table = frame(tiny_set, linear, SweepSettings((0.0, 4.0)))
    assert set(table["zero_gradients"]) == {256}


def test_the_clip_to_the_image_s_range_reaches_the_sweep(tiny_set, classifier):
    settings = SweepSettings((60.0,), clip="image")
    table = frame(tiny_set, classifier, settings)
    images, labels = zip(*(tiny_set[sample] for sample in ALL), strict=True)
    images, labels = torch.stack(images), torch.tensor(labels)
    changed = attacks.fgsm(classifier, images, labels, 60 / 255, clip="image")
    confidence = classifier(changed).softmax(1).amax(1)
    np.testing.assert_allclose(table["confidence"], confidence, rtol=0, atol=1e-5)  # float noise


def test_random_signs_are_those_of_the_sample(tiny_set, classifier):
    control = SweepSettings((0.0, 20.0), direction="random")
    table = frame(tiny_set, classifier, control)
    assert_same_numbers(table, frame(tiny_set, classifier, control, batch=1))
    assert set(table["zero_gradients"]) == {0}
    image = tiny_set[9][0]
    changed = attacks.perturb(image, attacks.random_signs(image, seed=9), 20 / 255)
    confidence = classifier(changed[None]).softmax(1).max().item()
    ours = table[(table["sample"] == 9) & (table["epsilon_255"] == 20)]["confidence"].item()
    assert ours == pytest.approx(confidence, abs=1e-6)


def test_eight_bits_are_what_a_file_would_keep(tiny_set, classifier):
    grid = (0.0, 0.4, 0.6, 4.3)
    table = frame(tiny_set, classifier, SweepSettings(grid, eight_bit=True))
    exact = frame(tiny_set, classifier, SweepSettings((0.0, 1.0, 4.0)))
    # Nothing of 0.4/255 remains; 0.6/255 becomes 1/255 and 4.3/255 becomes 4/255.
    for kept, epsilon in [(0.0, 0.0), (0.0, 0.4), (1.0, 0.6), (4.0, 4.3)]:
        ours = table[table["epsilon_255"] == epsilon].assign(epsilon_255=kept)
        assert_same_numbers(ours, exact[exact["epsilon_255"] == kept])


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, "4", None, True])
def test_an_epsilon_that_is_no_size_is_an_input_error(wrong):
    with pytest.raises(InputError, match="epsilon_255 is"):
        SweepSettings((0.0, wrong))


@pytest.mark.parametrize(
    "wrong", [{"objective": "nll"}, {"clip": "both"}, {"direction": "up"}, {"eight_bit": "yes"}]
)
def test_an_unknown_choice_is_an_input_error(wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(InputError, match=f"{name} is '{value}'"):
        SweepSettings(GRID, **wrong)


def test_an_empty_grid_is_an_input_error(tiny_set, classifier):
    with pytest.raises(InputError, match="epsilon_255"):
        sweep_samples(tiny_set, classifier, SweepSettings(()), ALL)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_logits_that_are_no_numbers_name_the_samples(tiny_set, classifier, poison):
    calls = []

    def spoil(module, inputs, logits):
        calls.append(len(logits))
        # A batch of GRID takes five calls, so this is the second batch at its second epsilon.
        return logits + poison if len(calls) == len(GRID) + 2 else logits

    classifier.register_forward_hook(spoil)
    with pytest.raises(InputError, match=r"tiny .* samples \[4, 5, 6, 7\] at epsilon 0\.5/255"):
        sweep_samples(tiny_set, classifier, SweepSettings(GRID), ALL, batch=4)


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
    monkeypatch.setattr(sweep, "calibrated", lambda classifier, path: Setting(1, 4, 0.0))
    calls = CountedCalls(classifier := tiny())
    write_sweep(tiny_set, classifier, SweepSettings(GRID), path)
    assert calls.count == 3 * len(GRID)  # a batch of four is a whole shard


KILLED = """
import sys
from pathlib import Path
from conftest import Classifier, PhotoDataset, seeded_network
from fgsm_lib import sweep
from fgsm_lib.calibrate import Setting
from fgsm_lib.sweep import SweepSettings, write_sweep

data, path, slow = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
sweep.SHARD_IMAGES = 4
sweep.calibrated = lambda classifier, path: Setting(1, 2, 0.0)
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
        wait_until(lambda done=done: len(list(path.parent.glob("shards/*/0*.parquet"))) == done)
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
        wait_until(lambda: list(tmp_path.glob("shards/*")))
        with pytest.raises(InputError, match=r"sweep\.parquet: another sweep is running"):
            write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)
    finally:
        process.kill()
        process.wait()
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)  # the dead hold no lock
    assert len(pd.read_parquet(path)) == 12 * len(GRID)


# --- the finished table ------------------------------------------------------------------------


@pytest.fixture
def finished(tiny_set, tiny, tmp_path):
    path = tmp_path / "sweep.parquet"
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), path)
    return path


def test_the_file_holds_the_table_and_nothing_else_remains(finished, tiny_set, tiny):
    table = pd.read_parquet(finished)
    assert_same_numbers(table, frame(tiny_set, tiny(), SweepSettings(GRID), batch=2))
    assert not list(finished.parent.rglob("shards/*/*"))
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
    assert found["versions"]["torch"] == torch.__version__


def test_a_file_that_is_no_table_has_no_fingerprint(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but then nothing")
    assert read_fingerprint(tmp_path / "bad.parquet") is None
    assert read_fingerprint(tmp_path / "none.parquet") is None


# --- the fingerprint ---------------------------------------------------------------------------


def fingerprint(dataset, classifier, **settings) -> str:
    settings = {"epsilon_255": GRID} | settings
    return provenance(dataset, classifier, SweepSettings(**settings))["fingerprint"]


def test_the_fingerprint_is_the_same_for_the_same_things(tiny_set, tiny):
    assert fingerprint(tiny_set, tiny()) == fingerprint(tiny_set, tiny())


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon_255": (0.0, 0.5)},
        {"objective": "true_logit"},
        {"clip": "image"},
        {"direction": "random"},
        {"eight_bit": True},
    ],
)
def test_the_fingerprint_changes_with_the_settings(tiny_set, tiny, change):
    assert fingerprint(tiny_set, tiny(), **change) != fingerprint(tiny_set, tiny())


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "other weights"},
        {"name": "other"},
        {"resize": 20},
        {"crop": 15},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.5, 0.5, 0.5)},
    ],
)
def test_the_fingerprint_changes_with_the_classifier(tiny_set, tiny, change):
    assert fingerprint(tiny_set, tiny(**change)) != fingerprint(tiny_set, tiny())


def test_the_fingerprint_changes_with_the_data(photos, tiny):
    classifier = tiny()
    before = PhotoDataset(photos(3, name="a"), classifier.to_pixels)
    folder = photos(3, name="b")
    path = folder / "dev_dataset.csv"
    path.write_text(path.read_text().replace("photo0,1", "photo0,2"))
    after = PhotoDataset(folder, classifier.to_pixels)
    assert fingerprint(before, classifier) != fingerprint(after, classifier)


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("import torch\n", "import torch  # a comment\n\n\n", False),
        ('    """J of equation (1.2)', '    """Another docstring', False),
        ('"""The Fast Gradient Sign Method', '"""Another title', False),
        ("gradient.sign() if targeted", "gradient.cos() if targeted", True),
    ],
)
def test_code_counts_and_comments_do_not(tmp_path, monkeypatch, old, new, counts):
    before = sweep.code_sha256()
    source = Path(attacks.__file__).read_text(encoding="utf-8")
    assert old in source
    changed = tmp_path / "attacks.py"
    changed.write_text(source.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr(attacks, "__file__", str(changed))
    assert (sweep.code_sha256() != before) is counts

"""The rows of a sweep beside a naive loop, its engine, and the folder that keeps its parts."""

import logging
import pickle
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import networks
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from networks import COLORS, OPTIONS, Around

from fgsm_lib import InputError, attacks, store, sweep
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import class_folders
from fgsm_lib.store import Machine
from fgsm_lib.sweep import SCHEMA, SweepSettings, sweep_samples

GRID = SweepSettings((0, 0.5, 1, 4, 20))
TORCH = Machine(batch=4, engine="torch")


@pytest.fixture
def classifier(trained) -> Classifier:
    return Classifier(trained, COLORS, **OPTIONS)


def frame(pictures, classifier, settings=GRID, samples=None, **options) -> pd.DataFrame:
    samples = pictures.samples if samples is None else samples
    return sweep_samples(pictures, classifier, settings, samples, **options).to_pandas()


def assert_same(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Equal rows, numbers up to the float32 noise of other batch sizes."""
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, rtol=3e-5, atol=3e-6)


class Calls:
    """Counts a classifier's forward passes, and stops at one of them."""

    def __init__(self, classifier: Classifier, stop_at: int | None = None):
        self.count, self.stop_at = 0, stop_at
        classifier.register_forward_pre_hook(self)

    def __call__(self, *args) -> None:
        self.count += 1
        if self.count == self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture
def computed(monkeypatch) -> list:
    """Samples and epsilons of each batch that a sweep computes."""
    batches = []

    def noted(pictures, classifier, settings, samples, **options):
        batches.append((samples, settings.epsilon_255))
        return sweep_samples(pictures, classifier, settings, samples, **options)

    monkeypatch.setattr(store, "sweep_samples", noted)
    return batches


# --- the numbers ---------------------------------------------------------------------------------


def naive(pictures, classifier: Classifier, settings: SweepSettings, loss) -> pd.DataFrame:
    """The same table the slow way: picture by picture, with a new gradient at every epsilon."""
    rows = []
    for picture, epsilon in product(pictures, settings.epsilon_255):
        y = picture.label
        x = classifier.to_pixels(pictures.read(picture.sample))[None].requires_grad_(True)
        loss(classifier(x), torch.tensor([y])).backward()
        z = classifier((x + epsilon / 255 * x.grad.sign()).clamp(0, 1).detach())[0]
        p, order = z.softmax(0), z.argsort(descending=True)
        others, top = torch.cat([z[:y], z[y + 1 :]]), order[:5]
        row = [picture.sample, y, epsilon, int(order[0]), float(p.max()), float(p[y])]
        row += [int(order[0]) == y, None if len(z) <= 5 else y in top, top.numpy(), p[top].numpy()]
        row += [float(z[y] - others.max()), float(z[y] - others.logsumexp(0))]
        row += [float(x.grad.abs().sum()), int((x.grad == 0).sum()), bool(x.grad.any())]
        rows.append(row)
    return pd.DataFrame(rows, columns=SCHEMA.names)


@pytest.mark.parametrize(
    ("objective", "loss"),
    [("cross_entropy", F.cross_entropy), ("true_logit", lambda z, y: -z[0, y].sum())],
)
@pytest.mark.parametrize("classes", [5, 10])
def test_the_table_equals_a_naive_loop(noise, tiny, objective, loss, classes):
    """Of five classes there is no top-5: five of five always hold the label."""
    classifier, some = tiny(classes=classes, std=(0.01,) * 3), noise.every(3)
    ours = frame(some, classifier, replace(GRID, objective=objective))
    assert_same(ours, naive(some, classifier, GRID, loss))
    assert ours["predicted_class"].nunique() > 1  # else the comparison says little
    assert ours["correct_top5"].isna().all() == (classes == 5)
    assert sweep_samples(some, classifier, GRID, some.samples).schema.equals(SCHEMA)


def test_the_pass_at_zero_is_the_gradient_s_own(noise, classifier):
    calls = Calls(classifier)
    frame(noise, classifier, samples=range(4))
    assert calls.count == len(GRID.epsilon_255)
    frame(noise, classifier, replace(GRID, direction="random"), samples=range(4))
    assert calls.count == 2 * len(GRID.epsilon_255)


def test_other_attacks_are_what_they_say(noise, classifier):
    """The other clip, random signs by the sample's number, and what 8 bits keep of a step."""
    images = torch.stack([classifier.to_pixels(noise.read(sample)) for sample in (5, 20)])
    labels = [noise.picture(sample).label for sample in (5, 20)]
    one = {"samples": [5, 20]}
    clipped = attacks.fgsm(classifier, images, labels, 20 / 255, clip="image")
    signs = torch.stack([attacks.random_signs(x, s) for x, s in zip(images, (5, 20), strict=True)])
    for change, changed in [
        ({"clip": "image"}, clipped),
        ({"direction": "random"}, attacks.perturb(images, signs, 20 / 255)),
        ({"bits": 8}, attacks.fgsm(classifier, images, labels, 20 / 255)),
    ]:
        rows = frame(noise, classifier, replace(GRID, **change), **one).query("epsilon_255 == 20")
        expected = classifier(changed).softmax(1).amax(1)
        np.testing.assert_allclose(rows["confidence"], expected, rtol=0, atol=1e-5)
    random = frame(noise, classifier, replace(GRID, direction="random"), **one)
    assert random["gradient_l1"].isna().all()
    assert random["attacked"].all()
    saved = frame(noise, classifier, SweepSettings((0.4, 0.6, 4.3), bits=8), **one)
    exact = frame(noise, classifier, SweepSettings((0, 1, 4)), **one)
    np.testing.assert_allclose(saved["confidence"], exact["confidence"], rtol=0, atol=1e-5)


class Keeping(networks.Small):
    """It keeps its features for a moment, as for Grad-CAM."""

    def __init__(self, where: str):
        super().__init__()
        self.where, self.listed = where, []
        self.register_buffer("written", torch.zeros(48, 16, 8, 8))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        found, count = super().features(x), len(x)
        if self.where == "attribute":
            self.kept = found
        elif self.where == "list":
            self.listed[:] = [found]
        elif self.where == "buffer":
            self.written[:count] = found.detach()
        time.sleep(0.002)
        kept = {"attribute": lambda: self.kept, "list": lambda: self.listed[0]}
        kept["buffer"] = lambda: found * 0 + self.written[:count]
        return kept.get(self.where, lambda: found)()


@pytest.mark.parametrize("where", ["attribute", "list", "buffer", "hook"])
def test_a_network_that_keeps_what_it_sees_is_asked_by_one_thread_at_a_time(noise, tmp_path, where):
    network, kept = Keeping(where).eval(), {}
    network(torch.zeros(2, 3, 32, 32))

    def keep(module, args, out):
        kept["out"] = out
        time.sleep(0.002)
        return kept["out"] * 1.0

    if where == "hook":
        network.conv2.register_forward_hook(keep)
    keeps, some = Classifier(network, COLORS, **OPTIONS), range(12)
    machine = Machine(batch=3, workers=4, engine="torch")
    found = store.sweep(noise, keeps, GRID, tmp_path, some, machine)
    assert_same(found, frame(noise, keeps, samples=some))


def test_a_picture_that_cannot_be_differentiated_is_named(noise, trained):
    """The tip of a cone at one of the pictures: sign(NaN) is 0, so that it would seem to resist."""
    plain = Classifier(trained, COLORS, **OPTIONS)
    tip = (plain.to_pixels(noise.read(9)) - 0.5) / 0.25
    cone = Around(trained, lambda x: x + 1e-3 * (x - tip).square().sum((1, 2, 3), True).sqrt())
    with pytest.raises(
        InputError, match=r"gradient at sample 9 \(blue|sample 9 \(.*\.png\) is infinite"
    ):
        frame(noise, Classifier(cone, COLORS, **OPTIONS))
    nan = lambda z: torch.where(z.argmax(1, True) == 0, torch.nan, 0)  # noqa: E731
    poisoned = Around(trained, after=lambda z: z + nan(z))
    with pytest.raises(InputError, match="NaN or infinite"):
        frame(noise, Classifier(poisoned, COLORS, **OPTIONS), replace(GRID, direction="random"))


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        *((GRID, {"epsilon_255": wrong}, f"epsilon_255 is {wrong!r}; expected numbers from 0 to")
          for wrong in ((), (0, -1), (0, float("nan")), (256,), ("4",), (True,), 4, "124")),
        (GRID, {"objective": "nll"}, "objective is 'nll'; expected 'cross_entropy' or 'true"),
        (GRID, {"clip": "both"}, "clip is 'both'; expected"),
        (GRID, {"direction": "up"}, "direction is 'up'; expected"),
        (GRID, {"bits": 16}, "bits is 16; expected 8 or None"),
        (TORCH, {"batch": 0}, "batch is 0; expected"),
        (TORCH, {"workers": 1.5}, "workers is 1.5; expected"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(kind, change, said):
    assert said in networks.refused(replace, kind, **change)


# --- the engine ----------------------------------------------------------------------------------


def test_onnx_runtime_equals_torch_where_it_pays(noise, classifier, tmp_path, caplog):
    pytest.importorskip("onnxruntime")
    caplog.set_level(logging.INFO)
    settings = SweepSettings(tuple(range(10)))  # 42 pictures: 420 passes
    ours = store.sweep(noise, classifier, settings, tmp_path / "onnx")
    assert "by ONNX Runtime" in caplog.text
    theirs = store.sweep(noise, classifier, settings, tmp_path / "torch", machine=TORCH)
    np.testing.assert_allclose(ours["confidence"], theirs["confidence"], rtol=0, atol=1e-4)
    assert (ours["predicted_class"] == theirs["predicted_class"]).all()
    forward, engine = sweep.onnx_forward(classifier, noise, 100)
    assert (forward, engine) == (classifier, "torch, for so few passes")
    forward, _ = sweep.onnx_forward(classifier, noise, 400)
    there = pickle.loads(pickle.dumps(forward))  # on another machine
    images, _ = sweep.batch_of(noise, classifier, [0, 1])
    assert torch.equal(there(images), forward(images))


class Branching(networks.Small):
    """A trace would keep the branch that the probe takes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -super().forward(x) if x.mean() > 1e9 else super().forward(x)


def test_another_engine_s_doubt_is_torch_s_job(noise, classifier, monkeypatch, capfd):
    def engine(classifier=None) -> str:
        classifier = classifier or Classifier(networks.seeded(), COLORS, **OPTIONS)
        forward, name = sweep.onnx_forward(classifier, noise, 1000)
        assert forward is classifier
        return name

    assert "a branch hangs on the pixels" in engine(Classifier(Branching(), COLORS, **OPTIONS))
    fancy = Around(networks.Small(), before=lambda x: torch.special.i0e(x) * 0 + x)
    assert "failed" in engine(Classifier(fancy, COLORS, **OPTIONS))
    assert "float16" in engine(Classifier(networks.Small().half(), COLORS, **OPTIONS))
    wrong = lambda model: lambda images: classifier(images) + torch.tensor([0, 0.01, 0])  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "OnnxForward", wrong)
        assert "other answers" in engine()
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "OnnxForward", lambda model: lambda images: images.sum() * torch.nan)
        assert "torch" in engine()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "failed (ModuleNotFoundError" in engine()
    assert "graph" not in capfd.readouterr().out


# --- the folder ----------------------------------------------------------------------------------


def parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def test_only_what_is_missing_is_computed(noise, classifier, tmp_path, computed):
    """A thinned table, single samples and more ε share parts; batches of four."""
    grid, four, expected = GRID.epsilon_255, [0, 4, 8, 12], frame(noise, classifier)

    def swept(samples=None, settings=GRID) -> pd.DataFrame:
        computed.clear()
        return store.sweep(noise, classifier, settings, tmp_path, samples, TORCH)

    assert swept(four)["sample"].unique().tolist() == four
    assert computed == [(four, grid)]
    swept([8, 9, 9])
    assert computed == [([9], grid)]
    assert len(swept(four, replace(GRID, epsilon_255=(0, 0.5, 2, 4)))) == 16
    assert computed == [(four, (2,))]
    assert len(swept(four, replace(GRID, bits=8))) == 20  # of another kind
    assert computed == [(four, grid)]
    assert_same(swept(), expected)
    assert [len(samples) for samples, _ in computed] == [4] * 9 + [1]  # 37 pictures
    assert len(swept([])) == 0
    assert computed == []
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other columns"])
def test_a_damaged_part_is_computed_again(noise, classifier, tmp_path, caplog, damage, computed):
    store.sweep(noise, classifier, GRID, tmp_path, noise.samples[:20], TORCH)
    (whole,) = parts(tmp_path)
    computed.clear()
    expected = store.sweep(noise, classifier, GRID, tmp_path, machine=TORCH)
    (part,) = set(parts(tmp_path)) - {whole}
    good, done = part.read_bytes(), sorted(computed)
    column = pq.ParquetFile(part).metadata.row_group(0).column(5)
    offset = column.data_page_offset + column.total_compressed_size // 2
    flipped = good[:offset] + bytes([good[offset] ^ 1]) + good[offset + 1 :]
    part.write_bytes({"cut": good[:-9], "flipped": flipped}.get(damage, b""))
    if damage == "other columns":
        pd.DataFrame({"sample": [1]}).to_parquet(part)
    computed.clear()
    again = store.sweep(noise, classifier, GRID, tmp_path, machine=TORCH)
    pd.testing.assert_frame_equal(again, expected)
    assert sorted(computed) == done
    (line,) = (record.getMessage() for record in caplog.records)
    assert str(part) in line
    assert "damaged" in line
    assert part.read_bytes() == good


@pytest.mark.parametrize("where", ["a file", "the lock", "a part"])
def test_a_folder_that_cannot_be_written_is_named(noise, classifier, tmp_path, monkeypatch, where):
    folder = tmp_path / "results"
    if where == "a file":
        folder.touch()
    if where == "the lock":
        (store.Parts(folder, noise, classifier).folder / ".lock").mkdir(parents=True)
    if where == "a part":

        def full(rows, path, **options):
            path.write_bytes(b"PAR1 half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(InputError, match=f"^{folder}.*: cannot keep the table there .*to write to"):
        store.sweep(noise, classifier, GRID, folder, [0, 1], TORCH)
    assert not list(folder.rglob("*.parquet")) + list(folder.rglob("*.unfinished"))


def test_a_whole_table_needs_no_folder_to_write_to(noise, classifier, tmp_path, monkeypatch):
    expected = store.sweep(noise, classifier, GRID, tmp_path, [0, 1], TORCH)
    monkeypatch.setattr(store.Parts, "locked", None)
    again = store.sweep(noise, classifier, GRID, tmp_path, [0, 1], TORCH)
    pd.testing.assert_frame_equal(again, expected)


def test_ctrl_c_stops_soon_and_keeps_whole_parts(noise, classifier, tmp_path, caplog, computed):
    Calls(classifier, stop_at=1 + 4 * 5 + 3)  # the key's, then in the fifth part of eleven
    with pytest.raises(KeyboardInterrupt):
        store.sweep(noise, classifier, GRID, tmp_path, machine=replace(TORCH, workers=1))
    assert "the next run goes on" in caplog.text
    for thread in threading.enumerate():
        if "ThreadPool" in thread.name:
            thread.join(timeout=5)
            assert not thread.is_alive()
    assert len(parts(tmp_path)) == 4
    computed.clear()
    other = Classifier(networks.copy_of(classifier.network), COLORS, **OPTIONS)
    assert_same(store.sweep(noise, other, GRID, tmp_path, machine=TORCH), frame(noise, classifier))
    assert len(computed) == 7


SWEEP = """
import sys, time, torch
from pathlib import Path
torch.set_num_threads(1)
import networks
from fgsm_lib import store
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import class_folders
from fgsm_lib.sweep import SweepSettings
pictures = class_folders(sys.argv[1], networks.COLORS)
tiny = Classifier(networks.seeded(classes=3), networks.COLORS, **networks.OPTIONS)
tiny.register_forward_pre_hook(lambda *args: time.sleep(float(sys.argv[3])))
print("ready", flush=True)
machine = store.Machine(batch=4, workers=1, engine="torch")
store.sweep(pictures, tiny, SweepSettings((0, 0.5, 1, 4, 20)), Path(sys.argv[2]), machine=machine)
"""


def start(folder: Path, results: Path, slow: float) -> subprocess.Popen:
    """The sweep in a process of its own, which sleeps before each pass."""
    command = [sys.executable, "-c", SWEEP, str(folder), str(results), str(slow)]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_killed_and_accompanied_it_ends_with_the_same_table(
    noise_folder, noise, tmp_path, computed
):
    """kill -9 after a part; then two at once; then nothing is left to do."""
    process = start(noise_folder, tmp_path / "r", slow=0.05)  # a quarter of a second for a part
    deadline = time.monotonic() + 30
    while not parts(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert 0 < len(parts(tmp_path)) < 11
    both = [start(noise_folder, tmp_path / "r", slow=0.01) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    rows = sum(pq.ParquetFile(part).metadata.num_rows for part in parts(tmp_path))
    assert rows == len(noise) * len(GRID.epsilon_255)  # none was computed twice
    tiny = Classifier(networks.seeded(classes=3), COLORS, **OPTIONS)
    table = store.sweep(noise, tiny, GRID, tmp_path / "r", machine=TORCH)
    assert computed == []
    assert_same(table, frame(noise, tiny))


# --- a cluster -----------------------------------------------------------------------------------


def test_without_dask_or_scheduler_there_is_one_sentence(noise, classifier, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(store, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(InputError, match=rf"cluster at {address} failed \(.*expected dask"):
            store.sweep(noise, classifier, GRID, tmp_path, machine=Machine(scheduler=address))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"distributed.*pip install 'fgsm-lib\[cluster\]'"):
        store.sweep(noise, classifier, GRID, tmp_path, machine=Machine(scheduler="tcp://x:1"))


@pytest.mark.slow
def test_a_cluster_gives_the_same_table_though_a_worker_dies(
    noise_folder, noise, trained, tmp_path
):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    here = Classifier(trained, COLORS, **OPTIONS)
    there = Classifier(trained, COLORS, **OPTIONS)
    there.register_forward_pre_hook(lambda *args: time.sleep(0.05))
    expected = store.sweep(noise, here, GRID, tmp_path / "local", machine=TORCH)
    with distributed.LocalCluster(**options, silence_logs=logging.CRITICAL) as cluster:
        machine = replace(TORCH, scheduler=cluster.scheduler_address)
        victim = next(iter(cluster.workers.values())).process.pid
        kill = f"while ! ls {tmp_path}/cluster/*/*.parquet; do sleep 0.1; done; kill -9 {victim}"
        killer = subprocess.Popen(["sh", "-c", kill], stderr=subprocess.DEVNULL)
        table = store.sweep(noise, there, GRID, tmp_path / "cluster", machine=machine)
        assert killer.wait() == 0
        assert_same(table, expected)
        again = class_folders(noise_folder, COLORS)
        poisoned = Classifier(Around(trained, after=lambda z: z / 0), COLORS, **OPTIONS)
        with pytest.raises(InputError, match="infinite"):
            store.sweep(again, poisoned, GRID, tmp_path / "bad", machine=machine)

"""A sweep on a Dask cluster: equal to the local one, also when a worker dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_shards import _small_shards_and_a_fixed_setting  # noqa: F401
from test_sweep import GRID

from fgsm_lib import cluster, shards
from fgsm_lib.errors import InputError
from fgsm_lib.shards import write_sweep
from fgsm_lib.sweep import SweepSettings

pytest.importorskip("distributed")
NOWHERE = "tcp://127.0.0.1:9"


def test_without_dask_the_extra_is_named(tiny_set, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'fgsm-lib\[cluster\]'"):
        write_sweep(tiny_set, tiny(), SweepSettings(GRID), tmp_path / "s.parquet", NOWHERE)


@pytest.mark.parametrize("address", [NOWHERE, "tcp://no.such.host.invalid:8786", "nonsense://x"])
def test_a_scheduler_that_is_not_there_is_named(tiny_set, tiny, tmp_path, monkeypatch, address):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(InputError, match=rf"^{address}: no Dask scheduler there"):
        write_sweep(tiny_set, tiny(), SweepSettings(GRID), tmp_path / "s.parquet", address)
    assert time.monotonic() - began < 10
    assert not (tmp_path / "s.parquet").exists()


@pytest.fixture
def scheduler(tmp_path):
    """The address of a real scheduler, in a process of its own."""
    file = tmp_path / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    process = start("scheduler", *options, "--scheduler-file", str(file))
    yield from running(process, lambda: address_in(file))


def start(kind: str, *options: str) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "dask", kind, *options], env=environment, **quiet
    )


def running(process: subprocess.Popen, ready):
    try:
        deadline = time.monotonic() + 60
        while not (value := ready()):
            assert process.poll() is None, "the process ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield value
    finally:
        process.kill()
        process.wait()


def address_in(file: Path) -> str | None:
    import json

    try:
        return json.loads(file.read_text())["address"]
    except (OSError, ValueError):
        return None


@pytest.fixture
def workers(scheduler):
    """Two worker processes with a thread each; they may be killed."""
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60"]
    processes = [start("worker", scheduler, *options) for _ in range(2)]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def slow(classifier):
    """The same, asleep before each pass (a shard takes a second), and only where it may compute."""
    here = os.getpid()

    def wait(*args):
        assert os.getpid() != here
        time.sleep(0.1)

    classifier.register_forward_pre_hook(wait)
    return classifier


@pytest.mark.slow
def test_a_worker_that_dies_is_survived(tiny_set, tiny, tmp_path, scheduler, workers, monkeypatch):
    """One of two is killed after the first shard; the table equals the local one, byte for byte."""
    paths = [tmp_path / name / "sweep.parquet" for name in ("local", "cluster")]
    for path in paths:
        path.parent.mkdir()
    tiny_set.photos = tiny_set.photos * 2  # six shards
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), paths[0])
    kept, keep = [], shards.Shards.keep

    def keep_and_kill(self, shard, rows):
        keep(self, shard, rows)
        kept.append(shard)
        if len(kept) == 1:
            os.kill(workers[0].pid, signal.SIGKILL)

    monkeypatch.setattr(shards.Shards, "keep", keep_and_kill)
    write_sweep(tiny_set, slow(tiny()), SweepSettings(GRID), paths[1], scheduler)
    assert len(kept) == 6
    assert workers[0].wait() == -signal.SIGKILL
    assert workers[1].poll() is None
    assert paths[1].read_bytes() == paths[0].read_bytes()


@pytest.mark.slow
def test_a_cluster_resumes_extends_and_reports(tiny_set, tiny, tmp_path, scheduler, workers):
    path, local = tmp_path / "sweep.parquet", tmp_path / "local" / "sweep.parquet"
    local.parent.mkdir()
    write_sweep(tiny_set, tiny(), SweepSettings(GRID[:2]), path)
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), path, scheduler)
    write_sweep(tiny_set, tiny(), SweepSettings(GRID), local)
    assert path.read_bytes() == local.read_bytes()

    poisoned = tiny()
    poisoned.register_forward_hook(lambda *args: args[2] * float("nan"))
    with pytest.raises(InputError, match="tiny returned NaN"):
        write_sweep(tiny_set, poisoned, SweepSettings(GRID, "true_logit"), path, scheduler)
    stranger = tiny(network=torch.nn.Sequential(tiny().network, OnlyHere()))
    with pytest.raises(InputError, match=r"cannot import .* 'test_cluster'"):
        write_sweep(tiny_set, stranger, SweepSettings(GRID, "true_logit"), path, scheduler)
    tiny_set.photos[5].path.unlink()
    with pytest.raises(InputError, match=r"photo5\.png: no such image"):
        write_sweep(tiny_set, tiny(1), SweepSettings(GRID), path, scheduler)


class OnlyHere(torch.nn.Identity):
    """No worker can import this module."""


@pytest.mark.slow
def test_a_scheduler_without_workers_is_named(tiny_set, tiny, tmp_path, scheduler, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=f"^{scheduler}: the scheduler has no workers"):
        write_sweep(tiny_set, tiny(), SweepSettings(GRID), tmp_path / "s.parquet", scheduler)

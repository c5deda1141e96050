"""What a build does when its surroundings fail: it says so in a sentence, and the next run heals.

Each fault is made to happen. What needs a right that is missing here (to mount, to change the
user) is skipped and says so.
"""

import csv
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fgsm_lib._torchvision import models
from fgsm_lib.errors import InputError
from fgsm_lib.site import execute, tasks

ROOT = Path(__file__).parents[1]

# --- notebooks ----------------------------------------------------------------------------------


def failure(tmp_path, code: str) -> str:
    """Why a notebook with this second cell failed."""
    source, target = tmp_path / "page.py", tmp_path / "out" / "page.ipynb"
    source.write_text(f"# %%\nx = 1\n\n# %%\n{code}\n")
    with pytest.raises(execute.NotebookFailed) as failed:
        execute.execute(source, target, {})
    assert not target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["page.clean.ipynb"]
    message = str(failed.value)
    assert "\n" not in message
    assert message.startswith("page.py (page page) failed in cell 2, ")
    return message


def test_a_kernel_that_dies_names_the_cell(tmp_path):
    message = failure(tmp_path, "import os; os._exit(3)")
    assert message.endswith("'import os; os._exit(3)': the kernel died")


def test_a_cell_that_hangs_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "TIMEOUT_SECONDS", 1)
    message = failure(tmp_path, "import time; time.sleep(60)")
    assert message.endswith("'import time; time.sleep(60)': no end after 1 s")


@pytest.mark.slow
@pytest.mark.parametrize("code", ["while True: print('x' * 500)", "while True: display('x' * 500)"])
def test_a_cell_that_prints_without_end_is_stopped(tmp_path, monkeypatch, code):
    monkeypatch.setattr(execute, "OUTPUT_MB", 1)
    monkeypatch.setattr(execute, "TIMEOUT_SECONDS", 60)
    assert failure(tmp_path, code).endswith("more than 1 MB of output")


@pytest.mark.slow
def test_much_output_that_ends_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "OUTPUT_MB", 1)
    source, target = tmp_path / "page.py", tmp_path / "page.ipynb"
    source.write_text("# %%\nprint('x' * 700_000)\n\n# %%\nprint('x' * 700_000)\n")
    execute.execute(source, target, {})
    cells = nbformat.read(target, as_version=4).cells
    assert [len(cell.outputs[0]["text"]) for cell in cells] == [700_001, 700_001]


# --- whole builds -------------------------------------------------------------------------------

NOTEBOOK = """\
# %% [markdown]
# # Page {number}
#
# A page of a project in the small, with one sentence and one table from a run of eight images.

# %% tags=["parameters"]
profile = "none"

# %%
from fgsm_lib.display import say, show_table
from fgsm_lib.study import open_study

study = open_study(profile)
table = study.table if {number} == 1 else study.control
say(f"The mean confidence is {{table['confidence'].mean():.9f}}.")
show_table(table[["sample", "epsilon_255", "predicted_class"]], name="tab-{number}", caption="All.")
"""

# The real command, a site of two small pages instead of all.
COMMAND = """
import sys
from fgsm_lib.cli import main
from fgsm_lib.site import tasks
tasks.PAGES = {"index": "one.py", "about": "two.py"}
main([sys.argv[1], "--profile", "tiny.toml"])
"""

TOC = """\
format: jb-book
root: index
parts:
  - caption: all
    chapters:
      - file: about
"""

PROFILE = """\
title = "eight random images"
data = "data"
arch = "squeezenet1_1"
weights = "weights.safetensors"
[epsilon_255]
cases = [1]
hypothesis = [1, 4]
all_images = [1]
objectives = [1]
[every]
objectives = 4
clips = 4
"""


def write_project(project: Path) -> None:
    """A whole project in the small: eight images, a network with random weights, two pages."""
    (project / "book" / "_static").mkdir(parents=True)
    for path in ("_config.yml", "book/references.bib"):
        shutil.copy(ROOT / path, project / path)
    for path in (ROOT / "book" / "_static").glob("*.*"):
        shutil.copy(path, project / "book" / "_static")
    (project / "_toc.yml").write_text(TOC)
    (project / "notebooks").mkdir()
    for number, name in enumerate(("one", "two"), start=1):
        (project / "notebooks" / f"{name}.py").write_text(NOTEBOOK.format(number=number))
    (project / "tiny.toml").write_text(PROFILE)
    images = project / "data" / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = [["ImageId", "TrueLabel"], *([f"photo{i}", i + 1] for i in range(8))]
    for name, _ in rows[1:]:
        array = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(array).save(images / f"{name}.png")
    names = [["CategoryId", "CategoryName"], *([i + 1, f"class {i}"] for i in range(8))]
    for file, table in (("dev_dataset.csv", rows), ("categories.csv", names)):
        with (project / "data" / file).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(table)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.get_model("squeezenet1_1", num_classes=8)
    safetensors.torch.save_file(network.state_dict(), project / "weights.safetensors")


SITE, SWEEP = (["-c", COMMAND, name] for name in ("site", "sweep"))
RENDER = ["-m", "fgsm_lib.site.render", "--profile", "tiny.toml", "index", "about"]


def start(project: Path, command: list[str] = SITE) -> subprocess.Popen:
    # No home: a folder below /proc cannot be made, not even by root. No npm: nobody listens there.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": "/proc/no-home"}
    environment["npm_config_registry"] = "http://127.0.0.1:9/"
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def build(project: Path, command: list[str] = SITE) -> tuple[int, str]:
    """Status and output of a build, or of a part of it."""
    output, _ = (process := start(project, command)).communicate(timeout=600)
    return process.returncode, output


def built(project: Path, command: list[str] = SITE) -> str:
    """The output of a build that went well."""
    status, output = build(project, command)
    assert status == 0, output
    return output


def stopped(project: Path, command: list[str] = SITE) -> str:
    """The output of a build that ends with a sentence instead of a traceback."""
    status, output = build(project, command)
    assert status == 1, output
    assert "Traceback" not in output, output
    assert output.splitlines()[-1].startswith("fgsm: "), output
    return output


def site(project: Path) -> dict[str, bytes]:
    """Every file of the finished site; Sphinx's own notes left out."""
    html = project / "_build" / "html"
    return {
        path.relative_to(html).as_posix(): path.read_bytes()
        for path in sorted(html.rglob("*"))
        if path.is_file() and path.name not in (".buildinfo", "objects.inv")
    }


def tables(project: Path) -> dict[str, bytes]:
    """Every table of a finished sweep."""
    return {path.name: path.read_bytes() for path in (project / "_build/tiny").glob("*.parquet")}


@dataclass(frozen=True)
class Finished:
    """A project that was built once: where, its site and tables then, and what took how long."""

    project: Path
    site: dict[str, bytes]
    tables: dict[str, bytes]
    sweep_seconds: float
    site_seconds: float


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    """A project in an awkward place.

    Its path has spaces and letters that are not ASCII, its build folder is a link, and there is
    no home directory, neither to read nor to write.
    """
    project = tmp_path_factory.mktemp("faults") / "größer als 1 ‰" / "対象"
    write_project(project)
    elsewhere = project.parent / "another disk"
    elsewhere.mkdir()
    (project / "_build").symlink_to(elsewhere)
    times = [time.monotonic()]
    for command in (SWEEP, SITE):
        built(project, command)
        times.append(time.monotonic())
    return Finished(project, site(project), tables(project), *np.diff(times))


@pytest.fixture
def unbuilt(finished) -> Iterator[Path]:
    """The project beside its finished site: its own build folder is empty.

    All but the batch size that was measured to be the fastest: the last bits of a float depend
    on it.
    """
    results, aside = finished.project / "_build", finished.project / "_aside"
    results.rename(aside)
    results.mkdir()
    keep_batch_size(finished.project)
    yield finished.project
    shutil.rmtree(results)
    aside.rename(results)


def keep_batch_size(project: Path) -> None:
    (project / "_build" / "tiny").mkdir()
    shutil.copy(project / "_aside" / "tiny" / "calibration.json", project / "_build" / "tiny")


@pytest.mark.slow
def test_a_path_with_spaces_letters_and_links_and_no_home_is_as_good_as_any(finished):
    assert b"The mean confidence is 0." in finished.site["index.html"]
    assert b"The mean confidence is 0." in finished.site["about.html"]


@pytest.mark.slow
def test_a_build_killed_at_ten_moments_ends_with_the_same_site(finished, unbuilt):
    """kill -9, each time at another moment; then a plain rerun."""
    kill_ten_times(unbuilt, SITE, finished.sweep_seconds + finished.site_seconds)
    built(unbuilt)
    assert site(unbuilt) == finished.site
    assert tables(unbuilt) == finished.tables


@pytest.mark.slow
def test_a_sweep_killed_at_ten_moments_ends_with_the_same_tables(finished, unbuilt):
    kill_ten_times(unbuilt, SWEEP, finished.sweep_seconds)
    built(unbuilt, SWEEP)
    assert tables(unbuilt) == finished.tables


def kill_ten_times(project: Path, command: list[str], seconds: float) -> None:
    dice = random.Random(7)
    for _ in range(10):
        process = start(project, command)
        time.sleep(dice.uniform(0.3, seconds))
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_of_two_builds_at_once_one_says_that_the_other_is_running(finished, unbuilt):
    both = [start(unbuilt), start(unbuilt)]
    outputs = [process.communicate(timeout=600)[0] for process in both]
    said = {process.returncode: output for process, output in zip(both, outputs, strict=True)}
    assert set(said) == {0, 1}, outputs
    assert "another build is running" in said[1]
    assert "Traceback" not in said[1]
    assert site(unbuilt) == finished.site


def flip(content: bytes) -> bytes:
    """One bit turned over: in the body of a table, in the middle of anything else."""
    place = content.index(b"PAR1") + 60 if content.startswith(b"PAR1") else len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGE = {
    "tiny/sweep.parquet": flip,  # its footer is good
    "tiny/control.parquet": lambda content: content[:-9],
    "tiny/minimal.parquet": lambda content: b"",
    "tiny/iterative.parquet": flip,
    "tiny/sweep-true_logit-valid.parquet": lambda content: b"PAR1",
    "tiny/sweep-true_logit-image.json": lambda content: b"{",
    "tiny/sweep-cross_entropy-image.json": lambda content: b"",
    "tiny/pages/index.ipynb": lambda content: content.replace(b"mean", b"mode"),
    "tiny/pages/about.clean.ipynb": lambda content: b"",
    "tiny/source/index.ipynb": lambda content: b"{",
    "tiny/live/gradient.onnx": flip,
    "tiny/live/weights.bin": lambda content: b"",
    "html/profile.json": lambda content: b"[]",
}


@pytest.mark.slow
def test_damaged_caches_of_every_kind_are_made_again(finished):
    """All at once: whatever a build keeps is cut, emptied, or altered in one bit."""
    results = finished.project / "_build"
    for name, change in DAMAGE.items():
        (results / name).write_bytes(change((results / name).read_bytes()))
    built(finished.project)
    assert site(finished.project) == finished.site


@pytest.mark.slow
def test_a_build_without_its_memory_does_all_again(finished):
    (finished.project / "_build" / "tiny" / ".doit.db").write_bytes(
        b"SQLite format 3" + bytes(5000)
    )
    output = built(finished.project)
    assert {"· sweep", "· notebook index", "· notebook about", "· pages"} <= set(
        output.splitlines()
    )
    assert site(finished.project) == finished.site


@pytest.mark.slow
def test_a_clock_that_was_set_back_changes_nothing(finished):
    """Every file is from the future; then one is edited, and that is long before the others."""
    for path in finished.project.rglob("*"):
        os.utime(path, (2**32, 2**32))
    output = built(finished.project)
    # Without a network, the runtime of the live page is asked for in every build.
    assert re.findall(r"^· (?!runtime).*", output, re.MULTILINE) == []
    notebook = finished.project / "notebooks" / "two.py"
    text = notebook.read_text()
    try:
        notebook.write_text(text.replace("Page 2", "Another page"))
        os.utime(notebook, (10**9, 10**9))
        output = built(finished.project)
        assert "· notebook about" in output
        assert "· notebook index" not in output
        assert b"Another page" in site(finished.project)["about.html"]
    finally:
        notebook.write_text(text)


# --- disks --------------------------------------------------------------------------------------


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Something mounted at a folder; the test is skipped where nobody may do that."""
    if not as_root("mount", *options, str(folder)):
        pytest.skip("no right to mount a disk here")
    try:
        yield
    finally:
        assert as_root("umount", "--lazy", str(folder))


def as_root(*command: str) -> bool:
    """Whether a command worked that only root may give."""
    asking = [] if os.getuid() == 0 else ["sudo", "-n"]
    try:
        return subprocess.run([*asking, *command], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(unbuilt) -> Iterator[Path]:
    """``_build`` on a disk of its own."""
    folder = unbuilt / "_build"
    with mounted(folder, "-t", "tmpfs", "-o", "size=100m", "tmpfs"):
        keep_batch_size(unbuilt)
        yield folder


def fill(disk: Path, leave: float) -> None:
    """Fill a disk, up to so many kilobytes; an earlier filling is taken out first."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - int(leave * 1024)))


FULL = "No space left on device"


@pytest.mark.slow
def test_a_disk_that_is_full_stops_a_sweep_and_the_notebooks_with_a_sentence(
    finished, unbuilt, small_disk
):
    """Full during the sweep; full when its tables are there; full for the page's classifier."""
    fill(small_disk, leave=32)
    assert FULL in stopped(unbuilt, SWEEP)
    assert re.search(f"{FULL}|with space left", stopped(unbuilt))
    there = tables(unbuilt)
    assert there.items() < finished.tables.items()  # whole ones, and not all
    (small_disk / "filler").unlink()
    built(unbuilt, SWEEP)
    assert tables(unbuilt) == finished.tables
    fill(small_disk, leave=28)
    assert re.search(rf"\(page \w+\) .*{FULL}", stopped(unbuilt))
    fill(small_disk, leave=1000)
    assert re.search(rf"the classifier for the live page: .*{FULL}", stopped(unbuilt))
    for path in small_disk.rglob("*.ipynb"):
        nbformat.read(path, as_version=4)  # whole
    assert not (small_disk / "html").exists()
    (small_disk / "filler").unlink()
    built(unbuilt)
    assert site(unbuilt) == finished.site


@pytest.mark.slow
def test_a_disk_that_gets_full_while_pages_are_rendered_leaves_the_last_site_in_place(
    finished, unbuilt, small_disk
):
    """Full at once, while the book is put together, while Sphinx writes, and near the end."""
    built(unbuilt)
    folders = [small_disk / "tiny" / "source", small_disk / "html"]
    needed = sum(path.stat().st_size for folder in folders for path in folder.rglob("*")) / 1024
    for share in (0.01, 0.2, 0.5, 0.7, 0.9):
        shutil.rmtree(small_disk / "tiny" / "source")
        shutil.rmtree(small_disk / "tiny" / "render", ignore_errors=True)
        fill(small_disk, leave=share * needed)
        said = stopped(unbuilt, RENDER).splitlines()
        assert [line for line in said if line.startswith("fgsm: ")] == said[-1:], said
        assert FULL in said[-1]
        assert site(unbuilt) == finished.site
    (small_disk / "filler").unlink()
    built(unbuilt, RENDER)
    assert site(unbuilt) == finished.site


@pytest.mark.slow
@pytest.mark.parametrize("command", [SITE, SWEEP, RENDER], ids=["site", "sweep", "render"])
def test_a_read_only_folder_stops_a_build_with_a_sentence(finished, command):
    folder = (finished.project / "_build").resolve()
    before = site(finished.project), tables(finished.project)
    with mounted(folder, "--bind", str(folder)):
        assert as_root("mount", "-o", "remount,bind,ro", str(folder))
        assert "Read-only file system" in stopped(finished.project, command)
    assert (site(finished.project), tables(finished.project)) == before


def test_a_second_build_says_that_the_first_is_running(tmp_path):
    with (
        tasks.alone(tmp_path),
        pytest.raises(InputError, match="another build is running"),
        tasks.alone(tmp_path),
    ):
        pass
    with tasks.alone(tmp_path):  # it ended
        pass

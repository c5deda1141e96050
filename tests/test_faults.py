"""What a build does when its surroundings fail: it says so in a sentence, and the next run heals.

Each fault is made to happen. What needs a right that is missing here (to mount, to change the
user) is skipped and says so.
"""

import csv
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fgsm_lib._torchvision import models
from fgsm_lib.site import execute

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

# The real command on two small pages instead of all.
BUILD = """
import sys
from fgsm_lib.cli import main
from fgsm_lib.site import tasks
tasks.PAGES = {"index": "one.py", "about": "two.py"}
main(["site", "--profile", sys.argv[1]])
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


def start(project: Path, **options) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | options.pop("env", {})
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, "tiny.toml"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def build(project: Path, **options) -> tuple[int, str]:
    """Status and output of a build."""
    process = start(project, **options)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def site(project: Path) -> dict[str, bytes]:
    """Every file of the finished site; Sphinx's own notes left out."""
    html = project / "_build" / "html"
    return {
        path.relative_to(html).as_posix(): path.read_bytes()
        for path in sorted(html.rglob("*"))
        if path.is_file() and path.name not in (".buildinfo", "objects.inv")
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, float]:
    """A project in an awkward place, built once, and how many seconds that took.

    Its path has spaces and letters that are not ASCII, and its build folder is a link.
    """
    folder = tmp_path_factory.mktemp("faults") / "größer als 1 ‰" / "対象"
    write_project(folder)
    elsewhere = folder.parent / "another disk"
    elsewhere.mkdir()
    (folder / "_build").symlink_to(elsewhere)
    began = time.monotonic()
    status, output = build(folder)
    assert status == 0, output
    return folder, time.monotonic() - began


@pytest.fixture
def project(finished, tmp_path) -> Iterator[Path]:
    """A copy of the finished project, times included."""
    copy = tmp_path / "project"
    shutil.copytree(finished[0], copy, symlinks=False)
    yield copy
    shutil.rmtree(copy)


@pytest.mark.slow
def test_a_path_with_spaces_and_letters_and_links_is_as_good_as_any(finished):
    pages = site(finished[0])
    assert b"The mean confidence is 0." in pages["index.html"]
    assert b"The mean confidence is 0." in pages["about.html"]


@pytest.mark.slow
def test_a_build_killed_at_ten_moments_ends_with_the_same_site(finished, project):
    """kill -9, each time at another moment; then a plain rerun."""
    original, seconds = finished
    settings = (project / "_build" / "tiny" / "calibration.json").read_text()
    shutil.rmtree(project / "_build")
    (project / "_build" / "tiny").mkdir(parents=True)
    # The last bits of a float depend on the batch size that was measured to be the fastest.
    (project / "_build" / "tiny" / "calibration.json").write_text(settings)
    dice = random.Random(7)
    for _ in range(10):
        process = start(project)
        time.sleep(dice.uniform(0.3, seconds))
        process.kill()
        process.communicate()
    status, output = build(project)
    assert status == 0, output
    assert site(project) == site(original)

"""The notebooks that readers download run by themselves: in a folder of their own, with nothing
but the installed package."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from fgsm_lib.site.execute import clean_notebook
from fgsm_lib.site.tasks import CASE_NOTEBOOK, PAGES

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "_build" / "demo" / "pages" / "about.ipynb"
NOTEBOOKS = [*PAGES.values(), CASE_NOTEBOOK]


def run(folder: Path, notebook: str, **settings: str) -> nbformat.NotebookNode:
    """The download of a page, executed in ``folder`` as a reader would, with these variables."""
    parameters = {"profile": "demo", "sample": 132, "class_name": "any"}
    name = Path(notebook).with_suffix(".ipynb").name
    nbformat.write(clean_notebook(ROOT / "notebooks" / notebook, parameters), folder / name)
    command = [sys.executable, "-m", "papermill", name, f"done-{name}", "--no-progress-bar"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | settings
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(folder / f"done-{name}", as_version=4)


@pytest.mark.skipif(not BUILT.is_file(), reason="no tables of the demo set: make site first")
def test_a_downloaded_notebook_runs_outside_the_project(tmp_path):
    """With the tables of the last build: what the others need to make their own takes minutes."""
    notebook = run(tmp_path, "about.py", FGSM_BUILD=str(ROOT / "_build"))
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert sum("text/html" in out.get("data", {}) for out in outputs) == 3


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> tuple[Path, str]:
    """A folder, and one with the package as pip installs it: no file of the project but these."""
    folder, packages = (tmp_path_factory.mktemp(name) for name in ("reader", "packages"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(packages), str(ROOT)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"pip cannot build the package here: {done.stderr.strip()[-200:]}")
    return folder, str(packages)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_downloaded_notebook_runs_with_only_the_installed_package(elsewhere, notebook):
    folder, packages = elsewhere
    where = subprocess.run(
        [sys.executable, "-c", "import fgsm_lib; print(fgsm_lib.__file__)"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": packages},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(packages)
    run(folder, notebook, PYTHONPATH=packages)

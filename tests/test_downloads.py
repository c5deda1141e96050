"""Every notebook that the site offers runs by itself: from a copy of the site, in an environment
that had nothing but pip, in an empty folder of its own. How long each takes is printed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build" / "html"
sys.path.append(str(ROOT / "book" / "_ext"))
import assemble  # noqa: E402

PHOTOGRAPHS = ROOT.parent / "shared" / "nips2017"  # what a site on them needs
DOWNLOADS = sorted(path.stem for path in SITE.glob("_downloads/*.ipynb"))
HANGS = 900  # seconds for one cell, the installation of torch included
FOREIGN = ("FGSM_", "PYTHONPATH", "MPLBACKEND")  # of these tests, and of no reader
pytestmark = [
    pytest.mark.slow,
    pytest.mark.site,
    pytest.mark.skipif(not DOWNLOADS, reason="no site in _build/html: run make site first"),
]


class Reader:
    """Somebody with a copy of the site, and with Jupyter's kernel in an environment of pip."""

    def __init__(self, folder: Path):
        self.folder, self.site = folder, folder / "site"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        shutil.copytree(SITE, self.site)
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
        python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        pip = [python, "-m", "pip", "install", "--quiet", "--retries=1", "ipykernel"]
        done = subprocess.run(pip, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"the package index cannot be reached: {done.stderr.splitlines()[-1]}")
        launch = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": [str(python), *launch], "display_name": "empty", "language": "python"}
        (folder / "kernels" / "empty").mkdir(parents=True)
        (folder / "kernels" / "empty" / "kernel.json").write_text(json.dumps(spec))

    def first_cell(self, tables: list[str], offered: str = ""):
        """As if the site were published where the copy is; its pictures are where they are here."""
        (wheel,) = self.site.glob("_static/*.whl")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FGSM_SITE_URL", self.site.as_uri())
            for name in re.findall(r"^#? ?%env (\w+)=", offered, re.M):
                found = re.search(rf"^%env {name}=(.+)", offered, re.M)
                patch.setenv(name, found[1] if found else "folder")
            cell = nbformat.from_dict(assemble.install_cell(wheel.name, tables))
        cell.source = cell.source.replace(
            "# %env FGSM_DATA=folder", f"%env FGSM_DATA={PHOTOGRAPHS}"
        )
        return cell

    def runs(self, notebook, name: str) -> Path:
        """Run it in a new folder, which is returned; where a cell fails, so does this."""
        place = self.folder / name
        place.mkdir()
        where = {"metadata": {"path": place}}
        client = NotebookClient(notebook, timeout=HANGS, kernel_name="empty", resources=where)
        client.execute(env=self.environment)
        return place


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ein Ort für Bücher")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        reader, began = Reader(folder), time.monotonic()
        reader.runs(nbformat.v4.new_notebook(cells=[reader.first_cell([])]), "installation")
        reader.said = [f"\ninstallation: {time.monotonic() - began:.0f} s"]
        yield reader
    shutil.rmtree(folder / "env")  # some gigabytes


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_download_runs_by_itself(reader, name, capsys):
    notebook = nbformat.read(reader.site / "_downloads" / f"{name}.ipynb", as_version=4)
    tables = [path.stem for path in reader.site.glob("_static/tables/*.parquet")]
    asked = [table for table in tables if f"/{table}.parquet" in notebook.cells[0].source]
    notebook.cells[0] = reader.first_cell(asked, notebook.cells[0].source)
    if "FGSM_DATA" in notebook.cells[0].source and not PHOTOGRAPHS.is_dir():
        pytest.skip(f"the site is about photographs, and there is no {PHOTOGRAPHS}")
    began = time.time()
    place = reader.runs(notebook, name)
    reader.said += [f"{name}: {time.time() - began:.0f} s"]
    outputs = [(cell, output) for cell in notebook.cells for output in cell.get("outputs", ())]
    for cell, output in outputs:
        if {"image/png", "image/jpeg"} & {*output.get("data", ())}:
            at = datetime.fromisoformat(cell.metadata.execution["iopub.status.idle"])
            reader.said[-1] += f", first figure after {at.timestamp() - began:.0f} s"
            break
    with capsys.disabled():
        print("\n".join(reader.said))
    reader.said = []
    heard = "".join(output.get("text", "") for _, output in outputs)
    assert heard.count("rows taken") == len(asked), heard
    for table in asked:  # and nothing was computed in their place
        parts = place.glob(f"_build/{table}/tables/*/*.parquet")
        assert {part.name for part in parts} == {"offered.parquet"}

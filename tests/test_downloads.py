"""Every notebook that the site offers runs by itself: from a copy of the site, in an environment
that had nothing but pip, in an empty folder of its own. How long each takes is printed.
"""

import os
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

DOWNLOADS = sorted(path.stem for path in SITE.glob("_downloads/*.ipynb"))
HANGS = 900  # seconds for one cell, the installation of torch included
pytestmark = [
    pytest.mark.slow,
    pytest.mark.site,
    pytest.mark.skipif(not DOWNLOADS, reason="no site in _build/html: run make site first"),
]


class Reader:
    """Somebody with a copy of the site, and with Jupyter's kernel in an environment of pip."""

    def __init__(self, folder: Path):
        self.folder, self.site = folder, folder / "site"
        shutil.copytree(SITE, self.site)
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
        python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        kept = {name: text for name, text in os.environ.items() if not name.startswith("FGSM_")}
        for name in ("PYTHONPATH", "MPLBACKEND"):
            kept.pop(name, None)
        self.environment = kept
        pip = [python, "-m", "pip", "install", "--quiet", "--retries=1", "ipykernel"]
        done = subprocess.run(pip, env=kept, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"the package index cannot be reached: {done.stderr.splitlines()[-1]}")
        launch = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": [str(python), *launch], "display_name": "empty", "language": "python"}
        (folder / "kernels" / "empty").mkdir(parents=True)
        (folder / "kernels" / "empty" / "kernel.json").write_text(nbformat.json.dumps(spec))

    def runs(self, notebook, name: str) -> Path:
        """Run it in a new folder, which is returned; where a cell fails, so does this."""
        place = self.folder / name
        place.mkdir()
        client = NotebookClient(
            notebook,
            timeout=HANGS,
            kernel_name="empty",
            resources={"metadata": {"path": place}},
        )
        client.execute(env=self.environment)
        return place


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("ein Ort für Bücher")
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("FGSM_SITE_URL", (folder / "site").as_uri())
        reader = Reader(folder)
        wheel = next(reader.site.glob("_static/*.whl"))
        reader.first_cell = lambda tables: nbformat.from_dict(
            assemble.install_cell(wheel.name, tables)
        )
        began = time.monotonic()
        reader.runs(nbformat.v4.new_notebook(cells=[reader.first_cell([])]), "installation")
        reader.said = [f"\ninstallation: {time.monotonic() - began:.0f} s"]
        yield reader


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_download_runs_by_itself(reader, name, capsys):
    notebook = nbformat.read(reader.site / "_downloads" / f"{name}.ipynb", as_version=4)
    tables = [path.stem for path in reader.site.glob("_static/tables/*.parquet")]
    asked = [table for table in tables if f"/{table}.parquet" in notebook.cells[0].source]
    notebook.cells[0] = reader.first_cell(asked)  # as if the site were published where the copy is
    began = time.time()
    place = reader.runs(notebook, name)
    seconds = time.time() - began
    outputs = [(cell, output) for cell in notebook.cells for output in cell.get("outputs", ())]
    figures = [
        cell for cell, out in outputs if {"image/png", "image/jpeg"} & {*out.get("data", ())}
    ]
    said = f"{name}: {seconds:.0f} s"
    if figures:
        at = datetime.fromisoformat(figures[0].metadata.execution["iopub.status.idle"])
        said += f", first figure after {at.timestamp() - began:.0f} s"
    with capsys.disabled():
        print("\n".join([*reader.said, said]))
    reader.said = []
    heard = "".join(out.get("text", "") for _, out in outputs)
    assert heard.count("rows taken") == len(asked)
    for table in asked:  # and nothing was computed in their place
        parts = place.glob(f"_build/{table}/tables/*/*.parquet")
        assert {part.name for part in parts} == {"offered.parquet"}

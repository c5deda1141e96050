"""One page: its notebook executed for the site, and the two notebooks that a reader downloads."""

import ast
import logging
import os
import re
import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path

import jupytext
import nbformat
import papermill
from doit.exceptions import TaskFailed
from nbformat import NotebookNode
from traitlets.config import Config

from fgsm_lib import datasets
from fgsm_lib.profiles import Profile
from fgsm_lib.words import escape, readable, short_name

logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what failed is said below, once
CELL_SECONDS = 1800  # the slowest takes a minute, unless a page computes its tables itself
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def execute(script: Path, parameters: dict, profile: Profile, folder: Path) -> TaskFailed | None:
    """Run a Jupytext script; ``folder``, named as the page, appears whole or stays as it was.

    It holds ``page.ipynb`` for the site, with facts for the foot of the page as its metadata
    ``fgsm`` and the files that it names in ``_files``; and for a reader ``clean.ipynb``, without
    outputs, and ``executed.ipynb``. Changes environment and working directory of the process for a
    while. Where a cell raises, hangs or kills its kernel, the fault names page, cell and error.
    """
    for killed in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(killed, ignore_errors=True)
    unfinished = folder.with_name(f".{folder.name}-{os.getpid()}")
    files, target = unfinished / "_files", unfinished / "page.ipynb"
    files.mkdir(parents=True)
    os.environ["FGSM_SITE_FILES"] = str(files)
    sockets = tempfile.mkdtemp(prefix="fgsm-")
    # Kernels on TCP ports collide when several start at once; sockets in folders do not.
    kernel = {"transport": "ipc", "ip": f"{sockets}/kernel"} if os.name == "posix" else {}
    options = {}
    if sys.platform == "linux":
        from kernels import ForkingManager

        options["kernel_manager_class"] = ForkingManager
    try:
        clean = prepare(script, parameters)
        if "sample" in parameters:
            title = case_title(profile, parameters["sample"])
            clean.cells[0].source = f"# {title}"  # in place of the script's
        done = papermill.execute_notebook(
            clean,
            target,
            cwd=unfinished,
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=CELL_SECONDS,
            extra_arguments=["--log-level=CRITICAL"],  # a kernel that is told to end complains
            config=Config({"KernelManager": kernel}),
            **options,
        )
        _strip(done)
        nbformat.write(for_jupyter(clean), unfinished / "clean.ipynb")
        nbformat.write(for_jupyter(done), unfinished / "executed.ipynb")
        done.metadata["fgsm"] = {
            "profile": profile.name,
            "title": profile.title,
            "built": f"{date.today().day} {date.today():%B %Y}",
            "notebook": f"_downloads/{folder.name}.ipynb",
            "executed": f"_downloads/executed/{folder.name}.ipynb",
        }
        for cell in done.cells:
            if cell.cell_type == "markdown":
                cell.source = referring(cell.source)
        nbformat.write(done, target)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
        return None
    except Exception as error:  # papermill's, nbclient's for a dead kernel, a full disk's
        return TaskFailed(_complaint(folder.name, target, error))
    finally:
        del os.environ["FGSM_SITE_FILES"]
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(sockets, ignore_errors=True)


def case_title(profile: Profile, sample: str | int) -> str:
    """The title of a case study: "Coffee: espresso", or "Sample 766: barrel"."""
    pictures = datasets.of_profile(profile)
    numbers = {row.name: row.sample for row in pictures}
    picture = pictures.picture(numbers.get(sample, sample))
    name = escape(short_name(picture.class_name))
    return f"{sample.capitalize() if isinstance(sample, str) else f'Sample {sample}'}: {name}"


def prepare(script: Path, parameters: dict) -> NotebookNode:
    """A script as a notebook without outputs; parameters that differ from its own are filled in.

    They go into a cell of their own below the one tagged ``parameters``, as is papermill's way.
    """
    notebook = jupytext.read(script)
    notebook.metadata = {"kernelspec": KERNEL}
    declared = {}
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            for line in ast.parse(cell.source).body:
                if line.targets[0].id in parameters:
                    declared[line.targets[0].id] = ast.literal_eval(line.value)
    other = {
        name: value
        for name, value in parameters.items()
        if name in declared and declared[name] != value
    }
    notebook = papermill.execute_notebook(
        notebook, None, other, prepare_only=True, kernel_name="python3", progress_bar=False
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # jupytext draws one; the same script gives the same notebook
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("remove-cell")
    _strip(notebook)
    return notebook


def referring(text: str) -> str:
    """Markdown as scripts hold it, with references for the site where Jupyter shows plain text.

    "[Goodfellow et al. (2015)](#goodfellow2015)" cites that work of the bibliography, in
    parentheses if the link is; an equation's ``\\tag{1.2}`` becomes the label ``eq-1-2``. MyST
    itself understands other links, to such a label or to a word of the glossary.
    """
    text = re.sub(r"\[\([^\]]+\]\(#(\w+\d{4})\)", r"{cite:p}`\1`", text)
    text = re.sub(r"\[[^\]]+\]\(#(\w+\d{4})\)", r"{cite:t}`\1`", text)
    return re.sub(r" *\\tag\{(\d+)\.(\d+)\}\$\$$", r"$$ (eq-\1-\2)", text, flags=re.M)


def _strip(notebook: NotebookNode) -> None:
    """Take out when and where papermill ran it, and its progress bars: of no use to a reader."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [out for out in cell.outputs if not _is_bar(out)]
    for metadata in (notebook.metadata, *(cell.metadata for cell in notebook.cells)):
        metadata.pop("papermill", None)
        metadata.pop("execution", None)


def _is_bar(output: NotebookNode) -> bool:
    """Whether an output is a progress bar, or the line feed behind it."""
    return output.get("name") == "stderr" and ("\r" in output.text or not output.text.strip())


def _complaint(page: str, target: Path, error: Exception) -> str:
    """Page, cell and error in two lines; papermill's file says how far it came."""
    what = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if isinstance(error, papermill.PapermillExecutionError):
        what = next(iter(error.evalue.strip().splitlines()), "")
        what = what if error.ename == "InputError" else f"{error.ename}: {what}"
    cells = nbformat.read(target, as_version=4).cells if target.is_file() else []
    begun = [
        cell for cell in cells if cell.metadata.get("papermill", {}).get("status") != "pending"
    ]
    if not begun:
        return f"page {page}: {what}"
    first = next(iter(begun[-1].source.strip().splitlines()), "")
    return f"page {page}, in the cell that begins with {first!r}:\n  {what}"


# --- for Jupyter ---------------------------------------------------------------------------------


def for_jupyter(notebook: NotebookNode) -> NotebookNode:
    """A copy without what only the site can show: its own outputs, the roles of its prose."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source)
        for output in cell.get("outputs", []):
            for mime in list(output.get("data", {})):
                if mime.startswith(("application/", "text/x-myst")):
                    del output["data"][mime]
    return notebook


def plain(text: str) -> str:
    """Markdown as Jupyter can show it, with the words alone of links to what only the site has."""
    return re.sub(r"\[([^\]]+)\]\((?:book/|#|<#)[^)]*\)", r"\1", readable(text))

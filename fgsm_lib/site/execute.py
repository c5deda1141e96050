"""Run one notebook: ``python -m fgsm_lib.site.execute --help``.

A process of its own, because papermill changes the working directory of the whole process.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import click

# papermill's dependencies warn about their own future on every start.
warnings.filterwarnings("ignore")

import jupytext  # noqa: E402
import nbformat  # noqa: E402
import papermill  # noqa: E402
from jupyter_core.utils import ensure_async  # noqa: E402
from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: E402
from papermill.clientwrap import PapermillNotebookClient  # noqa: E402
from papermill.engines import NBClientEngine, papermill_engines  # noqa: E402
from traitlets.config import Config  # noqa: E402

from fgsm_lib.files import replacing  # noqa: E402
from fgsm_lib.markdown import escape  # noqa: E402
from fgsm_lib.site import end_with_the_build  # noqa: E402

TIMEOUT_SECONDS = 900  # for one cell; the slowest takes a minute
OUTPUT_MB = 64  # for one cell; the largest figures have two


class NotebookFailed(Exception):
    """A cell raised; the message names page, cell and error."""


def clean_notebook(source: Path, parameters: dict[str, object]) -> nbformat.NotebookNode:
    """A Jupytext source as a notebook without outputs that runs as it is.

    The parameters replace those of the cell tagged ``parameters``, and ``{{ name }}`` in prose.
    """
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"  # jupytext draws one; the same source gives the same notebook
        if cell.cell_type == "markdown":
            for name, value in parameters.items():
                cell.source = cell.source.replace(f"{{{{ {name} }}}}", escape(str(value)))
        elif "parameters" in cell.metadata.get("tags", []):
            lines = [_assign(line, parameters) for line in cell.source.splitlines()]
            cell.source = "\n".join(lines)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata.pop("jupytext", None)
    return notebook


def _assign(line: str, parameters: dict[str, object]) -> str:
    """``name = default`` with the value of the parameter in place of the default."""
    name = line.split("=")[0].strip()
    return f"{name} = {parameters[name]!r}" if name in parameters else line


def execute(source: Path, target: Path, parameters: dict[str, object]) -> None:
    """Write the clean notebook and its executed copy beside each other.

    ``target`` appears only when every cell has run; a failure leaves the last good one in place.
    """
    clean = target.with_suffix(".clean.ipynb")
    unfinished = target.with_name(f".{target.stem}.{os.getpid()}.ipynb")
    # Notebooks run side by side: a kernel with as many threads as cores would starve the others.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Kernels on TCP ports collide when several start at once; sockets in folders do not.
    sockets = Path(tempfile.mkdtemp(prefix="fgsm-"))
    config = Config({"KernelManager": {"transport": "ipc", "ip": str(sockets / "kernel")}})
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(clean) as whole:
            nbformat.write(clean_notebook(source, parameters), whole)
        papermill.execute_notebook(
            str(clean),
            str(unfinished),
            cwd=str(target.parent),
            kernel_name="python3",
            engine_name="fgsm",
            progress_bar=False,
            execution_timeout=TIMEOUT_SECONDS,
            config=config,
        )
        unfinished.replace(target)
    except papermill.PapermillExecutionError as error:
        # Nobody but Client presses Ctrl-C in a kernel.
        flooded = error.ename == "KeyboardInterrupt"
        what = (
            f"more than {OUTPUT_MB} MB of output" if flooded else f"{error.ename}: {error.evalue}"
        )
        raise NotebookFailed(
            f"{source.name} (page {target.stem}) failed in cell {error.cell_index + 1}, "
            f"{_first_line(error.source)!r}: {what}"
        ) from None
    except Exception as error:  # a kernel that stopped, or a disk that is full
        raise NotebookFailed(f"{source.name} (page {target.stem}) {error}") from None
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        shutil.rmtree(sockets, ignore_errors=True)


class Engine(NBClientEngine):
    """papermill's way to run a notebook, with a sentence where a kernel stops or hangs."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *, execution_timeout, config, **_):
        client = Client(nb_man, kernel_name=kernel_name, timeout=execution_timeout, config=config)
        try:
            client.execute()
        except (CellTimeoutError, DeadKernelError) as error:
            cell = nb_man.nb.cells[client.running]
            hung = isinstance(error, CellTimeoutError)
            what = f"no end after {execution_timeout} s" if hung else "the kernel died"
            raise NotebookFailed(
                f"failed in cell {client.running + 1}, {_first_line(cell.source)!r}: {what}"
            ) from None


class Client(PapermillNotebookClient):
    """Knows which cell is running, and interrupts one that prints without end."""

    running, printed = 0, 0

    def execute_cell(self, cell, cell_index, **options):
        self.running, self.printed = cell_index, 0
        return super().execute_cell(cell, cell_index, **options)

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in ("stream", "display_data", "execute_result"):
            before = self.printed
            self.printed += len(str(msg["content"]))
            if self.printed > OUTPUT_MB * 2**20:
                if before <= OUTPUT_MB * 2**20:
                    interrupt = ensure_async(self.km.interrupt_kernel())
                    self.interrupting = asyncio.ensure_future(interrupt)  # kept, else it may stop
                return None
        return super().process_message(msg, cell, cell_index)


papermill_engines.register("fgsm", Engine)


def _first_line(source: str) -> str:
    return next((line for line in source.splitlines() if line.strip()), "")


def _parsed(pairs: tuple[str, ...]) -> dict[str, object]:
    parameters = dict(pair.split("=", 1) for pair in pairs)
    return {name: int(value) if value.isdigit() else value for name, value in parameters.items()}


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
def main(source: Path, target: Path, parameters: tuple[str, ...]) -> None:
    """Execute the notebook SOURCE (py:percent) into TARGET (.ipynb)."""
    end_with_the_build()
    try:
        execute(source, target, _parsed(parameters))
    except NotebookFailed as error:
        click.echo(f"fgsm: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

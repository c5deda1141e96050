"""Executed notebooks + prose -> HTML: ``python -m fgsm_lib.site.render --help``.

The book's source is put together in ``_build/<profile>/source``, rendered beside it, and only a
render without a single warning takes the place of ``_build/html``.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import click
import nbformat
import yaml

from fgsm_lib.display import OWN_MIMES
from fgsm_lib.files import DISK_FAULTS
from fgsm_lib.profiles import DEMO, build_folder, load_profile
from fgsm_lib.site import (
    MARKER,
    browser,
    csp,
    end_with,
    end_with_the_build,
    equations,
    head,
    icons,
    launch,
)

DISK_FAULT = re.compile(rf"\[Errno ({'|'.join(map(str, sorted(DISK_FAULTS)))})\] .*")


def render(project: Path, profile_name: str, pages: list[str], title: str) -> Path:
    """Render the book of one profile; returns the path of its index page.

    Raises RenderFailed with the warnings of Sphinx, BadEquation, or UnsafePage where a page holds
    a script of its own. ``_build/html`` is then as it was.
    """
    folder = build_folder() / profile_name
    repository = launch.repository() if profile_name == DEMO else None
    source = _stage(project, folder, pages, title, repository)
    output = folder / "render"
    shutil.rmtree(output, ignore_errors=True)
    # Always from nothing: an incremental build keeps deleted pages and misses changed styles.
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [str(jupyter_book), "build", str(source), "--path-output", str(output)]
    command += ["-W", "-n", "--keep-going", "-q"]
    end = partial(end_with, os.getpid())  # this process has one thread, so it may be forked
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=end)
    if done.returncode:
        raise RenderFailed(_complaints(done.stdout + done.stderr))
    fresh = output / "_build" / "html"
    icons.replace_icon_script(fresh)
    head.lighten(fresh)
    equations.draw_equations(fresh)
    csp.protect(fresh)
    marker = {"profile": profile_name, "pages": pages, "launch": repository is not None}
    (fresh / MARKER).write_text(json.dumps(marker) + "\n")
    if repository:
        notebooks = [source / "downloads" / f"{page}.ipynb" for page in pages]
        branch = build_folder() / launch.BRANCH
        launch.write_branch(notebooks, repository, project / "constraints.txt", branch)
    html = build_folder() / "html"
    old = build_folder() / ".html.old"
    shutil.rmtree(old, ignore_errors=True)
    if html.exists():
        html.rename(old)
    fresh.rename(html)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(output, ignore_errors=True)
    return html / "index.html"


class RenderFailed(Exception):
    """Sphinx warned or failed; the message holds what it said."""


def _complaints(log: str) -> str:
    """What Sphinx says is wrong with the book; if it was the disk, one line that says so."""
    fault = DISK_FAULT.search(log)
    if fault:
        return f"the book cannot be rendered: {fault[0]}"
    lines = [line for line in log.splitlines() if "WARNING" in line or "ERROR" in line]
    lines = lines or log.splitlines()[-30:]
    return "\n".join(["Sphinx found faults in the book:", *lines])


def _stage(
    project: Path,
    folder: Path,
    pages: list[str],
    title: str,
    repository: launch.Repository | None,
) -> Path:
    """Put the source of the book together: configuration, prose, executed notebooks."""
    source = folder / "source"
    if source.exists():
        shutil.rmtree(source)
    source.mkdir(parents=True)
    config = yaml.safe_load((project / "_config.yml").read_text(encoding="utf-8"))
    config = launch.configured(config, repository) if repository else config
    (source / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    shutil.copytree(project / "book", source / "book")
    browser.collect(folder, source)
    toc = with_cases(yaml.safe_load((project / "_toc.yml").read_text(encoding="utf-8")), pages)
    (source / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False))
    downloads = source / "downloads"
    downloads.mkdir()
    for page in pages:
        executed = nbformat.read(folder / "pages" / f"{page}.ipynb", as_version=4)
        clean = nbformat.read(folder / "pages" / f"{page}.clean.ipynb", as_version=4)
        clean = launch.with_install(clean, repository) if repository else clean
        nbformat.write(clean, downloads / f"{page}.ipynb")
        nbformat.write(for_jupyter(executed), downloads / f"{page}-executed.ipynb")
        nbformat.write(with_provenance(executed, page, title), source / f"{page}.ipynb")
    return source


def with_cases(toc: dict, pages: list[str]) -> dict:
    """The table of contents with the case studies of this build in place of those listed."""
    cases = [{"file": page} for page in pages if page.startswith("case-")]
    parts = []
    for part in toc["parts"]:
        entries = []
        for entry in part["chapters"]:
            if not entry["file"].startswith("case-"):
                entries.append(entry)
            elif cases:
                entries += cases
                cases = []
        parts.append({**part, "chapters": entries})
    return {**toc, "parts": parts}


def for_jupyter(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The executed notebook without the site's own representations, which Jupyter cannot show."""
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    notebook.metadata.pop("papermill", None)  # when and where it ran: of no use to a reader
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            for mime in OWN_MIMES:
                output.get("data", {}).pop(mime, None)
    return notebook


def with_provenance(
    notebook: nbformat.NotebookNode, page: str, title: str
) -> nbformat.NotebookNode:
    """A line under the page's title: what built it, and its notebook to download."""
    line = (
        f"```{{div}} provenance\nBuilt with {title}. Notebook: "
        f"{{download}}`to run <downloads/{page}.ipynb>` · "
        f"{{download}}`as executed <downloads/{page}-executed.ipynb>` · "
        "[about this build](about.ipynb)\n```"
    )
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(line))
    return notebook


@click.command()
@click.argument("pages", nargs=-1, required=True)
@click.option("--profile", required=True, help="Name or path of the profile.")
@click.option("--project", type=click.Path(path_type=Path), default=Path(), show_default="here")
def main(pages: tuple[str, ...], profile: str, project: Path) -> None:
    """Render the executed PAGES and the prose into _build/html."""
    end_with_the_build()
    loaded = load_profile(profile)
    try:
        title = f"profile **{loaded.name}** ({loaded.title}, {loaded.arch})"
        render(project.absolute(), loaded.name, list(pages), title)
    except shutil.Error as error:  # a list of all files that could not be copied, and why
        click.echo(f"fgsm: {error.args[0][0][2]}", err=True)
        sys.exit(1)
    except (RenderFailed, equations.BadEquation, csp.UnsafePage, OSError) as error:
        # OSError: a full disk, say
        click.echo(f"fgsm: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

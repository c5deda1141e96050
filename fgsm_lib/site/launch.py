"""Buttons that open the notebook of a page in Colab and in Binder.

Both services read notebooks out of a public repository, and this one holds only Jupytext scripts.
So a build that is told its repository, by the variable ``FGSM_REPOSITORY``, leaves the notebooks
in ``_build/notebooks`` beside the site; ``.github/workflows/site.yml`` pushes that folder to a
branch, and the buttons lead there. Any other build has no buttons, and neither has one of a
profile whose images and weights nobody else has.
"""

import copy
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat

from fgsm_lib.errors import InputError
from fgsm_lib.files import replacing_folder

VARIABLE = "FGSM_REPOSITORY"
BRANCH = "notebooks"
_ADDRESS = re.compile(r"(https://github\.com/[\w.-]+/[\w.-]+)/tree/([\w./-]+)")

INSTALL = """\
# Colab lacks the library that this page imports; Binder has it already.
try:
    import fgsm_lib
except ModuleNotFoundError:
    %pip install --quiet {requirement}"""

ABOUT = """\
The notebooks of the pages, written by a build of {address} at {revision}. What stands
beside them, `requirements.txt`, is for [Binder](https://mybinder.org).
"""


@dataclass(frozen=True)
class Repository:
    """Where the project is published, and the commit or branch that is built."""

    address: str
    revision: str

    @property
    def requirement(self) -> str:
        """What pip installs the library from."""
        return f"git+{self.address}@{self.revision}"


def repository() -> Repository | None:
    """What the environment names, in GitHub's words for a version; None where it names nothing.

    Raises InputError for an address that Colab and Binder could not use.
    """
    address = os.environ.get(VARIABLE)
    if not address:
        return None
    match = _ADDRESS.fullmatch(address)
    if not match:
        raise InputError(
            f"{VARIABLE} is {address!r}; expected an address such as "
            "https://github.com/owner/name/tree/main."
        )
    return Repository(*match.groups())


def configured(config: dict, repository: Repository) -> dict:
    """Jupyter Book's configuration with launch buttons, which lead to the branch.

    They are options of the theme: Jupyter Book's own keys for them have no effect beside
    ``html_theme_options``.
    """
    config = copy.deepcopy(config)
    config["sphinx"]["config"]["html_theme_options"] |= {
        "repository_url": repository.address,
        "repository_branch": BRANCH,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "colab_url": "https://colab.research.google.com",
            "binderhub_url": "https://mybinder.org",
        },
    }
    return config


def with_install(notebook: nbformat.NotebookNode, repository: Repository) -> nbformat.NotebookNode:
    """A notebook whose first cell installs the library where it is missing."""
    source = INSTALL.format(requirement=repository.requirement)
    first = nbformat.v4.new_code_cell(source, id="install")
    return nbformat.from_dict({**notebook, "cells": [first, *notebook.cells]})


def write_branch(
    notebooks: Iterable[Path], repository: Repository, constraints: Path, folder: Path
) -> None:
    """Fill the folder that becomes the branch: the notebooks, and what Binder installs."""
    with replacing_folder(folder) as unfinished:
        for path in [*notebooks, constraints]:
            shutil.copy(path, unfinished)
        requirements = [
            "--extra-index-url https://download.pytorch.org/whl/cpu",
            f"-c {constraints.name}",
            f"fgsm-lib @ {repository.requirement}",
        ]
        (unfinished / "requirements.txt").write_text("\n".join(requirements) + "\n")
        (unfinished / "runtime.txt").write_text("python-3.11\n")
        about = ABOUT.format(address=repository.address, revision=repository.revision)
        (unfinished / "README.md").write_text(about)

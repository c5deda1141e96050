"""The build: Jupytext notebooks -> papermill -> Jupyter Book.

Readers of the library rarely come here. ``tasks`` says what depends on what, ``execute`` runs one
notebook, ``render`` turns the executed notebooks and the prose into HTML, and ``sphinx_ext`` and
``mime`` are what Sphinx needs to know about this project.
"""

import ctypes
import os
import signal
from pathlib import Path

# An environment variable: the process whose end is also that of the processes it started.
PARENT = "FGSM_PARENT"

# A file in the rendered site that says which profile and pages it shows.
MARKER = "profile.json"

# What the live page runs comes from npm, in the version that this file pins.
LOCK = Path(__file__).with_name("package-lock.json")
PACKAGE = "onnxruntime-web"


def end_with_the_build() -> None:
    """End this process when the build that started it ends, if a build did."""
    parent = os.environ.pop(PARENT, None)
    if parent:
        end_with(int(parent))


def end_with(parent: int) -> None:
    """Let the system kill this process when the one that started it ends, even by kill -9.

    What a dead build left running would write into the folder of the next one. Only Linux can do
    that; elsewhere nothing happens.
    """
    set_parent_death_signal = 1
    try:
        ctypes.CDLL("libc.so.6").prctl(set_parent_death_signal, signal.SIGKILL)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)

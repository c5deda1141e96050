"""Processes for pages, forked from one that has imported torch already.

To import torch, torchvision and pandas takes longer than most notebooks compute. A fork server
(``multiprocessing``'s own) imports them once; each page gets a fresh fork of it to run papermill
in, and that one forks once more, before it has any thread, for the page's kernel.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from pathlib import Path

from fgsm_lib.demo.workers import end_with_parent

PRELOAD = ["fgsm_lib.site.kernels", "fgsm_lib.study", "fgsm_lib.figures", "fgsm_lib.display"]


def page_processes(count: int) -> ProcessPoolExecutor:
    """Up to ``count`` processes at a time, each used for one page only."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return ProcessPoolExecutor(
        count, mp_context=context, initializer=end_with_parent, max_tasks_per_child=1
    )


def warm_up() -> None:
    """Let the fork server begin to import, beside whatever else is going on."""
    forkserver.ensure_running()


def execute_page(source: Path, target: Path, parameters: dict[str, object]) -> str | None:
    """``execute`` with a forked kernel; the message of its failure, None if all went well."""
    from fgsm_lib.site import execute, kernels  # loaded in the fork, and only there

    kernels.ForkedKernel.waiting = kernels.WaitingKernel()
    os.environ["JUPYTER_DEFAULT_PROVISIONER_NAME"] = "forked"
    try:
        execute.execute(source, target, parameters)
    except execute.NotebookFailed as error:
        return str(error)
    return None

"""Kernels that start at once, forked from a process that has imported what notebooks import.

To import torch, pandas and scipy takes longer than most pages compute. Python's own fork server
imports them once; it runs nothing else and has no threads, so a fork of it is as good as new.
"""

import multiprocessing
import os
import sys
import threading
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["fgsm_lib.study", "timm", "fgsm_lib.analysis", "fgsm_lib.show", "ipykernel.kernelapp"]
)


class Kernel(FORKS.Process):
    """The process of a kernel, with the methods of Popen that jupyter_client calls."""

    stdin = stdout = stderr = None

    def __init__(self, connection_file: str, cwd: str, env: dict[str, str]):
        super().__init__()
        self.options = connection_file, cwd, env
        self.start()

    def run(self) -> None:
        """In the fork: what a kernel that was started would do."""
        from ipykernel.kernelapp import launch_new_instance

        connection_file, cwd, env = self.options
        os.setsid()  # Ctrl-C is for the build, which then ends its kernels
        os.chdir(cwd)
        os.environ |= env
        os.environ.pop("JPY_PARENT_PID", None)  # its parent is the fork server
        threading.Thread(target=end_with_build, daemon=True).start()
        silence = os.open(os.devnull, os.O_RDWR)  # what cells print goes to the notebook
        for descriptor in range(3):
            os.dup2(silence, descriptor)
        sys.argv = ["ipykernel_launcher", "-f", connection_file, "--log-level=CRITICAL"]
        launch_new_instance()

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self) -> int | None:
        self.join()
        return self.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def end_with_build() -> None:
    """End this process when the one that asked for it has ended, be it killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


class _Forking(LocalProvisioner):
    async def launch_kernel(self, cmd: list[str], **options) -> dict:
        file = cmd[cmd.index("-f") + 1]
        self.process = Kernel(file, str(Path.cwd()), options["env"])
        return self.connection_info


class ForkingManager(AsyncKernelManager):
    """Jupyter's manager of a kernel, which here is forked."""

    async def _async_pre_start_kernel(self, **options):
        self.provisioner = _Forking(kernel_spec=self.kernel_spec, parent=self)
        return await super()._async_pre_start_kernel(**options)

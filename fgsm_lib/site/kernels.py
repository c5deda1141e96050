"""Kernels that start at once, because they are forked where the library is loaded already."""

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from ipykernel.kernelapp import launch_new_instance
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

import fgsm_lib.site.execute  # noqa: F401  so that a fork has papermill, too


class WaitingKernel:
    """A process that becomes a kernel when it hears of its connection.

    It has the methods of Popen that jupyter_client calls.
    """

    stdin = stdout = stderr = None

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        theirs, self._ours = context.Pipe(duplex=False)
        self._process = context.Process(target=_run_kernel, args=(theirs,), daemon=True)
        self._process.start()

    def connect(self, connection_file: str) -> None:
        self._ours.send((connection_file, Path.cwd()))

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            os.kill(self._process.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run_kernel(connection: Connection) -> None:
    connection_file, folder = connection.recv()
    os.chdir(folder)
    silence = os.open(os.devnull, os.O_RDWR)  # what cells print goes to the notebook all the same
    for descriptor in range(3):
        os.dup2(silence, descriptor)
    # Others run beside it: with as many threads as cores, they would starve each other.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    os.environ["JPY_PARENT_PID"] = str(os.getppid())  # the kernel ends when its page's process does
    sys.argv = ["ipykernel_launcher", "-f", connection_file]
    launch_new_instance()


class ForkedKernel(LocalProvisioner):
    """Gives the connection to the kernel that waits. Named ``forked`` in pyproject.toml."""

    waiting: WaitingKernel | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs) -> dict:
        self.process, ForkedKernel.waiting = ForkedKernel.waiting, None
        self.process.connect(cmd[cmd.index("-f") + 1])
        return self.connection_info

"""Worker processes that make pictures."""

import ctypes
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def available_cores() -> int:
    """The cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], processes: int | None = None
) -> Iterator[Result]:
    """Results of ``function`` over ``tasks`` in the order in which they are done.

    ``function`` must be importable, so that this works however the platform starts processes.
    The first exception ends the work: what has not begun is canceled, and the exception is raised.
    """
    processes = min(processes or available_cores(), len(tasks))
    if processes <= 1:
        yield from map(function, tasks)
        return
    with ProcessPoolExecutor(processes, initializer=_begin) as pool:
        futures = [pool.submit(function, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    end_with_parent()
    keep_freed_memory()


def end_with_parent() -> None:
    """In a worker process: let the system end it when its parent ends, even by kill -9.

    Otherwise it would wait for work for ever. A worker holds a pipe that nobody writes to, and
    that closes with the parent; on Linux its closing can be a signal, and that one's default is
    to end the process. Elsewhere nothing happens.
    """
    try:
        import fcntl

        pipe = multiprocessing.parent_process().sentinel
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    except (ImportError, AttributeError, OSError):
        pass


def keep_freed_memory() -> None:
    """Let glibc reuse the megabyte arrays of a picture instead of returning each to the system.

    A third faster on Linux; where there is no glibc, nothing happens.
    """
    trim_threshold, mmap_threshold = -1, -3
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(trim_threshold, 1 << 28)
        libc.mallopt(mmap_threshold, 1 << 25)  # the largest value that glibc accepts
    except (OSError, AttributeError):
        pass

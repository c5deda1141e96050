"""What a browser loads when a reader of the live page presses start.

``python -m fgsm_lib.site.browser`` writes the classifier's graphs into ``_build/<profile>/live``;
``runtime`` fetches what runs them. Each leaves a manifest beside its files: their sizes and hash, a
version, and, where there are none, a sentence that says why. The page is built in any case.
"""

import json
import shutil
from pathlib import Path

import click

from fgsm_lib.files import replacing_folder
from fgsm_lib.site import runtime

MANIFEST = "classifier.json"
STATIC = Path("book", "_static", "live")  # in the source of the book; _static/live in the site


def write_classifier(profile: str) -> None:
    """Export the classifier of a profile; the folder appears whole or stays as it was."""
    from fgsm_lib.site import onnx_export  # torch takes seconds to import: only where needed
    from fgsm_lib.study import open_study

    study = open_study(profile)
    folder = study.folder / "live"
    missing = ""
    with replacing_folder(folder) as unfinished:
        try:
            onnx_export.export(study.classifier, unfinished)
        except onnx_export.NotExportable as error:
            missing = (
                f"The classifier of this build, {study.classifier.name}, cannot be written for a "
                f"browser ({error})."
            )
        runtime.write_manifest(unfinished / MANIFEST, missing=missing)


def collect(profile_folder: Path, source: Path) -> None:
    """Put the classifier's and the runtime's files side by side into the source of the book."""
    for folder in (profile_folder / "live", runtime.runtime_folder()):
        if folder.is_dir():
            shutil.copytree(folder, source / STATIC, dirs_exist_ok=True)


def is_whole(manifest: Path, *, tolerate_missing: bool = True) -> bool:
    """Whether a manifest can be read and its files are there, byte for byte.

    Without ``tolerate_missing``, one that says why there are no files does not count.
    """
    try:
        said = json.loads(manifest.read_text())
        found = runtime.described([manifest.parent / name for name in said["files"]])
        unaltered = found == {key: said[key] for key in found}
        return unaltered and (tolerate_missing or not said["missing"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def manifest(folder: Path) -> dict:
    """What the page has to know of the files that ``collect`` put together.

    ``files`` are name and size in bytes, ``version`` changes with their contents, ``missing`` is a
    sentence, empty where everything is there.
    """
    parts = [json.loads((folder / name).read_text()) for name in (MANIFEST, runtime.MANIFEST)]
    return {
        "missing": " ".join(part["missing"] for part in parts if part["missing"]),
        "version": "-".join(part["version"] for part in parts),
        "files": {name: size for part in parts for name, size in part["files"].items()},
    }


@click.command()
@click.option("--profile", required=True, help="Name or path of the profile.")
def main(profile: str) -> None:
    """Write the profile's classifier for the browser."""
    write_classifier(profile)


if __name__ == "__main__":
    main()

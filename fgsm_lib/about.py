"""The facts about a build: what was measured, with what, on what."""

import importlib.metadata
import json
import os
import platform
from contextlib import suppress
from datetime import UTC, datetime

import pandas as pd

from fgsm_lib.shards import read_provenance
from fgsm_lib.site import LOCK, PACKAGE
from fgsm_lib.study import Study

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-image",
    "matplotlib",
    "papermill",
    "jupyter-book",
    "sphinx",
    "onnx",
    "onnxscript",
)


def settings_table(study: Study) -> pd.DataFrame:
    """What the profile says."""
    profile = study.profile
    facts = {
        "profile": f"{profile.name} ({profile.title})",
        "images": f"{len(study.dataset)}, of {len(study.dataset.class_names)} classes",
        "classifier": profile.arch,
        "objective": profile.objective,
        "clip": "to [0, 1]" if profile.clip == "valid" else "to [0, 1] and to the image's range",
        "ε in 1/255": ", ".join(f"{value:g}" for value in profile.sweep_epsilon_255),
        "random signs (control)": f"one image in {profile.every_control}, at every ε",
    }
    return _facts(facts)


def provenance_table(study: Study) -> pd.DataFrame:
    """Hashes of everything the numbers depend on, and how long they took."""
    sweep, control = _origin(study, "sweep"), _origin(study, "control")
    calibration = sweep["calibration"]
    facts = {
        "SHA-256 of the data": sweep["data_sha256"],
        "SHA-256 of the weights": sweep["weights_sha256"],
        "SHA-256 of the code": sweep["code_sha256"],
        "time of the sweep": f"{sweep['seconds']:.0f} s",
        "time of the control": f"{control['seconds']:.0f} s",
        "workers and batch": f"{calibration['workers']} and {calibration['batch']}, the fastest "
        f"found ({calibration['milliseconds']:.1f} ms per image and forward pass)",
        "hardware": f"{sweep['device']}, {os.cpu_count()} cores",
        "built on": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return _facts(facts)


def versions_table() -> pd.DataFrame:
    """The versions of Python and of the packages that matter.

    A notebook that somebody downloaded may run without those that only build the site.
    """
    facts = {"Python": platform.python_version()}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            facts[name] = importlib.metadata.version(name)
    if "onnx" in facts:  # then the live page is built, too
        packages = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
        facts[PACKAGE] = packages[f"node_modules/{PACKAGE}"]["version"]
    return pd.DataFrame(facts.items(), columns=["package", "version"])


def _origin(study: Study, name: str) -> dict:
    return read_provenance(study.folder / f"{name}.parquet")


def _facts(facts: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(facts.items(), columns=["what", "value"])

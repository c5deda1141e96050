"""What "About this build" says of versions."""

import importlib.metadata
import json

from fgsm_lib import about
from fgsm_lib.site import runtime


def versions() -> dict[str, str]:
    return dict(about.versions_table().itertuples(index=False))


def test_the_packages_that_make_and_run_the_live_page_are_named():
    found = versions()
    for name in ("onnx", "onnxscript", "torch"):
        assert found[name] == importlib.metadata.version(name)
    dependencies = json.loads(runtime.LOCK.with_name("package.json").read_text())["dependencies"]
    assert found[runtime.PACKAGE] == dependencies[runtime.PACKAGE]


def test_a_downloaded_notebook_runs_without_what_only_builds_the_site(monkeypatch):
    theirs = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("onnx", "onnxscript", "papermill", "jupyter-book", "sphinx"):
            raise importlib.metadata.PackageNotFoundError(name)
        return theirs(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = versions()
    assert "torch" in found
    assert not found.keys() & {"onnx", "papermill", runtime.PACKAGE}

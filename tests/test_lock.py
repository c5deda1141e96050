"""requirements.lock holds what pyproject.toml asks for, as constraints.txt has it, with hashes."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    """The exact versions in a file, by the canonical names of the packages."""
    found = PIN.findall((ROOT / name).read_text(encoding="utf-8"))
    return {canonicalize_name(package): version for package, version in found}


def test_every_requirement_is_locked_in_a_version_that_it_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [
        Requirement(text) for text in project["dependencies"] + extras["site"] + extras["test"]
    ]
    locked = pins("requirements.lock")
    for requirement in asked:
        if requirement.name != project["name"]:
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)])


def test_versions_are_those_that_are_installed_without_hashes():
    locked, constrained = pins("requirements.lock"), pins("constraints.txt")
    both = locked.keys() & constrained.keys()
    assert len(both) > 100
    assert {name: locked[name] for name in both} == {name: constrained[name] for name in both}
    # torch's CUDA libraries come with its builds on the public index only.
    cuda = re.compile("nvidia-|cuda-|triton$|setuptools$|wheel$")
    assert [name for name in locked.keys() - constrained.keys() if not cuda.match(name)] == []


def test_every_package_has_hashes_and_no_address():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[A-Za-z0-9])", text)
    entries = [entry for entry in entries if PIN.match(entry)]
    assert len(entries) == len(pins("requirements.lock"))
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert "://" not in text
    assert not re.search(r"^\s*-[-if]", re.sub(r"^ +--hash=.*", "", text, flags=re.M), flags=re.M)

"""What the build puts together for the live page, and what it says where a part is missing."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from click.testing import CliRunner
from PIL import Image
from test_security import PAGE

from fgsm_lib import live
from fgsm_lib.perception import to_uint8
from fgsm_lib.site import browser, csp, live_html, runtime

WHOLE = {"missing": "", "version": "abc", "files": {"weights.bin": 3}}


@pytest.fixture
def study(tiny, tiny_set):
    """What ``live.packed`` asks of a study: two case studies of random images."""
    profile = SimpleNamespace(
        cases=(3, 5), case_epsilon_255=(0.0, 1.0, 3.5, 6.0), objective="true_logit"
    )
    return SimpleNamespace(profile=profile, classifier=tiny(), dataset=tiny_set)


def test_the_pictures_are_those_that_the_classifier_gets(study):
    data, files = live.packed(study)
    for picture, sample in zip(data["pictures"], study.profile.cases, strict=True):
        image, label = study.dataset[sample]
        with Image.open(io.BytesIO(files[picture["file"]])) as stored:
            assert np.array_equal(np.asarray(stored), to_uint8(image))
        assert (picture["sample"], picture["label"]) == (sample, label)
        assert picture["name"] == data["classes"][label]
    assert len(files) == 2
    assert data["epsilons"][data["start"]] == 3.5  # the nearest to 4/255
    assert data["objective"] == "true_logit"
    assert (data["resize"], data["crop"]) == (16, 16)


def test_names_in_the_page_are_text(study):
    data, _ = live.packed(study)
    hostile = '</script><b onclick="x">'
    data["classes"][0] = data["pictures"][0]["name"] = hostile
    markup = live_html.markup(data, WHOLE, "_images/", "")
    soup = BeautifulSoup(markup, "html.parser")
    assert soup.find("b") is None
    assert soup.select_one(".offered .title").get_text() == hostile
    facts = json.loads(soup.script.string)
    assert facts["classes"][0] == hostile
    assert facts["files"] == WHOLE["files"]
    assert [link["href"] for link in soup.find_all("a")] == ["case-3.html", "case-5.html"]


def test_a_classifier_that_no_browser_can_run_is_said_in_the_page(
    study, tiny, tmp_path, monkeypatch
):
    network = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(3, 10, 2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    study.classifier, study.folder = tiny(network=network, name="upsampler"), tmp_path
    monkeypatch.setattr("fgsm_lib.study.open_study", lambda profile: study)
    browser.write_classifier("mine")
    write(tmp_path / "live", runtime.MANIFEST, WHOLE)
    found = browser.manifest(tmp_path / "live")
    sentence = (
        "The classifier of this build, upsampler, cannot be written for a browser "
        "(NotImplementedError: the gradient of a transposed convolution)."
    )
    assert found["missing"] == sentence
    page = live_html.markup(live.packed(study)[0], found, "_images/", "")
    assert BeautifulSoup(page, "html.parser").select_one(".missing").get_text() == sentence


def test_only_the_live_page_shows_pictures_of_its_reader():
    assert "img-src 'self' data: blob:;" in csp.policy_of("live.html", PAGE)
    assert "blob:" not in csp.policy_of("index.html", PAGE)


def write(folder, name: str, manifest: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, size in manifest["files"].items():
        (folder / file).write_bytes(bytes(size))
    said = runtime.described([folder / file for file in manifest["files"]])
    (folder / name).write_text(json.dumps({**manifest, **said}))


def test_both_parts_come_together_in_the_source_of_the_book(tmp_path, monkeypatch):
    monkeypatch.setenv("FGSM_BUILD", str(tmp_path))
    write(tmp_path / "mine" / "live", browser.MANIFEST, WHOLE)
    write(tmp_path / "runtime", runtime.MANIFEST, {**WHOLE, "version": "1", "files": {"a.mjs": 5}})
    browser.collect(tmp_path / "mine", tmp_path / "source")
    found = browser.manifest(tmp_path / "source" / browser.STATIC)
    assert found == {"missing": "", "version": "abc-1", "files": {"weights.bin": 3, "a.mjs": 5}}
    for name, size in found["files"].items():
        assert (tmp_path / "source" / browser.STATIC / name).stat().st_size == size


def test_a_damaged_file_or_manifest_is_not_whole(tmp_path):
    manifest = tmp_path / browser.MANIFEST
    assert not browser.is_whole(manifest)
    write(tmp_path, browser.MANIFEST, WHOLE)
    assert browser.is_whole(manifest)
    for damaged in (b"12", b"", b"\0\0\1"):
        (tmp_path / "weights.bin").write_bytes(damaged)
        assert not browser.is_whole(manifest)
    (tmp_path / "weights.bin").unlink()
    assert not browser.is_whole(manifest)
    manifest.write_text("{")
    assert not browser.is_whole(manifest)
    write(tmp_path, browser.MANIFEST, {"missing": "A reason.", "version": "", "files": {}})
    assert browser.is_whole(manifest)
    assert not browser.is_whole(manifest, tolerate_missing=False)


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Runs the command; returns its output, and the manifest that it left."""
    monkeypatch.setenv("FGSM_BUILD", str(tmp_path / "build"))

    def run() -> tuple[str, dict]:
        done = CliRunner().invoke(runtime.main)
        assert done.exit_code == 0
        folders = [path.name for path in (tmp_path / "build").iterdir()]
        assert folders == ["runtime"]
        return done.output, json.loads((runtime.runtime_folder() / runtime.MANIFEST).read_text())

    return run


@pytest.mark.parametrize(
    ("does", "reason"),
    [("echo 'npm error code ENOTFOUND' >&2; exit 1", "ENOTFOUND"), ("sleep 60", "TimeoutExpired")],
)
def test_where_npm_fails_or_hangs_the_build_goes_on_and_the_page_gets_a_sentence(
    fetched, tmp_path, monkeypatch, does, reason
):
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n{does}\n")
    npm.chmod(0o755)
    monkeypatch.setattr(runtime.shutil, "which", lambda name: str(npm))
    monkeypatch.setattr(runtime, "TIMEOUT_SECONDS", 0.5)
    output, manifest = fetched()
    assert len(output.splitlines()) == 1
    assert f"npm did not bring onnxruntime-web ({reason})" in output
    assert manifest["files"] == {}
    assert "make site" in manifest["missing"]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["the machine's npm", "the one that pip installed"])
def test_a_registry_that_does_not_answer_ends_no_build(fetched, tmp_path, monkeypatch, which):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")  # nobody listens there
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    if which != "the machine's npm":
        monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    output, manifest = fetched()
    assert "ECONNREFUSED" in output
    assert manifest["version"] == ""


@pytest.mark.slow
def test_npm_does_without_a_home(fetched, monkeypatch):
    """Below /proc, npm would try to make its cache without end."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("HOME", "/proc/no-home")
    monkeypatch.setattr(runtime, "TIMEOUT_SECONDS", 20)
    output, _ = fetched()
    assert "ECONNREFUSED" in output


def test_every_package_of_the_lock_file_has_a_hash_and_names_no_place_but_npm():
    packages = json.loads(runtime.LOCK.read_text())["packages"]
    assert f"node_modules/{runtime.PACKAGE}" in packages
    for name, package in packages.items():
        if name:
            assert package["integrity"].startswith("sha512-"), name
            place = package.get("resolved", "https://registry.npmjs.org/")
            assert place.startswith("https://registry.npmjs.org/"), name

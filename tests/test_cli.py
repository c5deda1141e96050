"""The command line: a user's mistake is one clear sentence, exit status 1, no traceback."""

import functools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from fgsm_lib.cli import main

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FGSM_BUILD", str(tmp_path / "build"))
    for name in ("FGSM_DATA", "FGSM_WEIGHTS", "FGSM_ARCH"):
        monkeypatch.setenv(name, "")
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def said(result) -> str:
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert result.output.startswith("fgsm: ")
    return result.output


@pytest.mark.parametrize("command", [[], ["site"], ["case"], ["sweep"]])
def test_help_names_the_options(run, command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_a_profile_without_data_says_what_to_pass(run):
    message = said(run("site", "--profile", "nips2017"))
    assert "PROFILE=nips2017 DATA=" in message
    assert "dev_dataset.csv" in message


def test_an_unknown_profile_names_the_known_ones(run):
    message = said(run("site", "--profile", "imagenet"))
    assert "'imagenet'" in message
    assert "nips2017" in message


def test_a_missing_folder_is_named(run, tmp_path):
    assert str(tmp_path / "none") in said(
        run("site", "--profile", "nips2017", "--data", tmp_path / "none")
    )


def test_a_sample_outside_the_set_is_refused_before_the_work_starts(run, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    (tmp_path / "dev_dataset.csv").write_text("ImageId,TrueLabel\na,1\n")
    (tmp_path / "categories.csv").write_text("CategoryId,CategoryName\n1,thing\n")
    message = said(run("case", 7, "--profile", "nips2017", "--data", tmp_path))
    assert "no sample 766" in message or "no sample 7" in message
    assert "from 0 to 0" in message
    assert not (tmp_path / "build").exists()


def test_outside_the_project_the_command_says_where_to_go(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "_toc.yml" in said(run("site"))


def test_serving_without_a_site_says_how_to_build_one(run):
    assert "make site" in said(run("serve"))


def test_the_site_is_served_at_the_address_that_is_said(tmp_path):
    html = tmp_path / "html"
    html.mkdir()
    (html / "index.html").write_text("the home page")
    command = [sys.executable, "-m", "fgsm_lib.cli", "serve", "--port", "0"]
    environment = os.environ | {"FGSM_BUILD": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    # A shell lets what it starts in the background ignore Ctrl+C, and children inherit that.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    options = {"env": environment, "stdout": subprocess.PIPE, "text": True, "preexec_fn": heed}
    with subprocess.Popen(command, **options) as server:
        try:
            address = re.search(r"http://\S+", server.stdout.readline())[0]
            with urlopen(address) as page:
                assert page.read() == b"the home page"
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=20) == 0
        finally:
            server.kill()  # else a failure would wait for ever

"""The command line: a user's mistake is one clear sentence, exit status 1, no traceback."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fgsm_lib import InputError, __version__, datasets
from fgsm_lib.cli import answer_table, class_index, main, numbers

COFFEE = datasets.photographs().picture(0).source
NAMES = ["tench, Tinca tinca", "goldfish", "espresso", "coffee mug"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [[], ["attack"], ["sweep"], ["fetch"]])
def test_help_says_how_it_is_called(run, command):
    assert "Usage:" in run(*command, "--help").output
    assert run("--version").output == f"fgsm, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["attack", "none.jpg"], "fgsm: none.jpg: no such file; expected a picture."),
        (["attack", "text.jpg"], "fgsm: text.jpg: "),
        (["attack", COFFEE, "-o", "out.jpg"], "fgsm: --output is out.jpg; expected a .png file"),
        (["attack", COFFEE, "-o", "no/o.png"], "fgsm: --output is no/o.png; expected a .png file"),
        (["attack", COFFEE, "-o", ""], "fgsm: --output is .; expected a .png file"),
        (["attack", COFFEE, "-o", "folder.png"], "fgsm: --output is folder.png; expected a .png "),
        (["attack", COFFEE, "-o", "a" * 5000 + ".png"], "File name too long"),
        (["attack", COFFEE, "--arch", "lenet"], "fgsm: unknown architecture 'lenet'; expected "),
        (["attack", COFFEE, "--weights", "no.pt"], "fgsm: no.pt: "),
        (["sweep", "--profile", "imagenet"], "fgsm: unknown profile 'imagenet'; expected demo, "),
        (["sweep", "--profile", "no.toml"], "fgsm: no.toml: no such profile file."),
        (["sweep", "--data", "here"], "fgsm: the profile demo brings its own pictures"),
        (["sweep", "--profile", "nips2017", "--data", "none"], "none: no such file or folder;"),
        (["sweep", "--profile", "nips2017"], "DATA=<folder"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(run, tmp_path, arguments, sentence):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    result = run(*arguments)
    assert result.exit_code == 1
    assert sentence in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["attack"],
        ["attack", COFFEE, "--epsilon", "0"],
        ["attack", COFFEE, "--epsilon", "1 x"],
        ["attack", COFFEE, "--steps", "0"],
        ["attack", COFFEE, "--epsilon", "nan"],
        ["sweep", "--batch", "0"],
        ["sweep", "--offer", COFFEE],
        ["fetch", "imagenet"],
    ],
)
def test_what_is_not_written_as_it_should_be_has_exit_status_2(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_epsilons_are_separated_by_blanks_or_commas():
    assert numbers(None, None, "2, 0.5 1,2") == [0.5, 1, 2]


@pytest.mark.parametrize(
    ("target", "index"), [("Goldfish", 1), ("tinca tinca", 0), ("tench, tinca tinca", 0)]
)
def test_a_target_goes_by_any_of_its_names(target, index):
    assert class_index(target, NAMES) == index


@pytest.mark.parametrize(
    ("target", "such_as"),
    [("coffe", "'coffee mug'"), ("golfdish", "'goldfish'"), ("x", "'tench, T")],
)
def test_a_target_that_is_no_class_is_answered_with_similar_ones(target, such_as):
    with pytest.raises(InputError, match=f"--target is '{target}', no class of .* {such_as}"):
        class_index(target, NAMES)


def test_the_table_says_what_is_seen_and_how_probable_the_target_is():
    answers = {0.0: np.array([0.1, 0.6, 0.1, 0.2]), 0.5: np.array([0.7, 0.1, 0.1, 0.1])}
    assert answer_table(answers, NAMES, goal=3).splitlines() == [
        "epsilon    it sees   confidence   target",
        "      0   goldfish        60.0%    20.0%",
        "0.5/255      tench        70.0%    10.0%",
    ]
    assert "target" not in answer_table(answers, NAMES, goal=None)


def test_the_saved_picture_fools_the_network_or_the_last_line_says_that_it_does_not(run, tmp_path):
    """Below 0.5/255 a step fools it with this cat, and vanishes in 8 bits."""
    cat = datasets.photographs().picture(3).source
    result = run("attack", cat, "--epsilon", "0.4 0.6", "-o", "out.png")
    clean, small = result.output.splitlines()[3:5]
    assert re.fullmatch(r" +0   Egyptian cat +37\.\d%", clean)
    assert re.fullmatch(r"0\.4/255 +tiger cat +\d\d\.\d%", small)
    assert "out.png: at 0.6/255, rounded to 8 bits: tiger cat" in result.output
    assert Image.open(tmp_path / "out.png").size == (224, 224)
    assert (tmp_path / "out-figure.png").is_file()
    result = run("attack", cat, "--epsilon", "0.3", "-o", "out.png")
    assert "out.png: at 0.3/255, rounded to 8 bits: Egyptian cat" in result.output
    assert result.output.splitlines()[-1] == (
        "No epsilon of these fools the network in 8 bits; this is the largest."
    )


@pytest.mark.parametrize("output", ["./cat.png", "link.png", "c.png"])
def test_the_photograph_is_not_overwritten(run, tmp_path, output):
    picture = tmp_path / ("c-figure.png" if output == "c.png" else "cat.png")
    picture.write_bytes(before := Path(COFFEE).read_bytes())
    (tmp_path / "link.png").symlink_to(picture)
    result = run("attack", picture.name, "-o", output)
    assert result.exit_code == 1
    sentence = f"fgsm: --output is {Path(output)}, which would overwrite "
    assert sentence in result.output and len(result.output.splitlines()) == 1
    assert picture.read_bytes() == before


def test_steps_lead_to_a_target(run):
    camera = datasets.photographs().picture(1).source
    result = run("attack", camera, "--target", "espresso", "--steps", "5", "--epsilon", "2")
    assert result.exit_code == 0, result.output
    assert re.search(r"2/255   espresso +(\d+\.\d%) +\1$", result.output.rstrip())


# A shell lets what it starts in the background ignore Ctrl-C, and children inherit that.
SWEEP = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
print("busy", flush=True)
from fgsm_lib.cli import main
main(["sweep"])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_a_sweep_within_a_second(tmp_path):
    """And a fetch, see ``test_fetch.py``."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", SWEEP], cwd=tmp_path, **pipes)
    assert process.stdout.readline() == "busy\n"
    time.sleep(15)  # until it computes
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - began < 1.5
    assert process.returncode == 130
    assert said.endswith("the next run goes on from there.\n")
    assert "Traceback" not in said

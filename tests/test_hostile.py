"""Thousands of hostile or odd inputs: each is used, or refused in one sentence, and never hangs.

Mutations are those of a seeded die, so every run tries the same. The few that stood out are tests
with a right value elsewhere, in ``test_datasets.py``, ``test_classifiers.py`` and so on.
"""

import json
import math
import pickle
import random
import signal
from contextlib import contextmanager
from pathlib import Path

import networks
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from networks import COLORS, Small
from PIL import Image
from test_datasets import RGB, encoded, mutated

from fgsm_lib import InputError, attacks, own_study, weights
from fgsm_lib.classes import class_list
from fgsm_lib.cli import main
from fgsm_lib.datasets import photographs, pictures_from
from fgsm_lib.pictures import open_picture
from fgsm_lib.profiles import BUILT_IN, load_profile

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SECONDS = 20  # for one input, on a busy machine


class Hangs(BaseException):
    """Not an Exception: what is tried must not be able to catch it."""


@contextmanager
def in_time(what: object):
    def too_long(*_):
        raise Hangs(f"{what!r:.300} takes more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def tried(call, *arguments, what=None, **options):
    """The result; None where it was refused in one sentence; every other end names the input."""
    what = (arguments, options) if what is None else what
    try:
        with in_time(what):
            return call(*arguments, **options)
    except InputError as error:
        said = str(error)
        whole = "\n" not in said and said.endswith(".") and len(said) < 1001
        assert whole, (said, f"{what!r:.300}")
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error!s:.200} for {what!r:.500}") from error


# --- files --------------------------------------------------------------------------------------

CELLS = [
    "", "0", "-1", "1e9", "9" * 400, "nan", "None", "../x.png", "/etc/passwd", "a\0b", "a" * 5000,
    "é", "\ufeff", "=1+1", '"', "'", "\r", "\n", ",", ";", "red", "red/00.png", ".", "..", "~",
    "٣", "~no-such-user/x", "C:\\x", "http://x/y.png", "x.png\u202egnp", "²", "\ud800",
]  # fmt: skip
VALUES = [
    "1", "-1", "1e999", "nan", "true", '""', '"x"', '"../x"', '"~no-such-user/x"', '"\\u0000"',
    "[]", "[1]", "[[1]]", "[nan]", "[0, 1e9]", '["a"]', "{}", "{a = 1}", "1979-05-27", "99" * 40,
    f'"{"a" * 5000}"', "[" * 4000, "[0]\n[x]\n[x]", "'''", '"a\nb"', "[true]", "[-0.0]",
]  # fmt: skip


def table_altered(dice: random.Random, content: bytes) -> bytes:
    """A CSV file in which fields or rows are replaced, added or gone."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    for _ in range(dice.randint(1, 4)):
        row, cell = dice.choice(rows), dice.choice(CELLS)
        place = dice.randrange(len(row) + 1)
        row[place : place + dice.randrange(2)] = [cell] * dice.choice([0, 1, 1, 1])
        if dice.random() < 0.2:
            rows.insert(dice.randrange(len(rows)), [*row])
    ends = dice.choice(["\n", "\r\n", "\r"])
    return ends.join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


def profile_altered(dice: random.Random, content: bytes) -> bytes:
    """A TOML file in which one value is another, or misspelt names stand."""
    lines = content.decode().splitlines()
    place = dice.choice([place for place, line in enumerate(lines) if " = " in line])
    key = lines[place].split(" = ")[0] if dice.random() < 0.8 else dice.choice(["", "a b", "é"])
    lines[place] = f"{key} = {dice.choice(VALUES)}"
    return "\n".join(lines).encode()


def header_altered(dice: random.Random, content: bytes) -> bytes:
    """A safetensors file whose header says something else."""
    size = int.from_bytes(content[:8], "little")
    said = json.loads(content[8 : 8 + size])
    entry = said[dice.choice([key for key in said if key != "__metadata__"])]
    entry[dice.choice(["dtype", "shape", "data_offsets"])] = dice.choice(
        ["F32", "I64", "X", [], [-1], [2**62], [2**62, 4], [0, 2**40], [5, 1], None, [[1]], 0, {}]
    )
    text = json.dumps(said).encode()
    length = dice.choice([len(text)] * 4 + [0, 2**63, len(text) + 9])
    return length.to_bytes(8, "little") + text + content[8 + size :]


def weights_files() -> dict[str, bytes]:
    """The same small state dict in every kind of file."""
    state = Small().state_dict()
    files = {
        "w.safetensors": safetensors.torch.save(state),
        "plain.pkl": pickle.dumps(dict.fromkeys(state, 1)),
    }
    whole = {"epoch": 1, "model": {"state_dict": state}}
    for name, saved in {"new.pth": state, "old.pth": state, "checkpoint.pt": whole}.items():
        torch.save(saved, name, _use_new_zipfile_serialization=name != "old.pth")
        files[name] = Path(name).read_bytes()
    return files


def table_files() -> dict[str, bytes]:
    """The two tables of the NIPS set, and one of one's own, beside their pictures."""
    for number in range(4):
        for path in (Path("images", f"p{number}.png"), Path("red", f"{number}.png")):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encoded(RGB))
    photos = [f"p{n},http://x.org/{n}.jpg,0.1,0.0,0.9,1.0,{n + 1},CC,A\\303" for n in range(4)]
    texts = {
        "dev_dataset.csv": ["ImageId,URL,x1,y1,x2,y2,TrueLabel,License,Author", *photos],
        "categories.csv": ["CategoryId,CategoryName", *(f"{n},class {n}" for n in range(1, 6))],
        "own.csv": ["path,label", *(f"red/{n}.png,{n % 3}" for n in range(4))],
    }
    return {name: "\n".join(lines).encode() for name, lines in texts.items()}


def read_table(path: Path):
    if path.name == "own.csv":
        return pictures_from(path, COLORS)
    return pictures_from(path.parent)


def read_weights(path: Path):
    state = weights.read_state_dict(path)
    assert all(map(torch.is_tensor, state.values()))
    return state


# How often, what is read, its whole files, and how else than by ``mutated`` some are altered.
FILES = {
    "tables": (900, read_table, table_files, {".csv": table_altered}),
    "profiles": (
        700,
        load_profile,
        lambda: {f"my-{path.name}": path.read_bytes() for path in BUILT_IN.glob("*.toml")},
        {".toml": profile_altered},
    ),
    "weights": (900, read_weights, weights_files, {".safetensors": header_altered}),
}


@pytest.mark.parametrize("kind", FILES)
def test_files(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    count, call, whole, alterations = FILES[kind]
    files, dice, read = whole(), random.Random(0), 0
    for name, content in files.items():
        Path(name).write_bytes(content)
    for number in range(count):
        name = list(files)[number % len(files)]
        altered = alterations.get(Path(name).suffix, mutated) if dice.random() < 0.7 else mutated
        content = altered(dice, files[name])
        Path(name).write_bytes(content)
        read += tried(call, tmp_path / name, what=(name, content)) is not None
        Path(name).write_bytes(files[name])
    assert 0 < read < count - 50


# --- what is in memory --------------------------------------------------------------------------

ODD = [
    None, True, False, 0, -1, 2, 1.5, -0.0, 1e300, math.nan, math.inf, 10**30, 1j, "", "red", "0",
    b"\x89PNG", (), [], {}, set(), [None], [[1]], {"a": 1}, range(3), iter([]), object(), len, int,
    lambda x: x, slice(None), np.int64(1), np.float16(0.5), np.array([]), np.array(3),
    np.array(["a"]), np.zeros((2, 2)), np.ma.masked, np.datetime64("nat"), torch.tensor(1),
    torch.tensor([]), pd.NA, torch.zeros(2, 2), torch.ones(2,
    device="meta"), pd.NaT, "\ud800",
    pd.Series([0, 1]), pd.DataFrame({"a": [1]}), Path("x"), Path("a\0"), "a" * 5000,
    "~no-such-user", Image.new("RGB", (4, 4)), Image.new("F", (2, 2)), torch.nn.Identity(),
    random.Random(0), "..", "/", Path("demo"), "DEMO", " demo", "//demo", "a\0.toml", "é\n",
]  # fmt: skip


def drawn(dice: random.Random, arguments: dict, another: float, strange: float) -> dict:
    """The first value of each argument; now and then another one, or something odd."""
    at = {name: dice.random() for name in arguments}
    return {
        name: dice.choice(ODD) if at[name] < strange
        else dice.choice(values) if at[name] < strange + another
        else values[0]
        for name, values in arguments.items()
    }  # fmt: skip


@pytest.mark.parametrize("given", ODD, ids=lambda given: type(given).__name__)
def test_whatever_stands_for_a_single_argument(given):
    """Pictures, class names and a profile, each by itself."""
    tried(open_picture, given)
    tried(class_list, given)
    found = tried(pictures_from, given, COLORS)
    assert found is None or len(found.labels()) == len(found)
    profile = tried(load_profile, given)
    assert profile is None or profile.name == "demo"


def test_tables_and_pairs_in_memory(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    arguments = {
        "picture": [encoded(RGB), RGB, tmp_path / "x.png"],
        "label": [0, 1, "red"],
        "class_names": [COLORS, None, dict(enumerate(COLORS))],
    }
    dice, read = random.Random(0), 0
    for number in range(600):
        some = [drawn(dice, arguments, another=0.5, strange=0.1) for _ in range(dice.randint(1, 3))]
        given = [(one["picture"], one["label"]) for one in some]
        if number % 2:
            given = pd.DataFrame(given, columns=["path", "label"], dtype=object)
            given = pd.concat([given] * dice.choice([1, 1, 2]), axis=dice.choice([0, 1]))
        names = some[0]["class_names"]
        found = tried(pictures_from, given, names, what=(given, names))
        read += found is not None and tried(found.sha256) is not None
    assert 20 < read < 500


IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
ATTACK = {
    "images": [
        IMAGES, IMAGES.half(), IMAGES.double(), IMAGES * 2, IMAGES[0], IMAGES[:, :1],
        IMAGES.to(int), IMAGES.numpy(), IMAGES.clone().requires_grad_(True), IMAGES.to_sparse(),
        IMAGES.to("meta"), IMAGES.cfloat(), IMAGES[:1].expand(2, 3, 16, 16),
    ],
    "labels": [
        [0, 1], torch.tensor([0, 1]), [0, 10], [0, 10**30], {0, 1}, "01", [0.0, 1.0], [[0], [1]],
        np.array([0, 1], np.uint64), pd.Series([0, 1], index=["a", "b"]), torch.ones(2).to("meta"),
    ],
    "epsilon": [
        0, 0.1, 1, [0.1, 0.2], torch.tensor([[0.1], [0.2]]), 8, -1, 1e-300, [0.1], "0.1",
        [0.1, math.nan], torch.tensor([0.1, 0.2], requires_grad=True), 10**400,
    ],
    "objective": ["cross_entropy", "true_logit", "nll"],
    "targeted": [True, False],
}  # fmt: skip
FGSM = {"clip": ["valid", "image", "both"]}
PGD = {"steps": [1, 2], "step_size": [0.1, 0], "start": [None, torch.zeros_like(IMAGES)]}


def test_arguments_of_the_attacks(tiny):
    network = {"classifier": [tiny(), networks.seeded().eval()]}
    dice, read = random.Random(0), 0
    for number in range(900):
        attack, more = [(attacks.fgsm, FGSM), (attacks.pgd, PGD)][number % 2]
        options = drawn(dice, network | ATTACK | more, another=0.3, strange=0.06)
        found = tried(attack, **options)
        if found is not None:
            read += 1
            images, most = options["images"], torch.as_tensor(options["epsilon"]).detach().double()
            assert (found.shape, found.dtype) == (images.shape, images.dtype)
            moved = (found.double() - images.double()).abs().flatten(1).amax(1)
            assert (moved <= most.flatten() + 1e-7).all()
            assert found.min() >= 0 and found.max() <= 1
    assert 100 < read < 800


STUDY = {
    "network": [Small().eval(), networks.Twice(), torch.nn.Identity(), Small(4)],
    "class_names": [COLORS, dict(enumerate(COLORS)), ["a"], None],
    "objective": ["cross_entropy", "true_logit", "nll"],
    "epsilon_255": [(0, 4), [4], np.array([1, 2]), [300], "12", [10**400]],
    "batch": [None, 1, np.int64(2), 0, "2", True],
    "device": [None, "cpu", torch.device("cpu"), "gpu", "meta"],
    "resize": [32, (32, 40), 0, "32", 10**9], "crop": [32, (32, 32), [16, 16], 64],
    "mean": [(0.5,) * 3, [0.5], (128,) * 3], "std": [(0.25,) * 3, (0,) * 3],
    "interpolation": ["bilinear", "bicubic", "sinc"],
}  # fmt: skip
ASKED = {
    "direction": ["gradient", "random", "up"], "bits": [None, 8, 16], "every": [1, 2, 0],
    "samples": [[0], [0, 41], [42]], "epsilon_255": [None, [0, 1], [0.5, 256]],
}  # fmt: skip


def test_arguments_of_a_study(noise_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dice, read = random.Random(0), 0
    for number in range(300):
        options = drawn(dice, STUDY, another=0.12, strange=0.05)
        images = dice.choice(ODD) if dice.random() < 0.1 else str(noise_folder)
        results = tmp_path / str(number) if dice.random() < 0.9 else dice.choice(ODD)
        study = tried(own_study, images=images, results=results, **options)
        if study is not None:
            asked = drawn(dice, ASKED, another=0.3, strange=0.08)
            table = tried(study.table, **asked, what=(options, asked))
            read += table is not None and set(table["epsilon_255"]) <= set(range(256))
    assert 20 < read < 290
    assert not list(tmp_path.rglob("*.unfinished"))  # no half result


# --- the command line ---------------------------------------------------------------------------

WORDS = [
    "", " ", "0", "-1", "1e400", "nan", "x", "a" * 5000, "~no-such-user/x", "/", ".", "no/x.png",
    "x.png", "é", "folder.png", "espresso", "٣", "²", "--", "tcp://", "mine.toml", "99999",
]  # fmt: skip
COMMANDS = {
    "attack x.png": ["--target", "--steps", "--epsilon", "-o", "--weights"],
    "attack": ["--steps"],
    "sweep --profile nips2017": ["--data", "--weights", "--arch", "--batch", "--workers", "--case"],
    "sweep --data none": ["--profile"],
    "fetch": ["--to"],
}


def test_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    photographs().read(0).save("x.png")
    Path("mine.toml").write_text('title = "Mine"\npictures = "folder"\narch = "resnet18"\n')
    load, once = weights.load_classifier, weights.load_classifier(device="cpu")

    def quickly(arch, *names, **given):
        return load(arch, *names, **given) if any(given.values()) else once

    monkeypatch.setattr(weights, "load_classifier", quickly)
    dice = random.Random(0)
    for _ in range(300):
        command = dice.choice(list(COMMANDS))
        arguments = command.split()
        if command in ("attack", "fetch"):
            arguments.append(dice.choice(WORDS))
        for _ in range(dice.randint(1, 2)):
            arguments += [dice.choice(COMMANDS[command]), dice.choice(WORDS)]
        with in_time(arguments):
            result = CliRunner().invoke(main, arguments)
        assert isinstance(result.exception, SystemExit | None), (arguments, result.exception)
        assert result.exit_code in (0, 1, 2), arguments
        if result.exit_code == 1:
            assert len(result.output.strip().splitlines()) == 1, (arguments, result.output)

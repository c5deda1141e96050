"""Some 10,800 hostile or odd inputs: each is used, or refused in one sentence, and never hangs.

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
from test_datasets import MODES, RGB, bomb, encoded, mutated

from fgsm_lib import InputError, attacks, own_study, weights
from fgsm_lib.cli import main
from fgsm_lib.datasets import class_list, csv_table, nips2017, open_picture, pictures_from
from fgsm_lib.profiles import BUILT_IN, load_profile
from fgsm_lib.shipped import photographs

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
        assert "\n" not in said and said.endswith(".") and len(said) < 1001, (
            said,
            f"{what!r:.300}",
        )
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error!s:.200} for {what!r:.500}") from error


# --- pictures: 6,000 -----------------------------------------------------------------------------


def picture_files() -> list[bytes]:
    """A file of each kind and mode, with what a file of that kind may carry along."""
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [bomb(9_000), encoded(RGB.astype(np.uint16)[..., 0])]
    rgba = Image.fromarray(np.dstack([RGB, RGB[..., :1]]))
    for kind, modes in MODES.items():
        for mode in modes if kind else ():
            channels = Image.merge("LAB", rgba.split()[:3]) if mode == "LAB" else rgba
            image = channels if mode in ("LAB", "RGBA", "LA") else channels.convert("RGB")
            image = image if image.mode == mode else image.convert(mode)
            files.append(encoded(image, kind, **({"exif": exif} if kind != "GIF" else {})))
    moving = [Image.fromarray(np.roll(RGB, 1)), Image.fromarray(RGB)]
    files += [encoded(moving[1], kind, save_all=True, append_images=moving)
              for kind in ("GIF", "PNG", "WEBP", "TIFF")]  # fmt: skip
    files += [
        encoded(moving[1], "JPEG", progressive=True),
        encoded(moving[1], "WEBP", lossless=True),
    ]
    files += [encoded(moving[1], "TIFF", compression=c) for c in ("tiff_lzw", "jpeg", "packbits")]
    return [*files, encoded(moving[1], "PNG", icc_profile=b"no profile", dpi=(0, 0))]


@pytest.mark.parametrize("seed", range(4))
def test_pictures(seed):
    files, dice, read = picture_files(), random.Random(seed), 0
    for number in range(1500):
        content = mutated(dice, files[number % len(files)])
        image = tried(open_picture, content, "scan 7", what=content)
        read += image is not None and image.mode == "RGB" and min(image.size) > 0
    assert 100 < read < 1400


# --- tables: 900 ---------------------------------------------------------------------------------

CELLS = [
    "", "0", "-1", "1e9", "9" * 400, "nan", "None", "../x.png", "/etc/passwd", "a\0b", "a" * 5000,
    "é", "\ufeff", "=1+1", '"', "'", "\r", "\n", ",", ";", "\t", "red", "red/00.png", ".", "..",
    "~",
    "٣", "~no-such-user/x", "C:\\x", "http://x/y.png", "x.png\u202egnp", "²", "\ud800",
]  # fmt: skip


def altered(dice: random.Random, text: str) -> bytes:
    """A table with a field, a row or the header replaced, or with other bytes."""
    if dice.random() < 0.3:
        return mutated(dice, text.encode())
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(dice.randint(1, 4)):
        row = dice.choice(rows)
        how = dice.randrange(5)
        if how == 0:
            row.append(dice.choice(CELLS))
        elif how == 1 and row:
            row.pop(dice.randrange(len(row)))
        elif how == 2:
            rows.insert(dice.randrange(len(rows)), list(dice.choice(rows)))
        elif row:
            row[dice.randrange(len(row))] = dice.choice(CELLS)
    ends = dice.choice(["\n", "\r\n", "\r"])
    return ends.join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def tables(tmp_path_factory, noise_folder):
    """A folder with pictures, the two tables of the NIPS set, and one of one's own."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "images").mkdir()
    lines = ["ImageId,URL,x1,y1,x2,y2,TrueLabel,License,Author"]
    for number in range(4):
        (folder / "images" / f"p{number}.png").write_bytes(encoded(RGB))
        lines.append(f"p{number},http://x.org/{number}.jpg,0.1,0.0,0.9,1.0,{number + 1},CC,A\\303")
    names = [f"{number},class {number}" for number in range(1, 6)]
    own = [f"{path.relative_to(noise_folder).as_posix()},{path.parent.name}"
           for path in sorted(noise_folder.rglob("*.png"))[::8]]  # fmt: skip
    texts = {
        "dev_dataset.csv": "\n".join(lines),
        "categories.csv": "\n".join(["CategoryId,CategoryName", *names]),
        "own.csv": "\n".join(["path,label", *own]),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder, texts, noise_folder


def test_tables(tables):
    folder, texts, noise_folder = tables
    dice, read = random.Random(0), 0
    for number in range(900):
        name = list(texts)[number % 3]
        path = (noise_folder if name == "own.csv" else folder) / name
        content = altered(dice, texts[name])
        path.write_bytes(content)
        try:
            if name == "own.csv":
                read += tried(csv_table, path, COLORS, what=content) is not None
                continue
            read += tried(nips2017, folder, what=(name, content)) is not None
        finally:
            path.write_text(texts[name]) if name != "own.csv" else path.unlink()
    assert 50 < read < 850


# --- profiles: 700 -------------------------------------------------------------------------------

TOML = [
    "1", "-1", "0", "1e999", "nan", "-inf", "true", '""', '"x"', '"../x"', '"~no-such-user/x"',
    '"\\u0000"', "[]", "[1]", "[[1]]", "[nan]", "[0, 1e9]", '["a"]', "{}", "{a = 1}",
    "1979-05-27", "99" * 40,
    f'"{"a" * 5000}"', "[" * 4000, "[0]\n[x]\n[x]", "'''", '"a\nb"', "0x10", "[true]", "[-0.0]",
]  # fmt: skip
KEYS = [
    "title", "pictures", "arch", "kind", "data", "weights", "weights_sha256", "objective", "clip",
    "cases", "shown", "training", "name", "epsilon_255", "epsilon_255.cases", "every", "a b", '"é"',
    "every.control", "epsilon_255.hypothesis", "", "epsilon_255.x",
]  # fmt: skip


def test_profiles(tmp_path):
    whole = [path.read_text() for path in BUILT_IN.glob("*.toml")]
    dice, read = random.Random(0), 0
    for number in range(700):
        text = dice.choice(whole)
        if number % 2:
            content = mutated(dice, text.encode())
        else:
            lines = text.splitlines()
            line = f"{dice.choice(KEYS)} = {dice.choice(TOML)}"
            lines.insert(dice.randrange(len(lines)), line)
            lines = [one for one in lines if one == line or not one.startswith(line.split(" ")[0])]
            content = "\n".join(lines).encode()
        (tmp_path / "mine.toml").write_bytes(content)
        read += tried(load_profile, tmp_path / "mine.toml", what=content) is not None
    assert 50 < read < 650


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/", "a\0.toml", "a" * 5000 + ".toml", "~no-such-user/x.toml", ".toml", "é",
    "\n",
     3, "demo.toml", "//demo", None, True, 1e9, b"demo", ("demo",), Path("demo"), "DEMO", " demo"],
)  # fmt: skip
def test_names_of_profiles(name):
    profile = tried(load_profile, name)
    assert profile is None or profile.name == "demo"


# --- weights: 900 --------------------------------------------------------------------------------


def weights_files(tmp_path: Path) -> dict[str, bytes]:
    """The same small state dict in every kind of file."""
    state = Small().state_dict()
    files = {}
    for name, save in {
        "w.safetensors": lambda path: safetensors.torch.save_file(state, path),
        "new.pth": lambda path: torch.save(state, path),
        "old.pth": lambda path: torch.save(state, path, _use_new_zipfile_serialization=False),
        "checkpoint.pt": lambda path: torch.save(
            {"epoch": 1, "model": {"state_dict": state}}, path
        ),
        "plain.pkl": lambda path: path.write_bytes(pickle.dumps({k: 1 for k in state})),
    }.items():
        save(tmp_path / name)
        files[name] = (tmp_path / name).read_bytes()
    return files


def header(dice: random.Random, content: bytes) -> bytes:
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


def test_weights(tmp_path):
    files, dice, read = weights_files(tmp_path), random.Random(0), 0
    for number in range(900):
        name = list(files)[number % len(files)]
        content = mutated(dice, files[name])
        if name == "w.safetensors" and dice.random() < 0.7:
            content = header(dice, files[name])
        (tmp_path / name).write_bytes(content)
        state = tried(weights.read_state_dict, tmp_path / name, what=(name, content[:200]))
        read += state is not None
        assert state is None or all(map(torch.is_tensor, state.values()))
    assert 5 < read < 800


# --- what is in memory: 1,400 --------------------------------------------------------------------

ODD = [
    None, True, False, 0, -1, 2, 1.5, -0.0, 1e300, math.nan, math.inf, 10**30, 1j, "", "red", "0",
    b"\x89PNG", (), [], {}, set(), [None], [[1]], {"a": 1}, range(3), iter([]), object(), len, int,
    lambda x: x, slice(None), np.int64(1), np.float16(0.5), np.array([]), np.array(3),
    np.array(["a"]), np.zeros((2, 2)), np.ma.masked, np.datetime64("nat"), torch.tensor(1),
    torch.tensor([]), pd.NA, torch.zeros(2, 2), torch.eye(2).to_sparse(), torch.ones(2,
    device="meta"), pd.NaT, "\ud800",
    pd.Series([0, 1]), pd.DataFrame({"a": [1]}), Path("x"), Path("a\0"), "a" * 5000,
    "~no-such-user", Image.new("RGB", (4, 4)), Image.new("F", (2, 2)), torch.nn.Identity(),
    random.Random(0),
]  # fmt: skip


def odd(dice: random.Random) -> object:
    return dice.choice(ODD)


def drawn(dice: random.Random, arguments: dict, another: float, strange: float) -> dict:
    """The first value of each argument; now and then another one, or something odd."""
    at = {name: dice.random() for name in arguments}
    return {
        name: odd(dice) if at[name] < strange
        else dice.choice(values) if at[name] < strange + another
        else values[0]
        for name, values in arguments.items()
    }  # fmt: skip


def test_data_frames_and_datasets():
    dice, read = random.Random(0), 0
    for number in range(500):
        count = dice.randint(1, 3)
        column = dice.choice(["path", "image", "image", "label", "x", 3])
        values = [dice.choice([RGB, encoded(RGB), odd(dice)]) for _ in range(count)]
        labels = [dice.choice([0, 1, "red", odd(dice)]) for _ in range(count)]
        names = dice.choice([COLORS, COLORS, None, odd(dice)])
        if number % 2:
            given = list(zip(values, labels, strict=True))
            given = dice.choice([given, tuple(given), [*given, odd(dice)], odd(dice)])
        else:
            given = pd.DataFrame(index=range(count))
            given[column] = pd.Series(values, dtype=object)
            given["label"] = pd.Series(labels, dtype=object)
            given = (
                pd.concat([given, given], axis=dice.choice([0, 1]))
                if dice.random() < 0.2
                else given
            )
        found = tried(pictures_from, given, names, what=(given, names))
        read += found is not None and len(found.labels()) == len(found)
    assert 20 < read < 400


def test_names_of_classes():
    dice, read = random.Random(0), 0
    keys = [0, 1, 2, "0", "1", "red", "green", -1, 1.0, True, None, 10**30, (1,), np.int64(1), "²"]
    for _ in range(300):
        pairs = [(dice.choice(keys), dice.choice(keys)) for _ in range(dice.randint(0, 3))]
        given = dict(pairs) if dice.random() < 0.8 else [key for key, _ in pairs]
        found = tried(class_list, given)
        read += found is not None
        assert found is None or (len(found) > 1 and all(isinstance(name, str) for name in found))
    assert 5 < read < 250


IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
ARGUMENTS = {
    "images": [
        IMAGES, IMAGES.half(), IMAGES.double(), IMAGES * 2, IMAGES[0], IMAGES[:, :1],
        IMAGES.to(int), IMAGES.numpy(), IMAGES.clone().requires_grad_(True), IMAGES.to_sparse(),
        IMAGES.to("meta"),
        IMAGES.to(torch.float8_e4m3fn), IMAGES.cfloat(), IMAGES[:1].expand(2, 3, 16, 16),
    ],
    "labels": [
        [0, 1], [1, 0], torch.tensor([0, 1]), [0, 10], [0, 10**30], {0, 1}, "01", [0.0, 1.0],
        [[0], [1]], np.array([0, 1], np.uint64), pd.Series([0, 1], index=["a", "b"]),
        torch.ones(2).to("meta"),
    ],
    "epsilon": [
        0, 0.1, 1, [0.1, 0.2], torch.tensor([0.1, 0.2]), torch.tensor([[0.1], [0.2]]), 8, -1,
        1e-300, [0.1], "0.1", [0.1, math.nan], torch.tensor([0.1, 0.2], requires_grad=True),
        10**400,
    ],
    "objective": ["cross_entropy", "true_logit", "nll"],
    "clip": ["valid", "image", "both"],
    "targeted": [True, False],
}  # fmt: skip


def test_arguments_of_the_attacks(tiny):
    whole, dice, read = tiny(), random.Random(0), 0
    bare = networks.seeded().eval()
    for number in range(900):
        options = drawn(dice, ARGUMENTS, another=0.3, strange=0.06)
        options["classifier"] = odd(dice) if dice.random() < 0.05 else dice.choice([whole, bare])
        attack = attacks.fgsm
        if number % 3 == 0:
            del options["clip"]
            more = {
                "steps": [1, 2],
                "step_size": [0.1, 0],
                "start": [None, torch.zeros_like(IMAGES)],
            }
            options |= drawn(dice, more, another=0.4, strange=0.1)
            attack = attacks.pgd
        found = tried(attack, **options)
        if found is None:
            continue
        read += 1
        images, most = options["images"], torch.as_tensor(options["epsilon"]).detach().double()
        assert (found.shape, found.dtype) == (images.shape, images.dtype)
        assert (
            (found.double() - images.double()).abs().flatten(1).amax(1) <= most.flatten() + 1e-7
        ).all()
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


def test_arguments_of_a_study(noise_folder, tmp_path):
    dice, read = random.Random(0), 0
    for number in range(300):
        options = drawn(dice, STUDY, another=0.12, strange=0.05)
        images = odd(dice) if dice.random() < 0.1 else str(noise_folder)
        results = tmp_path / str(number) if dice.random() < 0.9 else odd(dice)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            study = tried(own_study, images=images, results=results, **options)
            if study is None:
                continue
            asked = drawn(dice, ASKED, another=0.3, strange=0.08)
            table = tried(study.table, **asked, what=(options, asked))
        read += table is not None and set(table["epsilon_255"]) <= set(range(256))
    assert 20 < read < 290
    assert not list(tmp_path.rglob("*.unfinished"))  # no half result


# --- the command line: 300 -----------------------------------------------------------------------

WORDS = [
    "", " ", "0", "-1", "1e400", "nan", "x", "a" * 5000, "~no-such-user/x", "/", ".", "no/x.png",
    "x.png", "é", "folder.png", "espresso", "٣", "²", "--", "tcp://", "mine.toml", "99999",
]  # fmt: skip


def test_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "x.png").write_bytes(encoded(RGB))
    (tmp_path / "mine.toml").write_text('title = "Mine"\npictures = "folder"\narch = "resnet18"\n')
    load, once = weights.load_classifier, weights.load_classifier(device="cpu")

    def quickly(arch, *names, **given):
        return load(arch, *names, **given) if any(given.values()) else once

    monkeypatch.setattr(weights, "load_classifier", quickly)
    given = {
        "attack": ["--target", "--steps", "--epsilon", "-o", "--weights"],
        "sweep": ["--profile", "--data", "--weights", "--arch", "--batch", "--workers", "--case"],
        "fetch": ["--to"],
    }
    coffee, dice = str(tmp_path / "coffee.png"), random.Random(0)
    photographs().read(0).save(coffee)
    for number in range(300):
        command = dice.choice(["attack", "attack", "sweep", "fetch"])
        arguments = [command]
        if command == "attack" and number % 10:
            arguments.append(["x.png", coffee, dice.choice(WORDS)][number % 3])
        for _ in range(dice.randint(1, 2)):
            arguments += [dice.choice(given[command]), dice.choice(WORDS)]
        if command == "sweep" and "--profile" not in arguments:
            arguments += ["--profile", "nips2017"]  # else the demo would be swept
        if command == "fetch":
            arguments.insert(1, dice.choice(WORDS))
        with in_time(arguments):
            result = CliRunner().invoke(main, arguments)
        assert isinstance(result.exception, SystemExit | None), (arguments, result.exception)
        assert result.exit_code in (0, 1, 2), arguments
        if result.exit_code == 1:
            assert len(result.output.strip().splitlines()) == 1, (arguments, result.output)

"""Hostile and accidental input, thousands of times: the readers answer, or say what is wrong.

Every case ends with a value or an InputError of one line. It all happens in a process of its own
that may use 2 GB and a limited time, in a folder that is compared before and after.
"""

import csv
import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fgsm_lib.classifiers import load_classifier, read_state_dict
from fgsm_lib.datasets import read_class_names, read_photos, read_rgb
from fgsm_lib.errors import InputError
from fgsm_lib.profiles import load_profile
from fgsm_lib.shards import read_fingerprint

GIGABYTES = 2
SECONDS = 600
CASES = {"tables": 1500, "images": 1500, "weights": 1200, "profiles": 1200, "results": 300}


# --- the promise --------------------------------------------------------------------------------


def answers(read: Callable[[], object]) -> object:
    """The value, or None where the reader said in one line what is wrong. Anything else fails."""
    try:
        return read()
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000, str(error)[:300]
        return None


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_size for path in folder.rglob("*")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_a_reader_answers_whatever_it_is_given(kind, tmp_path, tmp_path_factory):
    """One reader, in a process with limited memory and time."""
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "secret.png").write_bytes(png(np.zeros((4, 4, 3), np.uint8)))
    before = snapshot(outside)
    done = subprocess.run(
        [sys.executable, __file__, kind, str(work)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
            # Hypothesis keeps notes of its own; in the compared folder they would look like a leak.
            "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path_factory.mktemp("notes")),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["cases"] >= CASES[kind]
    assert report["refused"] > 0
    assert report["read"] > 0
    assert snapshot(outside) == before
    assert {path.name for path in tmp_path.iterdir()} == {"work", "outside"}


# --- hostile files ------------------------------------------------------------------------------


def png(array: np.ndarray, mode: str | None = None, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def bomb(side: int, rows: int) -> bytes:
    """A PNG that claims side² pixels and whose few bytes unpack to ``rows`` of them."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes((3 * side + 1) * rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    )


def hostile_images() -> list[bytes]:
    rng = np.random.default_rng(0)
    color = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    deep = rng.integers(0, 65536, (9, 7), dtype=np.uint16)
    frames = [Image.fromarray(np.roll(color, step, 0)) for step in range(3)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    moving = io.BytesIO()
    frames[0].save(moving, "PNG", save_all=True, append_images=frames[1:])
    turned = [Image.Exif() for _ in range(8)]
    for number, exif in enumerate(turned, start=1):
        exif[0x0112] = number
    transparent = np.dstack([color, color[:, :, :1]])
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000)))
    whole = png(color)
    return [
        whole,
        png(deep),
        png(color, "P"),
        png(color, "1"),
        png(color, "L"),
        png(color, "LA"),
        png(color, "CMYK", "JPEG"),
        png(color, "CMYK", "TIFF"),
        png(color, "F", "TIFF"),
        png(color, "I", "TIFF"),
        png(color, "LAB", "TIFF"),
        png(color, kind="WEBP"),
        png(color, kind="BMP"),
        png(transparent),
        animated.getvalue(),
        moving.getvalue(),
        *(png(color, kind="JPEG", exif=exif) for exif in turned),
        bomb(60_000, 10),
        bomb(9_000, 9_000),
        bomb(14_000, 1_000),
        bomb(2**31 - 1, 0),
        bomb(0, 0),
        whole[:33] + text + whole[33:],
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ]


class Trap:
    """Unpickled naively, it creates a file."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def hostile_weights(trap: Path) -> list[tuple[str, bytes]]:
    state = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}
    good = safetensors.torch.save(state)
    headers: list[object] = [
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
        {"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**60]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
        {"w": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}},
        {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"},
        {"w": None},
        [],
        {},
        "text",
    ]
    files = [(".safetensors", good)]
    for header in headers:
        text = json.dumps(header).encode()
        files.append((".safetensors", struct.pack("<Q", len(text)) + text + bytes(8)))
    files += [
        (".safetensors", struct.pack("<Q", length) + b"{}") for length in (2**63, 2**40, 0, 3)
    ]
    for content in (state, [1], {"a": 1}, {"w": Trap(str(trap))}, Trap(str(trap)), {1: state}):
        for old in (False, True):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=not old)
            files.append((".pth", buffer.getvalue()))
    for protocol in range(6):
        data = pickle.dumps({"w": Trap(str(trap))}, protocol=protocol)
        files += [(".pth", data), (".safetensors", data)]
    return files


def mutated(files: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """A file as it is, cut off, with bytes changed, or with others in front."""

    @st.composite
    def mutate(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(files))
        how = draw(st.sampled_from(["whole", "cut", "flip", "flip", "front", "repeat"]))
        if not data or how == "whole":
            return bytes(data)
        if how == "cut":
            return bytes(data[: draw(st.integers(0, len(data)))])
        if how == "flip":
            for _ in range(draw(st.integers(1, 6))):
                data[draw(st.integers(0, min(len(data), 400) - 1))] = draw(st.integers(0, 255))
            return bytes(data)
        if how == "front":
            return draw(st.binary(max_size=20)) + bytes(data)
        return bytes(data) * 2

    return mutate()


# --- one check per reader; each is called with a folder of its own -------------------------------

IDS = st.one_of(
    st.sampled_from(
        ["a", "b", "../outside/secret", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "link", "a\0",
         "~", "CON", "a.png", "%2e%2e", "é", "a" * 300, " a", "a\n", "-rf", "\ufeffa", "９"]
    ),
    st.text(max_size=8),
)  # fmt: skip
LABELS = st.one_of(
    st.sampled_from(["1", "2", "3", "0", "-1", "1.0", "", "１", "²", "9" * 30, "1e0", " 1", "nan"]),
    st.text(max_size=4),
)  # fmt: skip
CELLS = st.text(max_size=12) | st.sampled_from(
    ['"', "a,b", '"a', "\\303\\251", "\\400", "\r", "\0"]
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """dev_dataset.csv and categories.csv, well-formed or not."""
    fitting = st.sampled_from([["ImageId", "TrueLabel"], ["ImageId", "TrueLabel", "Author"]])
    columns = draw(
        fitting
        | fitting
        | st.lists(st.sampled_from(["ImageId", "TrueLabel", "Author", ""]), max_size=4)
    )
    makers = {"ImageId": IDS, "TrueLabel": LABELS}
    good = st.just(["a", "1", "x"][: len(columns)])
    odd = st.tuples(*(makers.get(column, CELLS) for column in columns)).map(list)
    row = st.one_of(good, good, good, odd, st.lists(CELLS, max_size=4))
    rows = [draw(good), *draw(st.lists(row, max_size=4))]
    rows += rows[:1] if draw(st.booleans()) else []
    classes = draw(
        st.just([["1", "a"], ["2", "b"]]) | st.lists(st.tuples(LABELS, CELLS), max_size=4)
    )
    files = []
    for table in ([columns, *rows], [["CategoryId", "CategoryName"], *classes]):
        text = io.StringIO()
        quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        csv.writer(text, quoting=quoting, escapechar="\\").writerows(table)
        mark = draw(st.sampled_from(["", "", "\ufeff"]))
        coding = draw(st.sampled_from([*["utf-8"] * 8, "utf-16", "latin-1"]))
        files.append((mark + text.getvalue()).encode(coding, errors="replace"))
    return tuple(draw(st.just(file) | mutated(st.just(file))) for file in files)


def check_tables(folder: Path, files: tuple[bytes, bytes]) -> object:
    images = folder / "images"
    if not images.is_dir():
        images.mkdir()
        (images / "a.png").write_bytes(png(np.zeros((4, 4, 3), np.uint8)))
        (images / "link.png").symlink_to(folder.parent / "outside" / "secret.png")
        (images / "loop.png").symlink_to("loop.png")
    for name, content in zip(("dev_dataset.csv", "categories.csv"), files, strict=True):
        (folder / name).write_bytes(content)
    photos = answers(lambda: read_photos(folder, read_class_names(folder)))
    for photo in photos or ():
        assert photo.path.parent == images
        assert photo.label >= 0
        assert photo.path.name in {path.name for path in images.iterdir()}
    return photos


def check_image(folder: Path, content: bytes) -> object:
    path = folder / "image.png"
    path.write_bytes(content)
    image = answers(lambda: read_rgb(path))
    if image is not None:
        assert image.mode == "RGB"
        assert np.asarray(image).shape == (image.height, image.width, 3)
    return image


def check_weights(folder: Path, file: tuple[str, bytes]) -> object:
    path = folder / f"weights{file[0]}"
    path.write_bytes(file[1])
    state = answers(lambda: read_state_dict(path))
    assert answers(lambda: load_classifier("squeezenet1_0", ["a"], path)) is None
    assert not (folder / "executed").exists()
    return state


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)  # fmt: skip
KEYS = st.sampled_from(
    ["title", "arch", "images", "data", "weights", "weights_sha256", "objective", "clip", "cases",
     "epsilon_255", "name", "x"]
)  # fmt: skip
GRIDS = st.fixed_dictionaries(
    {},
    optional={
        key: VALUES | st.just([0, 1, 4])
        for key in ("cases", "hypothesis", "all_images", "control", "x")
    },
)


def toml(value: object) -> str:
    """A value as TOML; what TOML lacks (None) becomes a broken file."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value) if isinstance(value, float) else json.dumps(value)


@st.composite
def profiles(draw: st.DrawFn) -> bytes:
    values = {"title": "t", "arch": "resnet18"} if draw(st.booleans()) else {}
    values |= draw(st.just({}) | st.dictionaries(KEYS, VALUES | st.text(max_size=5), max_size=4))
    if draw(st.booleans()):
        values["epsilon_255"] = draw(GRIDS)
    text = "\n".join(f"{key} = {toml(value)}" for key, value in values.items())
    data = st.just(text.encode(errors="replace"))
    return draw(data | data | mutated(data) | st.binary(max_size=40))


def check_profile(folder: Path, content: bytes) -> object:
    path = folder / "mine.toml"
    path.write_bytes(content)
    profile = answers(lambda: load_profile(str(path)))
    if profile is not None:
        assert profile.sweep_epsilon_255[0] == 0
        assert profile.sweep_epsilon_255[-1] <= 255
        assert isinstance(profile.title, str)
    return profile


def check_result(folder: Path, content: bytes) -> object:
    """A table of a sweep that something damaged: as good as none, so it is computed again."""
    path = folder / "sweep.parquet"
    path.write_bytes(content)
    return answers(lambda: read_fingerprint(path))


def parquet(folder: Path) -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = pa.table({"sample": [0, 1]})
    files = []
    for metadata in (None, {"fingerprint": "f" * 64}, {b"fingerprint": b"\xff\xfe"}):
        pq.write_table(plain.replace_schema_metadata(metadata), folder / "made.parquet")
        files.append((folder / "made.parquet").read_bytes())
    return [*files, b"", b"PAR1", b"PAR1PAR1", b'{"fingerprint": 1}']


def run(kind: str, folder: Path) -> dict[str, int]:
    """All cases of one kind; returns how many were read and how many refused."""
    trap = folder / "executed"
    fixed = {"images": hostile_images, "weights": lambda: hostile_weights(trap)}
    corpus = fixed.get(kind, list)()
    if kind == "results":
        corpus = parquet(folder)
    check, strategy = {
        "tables": (check_tables, tables()),
        "images": (check_image, mutated(st.sampled_from(corpus or [b""]))),
        "weights": (
            check_weights,
            st.sampled_from(corpus or [("", b"")]).flatmap(
                lambda file: st.tuples(st.just(file[0]), mutated(st.just(file[1])))
            ),
        ),
        "profiles": (check_profile, profiles()),
        "results": (check_result, mutated(st.sampled_from(corpus or [b""]))),
    }[kind]
    report = {"cases": 0, "read": 0, "refused": 0}

    def count(case: object) -> None:
        result = check(folder, case)
        report["cases"] += 1
        report["read" if result is not None else "refused"] += 1

    for case in corpus:
        count(case)

    @settings(
        max_examples=CASES[kind],
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def fuzz(case):
        count(case)

    fuzz()
    return report


if __name__ == "__main__":
    torch.set_num_threads(1)
    with Path("/proc/self/statm").open() as statm:  # what importing torch took is not the readers'
        taken = int(statm.read().split()[0]) * resource.getpagesize()
    limit = taken + GIGABYTES * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps(run(sys.argv[1], Path(sys.argv[2]).resolve())))

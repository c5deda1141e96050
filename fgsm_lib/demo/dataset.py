"""The 1000 demo pictures on disk, in the layout of the NIPS 2017 set.

::

    folder/
        dev_dataset.csv       ImageId, TrueLabel and TargetClass (1-indexed)
        categories.csv        CategoryId (1-indexed), CategoryName
        images/<ImageId>.png  299 x 299, RGB
        manifest.json         what was written, to notice what was altered

The folder is a cache: it can be deleted at any time, and it is mended by the next call.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fgsm_lib.demo.images import CLASS_NAMES, Picture, label_of, picture
from fgsm_lib.demo.png import encode_png
from fgsm_lib.demo.roles import read_roles, sample_order
from fgsm_lib.demo.version import generator_version
from fgsm_lib.demo.workers import in_processes
from fgsm_lib.errors import InputError
from fgsm_lib.files import replacing

SEED = 0
HARDNESS = 2.0  # spreads the confidences of the shipped classifier over all bins
_PICTURES_PER_TASK = 10


@dataclass(frozen=True)
class ImageFile:
    """What the manifest knows about one image."""

    size: int  # bytes
    mtime_ns: int
    sha256: str


def ensure_demo_set(
    folder: Path,
    count: int = 1000,
    progress: bool = True,
    roles: Mapping[int, int] | None = None,
    processes: int | None = None,
) -> Path:
    """Make the demo set in ``folder``, or what is missing of it; at once if it is complete.

    An image is taken to be unaltered when its size and time are those in the manifest; when only
    the time differs (the folder was copied), its hash decides.

    Args:
        folder: created if need be.
        count: how many images; below 1000 for a quick look.
        progress: show a progress bar.
        roles: which picture stands at which position, see ``numbering``; by default the shipped
            roles. Empty for the pictures in the order in which they are generated.
        processes: worker processes; by default one per available core.

    Returns:
        ``folder``.

    Raises:
        InputError: the folder cannot be written (no space, no permission, not a folder).
    """
    folder = Path(folder)
    roles = read_roles() if roles is None else roles
    try:
        _ensure(folder, count, progress, roles, processes)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{folder}: cannot store the demo images there ({reason}); expected a folder to "
            f"write to with {max(1, count * 160 // 1000)} MB of free space. "
            "What is already there is used by the next run."
        ) from error
    return folder


def demo_picture(index: int) -> Picture:
    """Generated picture ``index`` of the demo set, before numbering."""
    return picture(SEED, index, hardness=HARDNESS)


def image_id(index: int) -> str:
    """The name of generated picture ``index``: 16 hexadecimal digits, as in the NIPS 2017 set."""
    return hashlib.sha256(f"demo {SEED} {index}".encode()).hexdigest()[:16]


def _ensure(
    folder: Path, count: int, progress: bool, roles: Mapping[int, int], processes: int | None
) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.json"
    known = _read_manifest(manifest)
    checked = {index: _unaltered(folder, index, known) for index in range(count)}
    to_make = [index for index, file in checked.items() if file is None]
    if to_make and known:
        print(
            f"{folder}: {len(to_make)} of {count} demo images missing or altered; "
            "making them again",
            flush=True,
        )
    elif to_make and manifest.exists():
        print(f"{folder}: made by another version of the generator; making it again", flush=True)
    # Tables first: if the disk is full, it shows before the work.
    _write_if_different(folder / "categories.csv", _categories())
    _write_if_different(folder / "dev_dataset.csv", _samples(sample_order(count, roles)))
    made = dict(_make_images(folder, to_make, progress, processes))
    files = {image_id(index): asdict(file) for index, file in (checked | made).items()}
    content = {"generator": _version(), "images": files}
    _write_if_different(manifest, json.dumps(content, indent=0) + "\n")


def _version() -> str:
    return f"{generator_version()}-{SEED}-{HARDNESS}"


def _read_manifest(path: Path) -> dict[str, ImageFile]:
    """The files by image id; empty if there is no manifest of this generator."""
    try:
        content = json.loads(path.read_text())
        if content["generator"] != _version():
            return {}
        return {name: ImageFile(**file) for name, file in content["images"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):  # damaged: as good as none
        return {}


def _unaltered(folder: Path, index: int, known: Mapping[str, ImageFile]) -> ImageFile | None:
    """The present state of an image if it is as the manifest says, else None."""
    expected = known.get(image_id(index))
    path = _image_path(folder, index)
    if expected is None or not path.is_file():
        return None
    found = path.stat()
    if found.st_size != expected.size:
        return None
    if found.st_mtime_ns == expected.mtime_ns:
        return expected
    if hashlib.sha256(path.read_bytes()).hexdigest() != expected.sha256:
        return None
    return ImageFile(expected.size, found.st_mtime_ns, expected.sha256)


def _make_images(
    folder: Path, indices: list[int], progress: bool, processes: int | None
) -> Iterable[tuple[int, ImageFile]]:
    tasks = [
        (folder, indices[start : start + _PICTURES_PER_TASK])
        for start in range(0, len(indices), _PICTURES_PER_TASK)
    ]
    disable = not (progress and indices)
    with tqdm(total=len(indices), desc="demo images", unit="image", disable=disable) as bar:
        for made in in_processes(_make_some, tasks, processes):
            bar.update(len(made))
            yield from made


def _make_some(task: tuple[Path, list[int]]) -> list[tuple[int, ImageFile]]:
    """Runs in a worker process."""
    folder, indices = task
    made = []
    for index in indices:
        content = encode_png(demo_picture(index).pixels)
        path = _image_path(folder, index)
        _write(path, content)
        found = path.stat()
        sha256 = hashlib.sha256(content).hexdigest()
        made.append((index, ImageFile(found.st_size, found.st_mtime_ns, sha256)))
    return made


def _image_path(folder: Path, index: int) -> Path:
    return folder / "images" / f"{image_id(index)}.png"


def _categories() -> str:
    rows = [(label + 1, name) for label, name in enumerate(CLASS_NAMES)]
    return _csv(("CategoryId", "CategoryName"), rows)


def _samples(order: list[int]) -> str:
    rows = []
    for index in order:
        label = label_of(SEED, index)
        target = _target_class(index, label)
        rows.append((image_id(index), label + 1, target + 1))
    return _csv(("ImageId", "TrueLabel", "TargetClass"), rows)


def _target_class(index: int, label: int) -> int:
    """A random class other than the label, for targeted attacks."""
    shift = np.random.default_rng([SEED, index, 2]).integers(1, len(CLASS_NAMES))
    return int(label + shift) % len(CLASS_NAMES)


def _csv(header: tuple[str, ...], rows: list[tuple]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _write_if_different(path: Path, text: str) -> None:
    content = text.encode()
    if not path.is_file() or path.read_bytes() != content:
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)

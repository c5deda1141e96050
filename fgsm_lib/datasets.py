"""Where pictures come from: the NIPS 2017 set, folders, tables, torch's data sets, what we ship.

Each function returns a ``Pictures``, whose labels and sample numbers count from 0. What cannot be
used raises InputError, which names the file and the row; files of a folder that are no part of
the set are named in a warning and in ``left_out``.
"""

import html
import importlib.util
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq

from fgsm_lib import InputError, expanded
from fgsm_lib.classes import ClassNames, class_list, imagenet_classes, labels_of, own_names
from fgsm_lib.pictures import Picture, Pictures
from fgsm_lib.words import first_line

if TYPE_CHECKING:
    from fgsm_lib.profiles import Profile

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")

CC0 = ("CC0", "https://creativecommons.org/publicdomain/zero/1.0/")
SPACEX = (
    "public domain",
    "https://arstechnica.com/tech-policy/2015/03/elon-musk-puts-spacex-photos-into-the-public-domain/",
)
# Name, file, ImageNet class, author, license: all that scikit-image's documentation declares free
# and that ImageNet has a class for. (It says nothing of the license of its motorcycle.)
PHOTOGRAPHS = (
    ("coffee", "coffee.png", "espresso", "Rachel Michetti", CC0),
    ("camera", "camera.png", "tripod", "Lav Varshney", CC0),
    ("rocket", "rocket.jpg", "missile", "SpaceX", SPACEX),
    ("chelsea", "chelsea.png", "Egyptian cat", "Stéfan van der Walt", CC0),
)


def pictures_from(source: Any, class_names: ClassNames | None = None) -> Pictures:
    """Pictures, whatever they are given as.

    Args:
        source: a folder in the layout of the NIPS 2017 set or with one subfolder per class, a CSV
            file, a data frame, a torch Dataset (or any sequence of pairs), or a Pictures.
        class_names: see ``class_list``; None where the set says them itself.
    """
    if isinstance(source, Pictures):
        if class_list(class_names) not in (None, source.class_names):
            raise InputError("class_names are others than the pictures'; expected theirs, or None.")
        return source
    if isinstance(source, pd.DataFrame):
        return data_frame(source, class_names)
    if isinstance(source, str | os.PathLike):
        path = expanded(source)
        if _is_file(path / "dev_dataset.csv"):
            return nips2017(path, class_names)
        is_table = path.suffix.lower() == ".csv" and _is_file(path)
        return csv_table(path, class_names) if is_table else class_folders(path, class_names)
    has_items = isinstance(source, Sized) and hasattr(source, "__getitem__")
    if has_items and not isinstance(source, Mapping) and getattr(source, "ndim", 1) > 0:
        return torch_dataset(source, class_names)
    raise InputError(
        f"the pictures are a {type(source).__name__}; expected a folder, a CSV file, a data frame "
        "or a torch Dataset with a length."
    )


def of_profile(profile: "Profile") -> Pictures:
    """The pictures of a profile, see ``profiles.Profile``."""
    if profile.pictures == "toys":
        return demo_toys()
    if profile.pictures == "photographs":
        return photographs()
    if not profile.data:
        raise InputError(
            f"the profile {profile.name} needs a folder of photographs: DATA=<folder with "
            "dev_dataset.csv and images/>, or fgsm fetch nips2017."
        )
    if _is_file(Path(profile.data) / "dev_dataset.csv") or not Path(profile.data).exists():
        return nips2017(profile.data)
    return pictures_from(profile.data, imagenet_classes())


# --- what is shipped ----------------------------------------------------------------------------


def photographs() -> Pictures:
    """Photographs that scikit-image ships and that may be published, with ImageNet's classes."""
    names = imagenet_classes()
    # To import it would take a second.
    folder = Path(importlib.util.find_spec("skimage").origin).parent / "data"
    rows = []
    for sample, (name, file, class_name, author, (license, license_url)) in enumerate(PHOTOGRAPHS):
        page = f"https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.{name}"
        credit = (author, license, license_url, page)
        label = names.index(class_name)
        rows.append(Picture(sample, name, label, class_name, folder / file, *credit))
    return Pictures("photographs", names, rows)


def demo_toys() -> Pictures:
    """The generated pictures of toys, which this library ships: 256 × 256, WebP."""
    table = pq.read_table(Path(__file__).parent / "demo" / "toys.parquet")
    names = json.loads(table.schema.metadata[b"class_names"])
    rows = [
        Picture(
            sample, f"{row['name']} ({sample})", row["label"], names[row["label"]], row["image"]
        )
        for sample, row in enumerate(table.to_pylist())
    ]
    return Pictures("generated pictures of toys", names, rows)


# --- the NIPS 2017 set --------------------------------------------------------------------------


def nips2017(folder: str | Path, class_names: ClassNames | None = None) -> Pictures:
    """Photographs in the layout of the NIPS 2017 adversarial learning development set.

    ``dev_dataset.csv`` has the columns ImageId and TrueLabel, which counts from 1, and perhaps
    Author, License and OriginalLandingURL; ``images/<ImageId>.png`` are the photographs. Names of
    classes are those given, those of ``categories.csv`` (CategoryId from 1, CategoryName) or
    ImageNet's. A sample's number is its row in the table; photographs that are listed but absent
    are left out.
    """
    folder = expanded(folder).absolute()
    table, images = folder / "dev_dataset.csv", folder / "images"
    names = class_list(class_names) or _categories(folder / "categories.csv")
    rows = read_csv(table, ["ImageId", "TrueLabel"])
    present = {path.name for path in _visible(images)}
    listed = [
        _photograph(f"{table}: row {sample + 1}", images, sample, row, names)
        for sample, row in enumerate(rows)
    ]
    wanted = {photo.source.name for photo in listed}
    if len(wanted) < len(listed):
        raise InputError(f"{table}: an ImageId occurs twice; expected each of them once.")
    if not wanted & present:
        raise InputError(f"{images}: none of the {len(rows)} photographs of {table.name} is there.")
    absent = [f"{name} (absent)" for name in sorted(wanted - present)]
    left_out = _left_out(folder, absent + sorted(present - wanted))
    there = [photo for photo in listed if photo.source.name in present]
    return Pictures("photographs", names, there, left_out)


def _categories(path: Path) -> list[str]:
    if not path.is_file():
        return imagenet_classes()
    rows = read_csv(path, ["CategoryId", "CategoryName"])
    if [row["CategoryId"] for row in rows] != [str(n) for n in range(1, len(rows) + 1)]:
        raise InputError(f"{path}: expected each CategoryId from 1 to {len(rows)}, in this order.")
    return [row["CategoryName"] for row in rows]


def _photograph(
    where: str, images: Path, sample: int, row: Mapping[str, str], names: Sequence[str]
) -> Picture:
    name, label, license_url = row["ImageId"], row["TrueLabel"], row.get("License", "")
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", name):  # or it may leave the folder
        raise InputError(
            f"{where} has ImageId {name!r}; expected letters, digits, '.', '_' and '-'."
        )
    if not re.fullmatch(r"[1-9][0-9]{0,8}", label) or int(label) > len(names):
        raise InputError(
            f"{where} has TrueLabel {label!r}; expected a number from 1 to {len(names)}."
        )
    license = re.search(r"creativecommons\.org/licenses/([a-z-]+)/([0-9.]+)", license_url)
    return Picture(
        sample=sample,
        name=name,
        label=int(label) - 1,
        class_name=names[int(label) - 1],
        source=images / f"{name}.png",
        author=html.unescape(_decoded(row.get("Author", ""))),
        license=f"CC {license[1].upper()} {license[2]}" if license else license_url,
        license_url=license_url,
        page_url=row.get("OriginalLandingURL", ""),
    )


def _decoded(author: str) -> str:
    r"""Without the octal escapes of UTF-8 bytes in some names: ``\303\251`` is é."""
    octal = re.compile(rb"\\([0-3][0-7]{2})")
    said = octal.sub(lambda found: bytes([int(found[1], 8)]), author.encode())
    return said.decode(errors="replace")


# --- pictures of one's own ----------------------------------------------------------------------


def class_folders(folder: str | Path, class_names: ClassNames | None = None) -> Pictures:
    """Pictures in one subfolder per class, ``<class>/<any name>.png`` (or .jpg, …).

    A subfolder has the name of a class or its number. Samples count up in the order of the sorted
    paths. Hidden files and folders are skipped; deeper folders and other files are left out.
    """
    folder = expanded(folder).absolute()
    found, others = [], []
    for entry in _visible(folder):
        for path in _visible(entry) if entry.is_dir() else [entry]:
            is_picture = path != entry and path.is_file() and path.suffix.lower() in SUFFIXES
            (found if is_picture else others).append(path)
    if not found:
        raise InputError(
            f"{folder}: no pictures; expected one subfolder per class with files that end in "
            f"{', '.join(SUFFIXES)}, or a CSV file."
        )
    named = [(path.relative_to(folder).as_posix(), path, path.parent.name) for path in found]
    left_out = _left_out(folder, [path.relative_to(folder).as_posix() for path in others])
    return _labeled(named, class_names, str(folder), left_out)


def csv_table(path: str | Path, class_names: ClassNames | None = None) -> Pictures:
    """Pictures that a CSV file lists: ``path``, below the file's own folder, and ``label``.

    A label is the name of a class or its number. Samples count up in the order of the rows.
    """
    path = expanded(path).absolute()
    rows = read_csv(path, ["path", "label"])
    return _listed(rows, class_names, str(path), below=path.parent.resolve())


def data_frame(frame: pd.DataFrame, class_names: ClassNames | None = None) -> Pictures:
    """Pictures that a data frame lists: ``path`` and ``label``, as in a CSV file.

    Samples count up in the order of the rows; the index does not matter.
    """
    rows = _rows(frame, ["path", "label"], "the data frame")
    return _listed(rows, class_names, "the data frame")


def _listed(
    rows: Sequence[Mapping], class_names: ClassNames | None, where: str, below: Path | None = None
) -> Pictures:
    """Pictures by ``path`` and ``label``; no path may lead out of the folder ``below``."""
    named = []
    for number, row in enumerate(rows, start=1):
        given = row["path"]
        is_path = isinstance(given, str | os.PathLike) and given != ""
        path = (below or Path()).absolute() / expanded(given) if is_path else Path()
        # Links lead out, too.
        if not _is_file(path) or (below and not path.resolve().is_relative_to(below)):
            expected = f"a file below {below}" if below else "an existing file"
            raise InputError(f"{where}: row {number} has path {given!r}; expected {expected}.")
        named.append((str(given), path, row["label"]))
    return _labeled(named, class_names, where)


def torch_dataset(dataset: Sequence, class_names: ClassNames | None = None) -> Pictures:
    """A torch Dataset, or any sequence, of pairs (picture, label).

    A picture is whatever ``open_picture`` takes: tensors in [0, 1], not yet normalized. All are
    read once here, for their labels, and again when they are needed. Where the set says its own
    classes, its numbers count through those, whatever the order of ``class_names``.
    """
    named = []
    for index in range(len(dataset)):
        label = _pair(dataset, index)[1]
        named.append((f"item {index}", lambda index=index: _pair(dataset, index)[0], label))
    if not named:
        raise InputError("the data set is empty; expected at least one pair (picture, label).")
    own = own_names(dataset)
    return _labeled(named, own if class_names is None else class_names, "the data set", own=own)


def _pair(dataset: Sequence, index: int) -> Sequence:
    item = dataset[index]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InputError(
            f"item {index} of the data set is a {type(item).__name__}; expected (picture, label)."
        )
    return item


def _labeled(
    named: Sequence[tuple[str, Any, Any]],
    class_names: ClassNames | None,
    where: str,
    left_out: Sequence[str] = (),
    own: Sequence[str] | None = None,
) -> Pictures:
    """One's own pictures, of (name, source, class) each, numbered as they come."""
    wheres = [f"{where}: {name}" for name, *_ in named]
    names, labels = labels_of([given for *_, given in named], class_names, wheres, own)
    rows = [
        Picture(sample, name, label, names[label], source)
        for sample, ((name, source, _), label) in enumerate(zip(named, labels, strict=True))
    ]
    return Pictures("your own pictures", names, rows, left_out)


# --- files --------------------------------------------------------------------------------------


def read_csv(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file as texts by column; InputError where it is not what it should be."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        if not isinstance(table.index, pd.RangeIndex):  # for that pandas takes what is too much
            raise ValueError(f"row 1 has more fields than the header, {len(table.columns)}")
    except OSError as error:
        raise InputError(f"{path}: {first_line(error)}; expected a CSV file.") from None
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{path}: not a CSV file in UTF-8 ({first_line(error)}).") from None
    return _rows(table, needed, path)


def _rows(table: pd.DataFrame, needed: Sequence[str], where: str | Path) -> list[dict[str, Any]]:
    columns = list(table.columns)
    for column in needed:
        if columns.count(column) != 1:
            found = ", ".join(map(str, columns))[:200] or "none"
            raise InputError(f"{where}: expected one column {column!r}; found {found}.")
    if table.empty:
        raise InputError(f"{where}: no rows; expected at least one.")
    return table.to_dict("records")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: {first_line(error)}; expected a folder, or a CSV file."
        ) from None


def _left_out(folder: Path, names: list[str]) -> list[str]:
    """The same names, said once."""
    if names:
        some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        files = "1 file" if len(names) == 1 else f"{len(names)} files"
        warnings.warn(f"{folder}: left out {files}: {some}", stacklevel=3)
    return names

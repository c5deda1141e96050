"""Where pictures come from: the NIPS 2017 set, folders, tables, torch's data sets, what we ship.

Each function returns a ``Pictures``, whose labels and sample numbers count from 0. What cannot be
used raises InputError, which names the file and the row; files of a folder that are no part of
the set are named in a warning and in ``left_out``.
"""

import csv
import html
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from fgsm_lib import InputError, expanded
from fgsm_lib.classes import ClassNames, class_list, imagenet_classes, labels_of, own_names, places
from fgsm_lib.pictures import (
    MAX_PIXELS,
    Picture,
    Pictures,
    Unchanged,
    decode_octal,
    one_line,
    open_picture,
    pixels_sha256,
    short_license,
)
from fgsm_lib.shipped import demo_toys, photographs

__all__ = [
    "MAX_PIXELS", "SUFFIXES", "Picture", "Pictures", "class_folders", "class_list", "csv_table",
    "data_frame", "demo_toys", "imagenet_classes", "nips2017", "open_picture", "own_names",
    "photographs", "pictures_from", "torch_dataset",
]  # fmt: skip

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def pictures_from(source: Any, class_names: ClassNames | None = None) -> Pictures:
    """Pictures, whatever they are given as.

    Args:
        source: a folder in the layout of the NIPS 2017 set or with one subfolder per class, a CSV
            file, a data frame, a torch Dataset (or any sequence of pairs), or a Pictures.
        class_names: see ``class_list``; None where the set says them itself, or labels are numbers.
    """
    if isinstance(source, Pictures):
        return _renamed(source, class_names)
    if isinstance(source, pd.DataFrame):
        return data_frame(source, class_names)
    if isinstance(source, str | os.PathLike):
        path = expanded(source)
        if _kind(path / "dev_dataset.csv"):
            return nips2017(path, class_names)
        is_table = _kind(path) == "file" and path.suffix.lower() == ".csv"
        return csv_table(path, class_names) if is_table else class_folders(path, class_names)
    has_items = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    if has_items and not isinstance(source, Mapping):
        return torch_dataset(source, class_names)
    raise InputError(
        f"the pictures are a {type(source).__name__}; expected a folder, a CSV file, a data frame "
        "or a torch Dataset with a length."
    )


def _renamed(pictures: Pictures, class_names: ClassNames | None) -> Pictures:
    """The same with these names of classes, whose order decides the labels."""
    names = class_list(class_names)
    if names in (None, pictures.class_names):
        return pictures
    place = places(own_names(pictures), names)
    labels = [place[label] for label in pictures.labels()]
    rows = [
        replace(row, label=label, class_name=names[label])
        for row, label in zip(pictures, labels, strict=True)
    ]
    return Pictures(pictures.title, names, rows, pictures.left_out)


# --- folders and tables -------------------------------------------------------------------------


def nips2017(folder: str | Path, class_names: ClassNames | None = None) -> Pictures:
    """Photographs in the layout of the NIPS 2017 adversarial learning development set.

    ``dev_dataset.csv`` has the columns ImageId and TrueLabel, which counts from 1, and perhaps
    Author, License and OriginalLandingURL; ``images/<ImageId>.png`` are the photographs. Names of
    classes are those given, those of ``categories.csv`` (CategoryId from 1, CategoryName) or
    ImageNet's. A sample's number is its row in the table; photographs that are listed but absent
    are left out.
    """
    folder = expanded(folder)
    table, images = folder / "dev_dataset.csv", folder / "images"
    if class_names is None and _kind(folder / "categories.csv"):
        class_names = _categories(folder / "categories.csv")
    names = imagenet_classes() if class_names is None else class_list(class_names)
    rows = read_csv(table, ["ImageId", "TrueLabel"])
    if _kind(images) != "folder":
        raise InputError(f"{images}: no such folder; expected the photographs of {table.name}.")
    present = {path.name for path in _visible(images)}
    listed = [_photograph(table, sample, row, names) for sample, row in enumerate(rows)]
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
    rows = read_csv(path, ["CategoryId", "CategoryName"])
    for number, row in enumerate(rows, start=1):
        if row["CategoryId"] != str(number):
            raise InputError(
                f"{path}: row {number} has CategoryId {row['CategoryId']!r}; expected {number}."
            )
    return [row["CategoryName"] for row in rows]


def _photograph(table: Path, sample: int, row: dict[str, str], class_names: list[str]) -> Picture:
    where, label = f"{table}: row {sample + 1}", row["TrueLabel"]
    if not re.fullmatch(r"[1-9][0-9]{0,8}", label) or int(label) > len(class_names):
        raise InputError(
            f"{where} has TrueLabel {label!r}; expected a number from 1 to {len(class_names)}."
        )
    link, page = row.get("License", ""), row.get("OriginalLandingURL", "")
    return Picture(
        sample=sample,
        name=row["ImageId"],
        label=int(label) - 1,
        class_name=class_names[int(label) - 1],
        source=table.absolute().parent / "images" / f"{plain_name(row['ImageId'], where)}.png",
        author=html.unescape(decode_octal(row.get("Author", ""))),
        license=short_license(link),
        license_url=link if link.startswith(("https://", "http://")) else "",
        page_url=page if page.startswith(("https://", "http://")) else "",
    )


def plain_name(image_id: str, where: str) -> str:
    """An ImageId, which becomes a file name and must not lead out of the folder."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", image_id):
        raise InputError(
            f"{where} has ImageId {image_id!r}; expected letters, digits, '.', '_' and '-'."
        )
    return image_id


def class_folders(folder: str | Path, class_names: ClassNames | None = None) -> Pictures:
    """Pictures in one subfolder per class, ``<class>/<any name>.png`` (or .jpg, …).

    A subfolder has the name of a class or its number. Samples count up in the order of the sorted
    paths. Hidden files and folders are skipped; deeper folders and other files are left out.
    """
    folder = expanded(folder)
    if _kind(folder) != "folder":
        found = "not a CSV file" if _kind(folder) else "no such file or folder"
        raise InputError(
            f"{folder}: {found}; expected a folder with one subfolder per class, or a CSV file."
        )
    found, others = [], []
    for entry in _visible(folder):
        for path in _visible(entry) if entry.is_dir() else [entry]:
            is_picture = entry.is_dir() and path.is_file() and path.suffix.lower() in SUFFIXES
            (found if is_picture else others).append(path)
    if not found:
        raise InputError(
            f"{folder}: no pictures; expected one subfolder per class with files that end in "
            f"{', '.join(SUFFIXES)}, or a CSV file."
        )
    left_out = _left_out(folder, [name for path in others for name in _files(path, folder)])
    named = [
        (path.relative_to(folder).as_posix(), path.absolute(), path.parent.name) for path in found
    ]
    return _labeled(named, class_names, str(folder), left_out)


def csv_table(path: str | Path, class_names: ClassNames | None = None) -> Pictures:
    """Pictures that a CSV file lists: ``path``, below the file's own folder, and ``label``.

    A label is the name of a class or its number. Samples count up in the order of the rows.
    """
    path = expanded(path)
    root, named = path.parent.resolve(), []
    for number, row in enumerate(read_csv(path, ["path", "label"]), start=1):
        file = root / row["path"]
        if _kind(file) != "file" or not file.resolve().is_relative_to(root):  # links lead out, too
            raise InputError(
                f"{path}: row {number} has path {row['path']!r}; expected a file below {root}."
            )
        named.append((row["path"], file, row["label"]))
    return _labeled(named, class_names, str(path))


# --- what is in memory --------------------------------------------------------------------------


def data_frame(frame: pd.DataFrame, class_names: ClassNames | None = None) -> Pictures:
    """Pictures that a data frame lists: ``path`` or ``image``, and ``label``, a name or a number.

    An image is whatever ``open_picture`` takes. Samples count up in the order of the rows; the
    index does not matter. Images in memory are copied, files are read when they are needed.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"the data frame is a {type(frame).__name__}; expected one of pandas.")
    columns = list(frame.columns)
    column = "image" if "image" in columns else "path"
    if columns.count(column) != 1 or columns.count("label") != 1 or frame.empty:
        raise InputError(
            f"the data frame has {len(frame)} rows and the columns "
            f"{', '.join(map(str, columns)) or 'none'}; expected some rows and the columns "
            "label, and path or image, each once."
        )
    named = []
    for number, (value, label) in enumerate(zip(frame[column], frame["label"], strict=True)):
        where = f"row {number} of the data frame"
        if not isinstance(value, str | os.PathLike):
            named.append((f"row {number}", open_picture(value, where), label))
        elif _kind(path := expanded(value)) == "file":
            named.append((str(path), path.absolute(), label))
        else:
            raise InputError(f"{where} has {column} {str(value)!r}; expected an existing file.")
    return _labeled(named, class_names, "the data frame")


def torch_dataset(dataset: Sequence, class_names: ClassNames | None = None) -> Pictures:
    """A torch Dataset, or any sequence, of pairs (picture, label).

    A picture is whatever ``open_picture`` takes: tensors in [0, 1], not yet normalized. All are
    read once here, for their labels, and again when they are needed; a picture that has changed
    by then (a random transform) raises InputError. Where the set says its own classes (see
    ``own_names``), its numbers count through those, whatever the order of ``class_names``.
    """
    try:
        count = len(dataset)
    except TypeError:  # an array of no dimension
        count = 0
    if count == 0:
        raise InputError("the data set is empty; expected at least one pair (picture, label).")
    named = []
    for index in range(count):
        picture, label = _pair(dataset, index)
        digest = pixels_sha256(open_picture(picture, f"item {index} of the data set"))
        named.append((f"item {index}", Unchanged(partial(_picture, dataset, index), digest), label))
    own = own_names(dataset)
    names = own if class_names is None else class_names
    return _labeled(named, names, "the data set", own=own or class_list(names))


def _pair(dataset: Sequence, index: int) -> tuple[Any, Any]:
    item = dataset[index]
    if isinstance(item, Mapping) and {"image", "label"} <= item.keys():
        return item["image"], item["label"]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InputError(
            f"item {index} of the data set is a {type(item).__name__}; expected (picture, label)."
        )
    return tuple(item)


def _picture(dataset: Sequence, index: int) -> Any:
    return _pair(dataset, index)[0]


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
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            columns = reader.fieldnames or []
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (ValueError, csv.Error, OSError) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({one_line(error)}).") from None
    for column in needed:
        if columns.count(column) != 1:
            found = ", ".join(columns)[:200] or "none"
            raise InputError(f"{path}: expected one column {column!r}; found {found}.")
    if not rows:
        raise InputError(f"{path}: no rows; expected at least one.")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise InputError(
                f"{path}: row {number} has not as many fields as the header, {len(columns)}; "
                "expected quotes around a text with a comma."
            )
    return rows


def _kind(path: Path) -> str:
    """``"file"``, ``"folder"``, or nothing where there is neither."""
    try:
        return "folder" if path.is_dir() else "file" if path.is_file() else ""
    except (OSError, ValueError):  # a name that is too long, or holds a null byte
        return ""


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: not readable ({one_line(error)}).") from None


def _files(path: Path, folder: Path) -> list[str]:
    """The visible files below a path, or itself, by their names below ``folder``."""
    below = [path]
    if path.is_dir():
        below = [file for file in path.rglob("*") if file.is_file()] or [path]
    names = [file.relative_to(folder).as_posix() for file in sorted(below)]
    return [name for name in names if "/." not in name]


def _left_out(folder: Path, names: list[str]) -> list[str]:
    """The same names, said once."""
    if names:
        some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        files = "1 file" if len(names) == 1 else f"{len(names)} files"
        warnings.warn(f"{folder}: left out {files}: {some}", stacklevel=3)
    return names

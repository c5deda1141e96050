"""Labeled photographs in the layout of the NIPS 2017 adversarial learning development set.

::

    folder/
        dev_dataset.csv    ImageId, TrueLabel (1-indexed), and optionally Author, License, ...
        categories.csv     CategoryId (1-indexed), CategoryName
        images/<ImageId>.png

Labels are 1-indexed on disk and 0-indexed in memory; the change happens here and nowhere else.
"""

import copy
import csv
import hashlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fgsm_lib.errors import InputError

if TYPE_CHECKING:  # the command line reads data sets without waiting for torch
    import torch


@dataclass(frozen=True)
class Photo:
    """What the set says about one image. ``label`` is 0-indexed."""

    sample: int
    image_id: str
    path: Path
    label: int
    class_name: str
    author: str | None = None
    license_url: str | None = None
    page_url: str | None = None


class PhotoDataset:
    """Photographs and labels; ``dataset[i]`` is ``(image, label)``.

    ``to_pixels`` turns a PIL image in RGB into the tensor that a classifier takes: usually
    ``Classifier.to_pixels``, which resizes and crops to float32 of shape (3, H, W) in [0, 1].

    Raises InputError where a file, column, row or label is not as the layout above says.
    """

    def __init__(self, folder: Path, to_pixels: "Callable[[Image.Image], torch.Tensor]"):
        self.folder = Path(folder)
        self.to_pixels = to_pixels
        self.class_names = read_class_names(self.folder)
        self.photos = read_photos(self.folder, self.class_names)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, sample: int) -> "tuple[torch.Tensor, int]":
        photo = self.photo(sample)
        return self.to_pixels(read_rgb(photo.path)), photo.label

    def photo(self, sample: int) -> Photo:
        """The facts about one sample; InputError where the set has no such sample."""
        if not 0 <= sample < len(self.photos):
            raise InputError(
                f"{self.folder}: there is no sample {sample}; "
                f"expected a number from 0 to {len(self.photos) - 1}."
            )
        return self.photos[sample]

    def every(self, step: int) -> "PhotoDataset":
        """Samples 0, step, 2 · step, … of the set: the new one's sample i is i · step of this."""
        thinned = copy.copy(self)
        thinned.photos = self.photos[::step]
        return thinned

    def labels(self) -> list[int]:
        """The 0-indexed label of every photograph, in the order of the samples."""
        return [photo.label for photo in self.photos]

    @cache  # noqa: B019 - a data set lives as long as the program
    def sha256(self) -> str:
        """A fingerprint of everything the set consists of: both CSV files and all image files."""
        digest = hashlib.sha256()
        tables = [self.folder / "dev_dataset.csv", self.folder / "categories.csv"]
        for path in [*tables, *(photo.path for photo in self.photos)]:
            digest.update(path.name.encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def read_class_names(folder: Path) -> list[str]:
    """The names of the classes, in the order of their 0-indexed labels."""
    path = Path(folder) / "categories.csv"
    rows = read_csv(path, ["CategoryId", "CategoryName"])
    for number, row in enumerate(rows, start=1):
        if row["CategoryId"] != str(number):
            raise InputError(
                f"{path}: row {number} has CategoryId {row['CategoryId']!r}; "
                f"expected {number} (ids count up from 1 without gaps)."
            )
    return [row["CategoryName"] for row in rows]


def read_photos(folder: Path, class_names: list[str]) -> list[Photo]:
    """One Photo per row of ``dev_dataset.csv``, each with an existing image file."""
    path = Path(folder) / "dev_dataset.csv"
    rows = read_csv(path, ["ImageId", "TrueLabel"])
    images = Path(folder) / "images"
    if not images.is_dir():
        raise InputError(f"{images}: no such folder; expected one PNG file per row of {path.name}.")
    present = {entry.name for entry in images.iterdir()}
    photos = [_photo(sample, row, path, class_names) for sample, row in enumerate(rows)]
    missing = [photo.path for photo in photos if photo.path.name not in present]
    if missing:
        more = f" ({len(missing)} images are missing in all)" if len(missing) > 1 else ""
        raise InputError(f"{missing[0]}: no such image, but {path.name} lists it{more}.")
    return photos


def _photo(sample: int, row: dict[str, str], table: Path, class_names: list[str]) -> Photo:
    image_id, label = row["ImageId"], row["TrueLabel"]
    # The name becomes a path: anything but a plain file name could point out of the folder.
    if not re.fullmatch(r"[\w-][\w.-]*", image_id):
        raise InputError(
            f"{table}: row {sample + 1} has ImageId {image_id!r}; "
            "expected a plain name of letters, digits, '.', '_' and '-'."
        )
    if not re.fullmatch(r"\d{1,9}", label) or not 1 <= int(label) <= len(class_names):
        raise InputError(
            f"{table}: row {sample + 1} has TrueLabel {label!r}; "
            f"expected a whole number from 1 to {len(class_names)} (see categories.csv)."
        )
    return Photo(
        sample=sample,
        image_id=image_id,
        path=table.parent / "images" / f"{image_id}.png",
        label=int(label) - 1,
        class_name=class_names[int(label) - 1],
        author=decode_octal(row.get("Author", "")) or None,
        license_url=row.get("License") or None,
        page_url=row.get("OriginalLandingURL") or None,
    )


def decode_octal(text: str) -> str:
    r"""Undo the octal escapes of UTF-8 bytes in some author names: ``\303\251`` is é."""

    def decode(match: re.Match[str]) -> str:
        octets = [int(octal, 8) for octal in match[0].split("\\")[1:]]
        return bytes(octets).decode("utf-8", errors="replace")

    return re.sub(r"(?:\\[0-3][0-7]{2})+", decode, text)


def read_rgb(path: Path) -> Image.Image:
    """The image as 8-bit RGB, fully decoded; InputError where it is damaged or not an image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode.startswith("I"):  # 16-bit gray: Pillow would clip it, not scale it
                    image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
                return image.convert("RGB")
    except FileNotFoundError:
        raise InputError(f"{path}: no such image.") from None
    except Exception as error:  # Pillow raises whatever the damaged bytes provoke
        raise InputError(
            f"{path}: not a readable image ({_one_line(error)}); expected a PNG."
        ) from None


def read_csv(path: Path, needed: list[str]) -> list[dict[str, str]]:
    """The rows of a CSV file as texts by column; InputError where it is not what it should be."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            columns = reader.fieldnames or []
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file.") from None
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({_one_line(error)}).") from None
    for column in needed:
        if column not in columns:
            raise InputError(f"{path}: no column {column!r}; found {', '.join(columns) or 'none'}.")
    if not rows:
        raise InputError(f"{path}: no rows; expected at least one.")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise InputError(
                f"{path}: row {number} has not as many fields as the header, {len(columns)}; "
                "expected quotes around a text with a comma."
            )
    return rows


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

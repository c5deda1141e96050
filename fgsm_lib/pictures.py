"""What a picture is, and what a set of labeled pictures is.

``open_picture`` is the one decision what a picture looks like: for a data set, for the live page's
samples, for the command line. ``Pictures`` says of each picture of a set where it is, its class
and whom to credit. Where a set comes from is the subject of ``datasets``.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fgsm_lib import InputError, expanded
from fgsm_lib.words import first_line

MAX_SIDE = 65_535  # JPEG's own; an animated WebP of 696 bytes may say 10 million, and takes 40 s
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")


# --- one picture --------------------------------------------------------------------------------


def open_picture(source: Any, name: str | None = None, *, upright: bool = True) -> Image.Image:
    """A picture as a viewer shows it: upright, transparency on white, 8-bit RGB, first frame.

    Color profiles are not applied. The caller's image, array or tensor stays as it is.

    Args:
        source: a path; the bytes of a file, or the open file; a PIL image; an array (H, W),
            (H, W, 1), (H, W, 3) or (H, W, 4), or a tensor (H, W), (1, H, W), (3, H, W) or
            (4, H, W), of uint8 or of floats in [0, 1]; a function that returns one of these.
        name: what a message calls it; by default its path.
        upright: False leaves the pixels as they are stored, whatever EXIF says of orientation.

    Raises InputError where it is none of these, is damaged, holds 32 bits a channel or has more
    pixels than Pillow allows (179 million).
    """
    name = name or (os.fspath(source) if isinstance(source, str | os.PathLike) else "the picture")
    try:
        return _opened(source() if callable(source) else source, upright)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{name}: not a picture; expected {', '.join(FORMATS[:-1])} or WebP."
        ) from None
    except Exception as error:  # Pillow raises whatever the damaged bytes provoke
        raise InputError(f"{name}: not a readable picture ({first_line(error)}).") from None


def _opened(source: Any, upright: bool) -> Image.Image:
    if isinstance(source, str | os.PathLike):
        path = expanded(source)
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "no such file"
            raise InputError(f"{found}; expected a picture.")
        with path.open("rb") as file:
            return _opened(file, upright)
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    if hasattr(source, "read"):
        source = Image.open(source, formats=FORMATS)  # reads no more than the header
    return _as_shown(source if isinstance(source, Image.Image) else _from_array(source), upright)


def _from_array(source: Any) -> Image.Image:
    array, shape = source, tuple(getattr(source, "shape", ()))
    if hasattr(source, "detach"):  # a tensor, channels first
        source = source.detach().cpu()
        array = (source.float() if source.is_floating_point() else source).numpy()
        array = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    if not isinstance(array, np.ndarray):
        raise InputError(
            f"is a {type(source).__name__}; expected a path, bytes, a PIL image, an array or a "
            "tensor."
        )
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if 0 in shape or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise InputError(
            f"has shape {shape}; expected an array (height, width, channels) or a tensor "
            "(channels, height, width) with 1, 3 or 4 channels."
        )
    if array.dtype.kind == "f":
        levels = np.rint(array.astype(np.float64) * 255)
        if not (levels.min() >= 0 and levels.max() <= 255):  # NaN too
            found = f"from {array.min():.4g} to {array.max():.4g}"
            raise InputError(f"has values {found}; expected [0, 1], before any normalization.")
        array = levels.astype(np.uint8)
    if array.dtype != np.uint8:
        raise InputError(f"holds {array.dtype}; expected uint8, or floats in [0, 1].")
    return Image.fromarray(np.ascontiguousarray(array))


def _as_shown(image: Image.Image, upright: bool) -> Image.Image:
    """A copy in 8-bit RGB."""
    if 0 in image.size or max(image.size) > MAX_SIDE:
        width, height = image.size
        raise InputError(
            f"has {width} × {height} pixels; expected from 1 to {MAX_SIDE:,} on a side."
        )
    image.load()
    bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # TIFF knows 12-bit gray, too
    if upright:
        with suppress(Exception):  # damaged EXIF data do not say which way is up
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # Pillow alone would cut off everything above 255
        values = np.asarray(image)
        gray = np.rint(values * (255 / (2**bits - 1))).clip(max=255).astype(np.uint8)
        gray[values == image.info.get("transparency", -1)] = 255
        image = Image.fromarray(gray)
    if image.mode in ("I", "F"):
        raise InputError("holds 32 bits a pixel; expected 8 or 16.")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image.convert("RGB")


# --- a set of pictures --------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """What a set says about one picture; ``label`` counts from 0.

    ``source`` is whatever ``open_picture`` takes; a file is a Path.
    """

    sample: int
    name: str
    label: int
    class_name: str
    source: Any = field(repr=False, compare=False)
    author: str = ""
    license: str = ""
    license_url: str = ""
    page_url: str = ""

    @property
    def where(self) -> str:
        """What a message calls it."""
        is_file = isinstance(self.source, Path)
        return str(self.source) if is_file else f"sample {self.sample} ({self.name})"

    def content(self) -> bytes | Image.Image:
        """What it is made of now: the bytes of its file, or an image from memory."""
        if isinstance(self.source, bytes):
            return self.source
        if not isinstance(self.source, Path):
            return open_picture(self.source, self.where)
        try:
            return self.source.read_bytes()
        except OSError as error:
            raise InputError(f"{self.where}: not readable ({first_line(error)}).") from None


class Pictures:
    """Pictures with labels, ordered by sample number; a set with gaps keeps its own numbers.

    Attributes: ``title`` ("photographs", …), ``class_names`` in the order of the logits, ``rows``
    (a Picture each) and ``left_out``, the files that are no part of the set.
    """

    def __init__(
        self,
        title: str,
        class_names: list[str],
        rows: Iterable[Picture],
        left_out: Sequence[str] = (),
    ):
        self.title = title
        self.class_names = class_names
        self.rows = sorted(rows, key=lambda row: row.sample)
        self.left_out = list(left_out)
        self._by_sample = {row.sample: row for row in self.rows}
        self._known: dict[int, str] = {}  # fingerprints of pictures, by sample

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.rows)

    @property
    def samples(self) -> list[int]:
        return [row.sample for row in self.rows]

    def labels(self) -> list[int]:
        return [row.label for row in self.rows]

    def picture(self, sample: int) -> Picture:
        """What is known about one sample; InputError where there is no such sample."""
        try:  # a mask is no list of samples
            return self._by_sample[None if isinstance(sample, bool | np.bool_) else sample]
        except (KeyError, TypeError):
            some = ", ".join(map(str, self.samples[:3]))
            more = f", … {self.samples[-1]} ({len(self)} in all)" if len(self) > 3 else ""
            raise InputError(
                f"{self.title}: there is no sample {sample}; expected one of {some}{more}."
            ) from None

    def read(self, sample: int) -> Image.Image:
        """The picture itself, 8-bit RGB, as a viewer shows it.

        InputError where it is damaged, or another one than when its fingerprint was taken.
        """
        picture = self.picture(sample)
        content, known = picture.content(), self._known.get(picture.sample)
        if known and _content_sha256(content) != known:
            raise InputError(
                f"{picture.where}: the picture has changed since the pictures were opened; "
                "expected the same each time, from a data set without random transforms."
            )
        is_image = isinstance(content, Image.Image)
        return content if is_image else open_picture(content, picture.where)

    def subset(self, samples: Iterable[int]) -> "Pictures":
        """Some of the pictures; they keep their numbers."""
        rows = {int(sample): self.picture(sample) for sample in samples}
        return Pictures(self.title, self.class_names, rows.values(), self.left_out)

    def every(self, step: int) -> "Pictures":
        """The pictures whose sample number is a multiple of ``step``."""
        return self.subset(sample for sample in self.samples if sample % step == 0)

    def sha256(self) -> str:
        """A fingerprint of what numbers depend on: classes, sample numbers, labels, pictures.

        Once it is taken, ``read`` insists on the same pictures.
        """
        digest = hashlib.sha256(json.dumps(self.class_names).encode())
        for row in self.rows:
            if row.sample not in self._known:
                self._known[row.sample] = _content_sha256(row.content())
            digest.update(f"{row.sample} {row.label} {self._known[row.sample]}\n".encode())
        return digest.hexdigest()


def _content_sha256(content: bytes | Image.Image) -> str:
    """A fingerprint of the bytes of a file, or of an image's size and pixels."""
    if isinstance(content, Image.Image):
        content = repr(content.size).encode() + content.tobytes()
    return hashlib.sha256(content).hexdigest()

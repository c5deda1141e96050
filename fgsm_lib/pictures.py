"""What a picture is, and what a set of labeled pictures is.

``open_picture`` is the one decision what a picture looks like: for a data set, for the live page's
samples, for the command line. ``Pictures`` says of each picture of a set where it is, its class
and whom to credit. Where a set comes from is the subject of ``datasets``.
"""

import hashlib
import io
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fgsm_lib import InputError

MAX_PIXELS = 200_000_000
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
    than MAX_PIXELS pixels.
    """
    name = name or (os.fspath(source) if isinstance(source, str | os.PathLike) else "the picture")
    try:
        source = source() if callable(source) else source
        if isinstance(source, str | os.PathLike):
            path = Path(source).expanduser()
            if not path.is_file():
                found = "is a folder" if path.is_dir() else "no such file"
                raise InputError(f"{found}; expected a picture.")
            with path.open("rb") as file:
                return _as_shown(_decoded(file), upright)
        if isinstance(source, bytes):
            source = io.BytesIO(source)
        decoded = _decoded(source) if hasattr(source, "read") else _from_memory(source)
        return _as_shown(decoded, upright)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except Exception as error:  # Pillow raises whatever the damaged bytes provoke
        raise InputError(f"{name}: not a readable picture ({one_line(error)}).") from None


def _decoded(file: io.BufferedIOBase) -> Image.Image:
    try:
        with _without_pillows_limit() as limit:
            image = Image.open(file, formats=FORMATS)  # reads no more than the header
    except UnidentifiedImageError:
        raise InputError(f"not a picture; expected {', '.join(FORMATS[:-1])} or WebP.") from None
    pixels = _check_size(image)
    with _without_pillows_limit() if limit and pixels > limit else nullcontext():
        image.load()
    return image


_limit_lock = threading.Lock()


@contextmanager
def _without_pillows_limit() -> Iterator[int | None]:
    """Pillow's limit of pixels, which is global, is set aside for a moment: ours decides."""
    with _limit_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield limit
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_size(image: Image.Image) -> int:
    pixels = image.width * image.height
    if not 0 < pixels <= MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise InputError(
            f"has {image.width} × {image.height} pixels; expected at least one and at most "
            f"{MAX_PIXELS // 10**6} million, no side above {MAX_SIDE:,}."
        )
    return pixels


def _from_memory(source: Any) -> Image.Image:
    if isinstance(source, Image.Image):
        _check_size(source)
        return source.copy()
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
    image = Image.fromarray(np.ascontiguousarray(array))
    _check_size(image)
    return image


def _as_shown(image: Image.Image, upright: bool) -> Image.Image:
    """The same in 8-bit RGB; ``image`` is nobody else's and may be changed."""
    bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # TIFF knows 12-bit gray, too
    if upright:
        with suppress(Exception):  # damaged EXIF data do not say which way is up
            ImageOps.exif_transpose(image, in_place=True)  # a copy may take a gigabyte
    if image.mode.startswith("I;16"):
        image = _scaled_gray(image, bits)
    if image.mode in ("I", "F"):
        raise InputError("holds 32 bits a pixel; expected 8 or 16.")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _scaled_gray(image: Image.Image, bits: int) -> Image.Image:
    """16-bit gray in 8 bits, rounded; Pillow alone would cut off everything above 255."""
    values, most = np.asarray(image).astype(np.uint32), 2**bits - 1
    gray = ((values * 255 + most // 2) // most).clip(max=255).astype(np.uint8)
    gray[values == image.info.get("transparency", -1)] = 255
    return Image.fromarray(gray)


@dataclass(frozen=True)
class Unchanged:
    """A source that is read again when it is needed, and has to show the same picture."""

    read: Callable[[], Any]
    sha256: str  # of its pixels

    def __call__(self) -> Image.Image:
        image = open_picture(self.read())
        if pixels_sha256(image) != self.sha256:
            raise InputError("another picture than before; expected no random transform.")
        return image


# --- a set of pictures --------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """What a set says about one picture. ``name`` is unique in its set; ``label`` counts from 0."""

    sample: int
    name: str
    label: int
    class_name: str
    source: Any = field(repr=False, compare=False)  # whatever open_picture takes
    author: str = ""
    license: str = ""
    license_url: str = ""
    page_url: str = ""


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
        rows = list(rows)
        often = Counter(row.name for row in rows)
        named = (
            row if often[row.name] == 1 else replace(row, name=f"{row.name} ({row.sample})")
            for row in rows
        )
        self.title = title
        self.class_names = class_names
        self.rows = sorted(named, key=lambda row: row.sample)
        self.left_out = list(left_out)
        self._by_sample = {row.sample: row for row in self.rows}
        self._sha256 = ""
        self._hashed: dict[int, tuple] = {}  # state and hash of files, by sample

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
        try:
            return self._by_sample[None if isinstance(sample, bool | np.bool_) else sample]
        except (KeyError, TypeError):
            some = ", ".join(map(str, self.samples[:3]))
            more = f", … {self.samples[-1]} ({len(self)} in all)" if len(self) > 3 else ""
            raise InputError(
                f"{self.title}: there is no sample {sample}; expected one of {some}{more}."
            ) from None

    def read(self, sample: int) -> Image.Image:
        """The picture itself, 8-bit RGB, as a viewer shows it."""
        row = self.picture(sample)
        where = None if isinstance(row.source, Path) else f"sample {sample} ({row.name})"
        state, known = self._hashed.get(sample, (None, ""))
        moved = known and _state(row.source) != state
        if moved and _source_sha256(row.source, row.name) != known:
            raise InputError(
                f"{row.source}: the file has changed since the pictures were opened; expected the "
                "same, or the pictures opened anew."
            )
        return open_picture(row.source, where)

    def subset(self, samples: Iterable[int]) -> "Pictures":
        """Some of the pictures; they keep their numbers."""
        rows = {int(sample): self.picture(sample) for sample in samples}
        return Pictures(self.title, self.class_names, rows.values(), self.left_out)

    def every(self, step: int) -> "Pictures":
        """The pictures whose sample number is a multiple of ``step``."""
        return self.subset(sample for sample in self.samples if sample % step == 0)

    def sha256(self) -> str:
        """A fingerprint of what numbers depend on: classes, sample numbers, labels, pictures."""
        if not self._sha256:
            digest = hashlib.sha256(json.dumps(self.class_names).encode())
            for row in self.rows:
                state = _state(row.source) if isinstance(row.source, Path) else None
                content = _source_sha256(row.source, row.name)
                if state:
                    self._hashed[row.sample] = state, content
                digest.update(f"{row.sample} {row.label} {content}\n".encode())
            self._sha256 = digest.hexdigest()
        return self._sha256


def _state(path: Path) -> tuple[int, int] | None:
    """By which one sees that a file has changed; None for one that is gone."""
    with suppress(OSError):
        return path.stat().st_size, path.stat().st_mtime_ns


def _source_sha256(source: Any, name: str) -> str:
    if hasattr(source, "sha256"):
        return source.sha256
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    if not isinstance(source, Path):
        return pixels_sha256(open_picture(source, name))
    try:
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{source}: not readable ({one_line(error)}).") from None


def pixels_sha256(image: Image.Image) -> str:
    """A fingerprint of an image's size and pixels."""
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def decode_octal(text: str) -> str:
    r"""Undo the octal escapes of UTF-8 bytes in some author names: ``\303\251`` is é."""

    def decoded(match: re.Match[str]) -> str:
        return bytes(int(octal, 8) for octal in match[0].split("\\")[1:]).decode(errors="replace")

    return re.sub(r"(?:\\[0-3][0-7]{2})+", decoded, text)


def short_license(link: str) -> str:
    """The short name of a Creative Commons license, ``CC BY 2.0``; other texts as they are."""
    if "creativecommons.org/publicdomain/zero/" in link:
        return "CC0"
    found = re.search(r"creativecommons\.org/licenses/([a-z-]+)/([0-9.]+)", link)
    return f"CC {found[1].upper()} {found[2]}" if found else link


def one_line(error: Exception) -> str:
    """What an exception says, fit for a sentence."""
    return " ".join(str(error).split())[:200] or type(error).__name__

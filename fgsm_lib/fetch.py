"""Fetch the 1000 photographs of the NIPS 2017 adversarial learning development set.

The table of the set names for each photograph an address and a box to crop; what becomes of it is
what ``download_images.py``, the organizers' program beside the table, does. By urllib, because
requests would be one more dependency in place of twenty lines of retries.
"""

import errno
import hashlib
import http.client
import io
import os
import re
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import IO

from PIL import Image
from tqdm import tqdm

from fgsm_lib import InputError, __version__, expanded
from fgsm_lib.datasets import plain_name, read_csv
from fgsm_lib.pictures import open_picture

CSV_URL = (
    "https://raw.githubusercontent.com/cleverhans-lab/cleverhans/"
    "72d9c1fc49c846d841ad08bbe0585b31f6550b26/cleverhans_v3.1.0/examples/"
    "nips17_adversarial_competition/dataset/dev_dataset.csv"
)
CSV_SHA256 = "b85ae40a1d5d0d95b77d30b8cabec140020a00cbcc9aebc6921b77a270fb743d"
USER_AGENT = f"fgsm-lib/{__version__} (fetches the NIPS 2017 adversarial development set, once)"
SIDE, TRIES = 299, 3
MAX_BYTES, IN_MEMORY = 100 * 2**20, 4 * 2**20  # of a photograph; what exceeds the latter is on disk
LONGEST_WAIT = 60.0  # seconds that a server may ask for; beyond, it is left for the next run
DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
PLACEHOLDER = r"photo_unavailable|/pw/images/"  # in the address of Flickr's "no longer available"
INSTEAD = (
    "run this again with a network, or on another machine, or give a folder that has the "
    "photographs (DATA=<folder>)"
)


@dataclass
class Report:
    """What a run did: how many photographs were there, how many it fetched, and what is missing.

    ``taken_down`` are ids of those that are gone for good; ``failed`` are texts "id: reason".
    """

    there: int = 0
    fetched: int = 0
    taken_down: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.there + self.fetched} photographs, {self.fetched} of them fetched now."]
        if self.taken_down:
            lines.append(f"{len(self.taken_down)} were taken down: {', '.join(self.taken_down)}.")
        if self.failed:
            some = "; ".join(self.failed[:5]) + ("; …" if len(self.failed) > 5 else "")
            lines.append(f"{len(self.failed)} failed, the next run tries them again: {some}.")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Photo:
    """A row of the table; the box is (x1, y1, x2, y2) in fractions of width and height."""

    image_id: str
    url: str
    box: tuple[float, float, float, float]


@dataclass(eq=False)
class _Missing(Exception):
    """Why a photograph was not fetched: it is gone for good, or may come in another try or run."""

    reason: str
    gone: bool = False
    again: bool = False  # in this run, after a pause of so many seconds
    wait: float = 0.0
    unreachable: bool = False  # no server answered


def fetch_nips2017(
    folder: str | Path,
    *,
    workers: int = 8,
    base: str = CSV_URL,
    timeout: float = 20.0,
    pause: float = 1.0,
) -> Report:
    """Fetch what ``folder`` does not hold yet, in the layout that ``datasets.nips2017`` reads.

    Nothing is ever half written: it may be stopped at any time, and goes on where it was.
    Photographs that were taken down are remembered in ``taken_down.txt``; delete it to ask again.

    Args:
        workers: how many are fetched at the same time.
        base: the address of the table.
        timeout: seconds that a server may be silent; a whole answer may take ten times as long.
        pause: seconds before the second try of a photograph; twice as long before the third.

    Raises InputError where there is no network, the table is not the set's, or the disk is full.
    """
    job = _Job(expanded(folder), timeout, pause)
    with _disk_faults(job.folder):
        job.images.mkdir(parents=True, exist_ok=True)
        for unfinished in job.images.glob(".*.part"):  # of a run that was killed
            unfinished.unlink(missing_ok=True)
        photos = _photos(job.table(base))
        missing = [photo for photo in photos if not _is_whole(job.path(photo))]
        gone = job.taken_down()
    report = Report(there=len(photos) - len(missing))
    try:
        _collect(job, [photo for photo in missing if photo.image_id not in gone], workers, report)
    finally:
        with job.saving:  # the file that is being written is the last one
            job.stop.set()
    gone |= set(report.taken_down)
    report.taken_down = [photo.image_id for photo in missing if photo.image_id in gone]
    return report


def _collect(job: "_Job", wanted: list[_Photo], workers: int, report: Report) -> None:
    """Fetch all that are wanted, and enter in the report what became of them."""
    gone, done, unreachable = job.taken_down(), 0, 0
    bar = tqdm(total=len(wanted), unit=" photographs", disable=None)  # on a terminal
    # One thread decodes: large photographs in every thread would take a gigabyte. All threads are
    # daemons, so that Ctrl-C waits for no server.
    with bar, ThreadPool(1) as job.decoder, ThreadPool(max(1, workers)) as pool:
        for photo, missed in pool.imap_unordered(job.fetch, wanted):
            bar.update()
            done += 1
            if missed is None:
                report.fetched += 1
            elif missed.gone:
                report.taken_down.append(photo.image_id)
                job.write(job.listed, "\n".join(sorted(gone | set(report.taken_down))).encode())
            else:
                report.failed.append(f"{photo.image_id}: {missed.reason}")
                unreachable += missed.unreachable
                if unreachable == done >= min(len(wanted), workers):  # no network at all
                    raise InputError(f"{photo.url}: {missed.reason}; {INSTEAD}.")


@contextmanager
def _disk_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected a folder to write to.") from None


def _photos(table: Path) -> list[_Photo]:
    photos = []
    columns = ["ImageId", "URL", "x1", "y1", "x2", "y2"]
    for number, row in enumerate(read_csv(table, columns), start=1):
        where = f"{table}: row {number}"
        if not row["URL"].startswith(("https://", "http://")):
            raise InputError(f"{where} has URL {row['URL']!r}; expected one of http or https.")
        box = [row[column] for column in columns[2:]]
        try:
            x1, y1, x2, y2 = map(float, box)
        except ValueError:
            x1 = y1 = x2 = y2 = 0.0
        if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
            raise InputError(f"{where} has the box {', '.join(box)}; expected 0 ≤ x1 < x2 ≤ 1.")
        photos.append(_Photo(plain_name(row["ImageId"], where), row["URL"], (x1, y1, x2, y2)))
    return photos


def _is_whole(path: Path) -> bool:
    """Whether a PNG file is there to its end, as all are that this program wrote."""
    try:
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            return file.read() == b"IEND\xaeB`\x82"
    except OSError:
        return False


def _cropped(photo: _Photo, body: IO[bytes]) -> Image.Image:
    """The photograph's box, 299 × 299."""
    start = body.read(4)
    try:
        image = open_picture(body, "the answer", upright=False)  # boxes are of raw pixels
        is_drawing = start in (b"\x89PNG", b"GIF8") and image.getcolors(256) is not None
        if is_drawing and photo.url.lower().endswith(".jpg"):  # the placeholder without its name
            raise _Missing("taken down", gone=True)
        width, height = image.size
        x1, y1, x2, y2 = photo.box
        box = int(x1 * width), int(y1 * height), int(x2 * width), int(y2 * height)
        if box[0] == box[2] or box[1] == box[3]:  # Pillow would make it black
            raise _Missing(f"has {width} × {height} pixels, none of them in the box")
        return image.crop(box).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    except (InputError, Image.DecompressionBombError) as error:  # the latter from a vast box
        raise _Missing(str(error).rstrip(".")) from None


class _Job:
    """What the threads of one run share."""

    def __init__(self, folder: Path, timeout: float, pause: float):
        self.folder, self.images = folder, folder / "images"
        self.listed = folder / "taken_down.txt"
        self.timeout, self.pause = timeout, pause
        self.stop = threading.Event()
        self.saving = threading.Lock()
        self.decoder: ThreadPool | None = None

    def path(self, photo: _Photo) -> Path:
        return self.images / f"{photo.image_id}.png"

    def taken_down(self) -> set[str]:
        listed = self.listed
        return set(listed.read_text("utf-8", "replace").split()) if listed.exists() else set()

    def table(self, base: str) -> Path:
        """The table of the set, fetched where it is not there; its hash is pinned."""
        path = self.folder / "dev_dataset.csv"
        if not path.exists():
            try:
                with tempfile.SpooledTemporaryFile(IN_MEMORY) as body:
                    self.download(base, body)
                    content = body.read()
            except _Missing as missed:
                raise InputError(f"{base}: {missed.reason}; {INSTEAD}.") from None
            if base == CSV_URL and hashlib.sha256(content).hexdigest() != CSV_SHA256:
                raise InputError(f"{base}: not the set's table; expected SHA-256 {CSV_SHA256}.")
            self.write(path, content)
        elif base == CSV_URL and hashlib.sha256(path.read_bytes()).hexdigest() != CSV_SHA256:
            raise InputError(f"{path}: not the set's table; expected SHA-256 {CSV_SHA256}.")
        return path

    def write(self, path: Path, content: bytes) -> None:
        """A file that is whole or not there; none any more once the run has been stopped."""
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
        with self.saving:
            if not self.stop.is_set():
                with _disk_faults(path):
                    try:
                        unfinished.write_bytes(content)
                        unfinished.replace(path)
                    finally:
                        unfinished.unlink(missing_ok=True)

    def fetch(self, photo: _Photo) -> tuple[_Photo, _Missing | None]:
        """Fetch, crop and save one photograph, or say why not."""
        try:
            with tempfile.SpooledTemporaryFile(IN_MEMORY) as body:
                address = self.download(photo.url, body)
                if address != photo.url and re.search(PLACEHOLDER, address):
                    raise _Missing("taken down", gone=True)
                image = self.decoder.apply(_cropped, (photo, body))
        except _Missing as missed:
            return photo, missed
        file = io.BytesIO()
        image.save(file, "PNG")
        self.write(self.path(photo), file.getvalue())
        return photo, None

    def download(self, url: str, body: IO[bytes]) -> str:
        """Write what a server answers to ``body``; returns the address it came from in the end."""
        for number in range(TRIES):
            try:
                return self.try_once(url, body)
            except _Missing as missed:
                pause = max(missed.wait, self.pause * 2**number)
                last = number == TRIES - 1 or not missed.again or missed.wait > LONGEST_WAIT
                if last or self.stop.wait(pause):
                    raise
        raise AssertionError("the last try returns or raises")

    def try_once(self, url: str, body: IO[bytes]) -> str:
        body.seek(0)
        body.truncate()
        deadline = time.monotonic() + 10 * self.timeout
        # The scheme was checked: _photos takes only http and https.
        request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:  # noqa: S310
                while chunk := answer.read(2**16):
                    body.write(chunk)
                    if body.tell() > MAX_BYTES or self.stop.is_set():
                        raise _Missing(f"larger than {MAX_BYTES} bytes")
                    if time.monotonic() > deadline:
                        raise TimeoutError("too slow")
                if body.tell() != int(answer.headers.get("Content-Length") or body.tell()):
                    raise _Missing("cut off", again=True)
                body.seek(0)
                return answer.url
        except urllib.error.HTTPError as error:
            wait = error.headers.get("Retry-After", "")
            raise _Missing(
                f"HTTP status {error.code}",
                gone=error.code in (404, 410),
                again=error.code == 429 or error.code >= 500,
                wait=float(wait) if wait.isdecimal() else 0.0,
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if getattr(error, "errno", None) in DISK_FAULTS:
                raise InputError(f"{self.folder}: {error}; expected room for files.") from None
            reason = f"no answer ({getattr(error, 'reason', None) or error!r})"
            unreachable = isinstance(error, urllib.error.URLError)
            raise _Missing(reason, again=True, unreachable=unreachable) from None

"""Fetch the 1000 photographs of the NIPS 2017 adversarial learning development set.

The table of the set names for each photograph an address and a box to crop; what becomes of it is
what ``download_images.py``, the organizers' program beside the table, does.
"""

import csv
import hashlib
import io
import os
import re
import tempfile
import threading
import time
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import IO

import requests
from PIL import Image
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from fgsm_lib import InputError, __version__, expanded
from fgsm_lib.pictures import open_picture

CSV_URL = (
    "https://raw.githubusercontent.com/cleverhans-lab/cleverhans/"
    "72d9c1fc49c846d841ad08bbe0585b31f6550b26/cleverhans_v3.1.0/examples/"
    "nips17_adversarial_competition/dataset/dev_dataset.csv"
)
CSV_SHA256 = "b85ae40a1d5d0d95b77d30b8cabec140020a00cbcc9aebc6921b77a270fb743d"
USER_AGENT = f"fgsm-lib/{__version__} (fetches the NIPS 2017 adversarial development set, once)"
SIDE, WORKERS, TRIES = 299, 8, 4
TIMEOUT, PAUSE = 20.0, 1.0  # seconds of silence; 2 pauses before the third try, 4 before the fourth
MAX_BYTES, IN_MEMORY = 100 * 2**20, 4 * 2**20  # of a photograph; what exceeds the latter is on disk
PLACEHOLDER = r"photo_unavailable|/pw/images/"  # in the address of Flickr's "no longer available"
PNG_END = b"IEND\xaeB`\x82"
THERE, FETCHED, GONE, SILENT = "there", "fetched", "taken down", "no answer"
INSTEAD = (
    "run this again with a network, or on another machine, or give a folder that has the "
    "photographs (DATA=<folder>)"
)
_decoding = threading.Lock()  # one at a time: large photographs in every thread take a gigabyte


def fetch_nips2017(folder: str | Path) -> dict[str, str]:
    """Fetch what ``folder`` does not hold yet, in the layout that ``datasets.nips2017`` reads.

    Nothing is ever half written: it may be stopped at any time, and goes on where it was.
    Photographs that were taken down are remembered in ``taken_down.txt``; delete it to ask again.

    Returns:
        What became of each photograph, by its id: THERE, FETCHED, GONE, or why it failed.

    Raises InputError where there is no network or the table is not the set's, OSError where the
    folder cannot be written to or the disk is full.
    """
    folder = expanded(folder)
    images, listed = folder / "images", folder / "taken_down.txt"
    images.mkdir(parents=True, exist_ok=True)
    for unfinished in images.glob(".*.part"):  # of a run that was killed
        unfinished.unlink(missing_ok=True)
    session = _session()
    photos = {row["ImageId"]: row for row in _table(session, folder / "dev_dataset.csv")}
    became = dict.fromkeys(listed.read_text().split() if listed.exists() else [], GONE)
    became |= {name: THERE for name in photos if _is_whole(images / f"{name}.png")}
    wanted = [photo for name, photo in photos.items() if name not in became]
    silent = 0  # answers in a row that did not come
    # Its threads are daemons, so that nobody waits for them once this has raised something.
    with ThreadPool(WORKERS) as pool:
        outcomes = pool.imap_unordered(partial(_fetch, session, images), wanted)
        for name, outcome in tqdm(outcomes, total=len(wanted), unit=" photographs", disable=None):
            became[name] = outcome
            if outcome == GONE:
                with listed.open("a") as file:
                    file.write(f"{name}\n")
            silent = silent + 1 if outcome == SILENT else 0
            if silent == WORKERS:
                raise InputError(f"{photos[name]['URL']}: {outcome}; {INSTEAD}.")
    return {name: became[name] for name in photos}


def summary(became: dict[str, str]) -> str:
    """What ``fetch_nips2017`` returns, in a sentence or three."""
    new, there = (sum(one == state for one in became.values()) for state in (FETCHED, THERE))
    lines = [f"{there + new} photographs, {new} of them fetched now."]
    gone = [name for name, one in became.items() if one == GONE]
    if gone:
        lines.append(f"{len(gone)} were taken down: {', '.join(gone)}.")
    failed = [f"{name}: {one}" for name, one in became.items() if one not in (THERE, FETCHED, GONE)]
    if failed:
        some = "; ".join(failed[:5]) + ("; …" if len(failed) > 5 else "")
        lines.append(f"{len(failed)} failed, the next run tries them again: {some}.")
    return "\n".join(lines)


def _session() -> requests.Session:
    """Asks up to TRIES times where a server is busy or silent."""
    # A server may ask to wait for an hour; its photograph is left for the next run instead.
    retry = Retry(
        TRIES - 1,
        connect=1,  # without a network it shall be said soon
        backoff_factor=PAUSE,
        status_forcelist=(429, 500, 502, 503, 504),
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=WORKERS, max_retries=retry))
    return session


def _table(session: requests.Session, path: Path) -> list[dict[str, str]]:
    """The rows of the set's table, which is fetched where it is not there; its hash is pinned."""
    if path.exists():
        content = path.read_bytes()
    else:
        body = io.BytesIO()
        try:
            _download(session, CSV_URL, body)
        except requests.RequestException as error:
            raise InputError(f"{CSV_URL}: {_reason(error)}; {INSTEAD}.") from None
        content = body.getvalue()
    if hashlib.sha256(content).hexdigest() != CSV_SHA256:
        raise InputError(f"{path}: not the set's table; expected SHA-256 {CSV_SHA256}.")
    if not path.exists():
        _write(path, content)
    return list(csv.DictReader(io.StringIO(content.decode())))


def _is_whole(path: Path) -> bool:
    """Whether a PNG file is there to its end: files that were copied may be cut off."""
    if not path.is_file() or path.stat().st_size < len(PNG_END):
        return False
    with path.open("rb") as file:  # the end alone: all of them are 130 MB
        file.seek(-len(PNG_END), os.SEEK_END)
        return file.read() == PNG_END


def _fetch(session: requests.Session, images: Path, photo: dict[str, str]) -> tuple[str, str]:
    """Fetch, crop and save one photograph: its id, and what became of it."""
    name = photo["ImageId"]
    try:
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as body:
            address = _download(session, photo["URL"], body)
            if re.search(PLACEHOLDER, address):
                return name, GONE
            with _decoding:
                image = _cropped(photo, body)
    except requests.RequestException as error:
        return name, _reason(error)
    except (InputError, Image.DecompressionBombError) as error:  # the latter of a vast box
        return name, str(error).rstrip(".")
    file = io.BytesIO()
    image.save(file, "PNG")
    _write(images / f"{name}.png", file.getvalue())
    return name, FETCHED


def _download(session: requests.Session, url: str, body: IO[bytes]) -> str:
    """Write what a server answers to ``body``; returns the address it came from in the end."""
    deadline = time.monotonic() + 10 * TIMEOUT
    with session.get(url, timeout=TIMEOUT, stream=True) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_content(2**16):
            body.write(chunk)
            if body.tell() > MAX_BYTES or time.monotonic() > deadline:
                raise InputError(f"{url}: too large or too slow, after {body.tell()} bytes.")
    return answer.url


def _reason(error: requests.RequestException) -> str:
    """What became of a photograph that did not arrive."""
    if error.response is not None:
        status = error.response.status_code
        return GONE if status in (404, 410) else f"HTTP status {status}"
    if isinstance(error, requests.ConnectionError):
        return SILENT
    return f"no whole answer ({type(error).__name__})"


def _cropped(photo: dict[str, str], body: IO[bytes]) -> Image.Image:
    """The photograph's box, 299 × 299; InputError where there is none, or where it is GONE."""
    body.seek(0)
    start = body.read(4)
    image = open_picture(body, "the answer", upright=False)  # boxes are of raw pixels
    if start in (b"\x89PNG", b"GIF8") and image.getcolors(256) is not None:
        raise InputError(GONE)  # a drawing in the place of a photograph, all of which are JPEG
    width, height = image.size
    x1, y1, x2, y2 = (float(photo[side]) for side in ("x1", "y1", "x2", "y2"))
    box = int(x1 * width), int(y1 * height), int(x2 * width), int(y2 * height)
    crop = image.crop(box)
    if 0 in crop.size:  # Pillow would make it black
        raise InputError(f"has {width} × {height} pixels, none of them in the box.")
    return crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _write(path: Path, content: bytes) -> None:
    """A file that is whole or not there."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)

"""Fetching the photographs, from a server on this machine that plays every answer."""

import csv
import hashlib
import io
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fgsm_lib import InputError, fetch
from fgsm_lib.cli import main
from fgsm_lib.datasets import nips2017
from fgsm_lib.fetch import FETCHED, GONE, SILENT, THERE, fetch_nips2017, summary

BOX = ("0.25", "0.0", "0.871838111298", "0.75")


def saved(image: Image.Image, kind="JPEG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(seed=0, size=(90, 70), kind="JPEG", **options) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return saved(Image.fromarray(noise), kind, **options)


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it has side² pixels."""
    chunks = b""
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(10_000))),
        (b"IEND", b""),
    ):
        chunks += struct.pack(">I", len(data)) + kind + data
        chunks += struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


DRAWING = saved(Image.new("RGB", (500, 374), "gray"), "PNG")
TURNED = Image.Exif()
TURNED[0x0112] = 6
# Path: (status, body, headers), one for each time it is asked for; the last one for all others.
ANSWERS = {
    "/picture.jpg": [(200, picture(), {})],
    "/turned.jpg": [(200, picture(exif=TURNED), {})],
    "/wide.jpg": [(200, picture(size=(700, 12)), {})],
    "/png.jpg": [(200, picture(kind="PNG"), {})],
    "/moved.jpg": [(302, b"", {"Location": "/images/picture.jpg"})],
    "/images/picture.jpg": [(200, picture(), {})],
    "/busy.jpg": [(503, b"", {"Retry-After": "0"}), (429, b"", {}), (200, picture(), {})],
    "/404.jpg": [(404, b"", {})],
    "/410.jpg": [(410, b"", {})],
    "/gone.jpg": [(302, b"", {"Location": "/pw/images/en-us/photo_unavailable.png"})],
    "/pw/images/en-us/photo_unavailable.png": [(200, DRAWING, {})],
    "/drawing.jpg": [(200, DRAWING, {})],
    "/403.jpg": [(403, b"", {})],
    "/500.jpg": [(500, b"", {})],
    "/wait.jpg": [(429, b"", {"Retry-After": "3600"})],
    "/cut.jpg": [(200, picture()[:500], {"Content-Length": "9999"})],
    "/short.jpg": [(200, picture()[:500], {})],
    "/html.jpg": [(200, b"<html>Please sign in</html>", {})],
    "/large.jpg": [(200, picture(size=(300, 300)), {})],
    "/bomb.jpg": [(200, bomb(60_000), {})],
    "/point.jpg": [(200, picture(size=(1, 1)), {})],
    "/loop.jpg": [(302, b"", {"Location": "/loop.jpg"})],
    "/slow.jpg": [(200, None, {})],
}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked = Counter()
        self.delay = 0.0
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *arguments):  # a client that went away
        pass


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        answers = self.server.answers[self.path]
        status, body, headers = answers[min(self.server.asked[self.path], len(answers) - 1)]
        self.server.asked[self.path] += 1
        time.sleep(0.6 if body is None else self.server.delay)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve(monkeypatch):
    """A server of the named answers and of the table of these photographs, whose hash is known."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    monkeypatch.setattr(fetch, "MAX_BYTES", 30_000)
    servers = []

    def start(paths, answers=ANSWERS):
        server = Server(dict(answers))
        servers.append(server)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["ImageId", "URL", "x1", "y1", "x2", "y2", "TrueLabel", "Author"])
        for path in paths:
            writer.writerow([Path(path).stem, server.address + path, *BOX, 428, "Zo\\303\\253"])
        table = text.getvalue().encode()
        server.answers["/table.csv"] = [(200, table, {})]
        monkeypatch.setattr(fetch, "CSV_URL", f"{server.address}/table.csv")
        monkeypatch.setattr(fetch, "CSV_SHA256", hashlib.sha256(table).hexdigest())
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def as_the_organizers_did(content: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = image.size
    x1, y1, x2, y2 = map(float, BOX)
    box = (int(x1 * width), int(y1 * height), int(x2 * width), int(y2 * height))
    return np.asarray(image.crop(box).resize((299, 299), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("name", ["picture", "turned", "wide", "png", "moved", "busy"])
def test_a_photograph_is_cropped_and_resized_as_the_organizers_did(serve, tmp_path, name):
    serve([f"/{name}.jpg"])
    assert fetch_nips2017(tmp_path) == {name: FETCHED}
    content = ANSWERS["/picture.jpg" if name == "moved" else f"/{name}.jpg"][-1][1]
    found = np.asarray(nips2017(tmp_path).read(0))
    np.testing.assert_array_equal(found, as_the_organizers_did(content))
    photo = nips2017(tmp_path).picture(0)
    assert (photo.label, photo.class_name, photo.author) == (427, "barrel", "Zoë")


@pytest.mark.parametrize("name", ["404", "410", "gone", "drawing"])
def test_a_photograph_that_was_taken_down_is_listed_and_not_asked_for_again(serve, tmp_path, name):
    server = serve([f"/{name}.jpg"])
    for _ in range(2):
        became = fetch_nips2017(tmp_path)
        assert became == {name: GONE}
        assert f"1 were taken down: {name}." in summary(became)
    assert server.asked[f"/{name}.jpg"] == 1
    assert (tmp_path / "taken_down.txt").read_text() == f"{name}\n"
    assert list((tmp_path / "images").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said", "tries"),
    [
        ("403", "HTTP status 403", 1),
        ("500", "HTTP status 500", 4),
        ("wait", "HTTP status 429", 4),
        ("cut", "no whole answer (ChunkedEncodingError)", 1),
        ("short", "the answer: not a readable picture", 1),
        ("html", "the answer: not a picture; expected PNG, JPEG", 1),
        ("large", "too large or too slow", 1),
        ("bomb", "3600000000 pixels", 1),
        ("point", "has 1 × 1 pixels, none of them in the box", 1),
        ("loop", "HTTP status 302", 31),
        ("slow", SILENT, 4),
    ],
)
def test_a_photograph_that_fails_is_listed_and_asked_for_again(serve, tmp_path, name, said, tries):
    server = serve([f"/{name}.jpg", "/picture.jpg"])
    became = fetch_nips2017(tmp_path)
    assert said in became[name] and became["picture"] == FETCHED
    assert f"1 failed, the next run tries them again: {name}: {became[name]}." in summary(became)
    assert server.asked[f"/{name}.jpg"] == tries
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["picture.png"]
    server.answers[f"/{name}.jpg"] = [(200, picture(1), {})]
    became = fetch_nips2017(tmp_path)
    assert became == {name: FETCHED, "picture": THERE}
    assert summary(became) == "2 photographs, 1 of them fetched now."
    assert server.asked["/picture.jpg"] == server.asked["/table.csv"] == 1


def test_a_damaged_file_is_fetched_again_and_leftovers_are_removed(serve, tmp_path):
    serve(["/picture.jpg"])
    fetch_nips2017(tmp_path)
    path = tmp_path / "images" / "picture.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    (path.parent / ".other.png.7.part").write_bytes(whole[:9])
    assert fetch_nips2017(tmp_path) == {"picture": FETCHED}
    assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


# --- what stops a run ---------------------------------------------------------------------------


@pytest.mark.parametrize("has_table", [True, False])
def test_without_a_network_one_sentence_says_what_to_do_instead(serve, tmp_path, has_table):
    server = serve([f"/{number}.jpg" for number in range(1000)])
    if has_table:
        (tmp_path / "dev_dataset.csv").write_bytes(server.answers["/table.csv"][0][1])
    server.shutdown()
    server.server_close()
    started = time.monotonic()
    with pytest.raises(InputError, match=r"no answer; run this again .*DATA=<folder>"):
        fetch_nips2017(tmp_path)
    assert time.monotonic() - started < 5


def test_the_table_is_pinned(serve, tmp_path):
    known = Path(__file__).parents[2] / "shared" / "nips2017" / "dev_dataset.csv"
    if known.exists():
        assert hashlib.sha256(known.read_bytes()).hexdigest() == fetch.CSV_SHA256
    server = serve(["/picture.jpg"])
    server.answers["/table.csv"] = [(403, b"", {}), (200, b"ImageId,URL\na,b\n", {})]
    with pytest.raises(InputError, match=r"table\.csv: HTTP status 403; run this again"):
        fetch_nips2017(tmp_path)
    with pytest.raises(InputError, match=r"dev_dataset\.csv: not the set's table; expected SHA"):
        fetch_nips2017(tmp_path)
    assert not (tmp_path / "dev_dataset.csv").exists()


def test_a_disk_that_takes_no_more_stops_the_run_in_a_sentence(serve, tmp_path, monkeypatch):
    server = serve([f"/{name}.jpg" for name in ("picture", "wide", "png")])
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["fetch", "nips2017", "--to", str(tmp_path / "file" / "x")])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "file/x/images: Not a directory" in result.output
    (tmp_path / "dev_dataset.csv").write_bytes(server.answers["/table.csv"][0][1])

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    result = CliRunner().invoke(main, ["fetch", "nips2017", "--to", str(tmp_path)])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "No space left on device" in result.output


PROGRAM = """
import sys
from fgsm_lib import cli, fetch
fetch.CSV_URL, fetch.CSV_SHA256 = sys.argv[2:]
cli.main(["fetch", "nips2017", "--to", sys.argv[1]])
"""


def test_a_run_that_was_interrupted_ends_at_once_and_goes_on_to_the_same_bytes(serve, tmp_path):
    paths = [f"/{number}.jpg" for number in range(24)]
    answers = {path: [(200, picture(number), {})] for number, path in enumerate(paths)}
    server = serve(paths, answers)
    server.delay = 0.15
    arguments = [str(tmp_path / "stopped"), fetch.CSV_URL, fetch.CSV_SHA256]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE)
    images = tmp_path / "stopped" / "images"
    while len(list(images.glob("*.png"))) < 6:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, said = process.communicate(timeout=10)
    assert time.monotonic() - started < 1
    assert process.returncode == 130
    assert said.decode().endswith("what is fetched is kept, and the next run goes on from there.\n")
    found = list(images.glob("*.png"))
    assert 6 <= len(found) < 24
    server.delay = 0.0
    assert Counter(fetch_nips2017(tmp_path / "stopped").values())[THERE] == len(found)
    fetch_nips2017(tmp_path / "whole")
    files = [path for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    assert len(files) == 25
    for path in files:
        again = tmp_path / "stopped" / path.relative_to(tmp_path / "whole")
        assert again.read_bytes() == path.read_bytes()

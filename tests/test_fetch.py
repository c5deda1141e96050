"""Fetching the photographs, from a server on this machine that plays every answer."""

import csv
import hashlib
import io
import os
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
from PIL import Image

from fgsm_lib import InputError, fetch
from fgsm_lib.datasets import nips2017
from fgsm_lib.fetch import fetch_nips2017

BOX = ("0.25", "0.0", "0.871838111298", "0.75")


def picture(seed=0, size=(90, 70), kind="JPEG", **options) -> bytes:
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    noise = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def drawing() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (500, 374), "gray").save(file, "PNG")
    return file.getvalue()


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


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(exif=exif)


# Path: (status, body, headers), one for each time it is asked for; the last one for all others.
ANSWERS = {
    "/picture.jpg": [(200, picture(), {})],
    "/turned.jpg": [(200, turned(), {})],
    "/wide.jpg": [(200, picture(size=(700, 12)), {})],
    "/png.jpg": [(200, picture(kind="PNG"), {})],
    "/moved.jpg": [(302, b"", {"Location": "/images/picture.jpg"})],
    "/images/picture.jpg": [(200, picture(), {})],
    "/busy.jpg": [(503, b"", {"Retry-After": "0"}), (429, b"", {}), (200, picture(), {})],
    "/once.jpg": [(200, picture()[:500], {"Content-Length": "9999"}), (200, picture(), {})],
    "/404.jpg": [(404, b"", {})],
    "/410.jpg": [(410, b"", {})],
    "/gone.jpg": [(302, b"", {"Location": "/pw/images/en-us/photo_unavailable.png"})],
    "/pw/images/en-us/photo_unavailable.png": [(200, drawing(), {})],
    "/drawing.jpg": [(200, drawing(), {})],
    "/403.jpg": [(403, b"", {})],
    "/500.jpg": [(500, b"", {})],
    "/wait.jpg": [(429, b"", {"Retry-After": "3600"})],
    "/cut.jpg": [(200, picture()[:500], {"Content-Length": "9999"})],
    "/short.jpg": [(200, picture()[:500], {})],
    "/html.jpg": [(200, b"<html>Please sign in</html>", {})],
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
        self.agents = set()
        self.delay = 0.0
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *arguments):  # a client that went away
        pass


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        answers = self.server.answers[self.path]
        status, body, headers = answers[min(self.server.asked[self.path], len(answers) - 1)]
        self.server.asked[self.path] += 1
        self.server.agents.add(self.headers["User-Agent"])
        time.sleep(2 if body is None else self.server.delay)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve(monkeypatch):
    """A server for the named answers; returns it and the address of its table."""
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def start(paths, answers=ANSWERS):
        server = Server(dict(answers))
        servers.append(server)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["ImageId", "URL", "x1", "y1", "x2", "y2", "TrueLabel", "Author"])
        for path in paths:
            writer.writerow([Path(path).stem, server.address + path, *BOX, 428, "Zo\\303\\253"])
        server.answers["/table.csv"] = [(200, text.getvalue().encode(), {})]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server, f"{server.address}/table.csv"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def run(folder, base, **options):
    return fetch_nips2017(folder, base=base, timeout=0.5, pause=0.01, **options)


def as_the_organizers_did(content: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = image.size
    x1, y1, x2, y2 = map(float, BOX)
    box = (int(x1 * width), int(y1 * height), int(x2 * width), int(y2 * height))
    return np.asarray(image.crop(box).resize((299, 299), Image.Resampling.LANCZOS))


@pytest.mark.parametrize(
    "path",
    ["picture.jpg", "turned.jpg", "wide.jpg", "png.jpg", "moved.jpg", "busy.jpg", "once.jpg"],
)
def test_a_photograph_is_cropped_and_resized_as_the_organizers_did(serve, tmp_path, path):
    server, base = serve([f"/{path}"])
    report = run(tmp_path, base)
    assert (report.there, report.fetched, report.taken_down, report.failed) == (0, 1, [], [])
    content = ANSWERS["/images/picture.jpg" if path == "moved.jpg" else f"/{path}"][-1][1]
    found = np.asarray(nips2017(tmp_path).read(0))
    np.testing.assert_array_equal(found, as_the_organizers_did(content))
    assert server.agents == {fetch.USER_AGENT}
    photo = nips2017(tmp_path).picture(0)
    assert (photo.label, photo.class_name, photo.author) == (427, "barrel", "Zoë")


@pytest.mark.parametrize("path", ["404.jpg", "410.jpg", "gone.jpg", "drawing.jpg"])
def test_a_photograph_that_was_taken_down_is_listed_and_not_asked_for_again(serve, tmp_path, path):
    server, base = serve([f"/{path}"])
    for _ in range(2):
        report = run(tmp_path, base)
        assert (report.fetched, report.taken_down, report.failed) == (0, [path[:-4]], [])
        assert "1 were taken down" in str(report)
    assert server.asked[f"/{path}"] == 1
    assert (tmp_path / "taken_down.txt").read_text() == path[:-4]
    assert list((tmp_path / "images").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "said", "tries"),
    [
        ("403.jpg", "HTTP status 403", 1),
        ("500.jpg", "HTTP status 500", 3),
        ("wait.jpg", "HTTP status 429", 1),
        ("cut.jpg", "cut off", 3),
        ("short.jpg", "not a readable picture", 1),
        ("html.jpg", "not a picture; expected PNG, JPEG", 1),
        ("bomb.jpg", "3600000000 pixels", 1),
        ("point.jpg", "has 1 × 1 pixels, none of them in the box", 1),
        ("loop.jpg", "HTTP status 302", 5),
        ("slow.jpg", "no answer", 3),
    ],
)
def test_a_photograph_that_fails_is_listed_and_asked_for_again(serve, tmp_path, path, said, tries):
    server, base = serve([f"/{path}", "/picture.jpg"])
    report = run(tmp_path, base)
    assert (report.fetched, report.taken_down) == (1, [])
    assert report.failed[0].startswith(f"{path[:-4]}: ")
    assert said in report.failed[0] and "\n" not in report.failed[0]
    assert server.asked[f"/{path}"] == tries
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["picture.png"]
    server.answers[f"/{path}"] = [(200, picture(1), {})]
    report = run(tmp_path, base)
    assert (report.there, report.fetched, report.failed) == (1, 1, [])
    assert server.asked["/picture.jpg"] == server.asked["/table.csv"] == 1


def test_a_damaged_file_is_fetched_again_and_leftovers_are_removed(serve, tmp_path):
    _, base = serve(["/picture.jpg"])
    run(tmp_path, base)
    path = tmp_path / "images" / "picture.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    (path.parent / ".other.png.7.part").write_bytes(whole[:9])
    assert run(tmp_path, base).fetched == 1
    assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


# --- what stops a run ---------------------------------------------------------------------------


@pytest.mark.parametrize("has_table", [True, False])
def test_without_a_network_one_sentence_says_what_to_do_instead(serve, tmp_path, has_table):
    server, base = serve([f"/{number}.jpg" for number in range(40)])
    with pytest.raises(InputError, match=r"403\.jpg: HTTP status 403; run this again"):
        run(tmp_path, f"{server.address}/403.jpg")
    if has_table:
        (tmp_path / "dev_dataset.csv").write_bytes(server.answers["/table.csv"][0][1])
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=r"no answer .*refused.*; run this again .*DATA=<folder>"):
        run(tmp_path, base)


def test_the_table_is_pinned(tmp_path):
    known = Path(__file__).parents[2] / "shared" / "nips2017" / "dev_dataset.csv"
    if known.exists():
        assert hashlib.sha256(known.read_bytes()).hexdigest() == fetch.CSV_SHA256
    (tmp_path / "dev_dataset.csv").write_text("ImageId,URL\na,b\n")
    with pytest.raises(InputError, match=r"dev_dataset\.csv: not the set's table; expected SHA"):
        fetch_nips2017(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("http://", "file:///etc/", "row 1 has URL 'file:"),
        ("picture,", "../picture,", "row 1 has ImageId '../picture'"),
        ("0.25", "0.9", r"row 1 has the box 0.9, 0.0, 0.87"),
        ("0.25", "nan", "row 1 has the box nan"),
        ("0.25", "left", "row 1 has the box left"),
        ("x1", "left", "expected one column 'x1'"),
    ],
)
def test_a_table_from_elsewhere_is_refused(serve, tmp_path, old, new, said):
    server, base = serve(["/picture.jpg"])
    status, table, headers = server.answers["/table.csv"][0]
    server.answers["/table.csv"] = [(status, table.replace(old.encode(), new.encode(), 1), headers)]
    with pytest.raises(InputError, match=said):
        run(tmp_path, base)
    assert server.asked["/picture.jpg"] == 0


def test_a_folder_that_cannot_be_written_is_named(serve, tmp_path):
    _, base = serve(["/picture.jpg"])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: .*; expected a folder to write to"):
        run(tmp_path / "file", base)


def test_a_full_disk_stops_the_run(serve, tmp_path, monkeypatch):
    _, base = serve(["/picture.jpg"])
    run(tmp_path, base)
    (tmp_path / "images" / "picture.png").unlink()

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"picture\.png: No space left on device"):
        run(tmp_path, base)


PROGRAM = """
import sys
from fgsm_lib.fetch import fetch_nips2017
print(fetch_nips2017(sys.argv[1], base=sys.argv[2], workers=4))
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(serve, tmp_path, sign):
    paths = [f"/{number}.jpg" for number in range(24)]
    answers = {path: [(200, picture(number), {})] for number, path in enumerate(paths)}
    server, base = serve(paths, answers)
    server.delay = 0.2
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "stopped"), base]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}, stderr=-3
    )
    images = tmp_path / "stopped" / "images"
    while len(list(images.glob("*.png"))) < 6:
        time.sleep(0.005)
    process.send_signal(sign)
    started = time.monotonic()
    process.wait(10)
    assert time.monotonic() - started < 2
    found = list(images.glob("*.png"))
    assert 6 <= len(found) < 24
    for path in found:
        Image.open(path).load()
    if sign == signal.SIGINT:
        assert list(images.glob(".*")) == []
    server.delay = 0.0
    report = run(tmp_path / "stopped", base)
    assert (report.there, report.fetched) == (len(found), 24 - len(found))
    run(tmp_path / "whole", base)
    for path in sorted((tmp_path / "whole").rglob("*")):
        if path.is_file():
            again = tmp_path / "stopped" / path.relative_to(tmp_path / "whole")
            assert again.read_bytes() == path.read_bytes()

"""The site in _build/html behind a server, and each of its pages opened once in Chromium.

``visit_all`` opens every page in a light and in a dark window side by side, makes it as wide as a
desk, a tablet and two phones, prints it, and notes what is wrong. The tests look at the notes.
"""

import asyncio
import functools
import gzip
import re
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.async_playwright import Axe
from bs4 import BeautifulSoup
from playwright.async_api import Page, async_playwright

SITE = Path(__file__).parents[1] / "_build" / "html"
PROFILE = (SITE / ".profile").read_text() if (SITE / ".profile").is_file() else ""
FOUND = (path.relative_to(SITE) for path in SITE.rglob("*.html"))
PAGES = sorted(path.as_posix() for path in FOUND if path.parts[0] != "_static")
CHROMIUM = shutil.which("chromium")
LAUNCH = {"executable_path": CHROMIUM, "args": ["--no-sandbox", "--disable-gpu"]}
WIDTHS = (1280, 820, 390, 320)
PAPER = {"width": 680, "height": 980}  # A4 within its margins, in CSS pixels


@functools.cache
def soup(page: str) -> BeautifulSoup:
    return BeautifulSoup((SITE / page).read_text(encoding="utf-8"), "html.parser")


def the_path() -> list[str]:
    """Home and the pages of the path, as the list of pages at the side has them."""
    caption = soup("index.html").find("p", class_="caption", string=re.compile("The path"))
    links = caption.find_next_sibling("ul").select("a.reference.internal")
    return ["index.html", *(link["href"] for link in links)]


class Handler(SimpleHTTPRequestHandler):
    """The site under a path of its own; every page asks for all that it needs."""

    policy = ""

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix("/under/a/path"))

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        if self.policy:
            self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()

    def log_message(self, *arguments) -> None:
        pass


@contextmanager
def served(policy: str = "") -> Iterator[str]:
    """The address of the site, without the last slash; its server may send a policy."""
    handler = type("WithPolicy", (Handler,), {"policy": policy})
    handler = functools.partial(handler, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # a page that is left while it loads
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/under/a/path"
        server.shutdown()


def weight(address: str) -> int:
    """Bytes of a file of the site on their way to the reader, compressed as a server would."""
    path = SITE / unquote(urlsplit(address).path).removeprefix("/under/a/path/")
    body = path.read_bytes() if path.is_file() else b""
    packed = path.suffix in (".png", ".webp", ".woff2")
    return len(body) if packed else len(gzip.compress(body, 6))


# --- what is looked for: JavaScript that returns {fault: where it is} ----------------------------

COMMON = """
const all = (selector) => [...document.querySelectorAll(selector)];
const brief = (node) => node.outerHTML.slice(0, 120).replace(/\\s+/g, " ");
const own = (node) => [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
const style = (node) => getComputedStyle(node);
const box = (node) => node.getBoundingClientRect();
const seen = (node) => node.checkVisibility({ visibilityProperty: true })
    && box(node).width > 1 && box(node).height > 1;
const which = (nodes, test) => nodes.filter((n) => seen(n) && test(n)).map(brief);
"""
# Letters of a drawing in the page are as large as the drawing makes them. Figures are drawn for
# 688 and 342 pixels, and in an <img>: their letters are counted in Python.
ON_SCREEN = """
const size = (n) => parseFloat(style(n).fontSize) * (n.getScreenCTM?.().a ?? 1);
const wide = document.documentElement.scrollWidth - innerWidth;
const scheme = document.documentElement.dataset.theme;
return {
    "sideways scrolling": wide > 0 ? [`${wide} px`] : [],
    "a table or code wider than its column": innerWidth < 1280 ? [] : which(
        all("article :is(.pst-scrollable-table-container, pre)"),
        (n) => n.scrollWidth > n.clientWidth),
    "text under 11 pixels": which(all("body *"),
        (n) => own(n) && !n.closest(".mathml, noscript") && size(n) < 10.99),
    "a target smaller than a thumb": !given ? [] : which(
        all("button, input:not([type=radio]), select, summary"),
        (n) => n.offsetHeight < 43.5 || n.offsetWidth < 43.5),
    "a figure that is not of its scheme, or filtered": which(all("figure.themed img"),
        (n) => n.parentElement.className !== `on-${scheme}` || style(n).filter !== "none"),
    "a picture of a slider that is padded or filtered": which(
        all(".epsilon-slider canvas, .live-attack canvas, .live-attack .offered img"),
        (n) => parseFloat(style(n).padding) > 0 || style(n).filter !== "none"),
    "figures": all("figure.themed img").filter(seen).map((n) => [
        matchMedia(n.previousElementSibling.media).matches
            ? n.previousElementSibling.srcset : n.getAttribute("src"), box(n).width]),
};"""
ON_PAPER = """
const linear = (v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
const contrast = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(linear);
    return 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05);
};
const clipped = (n) => n.scrollWidth > n.clientWidth + 1
    && ["auto", "scroll", "hidden"].includes(style(n).overflowX);
const text = all("article *").filter((n) => !n.closest("svg, .mathml, .visually-hidden"));
return {
    "on paper something to click": which(all(`.bd-sidebar-primary, .bd-sidebar-secondary,
        .bd-header-article, .prev-next-footer, .skip-link, .headerlink, article button, input,
        select, .link-card, .on-dark`), () => true),
    "on paper faint text": which(text, (n) => own(n) && contrast(style(n).color) < 4.5),
    "on paper something cut off": which(text,
        (n) => box(n).right > innerWidth + 1 || clipped(n)),
};"""
# Of the article's own words: no table, no code, nothing that is folded.
WORDS = """
const left = "table, pre, .foot, .headerlink, button, script, noscript, svg, .mathml";
const article = document.querySelector("article") ?? document.body;
const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
let words = 0;
while (walker.nextNode()) {
    const { parentElement: parent, textContent } = walker.currentNode;
    if (parent.closest(left) || !parent.checkVisibility()) continue;
    words += (textContent.match(/[\\p{L}\\d]+[\\p{L}\\d.,’'%/-]*/gu) ?? []).length;
}
return words;"""

# Code without its colors and equations without their strokes: axe is done in half the time.
PLAIN = """
document.querySelectorAll("pre").forEach((code) => { code.textContent = code.textContent; });
document.querySelectorAll(".mathml, .math svg > *").forEach((stroke) => stroke.remove());
"""


async def _asked(page: Page, script: str, given: object = None):
    return await page.evaluate(f"(given) => {{{COMMON}{script}}}", given)


@dataclass
class Notes:
    """What is wrong; by page its words, heights by width and bytes; figures and their widths."""

    faults: list[str] = field(default_factory=list)
    words: dict[str, int] = field(default_factory=dict)
    heights: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    bytes: dict[str, int] = field(default_factory=dict)
    figures: set[tuple[str, float]] = field(default_factory=set)

    def add(self, where: str, found: dict[str, list]) -> None:
        self.faults += [f"{what}: {where} {item}" for what in found for item in found[what]]


def visit_all(address: str, thorough: bool = False) -> Notes:
    """Open every page; ``thorough`` asks axe-core at each width and about colors of code."""
    with ThreadPoolExecutor(1) as thread:  # Playwright's other interface may run in this one
        return thread.submit(asyncio.run, _visit_all(address, thorough)).result()


async def _visit_all(address: str, thorough: bool) -> Notes:
    notes = Notes()

    async def window(scheme: str, half: int) -> None:
        """For many pages: one that has seen scripts before runs them in half the time."""
        context = await browser.new_context(color_scheme=scheme, has_touch=scheme == "dark")
        for place, name in list(enumerate(PAGES))[half::2]:
            one = WIDTHS[(place + 2 * (scheme == "dark")) % len(WIDTHS)]
            page = await context.new_page()
            await _visit(page, notes, address, name, scheme, WIDTHS if thorough else [one])
            await page.close()

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(**LAUNCH)
        await asyncio.gather(*(window(s, half) for s in ("light", "dark") for half in (0, 1)))
        await browser.close()
    return notes


async def _visit(page: Page, notes: Notes, address: str, name: str, scheme: str, axe) -> None:
    where, urls, errors = f"{name} ({scheme})", set(), []
    page.on("request", lambda request: urls.add(request.url))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    await page.goto(f"{address}/{name}", wait_until="load")
    notes.bytes[name] = sum(weight(url) for url in urls if url.startswith(address))
    notes.words[name] = await _asked(page, WORDS)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        found = await _asked(page, ON_SCREEN, scheme == "dark" and width < 600)
        notes.figures |= {tuple(figure) for figure in found.pop("figures") if width != 320}
        notes.add(f"{where} at {width} px", found)
        height = await page.evaluate("document.documentElement.scrollHeight")
        notes.heights[name][width] = height
        if width in axe:
            await page.wait_for_timeout(400)  # until the theme knows what scrolls
            await page.evaluate("" if len(axe) > 1 else PLAIN)
            notes.add(f"{where} at {width} px", {"a serious fault for axe": await _axe(page)})
    await page.set_viewport_size(PAPER)
    await page.emulate_media(media="print", color_scheme=scheme)
    notes.add(where, await _asked(page, ON_PAPER))
    elsewhere = [url for url in urls if not url.startswith((address, "data:", "blob:"))]
    notes.add(where, {"an error": errors, "a request to another origin": elsewhere})


async def _axe(page: Page) -> list[str]:
    """What axe-core finds serious or critical: its rule and the element."""
    found = await Axe().run(page, options={"resultTypes": ["violations"]})  # half the time
    return [
        f"{fault['id']} {node['html'][:160]}"
        for fault in found.response["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]

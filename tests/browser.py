"""The site in _build/html behind a server, and what is looked for on each of its pages.

A ``Visitor`` opens a page once in Chromium, makes it as wide as a desk, a tablet and two phones,
turns it dark, prints it, and notes what is wrong. The tests look at the notes.
"""

import functools
import gzip
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import Browser

SITE = Path(__file__).parents[1] / "_build" / "html"
PROFILE = (SITE / ".profile").read_text() if (SITE / ".profile").is_file() else ""
FOUND = (path.relative_to(SITE) for path in SITE.rglob("*.html"))
PAGES = sorted(path.as_posix() for path in FOUND if path.parts[0] != "_static")
CHROMIUM = shutil.which("chromium")
WIDTHS = (1280, 820, 390, 320)
PAPER = {"width": 680, "height": 980}  # A4 within its margins, in CSS pixels
# As strict as a server may send it.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:"
)


@functools.cache
def soup(page: str) -> BeautifulSoup:
    return BeautifulSoup((SITE / page).read_text(encoding="utf-8"), "html.parser")


def the_path() -> list[str]:
    """Home and the pages of the path, as the list of pages at the side has them."""
    caption = soup("index.html").find("p", class_="caption", string=re.compile("The path"))
    links = caption.find_next_sibling("ul").select("a.reference.internal")
    return ["index.html", *(link["href"] for link in links)]


class Handler(SimpleHTTPRequestHandler):
    """The site under a path of its own."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix("/under/a/path"))

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *arguments) -> None:
        pass


@contextmanager
def served() -> Iterator[str]:
    """The address of the site, without the last slash."""
    handler = functools.partial(Handler, directory=str(SITE))
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

const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const linear = (v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = (node) => {
    if (!node) return [255, 255, 255];
    const [r, g, b, alpha = 1] = channels(style(node).backgroundColor);
    const under = alpha < 1 ? ground(node.parentElement) : [0, 0, 0];
    return [r, g, b].map((value, i) => alpha * value + (1 - alpha) * under[i]);
};
const faint = (node, behind) => {
    const [low, high] = [channels(style(node).color), behind].map(light).sort((a, b) => a - b);
    return own(node) && (high + 0.05) / (low + 0.05) < 4.5;
};
const untold = ":disabled, svg, noscript, .mathml, .visually-hidden, .search-button__kbd-shortcut";
const texts = all("body *").filter((n) => !n.closest(untold));
"""
# Colors change at once, and figures are there, also those far below, where a browser would wait for
# the reader.
SETTLED = """async () => {
    const loads = (image) => {
        if (image.checkVisibility()) image.loading = "eager";
        return image.loading !== "lazy" && !image.complete;
    };
    let frames = 0;
    do {
        await new Promise(requestAnimationFrame);
        for (const animation of document.getAnimations()) animation.finish();
    } while (++frames < 300 && [...document.images].filter(loads).length);
}"""
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
    "faint text": which(texts, (n) => faint(n, ground(n))),
    "a target smaller than a thumb": !given ? [] : which(
        all("button, input:not([type=radio]), select, summary"),
        (n) => n.offsetHeight < 43.5 || n.offsetWidth < 43.5),
    "a figure that is not of its scheme, or filtered": which(all("figure.themed img"),
        (n) => n.parentElement.className !== `on-${scheme}` || style(n).filter !== "none"),
    "a picture of a slider that is padded or filtered": which(
        all(".epsilon-slider canvas, .live-attack canvas, .live-attack .offered img"),
        (n) => parseFloat(style(n).padding) > 0 || style(n).filter !== "none"),
    "height": document.documentElement.scrollHeight,
    "figures": all("figure.themed img").filter(seen).map((n) => [
        matchMedia(n.previousElementSibling.media).matches
            ? n.previousElementSibling.srcset : n.getAttribute("src"), box(n).width]),
};"""
ON_PAPER = """
const clipped = (n) => n.scrollWidth > n.clientWidth + 1
    && ["auto", "scroll", "hidden"].includes(style(n).overflowX);
const printed = texts.filter((n) => n.closest("article"));
return {
    "on paper something to click": which(all(`.bd-sidebar-primary, .bd-sidebar-secondary,
        .bd-header-article, .prev-next-footer, .skip-link, .headerlink, article button, input,
        select, .link-card, .on-dark`), () => true),
    "on paper faint text": which(printed, (n) => faint(n, [255, 255, 255])),
    "on paper something cut off": which(printed,
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
all("pre").forEach((code) => { code.textContent = code.textContent; });
all(".mathml, .math svg > *").forEach((stroke) => stroke.remove());
"""


@dataclass
class Visit:
    """What is wrong with a page; its words, bytes, heights by width, figures and their widths."""

    faults: list[str] = field(default_factory=list)
    words: int = 0
    bytes: int = 0
    heights: dict[int, int] = field(default_factory=dict)
    figures: set[tuple[str, float]] = field(default_factory=set)


class Visitor:
    """A window in which one page is opened after the other, as a reader does."""

    def __init__(self, chromium: Browser, address: str, thorough: bool = False):
        """``thorough`` asks axe-core at each width in both schemes, also about colors of code."""
        self.address, self.thorough = address, thorough
        self.page = page = chromium.new_page()
        self.devtools = page.context.new_cdp_session(page)
        self.urls, self.errors = set(), []
        page.on("request", lambda request: self.urls.add(request.url))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def visit(self, name: str) -> Visit:
        """Light at every width, dark at the last; that one and what axe looks at take turns."""
        self.name, self.found = name, Visit()
        place = PAGES.index(name)
        turn = place // 2 % len(WIDTHS)
        *others, last = WIDTHS[turn:] + WIDTHS[:turn]
        self.page.goto("about:blank")  # the last page asks for nothing any more
        self._shown(WIDTHS[0], "light")
        self.urls.clear()
        self.errors.clear()
        self.page.goto(f"{self.address}/{name}", wait_until="load")
        self.found.words = self._asked(WORDS)
        self.found.bytes = sum(weight(url) for url in self.urls if url.startswith(self.address))
        for width in (*others, last):
            self._look(width, "light", axe=self.thorough or (width == last and place % 2))
        for width in (*others, last) if self.thorough else [last]:
            self._look(width, "dark", axe=self.thorough or not place % 2)
        self.page.set_viewport_size(PAPER)
        for scheme in ("dark", "light"):
            self.page.emulate_media(media="print", color_scheme=scheme)
            self._note(f"on paper, {scheme}", self._asked(ON_PAPER))
        urls = [url for url in self.urls if not url.startswith((self.address, "data:", "blob:"))]
        self._note("", {"an error": self.errors, "a request to another origin": urls})
        return self.found

    def _shown(self, width: int, scheme: str) -> None:
        touch = {"enabled": width < 600, "maxTouchPoints": 5}
        self.devtools.send("Emulation.setTouchEmulationEnabled", touch)
        self.page.emulate_media(media="screen", color_scheme=scheme)
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.evaluate(SETTLED)

    def _look(self, width: int, scheme: str, axe: bool) -> None:
        self._shown(width, scheme)
        found = self._asked(ON_SCREEN, width < 600)
        figures = {tuple(figure) for figure in found.pop("figures")}
        self.found.figures |= figures if width != 320 else set()
        self.found.heights[width] = found.pop("height")
        if axe:
            self.page.wait_for_timeout(400)  # until the theme knows what scrolls
            if not self.thorough:
                self._asked(PLAIN)
            found["a serious fault for axe"] = self._axe()
        self._note(f"{scheme} at {width} px", found)

    def _axe(self) -> list[str]:
        """What axe-core finds serious or critical: its rule and the element."""
        found = Axe().run(self.page, options={"resultTypes": ["violations"]})  # half the time
        return [
            f"{fault['id']} {node['html'][:160]}"
            for fault in found.response["violations"]
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]

    def _note(self, where: str, found: dict[str, list]) -> None:
        self.found.faults += [
            f"{what}: {self.name} {where} {item}" for what in found for item in found[what]
        ]

    def _asked(self, script: str, given: object = None):
        return self.page.evaluate(f"(given) => {{{COMMON}{script}}}", given)

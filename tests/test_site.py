"""The site in _build/html, opened in a real browser. Skipped where there is no site or browser."""

import functools
import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from conftest import CHROMIUM
from playwright.sync_api import BrowserContext, Page

SITE = Path(__file__).parents[1] / "_build" / "html"
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.parts
)

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not PAGES, reason="no site in _build/html: run make site first"),
]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def soups() -> dict[str, BeautifulSoup]:
    return {page: BeautifulSoup((SITE / page).read_text(), "html.parser") for page in PAGES}


def test_every_link_image_and_anchor_resolves(soups):
    anchors = {page: {tag["id"] for tag in soup.find_all(id=True)} for page, soup in soups.items()}
    broken = []
    for page, soup in soups.items():
        for tag in soup.find_all(lambda tag: tag.get("href") or tag.get("src")):
            address = urlsplit(tag.get("href") or tag.get("src"))
            if address.scheme or address.netloc:
                continue
            target = (SITE / page).parent / unquote(address.path) if address.path else SITE / page
            target = target.resolve()
            inside = target.relative_to(SITE).as_posix() if target.is_relative_to(SITE) else None
            lost = address.fragment and unquote(address.fragment) not in anchors.get(inside, ())
            if lost or not target.exists():
                broken.append((page, address.geturl()))
    assert broken == []


def test_every_figure_has_a_number_a_caption_and_alt_text_with_data(soups):
    figures = [
        (page, figure) for page, soup in soups.items() for figure in soup.select("figure.themed")
    ]
    assert len(figures) > 10
    for page, figure in figures:
        caption = figure.find("figcaption").get_text(strip=True)
        assert re.match(r"Figure \d+ ?\w", caption), (page, caption)
        light, dark = figure.find_all("img")
        assert light["alt"] == dark["alt"]
        assert len(light["alt"]) > 40, (page, light["alt"])


def test_the_pages_say_which_profile_built_them(soups):
    marker = json.loads((SITE / "profile.json").read_text())
    for page in marker["pages"]:
        line = soups[f"{page}.html"].select_one(".provenance").get_text()
        assert f"profile {marker['profile']}" in line


def test_every_computed_page_offers_its_clean_and_its_executed_notebook(soups):
    for page in json.loads((SITE / "profile.json").read_text())["pages"]:
        names = [
            unquote(Path(link["href"]).name)
            for link in soups[f"{page}.html"].select(".provenance a.download")
        ]
        assert names == [f"{page}.ipynb", f"{page}-executed.ipynb"]


def test_launch_buttons_lead_to_the_notebooks_of_a_build_that_knows_its_repository(soups):
    marker = json.loads((SITE / "profile.json").read_text())
    buttons = {
        page: [link["href"] for link in soup.select(".dropdown-launch-buttons a")]
        for page, soup in soups.items()
    }
    launched = {page.removesuffix(".html") for page, links in buttons.items() if links}
    assert launched == (set(marker["pages"]) if marker["launch"] else set())


def test_every_page_has_a_title_and_a_description_of_its_own(soups):
    titles = [soup.title.get_text() for soup in soups.values()]
    texts = {page: soup.find("meta", {"name": "description"}) for page, soup in soups.items()}
    assert None not in texts.values()
    descriptions = {page: tag["content"] for page, tag in texts.items()}
    assert len(set(titles)) == len(titles)
    assert len(set(descriptions.values())) == len(titles), descriptions
    assert all(30 <= len(text) <= 160 for text in descriptions.values()), descriptions


def test_every_page_has_a_preview_with_a_picture_that_exists(soups):
    for page, soup in soups.items():
        preview = {tag["property"]: tag["content"] for tag in soup.select("meta[property]")}
        assert preview["og:title"], page
        assert preview["og:description"], page
        if not urlsplit(preview["og:image"]).netloc:
            assert ((SITE / page).parent / preview["og:image"]).is_file()
            assert "og:url" not in preview
            assert soup.find("link", rel="canonical") is None


def test_every_page_says_its_language_and_has_an_icon(soups):
    for page, soup in soups.items():
        assert soup.html["lang"] == "en"
        icon = soup.find("link", rel="icon")["href"]
        assert ((SITE / page).parent / icon).is_file()


def test_a_page_leads_to_the_next_and_the_previous_one(soups):
    """From the first page, next after next, through every page of the book, and back."""
    there = _walk(soups, "next")
    back = _walk(soups, "prev", start=there[-1])
    assert back == there[::-1]
    assert set(there) == {page for page in PAGES if page not in ("search.html", "genindex.html")}


def _walk(soups, direction: str, start: str = "index.html") -> list[str]:
    walked = [start]
    while link := soups[walked[-1]].find("link", rel=direction):
        target = ((SITE / walked[-1]).parent / unquote(link["href"])).resolve()
        walked.append(target.relative_to(SITE).as_posix())
        assert len(walked) <= len(PAGES)
    return walked


def test_no_page_brings_the_script_of_all_icons(soups):
    """540 KB compressed; the icons in use are in a style sheet."""
    styles = (SITE / "_static" / "icons.css").read_text()
    for page, soup in soups.items():
        assert not [tag for tag in soup.select("script[src]") if "fontawesome" in tag["src"]]
        for tag in soup.select("i.fa-solid"):
            names = [name for name in tag["class"] if name.startswith("fa-")]
            names = [name for name in names if name not in ("fa-solid", "fa-lg")]
            assert all(f".{name} {{" in styles for name in names), (page, names)


def test_no_notebook_warning_or_traceback_reaches_a_page(soups):
    for page, soup in soups.items():
        for output in soup.select(".cell_output .output.stderr, .cell_output .traceback"):
            raise AssertionError((page, output.get_text()[:200]))


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The site, served as it would be when published."""
    with served(UncachedHandler) as address:
        yield address


@contextmanager
def served(handler: type[SimpleHTTPRequestHandler]) -> Iterator[str]:
    """The site behind a handler; its address, without the last slash."""
    at_the_site = functools.partial(handler, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", 0), at_the_site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        pass


class UncachedHandler(QuietHandler):
    """Every page asks for all that it needs, also after another one."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


@pytest.fixture(scope="module", params=["light", "dark"])
def context(browser, request) -> Iterator[BrowserContext]:
    """One for all pages: a browser that has seen scripts before runs them in half the time."""
    context = browser.new_context(
        color_scheme=request.param, viewport={"width": 1280, "height": 900}
    )
    yield context
    context.close()


# The captions of tables that do not fit their column.
TOO_WIDE = """() => [...document.querySelectorAll('div.pst-scrollable-table-container')]
    .filter(box => box.scrollWidth > box.clientWidth)
    .map(box => box.querySelector('caption')?.innerText ?? 'a table without a caption')"""


@needs_browser
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_clean_in_a_browser(context, origin, name):
    """No request to another origin, no console error, nothing serious for axe-core, no table that
    has to be scrolled sideways, and at most 600 KB, compressed as a server would, before the reader
    scrolls."""
    page = context.new_page()
    asked, errors = set(), []
    page.on("request", lambda request: asked.add(request.url))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{origin}/{name}", wait_until="load")
    of_the_page = list(errors)  # axe-core itself asks for files that are not there
    too_wide = page.evaluate(TOO_WIDE)
    faults = serious_faults(page)
    page.close()
    assert [url for url in asked if not url.startswith((f"{origin}/", "data:"))] == []
    assert of_the_page == []
    assert faults == []
    assert too_wide == []
    weights = {url: _weight(url.removeprefix(origin)) for url in asked if url.startswith(origin)}
    assert sum(weights.values()) <= 600_000, sorted(weights.items(), key=lambda item: -item[1])


def serious_faults(page: Page, within: str | None = None) -> list[tuple[str, str]]:
    """What axe-core finds serious or critical: its rule and the element."""
    found = Axe().run(page, within, {"resultTypes": ["violations"]})  # half the time of all results
    return [
        (fault["id"], node["html"][:200])
        for fault in found.response["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@functools.cache
def _weight(address: str) -> int:
    """Bytes of a file of the site on their way to the reader; 0 if there is none."""
    path = SITE / unquote(urlsplit(address).path).removeprefix("/")
    if not path.is_file():
        return 0
    body = path.read_bytes()
    packed = path.suffix in (".png", ".webp", ".woff2")
    return len(body) if packed else len(gzip.compress(body, 6))


def test_every_page_has_a_policy_that_allows_no_other_origin(soups):
    """That the pages obey it shows below: a violation is an error on the console."""
    for page, soup in soups.items():
        (policy,) = soup.select("meta[http-equiv=Content-Security-Policy]")
        rules = dict(rule.strip().split(" ", 1) for rule in policy["content"].split(";"))
        assert rules["default-src"] == "'self'"
        assert "'unsafe-inline'" not in rules["script-src"]
        assert "'unsafe-eval'" not in rules["script-src"]
        assert "://" not in policy["content"], page


@needs_browser
@pytest.mark.parametrize("guarded", [True, False])
def test_a_script_smuggled_into_a_page_is_blocked(browser, origin, guarded):
    """And it does run once the policy is taken out, so this test can fail."""
    smuggled = (
        "<article><script>window.smuggled = 1</script><img src=x onerror='window.handled = 1'>"
    )
    context = browser.new_context()
    page = context.new_page()
    text = (SITE / "index.html").read_text().replace("<article", smuggled + "<article", 1)
    if not guarded:
        text = text.replace("Content-Security-Policy", "X-None")
    page.route("**/index.html", lambda route: route.fulfill(body=text, content_type="text/html"))
    page.goto(f"{origin}/index.html", wait_until="load")
    ran = page.evaluate("[window.smuggled, window.handled]")
    context.close()
    assert ran == ([None, None] if guarded else [1, 1])


@needs_browser
def test_the_search_finds_a_word_and_leads_to_it(browser, origin):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{origin}/index.html")
    field = page.locator("input[type=search]:visible").first
    field.fill("perturbation")
    field.press("Enter")
    result = page.locator("#search-results ul.search li a").first
    result.wait_for(timeout=10_000)
    result.click()
    page.wait_for_load_state()
    found = "perturbation" in page.locator("main").inner_text().lower()
    context.close()
    assert found


@needs_browser
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(browser, name):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto((SITE / name).as_uri(), wait_until="load")
    width = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert width <= 390


@needs_browser
def test_dark_pages_show_the_dark_figure_with_its_own_pixels(browser):
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto((SITE / "index.html").as_uri(), wait_until="load")
    shown = page.evaluate(
        """() => [...document.querySelectorAll('figure.themed img')]
            .filter(image => getComputedStyle(image).display !== 'none')
            .map(image => [image.className, getComputedStyle(image).filter])"""
    )
    context.close()
    assert shown == [["on-dark", "none"]]

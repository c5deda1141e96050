"""The site in _build/html, opened in a real browser. Skipped where there is no site or browser."""

import functools
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
from playwright.sync_api import Page

SITE = Path(__file__).parents[1] / "_build" / "html"
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.parts and path.name not in ("genindex.html",)
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


def test_no_notebook_warning_or_traceback_reaches_a_page(soups):
    for page, soup in soups.items():
        for output in soup.select(".cell_output .output.stderr, .cell_output .traceback"):
            raise AssertionError((page, output.get_text()[:200]))


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The site, served as it would be when published."""
    with served(QuietHandler) as address:
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


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_clean_in_a_browser(browser, origin, name, scheme):
    """No request to another origin, no console error, nothing serious for axe-core."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    foreign, errors = [], []
    page.on("request", lambda r: None if r.url.startswith(origin) else foreign.append(r.url))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{origin}/{name}", wait_until="load")
    _settle(page)
    of_the_page = list(errors)  # axe-core itself asks for files that are not there
    found = Axe().run(page).response["violations"]
    context.close()
    assert [url for url in foreign if not url.startswith("data:")] == []
    assert of_the_page == []
    serious = [
        (v["id"], node["html"][:200])
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]
    assert serious == []


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
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(browser, name):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto((SITE / name).as_uri(), wait_until="load")
    _settle(page)
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


def _settle(page: Page) -> None:
    """Wait for MathJax, which sets its equations after the page has loaded."""
    page.evaluate("window.MathJax?.startup?.promise")

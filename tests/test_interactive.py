"""The ε slider of the case studies in _build/html, moved in a real browser."""

import hashlib
import json
import re
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from test_site import PAGES, SITE, QuietHandler, needs_browser, served

CASES = [page for page in PAGES if page.startswith("case-")]

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not CASES, reason="no case study in _build/html: run make site first"),
]
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'"


class StrictHandler(QuietHandler):
    """Serves the site under a policy that forbids inline scripts, handlers and eval."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()


@pytest.fixture(scope="module")
def strict() -> Iterator[str]:
    with served(StrictHandler) as address:
        yield address


def opened(browser: Browser, address: str, **options) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}, **options).new_page()
    page.goto(address, wait_until="load")
    return page


def facts(page: Page) -> dict:
    text = page.locator(".epsilon-slider script").text_content()
    return json.loads(text)


def shown(page: Page) -> list[str]:
    """The file names of the pictures, as the page shows them."""
    sources = page.locator(".epsilon-slider img").evaluate_all("all => all.map(i => i.src)")
    return [source.rsplit("/", 1)[1] for source in sources]


def files(stop: dict) -> list[str]:
    return [picture["file"] for picture in stop["pictures"]]


@needs_browser
def test_the_keyboard_moves_everything_and_the_address_follows(browser):
    page = opened(browser, (SITE / CASES[0]).as_uri())
    data = facts(page)
    slider = page.get_by_label("Size of the step")
    slider.focus()
    page.keyboard.press("Home")
    assert shown(page) == files(data["stops"][0])
    page.keyboard.press("End")
    last = data["stops"][-1]
    assert shown(page) == files(last)
    assert slider.get_attribute("aria-valuetext") == last["value"]
    assert page.locator(".epsilon-slider .summary").text_content() == last["summary"]
    assert page.url.endswith(f"#epsilon={last['epsilon']:g}")
    names = page.locator(".epsilon-slider tbody th").all_text_contents()
    assert [name.removeprefix("✓ ") for name in names] == [entry[0] for entry in last["top5"]]
    marker = page.locator(".epsilon-slider .ring:not(.random)")
    at_the_end = float(marker.get_attribute("cx"))
    page.keyboard.press("ArrowLeft")
    assert shown(page) == files(data["stops"][-2])
    assert float(marker.get_attribute("cx")) < at_the_end
    page.context.close()


@needs_browser
def test_what_a_screen_reader_is_told_follows_epsilon(browser):
    page = opened(browser, (SITE / CASES[0]).as_uri())
    picture = page.locator(".epsilon-slider [data-what=adversarial] img")
    region = page.locator(".epsilon-slider [aria-live=polite]")
    page.get_by_label("Size of the step").press("Home")
    for stop in facts(page)["stops"][1:]:
        page.keyboard.press("ArrowRight")
        name, probability, _ = stop["top5"][0]
        for text in (picture.get_attribute("alt"), region.text_content()):
            assert f"ε = {stop['epsilon']:g}/255" in text
            seen = re.search(rf"{re.escape(name)}, ([\d.]+)%", text)
            assert float(seen[1]) == pytest.approx(100 * probability, abs=0.06)
    page.context.close()


@needs_browser
def test_a_link_opens_at_its_epsilon_and_the_pixels_are_those_of_the_files(browser, strict):
    page = opened(browser, f"{strict}/{CASES[0]}#epsilon=4")
    stop = next(stop for stop in facts(page)["stops"] if stop["epsilon"] == 4)
    assert shown(page) == files(stop)
    digest = """async image => {
        await image.decode();
        const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
        return [...new Uint8Array(await crypto.subtle.digest('SHA-256', pixels))];
    }"""
    for place, name in zip(page.locator(".epsilon-slider img").all(), files(stop), strict=True):
        with Image.open(SITE / "_images" / name) as image:
            expected = hashlib.sha256(image.convert("RGBA").tobytes()).digest()
        assert bytes(place.evaluate(digest)) == expected
    page.context.close()


@needs_browser
def test_the_slider_works_under_a_strict_policy(browser, strict):
    """The theme's inline scripts are refused there; the slider has none."""
    page = opened(browser, f"{strict}/{CASES[0]}#epsilon=1")
    data = facts(page)
    page.get_by_label("Size of the step").press("End")
    assert shown(page) == files(data["stops"][-1])
    page.context.close()


@needs_browser
@pytest.mark.parametrize("name", CASES)
def test_every_stop_has_its_files_and_few_are_fetched_before_the_reader_moves(
    browser, strict, name
):
    page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    fetched = []
    page.on("request", lambda request: fetched.append(request.url.rsplit("/", 1)[1]))
    page.goto(f"{strict}/{name}", wait_until="load")
    named = {file for stop in facts(page)["stops"] for file in files(stop)}
    assert all((SITE / "_images" / file).is_file() for file in named)
    assert len(named & set(fetched)) <= 3
    page.context.close()


@needs_browser
def test_without_javascript_the_pictures_of_one_epsilon_and_their_sentence_remain(browser):
    page = opened(browser, (SITE / CASES[0]).as_uri(), java_script_enabled=False)
    soup = page.content()
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', soup)[1])
    start = data["stops"][data["start"]]
    assert shown_without_script(soup) == files(start)
    assert page.locator(".epsilon-slider .summary").text_content() == start["summary"]
    assert page.locator(".epsilon-slider input").count() == 0
    page.context.close()


def shown_without_script(html: str) -> list[str]:
    return re.findall(r'<img src="_images/(\d+-\w+\.webp)"', html)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_are_not_filtered_and_the_slider_is_a_thumb_high(browser, scheme):
    page = opened(browser, (SITE / CASES[0]).as_uri(), color_scheme=scheme)
    filters = page.locator(".epsilon-slider img").evaluate_all(
        "all => all.map(i => getComputedStyle(i).filter)"
    )
    assert filters == ["none"] * 3
    assert page.get_by_label("Size of the step").bounding_box()["height"] >= 44
    page.context.close()

"""The site in _build/html, as files and in a browser. Skipped where there is no site."""

import io
import json
import re
from base64 import b64decode
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import browser
import numpy as np
import pytest
from browser import PAGES, PROFILE, SITE, soup
from PIL import Image
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not PAGES, reason="no site in _build/html: run make site first"),
]
COMPUTED = [page for page in PAGES if soup(page).select_one(".foot")]
CASES = [page for page in COMPUTED if page.startswith("case-")]


def address_of(page: str, link: str) -> str:
    """Where a relative link of a page leads, from the site's root."""
    target = (SITE / page).parent / unquote(link) if link else SITE / page
    return target.resolve().relative_to(SITE).as_posix()


# --- files ---------------------------------------------------------------------------------------


def test_every_link_picture_and_anchor_leads_somewhere():
    anchors = {page: {tag["id"] for tag in soup(page).find_all(id=True)} for page in PAGES}
    broken = []
    for page in PAGES:
        for tag in soup(page).find_all(lambda tag: tag.get("href") or tag.get("src")):
            link = urlsplit(tag.get("href") or tag.get("src"))
            if link.scheme or link.netloc:
                continue
            target, anchor = address_of(page, link.path), unquote(link.fragment)
            lost = anchor and "=" not in anchor and anchor not in anchors.get(target, ())
            if lost or not (SITE / target).exists():
                broken.append((page, link.geturl()))
    assert broken == []


def test_from_home_the_next_page_leads_along_the_path_through_all():
    walked = ["index.html"]
    while link := soup(walked[-1]).find("link", rel="next"):
        walked.append(address_of(walked[-1], link["href"]))
        assert soup(walked[-1]).find("link", rel="prev") and len(walked) <= len(PAGES)
    assert set(walked) == set(PAGES) - {"search.html", "genindex.html"}
    assert walked[: len(browser.the_path())] == browser.the_path()


def test_every_page_says_what_it_is_under_headings_in_order():
    titles, texts = set(), set()
    for page in PAGES:
        levels = [int(tag.name[1]) for tag in soup(page).select("article :is(h1, h2, h3, h4)")]
        assert levels.count(1) == bool(levels), page
        assert all(lower <= upper + 1 for upper, lower in pairwise(levels)), (page, levels)
        assert (soup(page).html["lang"], len(soup(page).select("meta[name=viewport]"))) == ("en", 1)
        assert (SITE / address_of(page, soup(page).find("link", rel="icon")["href"])).is_file()
        titles.add(soup(page).title.get_text())
        # That the pages obey it shows below: a violation is an error on the console.
        (policy,) = soup(page).select("meta[http-equiv=Content-Security-Policy]")
        assert policy["content"].startswith("default-src 'self'; script-src 'self'")
        assert not re.search("://|'unsafe-", policy["content"].split(" style-src")[0])
        if levels:
            text = soup(page).find("meta", {"name": "description"})["content"]
            assert 30 <= len(text) <= 170, page
            texts |= {text}
    assert (len(titles), len(texts)) == (len(PAGES), len(PAGES) - 1)  # there is no text on search


def test_figures_and_tables_have_numbers_captions_and_alt_texts_from_data():
    for page in PAGES:
        for image in soup(page).find_all("img"):
            assert image.get("alt"), (page, image.get("src"))
        for shown in soup(page).select("article figure, article table.results[id]"):
            caption = shown.find(["figcaption", "caption"]).get_text(" ", strip=True)
            assert re.match(r"(Figure|Table) \d+ \S", caption), (page, caption)
        for figure in soup(page).select("figure.themed"):
            light, dark = (image["alt"] for image in figure.select("img"))
            assert light == dark and len(light) > 30, (page, light)


@pytest.mark.skipif(PROFILE != "demo", reason="the list is that of the demo's site")
def test_no_figure_or_table_is_lost(data_regression):
    """``pytest --regen-all`` renews the list, when one has come or gone on purpose."""
    net = {
        page: [tag["id"] for tag in soup(page).select(":is(figure, table)[id]")] for page in PAGES
    }
    data_regression.check({page: names for page, names in net.items() if names}, basename="net")


# Roles, placeholders, labels and directives of MyST, which Jupyter shows as they are.
RAW = re.compile(r"\{[a-z:]+\}`|\{\{|\(eq-|^\([\w-]+\)=|^:::|^`{3,}\{", re.MULTILINE)


@pytest.mark.parametrize("page", COMPUTED)
def test_a_computed_page_offers_its_notebooks(page):
    links = [link["href"] for link in soup(page).select(".foot a[download]")]
    name = Path(page).with_suffix(".ipynb").name
    assert links == [f"_downloads/{name}", f"_downloads/executed/{name}"]
    clean, executed = ((SITE / link).read_text(encoding="utf-8") for link in links)
    assert not any(cell.get("outputs") for cell in json.loads(clean)["cells"])
    outputs = [out for cell in json.loads(executed)["cells"] for out in cell.get("outputs", ())]
    assert len(outputs) > 0
    assert [out for out in outputs if "ename" in out or out.get("name") == "stderr"] == []
    assert str(SITE.parents[1]) not in executed  # where it was built is nobody's business
    assert len(executed.encode()) <= 600_000
    for cell in json.loads(clean)["cells"] + json.loads(executed)["cells"]:
        shown = [out.get("data", {}).get("text/markdown", "") for out in cell.get("outputs", ())]
        shown += [cell["source"]] if cell["cell_type"] == "markdown" else []
        assert [text for part in shown if (text := RAW.search("".join(part)))] == []


# A placeholder, a missing number, a negative zero, a role that nothing has resolved, a hyphen.
NOT_WHOLE = re.compile(
    r".{0,40}(?:\{\{|\}\}|\bnan\b|\binf\b|[−-]0\.0+(?!\d)|\{[a-z:]+\}`|\bNone\b(?! [a-z])|&#?\w+;"
    r"|(?<=[\s(=])-\d|\de[+-]\d|Traceback|Warning:).{0,40}"
)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_reader_sees_is_whole(page):
    texts = [tag.get("alt") or tag.get("aria-label") or "" for tag in soup(page).find_all(True)]
    for article in soup(page).select("article"):
        copied = browser.BeautifulSoup(str(article), "html.parser")
        for tag in copied.select("pre, code, script, noscript, svg, .mathml, .dataframe"):
            tag.decompose()
        texts.append(" ".join(copied.get_text(" ").split()))
    assert [found for text in texts for found in NOT_WHOLE.findall(text)] == []


# --- every page, in a browser --------------------------------------------------------------------


@pytest.fixture(scope="module")
def visits(chromium, origin) -> dict[str, browser.Visit]:
    visitor = browser.Visitor(chromium, origin)
    return {page: visitor.visit(page) for page in PAGES}


def test_no_page_has_a_fault(visits):
    assert [fault for visit in visits.values() for fault in visit.faults] == []


@pytest.mark.slow
def test_axe_finds_nothing_serious_at_any_width(chromium, origin):
    visitor = browser.Visitor(chromium, origin, thorough=True)
    assert [fault for page in PAGES for fault in visitor.visit(page).faults] == []


def test_the_letters_of_figures_are_11_pixels_high_where_they_are_shown(visits):
    small = set()
    for file, shown in set().union(*(visit.figures for visit in visits.values())):
        svg = (SITE / file).read_text(encoding="utf-8")
        scale = shown / float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
        sizes = {scale * float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)}
        small |= {(file, shown, size) for size in sizes if size < 10.9}
    assert small == set()


def test_the_pages_of_the_path_are_short_and_all_are_light(visits):
    """In pixels, words, and bytes that come compressed before the reader scrolls."""
    path = [visits[page] for page in browser.the_path()]
    assert max(visit.heights[1280] for visit in path) <= 7000
    assert max(visit.heights[390] for visit in path) <= 10_000
    assert max(visit.words for visit in path) <= 900
    assert sum(visit.words for visit in path) <= 6500
    assert max(visit.bytes for visit in visits.values()) <= 600_000
    assert visits["index.html"].bytes <= 350_000


# --- what moves ----------------------------------------------------------------------------------


@pytest.fixture
def opened(chromium, origin):
    """``opened(page, **options)``: a page of the site in a window of its own."""
    windows = []

    def open_page(name: str, root: str = origin, **options) -> Page:
        windows.append(chromium.new_page(**options))
        windows[-1].goto(f"{root}/{name}")
        return windows[-1]

    yield open_page
    for window in windows:
        window.close()


def test_the_keyboard_comes_to_the_text_at_once_and_moves_the_slider(opened):
    """Also where a page is a file, without a server."""
    page = opened(CASES[0], SITE.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main-content"
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "range":
            break
    page.keyboard.press("Home")
    assert page.url.endswith("#epsilon=0")
    for epsilon in ("0.1", "0.2"):
        page.keyboard.press("ArrowRight")
        assert page.url.endswith(f"#epsilon={epsilon}")
        value = page.get_by_role("slider").get_attribute("aria-valuetext")
        seen = re.fullmatch(rf"ε = {epsilon}/255, (.*) \d+%", value)[1]
        region = page.locator(".epsilon-slider [aria-live=polite]").text_content()
        assert f"ε = {epsilon}/255" in region and seen in region
        assert seen in page.locator(".epsilon-slider canvas").first.get_attribute("aria-label")
        assert page.locator(".epsilon-slider .verdict strong").text_content() == seen


def test_a_link_opens_at_its_epsilon_and_a_wrong_one_is_put_right(opened):
    page = opened(f"{CASES[0]}#epsilon=4")
    expect(page.locator(".epsilon-slider output")).to_have_text("ε = 4/255")
    for wrong, right in (("7", "6"), ("1,1", "1"), ("1e9", "20"), ("", "20"), ("abc", "20")):
        page.evaluate(f"location.hash = 'epsilon={wrong}'")
        expect(page).to_have_url(re.compile(rf"#epsilon={right}$"))
        expect(page.locator(".epsilon-slider output")).to_have_text(f"ε = {right}/255")


DRAWN = """[...document.querySelectorAll(".epsilon-slider canvas")].every(
    (canvas) => canvas.getContext("2d").getImageData(9, 9, 1, 1).data[3])"""


@pytest.mark.parametrize("name", ["index.html", *CASES])
def test_the_page_computes_the_pictures_that_python_computes(opened, name):
    """Those of one ε are also there as files, for readers without JavaScript."""
    images = soup(name).select(".epsilon-slider noscript img")
    epsilon = re.search(r"ε = ([\d.]+)/255", soup(name).select_one(".summary").get_text())[1]
    page = opened(f"{name}#epsilon={epsilon}")
    page.wait_for_function(DRAWN)
    for image, canvas in zip(images, page.locator(".epsilon-slider canvas").all(), strict=True):
        url = canvas.evaluate("canvas => canvas.toDataURL('image/png')").split(",")[1]
        files = io.BytesIO(b64decode(url)), SITE / image["src"]
        drawn, stored = (np.array(Image.open(file).convert("RGB")).astype(int) for file in files)
        step = "perturbation" in image["alt"]  # amplified, so that floats may differ
        assert np.abs(drawn - stored).max() <= step


def test_without_javascript_there_are_pictures_and_nothing_that_does_not_work(opened):
    still = opened(CASES[0], java_script_enabled=False, color_scheme="dark")
    assert not any(tool.is_visible() for tool in still.locator("article :is(input, canvas)").all())
    images = still.locator(".epsilon-slider img").all()
    assert [image.is_visible() for image in images] == [True] * 3
    figures = still.locator("figure.themed picture").all()
    for scheme in ("light", "dark"):
        shown = [
            figure.is_visible() for figure in figures if scheme in figure.get_attribute("class")
        ]
        assert shown == [scheme == "dark"] * (len(figures) // 2)


def test_random_signs_take_the_place_of_the_gradient_s(opened):
    page = opened("index.html#epsilon=2")
    attacked = page.locator(".verdict strong").text_content()
    page.get_by_role("button", name="random signs").press("Enter")
    expect(page.get_by_role("button", pressed=True)).to_be_visible()
    expect(page.locator(".verdict strong")).not_to_have_text(attacked)
    expect(page.locator(".epsilon-slider .title").nth(1)).to_contain_text("random signs")


def test_a_figure_is_enlarged_and_a_card_opens_and_both_close_by_keyboard(opened):
    page = opened("method.html")
    page.locator("figure.themed .enlarge").first.press("Enter")
    expect(page.locator("dialog.enlarged img")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.enlarged img")).not_to_be_visible()
    page.locator("article a[href*='glossary.html#']").first.focus()
    expect(page.locator(".link-card")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".link-card")).to_be_hidden()


def test_claims_are_filtered_and_a_link_opens_its_claim(opened):
    page = opened("claims.html")
    page.get_by_role("button", name="does not hold").press("Enter")
    shown = page.locator(".claims tr[id]:visible").all()
    assert {row.get_attribute("data-is").split()[0] for row in shown} == {"does-not-hold"}
    name = page.locator(".claims tr[data-is^=holds]").first.get_attribute("id")
    page.evaluate(f"location.hash = '{name}'")
    expect(page.locator(f"#{name} details").first).to_have_attribute("open", "")


def test_search_finds_prose(opened):
    for word in ("perturbation", "transfer", "threat", "defense"):
        found = opened(f"search.html?q={word}").locator("#search-results ul.search")
        expect(found).to_contain_text(re.compile(word, re.IGNORECASE), timeout=10_000)

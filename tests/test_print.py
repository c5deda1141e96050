"""Pages of the site in _build/html as a browser prints them: paper, also from a dark screen."""

import pytest
from playwright.sync_api import Browser, Page
from test_site import PAGES, SITE, needs_browser

CASES = [page for page in PAGES if page.startswith("case-")]
OFTEN = {"index.html", "method.html", *CASES[:1]}  # the others are left to the slow tests
PAPER = {"width": 680, "height": 980}  # A4 within its margins, in CSS pixels

pytestmark = [
    pytest.mark.site,
    needs_browser,
    pytest.mark.skipif(not PAGES, reason="no site in _build/html: run make site first"),
]

ON_SCREEN_ONLY = (
    ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header, .bd-header-article, .bd-footer, "
    ".prev-next-footer, .skip-link, .headerlink, button, input, select, .sd-summary-state-marker"
)
VISIBLE = """element => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && getComputedStyle(element).visibility === 'visible';
}"""
SAYS = """element => element.getClientRects().length && (element.tagName === 'svg'
    || [...element.childNodes].some(
        node => node.nodeType === Node.TEXT_NODE && node.textContent.trim()))"""
# Backgrounds are left out on paper: every text stands on white. Equations are drawn in its color.
FAINT = f"""() => {{
    const linear = value => {{
        const part = value / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    }};
    const contrast = color => {{
        const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(linear);
        return 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05);
    }};
    return [...document.querySelectorAll('article *')].filter({SAYS})
        .map(element => [contrast(getComputedStyle(element).color), element.outerHTML.slice(0, 90)])
        .filter(([value]) => value < 4.5);
}}"""
# Space after the last line makes an empty sheet where that line ends one.
REST = f"""() => document.querySelector('.bd-content').getBoundingClientRect().bottom - Math.max(
    ...[...document.querySelectorAll('.bd-content *')].filter({SAYS})
        .map(element => element.getBoundingClientRect().bottom))"""
# What reaches beyond its own box or the paper's edge would be cut off.
CUT = """() => [...document.querySelectorAll('article *')]
    .filter(element => element.getClientRects().length > 0)
    .filter(element => !element.closest('svg, math, .mathml'))
    .filter(element => element.getBoundingClientRect().right > innerWidth + 1
        || (element.scrollWidth > element.clientWidth + 1
            && ['auto', 'scroll', 'hidden'].includes(getComputedStyle(element).overflowX)))
    .map(element => element.outerHTML.slice(0, 120))"""


def printed(browser: Browser, name: str, scheme: str) -> Page:
    """A page that was read on a screen of that scheme, when it is printed."""
    page = browser.new_context(color_scheme=scheme, viewport=PAPER).new_page()
    page.goto((SITE / name).as_uri(), wait_until="load")
    assert page.locator("html").get_attribute("data-theme") == scheme
    page.emulate_media(media="print", color_scheme=scheme)
    return page


def shown(page: Page, selector: str) -> list[str]:
    return [
        element.evaluate("element => element.outerHTML.slice(0, 120)")
        for element in page.query_selector_all(selector)
        if element.evaluate(VISIBLE)
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", [pytest.param(p, marks=[] if p in OFTEN else pytest.mark.slow) for p in PAGES]
)
def test_a_printed_page_is_its_text_and_figures_dark_on_white(browser, name, scheme):
    page = printed(browser, name, scheme)
    assert shown(page, ON_SCREEN_ONLY) == []
    assert page.evaluate(FAINT) == []
    assert page.evaluate(CUT) == []
    assert name == "search.html" or page.evaluate(REST) < 8
    for folded in page.locator("details.sd-dropdown > :not(summary)").all():
        assert folded.evaluate(VISIBLE), "closed on paper, where nobody can open it"
    figures = page.locator("figure").evaluate_all(
        "all => all.map(f => [f.getBoundingClientRect().height, getComputedStyle(f).breakInside])"
    )
    assert all(height <= PAPER["height"] and rule == "avoid" for height, rule in figures), figures
    images = page.locator("figure.themed img").evaluate_all(
        "all => all.filter(i => getComputedStyle(i).display !== 'none').map(i => i.className)"
    )
    assert set(images) <= {"on-light"}
    page.context.close()


@pytest.mark.skipif("live.html" not in PAGES, reason="no live page in _build/html: run make site")
def test_the_live_page_says_on_paper_where_it_works(browser):
    page = printed(browser, "live.html", "light")
    assert shown(page, ".live-attack .on-paper")
    page.emulate_media(media="screen")
    assert not shown(page, ".live-attack .on-paper")
    page.context.close()

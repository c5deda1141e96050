"""What one can touch on the page about the method: Chromium computes what torch computes."""

import re

import numpy as np
import pytest
import torch
from browser import SITE, soup
from playwright.sync_api import Locator, Page, expect
from torch.nn.functional import cross_entropy

from fgsm_lib import attacks

PAGE = "method.html"
THERE = (SITE / PAGE).is_file() and soup(PAGE).select_one(".by-hand")
pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not THERE, reason="no site in _build/html: run make site first"),
]
WEIGHTS = torch.tensor([1, -2, 0.5, 1])


@pytest.fixture(scope="module")
def page(chromium) -> Page:
    """The page as a file, without a server."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{SITE.as_uri()}/{PAGE}")
    return page


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+\.?\d*", text.replace("−", "-"))]


def answers(figure: Locator) -> list[tuple[str, float, float]]:
    """Before and after the step: the class seen, the confidence, the logit."""
    return [
        (card.locator("strong").text_content()[2:], *numbers(card.text_content())[-2:])
        for card in figure.locator(".answer").all()
    ]


def agree(shown: tuple[str, float, float], z: torch.Tensor) -> None:
    """An answer on the page with that of a classifier whose logits are z and 0."""
    confidence, seen = torch.stack([z, torch.zeros(())]).softmax(0).max(0)
    assert shown[0] == f"class {seen}" or abs(z) < 1e-4
    assert shown[1:] == pytest.approx((confidence.item(), z.item()), abs=6e-4)


# --- four pixels ---------------------------------------------------------------------------------


def test_four_pixels_begin_with_the_numbers_of_the_text(page):
    figure = page.locator(".four-pixels")
    assert answers(figure) == [("class 0", 0.537, 0.15), ("class 1", 0.574, -0.3)]
    texts = figure.locator("svg text").all_text_contents()
    assert {"−2 · 0.1 = −0.2", "0.5 · −0.1 = −0.05", "sum = −0.45"} <= set(texts)


def test_four_pixels_move_as_torch_moves_them_also_where_they_are_clipped(page):
    linear = torch.nn.Linear(4, 2, bias=False)
    linear.weight.data = torch.stack([WEIGHTS, torch.zeros(4)])
    net = torch.nn.Sequential(torch.nn.Flatten(), linear).eval()
    figure, dice = page.locator(".four-pixels"), np.random.default_rng(0)
    settings = [dice.integers(0, [101] * 4 + [51]) / 100 for _ in range(6)]
    settings += [np.array([0, 1, 0, 0, 0.5]), np.array([1, 0, 1, 1, 0.5])]
    for *pixels, epsilon in settings:
        for slider, value in zip(figure.locator("input").all(), [*pixels, epsilon], strict=True):
            slider.fill(f"{value:g}")
        x = torch.tensor(pixels, dtype=torch.float32).view(1, 1, 2, 2)
        moved = attacks.fgsm(net, x, [0], epsilon=float(epsilon))
        for shown, image in zip(answers(figure), (x, moved), strict=True):
            agree(shown, net(image)[0, 0].detach())
        terms = (WEIGHTS * (moved - x).flatten()).tolist()
        rows = figure.locator("svg text").filter(has_text="=").all_text_contents()
        ends = [numbers(row)[-1] for row in rows if "·" in row or "sum" in row]
        assert ends == pytest.approx([*terms, sum(terms)], abs=1e-3)
        reached = [numbers(text)[1] for text in figure.locator(".reading").all_text_contents()[:4]]
        assert reached == pytest.approx(moved.flatten().tolist(), abs=1e-6)
        cut = "clipped: x" in figure.locator(".note").text_content()
        assert cut == bool(sum(terms) > -epsilon * WEIGHTS.abs().sum() + 1e-4)


def test_the_keyboard_turns_the_class_where_the_sum_passes_the_logit(page):
    figure = page.locator(".four-pixels")
    for slider, value in zip(
        figure.locator("input").all(), ["0.2", "0.6", "0.5", "0.9", "0"], strict=True
    ):
        slider.fill(value)
    epsilon, seen = figure.get_by_role("slider", name="ε"), []
    for _ in range(4):
        epsilon.press("ArrowRight")
        seen.append(answers(figure)[1][0])
    assert seen == ["class 0"] * 3 + ["class 1"]  # 4.5 · 0.03 < 0.15 < 4.5 · 0.04
    assert figure.locator(".answer").nth(1).get_attribute("class") == "answer wrong"
    expect(figure.locator("[aria-live=polite]")).to_contain_text("After the step: class 1, 0.507")
    assert epsilon.get_attribute("aria-valuetext") == "0.04"


# --- two numbers ---------------------------------------------------------------------------------


def logit(x: torch.Tensor) -> torch.Tensor:
    return 6 * (x[1] - 0.3 - 0.8 * (x[0] - 0.4) ** 2)


def moved_point(x: torch.Tensor, epsilon: float) -> torch.Tensor:
    x = x.clone().requires_grad_(True)
    logits = torch.stack([logit(x), torch.zeros(())])
    (gradient,) = torch.autograd.grad(cross_entropy(logits, torch.tensor(0)), x)
    return (x + epsilon * gradient.sign()).clamp(0, 1).detach()


def place(figure: Locator) -> torch.Tensor:
    said = figure.locator(".handle").get_attribute("aria-valuetext")
    return torch.tensor([float(found) for found in re.findall(r"= (\d\.?\d*)", said)[:2]])


def test_two_numbers_go_to_the_corner_that_torch_finds_wherever_they_are_dragged(page):
    figure = page.locator(".two-numbers")
    assert answers(figure) == [("class 0", 0.683, 0.768), ("class 1", 0.542, -0.168)]
    figure.locator("svg").scroll_into_view_if_needed()
    frame, dice = figure.locator(".frame").bounding_box(), np.random.default_rng(1)
    for a, b, epsilon in dice.integers(0, [100, 100, 51], (6, 3)) / 100:
        figure.locator("input").fill(f"{epsilon:g}")
        figure.locator(".point").hover(force=True)
        page.mouse.down()
        to = frame["x"] + a * frame["width"], frame["y"] + b * frame["height"]
        page.mouse.move(*to, steps=3)
        page.mouse.up()
        x = place(figure)
        assert x.tolist() == pytest.approx([a, 1 - b], abs=0.011)
        for shown, image in zip(answers(figure), (x, moved_point(x, epsilon)), strict=True):
            agree(shown, logit(image))


def test_the_point_is_moved_by_arrow_keys_and_stays_in_the_square(page):
    figure = page.locator(".two-numbers")
    handle = figure.locator(".handle")
    handle.focus()
    for _ in range(12):
        page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Shift+ArrowLeft")
    assert place(figure).tolist() == [0, 1]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert place(figure).tolist() == pytest.approx([0.01, 0.99])
    assert page.evaluate("document.activeElement.getAttribute('role')") == "slider"


def test_of_the_thrown_corners_those_count_that_the_classifier_gets_wrong(page):
    figure = page.locator(".two-numbers")
    frame = figure.locator(".frame").bounding_box()
    figure.locator("input").fill("0.2")
    page.mouse.click(frame["x"] + 0.75 * frame["width"], frame["y"] + 0.5 * frame["height"])
    for _ in range(3):
        figure.get_by_role("button").press("Enter")
    x, beyond, total = place(figure), 0, 0
    signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    for badge, sign in zip(figure.locator(".thrown").all(), signs, strict=True):
        count = int(badge.text_content())
        corner = (x + 0.2 * torch.tensor(sign)).clamp(0, 1)
        crossed = bool(logit(corner) < 0)
        assert ("crossed" in badge.get_attribute("class")) == crossed
        beyond, total = beyond + count * crossed, total + count
    assert 0 < beyond < total == 60
    for region in (".note", "[aria-live=polite]"):
        expect(figure.locator(region)).to_contain_text(f"{beyond} of {total} thrown")


# --- symbols -------------------------------------------------------------------------------------


def test_a_symbol_lights_up_its_picture_and_a_picture_its_symbol(page):
    columns = page.locator("#fig-method .cover span")
    lit = "nodes => nodes.map(node => node.classList.contains('lit'))"
    of = {"X": [0], "η": [1, 2], "ε": [1], "sign ∇J": [2], "X̃": [4]}
    for symbol, places in of.items():
        button = page.get_by_role("button", name=f"{symbol}, ")
        button.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        shown = columns.evaluate_all(lit)
        assert [place for place, on in enumerate(shown) if on] == places
        assert page.locator(".math g.lit").count() > 0
        button.press("Enter")
        button.blur()
    assert page.locator(".lit, .dim").count() == 0
    page.locator("#equation-eq-1-1 > svg").hover(position={"x": 4, "y": 10})
    expect(page.locator(".symbols button.lit")).to_have_text("X̃")
    picture = page.locator("#fig-method picture:visible img")
    size = picture.bounding_box()
    picture.hover(position={"x": size["width"] / 2, "y": size["height"] - 40})
    expect(page.locator(".symbols button.lit")).to_have_text("sign ∇J")
    page.mouse.move(0, 0)


@pytest.mark.parametrize("width", [390, 1280])
def test_what_lights_up_covers_the_pictures_of_the_figure(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    picture = page.locator("#fig-method picture:visible img")
    box = picture.bounding_box()
    file = picture.evaluate("image => image.currentSrc").rpartition("/")[2]
    svg = (SITE / "_files" / file).read_text(encoding="utf-8")
    scale = box["width"] / float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
    drawn = re.findall(r'<image [^>]*?width="(\d+)"[^>]*?matrix\(([\d.]+) 0 0 [\d.]+ ([\d.]+)', svg)
    columns = page.locator("#fig-method .cover span").all()[::2]
    assert len(drawn) == 3
    for (pixels, factor, left), column in zip(drawn, columns, strict=True):
        cover = column.bounding_box()
        start, end = float(left), float(left) + int(pixels) * float(factor)
        assert cover["x"] - box["x"] <= scale * start + 1
        assert cover["x"] + cover["width"] - box["x"] >= scale * end - 1
        assert cover["width"] <= scale * (end - start) + 9  # and not the signs beside it


def test_without_javascript_the_text_has_the_same_numbers(chromium):
    still = chromium.new_page(java_script_enabled=False)
    still.goto(f"{SITE.as_uri()}/{PAGE}")
    for figure, last in ((".two-numbers", "0.542"), (".four-pixels", "0.574")):
        expect(still.locator(figure)).to_be_visible()
        # Numbers in sentences are equations, which are drawn beside their MathML.
        assert last in still.locator(figure).text_content()
    assert still.locator(":is(.by-hand, .symbols) :is(input, button)").count() == 0

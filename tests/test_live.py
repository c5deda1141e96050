"""The live page in _build/html: a real browser attacks pictures, and meets what can go wrong."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image, ImageOps
from playwright.sync_api import Browser, Page, expect
from test_site import SITE, QuietHandler, needs_browser, serious_faults, served

from fgsm_lib.classifiers import Classifier
from fgsm_lib.site import live_html, runtime

LIVE = SITE / "live.html"
RUNTIME = SITE / "_static" / "live" / runtime.FILES[1]
STRICT = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:"
)

expect.set_options(timeout=60_000)  # a machine that does much else at the same time is not a bug

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not LIVE.is_file(), reason="no live page in _build/html: run make site"),
]
needs_runtime = pytest.mark.skipif(
    not RUNTIME.is_file(), reason="the site was built without a network: no runtime from npm"
)


class StrictHandler(QuietHandler):
    """Serves the site, its worker included, under a policy that allows WebAssembly and no more."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", STRICT)
        super().end_headers()


@pytest.fixture(scope="module")
def strict() -> Iterator[str]:
    with served(StrictHandler) as address:
        yield f"{address}/live.html"


def opened(browser: Browser, address: str, script: str = "", **options) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}, **options).new_page()
    if script:
        page.add_init_script(script)
    page.goto(address, wait_until="load")
    return page


def start(page: Page) -> None:
    page.get_by_role("button", name="Start").click()
    expect(summary(page)).not_to_be_empty()


def summary(page: Page):
    return page.locator(".live-attack .summary")


def message(page: Page):
    return page.locator(".live-attack .message")


def facts(page: Page) -> dict:
    return json.loads(page.locator(".live-attack script").text_content())


def settled(page: Page) -> None:
    """Wait until nothing that was chosen is still being read or computed."""
    expect(page.locator(".live-attack .results")).to_have_attribute("aria-busy", "false")


def move_to(page: Page, facts: dict, epsilon: float) -> None:
    page.get_by_label("Size of the step").fill(str(facts["epsilons"].index(epsilon)))
    settled(page)


def choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check()
    settled(page)


def upload(page: Page, path: Path) -> None:
    page.get_by_label("Or one of your own").set_input_files(path)
    settled(page)


def card(page: Page, title: str):
    return page.locator(".live-attack .results .picture").filter(
        has=page.locator(".title", has_text=title)
    )


def top5(page: Page, title: str) -> list[tuple[str, float]]:
    rows = card(page, title).locator("tbody tr").all()
    return [
        (
            row.locator("th").text_content().removeprefix("✓ "),
            float(row.locator(".value").text_content().rstrip("%")) / 100,
        )
        for row in rows
    ]


def pixels(page: Page, title: str) -> np.ndarray:
    """What a canvas shows, int (H, W, 3)."""
    canvas = card(page, title).locator("canvas")
    file = canvas.evaluate("canvas => canvas.toDataURL('image/png').split(',')[1]")
    with Image.open(io.BytesIO(base64.b64decode(file))) as image:
        return np.array(image.convert("RGB")).astype(int)


def stops_of_the_case_study(sample: int) -> dict[float, dict]:
    """What Python computed at each ε, from the page of the case study."""
    soup = BeautifulSoup((SITE / f"case-{sample}.html").read_text(), "html.parser")
    data = json.loads(soup.select_one(".epsilon-slider script").string)
    return {stop["epsilon"]: stop for stop in data["stops"]}


@pytest.fixture(scope="module")
def live(browser, strict) -> Iterator[Page]:
    """The page after its start, with a list of the requests it made."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    page.goto(strict, wait_until="load")
    page.before = list(page.requested)
    start(page)
    yield page
    page.context.close()


@needs_browser
@needs_runtime
class TestStarted:
    """What a reader does after the start; one page for all, under the strict policy."""

    def test_nothing_is_loaded_before_the_start_and_nothing_from_elsewhere(self, live, strict):
        origin = strict.removesuffix("/live.html")
        assert not [url for url in live.before if "/live/" in url or "worker" in url]
        assert [url for url in live.requested if "/_static/live/" in url]
        outside = [url for url in live.requested if not url.startswith((origin, "data:", "blob:"))]
        assert outside == []

    @pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
    def test_the_browser_sees_what_python_saw_at_every_epsilon(self, live, every):
        data = facts(live)
        for picture in data["pictures"]:
            choose(live, picture["name"])
            stops = stops_of_the_case_study(picture["sample"])
            for epsilon in data["epsilons"][::every]:
                move_to(live, data, epsilon)
                expected = {name: probability for name, probability, _ in stops[epsilon]["top5"]}
                # Two runtimes add up in another order, so a few values in ten thousand get another
                # sign and end 2 ε apart: what that moves grows with ε, and close classes may swap.
                tolerance = 2e-3 + 1e-3 * epsilon
                for name, seen in top5(live, "adversarial image"):
                    probability = expected.get(name, min(expected.values()))
                    assert seen == pytest.approx(probability, abs=tolerance), epsilon

    def test_every_pixel_moves_by_epsilon_and_the_control_by_chance(self, live):
        data = facts(live)
        choose(live, data["pictures"][0]["name"])
        move_to(live, data, 4)
        clean = pixels(live, "clean image")
        inside = (clean >= 4) & (clean <= 251)
        signs = {}
        for title in ("adversarial image", "random signs"):
            moved = pixels(live, title) - clean
            assert np.isin(np.abs(moved[inside]), [0, 4] if title.startswith("adv") else [4]).all()
            signs[title] = np.sign(moved[inside])
        # A fair coin of n throws is off by more than 5 / sqrt(n) once in a million.
        assert abs(signs["random signs"].mean()) < 5 / np.sqrt(inside.sum())
        assert not np.array_equal(*signs.values())
        shown = pixels(live, "perturbation")[inside]
        assert set(np.unique(shown)) <= {1, 128, 255}
        assert np.array_equal(np.sign(shown - 128), signs["adversarial image"])

    def test_the_other_objective_takes_another_step(self, live):
        data = facts(live)
        choose(live, data["pictures"][0]["name"])
        move_to(live, data, 8)
        steps = []
        names = {"cross_entropy": "cross-entropy", "true_logit": "true logit"}
        # The profile's own objective comes last and stays for the tests that follow.
        for objective in sorted(names, key=lambda objective: objective == data["objective"]):
            live.get_by_label(names[objective]).check()
            settled(live)
            steps.append(pixels(live, "perturbation"))
        assert not np.array_equal(*steps)

    def test_a_step_that_8_bits_do_not_keep_is_called_so(self, live):
        data = facts(live)
        move_to(live, data, 0.2)
        expect(summary(live)).to_contain_text("too small for a picture of 8 bits")
        move_to(live, data, 4)
        expect(summary(live)).not_to_contain_text("too small")

    def test_a_reader_s_own_picture_is_cut_as_python_cuts_it(self, live, tmp_path):
        data = facts(live)
        rng = np.random.default_rng(0)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8))
        image = coarse.resize((900, 1200), Image.Resampling.BICUBIC)
        image.save(tmp_path / "mine.png")
        upload(live, tmp_path / "mine.png")
        classifier = Classifier(
            torch.nn.Identity(), [], resize=data["resize"], crop=data["crop"]
        ).to_pixels(image)
        expected = 255 * classifier.permute(1, 2, 0).numpy()
        assert np.abs(pixels(live, "clean image") - expected).mean() < 2
        assert (
            live.locator(".live-attack input[type=radio][name=live-picture]:checked").count() == 0
        )
        (seen, _), *_ = top5(live, "clean image")
        expect(live.locator(".live-attack .controls > .note")).to_contain_text("sees in it")
        first = card(live, "clean image").locator("tbody th").first
        assert first.text_content() == f"✓ {seen}"  # the class under attack

    @pytest.mark.parametrize(
        "orientation", [6, *(pytest.param(turn, marks=pytest.mark.slow) for turn in (1, 3, 8))]
    )
    def test_a_photograph_is_turned_as_its_camera_says(self, live, tmp_path, orientation):
        image = Image.new("RGB", (400, 300), "red")
        image.paste("blue", (0, 0, 200, 300))
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(tmp_path / "photo.jpg", exif=exif, quality=95)
        with Image.open(tmp_path / "photo.jpg") as photo:
            upright = ImageOps.exif_transpose(photo)
        upload(live, tmp_path / "photo.jpg")
        found = pixels(live, "clean image")
        size = len(found)
        for row, column in ((0.3, 0.1), (0.3, 0.9), (0.9, 0.7)):
            place = (round(column * upright.width), round(row * upright.height))
            color = found[round(row * size), round(column * size)]
            assert np.abs(color - np.array(upright.getpixel(place))).max() < 40

    @pytest.mark.slow
    def test_unusual_pictures_work(self, live, tmp_path):
        Image.new("CMYK", (300, 300), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
        Image.new("RGBA", (1, 1), (0, 0, 0, 0)).save(tmp_path / "dot.png")
        Image.new("L", (5000, 3), 100).save(tmp_path / "strip.png")
        for name, color in (
            ("print.jpg", [255, 0, 0]),
            ("dot.png", [255, 255, 255]),
            ("strip.png", [100, 100, 100]),
        ):
            upload(live, tmp_path / name)
            assert np.abs(pixels(live, "clean image") - color).max() < 30, name
            assert message(live).text_content() == ""

    @pytest.mark.parametrize(
        "kind", ["gif", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("png", "webp"))]
    )
    def test_of_an_animated_file_the_first_frame_is_used_and_the_page_says_so(
        self, live, tmp_path, kind
    ):
        frames = [Image.new("RGB", (300, 300), color) for color in ("red", "blue", "lime")]
        path = tmp_path / f"moving.{kind}"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=20, loop=0)
        upload(live, path)
        assert pixels(live, "clean image")[100, 100].tolist() == [
            pytest.approx(value, abs=5) for value in (255, 0, 0)
        ]
        expect(live.locator(".live-attack .controls > .note")).to_contain_text("first frame")

    @pytest.mark.parametrize(
        "content",
        [
            b"no picture\n",
            *(
                pytest.param(content, marks=pytest.mark.slow)
                for content in (b"", b"\x89PNG\r\n\x1a\n damaged", b"<svg/>")
            ),
        ],
    )
    def test_what_is_no_picture_is_refused_in_a_sentence(self, live, tmp_path, content):
        choose(live, facts(live)["pictures"][1]["name"])
        before = pixels(live, "clean image")
        (tmp_path / "notes.png").write_bytes(content)
        upload(live, tmp_path / "notes.png")
        expect(message(live)).to_contain_text("notes.png is not a picture")
        assert np.array_equal(pixels(live, "clean image"), before)
        choose(live, facts(live)["pictures"][0]["name"])
        expect(message(live)).to_be_empty()

    @pytest.mark.slow
    def test_a_huge_photograph_is_shrunk_or_refused(self, live, tmp_path):
        Image.new("1", (10_000, 10_000), 1).save(tmp_path / "large.png")
        upload(live, tmp_path / "large.png")
        assert message(live).text_content() == ""
        assert pixels(live, "clean image").min() == 255
        Image.new("1", (20_000, 20_000), 1).save(tmp_path / "larger.png")
        upload(live, tmp_path / "larger.png")
        expect(message(live)).to_contain_text("400 megapixels")

    def test_the_started_page_is_accessible(self, live):
        for scheme in ("light", "dark"):
            live.emulate_media(color_scheme=scheme)
            live.evaluate("scheme => document.documentElement.dataset.theme = scheme", scheme)
            assert serious_faults(live, ".live-attack") == []

    def test_it_fits_a_phone(self, live):
        live.set_viewport_size({"width": 390, "height": 844})
        assert live.evaluate("document.documentElement.scrollWidth") <= 390
        live.set_viewport_size({"width": 1280, "height": 900})


@needs_browser
@needs_runtime
@pytest.mark.slow
def test_the_class_under_attack_is_the_label_even_where_the_classifier_sees_another(
    browser, strict
):
    """The first picture gets the second class that is seen in it as its label: that one falls."""
    page = browser.new_page()
    page.goto(strict)
    start(page)
    data = facts(page)
    move_to(page, data, 4)
    label = data["classes"].index(top5(page, "clean image")[1][0])
    block = page.locator(".live-attack script").inner_html()
    data["pictures"][0]["label"] = label
    changed = LIVE.read_text().replace(block, json.dumps(data).replace("<", "\\u003c"))
    assert changed != LIVE.read_text()
    page.route("**/live.html", lambda route: route.fulfill(body=changed, content_type="text/html"))
    page.goto(strict)
    start(page)
    move_to(page, data, 4)
    shown = card(page, "clean image").locator("tbody th").nth(1)
    expect(shown).to_have_text(f"✓ {data['classes'][label]}")
    before = dict(top5(page, "clean image"))[data["classes"][label]]
    after = dict(top5(page, "adversarial image")).get(data["classes"][label], 0)
    assert after < before
    page.context.close()


KEEP_THE_WORKER = """
    const Theirs = Worker;
    window.Worker = class extends Theirs {
        constructor(...options) { super(...options); window.lastWorker = this; }
    };
"""


@needs_browser
@needs_runtime
def test_a_worker_that_died_is_replaced_and_the_attack_goes_on(browser, strict):
    page = opened(browser, strict, KEEP_THE_WORKER)
    page.clock.install()
    start(page)
    page.evaluate("lastWorker.terminate()")
    page.get_by_label("Size of the step").press("End")
    page.clock.fast_forward(70_000)
    expect(message(page)).to_contain_text("does not answer any more")
    assert page.get_by_label("Size of the step").is_disabled()
    page.get_by_role("button", name="Try again").click()
    last = facts(page)["epsilons"][-1]
    expect(summary(page)).to_contain_text(f"At ε = {last:g}/255 ")
    expect(message(page)).to_be_empty()
    page.context.close()


@needs_browser
@needs_runtime
@pytest.mark.parametrize(
    "part",
    [
        runtime.FILES[0],
        *(pytest.param(part, marks=pytest.mark.slow) for part in ("live-worker.js", "weights.bin")),
    ],
)
def test_a_part_that_does_not_arrive_is_named_and_can_be_tried_again(browser, strict, part):
    page = opened(browser, strict)
    page.route(f"**/{part}*", lambda route: route.fulfill(status=404))
    page.get_by_role("button", name="Start").click()
    sentence = "does not answer" if part.endswith("worker.js") else "did not arrive"
    expect(message(page)).to_contain_text(sentence)
    page.unroute(f"**/{part}*")
    page.get_by_role("button", name="Try again").click()
    expect(summary(page)).not_to_be_empty()
    page.context.close()


@needs_browser
def test_without_webassembly_the_page_says_so(browser, strict):
    page = opened(browser, strict, "delete window.WebAssembly")
    expect(message(page)).to_contain_text("no WebAssembly")
    assert page.get_by_role("button", name="Start").count() == 0
    page.context.close()


@needs_browser
def test_opened_as_a_file_the_page_says_how_to_serve_it(browser):
    page = opened(browser, LIVE.as_uri())
    expect(message(page)).to_contain_text("make serve")
    assert page.get_by_role("button", name="Start").count() == 0
    page.context.close()


@needs_browser
def test_without_javascript_the_pictures_lead_to_their_case_studies(browser):
    page = opened(browser, LIVE.as_uri(), java_script_enabled=False)
    expect(page.get_by_text(live_html.NO_SCRIPT)).to_be_visible()
    links = page.locator(".live-attack a").evaluate_all("all => all.map(a => a.href)")
    assert len(links) == page.locator(".live-attack img").count() > 0
    page.context.close()


@needs_browser
def test_a_build_without_the_runtime_says_why_and_offers_no_start(browser, strict):
    page = browser.new_page()
    text = LIVE.read_text()
    block = text[text.index('<div class="epsilon-slider live-attack">') :]
    found = json.loads(block.split('"application/json">')[1].split("</script>")[0])
    manifest = {"missing": "npm was not there.", "version": "", "files": {}}
    without = live_html.markup(found, manifest, found["images"], "")
    text = text.replace(block.split("</script></div>")[0], without.split("</script></div>")[0])
    page.route("**/live.html", lambda route: route.fulfill(body=text, content_type="text/html"))
    page.goto(strict)
    expect(page.get_by_text("npm was not there.")).to_be_visible()
    assert page.get_by_role("button", name="Start").count() == 0
    page.context.close()

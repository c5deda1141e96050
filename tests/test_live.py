"""The live page in _build/html: Chromium attacks pictures as Python does, and meets bad input."""

import base64
import importlib.util
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import SITE
from PIL import Image
from playwright.sync_api import expect

from fgsm_lib import attacks
from fgsm_lib.pictures import open_picture
from fgsm_lib.weights import load_classifier
from fgsm_lib.words import short_name

ROOT = Path(__file__).parents[1]
RUNNING = SITE / "_static" / "live" / "ort-wasm-simd-threaded.wasm"

expect.set_options(timeout=60_000)  # a machine that does much else at the same time is not a bug

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not (SITE / "live.html").is_file(), reason="no live page: run make site"),
    pytest.mark.skipif(not RUNNING.is_file(), reason="a site built without npm's runtime"),
]
# What may be lost on the way to the browser, how, and what the page says of it.
LOST = {
    "live-worker.js": ({"content_type": "text/plain", "body": "1"}, "never started"),
    "ort.wasm.bundle.min.js": ({"status": 404}, "did not arrive"),
    "weights.bin": ({"body": "short"}, "another file"),
}


@pytest.fixture(scope="module")
def classifier():
    """EfficientNet-Lite0 with the weights that the browser has."""
    place = ROOT / "book" / "_ext" / "export.py"
    spec = importlib.util.spec_from_file_location("export", place)
    export = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(export)
    return export.rounded(load_classifier("efficientnet_lite0", device="cpu"))


class Live:
    """The page: what a reader does on it and sees there."""

    def __init__(self, page, address: str):
        self.page, self.requested, self.errors = page, [], []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address)
        self.facts = json.loads(page.locator(".live-attack > script").text_content())

    def start_without(self, part: str, answer: dict, said: str) -> str:
        """Press Start, or Try again, where a part of the page is lost; what the page says."""
        self.page.route(f"**/{part}*", lambda route: route.fulfill(**answer))
        self.page.get_by_role("button", name=re.compile("Start|Try again")).click()
        message = self.page.locator(".live-attack .message")
        expect(message).to_contain_text(re.compile(f"{said}|Loading"))
        expect(message).not_to_contain_text("Loading")
        self.page.unroute(f"**/{part}*")
        return self.message

    def settle(self):
        results = self.page.locator(".live-attack .results")
        expect(results).to_have_attribute("aria-busy", "false")
        return self

    def choose(self, **settings) -> "Live":
        """Come by an address, as a link would."""
        given = {"picture": "coffee", "objective": "cross_entropy", "steps": 1, "target": ""}
        said = "&".join(f"{key}={value}" for key, value in (given | settings).items())
        arrived = "addEventListener('hashchange', () => setTimeout(done), { once: true })"
        self.page.evaluate(
            f"said => new Promise(done => {{ {arrived}; location.hash = said }})", said
        )
        return self.settle()

    def upload(self, path: Path) -> "Live":
        self.page.locator("input[type=file]").set_input_files(path)
        self.page.wait_for_timeout(100)
        return self.settle()

    @property
    def message(self) -> str:
        return self.page.locator(".live-attack .message").text_content()

    @property
    def summary(self) -> str:
        return self.page.locator(".live-attack .summary").text_content()

    def top(self, card: int) -> dict[str, float]:
        """Class -> probability under one of the three pictures."""
        items = self.page.locator(".live-attack .results ol").nth(card).locator("li").all()
        texts = [item.locator("span").all_text_contents() for item in items]
        return {re.sub("^[✓→] ", "", name): float(p.rstrip("%")) / 100 for name, p, *_ in texts}

    def pixels(self, card: int) -> np.ndarray:
        """What a canvas shows, int (H, W, 3)."""
        canvas = self.page.locator(".live-attack .results canvas").nth(card)
        url = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
        with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as image:
            return np.array(image.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def live(chromium, origin):
    """The page, started at the fourth attempt; what it ``said`` of the others."""
    page = chromium.new_page(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    live = Live(page, f"{origin}/live.html")
    live.said = [live.start_without(part, *lost) for part, lost in LOST.items()]
    page.get_by_role("button", name="Try again").click()
    return live.settle()


def shown(live: Live, classifier, name: str) -> tuple[torch.Tensor, list[int]]:
    """A picture of the page as a batch of one, and its label."""
    (entry,) = [entry for entry in live.facts["pictures"] if entry["name"] == name]
    picture = Image.open(SITE / entry["file"]).convert("RGB")
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    return pixels, [entry["labels"][classifier.name]]


def assert_seen(found: dict[str, float], classifier, image: torch.Tensor, tolerance: float):
    """The class on top is Python's, and the probabilities are near."""
    with torch.no_grad():
        expected = classifier(image).softmax(1)[0]
    names = [short_name(name) for name in classifier.class_names]
    assert next(iter(found)) == names[int(expected.argmax())]
    for name, probability in found.items():
        if names.count(name) == 1:
            assert probability == pytest.approx(float(expected[names.index(name)]), abs=tolerance)


def test_it_starts_fooled_with_no_request_elsewhere_and_all_in_view(live, origin):
    start = live.facts["start"]
    assert re.search(f"{start['epsilon']:g}/255: ", live.summary)
    assert live.page.locator(".live-attack .verdict.wrong").count() == 1
    assert all(url.startswith((origin, "data:", "blob:")) for url in live.requested)
    assert any("weights.bin" in url for url in live.requested)
    canvases = live.page.locator(".results canvas")
    boxes = [each.bounding_box() for each in canvases.all()]
    assert live.page.locator(".live-attack input[type=range]").bounding_box()["y"] > 0
    assert max(box["y"] + box["height"] for box in boxes) < 800
    live.page.set_viewport_size({"width": 390, "height": 844})
    assert len({round(each.bounding_box()["y"]) for each in canvases.all()}) == 1  # a row of three
    assert live.page.evaluate("document.documentElement.scrollWidth") <= 390
    live.page.set_viewport_size({"width": 1280, "height": 800})
    assert live.errors == []


def test_a_part_that_does_not_arrive_is_named_and_can_be_tried_again(live):
    for message, (part, (_, expected)) in zip(live.said, LOST.items(), strict=True):
        assert expected in message, part


def test_it_sees_what_python_sees(live, classifier):
    image, label = shown(live, classifier, "coffee")
    for objective, sizes in {"cross_entropy": (0, 0.3, 7.25), "true_logit": (2,)}.items():
        gradient, _ = attacks.input_gradient(classifier, image, label, objective)
        for epsilon in sizes:
            live.choose(picture="coffee", objective=objective, epsilon=epsilon)
            expected = attacks.perturb(image, gradient.sign(), epsilon / 255)
            # Where two runtimes differ in a sign, the pixel ends 2 ε apart.
            assert_seen(live.top(1), classifier, expected, 3e-3 + 1e-3 * epsilon)
            found = live.pixels(1) - (255 * expected[0].permute(1, 2, 0)).round().numpy()
            assert (found == 0).mean() > 0.995
    moved = np.abs(live.pixels(2) - live.pixels(0))  # random signs: they move every value
    inside = (live.pixels(0) > 8) & (live.pixels(0) < 247)
    assert set(np.unique(moved[inside])) == {2}


def test_many_steps_toward_a_class_are_those_of_python(live, classifier):
    image, _ = shown(live, classifier, "coffee")
    names = [short_name(name) for name in classifier.class_names]
    live.choose(epsilon=1, steps=5, target="rocking chair")
    target, sizes = [names.index("rocking chair")], {"steps": 5, "step_size": 0.5 / 255}
    expected = attacks.pgd(classifier, image, target, 1 / 255, targeted=True, **sizes)
    assert_seen(live.top(1), classifier, expected, 0.1)
    assert "Toward rocking chair, 5 steps" in live.summary


def test_a_result_never_stands_under_another_epsilon(live):
    live.choose(epsilon=2)
    for _ in range(6):
        live.page.locator(".live-attack input[type=range]").press("ArrowRight")
        busy = live.page.locator(".live-attack .results.stale").count()
        assert busy or "ε = 2/255" not in live.summary
    size = live.settle().page.locator(".live-attack .size span").last.text_content()
    assert f", {size}:" in live.summary and size != "ε = 2/255"


def test_cancel_leads_back_to_what_is_shown_and_reload_too(live):
    live.choose(epsilon=2)
    before = live.summary
    live.page.get_by_label("Steps").fill("20")
    live.page.get_by_label("Steps").press("Enter")
    expect(live.page.locator(".status")).to_contain_text("of 20")
    live.page.get_by_role("button", name="Cancel").click()
    assert live.settle().summary == before
    assert "steps=1&" in live.page.url and live.page.get_by_label("Steps").input_value() == "1"
    live.page.reload()
    assert live.settle().summary == before


def test_the_smallest_epsilon_fools_and_a_hundredth_less_does_not(live, classifier):
    start = live.facts["start"]
    live.choose(picture=start["picture"], epsilon=4)
    live.page.get_by_role("button", name="Smallest").click()
    expect(live.page.locator(".live-attack .message")).to_contain_text("is the smallest")
    epsilon = float(re.search(r"ε = ([\d.]+)/255", live.message)[1])
    image, label = shown(live, classifier, start["picture"])
    signs = attacks.input_gradient(classifier, image, label).gradient.sign()
    for wrong, size in ((True, epsilon + 0.02), (False, epsilon - 0.02)):
        with torch.no_grad():
            seen = classifier(attacks.perturb(image, signs, size / 255)).argmax()
        assert (int(seen) != label[0]) == wrong
    assert f"epsilon={epsilon}" in live.page.url


def test_a_saved_picture_is_what_was_shown_and_is_looked_at_again(live, classifier, tmp_path):
    live.choose(picture=live.facts["start"]["picture"], epsilon=live.facts["start"]["epsilon"])
    with live.page.expect_download() as download:
        live.page.get_by_role("button", name="Save").click()
    download.value.save_as(tmp_path / "saved.png")
    expect(live.page.locator(".live-attack .message")).to_contain_text("it still fools")
    saved = np.array(Image.open(tmp_path / "saved.png").convert("RGB")).astype(int)
    assert np.array_equal(saved, live.pixels(1))


def test_a_reader_s_own_picture_is_read_as_python_reads_it(live, classifier, tmp_path):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    coarse.resize((901, 1200), Image.Resampling.BICUBIC).save(tmp_path / "turned.png", exif=exif)
    clear = Image.fromarray(rng.integers(0, 256, (80, 331, 4), dtype=np.uint8))
    clear.save(tmp_path / "clear.png")
    for name, tolerance in (("turned.png", 0), ("clear.png", 2)):
        live.upload(tmp_path / name)
        pixels = classifier.to_pixels(open_picture(tmp_path / name)).permute(1, 2, 0)
        expected = (255 * pixels).round().numpy()
        assert np.abs(live.pixels(0) - expected).max() <= tolerance, name
        assert "what the network sees in it" in live.summary
        assert "✓" not in live.page.locator(".live-attack .results").inner_text()
        assert live.page.get_by_role("radio", name=name).is_checked()
    assert "picture=own" in live.page.url


def test_what_cannot_be_used_is_refused_in_a_sentence(live, tmp_path):
    live.choose(epsilon=2)
    before = live.summary
    whole = io.BytesIO()
    Image.effect_noise((400, 400), 90).save(whole, "PNG")
    (tmp_path / "text.png").write_bytes(b"no picture\n")
    (tmp_path / "damaged.png").write_bytes(whole.getvalue()[:60] + b"\0" * 500)
    Image.new("1", (20_000, 20_000), 1).save(tmp_path / "bomb.png")
    for name, said in (("text", "text.png is not"), ("damaged", "damaged.png is not"),
                       ("bomb", "400 megapixels")):  # fmt: skip
        live.upload(tmp_path / f"{name}.png")
        assert said in live.message
        assert live.summary == before
    for label, text, said in (("Toward", "espr", "none of the 1000"), ("Steps", "21", "1 to 20")):
        live.page.get_by_label(label).fill(text)
        live.page.get_by_label(label).press("Enter")
        assert said in live.message
    live.choose(picture="no-such", epsilon="abc", steps=0)
    assert all(word in live.message for word in ("no-such", "abc", "1 to 20"))


def test_as_a_file_and_without_javascript_it_says_what_to_do(chromium):
    page = chromium.new_page()
    page.goto((SITE / "live.html").as_uri())
    expect(page.locator(".live-attack .message")).to_contain_text("http.server")
    page.close()
    page = chromium.new_page(java_script_enabled=False)
    page.goto((SITE / "live.html").as_uri())
    expect(page.locator(".live-attack .no-script")).to_be_visible()
    assert page.locator(".live-attack .offered img").count() > 2
    page.close()

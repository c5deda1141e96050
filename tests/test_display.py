"""What notebooks show: nothing a data set brings along becomes markup."""

import base64
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from markdown_it import MarkdownIt
from PIL import Image
from traitlets.config import Config

from fgsm_lib import display
from fgsm_lib.datasets import Photo


@pytest.fixture
def outputs(monkeypatch, tmp_path):
    """Calls a function as a notebook cell would; returns the data of what it displays."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))

    def run(function, *args, **kwargs) -> list[dict]:
        with capture_output() as captured:
            function(*args, **kwargs)
        return [output.data for output in captured.outputs]

    yield run
    InteractiveShell.clear_instance()


def rendered(text: str) -> str:
    """Markdown with tables, as a page shows it; raw HTML and all kinds of links allowed."""
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    markdown.validateLink = lambda url: True
    return markdown.render(text)


# --- escaping ----------------------------------------------------------------------------------

NASTY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "![x](https://example.org/track.png)",
    "*a* **b** _c_ ~~d~~",
    "`code`",
    "a|b",
    "$x^2$",
    "{eval}`1`",
    "&lt;script&gt;",
    r"\<b>\*a\*",
    "<https://example.org>",
    "LG전자",
]


@pytest.mark.parametrize("name", NASTY)
def test_an_escaped_name_is_shown_as_it_is(name):
    """Only the characters of the name, in one paragraph without any element."""
    shown = rendered(f"by {display.escape(name)}!")
    expected = f"by {name}!".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown == f"<p>{expected}</p>\n"


@pytest.mark.parametrize("name", ["a\n\n# Title", "a\n- b\n- c", "a\n\n    code", "a\n===\nb"])
def test_a_name_of_several_lines_stays_in_its_sentence(name):
    shown = rendered(f"by {display.escape(name)}!")
    assert shown.startswith("<p>by a")
    assert shown.count("<") == 2


@given(st.text("<>*_`[](){}|\\~$&!# abc\"'", max_size=30))
def test_no_name_brings_an_element(name):
    assert rendered(f"by x{display.escape(name)}x!").count("<") == 2  # <p> and </p>


def test_a_name_cannot_add_cells_to_a_table():
    shown = rendered(f"| a |\n|---|\n| {display.escape('x|y')} |\n")
    assert "<td>x|y</td>" in shown


# --- credits -----------------------------------------------------------------------------------

BY = "https://creativecommons.org/licenses/by/2.0/"


def photo(author="Ann", page="https://www.flickr.com/photos/ann/1", license_url=BY) -> Photo:
    return Photo(0, "x", Path("x.png"), 0, "cat", author, license_url, page)


def test_a_credit_names_author_license_and_changes():
    assert display.credit(photo()) == (
        f"Photograph: [Ann](https://www.flickr.com/photos/ann/1), [CC BY 2.0]({BY}), "
        "resized and cropped."
    )


def test_a_photograph_without_author_has_no_credit():
    assert display.credit(photo(author=None)) == ""


def test_another_license_is_not_called_cc_by():
    text = display.credit(photo(license_url="https://creativecommons.org/licenses/by-nc/2.0/"))
    assert "CC BY 2.0" not in text
    assert "[license](https://creativecommons.org/licenses/by-nc/2.0/)" in text


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "https://x/) <script>alert(1)</script> (",
        'https://x/" onclick="alert(1)',
        "https://x/\njavascript:alert(1)",
        "//example.org",
        "ftp://example.org/",
        "",
        None,
    ],
)
def test_only_plain_web_addresses_become_links(url):
    shown = rendered(display.credit(photo(page=url, license_url=url)))
    assert shown == "<p>Photograph: Ann.</p>\n"


@pytest.mark.parametrize("author", NASTY)
def test_an_author_cannot_break_the_link_of_a_credit(author):
    shown = rendered(display.credit(photo(author=author)))
    assert shown.count("<a ") == 2
    assert shown.count("<") == 6  # a paragraph and two links


# --- figures -----------------------------------------------------------------------------------


def draw(label: str) -> tuple[plt.Figure, str]:
    figure, axes = plt.subplots()
    axes.plot([0, 1], [0, 1], label=label)
    return figure, f"A line called {label}."


def test_a_figure_comes_in_both_themes_as_png_and_as_alt_text(outputs):
    (data,) = outputs(display.show, draw, "rho", name="fig-line", caption="*A* line.")
    content = data[display.FIGURE_MIME]
    assert content["light"].lstrip().startswith("<?xml")
    assert "<svg" in content["dark"]
    assert content["light"] != content["dark"]
    assert content["alt"] == data["text/plain"] == "A line called rho."
    assert (content["name"], content["caption"]) == ("fig-line", "*A* line.")
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.format == "PNG"
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def draw_picture(pixels: np.ndarray) -> tuple[plt.Figure, str]:
    figure, axes = plt.subplots()
    axes.imshow(pixels)
    return figure, "A picture."


def embedded(svg: str) -> list[np.ndarray]:
    """The images in an SVG file, each uint8 (H, W, 3)."""
    kinds, found = zip(*re.findall(r"data:image/(\w+);base64,([A-Za-z0-9+/=]+)", svg), strict=True)
    assert set(kinds) == {"webp"}
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_figure_holds_the_pixels_of_its_image(outputs, theme):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    (data,) = outputs(display.show, draw_picture, pixels, name="fig", caption="")
    (shown,) = embedded(data[display.FIGURE_MIME][theme])
    assert np.array_equal(shown, pixels)


def test_a_picture_that_shines_through_keeps_its_alpha(outputs):
    pixels = np.full((4, 4, 4), 100, dtype=np.uint8)
    (data,) = outputs(display.show, draw_picture, pixels, name="fig", caption="")
    assert "data:image/png;base64" in data[display.FIGURE_MIME]["light"]


def test_a_figure_that_need_not_be_pixel_true_is_smaller_and_close(outputs):
    noise = np.random.default_rng(0).integers(0, 12, (64, 64, 3))
    pixels = (np.linspace(0, 240, 64)[:, None, None] + noise).astype(np.uint8)
    exact, close = (
        outputs(display.show, draw_picture, pixels, name="fig", caption="", pixel_true=true)[0]
        for true in (True, False)
    )
    exact, close = (data[display.FIGURE_MIME]["light"] for data in (exact, close))
    (shown,) = embedded(close)
    assert np.abs(shown.astype(int) - pixels).mean() < 5
    assert len(close) < len(exact)


def test_the_same_figure_is_the_same_file(outputs):
    first, second = (outputs(display.show, draw, "x", name="fig", caption="")[0] for _ in range(2))
    assert first == second


def test_showing_leaves_no_figure_open(outputs):
    before = plt.get_fignums()
    outputs(display.show, draw, "x", name="fig", caption="")
    assert plt.get_fignums() == before


# --- tables and sentences ----------------------------------------------------------------------


def test_a_table_carries_its_cells_as_texts(outputs):
    table = pd.DataFrame({"ε": ["1/255", "2/255"], "n": [3, 4]})
    (data,) = outputs(display.show_table, table, name="tab-x", caption="Counts.")
    assert data[display.TABLE_MIME] == {
        "columns": ["ε", "n"],
        "rows": [["1/255", "3"], ["2/255", "4"]],
        "name": "tab-x",
        "caption": "Counts.",
    }
    assert "1/255" in data["text/plain"]


def test_a_table_s_html_is_escaped(outputs):
    table = pd.DataFrame({"<script>a</script>": ["<script>b</script>"]})
    (data,) = outputs(display.show_table, table, name="tab-x", caption="")
    assert "<script" not in data["text/html"]
    assert "&lt;script&gt;b" in data["text/html"]


def test_an_empty_sentence_shows_nothing(outputs):
    assert outputs(display.say, "") == []


def test_say_shows_markdown(outputs):
    (data,) = outputs(display.say, "It is **0.5**.")
    assert data["text/markdown"] == "It is **0.5**."


def test_show_source_shows_the_function_as_it_stands(outputs):
    (data,) = outputs(display.show_source, draw)
    assert data["text/markdown"].startswith("```python\ndef draw(label: str)")
    assert data["text/markdown"].endswith("```")

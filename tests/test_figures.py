"""Figures say the right numbers, fit their screen, and are the same figure at every width."""

import io
import re
from dataclasses import replace
from functools import cache
from inspect import signature

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text

from fgsm_lib import figures, gallery, style
from fgsm_lib.datasets import Picture
from fgsm_lib.study import Case
from fgsm_lib.words import brief

EPSILON = [0, 0.5, 1, 4, 20]
TABLE = pd.DataFrame(
    {
        "epsilon_255": EPSILON,
        "predicted_class": [0, 0, 1, 2, 0],
        "confidence": [0.999, 0.5, 0.21, 0.4, 0.7],
        "correct": [True, True, False, False, True],
        "top_classes": [[0, 1, 2, 3, 4]] * 5,
        "top_confidences": [[0.6, 0.2, 0.1, 0.05, 0.01]] * 5,
    }
)
CASE = Case(
    picture=Picture(132, "coffee", 0, "espresso", None),
    image=torch.linspace(0, 1, 3 * 8 * 8).view(3, 8, 8),
    gradient=torch.ones(3, 8, 8),
    bounds=(0.0, 1.0),
    table=TABLE,
    control=TABLE.assign(predicted_class=0, confidence=0.9, correct=True),
    published=TABLE,
    names=["espresso", "drilling platform", "Egyptian cat", "tripod", "soup bowl"],
)
ALWAYS_WRONG = replace(CASE, table=TABLE.assign(correct=False), published=None)


def curve(*values, epsilon_255=EPSILON):
    columns = {"epsilon_255": epsilon_255, "n": 50}
    for name in ("top1", "top5", "confidence"):
        columns |= {name: values, f"{name}_low": values, f"{name}_high": values}
    return pd.DataFrame(columns)


FGSM, RANDOM = curve(0.9, 0.5, 0.1, 0.05, 0.2), curve(0.9, 0.9, 0.89, 0.88, 0.8)
LONGER = curve(0.9, 0.5, 0.1, 0.05, 0.2, epsilon_255=[0, 1, 4, 20, 128])
TOP1 = {"top1": "top-1 accuracy"}
RATES = TOP1 | {"top5": "top-5 accuracy", "confidence": "mean confidence"}
SHARES = pd.DataFrame({"FGSM": [0.52, 0.4], "random signs": [0.6, 0.1]}, ["2nd", "3rd to 5th"])
COUNTS = pd.DataFrame({"never fooled": [1, 5], "bounce-back": [2, 0]}, ["99–100%", "95–99%"])
CLEAN = pd.DataFrame({"confidence": [0.99, 0.97, 0.4], "correct": [True, True, False]})
CLOUD = pd.DataFrame({"x": [0.1, 1, 10], "y": [0.2, 2, 20]})
CONFUSED = pd.DataFrame([[9, 1], [0, 10]], ["ball", "cube"], ["ball", "cube"])

DRAWN = {
    "triple": lambda: gallery.triple(CASE, 1),
    "series": lambda: gallery.series(CASE, [0.5, 1, 4, 20]),
    "case_curve": lambda: gallery.case_curve(CASE),
    "top5": lambda: gallery.top5(CASE, [0, 1, 20]),
    "curves": lambda: figures.curves({"FGSM": FGSM}, TOP1, RANDOM, FGSM),
    "rates": lambda: figures.curves({"FGSM": FGSM}, RATES, RANDOM, FGSM),
    "bins": lambda: figures.bins(
        {"99–100%": FGSM, "95–99%": FGSM, "none": FGSM[:0]}, "top1", "accuracy", {"99–100%": RANDOM}
    ),
    "lines": lambda: figures.lines(
        {"a rather long name of a line that needs two": CLOUD, "random signs": CLOUD},
        {"y": "shift"}, x="x", xlabel="dimension", log="xy", levels={"noticeable": 2.3},
    ),
    "bars": lambda: figures.bars(SHARES, "share of fooled pictures", SHARES - 0.1, SHARES + 0.1),
    "bars_flat": lambda: figures.bars(SHARES["FGSM"], "share", horizontal=True),
    "stacked": lambda: figures.stacked(COUNTS, "share of the pictures, by clean confidence"),
    "histogram": lambda: figures.histogram(CLEAN),
    "points": lambda: figures.points(
        {"fooled": CLOUD, "never fooled": CLOUD}, "x", "y", "first-order ε", "smallest ε", log="xy"
    ),
    "matrix": lambda: figures.matrix({"clean": CONFUSED, "ε = 2/255": CONFUSED}),
}  # fmt: skip


@cache
def wide(name):
    return DRAWN[name]()


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_fits_both_screens_in_light_and_dark(name):
    narrow, svg = wide(name).again(style.NARROW), io.StringIO()
    assert style.alt(narrow) == style.alt(wide(name)) != "", "the same data"
    for figure, width in ((wide(name), style.WIDE), (narrow, style.NARROW)):
        figure.draw_without_rendering()
        drawn, (right, top) = figure.get_tightbbox(), figure.get_size_inches()
        assert right == pytest.approx(width / 96)
        assert min(drawn.x0, drawn.y0) > -0.01, "cut off at the left or below"
        assert drawn.x1 < right + 0.01 and drawn.y1 < top + 0.01, "cut off at the right or above"
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
        assert min(sizes) * 96 / 72 >= 11
    narrow.savefig(svg, format="svg")
    light, dark = svg.getvalue(), style.darkened(svg.getvalue())
    assert min(map(float, re.findall(r"font-size: ([\d.]+)px", light))) >= 8.25, "as text"
    light, dark = (set(re.findall("#[0-9a-f]{6}", text)) for text in (light, dark))
    assert light and not light & dark


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("curves", "top-1 accuracy over ε in 1/255: FGSM 0.90 at 0, lowest 0.05 at 4, 0.20 at 20;"),
        ("curves", "random signs 0.90 at 0, 0.80 at 20; published (GoogLeNet) 0.90 at 0"),
        ("lines", "0.20 at 0.1, 20.0 at 10; noticeable at 2.30"),
        ("bars", "FGSM: 2nd 0.52, 3rd to 5th 0.40; random signs: 2nd 0.60"),
        ("bars_flat", "share: 2nd 0.52, 3rd to 5th 0.40."),
        ("points", "never fooled (n = 3): 0.20 to 20.0 over 0.10 to 10.0"),
        ("histogram", "2 of them above 0.95; wrong (n = 1), median 0.40"),
        ("matrix", "clean: 19 of 20 on the diagonal"),
        ("series", "ε = 1/255: drilling platform, 21%"),
        (
            "case_curve",
            "Confidence over ε for a picture of espresso: espresso, >99% at 0/255, lowest drilling "
            "platform, 21% at 1/255, last espresso, 70% at 20/255, and wrong at 2 of 5 ε. After "
            "random signs of 20/255: espresso, 90%.",
        ),
    ],
)
def test_alt_says_the_numbers_of_a_figure(name, said):
    assert said in style.alt(wide(name))


def test_alt_of_pictures_is_their_titles_or_its_own():
    assert style.alt(gallery.pictures([CASE.image], ["coffee\nclean"])) == "coffee, clean."
    assert style.alt(gallery.pictures([CASE.image], ["coffee"], "A cup.")) == "A cup."


def test_only_what_fools_is_called_adversarial():
    fooled, resisted, before = (
        gallery.triple(case, epsilon)
        for case, epsilon in ((CASE, 1), (CASE, 0.5), (ALWAYS_WRONG, 1))
    )
    titles = [drawn.axes[-1].get_title(loc="center") for drawn in (fooled, resisted)]
    assert titles == [
        "adversarial\nε = 1/255\ndrilling platform, 21%",
        "after the step\nε = 0.5/255\nespresso, 50%",
    ]
    assert "adversarial" not in style.alt(resisted) + style.alt(before)
    assert "ε" not in fooled.axes[2].get_title(loc="center"), "a sign has no ε"


def test_the_legend_says_only_what_occurs():
    def entries(case):
        return [text.get_text() for text in gallery.case_curve(case).legends[0].get_texts()]

    assert entries(CASE)[:2] == ["FGSM: class right", "FGSM: class wrong"]
    assert entries(ALWAYS_WRONG) == ["FGSM: class wrong", "random signs"]


def test_a_color_has_one_meaning():
    names = ["cross-entropy", "random signs", "published (GoogLeNet)", "true logit", "FGSM"]
    colors = [style.PURPLE, style.GREEN, style.GRAY, style.OCHRE, style.BLUE]
    found = style.looks(names)
    assert [look["color"] for look in found.values()] == colors
    assert found["random signs"]["linestyle"] == ":"
    many = [tuple(look.values()) for look in style.looks(map(str, range(8))).values()]
    assert len(set(many)) == 8 and not {style.ORANGE, style.GREEN} & {color for color, *_ in many}


def test_names_stand_at_lines_where_they_fit():
    assert wide("curves").again(style.NARROW).legends and not wide("curves").legends
    assert "random signs" in [text.get_text() for text in wide("curves").axes[0].texts]


def test_numbers_are_for_reading_and_names_do_not_cover_each_other():
    assert list(map(brief, (-0.25, -0.0, 1840, 3e-5))) == ["−0.25", "0.00", "1,840", "3e−05"]
    assert style.spread([0.98, 0.1, 0.97, 0.11], 0.05) == pytest.approx([1, 0.1, 0.95, 0.15])


def test_top5_is_left_out_where_there_are_too_few_classes():
    few = FGSM.assign(top5=np.nan)
    assert "top-5" not in style.alt(figures.curves({"FGSM": few}, RATES, None, FGSM))


def test_the_axis_ends_with_this_run_and_shows_all_of_what_was_only_published():
    def end(frames):
        return figures.curves(frames, TOP1, published=LONGER).axes[0].get_xlim()[1]

    assert end({"FGSM": FGSM}) < 30 and end({}) > 128


def test_a_name_with_dollars_is_drawn_as_it_is():
    names = ["$10_$20", "$0-$10"]
    figure = figures.bars(pd.Series([0.1, 0.2], index=names), "price")
    figure.savefig(io.BytesIO())
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == names


def test_help_names_the_arguments_that_a_reader_gives():
    assert list(signature(gallery.triple).parameters) == ["case", "epsilon_255"]

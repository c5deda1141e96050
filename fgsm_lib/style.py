"""What all figures have in common: one look, two widths, light and dark, and their text in words.

A function that ``drawn`` decorates fills an empty ``Drawing``, a matplotlib figure, and returns it;
``.again(width_px)`` draws it for another width. 688 px is a page and 342 px a phone; no text is
smaller than 11 px in either. The name of a series says which color it has, see ``MEANINGS``.
``alt`` reads the text for those who do not see the figure off its axes.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import signature

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fgsm_lib.words import brief

WIDE, NARROW = 688, 342  # CSS pixels, of which an inch has 96
SMALL = 8.5  # points; 8.25 are 11 px
LETTER = 5.3  # points that a letter of the usual size is wide, in the mean and rather too many

# Okabe and Ito's colors, told apart with any color vision, and darker, so that they are legible as
# text. ``MEANINGS`` says what they say.
BLUE, ORANGE, GREEN = "#0072b2", "#c44e00", "#00785a"
PURPLE, OCHRE, GRAY = "#a8448a", "#8a6d00", "#5a5a5a"
INK, GRID, PAPER = "#222222", "#d9d9d9", "#ffffff"
_DARK = {
    BLUE: "#5cb3e8",
    ORANGE: "#ff9452",
    GREEN: "#3fcfa5",
    PURPLE: "#e58cc6",
    OCHRE: "#e6c84f",
    GRAY: "#b8b8b8",
    INK: "#e6e6e6",
    GRID: "#4a4a4a",
    PAPER: "#14181e",
}

# What a name begins with, its color and its line. Other names take one of ``_OTHERS``.
MEANINGS = {
    "FGSM": (BLUE, "-"),
    "right": (BLUE, "-"),
    "never fooled": (BLUE, "-"),
    "wrong": (ORANGE, "-"),
    "fooled": (ORANGE, "-"),
    "random": (GREEN, ":"),
    "published": (GRAY, "--"),
    "predicted": (GRAY, "--"),
    "recorded": (GRAY, "-."),
    "none of these": (GRAY, "-"),
}
_OTHERS = (BLUE, PURPLE, OCHRE, GRAY)
_MARKERS = {BLUE: "o", ORANGE: "X", GREEN: "^", PURPLE: "s", OCHRE: "D", GRAY: "v"}
HATCHES = {"-": "", ":": "...", "--": "xxx", "-.": "///"}  # of bars, by their line
PUBLISHED = "published (GoogLeNet)"


class Drawing(Figure):
    """A figure that ``fill`` draws, at first for a page; ``alt_text`` is its own, if any."""

    alt_text = ""

    def __init__(self, fill: Callable[["Drawing"], None], width_px: int = WIDE):
        with style():
            super().__init__(figsize=(width_px / 96, 3), layout="constrained")
            fill(self)
        self._fill = fill

    def again(self, width_px: int) -> "Drawing":
        """The same for another width."""
        return Drawing(self._fill, width_px)

    @property
    def narrow(self) -> bool:
        """Whether it is drawn for a phone."""
        return self.get_figwidth() < 5

    def savefig(self, *args, **options) -> None:
        """matplotlib's, in ``style``: how SVG writes text and images is decided only now."""
        with style():
            super().savefig(*args, **options)


def drawn(draw: Callable[..., None]) -> Callable[..., Drawing]:
    """Make ``draw(figure, …)``, which fills an empty figure, a function that returns it."""

    @wraps(draw)
    def begin(*args, **options) -> Drawing:
        return Drawing(lambda figure: draw(figure, *args, **options))

    shown = signature(draw)
    arguments = list(shown.parameters.values())[1:]
    begin.__signature__ = shown.replace(parameters=arguments, return_annotation=Drawing)
    return begin


@contextmanager
def style():
    """The look of all figures, as a context."""
    fonts = {"sans-serif": ["DejaVu Sans", "Segoe UI", "Helvetica Neue", "Arial"]}
    with mpl.rc_context():
        mpl.rc(["figure", "savefig", "axes"], facecolor="none")
        mpl.rc("figure", dpi=96)
        mpl.rc("font", size=9.5, **fonts)
        mpl.rc("text", color=INK, parse_math=False)  # a name may hold $
        mpl.rc("axes", edgecolor=INK, labelcolor=INK, labelsize=9.5)
        mpl.rc("axes", titlelocation="left", titlesize=9.5, axisbelow=True, grid=True)
        mpl.rc("axes.spines", right=False, top=False)
        mpl.rc(["xtick", "ytick"], color=INK, labelsize=9)
        mpl.rc("grid", color=GRID, linewidth=0.6)
        mpl.rc("legend", fontsize=9, frameon=False)
        mpl.rc("lines", linewidth=1.7, markersize=4.2)
        mpl.rc("hatch", color=PAPER)
        # A file holds each image's own pixels, and text as text: most fonts are narrower than the
        # one measured. The same figure is the same file.
        mpl.rc("image", composite_image=False, interpolation="none")
        mpl.rc("svg", fonttype="none", hashsalt="fgsm")
        yield


def darkened(svg: str) -> str:
    """A figure in SVG, in the colors for a dark page. The pixels of images stay as they are."""
    for light, dark in _DARK.items():
        svg = svg.replace(light, dark)
    return svg


# --- what a figure says ------------------------------------------------------------------------


def alt(figure: Figure) -> str:
    """The figure in words: its own ``alt_text``, or the numbers that its axes show.

    Of a line its first, lowest and last value, of bars each, of points their range, of pictures
    the titles.
    """
    if own := getattr(figure, "alt_text", ""):
        return own
    return " ".join(f"{text}." for axis in figure.axes if (text := _axis_text(axis)))


def _axis_text(axis: Axes) -> str:
    title = axis.get_title(loc="left") or axis.get_title(loc="center")
    if axis.images:
        return title.replace("\n", ", ")
    said = [_bar_text(axis, bars) for bars in axis.containers if isinstance(bars, BarContainer)]
    said += [_line_text(line) for line in axis.lines if not line.get_label().startswith("_")]
    over = f"{title} over {axis.get_xlabel()}" if axis.get_xlabel() else title
    return ": ".join(filter(None, [over, "; ".join(said)])).replace("\n", " ") if said else ""


def _bar_text(axis: Axes, bars: BarContainer) -> str:
    flat = bars.orientation == "horizontal"
    ticks = (axis.yaxis if flat else axis.xaxis).get_ticklabels()
    sizes = [bar.get_width() if flat else bar.get_height() for bar in bars]
    values = [f"{tick.get_text()} {brief(v)}" for tick, v in zip(ticks, sizes, strict=True)]
    label = "" if bars.get_label().startswith("_") else f"{bars.get_label()}: "
    return label + ", ".join(values)


def _line_text(line: Line2D) -> str:
    points = np.array(line.get_data(), float)
    (x, y), label = points[:, np.isfinite(points).all(axis=0)], line.get_label()
    if not len(x):
        return f"{label}: no point"
    if line.get_linestyle() == "None":
        return f"{label}: " + " over ".join(f"{brief(v.min())} to {brief(v.max())}" for v in (y, x))
    if len(x) == 2 and y[0] == y[1]:  # a line across the axes
        return f"{label} at {brief(y[0])}"
    low, last = int(y.argmin()), len(x) - 1
    places = dict.fromkeys([0, low, last])  # in order, each once
    words = {low: "lowest "} if 0 < low < last else {}
    return f"{label} " + ", ".join(
        f"{words.get(i, '')}{brief(y[i])} at {x[i]:,.6g}" for i in places
    )


# --- names and colors --------------------------------------------------------------------------


def looks(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Color, linestyle and marker of each name: what it means, see ``MEANINGS``, or its own."""
    names, chosen = list(names), {}
    for name in names:
        found = next((look for start, look in MEANINGS.items() if name.startswith(start)), None)
        if found and (found[1] != "-" or found not in chosen.values()):
            chosen[name] = found
    left = [color for color in _OTHERS if (color, "-") not in chosen.values()]
    for place, name in enumerate(name for name in names if name not in chosen):
        chosen[name] = left[place % len(left)], "-" if place < len(left) else "-."
    found = {}
    for name in names:
        color, line = chosen[name]
        marker = "" if color == GRAY and line != "-" else _MARKERS[color]
        found[name] = {"color": color, "linestyle": line, "marker": marker}
    return found


def wrapped(text: str, width: float) -> str:
    """A text broken to fit a width in inches, in type of the usual size; its lines stay lines."""
    letters = max(6, int(width * 72 / LETTER))
    return "\n".join(textwrap.fill(line, letters) for line in text.split("\n"))


# --- axes --------------------------------------------------------------------------------------


def panels(figure: Drawing, count: int, across: int, height: float, **options) -> list[Axes]:
    """``count`` axes in rows of ``across``, each row ``height`` inches high."""
    down = max(1, -(-count // across))
    figure.set_figheight(down * height)
    axes = list(figure.subplots(down, across, squeeze=False, **options).flat)
    for axis in axes[count:]:
        axis.remove()
    return axes[:count]


def legend(figure: Drawing) -> None:
    """Below the figure, what each line or bar is, in as many columns as fit."""
    shown = {}
    for axis in figure.axes:
        handles, labels = axis.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    if not shown:
        return
    width, sample = figure.get_figwidth(), 0.6
    names = [wrapped(name, width - sample) for name in shown]
    longest = max(len(line) for name in names for line in name.split("\n")) * LETTER / 72
    columns = int(np.clip(width // (longest + sample), 1, len(names)))
    lines = -(-len(names) // columns) + sum(name.count("\n") for name in names)
    figure.set_figheight(figure.get_figheight() + 0.08 + 0.18 * lines)
    figure.legend(shown.values(), names, loc="outside lower center", ncols=columns)


def spread(places: Sequence[float], gap: float) -> np.ndarray:
    """Places in [0, 1], moved as far as it takes for them to lie ``gap`` apart."""
    order, steps = np.argsort(places, kind="stable"), gap * np.arange(len(places))
    apart = np.maximum.accumulate(np.clip(places, 0, 1)[order] - steps)
    return (np.minimum(apart, 1 - steps[-1]) + steps)[np.argsort(order)]


def epsilon_axis(axis: Axes, largest: float, panels: int = 1) -> None:
    """ε in 1/255: linear up to 1, where the fine steps are, logarithmic beyond.

    ``panels`` are how many stand side by side: that is how many numbers there is room for.
    """
    largest = max(largest, 1)
    axis.set_xscale("symlog", linthresh=1, linscale=0.6)
    room = axis.figure.get_figwidth() * 96 / panels / (0.6 + np.log10(largest))  # px a decade
    ticks = [0, 1, 2, 5, 10, 20, 50, 100] if room > 90 else [0, 1, 10, 100]
    ticks = [tick for tick in ticks if tick <= largest * 1.05]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axis.set_xlim(-0.05, largest * 1.1)
    axis.set_xlabel("ε in 1/255")

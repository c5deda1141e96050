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
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDE, NARROW = 688, 342  # CSS pixels, of which an inch has 96
SMALL = 8.5  # points; 8.25 are 11 px
LETTER = 5.3  # points that a letter of the usual size is wide, in the mean and rather too many

# Okabe and Ito's colors, told apart with any color vision, and darker, so that they are legible as
# text. They are matplotlib's C0 to C5 inside ``style``, and what they say is said by ``MEANINGS``.
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


class Drawing(Figure):
    """A figure that can be drawn again for another width; ``alt_text`` is its own, if any."""

    alt_text = ""
    again: Callable[[int], "Drawing"]

    @property
    def narrow(self) -> bool:
        """Whether it is drawn for a phone."""
        return self.get_figwidth() < 5

    def savefig(self, *args, **options) -> None:
        """matplotlib's, in ``style``: how SVG writes text and images is decided only now."""
        with style():
            super().savefig(*args, **options)


def drawn(draw: Callable[..., None]) -> Callable[..., Drawing]:
    """Let ``draw(figure, …)``, which fills an empty figure, return it, and draw it again."""

    @wraps(draw)
    def begin(*args, width_px: int = WIDE, **options) -> Drawing:
        with style():
            figure = Drawing(figsize=(width_px / 96, 3), layout="constrained")
            draw(figure, *args, **options)
        figure.again = lambda width_px: begin(*args, width_px=width_px, **options)
        return figure

    shown = signature(draw)
    begin.__signature__ = shown.replace(
        parameters=list(shown.parameters.values())[1:], return_annotation=Drawing
    )
    return begin


@contextmanager
def style():
    """The look of all figures, as a context."""
    settings = {
        "axes.axisbelow": True,
        "axes.edgecolor": INK,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": INK,
        "axes.labelsize": 9.5,
        "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, PURPLE, OCHRE, GRAY]),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 9.5,
        "figure.dpi": 96,
        "figure.facecolor": "none",
        "font.sans-serif": ["DejaVu Sans", "Segoe UI", "Helvetica Neue", "Arial"],
        "font.size": 9.5,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "hatch.color": PAPER,
        "image.composite_image": False,
        "image.interpolation": "none",  # pixel-true: the file holds the image's own pixels
        "legend.fontsize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.7,
        "lines.markersize": 4.2,
        "savefig.facecolor": "none",
        "svg.fonttype": "none",  # text stays text; most fonts are narrower than the one measured
        "svg.hashsalt": "fgsm",  # the same figure is the same file
        "text.color": INK,
        "text.parse_math": False,  # a name may hold $
        "xtick.color": INK,
        "xtick.labelsize": 9,
        "ytick.color": INK,
        "ytick.labelsize": 9,
    }
    with mpl.rc_context(settings):
        yield


def darkened(svg: str) -> str:
    """A figure in SVG, in the colors for a dark page. The pixels of images stay as they are."""
    for light, dark in _DARK.items():
        svg = svg.replace(light, dark)
    return svg


# --- what a figure says ------------------------------------------------------------------------


def alt(figure: Figure) -> str:
    """The figure in words: its own ``alt_text``, or the numbers that its axes show.

    Of a line its first, lowest and last value, of bars each, of points their number and range, of
    pictures the titles.
    """
    if own := getattr(figure, "alt_text", ""):
        return own
    return " ".join(f"{text}." for axis in figure.axes if (text := _axis_text(axis)))


def number(value: float) -> str:
    """A number for reading: 0.93, 12.4, 1,840, 3e−05; a true minus sign, and never minus zero."""
    size = abs(value)
    form = ".1g" if 0 < size < 0.005 else f",.{2 if size < 10 else 1 if size < 100 else 0}f"
    return f"{value:z{form}}".replace("-", "−")


def _axis_text(axis: Axes) -> str:
    title = axis.get_title(loc="left") or axis.get_title(loc="center")
    if axis.images:
        return title.replace("\n", ", ")
    said = [_bar_text(axis, bars) for bars in axis.containers if isinstance(bars, BarContainer)]
    said += [_line_text(line) for line in axis.lines if not line.get_label().startswith("_")]
    over = f" over {axis.get_xlabel()}" if axis.get_xlabel() else ""
    return f"{title}{over}: {'; '.join(said)}".replace("\n", " ") if said else ""


def _bar_text(axis: Axes, bars: BarContainer) -> str:
    flat = bars.orientation == "horizontal"
    ticks = (axis.yaxis if flat else axis.xaxis).get_ticklabels()
    sizes = [bar.get_width() if flat else bar.get_height() for bar in bars]
    values = [f"{tick.get_text()} {number(v)}" for tick, v in zip(ticks, sizes, strict=True)]
    label = "" if bars.get_label().startswith("_") else f"{bars.get_label()}: "
    return label + ", ".join(values)


def _line_text(line: Line2D) -> str:
    points = np.array(line.get_data(), float)
    (x, y), label = points[:, np.isfinite(points).all(axis=0)], line.get_label()
    if not len(x):
        return f"{label}: no point"
    if line.get_linestyle() == "None":
        sides = (f"{number(v.min())} to {number(v.max())}" for v in (y, x))
        return f"{label}: {' over '.join(sides)}"
    if len(x) == 2 and (x[0] == x[1] or y[0] == y[1]):  # a line across the axes
        return f"{label} at {number(x[0] if x[0] == x[1] else y[0])}"
    low, last = int(y.argmin()), len(x) - 1
    places = dict.fromkeys([0, low, last])  # in order, each once
    words = {low: "lowest "} if 0 < low < last else {}
    at = [f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" for value in x]
    said = (f"{words.get(i, '')}{number(y[i])} at {at[i]}" for i in places)
    return f"{label} {', '.join(said)}"


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


def panels(figure: Drawing, count: int, across: int, height: float, **options) -> list[Axes]:
    """``count`` axes in rows of ``across``, each row ``height`` inches high."""
    down = max(1, -(-count // across))
    figure.set_figheight(down * height)
    axes = list(figure.subplots(down, across, squeeze=False, **options).flat)
    for axis in axes[count:]:
        axis.remove()
    return axes[:count]


def name_lines(figure: Drawing) -> None:
    """Say which line is which: at the lines' ends if there is one panel and they fit, or below."""
    if len(figure.axes) > 1 or not _names_at_ends(figure.axes[0]):
        legend(figure)


def legend(figure: Drawing) -> None:
    """Below the figure, what each line or bar is, in as many columns as fit."""
    shown: dict[str, Artist] = {}
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


def _names_at_ends(axis: Axes) -> bool:
    """Write the names of lines where they end, in their color; False where they do not fit."""
    figure = axis.figure
    lines = [line for line in axis.lines if not line.get_label().startswith("_")]
    place = axis.transScale + axis.transLimits  # data -> fractions of the axes
    ends = np.array([place.transform(line.get_xydata()[-1]) for line in lines])
    longest = max((len(line.get_label()) for line in lines), default=0) * LETTER / 72
    if not lines or longest > figure.get_figwidth() / 4 or ends[:, 0].min() < 0.85:
        return False
    gap = SMALL * 1.3 / 72 / (figure.get_figheight() - 0.7)
    heights = spread(ends[:, 1], gap)
    if np.abs(heights - ends[:, 1]).max() > 1.5 * gap:
        return False
    for line, height in zip(lines, heights, strict=True):
        look = {"color": line.get_color(), "fontsize": SMALL, "va": "center"}
        axis.text(1.01, height, line.get_label(), transform=axis.transAxes, **look)
    return True


def spread(places: Sequence[float], gap: float) -> np.ndarray:
    """Places in [0, 1], moved as far as it takes for them to lie ``gap`` apart."""
    order = np.argsort(places, kind="stable")
    moved = np.clip(np.asarray(places, float)[order], 0, 1)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    moved[-1:] = moved[-1:].clip(max=1)
    for i in range(len(moved) - 2, -1, -1):
        moved[i] = min(moved[i], moved[i + 1] - gap)
    return moved[np.argsort(order)]


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


def log_axes(axis: Axes, x: bool, y: bool) -> None:
    """Make axes logarithmic, with numbers for ticks: the exponents of 10³ would be too small."""

    def plain(value: float, _: int) -> str:
        return f"{value:,.0f}" if value >= 1 else f"{value:g}"

    for one, scale, wanted in ((axis.xaxis, axis.set_xscale, x), (axis.yaxis, axis.set_yscale, y)):
        if wanted:
            scale("log")
            low, high = one.get_view_interval()
            one.set_major_formatter(plain)
            one.set_minor_formatter(plain if high < 12 * low else mpl.ticker.NullFormatter())

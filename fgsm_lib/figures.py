"""The figures of the site: curves over ε, bars and points. Those with pictures are in ``gallery``.

Every function returns a matplotlib figure that ``.again(width_px)`` draws for another width. Series
come as ``{name: data frame}``, and the name decides the color: ``FGSM`` is blue, ``random signs``
green and dotted, ``published …`` gray and dashed; see ``style``. An interval is drawn where a frame
has the columns ``low`` and ``high``, or those of its value with ``_low`` and ``_high``.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter

from fgsm_lib import style
from fgsm_lib.style import Drawing, drawn
from fgsm_lib.words import brief

Frames = Mapping[str, pd.DataFrame | None]
OTHERS = ("published", "recorded")  # what the names of curves begin with that are not of this run
# An axis for values in [0, 1].
SHARES = {"ylim": (-0.03, 1.05), "yticks": [0, 0.2, 0.4, 0.6, 0.8, 1]}


# --- curves ------------------------------------------------------------------------------------


@drawn
def lines(
    figure: Drawing,
    frames: Frames,
    y: Mapping[str, str],
    *,
    x: str = "epsilon_255",
    xlabel: str = "",
    shares: bool = False,
    log: str = "",
    levels: Mapping[str, float] | None = None,
) -> None:
    """A line for each frame, in a panel for each column of ``y``, which is ``{column: label}``.

    ``x`` is a column, too; ``epsilon_255`` gets an axis of its own. ``shares``: all values lie in
    [0, 1]. ``log``: "xy", where both axes are logarithmic. ``levels`` are named horizontal lines in
    the first panel. What is None, empty, or has no number in this run, is left out.
    """
    frames = _present(frames)
    own = _own(frames)
    y = {key: text for key, text in y.items() if any(rows[key].notna().any() for rows in own)} or y
    across = 1 if figure.narrow else len(y)
    height = 3.2 if len(y) == 1 else 2.2 if figure.narrow else 2.6
    axes = style.panels(figure, len(y), across, height)
    for axis, (column, label) in zip(axes, y.items(), strict=True):
        _draw(axis, frames, x, column)
        axis.set(title=style.wrapped(label, figure.get_figwidth() / across - 0.4), xlabel=xlabel)
        _log_axes(axis, log)
        if shares:
            axis.set(**SHARES)
        if x == "epsilon_255":
            style.epsilon_axis(axis, _largest(frames), across)
    for name, value in (levels or {}).items():
        axes[0].axhline(value, label=name, color=style.GRAY, linestyle="--", linewidth=1)
    if len(axes) > 1 or not _names_at_ends(axes[0]):
        style.legend(figure)


def curves(
    frames: Frames,
    y: Mapping[str, str],
    control: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
    source: str = style.PUBLISHED,
) -> Drawing:
    """Rates and confidences over ε, ``{column of analysis.curve: label}``; a line for each frame.

    ``source`` names the curve that is not of this run: "published …" or "recorded …".
    """
    others = _present({"random signs": control, source: published})
    return lines({**frames, **others}, y, shares=True)


@drawn
def bins(
    figure: Drawing,
    curves: Frames,
    column: str,
    ylabel: str,
    control: Frames | None = None,
    published: Frames | None = None,
    source: str = style.PUBLISHED,
) -> None:
    """One quantity over ε in a panel for each confidence bin; the other bins faintly behind it.

    ``source`` names the curves that are not of this run: "published …" or "recorded …".
    """
    curves = _present(curves)
    across = 2 if figure.narrow else 3
    axes = style.panels(figure, len(curves), across, 1.5 if figure.narrow else 1.7, sharey=True)
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        for other in curves.values():
            axis.plot(other["epsilon_255"], other[column], color=style.GRID, linewidth=1, zorder=1)
        shown = {"FGSM": curve, "random signs": (control or {}).get(name)}
        shown[source] = (published or {}).get(name)
        _draw(axis, _present(shown), "epsilon_255", column, markersize=3)
        axis.set(title=f"{name} (n = {int(curve['n'].max())})", **SHARES)
        style.epsilon_axis(axis, _largest(curves), across)
    figure.supylabel(ylabel, fontsize="medium")
    style.legend(figure)


def _present(frames: Frames) -> dict[str, pd.DataFrame]:
    return {name: frame for name, frame in frames.items() if frame is not None and len(frame)}


def _own(frames: Frames) -> list[pd.DataFrame]:
    """What was measured here, if anything was: what was published may go on beyond it."""
    own = [frame for name, frame in frames.items() if not name.startswith(OTHERS)]
    return own or list(frames.values())


def _largest(frames: Frames) -> float:
    return max((frame["epsilon_255"].max() for frame in _own(frames)), default=1)


def _draw(axis: Axes, frames: Frames, x: str, column: str, **options) -> None:
    for name, look in style.looks(frames).items():
        frame, low, high = frames[name], f"{column}_low", f"{column}_high"
        if low not in frame:
            low, high = "low", "high"
        if low in frame:
            band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
            axis.fill_between(frame[x], frame[low], frame[high], **band)
        axis.plot(frame[x], frame[column], label=name, **look, **options)


def _names_at_ends(axis: Axes) -> bool:
    """Write the names of lines where they end, in their color; False where they do not fit."""
    figure = axis.figure
    lines = [line for line in axis.lines if not line.get_label().startswith("_")]
    place = axis.transScale + axis.transLimits  # data -> fractions of the axes
    ends = np.array([place.transform(line.get_xydata()[-1]) for line in lines])
    longest = max((len(line.get_label()) for line in lines), default=0) * style.LETTER / 72
    if not lines or longest > figure.get_figwidth() / 4 or ends[:, 0].min() < 0.85:
        return False
    gap = style.SMALL * 1.3 / 72 / (figure.get_figheight() - 0.7)
    heights = style.spread(ends[:, 1], gap)
    if np.abs(heights - ends[:, 1]).max() > 1.5 * gap:
        return False
    for line, height in zip(lines, heights, strict=True):
        look = {"color": line.get_color(), "fontsize": style.SMALL, "va": "center"}
        axis.text(1.01, height, line.get_label(), transform=axis.transAxes, **look)
    return True


def _log_axes(axis: Axes, which: str) -> None:
    """Make "x", "y" or both logarithmic; with plain numbers: the exponents of 10³ are too small."""

    def plain(value: float, _: int) -> str:
        return f"{value:,.0f}" if value >= 1 else f"{value:g}"

    for name in which:
        axis.set(**{f"{name}scale": "log"})
        one = getattr(axis, f"{name}axis")
        low, high = one.get_view_interval()
        one.set_major_formatter(plain)
        one.set_minor_formatter(plain if high < 12 * low else NullFormatter())


# --- bars --------------------------------------------------------------------------------------


@drawn
def bars(
    figure: Drawing,
    values: pd.DataFrame | pd.Series,
    label: str,
    low: pd.DataFrame | pd.Series | None = None,
    high: pd.DataFrame | pd.Series | None = None,
    *,
    horizontal: bool = False,
) -> None:
    """A group of bars for each row, in it one for each column; ``label`` says what is measured.

    ``low`` and ``high`` are the ends of the intervals. Rows whose names do not fit side by side go
    below each other.
    """
    values, low, high = map(pd.DataFrame, (values, low, high))  # of a series, of None
    (rows, groups), width = values.shape, figure.get_figwidth()
    names, longest = _row_names(figure, values.index)
    flat = horizontal or longest * rows > width
    figure.set_figheight(0.8 + rows * (0.16 + 0.16 * groups) if flat else 2.9)
    axis, thick = figure.subplots(), 0.8 / groups
    for group, (name, look) in enumerate(style.looks(map(str, values.columns)).items()):
        size = values.iloc[:, group].to_numpy(float)
        place = np.arange(rows) + (group - (groups - 1) / 2) * thick
        options = {"color": look["color"], "hatch": style.HATCHES[look["linestyle"]]}
        options["label"] = name if groups > 1 else ""
        if low.size:
            ends = np.array([size - low.iloc[:, group], high.iloc[:, group] - size])
            options |= {"xerr" if flat else "yerr": ends.clip(0), "error_kw": {"ecolor": style.INK}}
        made = (axis.barh if flat else axis.bar)(place, size, thick * 0.94, **options)
        if flat or rows * groups * 0.45 < width:
            axis.bar_label(made, fmt=brief, padding=2, fontsize=style.SMALL)
    axis.set_title(style.wrapped(label, width - (longest if flat else 0) - 0.2))
    (axis.set_yticks if flat else axis.set_xticks)(range(rows), names)
    axis.grid(False, axis="y" if flat else "x")
    axis.margins(**{"x" if flat else "y": 0.14})
    if flat:
        axis.invert_yaxis()
    style.legend(figure)


@drawn
def stacked(figure: Drawing, counts: pd.DataFrame, label: str) -> None:
    """What shares of each row's pictures are of which kind (columns), from their counts."""
    n = counts.sum(axis=1)
    shares = counts.div(n, axis=0)
    rows = [f"{row} (n\u00a0=\u00a0{n[row]})" for row in counts.index]
    names, longest = _row_names(figure, rows)
    figure.set_figheight(0.8 + 0.32 * len(rows))
    axis, start = figure.subplots(), np.zeros(len(rows))
    room = figure.get_figwidth() - longest - 0.4
    for kind, look in style.looks(counts.columns).items():
        size, hatch = shares[kind].to_numpy(float), style.HATCHES[look["linestyle"]]
        look = {"color": look["color"], "hatch": hatch, "label": kind, "left": start}
        made = axis.barh(range(len(rows)), size, 0.75, **look)
        texts = ["" if hatch or share * room < 0.36 else f"{share:.0%}" for share in size]
        axis.bar_label(made, texts, label_type="center", color=style.PAPER, fontsize=style.SMALL)
        start = start + size
    axis.set(title=style.wrapped(label, room), xlim=(0, 1))
    axis.set_yticks(range(len(rows)), names)
    axis.grid(False)
    axis.invert_yaxis()
    style.legend(figure)


def _row_names(figure: Drawing, rows: Iterable) -> tuple[list[str], float]:
    """The names of rows, broken to a third of the figure, and how many inches the longest takes."""
    names = [style.wrapped(str(row), max(1.5, 0.3 * figure.get_figwidth())) for row in rows]
    longest = max(len(line) for name in names for line in name.split("\n"))
    return names, longest * style.LETTER / 72


@drawn
def histogram(figure: Drawing, clean: pd.DataFrame) -> None:
    """Clean confidence in 20 bins: the pictures that are seen right, and those seen wrong."""
    figure.set_figheight(2.6)
    axis, right = figure.subplots(), clean["correct"].astype(bool)
    parts = [clean.loc[chosen, "confidence"] for chosen in (right, ~right)]
    names = [
        f"{name} (n = {len(part)})" for name, part in zip(("right", "wrong"), parts, strict=True)
    ]
    look = {"color": [style.BLUE, style.ORANGE], "label": names, "rwidth": 0.94}
    axis.hist(parts, np.linspace(0, 1, 21), stacked=True, **look)
    axis.set(title="pictures", xlabel="clean confidence", xlim=(0, 1))
    style.legend(figure)
    figure.alt_text = "Histogram of clean confidence: " + "; ".join(
        f"{name}, median {brief(part.median())}, {int((part > 0.95).sum())} of them above 0.95"
        for name, part in zip(names, parts, strict=True)
    )


# --- points and matrices -----------------------------------------------------------------------


@drawn
def points(
    figure: Drawing,
    frames: Frames,
    x: str,
    y: str,
    xlabel: str,
    ylabel: str,
    *,
    log: str = "",
) -> None:
    """A point for each row, a color for each frame. ``log``: which axes are, "x", "y" or "xy"."""
    axis = figure.subplots()
    for name, look in style.looks(frames).items():
        frame, marker = frames[name], look["marker"] or "v"
        look = {"color": look["color"], "alpha": 0.55, "markeredgewidth": 0}
        axis.plot(frame[x], frame[y], marker, label=f"{name} (n = {len(frame)})", **look)
    axis.set(title=style.wrapped(ylabel, figure.get_figwidth() - 0.5), xlabel=xlabel)
    _log_axes(axis, log)
    style.legend(figure)


@drawn
def matrix(figure: Drawing, tables: Mapping[str, pd.DataFrame]) -> None:
    """Confusion matrices of counts: rows are the true class, columns the one that was seen."""
    across = 1 if figure.narrow else len(tables)
    axes = style.panels(figure, len(tables), across, figure.get_figwidth() / across + 0.2)
    said = []
    for axis, (title, table) in zip(axes, tables.items(), strict=True):
        counts = table.to_numpy()
        shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
        for row, column in np.argwhere(counts):
            share, color = shares[row, column], style.BLUE if row == column else style.ORANGE
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=color, alpha=share))
            ink = {"color": style.PAPER if share > 0.5 else style.INK, "fontsize": style.SMALL}
            axis.text(column, row, str(counts[row, column]), ha="center", va="center", **ink)
        limits = (-0.5, len(counts) - 0.5)
        axis.set(title=title, xlim=limits, ylim=limits[::-1], aspect="equal")
        axis.set(xlabel="seen as", ylabel="true class")
        axis.set_xticks(range(len(counts)), table.columns, rotation=90)
        axis.set_yticks(range(len(counts)), table.index)
        axis.grid(False)
        said.append(f"{title}: {np.trace(counts)} of {counts.sum()} on the diagonal")
    figure.alt_text = "Confusion matrices. " + "; ".join(said) + "."

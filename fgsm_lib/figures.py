"""The figures of the site: curves over ε, bars and points; pictures and single cases beside them.

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

from fgsm_lib.gallery import case_curve, gallery, pictures, series, top5, triple
from fgsm_lib.style import (
    BLUE,
    GRAY,
    GRID,
    HATCHES,
    INK,
    LETTER,
    ORANGE,
    PAPER,
    SMALL,
    Drawing,
    alt,
    darkened,
    drawn,
    epsilon_axis,
    legend,
    log_axes,
    looks,
    name_lines,
    number,
    panels,
    style,
    wrapped,
)

__all__ = [
    "alt", "bars", "bins", "case_curve", "curves", "darkened", "gallery", "histogram", "lines",
    "matrix", "pictures", "points", "rates", "series", "stacked", "style", "top5", "triple",
]  # fmt: skip

Frames = Mapping[str, pd.DataFrame | None]
PUBLISHED = "published (GoogLeNet)"
OTHERS = ("published", "recorded")  # what the names of curves begin with that are not of this run
# An axis for values in [0, 1].
SHARES = {"ylim": (-0.03, 1.05), "yticks": [0, 0.2, 0.4, 0.6, 0.8, 1]}


# --- curves ------------------------------------------------------------------------------------


@drawn
def lines(
    figure: Drawing,
    frames: Frames,
    x: str,
    y: Mapping[str, str],
    xlabel: str = "",
    *,
    shares: bool = False,
    logx: bool = False,
    logy: bool = False,
    levels: Mapping[str, float] | None = None,
    marks: Mapping[str, float] | None = None,
) -> None:
    """A line for each frame, in a panel for each column of ``y``, which is ``{column: label}``.

    ``x`` is a column, too; ``epsilon_255`` gets an axis of its own. ``shares``: all values lie in
    [0, 1]. ``levels`` and ``marks`` are named lines: horizontal, in the first panel, and vertical.
    Frames that are None or empty are left out.
    """
    frames = _present(frames)
    across = 1 if figure.narrow else len(y)
    axes = panels(figure, len(y), across, 3.2 if len(y) == 1 else 2.2 if figure.narrow else 2.6)
    for axis, (column, label) in zip(axes, y.items(), strict=True):
        _draw(axis, frames, x, column)
        axis.set(title=wrapped(label, figure.get_figwidth() / across - 0.4))
        log_axes(axis, logx, logy)
        if shares:
            axis.set(**SHARES)
        _reference(axis, levels if axis is axes[0] else None, marks)
        if x == "epsilon_255":
            epsilon_axis(axis, _largest(frames), across)
        else:
            axis.set_xlabel(xlabel)
    name_lines(figure)


def curves(
    frames: Frames,
    column: str,
    ylabel: str,
    control: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
) -> Drawing:
    """A rate or confidence (``column`` of ``analysis.curve``) over ε, a line for each frame."""
    frames = {**frames, "random signs": control, PUBLISHED: published}
    return lines(frames, "epsilon_255", {column: ylabel}, shares=True)


def rates(
    curve: pd.DataFrame,
    control: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
    source: str = PUBLISHED,
) -> Drawing:
    """Top-1 and top-5 accuracy and mean confidence over ε, side by side, with 95% bands.

    ``source`` names the curve that is not of this run: "published …" or "recorded …".
    """
    names = {"top1": "top-1 accuracy", "top5": "top-5 accuracy", "confidence": "mean confidence"}
    shown = {column: name for column, name in names.items() if curve[column].notna().any()}
    frames = {"FGSM": curve, "random signs": control, source: published}
    return lines(frames, "epsilon_255", shown, shares=True)


@drawn
def bins(
    figure: Drawing,
    curves: Frames,
    column: str,
    ylabel: str,
    control: Frames | None = None,
    published: Frames | None = None,
    source: str = PUBLISHED,
) -> None:
    """One quantity over ε in a panel for each confidence bin; the other bins faintly behind it.

    ``source`` names the curves that are not of this run: "published …" or "recorded …".
    """
    curves = _present(curves)
    across = 2 if figure.narrow else 3
    axes = panels(figure, len(curves), across, 1.5 if figure.narrow else 1.7, sharey=True)
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        for other in curves.values():
            axis.plot(other["epsilon_255"], other[column], color=GRID, linewidth=1, zorder=1)
        shown = {"FGSM": curve, "random signs": (control or {}).get(name)}
        shown[source] = (published or {}).get(name)
        _draw(axis, _present(shown), "epsilon_255", column, markersize=3)
        axis.set(title=f"{name} (n = {int(curve['n'].max())})", **SHARES)
        epsilon_axis(axis, _largest(curves), across)
    figure.supylabel(ylabel, fontsize="medium")
    legend(figure)


def _present(frames: Frames) -> dict[str, pd.DataFrame]:
    return {name: frame for name, frame in frames.items() if frame is not None and len(frame)}


def _largest(frames: Frames) -> float:
    """The largest ε of what was measured here: what was published may go on beyond it."""
    own = [frame for name, frame in frames.items() if not name.startswith(OTHERS)]
    return max((frame["epsilon_255"].max() for frame in own), default=1)


def _draw(axis: Axes, frames: Frames, x: str, column: str, **options) -> None:
    for name, look in looks(frames).items():
        frame, low, high = frames[name], f"{column}_low", f"{column}_high"
        if low not in frame:
            low, high = "low", "high"
        if low in frame:
            band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
            axis.fill_between(frame[x], frame[low], frame[high], **band)
        axis.plot(frame[x], frame[column], label=name, **look, **options)


def _reference(
    axis: Axes, levels: Mapping[str, float] | None, marks: Mapping[str, float] | None
) -> None:
    """Named lines across the axis: ``levels`` horizontal, ``marks`` vertical."""
    look = {"color": GRAY, "linewidth": 1}
    for draw, named in ((axis.axhline, levels), (axis.axvline, marks)):
        for line, (name, value) in zip(("--", "-."), (named or {}).items(), strict=False):
            draw(value, label=name, linestyle=line, **look)


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
    levels: Mapping[str, float] | None = None,
) -> None:
    """A group of bars for each row, in it one for each column; ``label`` says what is measured.

    ``low`` and ``high`` are the ends of the intervals. Rows whose names do not fit side by side go
    below each other. ``levels`` are named lines at a value.
    """
    values, low, high = (
        table.to_frame() if isinstance(table, pd.Series) else table for table in (values, low, high)
    )
    (rows, groups), width = values.shape, figure.get_figwidth()
    names, longest = _row_names(figure, values.index)
    flat = horizontal or longest * rows > width
    figure.set_figheight(0.8 + rows * (0.16 + 0.16 * groups) if flat else 2.9)
    axis = figure.subplots()
    thick = 0.8 / groups
    for group, (name, look) in enumerate(looks(map(str, values.columns)).items()):
        size = values.iloc[:, group].to_numpy(float)
        place = np.arange(rows) + (group - (groups - 1) / 2) * thick
        options = {"color": look["color"], "hatch": HATCHES[look["linestyle"]]}
        options["label"] = name if groups > 1 else ""
        if low is not None:
            ends = np.array([size - low.iloc[:, group], high.iloc[:, group] - size])
            options |= {"xerr" if flat else "yerr": ends.clip(0), "error_kw": {"ecolor": INK}}
        made = (axis.barh if flat else axis.bar)(place, size, thick * 0.94, **options)
        if flat or rows * groups * 0.45 < width:
            axis.bar_label(made, fmt=number, padding=2, fontsize=SMALL)
    axis.set_title(wrapped(label, width - (longest if flat else 0) - 0.2))
    (axis.set_yticks if flat else axis.set_xticks)(range(rows), names)
    axis.grid(False, axis="y" if flat else "x")
    axis.margins(**{"x" if flat else "y": 0.14})
    if flat:
        axis.invert_yaxis()
    _reference(axis, None if flat else levels, levels if flat else None)
    legend(figure)


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
    for kind, look in looks(counts.columns).items():
        size, hatch = shares[kind].to_numpy(float), HATCHES[look["linestyle"]]
        look = {"color": look["color"], "hatch": hatch, "label": kind, "left": start}
        made = axis.barh(range(len(rows)), size, 0.75, **look)
        texts = ["" if hatch or share * room < 0.36 else f"{share:.0%}" for share in size]
        axis.bar_label(made, texts, label_type="center", color=PAPER, fontsize=SMALL)
        start = start + size
    axis.set(title=wrapped(label, room), xlim=(0, 1))
    axis.set_yticks(range(len(rows)), names)
    axis.grid(False)
    axis.invert_yaxis()
    legend(figure)


def _row_names(figure: Drawing, rows: Iterable) -> tuple[list[str], float]:
    """The names of rows, broken to a third of the figure, and how many inches the longest takes."""
    names = [wrapped(str(row), max(1.5, 0.3 * figure.get_figwidth())) for row in rows]
    longest = max(len(line) for name in names for line in name.split("\n"))
    return names, longest * LETTER / 72


@drawn
def histogram(figure: Drawing, clean: pd.DataFrame) -> None:
    """Clean confidence in 20 bins: the pictures that are seen right, and those seen wrong."""
    figure.set_figheight(2.6)
    axis = figure.subplots()
    right = clean["correct"].astype(bool)
    parts = {"right": clean.loc[right, "confidence"], "wrong": clean.loc[~right, "confidence"]}
    names = [f"{name} (n = {len(part)})" for name, part in parts.items()]
    edges, colors = np.linspace(0, 1, 21), [look["color"] for look in looks(parts).values()]
    axis.hist(list(parts.values()), edges, stacked=True, color=colors, label=names, rwidth=0.94)
    axis.set(title="pictures", xlabel="clean confidence", xlim=(0, 1))
    legend(figure)
    figure.alt_text = "Histogram of clean confidence: " + "; ".join(
        f"{name}, median {number(part.median())}, {int((part > 0.95).sum())} of them above 0.95"
        for name, part in zip(names, parts.values(), strict=True)
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
    logx: bool = False,
    logy: bool = False,
    line: str = "",
    marks: Mapping[str, float] | None = None,
) -> None:
    """A point for each row, a color for each frame. ``line``: "identity", "fit" or none.

    The fit is least squares over all points, in the logarithms where an axis is logarithmic.
    """
    frames = _present(frames)
    figure.set_figheight(3.0)
    axis = figure.subplots()
    for name, look in looks(frames).items():
        marker = look["marker"] or "v"
        look = {"color": look["color"], "alpha": 0.55, "markeredgewidth": 0}
        label = f"{name} (n = {len(frames[name])})"
        axis.plot(frames[name][x], frames[name][y], marker, label=label, **look)
    if line:
        _trend(axis, pd.concat(frames.values())[[x, y]].to_numpy(float), line, logx, logy)
    axis.set(title=wrapped(ylabel, figure.get_figwidth() - 0.5), xlabel=xlabel)
    log_axes(axis, logx, logy)
    _reference(axis, None, marks)
    legend(figure)


def _trend(axis: Axes, rows: np.ndarray, line: str, logx: bool, logy: bool) -> None:
    x, y = (np.log(v) if log else v for v, log in zip(rows.T, (logx, logy), strict=True))
    known = np.isfinite(x) & np.isfinite(y)
    ends = np.array([x[known].min(), x[known].max()])
    found = ends if line == "identity" else np.polyval(np.polyfit(x[known], y[known], 1), ends)
    across, up = (np.exp(v) if log else v for v, log in ((ends, logx), (found, logy)))
    axis.plot(across, up, "--", color=GRAY, linewidth=1.2, label=line)


@drawn
def matrix(figure: Drawing, tables: Mapping[str, pd.DataFrame]) -> None:
    """Confusion matrices of counts: rows are the true class, columns the one that was seen."""
    across = 1 if figure.narrow else len(tables)
    axes = panels(figure, len(tables), across, figure.get_figwidth() / across + 0.2)
    said = []
    for axis, (title, table) in zip(axes, tables.items(), strict=True):
        counts = table.to_numpy()
        shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
        for row, column in np.argwhere(counts):
            share, color = shares[row, column], BLUE if row == column else ORANGE
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=color, alpha=share))
            ink = {"color": PAPER if share > 0.5 else INK, "fontsize": SMALL}
            axis.text(column, row, str(counts[row, column]), ha="center", va="center", **ink)
        limits = (-0.5, len(counts) - 0.5)
        axis.set(title=title, xlim=limits, ylim=limits[::-1], aspect="equal")
        axis.set(xlabel="seen as", ylabel="true class")
        axis.set_xticks(range(len(counts)), table.columns, rotation=90)
        axis.set_yticks(range(len(counts)), table.index)
        axis.grid(False)
        said.append(f"{title}: {np.trace(counts)} of {counts.sum()} on the diagonal")
    figure.alt_text = "Confusion matrices. " + "; ".join(said) + "."

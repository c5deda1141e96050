"""Figures with pictures in them, and those of a single picture under attack, a ``study.Case``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from fgsm_lib import style
from fgsm_lib.perception import to_uint8
from fgsm_lib.style import Drawing, drawn

if TYPE_CHECKING:
    from fgsm_lib.study import Case


# --- pictures ----------------------------------------------------------------------------------


@drawn
def pictures(
    figure: Drawing,
    tensors: Sequence[torch.Tensor],
    titles: Sequence[str],
    alt_text: str = "",
    columns: int = 3,
    colors: Sequence[str] | None = None,
) -> None:
    """Pictures, each float (3, H, W) or (1, H, W) in [0, 1], with a title above each.

    Pictures that are to be compared stand in one row, if ``columns`` says so; on a phone there are
    three columns at most. ``colors`` are those of the titles. Without ``alt_text`` the titles are
    what the figure says.
    """
    columns = min(columns, len(tensors))
    if figure.narrow and columns > 3:
        columns = 2 if len(tensors) == 4 else 3
    rows = -(-len(tensors) // columns)
    titles = _make_room(figure, tensors, titles, rows, columns)
    axes = style.panels(figure, len(tensors), columns, figure.get_figheight() / rows)
    for axis, *picture in zip(axes, tensors, titles, colors or [None] * len(tensors), strict=True):
        _picture(axis, *picture)
    figure.alt_text = alt_text


@drawn
def triple(figure: Drawing, case: "Case", epsilon_255: float) -> None:
    """Image + ε · sign of the gradient = what comes out, as the equation has it.

    It is called adversarial only if it fools the classifier.
    """
    before, after = case.row(0), case.row(epsilon_255)
    names = [_seen(case, row) for row in (before, after)]
    fooled = before["correct"] and not after["correct"]
    result = "adversarial" if fooled else "after the step"
    titles = [f"image\n{names[0]}", "sign of the gradient"]
    titles += [f"{result}\nε = {epsilon_255:g}/255\n{names[1]}"]
    tensors = [case.image, (case.direction + 1) / 2, case.adversarial(epsilon_255)]
    colors = [_color(before), None, _color(after)]
    gap = 0.3 if figure.narrow else 0.17
    titles = _make_room(figure, tensors, titles, 1, 3 + 2 * gap)
    axes = figure.subplots(1, 5, width_ratios=[1, gap, 1, gap, 1])
    for axis, *picture in zip(axes[::2], tensors, titles, colors, strict=True):
        _picture(axis, *picture)
    for axis, symbol in zip(axes[1::2], ("+ ε ·", "="), strict=True):
        axis.axis("off")
        axis.text(0.5, 0.5, symbol, ha="center", va="center", fontsize=9 if figure.narrow else 12)
    figure.alt_text = (
        f"Three pictures. The image, seen as {names[0]}; the sign of the gradient, like colored "
        f"noise; {'the adversarial image' if fooled else 'the image after the step'} at "
        f"ε = {epsilon_255:g}/255, seen as {names[1]}."
    )


def series(case: "Case", epsilon_255: Sequence[float]) -> Drawing:
    """The image after steps of growing ε, and at last after random signs of the largest."""
    last, rows = epsilon_255[-1], [case.row(epsilon) for epsilon in epsilon_255]
    rows.append(case.control[case.control["epsilon_255"] == rows[-1]["epsilon_255"]].iloc[0])
    tensors = [*map(case.adversarial, epsilon_255), case.random(last)]
    steps = [*map(_step, epsilon_255), f"random, {last:g}/255"]
    seen = [(step, _seen(case, row)) for step, row in zip(steps, rows, strict=True)]
    said = "; ".join(f"{step}: {name}" for step, name in seen)
    text = f"The image after steps of growing ε, and after random signs. {said}."
    columns = len(rows) if len(rows) <= 5 else 3
    colors = [_color(row) for row in rows]
    return pictures(tensors, ["\n".join(title) for title in seen], text, columns, colors)


def _make_room(
    figure: Drawing,
    tensors: Sequence[torch.Tensor],
    titles: Sequence[str],
    rows: int,
    columns: float,
) -> list[str]:
    """Set the figure's height for so many pictures with titles; the titles, broken to fit."""
    cell = figure.get_figwidth() / columns
    titles = [style.wrapped(title, cell) for title in titles]
    lines = max(title.count("\n") + 1 for title in titles)
    height = max(tensor.shape[1] / tensor.shape[2] for tensor in tensors)
    figure.set_figheight(rows * ((cell - 0.08) * height + lines * style.SMALL * 1.25 / 72 + 0.12))
    figure.set_layout_engine("compressed", w_pad=0.04, wspace=0)
    return titles


def _picture(axis: Axes, tensor: torch.Tensor, title: str, color: str | None) -> None:
    pixels = to_uint8(tensor)
    axis.imshow(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    axis.axis("off")
    axis.set_title(title, loc="center", fontsize=style.SMALL, **({"color": color} if color else {}))


# --- a single picture under attack -------------------------------------------------------------


@drawn
def case_curve(figure: Drawing, case: "Case") -> None:
    """Confidence over ε: blue circles where the class is right, orange crosses where it is wrong.

    The classes stand above, where they change. Random signs are dotted, what was published dashed.
    """
    figure.set_figheight(3.5)
    axis, table, control = figure.subplots(), case.table, case.control
    _confidence(axis, table)
    axis.plot(
        control["epsilon_255"], control["confidence"], ":", color=style.GREEN, label="random signs"
    )
    if (theirs := case.published) is not None:
        look = {"color": style.GRAY, "linewidth": 1.2, "label": style.PUBLISHED}
        axis.plot(theirs["epsilon_255"], theirs["confidence"], "--", **look)
    axis.set(ylabel="confidence", ylim=(-0.03, 1.05))
    style.epsilon_axis(axis, table["epsilon_255"].max())
    _name_classes(axis, case)
    style.legend(figure)
    lowest = table.iloc[int(table["confidence"].to_numpy().argmin())]
    places = {"": table.iloc[0], "lowest ": lowest, "last ": table.iloc[-1]}
    said = [
        f"{word}{_seen(case, row)} at {row['epsilon_255']:g}/255" for word, row in places.items()
    ]
    wrong, end = (~table["correct"].astype(bool)).sum(), control.iloc[-1]
    figure.alt_text = (
        f"Confidence over ε for a picture of {case.name(case.picture.label)}: {', '.join(said)}, "
        f"and wrong at {wrong} of {len(table)} ε. "
        f"After random signs of {end['epsilon_255']:g}/255: {_seen(case, end)}."
    )


def _confidence(axis: Axes, rows: pd.DataFrame) -> None:
    x, y = rows["epsilon_255"].to_numpy(float), rows["confidence"].to_numpy(float)
    right = rows["correct"].to_numpy(bool)
    near_right = right | np.r_[right[1:], False] | np.r_[False, right[:-1]]
    axis.plot(x, np.where(near_right, y, np.nan), color=style.BLUE)
    axis.plot(x, np.where(right, np.nan, y), color=style.ORANGE)
    kinds = (("right", right, "o", style.BLUE, 4.5), ("wrong", ~right, "X", style.ORANGE, 6.3))
    for kind, chosen, marker, color, size in kinds:
        if chosen.any():  # the legend says only what occurs
            look = {"color": color, "markersize": size, "markeredgewidth": 0}
            axis.plot(x[chosen], y[chosen], marker, label=f"FGSM: class {kind}", **look)


def _name_classes(axis: Axes, case: "Case") -> None:
    """The predicted class above the plot, from where on it is predicted."""
    table, figure = case.table, axis.figure
    changes = table[table["predicted_class"] != table["predicted_class"].shift()]
    fraction = axis.transScale + axis.transLimits  # data -> fractions of the axes
    exact = [fraction.transform((epsilon, 0))[0] for epsilon in changes["epsilon_255"]]
    turn = 55 if figure.narrow else 40
    gap = 1.25 * style.SMALL / 72 / np.sin(np.radians(turn)) / (figure.get_figwidth() - 0.8)
    for (_, row), x, moved in zip(changes.iterrows(), exact, style.spread(exact, gap), strict=True):
        look = {"color": style.GRAY, "linewidth": 0.6, "alpha": 0.6, "clip_on": False}
        axis.plot((x, x, moved), (0, 1, 1.04), transform=axis.transAxes, **look)
        name, look = _short(case.name(row["predicted_class"])), {"color": _color(row)}
        look |= {"fontsize": style.SMALL, "rotation": turn, "rotation_mode": "anchor"}
        axis.text(moved, 1.05, name, transform=axis.transAxes, **look)


@drawn
def top5(figure: Drawing, case: "Case", epsilon_255: Sequence[float]) -> None:
    """The most probable classes, five where there are as many, in a panel for each ε."""
    across = 1 if figure.narrow or len(epsilon_255) == 1 else 2
    axes = style.panels(figure, len(epsilon_255), across, 1.4)
    for axis, epsilon in zip(axes, epsilon_255, strict=True):
        row = case.row(epsilon)
        classes, values = row["top_classes"], np.asarray(row["top_confidences"], float)
        colors = [style.BLUE if index == case.picture.label else style.ORANGE for index in classes]
        bars = axis.barh(range(len(classes)), values, color=colors, height=0.7)
        axis.bar_label(bars, [f"{value:.1%}" for value in values], padding=2, fontsize=style.SMALL)
        axis.set_yticks(range(len(classes)), [_short(case.name(index)) for index in classes])
        axis.set(title=f"probability, {_step(epsilon)}", xlim=(0, 1.2), xticks=[])
        axis.grid(False)
        axis.invert_yaxis()


# --- what is said of it ------------------------------------------------------------------------


def _seen(case: "Case", row: pd.Series) -> str:
    """``"espresso, 96%"``: the class that was predicted, and how confidently."""
    share = f"{row['confidence']:.0%}" if row["confidence"] < 0.995 else ">99%"
    return f"{case.name(row['predicted_class'])}, {share}"


def _step(epsilon_255: float) -> str:
    return f"ε = {epsilon_255:g}/255" if epsilon_255 else "clean image"


def _color(row: pd.Series) -> str:
    return style.BLUE if row["correct"] else style.ORANGE


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"

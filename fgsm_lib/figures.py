"""Figures of the site, in one style. Each function returns a Figure and its alt text.

The alt text is made from the data, so that a reader who hears the figure gets the same news as
one who sees it. Colors are ``C0`` to ``C5`` of ``style``, so that ``darkened`` can turn each figure
into one for a dark page.
"""

from collections.abc import Sequence
from contextlib import contextmanager

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fgsm_lib.analysis import segments
from fgsm_lib.cases import Case, short_name
from fgsm_lib.perception import to_uint8

Drawing = tuple[Figure, str]

# Okabe and Ito's colors, told apart with any color vision, as C0 to C5; then ink and grid lines.
_LIGHT = ["#0072b2", "#c44e00", "#00785a", "#a8448a", "#8a6d00", "#3a3a3a", "#222222", "#d9d9d9"]
# The same, lifted for contrast, for dark pages.
_DARK = ["#5cb3e8", "#ff9452", "#3fcfa5", "#e58cc6", "#e6c84f", "#d0d0d0", "#e6e6e6", "#4a4a4a"]
MARKERS = ["o", "s", "^", "D", "v", "P"]
WIDTH = 6.0  # inches: with 11 point type, still legible on a phone


def darkened(svg: str) -> str:
    """A figure in SVG, in the colors for a dark page. The pixels of images stay as they are."""
    for light, dark in zip(_LIGHT, _DARK, strict=True):
        svg = svg.replace(light, dark)
    return svg


@contextmanager
def style():
    """The look of all figures, as a context."""
    *palette, ink, line = _LIGHT
    settings = {
        "axes.edgecolor": ink,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": ink,
        "axes.prop_cycle": cycler(color=palette),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "none",
        "font.size": 11,
        "grid.color": line,
        "grid.linewidth": 0.7,
        "image.composite_image": False,
        "image.interpolation": "none",  # pixel-true: the file holds the image's own pixels
        "legend.frameon": False,
        "legend.fontsize": 10,
        "lines.linewidth": 1.8,
        "lines.markersize": 4.5,
        "savefig.facecolor": "none",
        "svg.hashsalt": "fgsm",  # the same figure is the same file
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
    }
    with mpl.rc_context(settings):
        yield


# --- images ------------------------------------------------------------------------------------


def images(
    tensors: Sequence[torch.Tensor], titles: Sequence[str], alt: str, columns: int = 3
) -> Drawing:
    """A grid of images, each float (3, H, W) in [0, 1], with a title above each."""
    rows = -(-len(tensors) // columns)
    height = WIDTH / columns * rows * 1.13
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, tensor, title in zip(axes.flat, tensors, titles, strict=False):
        axis.imshow(pixels(tensor))
        axis.set_title(title, fontsize=10)
    return figure, alt


def pixels(tensor: torch.Tensor) -> np.ndarray:
    """(3, H, W), or (1, H, W) for a gray image, in [0, 1] -> uint8 (H, W, 3)."""
    array = to_uint8(tensor)
    return array if array.shape[2] == 3 else array[..., 0].repeat(3).reshape(*array.shape[:2], 3)


def triple(case: Case, epsilon_255: float) -> Drawing:
    """Original, perturbation and adversarial image of one case."""
    adversarial, row, start = case.adversarial(epsilon_255), case.row(epsilon_255), case.row(0)
    names = [case.class_name(row_["predicted_class"]) for row_ in (start, row)]
    titles = [
        f"original\n{names[0]}, {start['confidence']:.1%}",
        f"sign of the gradient\n(ε = {epsilon_255:g}/255)",
        f"adversarial\n{names[1]}, {row['confidence']:.1%}",
    ]
    alt = (
        f"Three images. The original is classified as {names[0]} with {start['confidence']:.1%}; "
        f"the perturbation looks like colored noise; the adversarial image at {epsilon_255:g}/255 "
        f"is classified as {names[1]} with {row['confidence']:.1%}."
    )
    sign = (case.direction + 1) / 2
    return images([case.image, sign, adversarial], titles, alt)


def series(case: Case, epsilon_255: Sequence[float]) -> Drawing:
    """The adversarial image at growing epsilon, and random signs at the largest."""
    tensors = [case.adversarial(epsilon) for epsilon in epsilon_255]
    rows = [case.row(epsilon) for epsilon in epsilon_255]
    names = [case.class_name(row["predicted_class"]) for row in rows]
    titles = [
        f"ε = {epsilon:g}/255\n{name}, {row['confidence']:.0%}"
        for epsilon, name, row in zip(epsilon_255, names, rows, strict=True)
    ]
    last = epsilon_255[-1]
    control = case.control[case.control["epsilon_255"] == last].iloc[0]
    control_name = case.class_name(control["predicted_class"])
    titles.append(f"random, {last:g}/255\n{control_name}, {control['confidence']:.0%}")
    said = "; ".join(
        f"{epsilon:g}/255: {name} {row['confidence']:.0%}"
        for epsilon, name, row in zip(epsilon_255, names, rows, strict=True)
    )
    alt = (
        f"The image under attack at growing epsilon: {said}. With random signs at {last:g}/255 "
        f"it is {control_name} {control['confidence']:.0%}."
    )
    return images([*tensors, case.random(last)], titles, alt)


def strengths(case: Case, epsilon_255: Sequence[float]) -> Drawing:
    """The image at growing epsilon, without what the classifier says of it: to look at."""
    titles = [f"ε = {epsilon:g}/255" if epsilon else "original" for epsilon in epsilon_255]
    alt = (
        f"Sample {case.photo.sample} attacked at "
        f"{', '.join(f'{epsilon:g}' for epsilon in epsilon_255)} of 255: the larger ε is, the "
        "stronger the noise on plain areas."
    )
    return images([case.adversarial(epsilon) for epsilon in epsilon_255], titles, alt)


# --- curves over epsilon -----------------------------------------------------------------------


def epsilon_axis(axis: Axes, largest: float) -> None:
    """ε in 1/255: linear up to 1, where the fine steps are, logarithmic beyond."""
    axis.set_xscale("symlog", linthresh=1, linscale=0.6)
    ticks = [0, 1, 2, 5, 10, 20, 50, 100]
    ticks = [tick for tick in ticks if tick <= largest * 1.05]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axis.set_xlim(-0.05, largest * 1.1)
    axis.set_xlabel("ε in 1/255")


def case_curve(case: Case) -> Drawing:
    """Confidence over epsilon: filled markers where correct, and the false classes by name."""
    table = case.table
    figure, axis = plt.subplots(figsize=(WIDTH, 4.8))
    x, y, right = (table[c].to_numpy() for c in ("epsilon_255", "confidence", "correct"))
    if case.published is not None:
        axis.plot(
            case.published["epsilon_255"],
            case.published["confidence"],
            "--",
            color="C5",
            linewidth=1.2,
            alpha=0.8,
            label="published (GoogLeNet)",
        )
    axis.plot(
        case.control["epsilon_255"],
        case.control["confidence"],
        ":",
        color="C2",
        label="random signs (control)",
    )
    axis.plot(x, y, color="C0", label="FGSM: class correct")
    axis.plot(x[right], y[right], "o", color="C0")
    if not right.all():
        axis.plot(x[~right], y[~right], "X", color="C1", markersize=7, label="FGSM: class wrong")
    axis.set_ylim(-0.03, 1.05)
    axis.set_ylabel("confidence")
    epsilon_axis(axis, x.max())
    _name_changes(axis, case)
    figure.legend(loc="outside lower center", ncols=2)
    return figure, _case_curve_alt(case)


def _name_changes(axis: Axes, case: Case) -> None:
    """Name the predicted class above the plot, wherever it changes."""
    place = axis.get_xaxis_transform()  # x in epsilon, y in heights of the plot
    for run in segments(case.table):
        epsilon, name = run.first_epsilon_255, _wrapped(case.class_name(run.predicted_class))
        axis.axvline(epsilon, color="C5", linewidth=0.6, alpha=0.5)
        axis.text(
            epsilon, 1.02, name, transform=place, rotation=40, fontsize=9, rotation_mode="anchor"
        )


def _case_curve_alt(case: Case) -> str:
    start, end = case.table.iloc[0], case.table.iloc[-1]
    low = case.table.loc[case.table["confidence"].idxmin()]
    wrong = int((~case.table["correct"]).sum())
    return (
        f"Confidence over epsilon for sample {case.photo.sample}: "
        f"{case.class_name(start['predicted_class'])} {start['confidence']:.0%} falls to "
        f"{low['confidence']:.0%} at {low['epsilon_255']:g}/255 and ends at "
        f"{case.class_name(end['predicted_class'])} {end['confidence']:.0%} at "
        f"{end['epsilon_255']:g}/255; wrong at {wrong} of {len(case.table)} epsilons. With random "
        f"signs it ends at {case.control.iloc[-1]['confidence']:.0%}."
    )


def top5_bars(case: Case, epsilon_255: Sequence[float]) -> Drawing:
    """The five most probable classes, one panel per epsilon."""
    figure, axes = plt.subplots(
        len(epsilon_255), 1, figsize=(WIDTH, 1.75 * len(epsilon_255)), sharex=True, squeeze=False
    )
    said = []
    for axis, epsilon in zip(axes.flat, epsilon_255, strict=True):
        row = case.row(epsilon)
        names = [case.class_name(index) for index in row["top5_classes"]]
        colors = ["C0" if index == case.photo.label else "C1" for index in row["top5_classes"]]
        values = np.asarray(row["top5_confidences"])
        places = np.arange(len(names))
        axis.barh(places, values, color=colors, height=0.7)
        axis.set_yticks(places, names)
        axis.invert_yaxis()
        axis.grid(False)
        axis.set_xlim(0, 1.12)
        axis.set_title(f"ε = {epsilon:g}/255", loc="left")
        for place, value in zip(places, values, strict=True):
            axis.text(value + 0.01, place, f"{value:.1%}", va="center", fontsize=10)
        said.append(
            f"at {epsilon:g}/255 "
            + ", ".join(f"{n} {v:.1%}" for n, v in zip(names, values, strict=True))
        )
    axes[-1, 0].set_xlabel("probability")
    return figure, "The five most probable classes: " + "; ".join(said) + "."


def rates(
    curve: pd.DataFrame,
    control: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
    what: str = "",
) -> Drawing:
    """Top-1, top-5 and mean confidence over epsilon, with 95% bands."""
    figure, axis = plt.subplots(figsize=(WIDTH, 4.4))
    names = {"top1": "top-1 accuracy", "top5": "top-5 accuracy", "confidence": "mean confidence"}
    for place, (column, label) in enumerate(names.items()):
        color = f"C{place}"
        band(axis, curve, column, color, MARKERS[place], label)
        if control is not None:
            axis.plot(control["epsilon_255"], control[column], ":", color=color)
        if published is not None:
            axis.plot(published["epsilon_255"], published[column], "--", color=color, linewidth=1.1)
    tried = "" if control is None or control.empty else f"random signs, n = {control['n'].max()}"
    _style_keys(axis, tried, published is not None)
    axis.set_ylim(-0.03, 1.05)
    epsilon_axis(axis, curve["epsilon_255"].max())
    figure.legend(loc="outside lower center", ncols=2)
    return figure, f"{what} over epsilon. " + " ".join(
        _trend(curve, column, label) for column, label in names.items()
    )


def bins(
    curves: dict[str, pd.DataFrame],
    column: str,
    label: str,
    control: dict[str, pd.DataFrame] | None = None,
    published: dict[str, pd.DataFrame] | None = None,
) -> Drawing:
    """One quantity over epsilon: one panel per confidence bin, and one with all of them."""
    drawn = {name: curve for name, curve in curves.items() if len(curve)}
    rows = -(-(len(curves) + 1) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(WIDTH, 2.35 * rows), sharex=True, sharey=True, squeeze=False
    )
    together = axes.flat[len(curves)]
    for place, (axis, (name, curve)) in enumerate(zip(axes.flat, curves.items(), strict=False)):
        if name not in drawn:
            axis.set_title(f"{name}: no image")
            continue
        title = f"{name}, n = {int(curve['n'].iloc[0])}"
        if control and len(control[name]):
            title += f" (random {control[name]['n'].max()})"
        axis.set_title(title)
        color, marker = f"C{place % 6}", MARKERS[place % 6]
        band(axis, curve, column, color, marker)
        together.plot(curve["epsilon_255"], curve[column], marker=marker, color=color)
        for others, line in ((control, ":"), (published, "--")):
            if others and name in others:
                other = others[name]
                axis.plot(other["epsilon_255"], other[column], line, color=color, linewidth=1.5)
    together.set_title("all bins")
    for axis in axes[:, 0]:
        axis.set_ylabel(label)
    for axis in axes.flat:
        epsilon_axis(axis, max((c["epsilon_255"].max() for c in drawn.values()), default=1))
        axis.label_outer()
    together.set_ylim(-0.03, 1.05)
    _style_keys(together, "random signs (control)" if control else "", bool(published))
    figure.legend(loc="outside lower center", ncols=3)
    return figure, f"{label} over epsilon by clean confidence. " + " ".join(
        _trend(curve, column, name) for name, curve in drawn.items()
    )


def band(
    axis: Axes,
    curve: pd.DataFrame,
    column: str,
    color: str,
    marker: str,
    label: str | None = None,
    line: str = "-",
) -> None:
    """A quantity over epsilon, with its 95% interval as a band: ``column``, _low and _high."""
    x = curve["epsilon_255"]
    axis.fill_between(
        x, curve[f"{column}_low"], curve[f"{column}_high"], color=color, alpha=0.15, linewidth=0
    )
    axis.plot(x, curve[column], line, marker=marker, color=color, label=label)


def _style_keys(axis: Axes, control: str, published: bool) -> None:
    """Legend entries for the line styles that every color shares."""
    axis.plot([], [], "-", color="C5", label="FGSM")
    if control:
        axis.plot([], [], ":", color="C5", label=control)
    if published:
        axis.plot([], [], "--", color="C5", linewidth=1.2, label="published (GoogLeNet)")


def _trend(curve: pd.DataFrame, column: str, label: str) -> str:
    low = curve.loc[curve[column].idxmin()]
    first, last = curve.iloc[0], curve.iloc[-1]
    return (
        f"{label}: {first[column]:.2f} at {first['epsilon_255']:g}/255, lowest {low[column]:.2f} "
        f"at {low['epsilon_255']:g}/255, {last[column]:.2f} at {last['epsilon_255']:g}/255."
    )


# --- data and model ----------------------------------------------------------------------------


def contact_sheet(tensors: Sequence[torch.Tensor], names: Sequence[str]) -> Drawing:
    """Some images of the set with the names of their classes."""
    short = [short_name(name) for name in names]
    figure, _ = images(tensors, [_wrapped(name) for name in short], "", columns=4)
    return figure, "A sheet of images of the set: " + ", ".join(short) + "."


def _wrapped(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def class_counts(labels: Sequence[int], classes: int) -> Drawing:
    """How many classes have how many images."""
    per_class = np.bincount(labels, minlength=classes)
    values, counts = np.unique(per_class, return_counts=True)
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
    bars = axis.bar(values, counts, width=0.8)
    axis.bar_label(bars, fontsize=9)
    axis.set_xlabel("images in a class")
    axis.set_ylabel("classes")
    axis.grid(False)
    axis.set_xlim(values.min() - 2, values.max() + 2)
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    alt = (
        f"Histogram of images per class over {classes} classes: {int((per_class > 0).sum())} "
        f"classes occur, the largest has {per_class.max()} images."
    )
    return figure, alt


def confidence_histogram(clean: pd.DataFrame) -> Drawing:
    """Clean confidence in 5-point bins, correct and wrong images stacked."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    edges = np.linspace(0, 1, 21)
    right = clean.loc[clean["correct"], "confidence"]
    wrong = clean.loc[~clean["correct"], "confidence"]
    axis.hist(
        [right, wrong],
        bins=edges,
        stacked=True,
        color=["C0", "C1"],
        label=[f"correct (n = {len(right)})", f"wrong (n = {len(wrong)})"],
        hatch=["", "///"],
        edgecolor="none",
    )
    axis.set_xlabel("clean confidence")
    axis.set_ylabel("images")
    axis.set_xlim(0, 1)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    counts = np.histogram(right, edges)[0]
    alt = (
        f"Histogram of clean confidence: {len(right)} images are classified correctly, with median "
        f"confidence {right.median():.2f}, {counts[-1]} of them above 0.95; {len(wrong)} wrongly, "
        f"with median confidence {wrong.median():.2f}."
    )
    return figure, alt


def confusion(matrices: Sequence[pd.DataFrame], titles: Sequence[str]) -> Drawing:
    """Confusion matrices side by side: rows are the truth, columns what the classifier saw."""
    figure, axes = plt.subplots(1, len(matrices), figsize=(WIDTH, 3.9), squeeze=False)
    said = []
    for axis, matrix, title in zip(axes.flat, matrices, titles, strict=True):
        shares = matrix.div(matrix.sum(axis=1).clip(lower=1), axis=0)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.grid(False)
        axis.set_title(title)
        axis.set_xticks(range(len(matrix)), matrix.columns, rotation=90)
        axis.set_yticks(range(len(matrix)), matrix.index)
        for (row, column), count in np.ndenumerate(matrix.to_numpy()):
            if count:
                color = "white" if shares.iat[row, column] > 0.5 else "black"
                axis.text(column, row, count, ha="center", va="center", fontsize=8, color=color)
        right = int(np.trace(matrix.to_numpy()))
        said.append(f"{title}: {right} of {int(matrix.to_numpy().sum())} on the diagonal")
    return figure, "Confusion matrices. " + "; ".join(said) + "."


# --- method ------------------------------------------------------------------------------------


def dimension_shift(dimensions: Sequence[int], epsilon: float, seed: int = 0) -> Drawing:
    """How far one step of size epsilon moves a linear activation w·x, over the dimension of x."""
    weights = np.random.default_rng(seed).normal(size=max(dimensions))
    signs = np.random.default_rng(seed + 1).choice([-1, 1], size=max(dimensions))
    along = [epsilon * np.abs(weights[:n]).sum() for n in dimensions]
    across = [epsilon * abs(weights[:n] @ signs[:n]) for n in dimensions]
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    axis.loglog(dimensions, along, "o-", label="step along sign(w): ε‖w‖₁")
    axis.loglog(dimensions, across, "s:", label="step along random signs (control)")
    axis.set_xlabel("dimension of the input")
    axis.set_ylabel("shift of the activation")
    figure.legend(loc="outside upper center", ncols=1)
    alt = (
        f"Shift of a linear activation by a step of {epsilon * 255:g}/255 per input: along the "
        f"sign of the weights it grows from {along[0]:.2g} at dimension {dimensions[0]} to "
        f"{along[-1]:.3g} at {dimensions[-1]}; along random signs only to {across[-1]:.2g}."
    )
    return figure, alt


def linear_regime(table: pd.DataFrame) -> Drawing:
    """The fall of the true logit over small epsilon: measured, predicted, and random signs."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    axis.plot(table["epsilon_255"], table["predicted"], "--", color="C5", label="linear prediction")
    axis.plot(table["epsilon_255"], table["measured"], "o-", label="measured")
    axis.plot(table["epsilon_255"], table["random"], "s:", color="C2", label="random signs")
    axis.set_xlabel("ε in 1/255")
    axis.set_ylabel("fall of the true logit")
    figure.legend(loc="outside upper center", ncols=3)
    last = table.iloc[-1]
    alt = (
        f"Fall of the true logit up to {last['epsilon_255']:g}/255: the linear prediction reaches "
        f"{last['predicted']:.1f}, the measured value {last['measured']:.1f}, random signs "
        f"{last['random']:.2f}."
    )
    return figure, alt


def perception(table: pd.DataFrame, noticeable: float) -> Drawing:
    """Mean color difference and SSIM over epsilon, for FGSM and for random signs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.7))
    for direction, marker, line in (("FGSM", "o", "-"), ("random signs", "s", ":")):
        rows = table[table["direction"] == direction]
        left.plot(rows["epsilon_255"], rows["delta_e"], marker + line, label=direction)
        right.plot(rows["epsilon_255"], rows["ssim"], marker + line)
    left.axhline(noticeable, color="C5", linewidth=1, linestyle="--", label="just noticeable")
    left.set_ylabel("mean color difference ΔE")
    right.set_ylabel("SSIM")
    for axis in (left, right):
        epsilon_axis(axis, table["epsilon_255"].max())
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    rows = table[table["direction"] == "FGSM"]
    first, last = rows.iloc[1], rows.iloc[-1]
    control = table[table["direction"] != "FGSM"].iloc[-1]
    alt = (
        f"Two curves over epsilon: the mean color difference grows from {first['delta_e']:.2f} at "
        f"{first['epsilon_255']:g}/255 to {last['delta_e']:.1f} at {last['epsilon_255']:g}/255 "
        f"(just noticeable: {noticeable}); SSIM falls from {first['ssim']:.3f} to "
        f"{last['ssim']:.2f}. Random signs reach {control['delta_e']:.1f} and "
        f"{control['ssim']:.2f}."
    )
    return figure, alt

"""Figures of the page on Hypothesis 1, in the style of ``figures``."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from fgsm_lib.figures import MARKERS, WIDTH, Drawing, epsilon_axis
from fgsm_lib.survival import median, survival_curve


def survival(
    groups: dict[str, pd.DataFrame], control: dict[str, pd.DataFrame], largest: float
) -> Drawing:
    """Share of the images not yet fooled over epsilon, by bin: FGSM above, random signs below.

    Each group holds rows of a table of minimal epsilons. The marker of a curve is where it falls
    to one half, or at its end where it does not.
    """
    figure, axes = plt.subplots(
        2, 1, figsize=(WIDTH, 6.4), sharex=True, sharey=True, height_ratios=[1.6, 1]
    )
    titles = ["FGSM", "random signs (control)"]
    for axis, title, curves in zip(axes, titles, (groups, control), strict=True):
        for place, (name, rows) in enumerate(curves.items()):
            if len(rows):
                _step(axis, survival_curve(rows), place, f"{name} (n = {len(rows)})")
        axis.set_title(title, loc="left")
        axis.set_ylabel("share not yet fooled")
    axes[0].set_ylim(-0.03, 1.05)
    epsilon_axis(axes[1], largest)
    axes[0].label_outer()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    said = [_half_fooled(name, rows) for name, rows in groups.items() if len(rows)]
    left = [f"{name} {(~rows['fooled']).mean():.2f}" for name, rows in control.items() if len(rows)]
    return figure, (
        f"Share of images not yet fooled over epsilon, by clean confidence. {'; '.join(said)}. "
        f"Random signs leave at the end: {', '.join(left)}."
    )


def _step(axis: Axes, curve: pd.DataFrame, place: int, label: str) -> None:
    x, share, color = curve["epsilon_255"], curve["share"].to_numpy(), f"C{place % 6}"
    half = int(np.argmax(share <= 0.5)) if share[-1] <= 0.5 else len(share) - 1
    style = {"marker": MARKERS[place % 6], "markevery": [half], "markersize": 6}
    axis.step(x, share, where="post", color=color, label=label, **style)
    axis.fill_between(
        x, curve["low"], curve["high"], step="post", color=color, alpha=0.15, linewidth=0
    )


def _half_fooled(name: str, rows: pd.DataFrame) -> str:
    half = median(rows).value
    if np.isinf(half):
        return f"{name}: {(~rows['fooled']).mean():.2f} are never fooled"
    return f"{name}: half are fooled by {half:.2f}/255"


def predictors(minimal: pd.DataFrame, names: dict[str, str], concordance: pd.DataFrame) -> Drawing:
    """Minimal epsilon of each image over its rank by each predictor; triangles: never fooled."""
    figure, axes = plt.subplots(1, len(names), figsize=(WIDTH, 3.6), sharey=True, squeeze=False)
    fooled, chance = minimal["fooled"], minimal["fooled"] & minimal["random_fooled"]
    kinds = [
        (fooled & ~chance, "o", "C0", "fooled by FGSM only"),
        (chance, "s", "C1", "by random signs of that ε, too"),
        (~fooled, "^", "C2", "never fooled"),
    ]
    said = []
    for axis, (column, name) in zip(axes.flat, names.items(), strict=True):
        rank = minimal[column].rank(pct=True)
        for rows, marker, color, label in kinds:
            if rows.any():
                axis.plot(
                    rank[rows],
                    minimal.loc[rows, "epsilon_255"],
                    marker,
                    color=color,
                    alpha=0.45,
                    markersize=3,
                    markeredgewidth=0,
                    label=f"{label} ({rows.sum()})",
                )
        value = concordance.loc[column, "value"]
        found = "" if np.isnan(value) else f"\nC = {value:.3f}"
        axis.set_title(name + found, fontsize=10)
        axis.set_xlim(-0.03, 1.03)
        axis.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        said.append(name + found.replace("\n", ", "))
    axes[0, 0].set_yscale("log")
    axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes[0, 0].set_ylabel("minimal ε in 1/255")
    figure.supxlabel("rank among the images, from the lowest to the highest", fontsize=11)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, markerscale=2)
    return figure, (
        f"Three scatter plots of the minimal epsilon of {len(minimal)} images over their rank by "
        f"{'; by '.join(said)}. {int(chance.sum())} of {int(fooled.sum())} fooled images are "
        f"also fooled by random signs of the same epsilon; {int((~fooled).sum())} are never fooled."
    )

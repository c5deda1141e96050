"""Figures of the page on objectives and clips, in the style of ``figures``."""

import matplotlib.pyplot as plt
import pandas as pd

from fgsm_lib import analysis
from fgsm_lib.figures import MARKERS, WIDTH, Drawing, band, epsilon_axis
from fgsm_lib.objectives import CLIPS, FLOAT32_ROUNDING, NAMES, Variants

PUBLISHED = "published, all 1000 (GoogLeNet, true logit)"


def curves(
    variants: Variants,
    column: str,
    label: str,
    control: pd.DataFrame,
    published: pd.DataFrame | None = None,
) -> Drawing:
    """One quantity over epsilon: a color for each objective, a line style for each clip.

    ``published`` is the published curve of all images, where the photographs are the same.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 4.4))
    colors = {name: f"C{place}" for place, name in enumerate(NAMES)}
    lines = {"valid": "-", "image": "--"}
    said, largest = [], 1.0
    for place, ((objective, clip), table) in enumerate(variants.items()):
        curve = analysis.curve(table)
        x, y = curve["epsilon_255"], curve[column]
        name = f"{NAMES[objective]}, clip {CLIPS[clip]}"
        band(axis, curve, column, colors[objective], MARKERS[place], name, lines[clip])
        points = ", ".join(f"{v:.2f} at {e:g}/255" for e, v in zip(x, y, strict=True))
        said.append(f"{name}: {points}")
        largest = max(largest, x.max())
    chance = analysis.curve(control)
    chance = chance[chance["epsilon_255"] <= largest]
    if len(chance):
        band(axis, chance, column, "C2", "s", f"random signs, n = {chance['n'].max()}", ":")
    if published is not None:
        theirs = published[published["epsilon_255"] <= largest]
        axis.plot(theirs["epsilon_255"], theirs[column], "--v", color="C3", label=PUBLISHED)
        said.append(f"{PUBLISHED}: from {theirs[column].iloc[0]:.2f} to {theirs[column].min():.2f}")
    axis.set_ylim(-0.03, 1.05)
    axis.set_ylabel(label)
    epsilon_axis(axis, largest)
    figure.legend(loc="outside lower center", ncols=1)
    if len(chance):
        last = chance.iloc[-1]
        said.append(f"random signs end with {last[column]:.2f} at {last['epsilon_255']:g}/255")
    return figure, f"{label} over epsilon. " + "; ".join(said) + "."


def logit_changes(changes: pd.DataFrame) -> Drawing:
    """Mean change of the true logit and of its largest rival over epsilon, by direction."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.9), sharey=True)
    titles = {"true_change": "true logit", "rival_change": "largest rival"}
    said = []
    for place, (direction, name) in enumerate(NAMES.items()):
        rows = changes[changes["direction"] == direction]
        line = ":" if direction == "random" else "-"
        for axis, (column, title) in zip(axes, titles.items(), strict=True):
            band(axis, rows, column, f"C{place}", MARKERS[place], name, line)
            points = zip(rows["epsilon_255"], rows[column], strict=True)
            said.append(f"{name}, {title}: " + ", ".join(f"{v:+.1f} at {e:g}" for e, v in points))
    for axis, title in zip(axes, titles.values(), strict=True):
        axis.axhline(0, color="C5", linewidth=0.8)
        axis.set_title(title)
        epsilon_axis(axis, changes["epsilon_255"].max())
    axes[0].set_ylabel("mean change of the logit")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure, "Mean change of logits over epsilon in 1/255. " + "; ".join(said) + "."


def gradient_sizes(probed: pd.DataFrame) -> Drawing:
    """‖∇J‖₁ against 1 - p of the true class, both logarithmic; zeros at the lower edge."""
    figure, axis = plt.subplots(figsize=(WIDTH, 4.2))
    one = probed.drop_duplicates(["sample", "direction"])
    one = one[one["direction"] != "random"]
    positive = one.loc[one["gradient_l1"] > 0, "gradient_l1"]
    floor = positive.min() / 10 if len(positive) else 1.0
    said = []
    for place, direction in enumerate(("cross_entropy", "true_logit")):
        rows = one[one["direction"] == direction]
        doubt = rows["doubt"].clip(lower=1e-16)  # float64 knows no smaller difference to 1
        axis.plot(
            doubt,
            rows["gradient_l1"].clip(lower=floor),
            MARKERS[place],
            color=f"C{place}",
            alpha=0.8,
            label=NAMES[direction],
        )
        sizes = rows["gradient_l1"]
        said.append(f"{NAMES[direction]}: from {sizes.min():.2g} to {sizes.max():.2g}")
    axis.axvline(FLOAT32_ROUNDING, color="C5", linewidth=1, linestyle="--")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(min(doubt.min(), FLOAT32_ROUNDING) / 3, 1.5)
    axis.set_xlabel("1 − p of the true class, clean image")
    axis.set_ylabel("‖∇J‖₁")
    figure.legend(loc="outside upper center", ncols=2)
    zeros = int((one["gradient_l1"] == 0).sum())
    return figure, (
        f"Sum of the absolute gradient against one minus the confidence in the true class, for "
        f"{one['sample'].nunique()} images. {'; '.join(said)}. {zeros} gradients are zero."
    )

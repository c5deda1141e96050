"""Figures of the page about the open questions; see ``figures`` for the style and the promise."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from fgsm_lib.cases import short_name
from fgsm_lib.figures import MARKERS, WIDTH, Drawing, band, epsilon_axis, pixels
from fgsm_lib.neighbors import RANKS


def rank_bars(groups: dict[str, pd.DataFrame]) -> Drawing:
    """Clean rank of the adversarial class, one bar per group and rank, with 95% intervals."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    said = []
    drawn = {name: ranks for name, ranks in groups.items() if ranks["n"].iloc[0]}
    width = 0.8 / max(1, len(drawn))
    for place, (name, ranks) in enumerate(drawn.items()):
        x = np.arange(len(ranks)) + (place - (len(drawn) - 1) / 2) * width
        n = int(ranks["n"].iloc[0])
        axis.bar(
            x,
            ranks["share"],
            width * 0.92,
            color=f"C{place}",
            hatch=["", "///"][place % 2],
            edgecolor="white",
            linewidth=0,
            yerr=_error_bars(ranks, "share", "low", "high"),
            error_kw={"ecolor": "C5", "elinewidth": 1},
            label=f"{name} (n = {n})",
        )
        shares = ", ".join(f"{r['rank']} {r['share']:.0%}" for r in ranks.to_dict(orient="records"))
        said.append(f"{name}, {n} fooled images: {shares}")
    names = [name.replace(" the ", "\nthe ") for name in RANKS]
    axis.set_xticks(range(len(names)), names)
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("share of fooled images")
    axis.set_xlabel("rank of the adversarial class on the clean image")
    axis.grid(axis="x", visible=False)
    axis.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=2)
    return figure, "Where the adversarial class stood on the clean image. " + "; ".join(said) + "."


def _error_bars(table: pd.DataFrame, value: str, low: str, high: str) -> np.ndarray:
    """matplotlib's (2, N) distances below and above; rounding must not make one negative."""
    distances = [table[value] - table[low], table[high] - table[value]]
    return np.clip(np.asarray(distances, dtype=float), 0, None)


def class_robustness(
    robust: pd.DataFrame, names: Sequence[str], control: pd.DataFrame, rows: int = 20
) -> Drawing:
    """Accuracy of the classes with most images, with 95% intervals, the most robust above.

    ``control`` is the ``analysis.curve`` of random signs at that epsilon, over all classes.
    """
    most = robust.sort_values(["n", "label"], ascending=[False, True]).head(rows)
    most = most.sort_values(["top1", "n"])
    total = robust["correct"].sum() / robust["n"].sum()
    figure, axis = plt.subplots(figsize=(WIDTH, 0.27 * len(most) + 1.4))
    places = np.arange(len(most))
    distances = _error_bars(most, "top1", "top1_low", "top1_high")
    axis.errorbar(most["top1"], places, xerr=distances, fmt="o", color="C0", capsize=2)
    axis.axvline(
        total,
        color="C0",
        linewidth=1,
        linestyle="--",
        label=f"all classes, n = {robust['n'].sum()}",
    )
    said = ""
    for row in control.itertuples():
        label = f"random signs, all classes, n = {row.n}"
        axis.axvline(row.top1, color="C2", linewidth=1.4, linestyle=":", label=label)
        said = f", under random signs {row.top1:.2f}"
    labels = [
        f"{short_name(names[label])}, n = {n}"
        for label, n in most[["label", "n"]].itertuples(index=False)
    ]
    axis.set_yticks(places, labels, fontsize=9)
    axis.set_xlim(-0.03, 1.03)
    axis.set_xlabel("share still correct")
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=2)
    values = zip(labels[::-1], most["top1"].iloc[::-1], strict=True)
    by_class = ", ".join(f"{label} {value:.2f}" for label, value in values)
    return figure, f"Share still correct by class: {by_class}. All classes {total:.2f}{said}."


def class_counts(attacked: pd.DataFrame, control: pd.DataFrame) -> Drawing:
    """How many classes the predictions are spread over, along epsilon."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    said = []
    for place, (name, table) in enumerate({"FGSM": attacked, "random signs": control}.items()):
        line = MARKERS[place] + ["-", ":"][place]
        axis.plot(
            table["epsilon_255"], table["effective"], line, color=["C0", "C2"][place], label=name
        )
        ends = table.iloc[[0, -1]]
        said.append(
            f"{name}: from {ends['effective'].iloc[0]:.0f} to {ends['effective'].iloc[-1]:.0f}"
        )
    axis.set_ylim(0, None)
    axis.set_ylabel("effective number of classes")
    epsilon_axis(axis, attacked["epsilon_255"].max())
    figure.legend(loc="outside upper center", ncols=2)
    return figure, f"Effective number of predicted classes over epsilon. {'; '.join(said)}."


def stacked_bins(
    groups: dict[str, pd.DataFrame], kinds: Sequence[str], label: str = "clean confidence"
) -> Drawing:
    """Shares of kinds within each confidence bin, stacked, with the counts written in."""
    drawn = {name: counts for name, counts in groups.items() if counts["n"].iloc[0]}
    figure, axis = plt.subplots(figsize=(WIDTH, 0.5 * len(drawn) + 1.7))
    places = np.arange(len(drawn))
    left = np.zeros(len(drawn))
    hatches = ["", "///", "...", "xx", "\\\\"]
    for place, kind in enumerate(kinds):
        rows = [counts.set_index("kind").loc[kind] for counts in drawn.values()]
        shares = np.array([row["share"] for row in rows])
        hatch = hatches[place % len(hatches)]
        axis.barh(
            places, shares, left=left, color=f"C{place}", label=kind, hatch=hatch,
            edgecolor="white", linewidth=0,
        )  # fmt: skip
        left += shares
    n = [int(counts["n"].iloc[0]) for counts in drawn.values()]
    names = [f"{name}\nn = {count}" for name, count in zip(drawn, n, strict=True)]
    axis.set_yticks(places, names, fontsize=10)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of the images")
    axis.set_ylabel(label)
    axis.grid(False)
    figure.legend(loc="outside upper center", ncols=3)
    said = [
        f"{name}: "
        + ", ".join(f"{r['kind']} {r['count']} of {r['n']}" for r in c.to_dict(orient="records"))
        for name, c in drawn.items()
    ]
    return figure, f"Images by {label}. " + "; ".join(said) + "."


def gallery(
    examples: dict[str, int],
    table: pd.DataFrame,
    thumbnails: Sequence[torch.Tensor],
    counts: dict[str, int],
) -> Drawing:
    """One confidence curve for each kind of image, with the image itself in the panel."""
    columns = 2
    rows = -(-len(examples) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, 2.2 * rows), sharex=True, sharey=True, squeeze=False
    )
    said = []
    for axis, (kind, sample), image in zip(axes.flat, examples.items(), thumbnails, strict=False):
        curve = table[table["sample"] == sample].sort_values("epsilon_255")
        x, y, right = (curve[c].to_numpy() for c in ("epsilon_255", "confidence", "correct"))
        axis.plot(x, y, color="C0", linewidth=1.4)
        axis.plot(x[right], y[right], "o", color="C0", markersize=3)
        axis.plot(x[~right], y[~right], "X", color="C1", markersize=5)
        inset = axis.inset_axes([0.76, 0.62, 0.24, 0.38])
        inset.imshow(pixels(image))
        inset.axis("off")
        axis.set_title(f"{kind}\nsample {sample}; {counts[kind]} like it", fontsize=9, loc="left")
        axis.set_ylim(-0.03, 1.5)
        axis.set_yticks([0, 0.5, 1])
        epsilon_axis(axis, x.max())
        axis.label_outer()
        said.append(
            f"{kind}: sample {sample} starts at {y[0]:.2f}, is lowest at {y.min():.2f} and ends at "
            f"{y[-1]:.2f}, wrong at {int((~right).sum())} of {len(x)} epsilons"
        )
    for axis in axes.flat[len(examples) :]:
        axis.axis("off")
    for axis in axes[:, 0]:
        axis.set_ylabel("confidence", fontsize=10)
    axes[0, 0].plot([], [], "o", color="C0", label="class correct")
    axes[0, 0].plot([], [], "X", color="C1", label="class wrong")
    figure.legend(loc="outside lower center", ncols=2)
    return figure, "Confidence over epsilon, one example per kind. " + "; ".join(said) + "."


def measures(means: pd.DataFrame) -> Drawing:
    """L∞, L2, PSNR and SSIM over epsilon, for FGSM and random signs."""
    names = {"linf": "L∞ in 1/255", "l2": "L2", "psnr": "PSNR in dB", "ssim": "SSIM"}
    means = means[means["epsilon_255"] > 0]
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5), sharex=True)
    for axis, (column, label) in zip(axes.flat, names.items(), strict=True):
        for place, (direction, rows) in enumerate(means.groupby("direction", sort=False)):
            # No change at all has an infinite PSNR: there is no point to draw.
            values = rows[column].replace(np.inf, np.nan)
            line = MARKERS[place] + ["-", ":"][place % 2]
            axis.plot(rows["epsilon_255"], values, line, label=direction)
        axis.set_ylabel(label)
        epsilon_axis(axis, means["epsilon_255"].max())
    for axis in axes[0]:
        axis.set_xlabel("")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    last = means[means["direction"] == "FGSM"].iloc[-1]
    said = ", ".join(
        f"{label} {last[column]:.3g}" if np.isfinite(last[column]) else f"{label} infinite"
        for column, label in names.items()
    )
    return figure, (
        "Four measures of the perturbation over epsilon. For FGSM at "
        f"{last['epsilon_255']:g}/255: {said}."
    )


def lightness(curves: dict[str, pd.DataFrame], width: float, noticeable: float) -> Drawing:
    """Color difference of the same step by the lightness of the region, with 95% intervals."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    said = []
    for place, (name, curve) in enumerate(curves.items()):
        x = curve["lightness"] + width / 2 + (place - 0.5) * 1.5
        axis.errorbar(
            x,
            curve["delta_e"],
            yerr=_error_bars(curve, "delta_e", "delta_e_low", "delta_e_high"),
            fmt=MARKERS[place] + ["-", ":"][place % 2],
            capsize=3,
            label=name,
        )
        bands = ", ".join(
            f"{row.lightness:g} to {row.lightness + width:g}: {row.delta_e:.1f}"
            for row in curve.itertuples()
        )
        said.append(f"{name}: {bands}")
    axis.axhline(noticeable, color="C5", linewidth=1, linestyle="--", label="just noticeable")
    axis.set_ylim(0, None)
    axis.set_xlabel("lightness L* of the region (0 black, 100 white)")
    axis.set_ylabel("mean color difference ΔE")
    figure.legend(loc="outside upper center", ncols=3)
    return figure, "Color difference by lightness of the region. " + "; ".join(said) + "."


def rounding(rates: pd.DataFrame, control: pd.DataFrame) -> Drawing:
    """Accuracy of the exact and of the saved attack over epsilon, with 95% bands."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    band(axis, rates, "exact", "C0", "o", "exact step")
    band(axis, rates, "saved", "C1", "s", "saved in 8 bits")
    band(axis, control, "top1", "C2", "^", "random signs", ":")
    axis.axvline(0.5, color="C5", linewidth=1, linestyle="--", label="0.5/255")
    epsilon_axis(axis, rates["epsilon_255"].max())
    axis.set_ylim(-0.03, 1.05)
    axis.set_ylabel("top-1 accuracy")
    figure.legend(loc="outside upper center", ncols=2)
    said = "; ".join(
        f"{r['epsilon_255']:g}/255 exact {r['exact']:.2f}, saved {r['saved']:.2f}"
        for r in rates.to_dict(orient="records")
    )
    return figure, (
        f"Accuracy with and without saving in 8 bits. {said}. Random signs leave at least "
        f"{control['top1'].min():.2f}."
    )


def against_chance(curve: pd.DataFrame, control: pd.DataFrame) -> Drawing:
    """Top-1 accuracy over epsilon: FGSM against random signs, with 95% bands."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    band(axis, curve, "top1", "C0", "o", "FGSM")
    band(axis, control, "top1", "C2", "s", "random signs", ":")
    axis.set_ylim(-0.03, 1.05)
    axis.set_ylabel("top-1 accuracy")
    epsilon_axis(axis, max(curve["epsilon_255"].max(), control["epsilon_255"].max()))
    figure.legend(loc="outside upper center", ncols=2)
    said = [
        name + ": " + ", ".join(f"{r.epsilon_255:g}/255 {r.top1:.2f}" for r in rows.itertuples())
        for name, rows in (("FGSM", curve), ("random signs", control))
    ]
    return figure, "Top-1 accuracy over epsilon. " + "; ".join(said) + "."

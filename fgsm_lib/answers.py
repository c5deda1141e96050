"""The open questions of the original, answered in sentences whose numbers come from a run.

Each function takes results of ``neighbors``, ``shapes``, ``visibility`` or ``analysis`` and says
what they show, or that they show nothing.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fgsm_lib import analysis
from fgsm_lib.cases import short_name
from fgsm_lib.markdown import escape
from fgsm_lib.neighbors import OUTSIDE, Similarity

NOBODY_FOOLED = "No initially correct image is fooled at any ε, so there is nothing to look at."


def share(count: int, n: int) -> str:
    """``"12 of 40 (30 %, 95 % interval 18–45 %)"``; for no images, ``"0 of 0"``."""
    value, low, high = analysis.rate(count, n)
    if n == 0:
        return "0 of 0"
    digits = 0 if n < 200 else 1
    interval = f"{low * 100:.{digits}f}–{high:.{digits}%}"
    return f"{count} of {n} ({value:.{digits}%}, 95 % interval {interval})"


def ranks(counts: pd.DataFrame, control: pd.DataFrame, classes: int) -> str:
    """Where fooled images go, against a class drawn blindly and against random signs."""
    n = int(counts["n"].iloc[0])
    if n == 0:
        return NOBODY_FOOLED
    by_rank = counts.set_index("rank")["count"]
    near = n - int(by_rank[OUTSIDE])
    text = (
        f"Of {n} fooled images, {share(int(by_rank['rank 2']), n)} are seen as the class that came "
        f"second on the clean image, and {share(near, n)} as one of its ranks 2 to 5."
    )
    if classes > 1:
        text += (
            f" A wrong class drawn blindly would be second in {1 / (classes - 1):.1%} and among "
            f"ranks 2 to 5 in {min(1, 4 / (classes - 1)):.1%} of the cases."
        )
    chance = int(control["n"].iloc[0])
    if chance == 0:
        return text + " Random signs fool none of the images at any ε of the control."
    second = int(control.set_index("rank")["count"]["rank 2"])
    return f"{text} Where random signs fool, the second class gets {share(second, chance)}."


def similarity(result: Similarity | None) -> str:
    """Are the two classes' weight vectors more alike than chance has it?"""
    if result is None:
        return (
            "This network has no last layer with one weight vector per class (a linear layer or a "
            "1×1 convolution), so there is no such similarity to measure."
        )
    if result.n == 0:
        return NOBODY_FOOLED
    if np.isnan(result.low):
        return (
            f"For the one fooled image the cosine is {result.cosine:.2f}, and "
            f"{result.chance:.2f} on average over all other classes: too little to say more."
            if result.n == 1
            else "The weight vectors have no direction to compare."
        )
    verdict = "no more alike than chance" if result.low <= 0 else "more alike than chance"
    if result.high < 0:
        verdict = "less alike than chance"
    return (
        f"The weight vectors of true and adversarial class are **{verdict}**: over {result.n} "
        f"fooled images their mean cosine is {result.cosine:.2f}, where the true class's mean "
        f"cosine with all other classes is {result.chance:.2f}. The difference is "
        f"{result.difference:.2f} (95 % interval {result.low:.2f} to {result.high:.2f}). In "
        f"{share(result.closer, result.n)} the adversarial class is closer than the median class."
    )


def transition_table(pairs: pd.DataFrame, names: Sequence[str], rows: int = 10) -> pd.DataFrame:
    """The most frequent transitions, for reading."""
    return pd.DataFrame(
        {
            "from": [short_name(names[label]) for label in pairs["label"][:rows]],
            "to": [short_name(names[there]) for there in pairs["adversarial_class"][:rows]],
            "images": pairs["count"][:rows],
            "of the fooled in that class": pairs["of_class"][:rows],
        }
    )


def transitions(pairs: pd.DataFrame) -> str:
    """Whether the most frequent transition is more than a single image."""
    if pairs.empty:
        return NOBODY_FOOLED
    often = int(pairs["count"].iloc[0])
    total, repeated = int(pairs["count"].sum()), int((pairs["count"] > 1).sum())
    text = f"The {total} fooled images make {len(pairs)} different transitions"
    if often == 1:
        return f"{text}, each of them once: with so few images per class no route stands out."
    times = "transition occurs" if repeated == 1 else "transitions occur"
    return f"{text}; {repeated} {times} more than once, the most frequent {often} times."


def robustness(table: pd.DataFrame, epsilon_255: float, names: Sequence[str]) -> str:
    """Whether classes differ in robustness by more than their few images allow by chance."""
    if table.empty:
        return "No image is initially correct, so no class has a robustness."
    n = table["n"]
    text = (
        f"{len(table)} classes have initially correct images, between {n.min()} and {n.max()} each "
        f"(median {n.median():g})."
    )
    first, last = table.iloc[0], table.iloc[-1]
    if first["top1_low"] > last["top1_high"]:
        best, worst = (escape(short_name(names[int(row["label"])])) for row in (first, last))
        return (
            f"{text} At ε = {epsilon_255:g}/255 the extremes are apart: *{best}* keeps "
            f"{share(int(first['correct']), int(first['n']))} correct, *{worst}* "
            f"{share(int(last['correct']), int(last['n']))}. They are the extremes of "
            f"{len(table)} classes, which by chance alone lie apart as well: an ordering of the "
            "classes does not follow."
        )
    return (
        f"{text} At ε = {epsilon_255:g}/255 even the intervals of the most and the least robust "
        "class overlap: these images are too few to tell classes apart."
    )


def robustness_table(table: pd.DataFrame, names: Sequence[str], rows: int = 8) -> pd.DataFrame:
    """The classes with most images, for reading: how many, and the accuracy with its interval."""
    most = table.sort_values(["n", "label"], ascending=[False, True]).head(rows)
    return pd.DataFrame(
        {
            "class": [short_name(names[label]) for label in most["label"]],
            "initially correct": most["n"],
            "still correct": most["correct"],
            "accuracy (95 % interval)": [analysis.rate_text(row) for _, row in most.iterrows()],
        }
    )


def spread(attacked: pd.DataFrame, control: pd.DataFrame, names: Sequence[str]) -> str:
    """How many classes the predictions use at the first and the last shared epsilon."""
    start = attacked.iloc[0]
    text = (
        f"The predictions on the clean images use {int(start['classes'])} classes, as evenly as "
        f"{start['effective']:.0f} equally frequent ones would."
    )
    shared = sorted(set(attacked["epsilon_255"]) & set(control["epsilon_255"]))
    if not shared:
        return text
    end = shared[-1]
    for name, table in (("FGSM", attacked), ("random signs", control)):
        row = table[table["epsilon_255"] == end].iloc[0]
        text += (
            f" At {end:g}/255, under {name}, it is {int(row['classes'])} classes, as evenly as "
            f"{row['effective']:.0f}; the most frequent, "
            f"*{escape(short_name(names[int(row['top_class'])]))}*, gets "
            f"{share(int(row['top_count']), int(row['n']))}."
        )
    return text


def kinds(counts: pd.DataFrame, control: pd.DataFrame | None = None) -> str:
    """How many images are of which kind, with intervals."""
    n = int(counts["n"].iloc[0])
    if n == 0:
        return "No image is initially correct, so there is nothing to sort."
    images = "one initially correct image" if n == 1 else f"{n} initially correct images"
    parts = [f"**{row['kind']}**: {share(row['count'], n)}" for _, row in counts.iterrows()]
    text = f"Of {images}: " + "; ".join(parts) + "."
    if control is None:
        return text
    return (
        text + " Under random signs (at fewer ε): "
        + "; ".join(f"{row['kind']}: {share(row['count'], n)}" for _, row in control.iterrows())
        + "."
    )  # fmt: skip


def by_lightness(curve: pd.DataFrame, width: float, epsilon_255: float) -> str:
    """Is the same noise more visible in dark or in light regions?"""
    if len(curve) < 2:
        return "The images have regions of one lightness only: nothing to compare."
    dark, light = curve.iloc[0], curve.iloc[-1]
    bands = [f"L* {r['lightness']:g}–{r['lightness'] + width:g}" for r in (dark, light)]
    text = (
        f"At ε = {epsilon_255:g}/255 the mean color difference is {dark['delta_e']:.1f} in the "
        f"darkest regions ({bands[0]}, {dark['images']:.0f} images have such) and "
        f"{light['delta_e']:.1f} in the lightest ({bands[1]}, {light['images']:.0f} images)"
    )
    if dark["delta_e_low"] > light["delta_e_high"]:
        return text + ": by this measure the same step is **more visible in dark regions**."
    if light["delta_e_low"] > dark["delta_e_high"]:
        return text + ": by this measure the same step is **more visible in light regions**."
    return text + "; their 95 % intervals overlap: undecided in this run."


def seen(means: pd.DataFrame, noticeable: float) -> str:
    """The first epsilon whose mean color difference is noticeable, and its other measures."""
    attacked = means[means["direction"] == "FGSM"]
    reached = attacked[attacked["delta_e"] >= noticeable]
    if reached.empty:
        return (
            f"At no ε up to {attacked['epsilon_255'].max():g}/255 does the mean color difference "
            f"reach {noticeable}."
        )
    row = reached.iloc[0]
    return (
        f"The mean color difference first reaches the just noticeable {noticeable} at "
        f"ε = {row['epsilon_255']:g}/255 of this grid. There L2 is {row['l2']:.1f}, PSNR "
        f"{row['psnr']:.1f} dB and SSIM {row['ssim']:.3f}, on average over these images."
    )


def rounding(curve: pd.DataFrame) -> str:
    """Below which epsilon the attack does not survive being saved in 8 bits."""
    attacks = curve[curve["epsilon_255"] > 0]
    dead, alive = attacks[attacks["moved"] == 0], attacks[attacks["moved"] > 0]
    text = f"Over {int(curve['n'].iloc[0])} initially correct images: "
    if len(dead):
        text += (
            f"up to ε = {dead['epsilon_255'].max():g}/255 not one value moves, and the attack does "
            "**not survive** being saved, however well the exact step did (its accuracy is "
            f"{dead['exact'].iloc[-1]:.2f} there). "
        )
    if len(alive):
        row = alive.iloc[0]
        text += (
            f"At {row['epsilon_255']:g}/255 the rounded step moves {row['moved']:.0%} of the "
            f"values, and accuracy is {row['rounded']:.2f} after rounding, {row['exact']:.2f} "
            "before."
        )
    return text.strip()


def against_chance(curve: pd.DataFrame, control: pd.DataFrame) -> str:
    """How large random signs have to be to do what FGSM does at its smallest epsilons."""
    clean = float(curve.loc[curve["epsilon_255"] == 0, "top1"].iloc[0])
    if clean == 0:
        return "No image is classified correctly to begin with, so there is nothing to lose."
    half = clean / 2
    text = f"Top-1 accuracy over all {int(curve['n'].iloc[0])} images starts at {clean:.3f}. "
    halved = {
        name: rows.loc[rows["top1"] <= half, "epsilon_255"]
        for name, rows in (("FGSM", curve), ("random signs", control))
    }
    parts = [
        f"{name} halve it first at {e.min():g}/255" if len(e) else f"{name} never halve it"
        for name, e in halved.items()
    ]
    parts[0] = parts[0].replace("halve it", "halves it")
    text += f"{parts[0]}; {parts[1]} (on a coarser grid)"
    if all(len(epsilons) for epsilons in halved.values()):
        ratio = halved["random signs"].min() / halved["FGSM"].min()
        text += f", {ratio:.0f} times as large a step"
    return text + "."

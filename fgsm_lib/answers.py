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
    """``"12 of 40 (30%, 95% interval 18–45%)"``; for no images, ``"0 of 0"``."""
    value, low, high = analysis.rate(count, n)
    if n == 0:
        return "0 of 0"
    digits = 0 if n < 200 else 1
    interval = f"{low * 100:.{digits}f}–{high:.{digits}%}"
    return f"{count} of {n} ({value:.{digits}%}, 95% interval {interval})"


def ranks(counts: pd.DataFrame, control: pd.DataFrame, classes: int) -> str:
    """Where fooled images go, against a class drawn blindly and against random signs."""
    n = int(counts["n"].iloc[0])
    if n == 0:
        return NOBODY_FOOLED
    by_rank = counts.set_index("rank")["count"]
    near = n - int(by_rank[OUTSIDE])
    text = (
        f"Of the fooled images, {share(int(by_rank['rank 2']), n)} are seen as the class that came "
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
        f"{result.difference:.2f} (95% interval {result.low:.2f} to {result.high:.2f}). In "
        f"{share(result.closer, result.n)} the adversarial class is closer than the median class."
    )


def transition_table(pairs: pd.DataFrame, names: Sequence[str], rows: int = 10) -> pd.DataFrame:
    """The most frequent transitions, for reading."""
    return pd.DataFrame(
        {
            "from": [short_name(names[label]) for label in pairs["label"][:rows]],
            "to": [short_name(names[there]) for there in pairs["adversarial_class"][:rows]],
            "fooled": pairs["of_class"][:rows],
            "go there": [
                analysis.count_text(count, of_class)
                for count, of_class in pairs[["count", "of_class"]][:rows].itertuples(index=False)
            ],
        }
    )


def transitions(pairs: pd.DataFrame) -> str:
    """Whether the most frequent transition is more than a single image."""
    if pairs.empty:
        return NOBODY_FOOLED
    often = int(pairs["count"].iloc[0])
    if len(pairs) == 1:
        return f"All fooled images ({often}) take the same way."
    total, repeated = int(pairs["count"].sum()), int((pairs["count"] > 1).sum())
    text = f"The {total} fooled images make {len(pairs)} different transitions"
    if often == 1:
        return f"{text}, each of them once: with so few images per class no route stands out."
    times = "transition occurs" if repeated == 1 else "transitions occur"
    return f"{text}; {repeated} {times} more than once, the most frequent {often} times."


def robustness(table: pd.DataFrame, epsilon_255: float, p: float, names: Sequence[str]) -> str:
    """Whether classes differ in robustness by more than their few images allow by chance.

    ``p`` is that of ``neighbors.class_test``; NaN where it has nothing to test.
    """
    if table.empty:
        return "No image is initially correct, so no class has a robustness."
    n = table["n"]
    text = (
        f"{len(table)} classes have initially correct images, between {n.min()} and {n.max()} each "
        f"(median {n.median():g}). At ε = {epsilon_255:g}/255, "
        f"{share(int(table['correct'].sum()), int(n.sum()))} of all are still correct."
    )
    if np.isnan(p):
        return f"{text} One class, or one outcome for all images: nothing to tell classes apart by."
    best, worst = (
        f"*{escape(short_name(names[int(row['label'])]))}* "
        f"{analysis.count_text(int(row['correct']), int(row['n']))}"
        for _, row in table.iloc[[0, -1]].iterrows()
    )
    verdict = (
        "classes **differ** in robustness by more than chance"
        if p < 0.05
        else "chance alone would let the classes differ as much"
    )
    return (
        f"{text} A permutation test over all classes says: {verdict} (p = {p:.2g}). The extremes "
        f"are {best} and {worst}; being the extremes of {len(table)}, they overstate."
    )


def spread(attacked: pd.DataFrame, control: pd.DataFrame, names: Sequence[str]) -> str:
    """How many classes the predictions use before and after; both tables of the same images."""
    start = attacked.iloc[0]
    text = (
        f"Before the attack, the predictions for these {int(start['n'])} images use "
        f"{int(start['classes'])} classes, effectively {start['effective']:.0f}."
    )
    for name, table in (("FGSM", attacked), ("random signs", control)):
        row = table.iloc[-1]
        text += (
            f" At {row['epsilon_255']:g}/255, under {name}, they use {int(row['classes'])}, "
            f"effectively {row['effective']:.0f}; the most frequent, "
            f"*{escape(short_name(names[int(row['top_class'])]))}*, gets "
            f"{share(int(row['top_count']), int(row['n']))}."
        )
    return text


def kinds(column: str, counts: pd.DataFrame, control: pd.DataFrame) -> str:
    """Of which kind most images are, with its share; then the same of the control."""
    if counts["n"].iloc[0] == 0:
        return "No image is initially correct, so there is nothing to sort."
    text = f"The most frequent {column} is **{_most_frequent(counts)}."
    if control["n"].iloc[0] == 0:
        return text
    return f"{text} Under random signs it is **{_most_frequent(control)}."


def _most_frequent(counts: pd.DataFrame) -> str:
    row = counts.loc[counts["count"].idxmax()]
    return f"{row['kind']}**: {share(int(row['count']), int(row['n']))}"


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
    if np.isnan(dark["delta_e_low"] + light["delta_e_low"]):
        return text + ": too few images for an interval."
    return text + "; their 95% intervals overlap: undecided in this run."


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


def rounding(rates: pd.DataFrame) -> str:
    """Below which epsilon the attack does not survive being saved in 8 bits, and how it does."""
    attacks = rates[rates["epsilon_255"] > 0]
    if attacks.empty:
        return "The grid has no ε up to 2/255, so rounding changes nothing."
    n = int(attacks["n"].iloc[0])
    text = (
        "Over one initially correct image: " if n == 1 else f"Over {n} initially correct images: "
    )
    dead = attacks[attacks["unmoved"] == n]
    alive = attacks[(attacks["unmoved"] < n) & (attacks["fooled"] > 0)]
    if len(dead):
        last = dead.iloc[-1]
        text += (
            f"up to ε = {last['epsilon_255']:g}/255 every saved image is seen exactly as the clean "
            "one, so the attack does **not survive** being saved. (The exact step of "
            f"{last['epsilon_255']:g}/255 fools {int(last['fooled'])} of {n}.) "
        )
    if alive.empty:
        return text + "No larger step up to 2/255 fools any, so there is no attack to survive."
    said = [
        f"of the images that the exact step of {row['epsilon_255']:g}/255 fools, "
        f"{share(int(row['still']), int(row['fooled']))} are fooled after saving, too"
        for _, row in alive.iloc[sorted({0, len(alive) - 1})].iterrows()
    ]
    return text + f"Larger steps are not rounded away: {'; '.join(said)}."


def rounding_table(rates: pd.DataFrame) -> pd.DataFrame:
    """``visibility.rounding_rates`` for reading."""
    return pd.DataFrame(
        {
            "ε": [f"{epsilon:g}/255" for epsilon in rates["epsilon_255"]],
            "exact": [analysis.rate_text(row, "exact") for _, row in rates.iterrows()],
            "saved": [analysis.rate_text(row, "saved") for _, row in rates.iterrows()],
            "fooled": rates["fooled"],
            "still fooled": [
                analysis.count_text(still, fooled) if fooled else "–"
                for still, fooled in zip(rates["still"], rates["fooled"], strict=True)
            ],
            "as clean": rates["unmoved"],
        }
    )


def against_chance(curve: pd.DataFrame, control: pd.DataFrame) -> str:
    """How large random signs have to be to do what FGSM does; both curves of the same images."""
    clean = float(curve.loc[curve["epsilon_255"] == 0, "top1"].iloc[0])
    if clean == 0:
        return "No image is classified correctly to begin with, so there is nothing to lose."
    half = clean / 2
    text = f"Top-1 accuracy over these {int(curve['n'].iloc[0])} images starts at {clean:.3f}. "
    halved = {
        name: rows.loc[rows["top1"] <= half, "epsilon_255"]
        for name, rows in (("FGSM", curve), ("random signs", control))
    }
    parts = [
        f"{name} halve it first at {e.min():g}/255" if len(e) else f"{name} never halve it"
        for name, e in halved.items()
    ]
    parts[0] = parts[0].replace("halve it", "halves it")
    text += f"{parts[0]}; {parts[1]}"
    if all(len(epsilons) for epsilons in halved.values()):
        ratio = halved["random signs"].min() / halved["FGSM"].min()
        text += f", {ratio:.0f} times as large a step"
    return text + "."

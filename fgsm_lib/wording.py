"""Readings in words, composed from results: what a figure shows, said by the run itself."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fgsm_lib import analysis, published
from fgsm_lib.cases import Case
from fgsm_lib.datasets import Photo
from fgsm_lib.markdown import escape

SHAPES = {
    "rising": "rises",
    "flat": "stays nearly flat",
    "U": "is U-shaped: it falls and regains at least half of the fall",
    "L with a rise": "is L-shaped with a slight rise: it falls and regains part of the fall",
    "L": "is L-shaped: it falls and stays low",
}


def case_reading(case: Case) -> str:
    """Where the class changes, to what, whether it comes back, and the shape of the curve."""
    return " ".join([_changes(case), _confidence(case), _control(case)])


def case_start(case: Case) -> str:
    """What the classifier sees in the clean image."""
    start = case.row(0)
    truth = escape(case.class_name(case.photo.label))
    if start["correct"]:
        return (
            f"The clean image is classified correctly as *{truth}* with {start['confidence']:.2%}."
        )
    seen = escape(case.class_name(start["predicted_class"]))
    return (
        f"The clean image is classified **wrongly** from the start: as *{seen}* with "
        f"{start['confidence']:.2%}, where its label is *{truth}*."
    )


def _changes(case: Case) -> str:
    runs = analysis.segments(case.table)
    largest = f"{case.table['epsilon_255'].max():g}/255"
    if len(runs) == 1:
        return f"The predicted class never changes, up to ε = {largest}."
    steps = [
        f"*{escape(case.class_name(run.predicted_class))}*"
        f"{' (correct)' if run.correct else ''} at {_span(run)}"
        for run in runs[1:]
    ]
    text = f"It changes first at ε = {runs[1].first_epsilon_255:g}/255. In order: "
    text += ", then ".join(steps) + "."
    if not runs[0].correct:
        return text
    returns = [run for run in runs[1:] if run.correct]
    if not returns:
        return text + " The correct class does not come back."
    if runs[-1].correct:
        return text + " The correct class comes back and stays to the end of the grid."
    return text + " The correct class comes back, but not for good."


def _span(run: analysis.Segment) -> str:
    if run.first_epsilon_255 == run.last_epsilon_255:
        return f"{run.first_epsilon_255:g}/255"
    return f"{run.first_epsilon_255:g}–{run.last_epsilon_255:g}/255"


def _confidence(case: Case) -> str:
    low = case.table.loc[case.table["confidence"].idxmin()]
    end = case.table.iloc[-1]
    shape = SHAPES[analysis.curve_shape(case.table["confidence"])]
    return (
        f"Confidence is lowest at ε = {low['epsilon_255']:g}/255 with {low['confidence']:.1%} and "
        f"ends at {end['confidence']:.1%}; the curve {shape}."
    )


def _control(case: Case) -> str:
    wrong = case.control["predicted_class"] != case.row(0)["predicted_class"]
    end = case.control.iloc[-1]
    where = f"at ε = {end['epsilon_255']:g}/255 its confidence is {end['confidence']:.1%}"
    if not wrong.any():
        return f"Random signs of the same size never change the class; {where}."
    first = case.control.loc[wrong, "epsilon_255"].min()
    return f"Random signs of the same size change the class first at {first:g}/255; {where}."


def published_reading(case: Case) -> str:
    """The published curve of the same photograph in one sentence, next to this run's."""
    if case.published is None:
        return "The original page has no curve of this image."
    ours = case.table.set_index("epsilon_255")["confidence"]
    theirs = case.published.set_index("epsilon_255")["confidence"]
    shared = ours.index.intersection(theirs.index)
    gap = float(np.abs(ours[shared] - theirs[shared]).mean())
    wrong = case.published.loc[case.published["correct"] == 0, "epsilon_255"]
    fooled = (
        f"it is fooled at {len(wrong)} of {len(case.published)} values, first at "
        f"{wrong.min():g}/255"
        if len(wrong)
        else "it is never fooled"
    )
    return (
        f"In the published run ({published.SOURCE}) the same photograph "
        f"starts at {theirs.iloc[0]:.2%}, its lowest confidence is {theirs.min():.1%} at "
        f"{theirs.idxmin():g}/255, and {fooled}. On average over ε the two confidences are "
        f"{gap:.2f} apart."
    )


def published_missing(photos: Sequence[Photo]) -> str:
    """Why a run on the original's photographs has nothing published beside it; empty if it has."""
    gone = published.missing()
    if not (gone and published.covers_all(photos)):
        return ""
    return (
        f"Published numbers are missing ({', '.join(gone)}), so this page compares nothing with "
        "the published run."
    )


def telling_epsilon(case: Case) -> float:
    """The epsilon whose top-5 tells most: the first that changes the class, else the lowest."""
    runs = analysis.segments(case.table)
    if len(runs) > 1:
        return runs[1].first_epsilon_255
    attacked = case.table[case.table["epsilon_255"] > 0]
    return float(attacked.loc[attacked["confidence"].idxmin(), "epsilon_255"])


def telling_reason(case: Case) -> str:
    """Why ``telling_epsilon`` is the one to look at."""
    if len(analysis.segments(case.table)) > 1:
        return "where the class first changes"
    return "where confidence is lowest (the class never changes)"


def bounce_back_sentence(table: pd.DataFrame) -> str:
    """How often a larger step undoes what a smaller one did."""
    images, fooled, again = analysis.bounce_backs(table)
    if not fooled:
        return f"None of the {images} initially correct images was fooled at any ε."
    return (
        f"Of {fooled} fooled images, {again} ({again / fooled:.0%}) are classified correctly again "
        "at a larger ε."
    )


def control_sentence(curve: pd.DataFrame, control: pd.DataFrame, epsilon_255: float) -> str:
    """Whether it is the direction of the step that fools, or its size alone.

    Both curves are those of the same images.
    """
    start, attacked = (_top1(curve, epsilon) for epsilon in (0, epsilon_255))
    by_chance = _top1(control, epsilon_255)
    text = (
        f"On {int(curve['n'].iloc[0])} images, random signs of {epsilon_255:g}/255 leave "
        f"{by_chance:.1%} where FGSM leaves {attacked:.1%} correct"
    )
    if start - by_chance < 0.5 * (start - attacked):
        return f"{text}: what counts is the direction, not the size."
    return f"{text}: at this ε the size alone does at least half of it."


def _top1(curve: pd.DataFrame, epsilon_255: float) -> float:
    return float(curve.loc[curve["epsilon_255"] == epsilon_255, "top1"].iloc[0])


def confident_reading(curve: pd.DataFrame) -> str:
    """What the curves of the most confident images do, point by point of the original's claims."""
    if curve.empty:
        return "In this run no initially correct image has a clean confidence above 99%."
    n = int(curve["n"].iloc[0])
    start, end = curve.iloc[0], curve.iloc[-1]
    low = curve.loc[curve["confidence"].idxmin()]
    shape = SHAPES[analysis.curve_shape(curve["confidence"])]
    images = "this one image" if n == 1 else f"these {n} images"
    between = ""
    if start["epsilon_255"] < low["epsilon_255"] < end["epsilon_255"]:
        between = f", is lowest at ε = {low['epsilon_255']:g}/255 with {low['confidence']:.2f},"
    return (
        f"Over {images}, mean confidence starts at {start['confidence']:.3f}{between} and ends at "
        f"{end['confidence']:.2f} at {end['epsilon_255']:g}/255: the curve {shape}. Top-1 accuracy "
        f"falls to {curve['top1'].min():.2f}, top-5 to {curve['top5'].min():.2f}. {_rise(curve)}"
    )


def _rise(curve: pd.DataFrame) -> str:
    """The largest step by which accuracy grows with epsilon, if it ever does."""
    rises = np.diff(curve["top1"], prepend=np.inf)
    steepest = int(np.argmax(np.where(np.isfinite(rises), rises, -1)))
    if not 0 < rises[steepest] < np.inf:
        return "Accuracy never rises with ε."
    here, there = curve["epsilon_255"].iloc[[steepest - 1, steepest]]
    return f"Accuracy rises again from {here:g}/255 to {there:g}/255, by {rises[steepest]:.2f}."


def verdict_sentence(verdict: analysis.Verdict, every: int = 1) -> str:
    """Hypothesis 1 in this run, with effect size, interval and count.

    ``every`` says of every how many images one was looked at.
    """
    images = f"{verdict.n} initially correct images"
    if every > 1:
        images += f" (one in {every} of the set was looked at)"
    if verdict.word == "cannot be judged":
        return (
            f"**Hypothesis 1 cannot be judged in this run**: {images}, "
            f"of which {verdict.never_fooled} were never fooled, leave nothing to correlate."
        )
    fate = (
        f"{verdict.never_fooled} of which were never fooled"
        if verdict.never_fooled
        else "all of which were fooled at some ε"
    )
    return (
        f"**Hypothesis 1 is {verdict.word} in this run**: clean confidence and minimal ε, the "
        f"smallest that fools, have a rank correlation of ρ = {verdict.rho:.2f} (95% interval "
        f"{verdict.rho_low:.2f} to {verdict.rho_high:.2f}), over {images}, {fate}."
    )

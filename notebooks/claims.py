# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The original's claims
#
# The [original page](https://github.com/daved01/Adversarial_Examples) describes what its author
# saw in curves and pictures. Is it so? Each statement that can be checked has a written rule
# here, and is judged by the author's own published numbers.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from textwrap import dedent

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr
from statsmodels.stats.proportion import confint_proportions_2indep

from fgsm_lib import analysis, published
from fgsm_lib.analysis import Estimate, bin_name, eps, number, upto
from fgsm_lib.perception import delta_e
from fgsm_lib.show import code, say, show
from fgsm_lib.study import open_study
from fgsm_lib.words import network_name, short_name

# %% tags=["remove-cell"]
TOP = "99–100%"
HOLDS, FAILS = "holds", "does not hold"
CLOSE, UNKNOWN = "too close to tell", "cannot be judged"
SYMBOLS = {HOLDS: "✓", FAILS: "✗", CLOSE: "≈", UNKNOWN: "?"}
NO_CURVE = (
    "There is no such curve, or the image is wrong before any attack."
)
NO_PICTURE = "No attacked picture was recorded."
CLAIMS: list["Claim"] = []


class NotThere(Exception):
    """What a claim would be judged by is missing; the message says what."""


@dataclass(frozen=True)
class Claim:
    """A statement of the original page, in its words, and the rule by which it is judged.

    The rule is a method of the class of what the claim is about. Its docstring is the quotation
    and below it the ``reading``; it returns a verdict and the numbers behind it. True and False
    are verdicts, too, on what has no sampling error: a text, or one image's curve.
    """

    about: type
    id: str
    quote: str
    reading: str
    rule: Callable

    def judge(self, evidence: dict) -> tuple[str, str]:
        """A verdict and the numbers, or the reason; ``evidence`` is by what claims are about."""
        if self.about not in evidence:
            return UNKNOWN, NO_PICTURE if self.about is Color else NO_CURVE
        try:
            verdict, numbers = self.rule(evidence[self.about])
        except NotThere as reason:
            return UNKNOWN, str(reason)
        return {True: HOLDS, False: FAILS}.get(verdict, verdict), numbers


def about(title: str) -> Callable:
    """Enter in ``CLAIMS`` the methods of the decorated class whose docstrings begin with “."""

    def enter(thing: type) -> type:
        thing.title = title
        for name, rule in vars(thing).items():
            words = " ".join((rule.__doc__ or "").split())
            if words.startswith("“"):
                quote, reading = words[1:].split("” ", 1)
                name = f"claim-{name.replace('_', '-')}"
                CLAIMS.append(Claim(thing, name, quote, reading, rule))
        return thing

    return enter


# %% tags=["remove-cell"]
class Curve:
    """A curve over ε, from 0 on: the columns of ``analysis.curve``, or those of one image.

    ``images`` are the rows of the images it is the mean of, where they are known.
    """

    def __init__(self, rows: pd.DataFrame, images=None):
        self.rows, self.images, self.upto = rows, images, upto(rows)
        self.epsilon = rows["epsilon_255"]
        self.confidence = rows["confidence"]
        self.start, self.end = rows.iloc[0], rows.iloc[-1]
        self.low = rows.loc[self.confidence.idxmin()]
        self.shape = analysis.shape(self.epsilon, self.confidence, np.inf)

    def at(self, epsilon_255: float) -> pd.Series:
        found = self.rows[np.isclose(self.epsilon, epsilon_255)]
        if found.empty:
            raise NotThere(f"{eps(epsilon_255)} is not on the grid.")
        return found.iloc[0]

    def course(self) -> str:
        return (
            f"{self.start.confidence:.3f} at the start, lowest {self.low.confidence:.3f} at "
            f"{eps(self.low.epsilon_255)}, {self.end.confidence:.3f} at {eps(self.end.epsilon_255)}"
        )

    def level(self, first, last, column="top1") -> Estimate:
        """A mean over the ε of a range; its interval is that of a rate, the widest there is."""
        values = self.rows[self.epsilon.between(first, last)][column]
        if values.empty:
            between = f"{first:g} and {eps(last)}"
            raise NotThere(f"No ε of the grid lies between {between}.")
        return analysis.rate(values.mean() * self.start.n, self.start.n)

    def change(self, column: str, first: float, second: float) -> Estimate:
        """How a mean changes from one ε to another: the differences of single images.

        Where only the means are known, as if the two were taken over different images: wider.
        """
        if self.images is not None:
            rows = analysis.at(self.images, [first, second])
            column = "correct" if column == "top1" else column
            wide = rows.pivot(
                index="sample", columns="epsilon_255", values=column
            )
            return analysis.difference(wide[second], wide[first])
        n = self.start.n
        before, after = self.at(first)[column], self.at(second)[column]
        low, high = confint_proportions_2indep(
            after * n, n, before * n, n, method="newcomb", compare="diff"
        )
        return Estimate(after - before, float(low), float(high), int(n))


class Image(Curve):
    """The curve of one image that is right before any attack."""

    def __init__(self, rows: pd.DataFrame):
        super().__init__(rows)
        self.right = rows["correct"].astype(bool)

    @property
    def wrong(self) -> pd.DataFrame:
        """Where it is fooled."""
        if self.right.all():
            raise NotThere(f"It is never fooled, {self.upto}.")
        return self.rows[~self.right]

    @property
    def first_wrong(self) -> float:
        return self.wrong["epsilon_255"].iloc[0]


def judged(found: Estimate, than: float = 0.0, below: bool = False) -> str:
    return analysis.judged(found.low, found.high, than, below)


def said(found: Estimate) -> str:
    return analysis.estimate_text(*found[:3])


def by_name(texts: dict) -> str:
    return "; ".join(f"{key}: {text}" for key, text in texts.items()) + "."


def listed(epsilons) -> str:
    """``"4, 18 and 20/255"``; a long list by its ends."""
    *names, last = [f"{value:g}" for value in epsilons]
    if len(names) > 6:
        return f"{len(names) + 1} values of ε from {names[0]} to {last}/255"
    return (f"{', '.join(names)} and {last}" if names else last) + "/255"


# %% tags=["remove-cell"]
@about("The page and its figures")
class Page(dict):
    """What was measured in the page and its figures, see ``PAGE``."""

    def earliest(self):
        """“The earliest and simplest method to generate adversarial examples”
        No method was published before it."""
        text = "Szegedy et al. (2014, arXiv:1312.6199) found them by L-BFGS, a year before."
        return False, text

    def link(self):
        """“as introduced in Explaining and Harnessing Adversarial Examples [a link]”
        The link leads to that paper."""
        text = "It leads to arXiv:1607.02533, Kurakin et al.; the paper is 1412.6572."
        return False, text

    def descent(self):
        """“It computes a step of gradient descent”
        The step goes down the cost J."""
        text = "By its equation (1.2) the step has the sign of ∇J, and is added: it ascends."
        return False, text

    def figure_at_6(self):
        """“the resulting adversarial image at an epsilon of 6/255”
        In the figure the perturbation has two values, 12 levels apart."""
        low, high = self["perturbation"]
        text = f"{low} and {high} of 255, in its red channel."
        return high - low == 12, text

    def series(self):
        """“Here the values for epsilon are: 0, 4/255, 8/255, 12/255 and 6/255.”
        Each image of the figure lies that many levels from the first, in the median."""
        text = f"Measured: {', '.join(map(str, self['series']))}."
        return self["series"] == [0, 4, 8, 12, 6], text

    def more_noisy(self):
        """“The image appears more and more noisy.”
        The noise of each image of the figure, by Immerkær's estimate, is above the one before."""
        noise = ", ".join(f"{sigma:.1f}" for sigma in self["noise"])
        text = f"Standard deviations of {noise} levels."
        return (np.diff(self["noise"]) > 0).all(), text

    def bins_of_5_points(self):
        """“split the data by confidences in the interval of 5% points.”
        Every bin of the figures is 5 points wide."""
        edges = self["bins"]
        widths = [round(100 * (high - low)) for low, high in edges]
        texts = [f"{w} ({bin_name(*e)})" for w, e in zip(widths, edges)]
        return set(widths) == {5}, f"Widths: {', '.join(texts)}."

    def only_correct(self):
        """“We consider correct initial classifications only”
        Top-1 accuracy at ε = 0 is 1 in every bin of the figures. (In a run it is by construction.)"""
        starts = self["starts"]
        texts = {name: f"{top1:g}" for name, top1 in starts.items()}
        return set(starts.values()) == {1}, by_name(texts)


@about("How visible the change is")
class Color(dict):
    """The mean color difference ΔE of the attacked sample 766, by ε in 1/255."""

    @property
    def text(self) -> str:
        values = ", ".join(f"{value:.1f}" for value in self.values())
        return f"ΔE is {values} at {listed(self)}."

    def perceptible_where_shown(self):
        """“the manipulated images are often perceptible for humans. [where shown]”
        The mean color difference ΔE is above 2.3 (just noticeable) at 4, 8, 12 and 16/255."""
        return min(self.values()) > 2.3, self.text

    def more_obvious(self):
        """“With increasing attack strength this becomes more and more obvious”
        ΔE grows from each ε of the series to the next. (That it does, is nearly so by construction.)"""
        return (np.diff(list(self.values())) > 0).all(), self.text

    def slightly_perceptible(self):
        """“up to an epsilon of around 4, the attack is only slightly perceptible.”
        At 4/255 ΔE is at most twice 2.3."""
        return self[4] <= 4.6, f"ΔE is {self[4]:.1f}."

    def very_obvious(self):
        """“For greater epsilon the attack becomes very obvious when looking at the image.”
        At 8/255 ΔE is more than twice 2.3."""
        return self[8] > 4.6, f"ΔE is {self[8]:.1f}."


# %% tags=["remove-cell"]
@about("Sample 766")
class Sample766(Image):
    def starts_at_99_99(self):
        """“Note that this image has a very high initial confidence of 99.99%.”
        The clean confidence, in percent, rounds to 99.99."""
        start = self.start.confidence
        return round(100 * start, 2) == 99.99, f"It starts at {start:.3%}."

    def drops_sharply(self):
        """“the confidence drops sharply at the beginning”
        At 2/255 it is less than half of the clean one."""
        start, there = self.start.confidence, self.at(2).confidence
        text = f"From {start:.2%} to {there:.2%} at 2/255."
        return there < start / 2, text

    def stays_below(self):
        """“and stays below 0.4”
        Once it is below 0.4, it stays there, to 20/255."""
        below = (self.confidence < 0.4).cummax()
        if not below.any():
            return False, f"It is never below 0.4, {self.upto}."
        first = self.epsilon[below].min()
        most = self.confidence[below].max()
        text = f"At most {most:.2f} from {eps(first)} on, {self.upto}."
        return most < 0.4, text

    def fooled_at_4(self):
        """“the attack is able to change the class at epsilon 4 at very low confidence”
        At 4/255 the class is wrong, with a confidence below 0.2."""
        row = self.at(4)
        seen = f"{row['class']}, with {row.confidence:.1%}"
        low = row.confidence < 0.2
        return not row.correct and low, f"At 4/255 it sees {seen}."

    def changes_right_back(self):
        """“it changes right back to the correct class for increasing attack intensity”
        At the ε of the grid after the first wrong one, the class is right."""
        after = self.right[self.epsilon > self.first_wrong]
        if after.empty:
            raise NotThere("It is fooled only at the last ε of the grid.")
        wrong = listed(self.wrong["epsilon_255"])
        return after.iloc[0], f"It is wrong at {wrong} ({self.upto})."

    def wrong_at_one_epsilon(self):
        """“for only one epsilon a false class is predicted at low confidence”
        The class is wrong at exactly one ε to 20/255, with a confidence below 0.4."""
        wrong, most = self.wrong, self.wrong["confidence"].max()
        text = f"Wrong at {listed(wrong['epsilon_255'])}, with at most {most:.1%} ({self.upto})."
        return len(wrong) == 1 and most < 0.4, text

    def _back(self) -> pd.DataFrame:
        """Where the right class is back, after a false one."""
        back = self.rows[self.right & (self.epsilon > self.first_wrong)]
        if back.empty:
            raise NotThere(f"The right class never returns, {self.upto}.")
        return back

    def lower_than_false(self):
        """“outputs the correct class again, at lower confidence. [than that of the false class]”
        Where the right class returns, its confidence is below that of the false class before."""
        here = self._back().iloc[0]
        before = self.rows[self.epsilon < here.epsilon_255].iloc[-1]
        text = (
            f"{before.confidence:.1%} at {eps(before.epsilon_255)} (false), "
            f"{here.confidence:.1%} at {eps(here.epsilon_255)} (right)."
        )
        return here.confidence < before.confidence, text

    def lower_than_at_start(self):
        """“outputs the correct class again, at lower confidence. [than at the start]”
        Wherever the right class is back, to 20/255, its confidence is below the clean one."""
        start = self.start.confidence
        most = self._back()["confidence"].max()
        text = f"{start:.2%} at the start, at most {most:.2%} after its return."
        return most < start, text


# %% tags=["remove-cell"]
@about("Images above 99%")
class TopBin(Curve):
    def drops_slightly(self):
        """“At the same time the confidence should drop slightly”
        Mean confidence never falls by more than a fifth, to 60/255."""
        start, lowest = self.start.confidence, self.low.epsilon_255
        found = self.level(lowest, lowest, "confidence")
        text = f"From {number(start)} to {said(found)} at {eps(lowest)}."
        return judged(found, 0.8 * start), text

    def l_shape(self):
        """“initially decreases and then slightly increases again. This L-shaped […] distribution”
        Mean confidence falls early and regains a tenth to half of the fall, to 60/255."""
        text = f"{self.course()}: {self.shape}."
        return self.shape == "L with a rise", text

    def l_shape_in_most(self):
        """“shows that this could be the case in the majority of images.”
        More than half of these images have an L, with or without a rise, to 60/255."""
        if self.images is None:
            raise NotThere("There are no curves of single images.")
        curves = self.images.groupby("sample")
        shapes = Counter(Curve(rows).shape for _, rows in curves)
        count = sum(n for name, n in shapes.items() if name.startswith("L"))
        found = analysis.rate(count, shapes.total())
        text = ", ".join(f"{n} {name}" for name, n in shapes.most_common())
        text = f"{count} of {found.n}, {said(found)}: {text}."
        return judged(found, 0.5), text

    def accuracy_falls(self):
        """“First, it decreases strongly. [the accuracy]”
        By 4/255 top-1 accuracy has lost at least a third."""
        found = self.level(4, 4)
        text = f"From 1 to {said(found)}, {found.n} images."
        return judged(found, 2 / 3, below=True), text

    def accuracy_rises(self):
        """“At an epsilon of around 4 however, it increases again until […] around 10.”
        Top-1 accuracy at 10/255 is above that at 4/255."""
        change = self.change("top1", 4, 10)
        count = number(change.value * change.n, 0, "+")
        text = f"{count} of {change.n} images: {said(change)}."
        return judged(change), text

    def lowest_at_10(self):
        """“roughly the same point where the confidence hits its minimum. [10/255]”
        “The point” is the ε named last: mean confidence is lowest around 10/255."""
        return self._lowest_around(10)

    def lowest_at_4(self):
        """“roughly the same point where the confidence hits its minimum. [4/255]”
        “The point” is where accuracy turns upward: mean confidence is lowest around 4/255."""
        return self._lowest_around(4)

    def _lowest_around(self, epsilon_255: float) -> tuple[str, str]:
        """Whether confidence is lower within a factor of 1.5 of an ε than anywhere else."""
        near = self.epsilon.between(epsilon_255 / 1.5, epsilon_255 * 1.5)
        if not near.any():
            around = eps(epsilon_255)
            raise NotThere(f"No ε of the grid is around {around}.")
        here = self.rows.loc[self.confidence[near].idxmin()]
        other = self.rows.loc[self.confidence[~near].idxmin()]
        pair = other.epsilon_255, here.epsilon_255
        change = self.change("confidence", *pair)
        text = (
            f"{here.confidence:.3f} at {eps(here.epsilon_255)}, elsewhere lowest "
            f"{other.confidence:.3f} at {eps(other.epsilon_255)}: {said(change)}."
        )
        return judged(change, below=True), text

    def falls_again(self):
        """“After this increase it decreases monotonously for the rest of the range”
        From 10 to 60/255 top-1 accuracy ends lower, and no step clearly raises it."""
        grid = self.epsilon[self.epsilon.between(10, 60)].tolist()
        if len(grid) < 2:
            raise NotThere("The grid has no two ε from 10 to 60/255.")
        whole = self.change("top1", grid[0], grid[-1])
        steps = [self.change("top1", *pair) for pair in pairwise(grid)]
        text = f"It changes by {said(whole)}, from {eps(grid[0])} to {eps(grid[-1])}."
        raised = any(step.low > 0 for step in steps)
        return FAILS if raised else judged(whole, below=True), text

    def top5_follows(self):
        """“The top 5 accuracy follows the same trend with an offset, as expected.”
        Over ε, top-1 and top-5 have a rank correlation of at least 0.9. (That top-5 is larger, is
        so by construction.)"""
        top1, top5 = self.rows["top1"], self.rows["top5"]
        if min(top1.nunique(), top5.nunique()) < 2:
            raise NotThere("One of the two never changes.")
        rho = spearmanr(top1, top5).statistic
        return rho >= 0.9, f"ρ = {number(rho)}, {self.upto}."

    def hard_to_fool(self):
        """“it is hard to craft adversarial examples from them.”
        At 4/255, called only slightly perceptible, fewer than half are fooled."""
        right = self.level(4, 4)
        text = f"{(1 - right.value) * right.n:.0f} of {right.n} are fooled at 4/255"
        return judged(right, 0.5), f"{text}; right are {said(right)}."


# %% tags=["remove-cell"]
@about("Confidence levels compared")
class Bins(dict):
    """The curves of the bins by clean confidence, from the highest on, by name."""

    def trend(self, level: Callable, rises: bool = False):
        """Whether a level falls (or rises) from bin to bin, as the clean confidence gets lower.

        By the weighted slope over the bins and its 95% interval; and none may clearly lie on the
        wrong side of the one before it.
        """
        levels = {name: level(curve) for name, curve in self.items()}
        if len(levels) < 2:
            raise NotThere("There are no two bins to compare.")
        value, low, high, _ = np.array(list(levels.values())).T
        sure = norm.ppf(0.975)
        value, error = -value if rises else value, (high - low) / (2 * sure)
        fit = {"deg": 1, "w": 1 / error, "cov": "unscaled"}
        (slope, _), cov = np.polyfit(range(len(value)), value, **fit)
        half = sure * np.sqrt(cov[0, 0])
        verdict = analysis.judged(slope - half, slope + half, below=True)
        wrong = np.diff(value) > sure * np.hypot(error[1:], error[:-1])
        texts = {name: said(found) for name, found in levels.items()}
        return FAILS if wrong.any() else verdict, by_name(texts)

    def smaller_slope(self):
        """“The higher the initial confidence is, the smaller the slope of the accuracy should be.”
        At 0.5/255 top-1 accuracy, which starts at 1, has fallen more the lower the bin."""
        return self.trend(lambda curve: curve.level(0.5, 0.5))

    def stronger_drop(self):
        """“for lower initial confidence the drop in accuracy is stronger”
        The lower the bin, the lower is mean top-1 accuracy over the grid's ε from 0.1 to 4/255."""
        return self.trend(lambda curve: curve.level(0.1, 4))

    def lower_level_after_drop(self):
        """“and levels out at lower values. [after the drop]”
        The lower the bin, the lower is top-1 accuracy at 4/255, where the steep drop is over."""
        return self.trend(lambda curve: curve.level(4, 4))

    def lower_level_at_large(self):
        """“and levels out at lower values. [at large ε]”
        The lower the bin, the lower is mean top-1 accuracy over the grid's ε from 20 to 60/255."""
        return self.trend(lambda curve: curve.level(20, 60))

    def same_trend(self):
        """“their trend is similar for all initial confidences. [of the confidences]”
        Mean confidence has the same shape in every bin, to 60/255."""
        shapes = {name: curve.shape for name, curve in self.items()}
        return len(set(shapes.values())) == 1, by_name(shapes)

    def confidence_falls_more(self):
        """“The initial decrease is stronger for lower initial values. [of the confidence]”
        At 0.1/255, the smallest ε, mean confidence has lost more the lower the bin."""

        def loss(curve: Curve) -> Estimate:
            start, n = curve.start.confidence, curve.start.n
            lost = max(start - curve.at(0.1).confidence, 0)
            return analysis.rate(lost * n, n)

        return self.trend(loss, rises=True)

    def harder(self):
        """“the higher the initial confidence is, the harder it is to attack the model”
        The lower the bin, the lower is mean top-1 accuracy over all attacks, from 0.1 to 60/255."""
        return self.trend(lambda curve: curve.level(0.1, 60))


@about("All images")
class AllImages(Curve):
    def perceptible_where_needed(self):
        """“the manipulated images are often perceptible for humans. [where needed]”
        It takes a visible step to fool most images: more than half of those that are right at first
        are still right at 2/255, where ΔE is below 2.3."""
        start, there = self.start, self.at(2)
        correct, right = start.top1 * start.n, there.top1 * there.n
        found = analysis.rate(right, correct)
        text = f"At most {right:.0f} of {correct:.0f}, {said(found)}."
        return judged(found, 0.5), text


@about("Single images")
class Singles(dict):
    def l_shape_in_some(self):
        """“can be found in some individual images as well [the L-shape]”
        At least two of the three shown have an L, with or without a rise, to 20/255."""
        if len(self) < 3:
            raise NotThere("Not all three have a curve.")
        shapes = {sample: curve.shape for sample, curve in self.items()}
        count = sum(shape.startswith("L") for shape in shapes.values())
        return count >= 2, by_name(shapes)


# %% tags=["remove-cell"]
@about("Sample 132")
class Sample132(Image):
    def never_fooled(self):
        """“It is nor possible craft an adversarial example from this image [to 20/255]”
        The class is right at every ε of the figure, to 20/255."""
        text = f"Right at all {len(self.rows)} values of ε"
        if not self.right.all():
            text = f"Wrong at {listed(self.wrong['epsilon_255'])}"
        return self.right.all(), f"{text}, {self.upto}."

    def u_shape(self):
        """“the confidence follows a U shape”
        It falls, then rises again by at least half of the fall, to 20/255."""
        return self.shape == "U", f"{self.course()}: {self.shape}."

    def recovers(self):
        """“and reaches almost the initial value again.”
        At 20/255 it is within 5 points of the clean one, after a fall of more."""
        start, end = self.start.confidence, self.at(20).confidence
        fall = start - self.low.confidence
        return fall > 0.05 and abs(end - start) <= 0.05, f"{self.course()}."


@about("Sample 132, any ε")
class Sample132On(Sample132):
    def never_fooled_at_all(self):
        """“It is nor possible craft an adversarial example from this image [at any ε]”
        The class is right at every ε of a grid that goes on to 128/255."""
        holds, numbers = self.never_fooled()
        if holds and self.end.epsilon_255 < 128:
            raise NotThere(f"The curve is only known {self.upto}.")
        return holds, numbers


@about("Sample 528")
class Sample528(Image):
    def starts_at_80(self):
        """“An example for lower initial confidence of 80% is shown below.”
        The clean confidence is within 5 points of 80%."""
        start = self.start.confidence
        return abs(start - 0.8) <= 0.05, f"It starts at {start:.1%}."

    def fooled_early(self):
        """“the attack successfully causes a false prediction early on.”
        The class is wrong at some ε of at most 1/255."""
        first = self.first_wrong
        return first <= 1, f"First wrong at {eps(first)}."

    def class_changes(self):
        """“The falsely predicted class changes while increasing epsilon.”
        More than one false class is predicted, to 20/255."""
        if "class" not in self.rows:
            text = "The curve does not tell which class was predicted."
            raise NotThere(text)
        names = list(dict.fromkeys(self.wrong["class"]))
        return len(names) > 1, f"{', '.join(names)} ({self.upto})."

    def level_of_15(self):
        """“The confidence seems to be levelled out at around 15%.”
        From the first false prediction to 20/255 it is within 5 points of 15%."""
        first = self.first_wrong
        values = self.confidence[self.epsilon >= first]
        text = f"{values.min():.1%} to {values.max():.1%} from {eps(first)} on, {self.upto}."
        return values.between(0.1, 0.2).all(), text


# %% tags=["remove-cell"]
SAMPLES = {766: Sample766, 132: Sample132, 528: Sample528}
# What was measured in the original's page and figures, in levels of 255 and ΔE.
COLOR = {4: 3.14, 8: 6.23, 12: 9.28, 16: 12.32}
PAGE = {
    "perturbation": (117, 129),
    "series": [0, 4, 8, 12, 16],
    "noise": [1.74, 3.39, 5.89, 8.50, 11.15],
    "bins": analysis.ORIGINAL_BINS,
}


def evidence(
    bins: dict, everything: pd.DataFrame, samples: dict, color: dict
) -> dict:
    """What claims are about, by its class; what is not there is left out."""
    singles = {
        sample: SAMPLES[sample](rows[rows["epsilon_255"] <= 20])
        for sample, rows in samples.items()
        if rows is not None and rows["correct"].iloc[0]
    }
    found = [AllImages(everything), *singles.values()]
    found += [Bins(bins), Singles(singles), Color(color)]
    if TOP in bins:
        found.append(TopBin(bins[TOP].rows, bins[TOP].images))
    if 132 in singles:
        found.append(Sample132On(samples[132]))
    return {type(thing): thing for thing in found if thing}


def theirs() -> dict:
    """The author's published numbers."""
    bins = {}
    for key, (low, high, n) in published.BINS.items():
        rows = published.bin_curve(key).assign(n=n)
        bins[bin_name(low, high)] = Curve(rows)
    samples = {s: published.sample_curve(s) for s in SAMPLES}
    for rows in samples.values():
        if "predicted_class" in rows:
            rows["class"] = rows["predicted_class"].map(short_name)
    everything = published.all_samples_curve().assign(n=1000)
    starts = {name: curve.start.top1 for name, curve in bins.items()}
    page = Page(PAGE, starts=starts)
    return evidence(bins, everything, samples, COLOR) | {Page: page}


def recorded() -> dict:
    """This project's recorded run on the photographs."""
    bins = published.record_bins().items()
    bins = {name: Curve(rows) for name, rows in bins if len(rows)}
    samples = {s: published.record_sample(s) for s in SAMPLES}
    return evidence(bins, published.record_curve(), samples, {})


def measured(study) -> dict:
    """This run, on the author's photographs."""
    table, grids = study.table(), study.profile.epsilon_255
    names = table["predicted_class"].map(dict(enumerate(study.names)))
    table = table.assign(**{"class": names})
    rows, bins = analysis.at(table, grids.hypothesis), {}
    for edges in analysis.ORIGINAL_BINS:
        right = analysis.initially_correct(table, *edges)
        images = rows[rows["sample"].isin(right)]
        if len(images):
            mean = analysis.curve(images)
            bins[bin_name(*edges)] = Curve(mean, images)
    everything = analysis.curve(analysis.at(table, grids.all_images))
    samples = {s: table[table["sample"] == s] for s in SAMPLES}
    case = study.case(766)
    color = {e: delta_e(case.image, case.adversarial(e)) for e in COLOR}
    return evidence(bins, everything, samples, color)


# %% tags=["remove-cell"]
study, record = open_study(profile), published.record()
original = published.covers_all(study.pictures)
beside = "this run" if original else "recorded run"
sides = {"published": theirs()}
sides[beside] = measured(study) if original else recorded()
network = network_name(
    study.classifier.name
    if original
    else record["provenance"]["classifier"]
)
judgments = {  # those of the page are not about what is measured
    each: {
        side: each.judge(found)
        for side, found in sides.items()
        if each.about is not Page or Page in found
    }
    for each in CLAIMS
}


# %% tags=["remove-cell"]
def kind(verdict: str) -> str:
    return verdict.replace(" ", "-")


def row(each: Claim, found: dict[str, tuple[str, str]]) -> str:
    """The author's words and the verdicts; opened, the rule, the numbers and the rule's code."""
    cells, numbers = dict.fromkeys(sides, "–"), ""
    for side, (verdict, text) in found.items():
        cells[side] = (
            f'<span class="verdict {kind(verdict)}"><b aria-hidden="true">{SYMBOLS[verdict]}</b> '
            f"{verdict}</span>"
        )
        numbers += f"<p><b>{side.capitalize()}:</b> {escape(text)}</p>"
    cells = [
        f'<td data-label="{s}">{text}</td>' for s, text in cells.items()
    ]
    differ = len({verdict for verdict, _ in found.values()} - {UNKNOWN}) > 1
    source = escape(dedent(inspect.getsource(each.rule)).rstrip())
    return (
        f'<tr id="{each.id}" data-is="{kind(found["published"][0])}{" differs" * differ}">'
        f'<th scope="row"><details><summary>“{escape(each.quote)}”</summary>'
        f"<p><b>Rule:</b> {escape(each.reading)}</p>{numbers}"
        f"<details><summary>The rule in Python</summary><pre>{source}</pre></details>"
        f'<p><a href="#{each.id}">Link to this claim</a></p></details></th>{"".join(cells)}</tr>'
    ).replace("\n", "&#10;")


def claims_table() -> str:
    """One line of HTML: every claim, by what it is about; claims.js brings the buttons to life."""
    first = Counter(found["published"][0] for found in judgments.values())
    filters = {"": f"all {len(CLAIMS)}"}
    filters |= {kind(v): f"{s} {v}: {first[v]}" for v, s in SYMBOLS.items()}
    filters["differs"] = "the two differ"
    buttons = "".join(
        f'<button type="button" value="{value}" aria-pressed="{str(not value).lower()}">{text}'
        "</button>"
        for value, text in filters.items()
    )
    heads = [f'<th scope="col">{head}</th>' for head in ("claim", *sides)]
    groups = "".join(
        f'<tbody><tr><th scope="rowgroup" colspan="3">{thing.title}</th></tr>'
        + "".join(row(e, judgments[e]) for e in CLAIMS if e.about is thing)
        + "</tbody>"
        for thing in dict.fromkeys(each.about for each in CLAIMS)
    )
    return (
        '<div class="claims"><div class="filter" role="group" aria-label="Claims by their verdict '
        f'on the published numbers">{buttons}</div><table class="results"><thead><tr>'
        f"{''.join(heads)}</tr></thead>{groups}</table></div>"
    )


# %% tags=["remove-input"]
def counts(side: str) -> str:
    found = [each[side] for each in judgments.values() if side in each]
    found = Counter(verdict for verdict, _ in found)
    return (
        f"**{found[HOLDS]} hold and {found[FAILS]} do not**; {found[CLOSE]} are too close to tell, "
        f"{found[UNKNOWN]} cannot be judged"
    )


both = sum(beside in found for found in judgments.values())
say(
    f"Of {len(CLAIMS)} claims, on the author's own published numbers {counts('published')}."
)
say(
    f"{both} of them can be put to a run, too. With {network} on the same photographs ({beside}), "
    f"{counts(beside)}. Where the two differ, that does not contradict the author's data: it tells "
    "how far a claim depends on the network and the objective."
)

# %% tags=["remove-input"]
failed = [c for c in CLAIMS if judgments[c]["published"][0] == FAILS]
say(
    "On the published numbers, these do not hold:\n\n"
    + "\n".join(
        f'- <a href="#{each.id}">“{escape(each.quote)}”</a> '
        + escape(judgments[each]["published"][1])
        for each in failed
    )
)

# %% [markdown]
# ## All claims
#
# Each opens to the rule it is judged by, in words and in Python, and to the numbers.

# %% tags=["remove-input"]
say(claims_table())

# %% [markdown]
# ## How they are judged
#
# - A claim about a rate or a mean *holds* if the 95% interval lies on its side, *does not hold*
#   if it lies on the other, and is *too close to tell* if the border is within. That accuracy
#   "increases again", for one, rests on one of 39 published images.
# - Where single images are known, a change is that of each image. The published means come
#   without them: their interval is that of independent rates, which is wider.
# - An order of bins is judged by the slope over all of them, so single bins may be out of order;
#   but it does not hold if any clearly lies on the wrong side of the one before it.
# - One image's curve, and a shape, have no such interval: they are judged as drawn. The range of
#   ε is part of the rule, 20/255 for single images and 60/255 for bins, as in the author's
#   figures.
# - Where words have two readings, shown in brackets, both are judged.
#
# The rules are fixed in the code and do not depend on a run.
# [Szegedy et al. (2014)](#szegedy2014) are earlier than
# [Goodfellow et al. (2015)](#goodfellow2015); what the original links to is
# [Kurakin et al. (2017)](#kurakin2017). A ΔE of 2.3 is just noticeable
# [(Mahy et al., 1994)](#mahy1994), but between plain patches, which an image is not. ΔE and noise,
# the latter as [Immerkær (1996)](#immerkaer1996) estimates it, were measured in the author's
# figures.
#
# Not judged, because it takes people who look, or data that the page does not have: that the
# image appears "slightly more blurry", that without the clean one "it can be hard to tell", that
# the method "leads to robust adversaries", and that iterative methods improve on it, of which
# [One step or many?](iterative.ipynb) measures a part.

# %% tags=["remove-input"]
code(Curve.level)
code(Curve.change)
code(Bins.trend)


# %% tags=["remove-cell"]
MEASURES = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "confidence": "confidence",
}


def curves(side: dict) -> dict[str, pd.DataFrame]:
    """What every curve of a side measures at each ε, by name."""
    singles = side.get(Singles, {}).items()
    singles = {f"sample {sample}": curve for sample, curve in singles}
    every = {"all images": side[AllImages], **side[Bins], **singles}
    return {
        name: curve.rows.set_index("epsilon_255").filter(MEASURES)
        for name, curve in every.items()
    }


def distances(published_side: dict, run: dict) -> pd.DataFrame:
    """How far a run lies from every published curve, over the ε that both have."""
    there, rows = curves(published_side), []
    for name, here in curves(run).items():
        gaps = (here - there[name]).abs().dropna(how="all")
        for column in here:
            worst, mean = gaps[column].max(), (gaps[column] ** 2).mean()
            row = (f"{worst:.3f}", f"{np.sqrt(mean):.3f}")
            rows.append((f"{name}, {MEASURES[column]}", len(gaps), *row))
    heads = ["published curve", "ε", "largest distance", "root mean square"]
    return pd.DataFrame(rows, columns=heads)


# %% tags=["remove-input"]
if original:
    logit = study.profile.objective == "true_logit"
    show(
        distances(*sides.values()),
        name="tab-distances",
        caption="How far this run lies from every published curve, over the ε that both have. The "
        "published one is GoogLeNet's, under the true logit and with the second clip; this run is of "
        f"{network}, under {'the true logit' if logit else 'cross-entropy'} and "
        f"{'with' if study.profile.clip == 'image' else 'without'} that clip.",
    )

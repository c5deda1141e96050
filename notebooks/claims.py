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

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr
from statsmodels.stats.proportion import confint_proportions_2indep

from fgsm_lib import analysis, published
from fgsm_lib.analysis import Estimate, eps, number, shape, upto
from fgsm_lib.perception import delta_e
from fgsm_lib.show import code, say, show
from fgsm_lib.study import open_study
from fgsm_lib.words import network_name, short_name

# %% tags=["remove-cell"]
VERDICTS = (
    "holds",
    "does not hold",
    "too close to tell",
    "cannot be judged",
)
HOLDS, FAILS, CLOSE, UNKNOWN = VERDICTS
# What claims are about, as the table groups them.
ABOUT = {
    "page": "The page and its figures",
    "color": "How visible the change is",
    766: "Sample 766",
    "top": "Images above 99%",
    "bins": "Confidence levels compared",
    "all": "All images",
    "singles": "Single images",
    132: "Sample 132",
    "132 on": "Sample 132, any ε",
    528: "Sample 528",
}
MISSING = {"color": "No attacked picture was recorded."}
CLAIMS: list["Claim"] = []
TOP = "99–100%"


class NotThere(Exception):
    """What a claim would be judged by is missing; the message says what."""


@dataclass(frozen=True)
class Claim:
    """A statement of the original page, in its words, and the rule by which it is judged.

    The rule takes what the claim is about, a key of ``ABOUT``, and returns a verdict and the
    numbers behind it; its docstring is the ``reading``. True and False are verdicts, too, on what
    has no sampling error: a text, or one image's curve.
    """

    id: str
    about: str | int
    quote: str
    reading: str
    rule: Callable

    def judge(self, evidence: dict) -> tuple[str, str]:
        """One of ``VERDICTS``, and the numbers or the reason behind it."""
        if self.about not in evidence:
            return UNKNOWN, MISSING.get(
                self.about,
                "There is no such curve, or the image is wrong before any attack.",
            )
        try:
            verdict, numbers = self.rule(evidence[self.about])
        except NotThere as reason:
            return UNKNOWN, str(reason)
        return {True: HOLDS, False: FAILS}.get(verdict, verdict), numbers


def claim(about: str | int, quote: str) -> Callable:
    """Enter the decorated rule in ``CLAIMS``."""

    def enter(rule: Callable) -> Callable:
        name, reading = (
            rule.__name__.replace("_", "-"),
            " ".join(rule.__doc__.split()),
        )
        CLAIMS.append(Claim(f"claim-{name}", about, quote, reading, rule))
        return rule

    return enter


# %% tags=["remove-cell"]
@dataclass(frozen=True)
class Curve:
    """A curve over ε, from 0 on: the columns of ``analysis.curve``, or those of one image.

    ``images`` are the rows of the images it is the mean of, where they are known.
    """

    rows: pd.DataFrame
    images: pd.DataFrame | None = None

    def at(self, epsilon_255: float) -> pd.Series:
        found = self.rows[np.isclose(self.rows["epsilon_255"], epsilon_255)]
        if found.empty:
            raise NotThere(f"{eps(epsilon_255)} is not on the grid.")
        return found.iloc[0]

    @property
    def low(self) -> pd.Series:
        return self.rows.loc[self.rows["confidence"].idxmin()]

    @property
    def shape(self) -> str:
        """By the rule of ``analysis.shape``, over the whole curve."""
        return shape(
            self.rows["epsilon_255"], self.rows["confidence"], np.inf
        )

    @property
    def course(self) -> str:
        start, low, end = self.rows.iloc[0], self.low, self.rows.iloc[-1]
        return (
            f"{start['confidence']:.3f} at the start, lowest {low['confidence']:.3f} at "
            f"{eps(low['epsilon_255'])}, {end['confidence']:.3f} at {eps(end['epsilon_255'])}"
        )

    def wrong(self) -> pd.DataFrame:
        """Where one image is fooled."""
        found = self.rows[~self.rows["correct"].astype(bool)]
        if found.empty:
            raise NotThere(f"It is never fooled, {upto(self.rows)}.")
        return found

    def level(
        self, low_255: float, high_255: float, column: str = "top1"
    ) -> Estimate:
        """A mean over the ε of a range; its interval is that of a rate, the widest there is."""
        rows = self.rows[
            self.rows["epsilon_255"].between(low_255, high_255)
        ]
        if rows.empty:
            raise NotThere(
                f"No ε of the grid lies between {low_255:g} and {eps(high_255)}."
            )
        n = rows["n"].iloc[0]
        return analysis.rate(rows[column].mean() * n, n)

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
        before, after, n = (
            self.at(first)[column],
            self.at(second)[column],
            self.at(first)["n"],
        )
        counts = (after * n, n, before * n, n)
        low, high = confint_proportions_2indep(
            *counts, method="newcomb", compare="diff"
        )
        return Estimate(after - before, float(low), float(high), int(n))


def judged(found: Estimate, than: float = 0.0, below: bool = False) -> str:
    return analysis.judged(found.low, found.high, than, below)


def trend(
    bins: dict[str, Curve], level: Callable, rises: bool = False
) -> tuple[str, str]:
    """Whether a level falls (or rises) from bin to bin, as the clean confidence gets lower.

    By the weighted slope over the bins and its 95% interval; and none may clearly lie on the wrong
    side of the one before it.
    """
    levels = {name: level(curve) for name, curve in bins.items()}
    if len(levels) < 2:
        raise NotThere("There are no two bins to compare.")
    value, low, high, _ = np.array(list(levels.values())).T
    value, error = (
        value * (-1 if rises else 1),
        (high - low) / (2 * norm.ppf(0.975)),
    )
    place = np.arange(len(value)) - np.average(
        np.arange(len(value)), weights=error**-2
    )
    weights = place / error**2
    slope, half = (
        weights @ value / (weights @ place),
        norm.ppf(0.975) / np.sqrt(weights @ place),
    )
    wrong = np.diff(value) > norm.ppf(0.975) * np.hypot(
        error[1:], error[:-1]
    )
    verdict = analysis.judged(slope - half, slope + half, below=True)
    text = "; ".join(
        f"{name}: {said(found)}" for name, found in levels.items()
    )
    return FAILS if wrong.any() else verdict, f"{text}."


def said(found: Estimate) -> str:
    return f"{number(found.value)} ({analysis.interval_text(found.low, found.high)})"


def listed(epsilons) -> str:
    """``"4, 18 and 20/255"``; a long list by its ends."""
    *names, last = [f"{value:g}" for value in epsilons]
    if len(names) > 6:
        return f"{len(names) + 1} values of ε from {names[0]} to {last}/255"
    return (f"{', '.join(names)} and {last}" if names else last) + "/255"


# %% tags=["remove-cell"]
@claim(
    "page",
    "The earliest and simplest method to generate adversarial examples",
)
def earliest(page):
    """No method was published before it."""
    return (
        False,
        "Szegedy et al. (2014, arXiv:1312.6199) found them by L-BFGS, a year before.",
    )


@claim(
    "page",
    "as introduced in Explaining and Harnessing Adversarial Examples [a link]",
)
def link(page):
    """The link leads to that paper."""
    return (
        False,
        f"It leads to arXiv:{page['link']}, Kurakin et al.; the paper is 1412.6572.",
    )


@claim("page", "It computes a step of gradient descent")
def descent(page):
    """The step goes down the cost J."""
    return (
        False,
        "By its equation (1.2) the step has the sign of ∇J, and is added: it ascends.",
    )


@claim("page", "the resulting adversarial image at an epsilon of 6/255")
def figure_at_6(page):
    """In the figure the perturbation has two values, 12 levels apart."""
    low, high = page["perturbation"]
    return high - low == 12, f"{low} and {high} of 255, in its red channel."


@claim(
    "page",
    "Here the values for epsilon are: 0, 4/255, 8/255, 12/255 and 6/255.",
)
def series(page):
    """Each image of the figure lies that many levels from the first, in the median."""
    return page["series"] == [
        0,
        4,
        8,
        12,
        6,
    ], f"Measured: {', '.join(map(str, page['series']))}."


@claim("page", "The image appears more and more noisy.")
def more_noisy(page):
    """The noise of each image of the figure, by Immerkær's estimate, is above the one before."""
    text = ", ".join(f"{sigma:.1f}" for sigma in page["noise"])
    return (
        np.diff(page["noise"]) > 0
    ).all(), f"Standard deviations of {text} levels."


@claim(
    "page", "split the data by confidences in the interval of 5% points."
)
def bins_of_5_points(page):
    """Every bin of the figures is 5 points wide."""
    text = ", ".join(
        f"{high - low} ({low}–{high}%)" for low, high in page["bins"]
    )
    return all(
        high - low == 5 for low, high in page["bins"]
    ), f"Widths: {text}."


@claim("page", "We consider correct initial classifications only")
def only_correct(page):
    """Top-1 accuracy at ε = 0 is 1 in every bin of the figures. (In a run it is by construction.)"""
    text = "; ".join(
        f"{name}: {top1:g}" for name, top1 in page["starts"].items()
    )
    return all(top1 == 1 for top1 in page["starts"].values()), f"{text}."


@claim(
    "color",
    "the manipulated images are often perceptible for humans. [where shown]",
)
def perceptible_where_shown(color):
    """The mean color difference ΔE is above 2.3 (just noticeable) at 4, 8, 12 and 16/255."""
    return min(
        color.values()
    ) > 2.3, f"{color_text(color)} at {listed(color)}."


@claim(
    "color",
    "With increasing attack strength this becomes more and more obvious",
)
def more_obvious(color):
    """ΔE grows from each ε of the series to the next. (That it does, is nearly so by construction.)"""
    return (
        np.diff(list(color.values())) > 0
    ).all(), f"{color_text(color)} at {listed(color)}."


@claim(
    "color",
    "up to an epsilon of around 4, the attack is only slightly perceptible.",
)
def slightly_perceptible(color):
    """At 4/255 ΔE is at most twice 2.3."""
    return color[4] <= 4.6, f"ΔE is {color[4]:.1f}."


@claim(
    "color",
    "For greater epsilon the attack becomes very obvious when looking at the image.",
)
def very_obvious(color):
    """At 8/255 ΔE is more than twice 2.3."""
    return color[8] > 4.6, f"ΔE is {color[8]:.1f}."


def color_text(color: dict[int, float]) -> str:
    return "ΔE is " + ", ".join(f"{value:.1f}" for value in color.values())


# %% tags=["remove-cell"]
@claim(
    766,
    "Note that this image has a very high initial confidence of 99.99%.",
)
def starts_at_99_99(c):
    """The clean confidence, in percent, rounds to 99.99."""
    start = c.at(0)["confidence"]
    return round(100 * start, 2) == 99.99, f"It starts at {start:.3%}."


@claim(766, "the confidence drops sharply at the beginning")
def drops_sharply(c):
    """At 2/255 it is less than half of the clean one."""
    start, there = c.at(0)["confidence"], c.at(2)["confidence"]
    return there < start / 2, f"From {start:.2%} to {there:.2%} at 2/255."


@claim(766, "and stays below 0.4")
def stays_below(c):
    """Once it is below 0.4, it stays there, to 20/255."""
    rest = c.rows[(c.rows["confidence"] < 0.4).cummax()]
    if rest.empty:
        return False, f"It is never below 0.4, {upto(c.rows)}."
    first, most = rest["epsilon_255"].iloc[0], rest["confidence"].max()
    return (
        most < 0.4,
        f"At most {most:.2f} from {eps(first)} on, {upto(c.rows)}.",
    )


@claim(
    766,
    "the attack is able to change the class at epsilon 4 at very low confidence",
)
def fooled_at_4(c):
    """At 4/255 the class is wrong, with a confidence below 0.2."""
    row = c.at(4)
    text = f"At 4/255 it sees {row['class']}, with {row['confidence']:.1%}."
    return not row["correct"] and row["confidence"] < 0.2, text


@claim(
    766,
    "it changes right back to the correct class for increasing attack intensity",
)
def changes_right_back(c):
    """At the ε of the grid after the first wrong one, the class is right."""
    wrong = c.wrong()["epsilon_255"]
    after = c.rows[c.rows["epsilon_255"] > wrong.iloc[0]]
    if after.empty:
        raise NotThere("It is fooled only at the last ε of the grid.")
    return after["correct"].iloc[
        0
    ], f"It is wrong at {listed(wrong)} ({upto(c.rows)})."


@claim(
    766, "for only one epsilon a false class is predicted at low confidence"
)
def wrong_at_one_epsilon(c):
    """The class is wrong at exactly one ε to 20/255, with a confidence below 0.4."""
    wrong, most = c.wrong()["epsilon_255"], c.wrong()["confidence"].max()
    text = f"Wrong at {listed(wrong)}, with at most {most:.1%} ({upto(c.rows)})."
    return len(wrong) == 1 and most < 0.4, text


def returned(c: Curve) -> tuple[pd.Series, pd.Series]:
    """Where the right class first returns, and the ε before."""
    rest = c.rows[
        c.rows["epsilon_255"] >= c.wrong()["epsilon_255"].iloc[0]
    ].reset_index(drop=True)
    if not rest["correct"].any():
        raise NotThere(f"The right class never returns, {upto(rest)}.")
    place = rest["correct"].astype(bool).idxmax()
    return rest.loc[place], rest.loc[place - 1]


@claim(
    766,
    "outputs the correct class again, at lower confidence. [than that of the false class]",
)
def lower_than_false(c):
    """Where the right class returns, its confidence is below that of the false class before."""
    here, before = returned(c)
    text = f"{before['confidence']:.1%} at {eps(before['epsilon_255'])} (false)"
    text += (
        f", {here['confidence']:.1%} at {eps(here['epsilon_255'])} (right)."
    )
    return here["confidence"] < before["confidence"], text


@claim(
    766,
    "outputs the correct class again, at lower confidence. [than at the start]",
)
def lower_than_at_start(c):
    """Wherever the right class is back, to 20/255, its confidence is below the clean one."""
    back = c.rows[c.rows["epsilon_255"] >= returned(c)[0]["epsilon_255"]]
    start, most = (
        c.at(0)["confidence"],
        back.loc[back["correct"].astype(bool), "confidence"].max(),
    )
    return (
        most < start,
        f"{start:.2%} at the start, at most {most:.2%} after its return.",
    )


# %% tags=["remove-cell"]
@claim("top", "At the same time the confidence should drop slightly")
def drops_slightly(c):
    """Mean confidence never falls by more than a fifth, to 60/255."""
    start, lowest = c.at(0)["confidence"], c.low["epsilon_255"]
    found = c.level(lowest, lowest, "confidence")
    return judged(
        found, 0.8 * start
    ), f"From {number(start)} to {said(found)} at {eps(lowest)}."


@claim(
    "top",
    "initially decreases and then slightly increases again. This L-shaped […] distribution",
)
def l_shape(c):
    """Mean confidence falls early and regains a tenth to half of the fall, to 60/255."""
    return c.shape == "L with a rise", f"{c.course}: {c.shape}."


@claim(
    "top", "shows that this could be the case in the majority of images."
)
def l_shape_in_most(c):
    """More than half of these images have an L, with or without a rise, to 60/255."""
    if c.images is None:
        raise NotThere("There are no curves of single images.")
    shapes = Counter(
        Curve(rows).shape for _, rows in c.images.groupby("sample")
    )
    count = sum(n for name, n in shapes.items() if name.startswith("L"))
    found = analysis.rate(count, shapes.total())
    text = ", ".join(f"{n} {name}" for name, n in shapes.most_common())
    return judged(
        found, 0.5
    ), f"{count} of {found.n}, {said(found)}: {text}."


@claim("top", "First, it decreases strongly. [the accuracy]")
def accuracy_falls(c):
    """By 4/255 top-1 accuracy has lost at least a third."""
    found = c.level(4, 4)
    return judged(
        found, 2 / 3, below=True
    ), f"From 1 to {said(found)}, {found.n} images."


@claim(
    "top",
    "At an epsilon of around 4 however, it increases again until […] around 10.",
)
def accuracy_rises(c):
    """Top-1 accuracy at 10/255 is above that at 4/255."""
    change = c.change("top1", 4, 10)
    count = number(change.value * change.n, 0, "+")
    return judged(change), f"{count} of {change.n} images: {said(change)}."


def lowest_around(c: Curve, epsilon_255: float) -> tuple[str, str]:
    """Whether confidence is lower within a factor of 1.5 of an ε than anywhere else."""
    rows = c.rows.set_index("epsilon_255")["confidence"]
    near = (rows.index >= epsilon_255 / 1.5) & (
        rows.index <= epsilon_255 * 1.5
    )
    if not near.any():
        raise NotThere(f"No ε of the grid is around {eps(epsilon_255)}.")
    here, other = rows[near].idxmin(), rows[~near].idxmin()
    change = c.change("confidence", other, here)
    text = f"{rows[here]:.3f} at {eps(here)}, elsewhere lowest {rows[other]:.3f} at {eps(other)}"
    return judged(change, below=True), f"{text}: {said(change)}."


@claim(
    "top",
    "roughly the same point where the confidence hits its minimum. [10/255]",
)
def lowest_at_10(c):
    """“The point” is the ε named last: mean confidence is lowest around 10/255."""
    return lowest_around(c, 10)


@claim(
    "top",
    "roughly the same point where the confidence hits its minimum. [4/255]",
)
def lowest_at_4(c):
    """“The point” is where accuracy turns upward: mean confidence is lowest around 4/255."""
    return lowest_around(c, 4)


@claim(
    "top",
    "After this increase it decreases monotonously for the rest of the range",
)
def falls_again(c):
    """From 10 to 60/255 top-1 accuracy ends lower, and no step clearly raises it."""
    grid = [e for e in c.rows["epsilon_255"] if 10 <= e <= 60]
    if len(grid) < 2:
        raise NotThere("The grid has no two ε from 10 to 60/255.")
    whole = c.change("top1", grid[0], grid[-1])
    steps = [c.change("top1", *pair) for pair in pairwise(grid)]
    text = f"It changes by {said(whole)}, from {eps(grid[0])} to {eps(grid[-1])}."
    return FAILS if any(step.low > 0 for step in steps) else judged(
        whole, below=True
    ), text


@claim(
    "top",
    "The top 5 accuracy follows the same trend with an offset, as expected.",
)
def top5_follows(c):
    """Over ε, top-1 and top-5 have a rank correlation of at least 0.9. (That top-5 is larger, is
    so by construction.)"""
    if min(c.rows["top1"].nunique(), c.rows["top5"].nunique()) < 2:
        raise NotThere("One of the two never changes.")
    rho = spearmanr(c.rows["top1"], c.rows["top5"]).statistic
    return rho >= 0.9, f"ρ = {number(rho)}, {upto(c.rows)}."


@claim("top", "it is hard to craft adversarial examples from them.")
def hard_to_fool(c):
    """At 4/255, called only slightly perceptible, fewer than half are fooled."""
    right = c.level(4, 4)
    text = f"{(1 - right.value) * right.n:.0f} of {right.n} are fooled at 4/255"
    return judged(right, 0.5), f"{text}; right are {said(right)}."


# %% tags=["remove-cell"]
@claim(
    "bins",
    "The higher the initial confidence is, the smaller the slope of the accuracy should be.",
)
def smaller_slope(bins):
    """At 0.5/255 top-1 accuracy, which starts at 1, has fallen more the lower the bin."""
    return trend(bins, lambda c: c.level(0.5, 0.5))


@claim(
    "bins", "for lower initial confidence the drop in accuracy is stronger"
)
def stronger_drop(bins):
    """The lower the bin, the lower is mean top-1 accuracy over the grid's ε from 0.1 to 4/255."""
    return trend(bins, lambda c: c.level(0.1, 4))


@claim("bins", "and levels out at lower values. [after the drop]")
def lower_level_after_drop(bins):
    """The lower the bin, the lower is top-1 accuracy at 4/255, where the steep drop is over."""
    return trend(bins, lambda c: c.level(4, 4))


@claim("bins", "and levels out at lower values. [at large ε]")
def lower_level_at_large(bins):
    """The lower the bin, the lower is mean top-1 accuracy over the grid's ε from 20 to 60/255."""
    return trend(bins, lambda c: c.level(20, 60))


@claim(
    "bins",
    "their trend is similar for all initial confidences. [of the confidences]",
)
def same_trend(bins):
    """Mean confidence has the same shape in every bin, to 60/255."""
    shapes = {name: c.shape for name, c in bins.items()}
    text = "; ".join(f"{name}: {found}" for name, found in shapes.items())
    return len(set(shapes.values())) == 1, f"{text}."


@claim(
    "bins",
    "The initial decrease is stronger for lower initial values. [of the confidence]",
)
def confidence_falls_more(bins):
    """At 0.1/255, the smallest ε, mean confidence has lost more the lower the bin."""

    def loss(c: Curve) -> Estimate:
        start = c.at(0)
        lost = max(start["confidence"] - c.at(0.1)["confidence"], 0)
        return analysis.rate(lost * start["n"], start["n"])

    return trend(bins, loss, rises=True)


@claim(
    "bins",
    "the higher the initial confidence is, the harder it is to attack the model",
)
def harder(bins):
    """The lower the bin, the lower is mean top-1 accuracy over all attacks, from 0.1 to 60/255."""
    return trend(bins, lambda c: c.level(0.1, 60))


@claim(
    "all",
    "the manipulated images are often perceptible for humans. [where needed]",
)
def perceptible_where_needed(c):
    """It takes a visible step to fool most images: more than half of those that are right at first
    are still right at 2/255, where ΔE is below 2.3."""
    correct, right = (
        c.at(0)["top1"] * c.at(0)["n"],
        c.at(2)["top1"] * c.at(2)["n"],
    )
    found = analysis.rate(right, correct)
    return judged(
        found, 0.5
    ), f"At most {right:.0f} of {correct:.0f}, {said(found)}."


# %% tags=["remove-cell"]
@claim(
    "singles",
    "can be found in some individual images as well [the L-shape]",
)
def l_shape_in_some(singles):
    """At least two of the three shown have an L, with or without a rise, to 20/255."""
    if len(singles) < 3:
        raise NotThere("Not all three have a curve.")
    shapes = {sample: c.shape for sample, c in singles.items()}
    text = "; ".join(
        f"{sample}: {found}" for sample, found in shapes.items()
    )
    return sum(
        found.startswith("L") for found in shapes.values()
    ) >= 2, f"{text}."


@claim(
    132,
    "It is nor possible craft an adversarial example from this image [to 20/255]",
)
def never_fooled(c):
    """The class is right at every ε of the figure, to 20/255."""
    wrong = c.rows.loc[~c.rows["correct"].astype(bool), "epsilon_255"]
    text = (
        f"Wrong at {listed(wrong)}"
        if len(wrong)
        else f"Right at all {len(c.rows)} values of ε"
    )
    return wrong.empty, f"{text}, {upto(c.rows)}."


@claim(
    "132 on",
    "It is nor possible craft an adversarial example from this image [at any ε]",
)
def never_fooled_at_all(c):
    """The class is right at every ε of a grid that goes on to 128/255."""
    holds, numbers = never_fooled(c)
    if holds and c.rows["epsilon_255"].max() < 128:
        raise NotThere(f"The curve is only known {upto(c.rows)}.")
    return holds, numbers


@claim(132, "the confidence follows a U shape")
def u_shape(c):
    """It falls, then rises again by at least half of the fall, to 20/255."""
    return c.shape == "U", f"{c.course}: {c.shape}."


@claim(132, "and reaches almost the initial value again.")
def recovers(c):
    """At 20/255 it is within 5 points of the clean one, after a fall of more."""
    start, low, end = (
        c.at(0)["confidence"],
        c.low["confidence"],
        c.at(20)["confidence"],
    )
    return start - low > 0.05 and abs(end - start) <= 0.05, f"{c.course}."


@claim(
    528, "An example for lower initial confidence of 80% is shown below."
)
def starts_at_80(c):
    """The clean confidence is within 5 points of 80%."""
    start = c.at(0)["confidence"]
    return abs(start - 0.8) <= 0.05, f"It starts at {start:.1%}."


@claim(528, "the attack successfully causes a false prediction early on.")
def fooled_early(c):
    """The class is wrong at some ε of at most 1/255."""
    first = c.wrong()["epsilon_255"].iloc[0]
    return first <= 1, f"First wrong at {eps(first)}."


@claim(528, "The falsely predicted class changes while increasing epsilon.")
def class_changes(c):
    """More than one false class is predicted, to 20/255."""
    if "class" not in c.rows:
        raise NotThere("The curve does not tell which class was predicted.")
    names = list(dict.fromkeys(c.wrong()["class"]))
    return len(names) > 1, f"{', '.join(names)} ({upto(c.rows)})."


@claim(528, "The confidence seems to be levelled out at around 15%.")
def level_of_15(c):
    """From the first false prediction to 20/255 it is within 5 points of 15%."""
    first = c.wrong()["epsilon_255"].iloc[0]
    values = c.rows.loc[c.rows["epsilon_255"] >= first, "confidence"]
    text = f"{values.min():.1%} to {values.max():.1%} from {eps(first)} on, {upto(c.rows)}."
    return values.between(0.1, 0.2).all(), text


# %% tags=["remove-cell"]
# What was measured in the original's page and figures, in levels of 255 and ΔE.
PAGE = {
    "link": "1607.02533",
    "perturbation": (117, 129),
    "series": [0, 4, 8, 12, 16],
    "noise": [1.74, 3.39, 5.89, 8.50, 11.15],
    "bins": [
        (round(100 * low), round(100 * high))
        for low, high, _ in published.BINS.values()
    ],
    "starts": {
        analysis.bin_name(low, high): published.bin_curve(key)["top1"][0]
        for key, (low, high, _) in published.BINS.items()
    },
}
COLOR = {4: 3.14, 8: 6.23, 12: 9.28, 16: 12.32}


def evidence(
    bins: dict, everything: pd.DataFrame | None, samples: dict, color: dict
) -> dict:
    """By what claims are about: curves; what is not there is left out."""
    bins = {name: curve for name, curve in bins.items() if len(curve.rows)}
    right = {
        s: rows
        for s, rows in samples.items()
        if rows is not None and rows["correct"].iloc[0]
    }
    found = {
        s: Curve(rows[rows["epsilon_255"] <= 20])
        for s, rows in right.items()
    }
    found |= {"singles": dict(found), "bins": bins, "color": color}
    found |= {"top": bins[TOP]} if TOP in bins else {}
    found |= {"132 on": Curve(right[132])} if 132 in right else {}
    found |= {"all": Curve(everything)} if everything is not None else {}
    return {key: value for key, value in found.items() if value != {}}


def theirs() -> dict:
    """The author's published numbers."""
    bins = {
        analysis.bin_name(low, high): Curve(
            published.bin_curve(key).assign(n=n)
        )
        for key, (low, high, n) in published.BINS.items()
    }
    samples = {
        sample: published.sample_curve(sample)
        for sample in published.SAMPLES
    }
    for rows in samples.values():
        if "predicted_class" in rows:
            rows["class"] = rows["predicted_class"].map(short_name)
    everything = published.all_samples_curve().assign(n=1000)
    return evidence(bins, everything, samples, COLOR) | {"page": PAGE}


def recorded() -> dict:
    """This project's recorded run on the photographs; empty without one."""
    bins = {
        name: Curve(rows) for name, rows in published.record_bins().items()
    }
    samples = {
        sample: published.record_sample(sample)
        for sample in published.SAMPLES
    }
    return evidence(bins, published.record_curve(), samples, {})


def measured(study) -> dict:
    """This run, on the author's photographs."""
    table, grids, case = (
        study.table(),
        study.profile.epsilon_255,
        study.case(766),
    )
    names = table["predicted_class"].map(dict(enumerate(study.names)))
    table = table.assign(**{"class": names})
    rows, bins = analysis.at(table, grids.hypothesis), {}
    for edges in analysis.ORIGINAL_BINS:
        images = rows[
            rows["sample"].isin(analysis.initially_correct(table, *edges))
        ]
        bins[analysis.bin_name(*edges)] = Curve(
            analysis.curve(images), images
        )
    everything = analysis.curve(analysis.at(table, grids.all_images))
    samples = {
        sample: table[table["sample"] == sample]
        for sample in published.SAMPLES
    }
    color = {
        epsilon: delta_e(case.image, case.adversarial(epsilon))
        for epsilon in COLOR
    }
    return evidence(bins, everything, samples, color)


# %% tags=["remove-cell"]
study, record = open_study(profile), published.record()
original = published.covers_all(study.pictures)
sides = {"published": theirs()}
if original:
    sides["this run"], network = (
        measured(study),
        network_name(study.classifier.name),
    )
elif record:
    sides["recorded run"], network = (
        recorded(),
        network_name(record["provenance"]["classifier"]),
    )
judgments = {
    each: [
        each.judge(side)
        for side in list(sides.values())[
            : 1 if each.about == "page" else None
        ]
    ]
    for each in CLAIMS
}

# %% tags=["remove-cell"]
SYMBOLS = dict(zip(VERDICTS, "✓✗≈?", strict=True))


def kind(verdict: str) -> str:
    return verdict.replace(" ", "-")


def cells(found: list[tuple[str, str]]) -> str:
    """The verdicts: symbol and word, and a dash where the claim is not about what is measured."""
    texts = [
        f'<span class="verdict {kind(verdict)}"><b aria-hidden="true">{SYMBOLS[verdict]}</b> '
        f"{verdict}</span>"
        for verdict, _ in found
    ] + ["–"] * (len(sides) - len(found))
    pairs = zip(sides, texts, strict=True)
    return "".join(
        f'<td data-label="{escape(side)}">{text}</td>'
        for side, text in pairs
    )


def row(each: Claim, found: list[tuple[str, str]]) -> str:
    """The author's words and the verdicts; opened, the rule, the numbers and the rule's code."""
    differ = len({verdict for verdict, _ in found} - {UNKNOWN}) > 1
    numbers = "".join(
        f"<p><b>{escape(side).capitalize()}:</b> {escape(numbers)}</p>"
        for side, (_, numbers) in zip(sides, found, strict=False)
    )
    source = inspect.getsource(each.rule)
    source = escape(source[source.index("def ") :].rstrip()).replace(
        "\n", "&#10;"
    )
    return (
        f'<tr id="{each.id}" data-is="{kind(found[0][0])}{" differs" * differ}"><th scope="row">'
        f"<details><summary>“{escape(each.quote)}”</summary>"
        f"<p><b>Rule:</b> {escape(each.reading)}</p>{numbers}"
        f"<details><summary>The rule in Python</summary><pre>{source}</pre></details>"
        f'<p><a href="#{each.id}">Link to this claim</a></p></details></th>{cells(found)}</tr>'
    )


def claims_table() -> str:
    """One line of HTML: every claim, by what it is about; claims.js brings the buttons to life."""
    first = Counter(found[0][0] for found in judgments.values())
    filters = {"": f"all {len(CLAIMS)}"}
    filters |= {kind(v): f"{SYMBOLS[v]} {v}: {first[v]}" for v in VERDICTS}
    filters |= {"differs": "the two differ"} if len(sides) > 1 else {}
    buttons = "".join(
        f'<button type="button" value="{value}" aria-pressed="{str(not value).lower()}">{text}'
        "</button>"
        for value, text in filters.items()
    )
    heads = "".join(
        f'<th scope="col">{escape(head)}</th>' for head in ("claim", *sides)
    )
    groups = "".join(
        f'<tbody><tr><th scope="rowgroup" colspan="{1 + len(sides)}">{title}</th></tr>'
        + "".join(
            row(each, found)
            for each, found in judgments.items()
            if each.about == about
        )
        + "</tbody>"
        for about, title in ABOUT.items()
    )
    return (
        '<div class="claims"><div class="filter" role="group" aria-label="Claims by their verdict '
        f'on the published numbers">{buttons}</div><table class="results"><thead><tr>{heads}</tr>'
        f"</thead>{groups}</table></div>"
    )


# %% tags=["remove-input"]
def counts(place: int) -> str:
    found = Counter(
        each[place][0] for each in judgments.values() if len(each) > place
    )
    return (
        f"**{found[HOLDS]} hold and {found[FAILS]} do not**; {found[CLOSE]} are too close to tell, "
        f"{found[UNKNOWN]} cannot be judged"
    )


say(
    f"Of {len(CLAIMS)} claims, on the author's own published numbers {counts(0)}."
)
if len(sides) > 1:
    both = sum(len(found) > 1 for found in judgments.values())
    say(
        f"{both} of them can be put to a run, too. With {network} on the same photographs "
        f"({list(sides)[1]}), {counts(1)}. Where the two differ, that does not contradict the "
        "author's data: it tells how far a claim depends on the network and the objective."
    )
else:
    say(
        "Other pictures prove nothing about the author's, so there is no verdict on those of this site."
    )

# %% tags=["remove-input"]
say(
    "On the published numbers, these do not hold:\n\n"
    + "\n".join(
        f'- <a href="#{each.id}">“{escape(each.quote)}”</a> {escape(found[0][1])}'
        for each, found in judgments.items()
        if found[0][0] == FAILS
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
code(trend)


# %% tags=["remove-cell"]
NAMES = {"top1": "top-1 accuracy", "top5": "top-5 accuracy"}


def distances(published_side: dict, run: dict) -> pd.DataFrame:
    """How far a run lies from every published curve, over the ε that both have."""
    pairs = {"all images": (published_side["all"], run["all"])}
    pairs |= {
        k: (published_side["bins"][k], c) for k, c in run["bins"].items()
    }
    pairs |= {
        f"sample {s}": (published_side[s], run[s])
        for s in published.SAMPLES
        if s in run
    }
    rows = []
    for name, (one, other) in pairs.items():
        both = one.rows.merge(
            other.rows, on="epsilon_255", suffixes=("", "_here")
        )
        for column in both.columns.intersection(
            ["top1", "top5", "confidence"]
        ):
            gap = (both[f"{column}_here"] - both[column]).abs()
            texts = (f"{gap.max():.3f}", f"{np.sqrt((gap**2).mean()):.3f}")
            what = NAMES.get(column, column)
            rows.append((f"{name}, {what}", len(gap), *texts))
    columns = [
        "published curve",
        "ε",
        "largest distance",
        "root mean square",
    ]
    return pd.DataFrame(rows, columns=columns)


# %% tags=["remove-input"]
if original:
    show(
        distances(*sides.values()),
        name="tab-distances",
        caption="How far this run lies from every published curve, over the ε that both have. The "
        "published one is GoogLeNet's, under the true logit and with the second clip; this run is of "
        f"{network}, under {'the true logit' if study.profile.objective == 'true_logit' else 'cross-entropy'}"
        f" and {'with' if study.profile.clip == 'image' else 'without'} that clip.",
    )

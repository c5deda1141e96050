"""Every checkable statement of the original page, judged by a written rule.

A claim is the author's words, a reading (the rule by which they are judged, in one line) and a
small function. The function sees an ``Evidence``: the same frames for the published numbers and
for a run, so both are judged alike, and a claim that the author's own data do not bear out shows
as plainly as one that does not reproduce. What is not there to judge by (an empty bin, another
photograph, a missing file) gives "cannot be judged" and says why.

Three words recur. "Around" an ε is within a factor of 1.5, "around" a confidence is within 5
points, and a shape (L, U) is what ``analysis.curve_shape`` calls it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from fgsm_lib import analysis, published
from fgsm_lib.cases import short_name
from fgsm_lib.perception import JUST_NOTICEABLE_DELTA_E

HOLDS = "holds"
FAILS = "does not hold"
UNKNOWN = "cannot be judged"
VERDICTS = (HOLDS, FAILS, UNKNOWN)

Bin = tuple[float, float]


@dataclass(frozen=True)
class Judgment:
    """A verdict (one of ``VERDICTS``) and the numbers, or the reason, behind it."""

    verdict: str
    evidence: str


@dataclass(frozen=True)
class Evidence:
    """What claims are judged by. Whatever is missing is left out, with a reason in ``absent``.

    ``bins``: (low, high] of the clean confidence -> epsilon_255, n, top1, top5, confidence, means
    over the initially correct images; from the most to the least confident. ``everything``: the
    same over all images. ``samples``: epsilon_255, correct, confidence and, where it is known,
    predicted_class. ``images``: sample, epsilon_255, confidence of each single image above 99%.
    ``colors``: epsilon_255 and delta_e, the mean color difference to the clean image.
    ``series_255``: the steps in the original's series of pictures. ``stand_ins`` are samples that
    are other pictures, chosen to play the part of the original's. ``absent``: what is not there
    ("images", "sample 766", a bin's name) -> why.
    """

    source: str
    bins: Mapping[Bin, pd.DataFrame] = field(default_factory=dict)
    everything: pd.DataFrame | None = None
    samples: Mapping[int, pd.DataFrame] = field(default_factory=dict)
    images: pd.DataFrame | None = None
    colors: pd.DataFrame | None = None
    series_255: tuple[float, ...] = ()
    stand_ins: frozenset[int] = frozenset()
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """One statement of the original page and how it is judged."""

    id: str
    part: str
    title: str
    statement: str
    reading: str
    function: Callable[[Evidence], Judgment]
    sample: int | None = None

    def judge(self, evidence: Evidence) -> Judgment:
        """The verdict on some evidence."""
        try:
            judgment = self.function(evidence)
        except _NotThere as reason:
            judgment = Judgment(UNKNOWN, str(reason))
        if self.sample in evidence.stand_ins:
            note = f"(Sample {self.sample} is another picture here, chosen to play this part.)"
            return Judgment(judgment.verdict, f"{judgment.evidence} {note}")
        return judgment


class _NotThere(Exception):
    """What a claim is to be judged by is missing; the message is a sentence that says why."""


PARTS = ("Sample 766", "The most confident images", "Confidence levels compared", "Single images")
CLAIMS: list[Claim] = []


def _claim(id: str, part: int, title: str, statement: str, reading: str, sample=None):
    """Enter the decorated function in ``CLAIMS`` and leave it as it is."""

    def enter(function: Callable[[Evidence], Judgment]) -> Callable[[Evidence], Judgment]:
        CLAIMS.append(Claim(id, PARTS[part], title, statement, reading, function, sample))
        return function

    return enter


# --- sample 766 and its pictures ----------------------------------------------------------------


@_claim(
    "766-series",
    0,
    "The series shows ε = 0, 4, 8, 12, 6",
    "Here the values for epsilon are: 0, 4/255, 8/255, 12/255 and 6/255.",
    "Measured in the original's own figure, each picture lies as far from the first as it says.",
)
def series_values(evidence: Evidence) -> Judgment:
    if not evidence.series_255:
        raise _NotThere("This is about the figure of the original page.")
    said = (0, 4, 8, 12, 6)
    right = np.allclose(evidence.series_255, said, atol=0.5)
    measured = ", ".join(f"{value:g}" for value in evidence.series_255)
    return _judgment(right, f"Measured: {measured} gray levels of 255 from the first picture.")


@_claim(
    "766-more-visible",
    0,
    "The change becomes more and more obvious",
    "With increasing attack strength this becomes more and more obvious",
    "The mean color difference ΔE to the clean image grows from each ε to the next, 4 to 16/255.",
)
def more_visible(evidence: Evidence) -> Judgment:
    values = [_color(evidence, epsilon) for epsilon in (4, 8, 12, 16)]
    text = ", ".join(f"{value:.1f}" for value in values)
    return _judgment(_falls(values[::-1]), f"ΔE is {text} at 4, 8, 12 and 16/255.")


@_claim(
    "766-start",
    0,
    "766 starts at 99.99%",
    "Note that this image has a very high initial confidence of 99.99%.",
    "The clean confidence, in percent, rounds to 99.99.",
    sample=766,
)
def start_of_766(evidence: Evidence) -> Judgment:
    start = _sample(evidence, 766)["confidence"].iloc[0]
    return _judgment(round(100 * start, 2) == 99.99, f"It starts at {start:.3%}.")


@_claim(
    "766-drop",
    0,
    "766: confidence drops sharply",
    "the confidence drops sharply at the beginning",
    "At 2/255 it is less than half of what it is on the clean image.",
    sample=766,
)
def drop_of_766(evidence: Evidence) -> Judgment:
    rows = _sample(evidence, 766)
    start, early = rows["confidence"].iloc[0], _at(rows, "confidence", 2)
    return _judgment(early < start / 2, f"From {start:.2%} to {early:.2%} at 2/255.")


@_claim(
    "766-below-0.4",
    0,
    "766: confidence stays below 0.4",
    "and stays below 0.4",
    "Once it is below 0.4, it is below 0.4 at every larger ε of the grid.",
    sample=766,
)
def low_end_of_766(evidence: Evidence) -> Judgment:
    rows = _sample(evidence, 766)
    below = rows["confidence"] < 0.4
    if not below.any():
        low = rows["confidence"].min()
        return _judgment(False, f"It is never below 0.4; its lowest value is {low:.2f}.")
    first = rows.loc[below.idxmax() :]
    if len(first) < 2:
        raise _NotThere("It falls below 0.4 only at the last ε of the grid.")
    top = first.loc[first["confidence"].idxmax()]
    return _judgment(
        bool(below.loc[below.idxmax() :].all()),
        f"Below 0.4 from {eps(first['epsilon_255'].iloc[0])} on; "
        f"the highest value from there is {top['confidence']:.2f} at {eps(top['epsilon_255'])}.",
    )


@_claim(
    "766-fooled-at-4",
    0,
    "766 is fooled at ε = 4 with very low confidence",
    "the attack is able to change the class at epsilon 4 at very low confidence",
    "At 4/255 the class is wrong, with a confidence below 0.2.",
    sample=766,
)
def fooled_766(evidence: Evidence) -> Judgment:
    rows = _sample(evidence, 766)
    correct, confidence = (bool(_at(rows, "correct", 4)), _at(rows, "confidence", 4))
    seen = "correct" if correct else _wrong(rows[np.isclose(rows["epsilon_255"], 4)])
    return _judgment(
        not correct and confidence < 0.2, f"At 4/255 the class is {seen}, with {confidence:.1%}."
    )


@_claim(
    "766-back",
    0,
    "766 changes right back",
    "it changes right back to the correct class for increasing attack intensity",
    "At the ε of the grid that follows the first wrong one, the class is correct.",
    sample=766,
)
def back_766(evidence: Evidence) -> Judgment:
    first, after = _after_first_wrong(evidence, 766)
    back = bool(after["correct"].iloc[0])
    again = after.loc[~after["correct"], "epsilon_255"].tolist()
    text = f"First wrong at {eps(first)}, {'right again' if back else 'still wrong'} at "
    text += eps(after["epsilon_255"].iloc[0])
    return _judgment(back, text + (f", and wrong at {_list(again)}." if back and again else "."))


@_claim(
    "766-one-epsilon",
    0,
    "766: a false class at one ε only",
    "for only one epsilon a false class is predicted at low confidence",
    "The class is wrong at exactly one ε of the grid, with a confidence below 0.4.",
    sample=766,
)
def one_epsilon_766(evidence: Evidence) -> Judgment:
    rows = _sample(evidence, 766)
    wrong = rows[~rows["correct"]]
    if wrong.empty:
        return _judgment(False, f"It is wrong at no ε up to {eps(rows['epsilon_255'].max())}.")
    text = f"It is wrong at {_list(wrong['epsilon_255'])}"
    text += f", with at most {wrong['confidence'].max():.1%}."
    return _judgment(len(wrong) == 1 and wrong["confidence"].max() < 0.4, text)


@_claim(
    "766-lower-again",
    0,
    "766 comes back at lower confidence",
    "Further increasing the attack interestingly outputs the correct class again, at lower "
    "confidence.",
    "Where the correct class first returns, its confidence is below that of the false class at "
    "the ε before.",
    sample=766,
)
def lower_again_766(evidence: Evidence) -> Judgment:
    first, after = _after_first_wrong(evidence, 766)
    back = after[after["correct"]]
    if back.empty:
        return _judgment(False, f"Wrong from {eps(first)} on: the correct class never returns.")
    rows = _sample(evidence, 766)
    here = back.iloc[0]
    before = rows[rows["epsilon_255"] < here["epsilon_255"]].iloc[-1]
    text = (
        f"{before['confidence']:.1%} at {eps(before['epsilon_255'])} (false), "
        f"{here['confidence']:.1%} at {eps(here['epsilon_255'])} (correct)"
    )
    higher = back.loc[back["confidence"] > before["confidence"], "epsilon_255"]
    lower = bool(here["confidence"] < before["confidence"])
    if lower and len(higher):
        text += f"; at {_list(higher)} the correct class is above that"
    return _judgment(lower, text + ".")


# --- the bin of 99-100% ------------------------------------------------------------------------

TOP_BIN: Bin = (0.99, 1.0)


@_claim(
    "99-l-shape",
    1,
    "Confidence is L-shaped",
    "the confidence initially decreases and then slightly increases again. This L-shaped "
    "confidence distribution",
    "Mean confidence falls, then regains at least a tenth but less than half of the fall.",
)
def l_shape(evidence: Evidence) -> Judgment:
    curve = _bin(evidence, TOP_BIN)
    shape = analysis.curve_shape(curve["confidence"])
    return _judgment(shape == "L with a rise", f"{_path(curve)} The shape: {shape}.")


@_claim(
    "l-in-single-images",
    1,
    "Some single images are L-shaped too",
    "can be found in some individual images as well (see below)",
    "At least two of the three images shown, 766, 132 and 528, have an L-shape, with or without "
    "a rise.",
)
def l_in_single_images(evidence: Evidence) -> Judgment:
    shapes = {}
    for sample in published.SAMPLES:
        try:
            confidence = _sample(evidence, sample)["confidence"]
            shapes[sample] = analysis.curve_shape(confidence)
        except _NotThere:
            shapes[sample] = UNKNOWN
    found = sum(shape.startswith("L") for shape in shapes.values())
    text = "; ".join(f"{sample}: {shape}" for sample, shape in shapes.items()) + "."
    if found < 2 <= found + list(shapes.values()).count(UNKNOWN):
        return Judgment(UNKNOWN, text)
    return _judgment(found >= 2, text)


@_claim(
    "l-in-most-images",
    1,
    "The majority of images could be L-shaped",
    "The fact that the average follows a similar pattern shows that this could be the case in "
    "the majority of images.",
    "More than half of the single images of this bin have an L-shape, with or without a rise.",
)
def l_in_most_images(evidence: Evidence) -> Judgment:
    if evidence.images is None or evidence.images.empty:
        raise _NotThere(evidence.absent.get("images", "There are no curves of single images."))
    curves = evidence.images.sort_values("epsilon_255").groupby("sample")["confidence"]
    if curves.size().min() < 3:
        raise _NotThere("There are fewer than three values of ε.")
    shapes = curves.apply(analysis.curve_shape)
    count = int(shapes.str.startswith("L").sum())
    others = shapes[~shapes.str.startswith("L")].value_counts()
    rest = ", ".join(f"{number} {shape}" for shape, number in others.items()) or "none"
    return _judgment(
        count > len(shapes) / 2, f"{count} of {_images(len(shapes))}; the others: {rest}."
    )


@_claim(
    "99-slight-expected",
    1,
    "Confidence should drop only slightly",
    "At the same time the confidence should drop slightly",
    "Mean confidence never falls by more than a fifth of what it is on clean images.",
)
def slight_drop(evidence: Evidence) -> Judgment:
    curve = _bin(evidence, TOP_BIN)
    start, low = curve["confidence"].iloc[0], curve["confidence"].min()
    if start <= 0:
        raise _NotThere("The confidence on clean images is zero.")
    return _judgment(
        start - low <= start / 5,
        f"{_path(curve)} It loses {(start - low) / start:.0%} at its lowest.",
    )


@_claim(
    "visible-slight",
    1,
    "Up to ε ≈ 4 the attack is only slightly perceptible",
    "up to an epsilon of around 4, the attack is only slightly perceptible.",
    f"At 4/255 the mean color difference ΔE is at most twice {JUST_NOTICEABLE_DELTA_E}, which is "
    "just noticeable between plain patches.",
)
def slightly_visible(evidence: Evidence) -> Judgment:
    value = _color(evidence, 4)
    return _judgment(value <= 2 * JUST_NOTICEABLE_DELTA_E, _visible(value, 4))


@_claim(
    "visible-obvious",
    1,
    "Beyond, it is very obvious",
    "For greater epsilon the attack becomes very obvious when looking at the image.",
    f"At 8/255 the mean color difference ΔE is more than twice {JUST_NOTICEABLE_DELTA_E}.",
)
def obviously_visible(evidence: Evidence) -> Judgment:
    value = _color(evidence, 8)
    return _judgment(value > 2 * JUST_NOTICEABLE_DELTA_E, _visible(value, 8))


@_claim(
    "99-accuracy-falls",
    1,
    "Accuracy first falls strongly",
    "First, it decreases strongly.",
    "By 4/255 top-1 accuracy has lost at least a third of what it is on clean images.",
)
def accuracy_falls(evidence: Evidence) -> Judgment:
    curve = _bin(evidence, TOP_BIN)
    start, value = curve["top1"].iloc[0], _at(curve, "top1", 4)
    return _judgment(value <= start * 2 / 3, f"From {start:.3f} to {value:.3f} at 4/255.")


@_claim(
    "99-accuracy-rises",
    1,
    "Accuracy rises from ε ≈ 4 to ε ≈ 10",
    "At an epsilon of around 4 however, it increases again until it reaches an epsilon for "
    "around 10.",
    "The first rise of top-1 accuracy over the grid begins around 4/255 and ends around 10/255.",
)
def accuracy_rises(evidence: Evidence) -> Judgment:
    curve = _bin(evidence, TOP_BIN)
    rise = _first_rise(curve)
    if rise is None:
        return _judgment(False, "It never rises.")
    (begin, low), (end, high) = rise
    n = int(curve["n"].iloc[0])
    count = round((high - low) * n)
    text = f"It rises from {low:.3f} at {eps(begin)} to {high:.3f} at {eps(end)}, by {count} of "
    text += f"{_images(n)} (95% intervals: {_interval(low, n)} and {_interval(high, n)})."
    return _judgment(_around(begin, 4) and _around(end, 10), text)


@_claim(
    "99-minimum-at-10",
    1,
    "Confidence is lowest there (where the rise ends)",
    "At an epsilon of around 4 however, it increases again until it reaches an epsilon for "
    "around 10. This is roughly the same point where the confidence hits its minimum.",
    "“This” is the ε named last: mean confidence is lowest around 10/255.",
)
def minimum_at_10(evidence: Evidence) -> Judgment:
    return _minimum_around(evidence, 10)


@_claim(
    "99-minimum-at-4",
    1,
    "Confidence is lowest there (where the rise begins)",
    "At an epsilon of around 4 however, it increases again until it reaches an epsilon for "
    "around 10. This is roughly the same point where the confidence hits its minimum.",
    "“This” is where accuracy turns upward: mean confidence is lowest around 4/255.",
)
def minimum_at_4(evidence: Evidence) -> Judgment:
    return _minimum_around(evidence, 4)


@_claim(
    "99-accuracy-falls-again",
    1,
    "After that, accuracy only falls",
    "After this increase it decreases monotonously for the rest of the range of the attack. It "
    "steadily decreases.",
    "From 10/255 on, top-1 accuracy never rises with ε, and it ends lower.",
)
def accuracy_falls_again(evidence: Evidence) -> Judgment:
    curve = _bin(evidence, TOP_BIN)
    values = curve.loc[curve["epsilon_255"] >= 10 - 1e-9, "top1"]
    if len(values) < 2:
        raise _NotThere("The grid has fewer than two ε from 10/255 on.")
    text = ", ".join(f"{value:.3f}" for value in values)
    last = eps(curve["epsilon_255"].max())
    falls = values.is_monotonic_decreasing and values.iloc[-1] < values.iloc[0]
    return _judgment(falls, f"From 10/255 to {last}: {text}.")


@_claim(
    "99-top5",
    1,
    "Top-5 accuracy follows with an offset",
    "The top 5 accuracy follows the same trend with an offset, as expected.",
    "Top-5 lies above top-1 wherever that is neither 0 nor 1, and the rank correlation of the two "
    "over ε is at least 0.9.",
)
def top5_follows(evidence: Evidence) -> Judgment:
    curve = _bin(evidence, TOP_BIN)
    top1, top5 = curve["top1"].to_numpy(float), curve["top5"].to_numpy(float)
    if np.ptp(top1) == 0 or np.ptp(top5) == 0:
        raise _NotThere("One of the two never changes, so there is no trend to follow.")
    rho = float(stats.spearmanr(top1, top5).statistic)
    gap = (top5 - top1)[(top1 > 0) & (top1 < 1)]
    text = f"Rank correlation {rho:.2f}"
    if len(gap):
        text += f"; where an image is fooled and another not, the offset is {gap.min():.3f} to "
        text += f"{gap.max():.3f}"
    rise = _first_rise(curve)
    if rise is not None:
        (begin, low), (end, high) = rise
        change = _at(curve, "top5", end) - _at(curve, "top5", begin)
        text += f"; from {eps(begin)} to {eps(end)} top-1 changes by {high - low:+.3f}, "
        text += f"top-5 by {change:+.3f}"
    return _judgment(rho >= 0.9 and bool((gap > 0).all()), text + ".")


# --- the bins compared --------------------------------------------------------------------------


@_claim(
    "bins-correct",
    2,
    "Only initially correct images are considered",
    "We consider correct initial classifications only",
    "Top-1 accuracy at ε = 0 is 1 in every bin.",
)
def bins_correct(evidence: Evidence) -> Judgment:
    starts = {edges: _at(curve, "top1", 0) for edges, curve in _bins(evidence, 1).items()}
    counts = {edges: curve["n"].iloc[0] for edges, curve in _bins(evidence, 1).items()}
    text = f"Top-1 at ε = 0: {_by_bin(evidence, starts)} Images: {_by_bin(evidence, counts, 'g')}"
    return _judgment(all(value == 1 for value in starts.values()), text)


@_claim(
    "bins-5-points",
    2,
    "The bins are 5 points wide",
    "split the data by confidences in the interval of 5% points.",
    "Every bin that is shown is 5 points wide. (A run takes the bins of the original's figures.)",
)
def bins_of_5_points(evidence: Evidence) -> Judgment:
    widths = {edges: round(100 * (edges[1] - edges[0])) for edges in _bins(evidence, 1)}
    text = f"Widths in points: {_by_bin(evidence, widths, 'g')}"
    return _judgment(all(width == 5 for width in widths.values()), text)


@_claim(
    "bins-accuracy-drop",
    2,
    "Lower initial confidence, stronger drop of accuracy",
    "for lower initial confidence the drop in accuracy is stronger",
    "Mean top-1 accuracy over the ε of the grid above 0 and up to 4/255 is lower in every lower "
    "bin.",
)
def accuracy_drop(evidence: Evidence) -> Judgment:
    values = {
        edges: _mean(curve, "top1", 0, 4) for edges, curve in _bins(evidence, at_least=2).items()
    }
    text = f"Mean top-1 up to 4/255: {_by_bin(evidence, values)}"
    return _judgment(_falls(values.values()), text)


@_claim(
    "bins-level-at-4",
    2,
    "Lower initial confidence, lower level (at the end of the drop)",
    "for lower initial confidence the drop in accuracy is stronger and levels out at lower values.",
    "The level is that at 4/255, where the steep drop is over: top-1 there is lower in every "
    "lower bin.",
)
def level_after_drop(evidence: Evidence) -> Judgment:
    values = {edges: _at(curve, "top1", 4) for edges, curve in _bins(evidence, at_least=2).items()}
    return _judgment(_falls(values.values()), f"Top-1 at 4/255: {_by_bin(evidence, values)}")


@_claim(
    "bins-level-from-20",
    2,
    "Lower initial confidence, lower level (large ε)",
    "for lower initial confidence the drop in accuracy is stronger and levels out at lower values.",
    "The level is that of large ε: mean top-1 over the ε of the grid from 20/255 on is lower in "
    "every lower bin.",
)
def level_at_large_epsilon(evidence: Evidence) -> Judgment:
    bins = _bins(evidence, at_least=2)
    values = {edges: _mean(curve, "top1", 20 - 1e-9, np.inf) for edges, curve in bins.items()}
    last = {edges: curve["top1"].iloc[-1] for edges, curve in bins.items()}
    end = eps(max(curve["epsilon_255"].max() for curve in bins.values()))
    text = f"Mean top-1 from 20/255 on: {_by_bin(evidence, values)} "
    text += f"At {end}: {_by_bin(evidence, last)}"
    return _judgment(_falls(values.values()), text)


@_claim(
    "bins-confidence-alike",
    2,
    "Confidences have the same trend in all bins",
    "their trend is similar for all initial confidences.",
    "The mean confidence of every bin has the same shape.",
)
def same_trend(evidence: Evidence) -> Judgment:
    shapes, parts = set(), []
    for edges, curve in _bins(evidence, at_least=2).items():
        if len(curve) < 3:
            raise _NotThere("There are fewer than three values of ε.")
        shapes.add(analysis.curve_shape(curve["confidence"]))
        low = eps(_lowest(curve)["epsilon_255"])
        parts.append(
            f"{analysis.bin_name(*edges)}: {analysis.curve_shape(curve['confidence'])}, lowest at "
            f"{low}"
        )
    return _judgment(len(shapes) == 1, "; ".join(parts) + ".")


@_claim(
    "bins-confidence-drop",
    2,
    "Confidence first falls more for lower bins",
    "The initial decrease is stronger for lower initial values.",
    "From the clean image to the smallest ε of the grid, mean confidence loses more in every "
    "lower bin.",
)
def confidence_drop(evidence: Evidence) -> Judgment:
    bins = _bins(evidence, at_least=2)
    if min(len(curve) for curve in bins.values()) < 2:
        raise _NotThere("There is only one value of ε.")

    def lost(step: int) -> dict[Bin, float]:
        return {e: c["confidence"].iloc[0] - c["confidence"].iloc[step] for e, c in bins.items()}

    def ordered(step: int) -> bool:
        return _falls(list(lost(step).values())[::-1])

    grid = next(iter(bins.values()))["epsilon_255"]
    text = f"Lost at {eps(grid.iloc[1])}: {_by_bin(evidence, lost(1))}"
    if ordered(1) and min(len(curve) for curve in bins.values()) > 2 and not ordered(2):
        text += f" No longer in this order at {eps(grid.iloc[2])}: {_by_bin(evidence, lost(2))}"
    return _judgment(ordered(1), text)


@_claim(
    "bins-harder",
    2,
    "The higher the initial confidence, the harder the attack",
    "the higher the initial confidence is, the harder it is to attack the model with these "
    "samples.",
    "The ε at which top-1 accuracy falls below one half (interpolated) is larger in every higher "
    "bin.",
)
def harder(evidence: Evidence) -> Judgment:
    values = {edges: _half(curve, "top1") for edges, curve in _bins(evidence, at_least=2).items()}
    if sum(np.isinf(value) for value in values.values()) > 1:
        raise _NotThere("In more than one bin, accuracy never falls below one half.")
    text = _by_bin(evidence, values, ".2f").replace("inf", "never").removesuffix(".")
    return _judgment(_falls(values.values()), f"Half is lost at, in 1/255: {text}.")


# --- single images ------------------------------------------------------------------------------


@_claim(
    "99-hard-to-fool",
    3,
    "Images above 99% are hard to fool",
    "From the images with the highest initial confidence of over 99% we can see that it is hard "
    "to craft adversarial examples from them.",
    "At 4/255, up to which the original calls the attack only slightly perceptible, fewer than "
    "half are fooled.",
)
def hard_to_fool(evidence: Evidence) -> Judgment:
    curve = _bin(evidence, TOP_BIN)
    fooled, n, last = 1 - _at(curve, "top1", 4), curve["n"].iloc[0], curve.iloc[-1]
    text = f"{round(fooled * n)} of {_images(n)} ({fooled:.0%}) are fooled at 4/255, "
    text += f"{1 - last['top1']:.0%} at {eps(last['epsilon_255'])}."
    return _judgment(fooled < 0.5, text)


@_claim(
    "132-never-fooled",
    3,
    "132 cannot be fooled",
    "It is nor possible craft an adversarial example from this image with the FGSM.",
    "The class is correct at every ε of the grid.",
    sample=132,
)
def never_fooled_132(evidence: Evidence) -> Judgment:
    rows = _sample(evidence, 132)
    if len(rows) < 2:
        raise _NotThere("The image was not attacked.")
    wrong = rows.loc[~rows["correct"], "epsilon_255"]
    if len(wrong):
        return _judgment(False, f"It is wrong at {_list(wrong)}.")
    largest = eps(rows["epsilon_255"].max())
    return _judgment(True, f"Correct at all {len(rows)} values of ε, the largest being {largest}.")


@_claim(
    "132-u-shape",
    3,
    "132: confidence is U-shaped",
    "the confidence follows a U shape",
    "It falls, and at the largest ε has regained at least half of the fall.",
    sample=132,
)
def u_shape_132(evidence: Evidence) -> Judgment:
    rows = _sample(evidence, 132)
    if len(rows) < 3:
        raise _NotThere("There are fewer than three values of ε.")
    shape = analysis.curve_shape(rows["confidence"])
    return _judgment(shape == "U", f"{_path(rows)} The shape: {shape}.")


@_claim(
    "132-recovers",
    3,
    "132: confidence almost recovers",
    "and reaches almost the initial value again.",
    "At the largest ε it lies within 5 points of the clean confidence, after a fall of more.",
    sample=132,
)
def recovers_132(evidence: Evidence) -> Judgment:
    confidence = _sample(evidence, 132)["confidence"]
    start, low, end = confidence.iloc[0], confidence.min(), confidence.iloc[-1]
    text = f"It starts at {start:.1%}, falls to {low:.1%} and ends at {end:.1%}."
    return _judgment(start - low > 0.05 and abs(end - start) <= 0.05, text)


@_claim(
    "528-start",
    3,
    "528 starts at 80%",
    "An example for lower initial confidence of 80% is shown below.",
    "The clean confidence is within 5 points of 80%.",
    sample=528,
)
def start_of_528(evidence: Evidence) -> Judgment:
    start = _sample(evidence, 528)["confidence"].iloc[0]
    return _judgment(abs(start - 0.80) <= 0.05, f"It starts at {start:.1%}.")


@_claim(
    "528-early",
    3,
    "528 is fooled early",
    "the attack successfully causes a false prediction early on.",
    "The class is wrong at some ε of at most 1/255.",
    sample=528,
)
def early_528(evidence: Evidence) -> Judgment:
    rows = _sample(evidence, 528)
    wrong = rows.loc[~rows["correct"], "epsilon_255"]
    if wrong.empty:
        return _judgment(False, f"It is never wrong, up to {eps(rows['epsilon_255'].max())}.")
    return _judgment(bool(wrong.min() <= 1), f"It is wrong first at {eps(wrong.min())}.")


@_claim(
    "528-class-changes",
    3,
    "528: the false class changes",
    "The falsely predicted class changes while increasing epsilon.",
    "More than one false class is predicted over the grid.",
    sample=528,
)
def class_changes_528(evidence: Evidence) -> Judgment:
    rows = _sample(evidence, 528)
    wrong = rows[~rows["correct"]]
    if wrong.empty:
        raise _NotThere("It is never fooled, so there is no false class.")
    if "predicted_class" not in rows or wrong["predicted_class"].isna().any():
        raise _NotThere("The curve of this image does not tell which class was predicted.")
    classes = [short_name(str(name)) for name in wrong["predicted_class"].drop_duplicates()]
    return _judgment(len(classes) > 1, f"False classes ({len(classes)}): {', '.join(classes)}.")


@_claim(
    "528-level",
    3,
    "528: confidence levels out at around 15%",
    "The confidence seems to be levelled out at around 15%.",
    "From the first false prediction on, it stays within 5 points of 15%.",
    sample=528,
)
def level_528(evidence: Evidence) -> Judgment:
    first, after = _after_first_wrong(evidence, 528)
    rows = _sample(evidence, 528)
    values = rows.loc[rows["epsilon_255"] >= first, "confidence"]
    text = f"From {eps(first)} to {eps(after['epsilon_255'].max())} it lies between "
    text += f"{values.min():.1%} and {values.max():.1%}; the mean over the grid is "
    text += f"{values.mean():.1%}."
    return _judgment(bool(((values - 0.15).abs() <= 0.05).all()), text)


# --- what the functions share -------------------------------------------------------------------


def _judgment(holds: bool, evidence: str) -> Judgment:
    return Judgment(HOLDS if holds else FAILS, evidence)


def _sample(evidence: Evidence, sample: int) -> pd.DataFrame:
    """The curve of one sample from ε = 0 on; a claim about an attack needs a correct start."""
    rows = evidence.samples.get(sample)
    if rows is None:
        default = f"There is no curve of sample {sample}."
        raise _NotThere(evidence.absent.get(f"sample {sample}", default))
    rows = _from_zero(rows, f"The curve of sample {sample}")
    rows = rows.astype({"correct": bool})
    if not rows["correct"].iloc[0]:
        raise _NotThere(f"Sample {sample} is classified wrongly before any attack.")
    return rows


def _from_zero(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    rows = rows.sort_values("epsilon_255").reset_index(drop=True)
    if rows.empty or rows["epsilon_255"].iloc[0] != 0:
        raise _NotThere(f"{name} does not start at ε = 0.")
    if rows["confidence"].isna().any():
        raise _NotThere(f"{name} has a gap.")
    return rows


def _bin(evidence: Evidence, edges: Bin) -> pd.DataFrame:
    """The curve of one bin. A shape or a trend needs three values of ε."""
    name = analysis.bin_name(*edges)
    curve = evidence.bins.get(edges)
    if curve is None or curve.empty:
        default = f"No initially correct image has a clean confidence of {name}."
        raise _NotThere(evidence.absent.get(name, default))
    curve = _from_zero(curve, f"The curve of {name}")
    if len(curve) < 3:
        raise _NotThere("There are fewer than three values of ε.")
    return curve


def _bins(evidence: Evidence, at_least: int) -> dict[Bin, pd.DataFrame]:
    """The bins that hold an image, from the most to the least confident."""
    found = {
        edges: _from_zero(evidence.bins[edges], f"The curve of {analysis.bin_name(*edges)}")
        for edges in sorted(evidence.bins, reverse=True)
        if not evidence.bins[edges].empty
    }
    if len(found) < at_least:
        names = [analysis.bin_name(*edges) for edges in analysis.ORIGINAL_BINS]
        reasons = [evidence.absent[name] for name in names if name in evidence.absent]
        text = "There is no bin with an image." if not found else "There is only one bin."
        raise _NotThere(" ".join([text, *reasons]))
    return found


def _color(evidence: Evidence, epsilon_255: float) -> float:
    if evidence.colors is None or evidence.colors.empty:
        raise _NotThere(evidence.absent.get("colors", "There are no images to look at."))
    return _at(evidence.colors, "delta_e", epsilon_255)


def _at(rows: pd.DataFrame, column: str, epsilon_255: float):
    values = rows.loc[np.isclose(rows["epsilon_255"], epsilon_255), column]
    if values.empty:
        raise _NotThere(f"{eps(epsilon_255)} is not on the grid.")
    return values.iloc[0]


def _mean(curve: pd.DataFrame, column: str, above: float, up_to: float) -> float:
    """The mean of a column over the ε in (above, up_to]."""
    inside = (curve["epsilon_255"] > above) & (curve["epsilon_255"] <= up_to)
    if not inside.any():
        raise _NotThere("The grid has no ε in the range that this is about.")
    return float(curve.loc[inside, column].mean())


def _after_first_wrong(evidence: Evidence, sample: int) -> tuple[float, pd.DataFrame]:
    """The first ε at which a sample is wrong, and the rows beyond it."""
    rows = _sample(evidence, sample)
    wrong = rows.loc[~rows["correct"], "epsilon_255"]
    if wrong.empty:
        raise _NotThere(f"It is never fooled, up to {eps(rows['epsilon_255'].max())}.")
    after = rows[rows["epsilon_255"] > wrong.min()]
    if after.empty:
        raise _NotThere("It is fooled only at the last ε of the grid.")
    return float(wrong.min()), after


def _first_rise(curve: pd.DataFrame) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Where top-1 accuracy first grows with ε: (ε, accuracy) at its beginning and its end."""
    points = list(zip(curve["epsilon_255"], curve["top1"], strict=True))
    for i, (here, there) in enumerate(pairwise(points)):
        if there[1] > here[1]:
            end = i + 1
            while end + 1 < len(points) and points[end + 1][1] > points[end][1]:
                end += 1
            return here, points[end]
    return None


def _minimum_around(evidence: Evidence, epsilon_255: float) -> Judgment:
    curve = _bin(evidence, TOP_BIN)
    text = _path(curve)
    rise = _first_rise(curve)
    if rise is not None:
        (begin, _), (end, _) = rise
        text += f" Accuracy first rises from {eps(begin)} to {eps(end)}."
    return _judgment(_around(_lowest(curve)["epsilon_255"], epsilon_255), text)


def _half(curve: pd.DataFrame, column: str) -> float:
    """Where a curve first falls below one half, by linear interpolation; infinity if nowhere."""
    x, y = curve["epsilon_255"].to_numpy(float), curve[column].to_numpy(float)
    below = np.flatnonzero(y < 0.5)
    if len(below) == 0:
        return np.inf
    i = below[0]
    return float(x[i]) if i == 0 else float(np.interp(-0.5, -y[i - 1 : i + 1], x[i - 1 : i + 1]))


def _lowest(rows: pd.DataFrame) -> pd.Series:
    return rows.loc[rows["confidence"].idxmin()]


def _falls(values) -> bool:
    """Whether each value is smaller than the one before."""
    return bool((np.diff(np.asarray(list(values), dtype=float)) < 0).all())


def _around(epsilon_255: float, target: float) -> bool:
    return target / 1.5 <= epsilon_255 <= target * 1.5


# --- numbers in words ---------------------------------------------------------------------------


def eps(epsilon_255: float) -> str:
    """``"4/255"``."""
    return f"{epsilon_255:g}/255"


def _list(epsilons) -> str:
    """``"4, 18 and 20/255"``; a long list by its ends."""
    names = [f"{value:g}" for value in epsilons]
    if len(names) > 6:
        return f"{len(names)} values of ε from {names[0]} to {names[-1]}/255"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) + "/255"


def _images(n: float) -> str:
    return "1 image" if n == 1 else f"{n:.0f} images"


def _interval(share: float, n: int) -> str:
    _, low, high = analysis.rate(round(share * n), n)
    return f"{low:.2f}–{high:.2f}"


def _path(rows: pd.DataFrame) -> str:
    low, end = _lowest(rows), rows.iloc[-1]
    return (
        f"Confidence starts at {rows['confidence'].iloc[0]:.3f}, is lowest at "
        f"{eps(low['epsilon_255'])} with {low['confidence']:.3f}, and ends at "
        f"{end['confidence']:.3f} at {eps(end['epsilon_255'])}."
    )


def _visible(delta_e: float, epsilon_255: float) -> str:
    return (
        f"ΔE is {delta_e:.1f} at {eps(epsilon_255)}, "
        f"{delta_e / JUST_NOTICEABLE_DELTA_E:.1f} times what is just noticeable."
    )


def _wrong(rows: pd.DataFrame) -> str:
    name = rows["predicted_class"].iloc[0] if "predicted_class" in rows else None
    return "wrong" if name is None or pd.isna(name) else f"wrong ({short_name(str(name))})"


def _by_bin(evidence: Evidence, values: Mapping[Bin, float], form: str = ".3f") -> str:
    """One value for each bin; those that are empty or missing are named too."""
    parts = []
    for edges in sorted({*evidence.bins, *analysis.ORIGINAL_BINS}, reverse=True):
        name = analysis.bin_name(*edges)
        if edges in values:
            parts.append(f"{name}: {values[edges]:{form}}")
        elif edges in evidence.bins:
            parts.append(f"{name}: no image")
        elif name in evidence.absent:
            parts.append(f"{name}: missing")
    return "; ".join(parts) + "."

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
# # The Fast Gradient Sign Method

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
from statsmodels.stats.proportion import confint_proportions_2indep

from fgsm_lib import analysis, published
from fgsm_lib.analysis import Estimate, eps, number, percent
from fgsm_lib.show import credit, say, show
from fgsm_lib.slider import slider
from fgsm_lib.study import open_study
from fgsm_lib.words import escape, network_name

study = open_study(profile)
photos = study.shown

# %% tags=["hide-input"]
# The picture shown: of the photographs that the classifier sees correctly
# with at least 50%, the one with the surest wrong answer up to 2/255.
table = photos.table(epsilon_255=photos.profile.epsilon_255.cases)
best = analysis.surest_wrong(table)
case = photos.case(best["sample"])
before = case.row(0)
show(
    slider(case, best["epsilon_255"], hero=True),
    name="fig-home",
    caption=f"{network_name(photos.classifier.name)}, an ImageNet classifier, sees "
    f"*{escape(case.name(before['predicted_class']))}* ({percent(before['confidence'])}) in the "
    "photograph. Move ε. The middle picture is what is added, amplified; the button takes random "
    f"signs in its place, the control. {credit(case.picture)}",
)

# %% [markdown]
# Change every pixel of a picture a little, each in the direction that hurts a classifier most,
# and its right answer can turn wrong. This one step is the Fast Gradient Sign Method (FGSM) of
# [Goodfellow et al. (2015)](#goodfellow2015). Its size is called ε: at ε = 2/255, no color value
# of the picture moves by more than two of the 255 steps that an image file stores.
#
# ## What was found


# %% tags=["remove-cell"]
def share(curve, e):
    """Top-1 accuracy at an ε of a curve: "12.7% (10.8–14.9%)"."""
    row = curve.set_index("epsilon_255").loc[e]
    low, high = 100 * row["top1_low"], 100 * row["top1_high"]
    around = analysis.interval_text(low, high, 1)
    return f"{percent(row['top1'], 1)} ({around}%)"


def accuracy(curve, n, more):
    """What steps do to the accuracy; ``more``: by how much 16/255 leaves more right than 4/255."""
    steps = [e for e in (1, 4, 16) if e in set(curve["epsilon_255"])]
    steps = [f"{share(curve, e)} after {eps(e)}" for e in steps]
    rises = (
        f". From 4 to 16/255 it rises by {100 * more.value:.1f} points ({100 * more.low:.1f} to "
        f"{100 * more.high:.1f}): a larger step is not always worse"
    )
    return (
        f"- **One step:** of all {n}, {share(curve, 0)} are classified correctly before it, "
        f"{', '.join(steps)}{rises if more.low > 0 else ''}.\n"
    )


def told(rho):
    return f"{number(rho.value)}, {number(rho.low)} to {number(rho.high)}"


def hypothesis(found, ends, left):
    """The verdicts: on exact steps, on saved pictures, under the other objective; and what is left
    once the first-order prediction is known."""
    exact, saved, logit = (
        f"**{analysis.verdict(*rho[1:])}** (ρ = {told(rho)}; {rho.n} pictures, ε to {eps(end)})"
        for rho, end in zip(found, ends, strict=True)
    )
    return (
        f"- **The hypothesis:** images with a high initial confidence are harder to manipulate: {exact}. "
        f"On pictures saved in 8 bits: {saved}. Under the objective that the original climbed: {logit}.\n"
        "- **The gradient:** once the ε that [the gradient predicts](hypothesis.ipynb) is known, more "
        f"confidence {'still helps' if left.low > 0 else 'helps no more'} (partial ρ = {told(left)}).\n"
    )


# %% tags=["remove-input"]
if not published.covers_all(study.pictures):
    record, curve = published.record(), published.record_curve()
    counts = 1000 * curve.set_index("epsilon_255")["top1"]
    ends = confint_proportions_2indep(
        counts[16], 1000, counts[4], 1000, method="newcomb", compare="diff"
    )
    more = Estimate((counts[16] - counts[4]) / 1000, *ends, 1000)
    verdicts = record["verdicts"]
    found = {
        name: Estimate(v["rho"], v["low"], v["high"], v["n"])
        for name, v in verdicts.items()
    }
    left = found.pop("partial")
    say(
        "**On the 1000 photographs of the original experiment**, recorded with "
        f"{network_name(record['provenance']['classifier'])}:\n\n"
        + accuracy(curve, 1000, more)
        + hypothesis(
            found.values(), [verdicts[k]["up_to_255"] for k in found], left
        )
    )

# %% tags=["hide-input"]
# Do confident pictures resist longer? On exact steps, on saved pictures,
# under the other objective; and once the gradient's prediction is known.
every, grids = study.profile.every, study.profile.epsilon_255
table, saved = study.table(), study.table(bits=8, every=every.control)
other = {"every": every.objectives, "epsilon_255": grids.objectives}
sweeps = [table, saved, study.table(objective="true_logit", **other)]
right = analysis.initially_correct(table)
confidence = analysis.clean(table).loc[right, "confidence"]
found = []
for rows in sweeps:
    some = right.intersection(rows["sample"])
    smallest = analysis.smallest_epsilon(rows, some)
    found.append(analysis.spearman(confidence[some], smallest))
first = study.table(objective="cross_entropy", epsilon_255=[0])
predicted = analysis.first_order(first).loc[right]
smallest = analysis.smallest_epsilon(table, right)
left = analysis.spearman(confidence, smallest, predicted)

# %% tags=["remove-input"]
control = study.table("random", every=every.control)
here = analysis.at(table, (4, 16)).pivot(
    index="sample", columns="epsilon_255", values="correct"
)
more = Estimate(0, 0, 0, 0)
if len(here.columns) == 2:
    more = analysis.difference(here[16], here[4])
what = (
    f"**On {len(study.pictures)} {study.profile.title}**, which this site computes anew wherever it "
    f"is built (their classifier, {network_name(study.profile.arch)}, had {study.profile.training})"
    if profile == "demo"
    else f"**On these {len(study.pictures)} {study.profile.kind}**, with "
    f"{network_name(study.profile.arch)}"
)
shared = analysis.curve(analysis.shared(table, control))
say(
    f"{what}:\n\n"
    + accuracy(analysis.curve(table), len(study.pictures), more)
    + f"- **The direction:** random signs of 4/255, the control, leave "
    f"{share(analysis.curve(control), 4)} right where the gradient's signs leave {share(shared, 4)}, of "
    f"{control['sample'].nunique()} pictures.\n"
    + hypothesis(
        found, [rows["epsilon_255"].max() for rows in sweeps], left
    )
)

# %% [markdown]
# ## What you can do here
#
# **See it.** Move ε above, or on any case study in the menu.
#
# **Understand it.** [How it works](method.ipynb) is two equations and six lines of code. [What is
# attacked](data-and-model.ipynb) shows the pictures and the classifiers; the
# [glossary](book/glossary.md) explains the words.
#
# **Judge it.** [Do confident images resist?](hypothesis.ipynb) puts the hypothesis to the test.
# [One step or many?](iterative.ipynb) sets FGSM beside its iterative relatives. The [original's
# claims](claims.ipynb) are checked one by one.
#
# **Try it.** [Can you see it?](can-you-see-it.ipynb) tests your eyes. [Attack a
# picture](live.ipynb) in your browser, one of yours if you like: it never leaves your device. Or
# rerun any page's notebook, with [your own model and pictures](your-own.ipynb).

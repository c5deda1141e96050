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
# # One photograph under attack

# %% tags=["parameters", "remove-cell"]
profile = "photographs"
sample = "coffee"

# %% tags=["remove-cell"]
import torch

from fgsm_lib import analysis, figures, gallery, published
from fgsm_lib.attacks import input_gradient
from fgsm_lib.show import credit, say, show
from fgsm_lib.slider import slider
from fgsm_lib.study import open_study
from fgsm_lib.words import escape, network_name

# Which sample of the original page a photograph of this site plays.
PLAYS = {"coffee": 132, "camera": 766, "rocket": 528}

# %% tags=["remove-cell"]
study = open_study(profile)
case = study.case(sample)
table, names = case.table, study.names
network = network_name(study.classifier.name)
label = escape(case.name(case.picture.label))
wrong = table[~table["correct"]]
last = analysis.eps(table["epsilon_255"].max())


def link(epsilon_255):
    """An ε as a link that moves the slider there."""
    return f'<a href="#epsilon={epsilon_255:g}">{epsilon_255:g}/255</a>'


# %% tags=["remove-input"]
start, steps = table.iloc[0], len(table) - 1  # ε = 0 is no step
seen = f"*{escape(case.name(start['predicted_class']))}*, {start['confidence']:.1%}"
if not start["correct"]:
    found = f"The label is *{label}*: it is wrong before any step."
elif wrong.empty:
    low = table.loc[table["confidence"].idxmin()]
    found = (
        f"That is its label. One step along the sign of the gradient makes it less sure, "
        f"{low['confidence']:.0%} at {link(low['epsilon_255'])}, but it is wrong at none of {steps} "
        f"values of ε up to {last}."
    )
else:
    first = wrong.iloc[0]
    found = (
        f"That is its label. One step along the sign of the gradient makes it wrong at {len(wrong)} "
        f"of {steps} values of ε up to {last}, first at {link(first['epsilon_255'])}: "
        f"*{escape(case.name(first['predicted_class']))}*, {first['confidence']:.0%}."
    )
say(f"The classifier, {network}, sees {seen}. {found}")

# %% tags=["remove-input"]
# Where the step tells most: the surest wrong answer, else the lowest confidence.
telling = (
    wrong.loc[wrong["confidence"].idxmax()] if start["correct"] and len(wrong)
    else table.loc[table["confidence"].idxmin()]
)  # fmt: skip
show(
    slider(case, telling["epsilon_255"]),
    name=f"fig-slider-{sample}",
    caption="The picture, the perturbation and the control, random signs of the same size, at "
    "each ε of the grid. What you see is what a file of 8 bits would hold; what is classified is "
    f"the picture before rounding. {credit(case.picture)}",
)

# %% [markdown]
# ## The attack, step by step
#
# One gradient of the [objective](#objective) with respect to the picture, its sign, and a step:

# %%
images, labels = study.image(sample)  # (1, 3, 224, 224) in [0, 1]
gradient, logits = input_gradient(study.classifier, images, labels)
for epsilon in (0, 0.5, 2, 6, 20):
    x = (images + epsilon / 255 * gradient.sign()).clamp(0, 1)
    with torch.no_grad():
        p = study.classifier(x).softmax(1)[0]
    print(f"ε = {epsilon}/255: {names[p.argmax()]}, {p.max():.1%}")

# %% tags=["remove-input"]
zeros = int((gradient == 0).sum())
say(
    f"The gradient is not zero at {gradient.numel() - zeros:,} of {gradient.numel():,} values, so that "
    "many color values move. It does not depend on ε: one gradient serves the whole curve."
)

# %% tags=["hide-input"]
show(
    gallery.triple(case, telling["epsilon_255"]),
    name=f"fig-triple-{sample}",
    caption="The picture, the sign of its gradient (a channel at full strength: +1, gray: 0), and "
    f"the picture after a step of {telling['epsilon_255']:g}/255 along it.",
)

# %% [markdown]
# ## Confidence over ε

# %% tags=["hide-input"]
show(
    gallery.case_curve(case),
    name=f"fig-curve-{sample}",
    caption="Confidence, the largest softmax probability, over ε; random signs beside it, one draw. A "
    "new class is named where it comes. The axis is linear up to 1/255 and logarithmic beyond."
    + (
        " Dashed: the original page's curve of this photograph."
        if case.published is not None
        else ""
    ),
)

# %%
# Runs of one class along ε, with their ends on the grid.
run = table["predicted_class"].diff().ne(0).cumsum()
ends = table.groupby(run)["epsilon_255"].agg(["first", "last"])
runs = table.groupby(run)[["predicted_class", "correct"]].first()
runs[["first_255", "last_255"]] = ends
runs["class"] = [names[index] for index in runs["predicted_class"]]
runs = runs.reset_index(drop=True)
runs[["class", "correct", "first_255", "last_255"]]

# %% tags=["remove-input"]
random = case.control.iloc[1:]
random = random[~random["correct"]]
end = case.control.iloc[-1]
shape = analysis.shape(table["epsilon_255"], table["confidence"])
say(
    "That is how the class changes along ε, in 1/255. Of the shapes that [a written "
    "rule](questions.ipynb) knows, the curve up to 20/255 has "
    + ("none" if shape == "none of these" else f"this one: **{shape}**")
    + ". "
    + (
        f"Random signs, the control, make it wrong at none of {steps} values up to {last} "
        f"({end['confidence']:.0%} at the end)."
        if random.empty
        else f"Random signs, the control, make it wrong at {len(random)} of {steps} values up to {last}, "
        f"first at {analysis.eps(random['epsilon_255'].iloc[0])}."
    )
)

# %% tags=["hide-input"]
show(
    gallery.top5(case, [0, telling["epsilon_255"]]),
    name=f"fig-top5-{sample}",
    caption="The five most probable classes of the clean picture and at "
    f"ε = {telling['epsilon_255']:g}/255. Blue: the true class.",
)

# %% [markdown]
# ## Side by side

# %% tags=["hide-input"]
show(
    gallery.series(case, [0, 4, 8, 12, 16]),
    name=f"fig-series-{sample}",
    caption="The attack at growing ε, and random signs at the largest. An image is called "
    "adversarial only where it fools.",
)

# %% [markdown]
# ## In the original

# %% tags=["hide-input"]
theirs = PLAYS.get(sample, sample)
curve = published.sample_curve(theirs)
record = published.record_sample(theirs)
both = {"published, GoogLeNet": curve}
if sample in PLAYS:  # elsewhere, the curve of this run is the figure above
    both[f"recorded, {network}"] = record
    control = published.record_sample(theirs, "random")
    both["random signs, recorded"] = control
if curve is not None:
    show(
        figures.curves(both, {"confidence": "confidence"}),
        name=f"fig-original-{sample}",
        caption=f"Sample {theirs} of the NIPS 2017 photographs: confidence over ε. "
        f"{published.SOURCE}: {published.CREDIT}."
        + ("" if sample in PLAYS else " That page has no control."),
    )

# %% tags=["remove-input"]
if curve is not None:
    low, stop = curve.loc[curve["confidence"].idxmin()], curve.iloc[-1]
    say(
        f"The [original page](https://github.com/daved01/Adversarial_Examples) shows its sample "
        f"{theirs} with GoogLeNet and the true-logit objective: confidence "
        f"{curve['confidence'].iloc[0]:.0%}, lowest {low['confidence']:.0%} at "
        f"{low['epsilon_255']:g}/255, {stop['confidence']:.0%} at {stop['epsilon_255']:g}/255."
        + (
            " On this site, the photograph above plays the part of that one."
            if sample in PLAYS
            else ""
        )
    )
if sample in PLAYS:
    facts = published.record()["samples"][str(theirs)]
    low, stop = record.loc[record["confidence"].idxmin()], record.iloc[-1]
    course = [
        f"{row['confidence']:.0%} at {row['epsilon_255']:g}/255 as *{escape(row['class'])}*"
        for row in (low, stop)
    ]
    if low["epsilon_255"] == stop["epsilon_255"]:
        course = course[:1]
    by = f" Photograph {theirs}: [{escape(facts['author'])}]({facts['page_url']}), {facts['license']}."
    say(
        f"{network} on that photograph (*{escape(facts['label'])}*, recorded): "
        f"{record['confidence'].iloc[0]:.0%}, lowest {', '.join(course)}; wrong at "
        f"{int((~record['correct'][1:]).sum())} of {len(record) - 1} values of ε up to "
        f"{analysis.eps(record['epsilon_255'].max())}."
        + (by if facts["page_url"] else "")
    )

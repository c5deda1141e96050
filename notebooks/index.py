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
from fgsm_lib import analysis, figures, survival, wording
from fgsm_lib.cases import open_case
from fgsm_lib.display import credit, say, show
from fgsm_lib.study import open_study

study = open_study(profile)
case = open_case(study, study.profile.example)
epsilon = wording.telling_epsilon(case)

# %% [markdown]
# Change every pixel of a picture a little, each in the direction that hurts a classifier most, and
# its right answer can turn wrong. This one step is the Fast Gradient Sign Method (FGSM) of
# {cite:t}`goodfellow2015`. Its size is called ε: at ε = 4/255, no color value of the picture moves
# by more than four of the 255 steps that an image file stores.
#
# This site explains the step, takes it on three images closely and on a thousand statistically,
# and lets you take it yourself. Each page offers the notebook that computed it.

# %% tags=["remove-input"]
show(
    figures.triple,
    case,
    epsilon,
    name="fig-home",
    caption="One FGSM step on one image. Left: the image and what the classifier sees in it. "
    f"Middle: the direction of the step. Right: the image after a step of ε = {epsilon:g}/255, "
    f"{wording.telling_reason(case)}. {credit(case.photo)}",
)

# %% [markdown]
# ## What this build found

# %% tags=["remove-input"]
curve, control = analysis.curve(study.table), analysis.curve(study.control)
same_images = analysis.curve(analysis.shared(study.table, study.control))
top1 = curve.set_index("epsilon_255")["top1"]
small, large = (analysis.nearest(study.table, wanted) for wanted in (1, 4))
verdict = survival.judge(study.minimal)
say(
    f"- **What does one step do?** `{study.profile.arch}` classifies **{top1[0]:.1%}** of "
    f"{len(study.dataset)} clean {study.profile.images} correctly, **{top1[small]:.1%}** after a "
    f"step of ε = {small:g}/255, and **{top1[large]:.1%}** after one of {large:g}/255.\n"
    "- **Does the direction count, or the size?** The control is a step of the same size whose "
    f"signs are drawn by a coin. {wording.control_sentence(same_images, control, large)}\n"
    "- **Are images with a high initial confidence harder to manipulate?** "
    f"{wording.verdict_sentence(verdict, study.profile.every_minimal)}\n"
    "- **Can a larger step undo what a smaller one did?** "
    f"{wording.bounce_back_sentence(study.table)}\n\n"
    "All this is about one classifier, one set of images, and an attack of one step."
)

# %% [markdown]
# ## What you can do here
#
# **Try it.** [Attack a picture live](live.ipynb) in your browser, one of yours if you like: it
# never leaves your device. Move ε on any case study in the menu.
#
# **Understand it.** [The method](method.ipynb) is two equations and an example worked by hand.
# [Data and model](data-and-model.ipynb) shows what is attacked, the [glossary](book/glossary.md)
# explains the words.
#
# **Judge it.** [Hypothesis 1](hypothesis.ipynb) puts confidence to the test.
# [The published curves](objectives.ipynb) came from another objective than their page names.
# [One step against many](iterative.ipynb) sets FGSM beside its iterative relatives.
# [The open questions](questions.ipynb) ask where fooled images go and who can see the change.
# [The claims](claims.ipynb) of the original page are checked one by one.
#
# **Repeat it.** Run any page's notebook, or attack
# [your own model and images](your-own.ipynb) with the [library](book/api.md).
# [About this build](about.ipynb) lists versions, hashes and times.

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
# A classifier that is right about a picture can be made wrong by changing every pixel a little,
# all in one step, in the direction that hurts most. That step is the Fast Gradient Sign Method
# (FGSM) of {cite:t}`goodfellow2015`.
#
# This site explains it, attacks three images closely and a thousand statistically, and shows its
# work: every figure, table and number was computed by the notebooks that each page offers.

# %% tags=["remove-input"]
show(
    figures.triple,
    case,
    epsilon,
    name="fig-home",
    caption="One FGSM step on one image. Left: the image and what the classifier sees in it. "
    f"Middle: the direction of the step. Right: the image after a step of {epsilon:g}/255, "
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
    f"- On {len(study.dataset)} clean {study.profile.images}, {study.profile.arch} is right about "
    f"**{top1[0]:.1%}**. One step of ε = {small:g}/255 leaves **{top1[small]:.1%}**, one of "
    f"{large:g}/255 leaves **{top1[large]:.1%}**. "
    f"{wording.control_sentence(same_images, control, large)}\n"
    f"- {wording.verdict_sentence(verdict, study.profile.every_minimal)}\n"
    f"- Can a larger step undo what a smaller one did? {wording.bounce_back_sentence(study.table)}"
)

# %% [markdown]
# ## What you can do here
#
# **Understand it.** [The method](method.ipynb) in two equations, with an example worked by hand.
# [Data and model](data-and-model.ipynb): what is attacked. Then the case studies in the menu.
#
# **Try it.** Move ε on any case study. [Attack a picture live](live.ipynb), one of yours too: it
# never leaves your machine. Ask the same of [your own model and images](your-own.ipynb).
#
# **Judge it.** Are images with a high initial confidence harder to manipulate?
# [Hypothesis 1](hypothesis.ipynb). [What made the published curves](objectives.ipynb): two
# objectives and two clips. [One step against many](iterative.ipynb): FGSM beside its iterative
# relatives. [The open questions](questions.ipynb): where fooled images go, and who can see it.
# [The original's claims, checked](claims.ipynb), one by one.
#
# **Repeat it.** Each page links its notebook. [About this build](about.ipynb) has versions, hashes
# and times, the [glossary](book/glossary.md) the words, the [library](book/api.md) the functions.

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
# (FGSM) of {cite:t}`goodfellow2015`. This site explains it, attacks three images closely and a
# thousand statistically, and shows its work: every figure, table and number on it was computed by
# the notebooks that you can download from each page.

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
# ## Where to go
#
# - [The method](method.ipynb): two equations, why one small step is enough, an example worked by
#   hand, and from which ε people can see it.
# - [Data and model](data-and-model.ipynb): what is attacked.
# - The case studies in the menu: three images, from ε = 0 to 20/255.
# - [Attack a picture live](live.ipynb): the classifier in your browser, on a picture of yours.
# - [The hypothesis](hypothesis.ipynb): are images with a high initial confidence harder to
#   manipulate?
# - [What made the published curves](objectives.ipynb): two objectives and two clips, side by side.
# - [One step against many](iterative.ipynb): FGSM beside its iterative relatives.
# - [The original's claims, checked](claims.ipynb): every sentence of the original page, judged on
#   its own numbers and on this run.
# - [About this build](about.ipynb): versions, hashes, times.

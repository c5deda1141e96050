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
# # Sample {{ sample }}: {{ class_name }}

# %% tags=["parameters", "remove-cell"]
profile = "demo"
sample = 766

# %% tags=["hide-input"]
from fgsm_lib import analysis, figures, wording
from fgsm_lib.cases import open_case
from fgsm_lib.demo import story
from fgsm_lib.display import credit, say, show, show_slider
from fgsm_lib.markdown import escape
from fgsm_lib.study import open_study

study = open_study(profile)
case = open_case(study, sample)

# %% [markdown]
# ## The attack

# %% tags=["remove-input"]
say(
    f"Sample {sample} is labeled *{escape(case.photo.class_name)}*. {wording.case_start(case)} "
    f"{credit(case.photo)}"
)
if study.profile.name == "demo":
    say(story.role_sentence(sample))

# %% tags=["hide-input"]
epsilon = analysis.nearest(case.table, 6)
show(
    figures.triple,
    case,
    epsilon,
    name=f"fig-triple-{sample}",
    caption="The image, the sign of the gradient (gray: zero, a channel at full strength: +1), "
    f"and the image after a step of {epsilon:g}/255 along it.",
)

# %% [markdown]
# ## Move ε yourself
#
# Drag the handle, or press the arrow keys. The address of the page keeps the ε, so that a link
# opens there.

# %% tags=["hide-input"]
show_slider(
    case,
    wording.telling_epsilon(case),
    name=f"fig-slider-{sample}",
    caption="The image, the perturbation and random signs, the control, at each ε of the grid, "
    "with the five most probable classes and the place on the confidence curve. The pictures are "
    "lossless; the perturbation is drawn around gray, amplified as stated.",
)

# %% [markdown]
# ## Confidence over ε

# %% tags=["hide-input"]
show(
    figures.case_curve,
    case,
    name=f"fig-curve-{sample}",
    caption="Confidence of the predicted class over ε. A new class is named where it comes. The "
    "axis is linear up to 1/255 and logarithmic beyond."
    + (
        " Dashed: the published run on the same photograph (GoogLeNet, true-logit objective)."
        if case.published is not None
        else ""
    ),
)

# %% tags=["remove-input"]
say(wording.case_reading(case))
if case.published is not None:
    say(wording.published_reading(case))
say(wording.published_missing(study.dataset.photos))

# %% [markdown]
# ## The five most probable classes

# %% tags=["hide-input"]
telling = wording.telling_epsilon(case)
show(
    figures.top5_bars,
    case,
    [0, telling],
    name=f"fig-top5-{sample}",
    caption=f"The five most probable classes on the clean image and at ε = {telling:g}/255, "
    f"{wording.telling_reason(case)}. The true class has the first color.",
)

# %% [markdown]
# ## Side by side

# %% tags=["hide-input"]
show(
    figures.series,
    case,
    [0, *sorted({analysis.nearest(case.table, epsilon) for epsilon in (4, 8, 12, 16)})],
    name=f"fig-series-{sample}",
    caption="The attack at growing ε, with predicted class and confidence. Last: random signs at "
    "the largest ε.",
)

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
# # Hypothesis 1
#
# > **Images with a high initial confidence are harder to manipulate.**

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["hide-input"]
from fgsm_lib import (
    analysis,
    figures,
    figures_survival,
    published,
    survival,
    survival_wording,
    wording,
)
from fgsm_lib.display import say, show, show_table
from fgsm_lib.study import open_study

study = open_study(profile)
minimal = study.minimal
among = survival_wording.among(minimal, study.profile.every_minimal)
grid = study.profile.hypothesis_epsilon_255
original_images = published.comparable(study.dataset.photos)

# %% [markdown]
# The original page concluded this from the curves of five groups of images. Here the sentence is
# put to a test whose rule was written down before the numbers were known.
#
# ## The test, stated before the data
#
# An image is hard to manipulate if only a large step makes the classifier wrong about it. So every
# image that is classified correctly before the attack gets its **minimal ε**: the first ε of the
# sweep at which the prediction is wrong, narrowed down to 0.01/255 by bisection between that ε and
# the one before. Initially wrong images say nothing about the hypothesis and are left out.
#
# An image that is never wrong, up to the largest ε, is *right-censored*: it holds out longer than
# that, and how much longer is unknown. It ranks above every image that was fooled.
#
# The measure is Spearman's rank correlation ρ between clean confidence and minimal ε, with a 95%
# interval from 2000 bootstrap resamples of the images. The hypothesis is
#
# - **supported** if the interval lies above zero,
# - **contradicted** if it lies below zero,
# - **undecided** if it contains zero,
# - and **cannot be judged** with fewer than ten images, or if all are equally confident or equally
#   hard.
#
# That is the whole test. What follows the verdict describes it and cannot change it: how long the
# images of each confidence hold out, two rival predictors, and how much of the correlation is left
# once the rivals are known.

# %% [markdown]
# ## The verdict

# %% tags=["remove-input"]
verdict = survival.judge(minimal)
say(wording.verdict_sentence(verdict, study.profile.every_minimal))
say(survival_wording.grid_reading(minimal, study.table))

# %% [markdown]
# ## How long images hold out
#
# Medicine draws the share of patients still alive over time. Here it is the share of images not yet
# fooled over ε, by Kaplan and Meier's estimate, for each bin of clean confidence. An image counts
# as fooled from its minimal ε on, even if a larger step makes it right again.

# %% tags=["hide-input"]
groups = survival.by_bin(minimal, analysis.ORIGINAL_BINS)
control_groups = survival.by_bin(
    survival.under_random_signs(study.control, minimal), analysis.ORIGINAL_BINS
)
if any(map(len, groups.values())):
    show(
        figures_survival.survival,
        groups,
        control_groups,
        study.table["epsilon_255"].max(),
        name="fig-survival",
        caption="Share of the images not yet fooled over ε, by clean confidence, with 95% "
        f"intervals: the {sum(map(len, groups.values()))} of {among} that lie in the original's "
        "five bins. A marker is where a curve falls to one half. Below: random signs, on "
        f"{sum(map(len, control_groups.values()))} of them.",
    )

# %% tags=["remove-input"]
say(survival_wording.survival_reading(minimal, analysis.ORIGINAL_BINS))

# %% tags=["hide-input"]
show_table(
    survival_wording.median_table(minimal, analysis.ORIGINAL_BINS),
    name="tab-medians",
    caption="The same images: how many FGSM fools at some ε, and the ε by which half of them are "
    "fooled (95% interval).",
)

# %% tags=["remove-input"]
say(survival_wording.chance_reading(minimal))

# %% [markdown]
# ## Rival predictors
#
# Confidence is one of several things that are known before the attack. Two others stand closer to
# what an attack has to do.
#
# - The **logit margin** $m = z_y - \max_{j \ne y} z_j$ is how far the true class leads. The image
#   is fooled when it reaches zero.
# - The **first-order prediction** $\hat\epsilon = m / \|\nabla_x m\|_1$ is the ε that would use the
#   margin up if the network were linear, as [the method](method.ipynb) explains.
#
# They are compared by *concordance*. Of all pairs of images in which one is fooled before the
# other, it is the share in which the predictor is higher for the one that holds out longer.
# Guessing gets one half.

# %% tags=["hide-input"]
rivals = survival.rivals(minimal)
if len(minimal):
    show(
        figures_survival.predictors,
        minimal,
        survival_wording.NAMES,
        rivals,
        name="fig-predictors",
        caption=f"Minimal ε of {among} over their rank by three predictors. The tighter the "
        "points follow a rising line, the better; C is the concordance. Where random signs of the "
        "same ε, the control, fool an image, too, its marker says so.",
    )

# %% tags=["hide-input"]
show_table(
    survival_wording.rivals_table(rivals),
    name="tab-rivals",
    caption="Concordance of three predictors with the minimal ε, and its difference from that of "
    f"clean confidence, with 95% bootstrap intervals; {among}.",
)

# %% tags=["remove-input"]
say(survival_wording.rivals_reading(minimal, rivals))

# %% [markdown]
# ## What is left of it once the margin is known
#
# A confident image usually has a large margin, so confidence could be a mere stand-in for it. The
# *partial* rank correlation removes from the ranks of confidence and of minimal ε what each shares
# with the ranks of the rival, and correlates the rest. A rival measures only imperfectly how hard
# an image is, so a small remainder may be what the rival misses.

# %% tags=["hide-input"]
left = survival.left_over(minimal)
show_table(
    survival_wording.left_table(verdict, left),
    name="tab-left",
    caption="Rank correlation of clean confidence and minimal ε: alone, and given each rival "
    f"(95% bootstrap interval); {among}.",
)

# %% tags=["remove-input"]
say(survival_wording.left_reading(minimal, verdict, left))

# %% [markdown]
# ## What this does not show
#
# - Another network, a network trained to resist, another objective, or an attack of many steps may
#   order the images otherwise.
# - The minimal ε belongs to the first wrong prediction that the grid sees. Between two ε at which
#   the image is right there may be one at which it is wrong.
# - It is the minimal ε *of FGSM*. A better attack finds a smaller one.
# - A correlation over images is no cause: nobody has made an image more confident here and watched
#   it become harder.

# %% [markdown]
# ## The most confident images

# %% tags=["hide-input"]
confident = analysis.initially_correct(study.table, 0.99, 1.0)
curve = analysis.curve(analysis.at(study.table, grid), confident)
control = analysis.curve(analysis.at(study.control, grid), confident)
if len(confident):
    show(
        figures.rates,
        curve,
        control,
        published.bin_curve(99) if original_images else None,
        what=f"{len(confident)} initially correct images with confidence above 99%",
        name="fig-confident",
        caption=f"Top-1 and top-5 accuracy and mean confidence of the {len(confident)} initially "
        "correct images with a clean confidence of 99–100%, with 95% intervals"
        + (" (published: 39 images)." if original_images else "."),
    )

# %% tags=["remove-input"]
say(wording.confident_reading(curve))
say(wording.published_missing(study.dataset.photos))

# %% [markdown]
# ## By clean confidence

# %% tags=["hide-input"]
bins = analysis.bin_curves(study.table, analysis.ORIGINAL_BINS, grid)
control_bins = analysis.bin_curves(study.control, analysis.ORIGINAL_BINS, grid)
published_bins = (
    {analysis.bin_name(low, high): published.bin_curve(percent)
     for percent, (low, high, _) in published.BINS.items()}
    if original_images
    else None
)  # fmt: skip
if any(map(len, bins.values())):
    show(
        figures.bins,
        bins,
        "top1",
        "top-1 accuracy",
        control_bins,
        published_bins,
        name="fig-bins-accuracy",
        caption="Top-1 accuracy over ε of the initially correct images, by clean confidence, with "
        "95% intervals. In brackets: on how many of them random signs (dotted) were tried.",
    )

# %% tags=["hide-input"]
if any(map(len, bins.values())):
    show(
        figures.bins,
        bins,
        "confidence",
        "mean confidence",
        control_bins,
        published_bins,
        name="fig-bins-confidence",
        caption="Mean confidence over ε of the same images. After the class has changed, it is the "
        "confidence in the wrong class.",
    )

# %% tags=["hide-input"]
shown = sorted({analysis.nearest(study.table, epsilon) for epsilon in (0.3, 1, 4, 20)})
show_table(
    analysis.bin_table(study.table, analysis.ORIGINAL_BINS, shown),
    name="tab-bins",
    caption="Top-1 accuracy of the initially correct images by clean confidence, at a few ε (95% "
    "interval).",
)

# %% tags=["hide-input"]
show_table(
    analysis.bin_table(study.table, analysis.FIVE_POINT_BINS[::-1], shown),
    name="tab-five-point-bins",
    caption="The same for all bins of 5 points.",
)

# %% [markdown]
# ## All images
#
# Initially wrong images are included; for them, an attack pushes a wrong classifier further.

# %% tags=["hide-input"]
everything = analysis.curve(analysis.at(study.table, study.profile.all_images_epsilon_255))
show(
    figures.rates,
    everything,
    analysis.curve(analysis.at(study.control, study.profile.all_images_epsilon_255)),
    published.all_samples_curve() if original_images else None,
    what=f"All {len(study.dataset)} images",
    name="fig-all",
    caption=f"Top-1 and top-5 accuracy and mean confidence of all {len(study.dataset)} images, "
    "with 95% intervals.",
)

# %% tags=["hide-input"]
show_table(
    analysis.side_by_side(everything, published.all_samples_curve() if original_images else None),
    name="tab-all",
    caption=f"All {len(study.dataset)} images: this run"
    + (" and the published one (GoogLeNet)." if original_images else "."),
)

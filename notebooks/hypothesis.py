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
from fgsm_lib import analysis, figures, published, wording
from fgsm_lib.display import say, show, show_table
from fgsm_lib.study import open_study

study = open_study(profile)
grid = study.profile.hypothesis_epsilon_255
control_grid = study.profile.control_epsilon_255
original_images = published.covers_all(study.dataset.photos)

# %% [markdown]
# ## The test, stated before the data
#
# If the hypothesis holds, images that start with a high confidence stay correct up to a larger ε
# than images that start with a low one. So for every initially correct image take its clean
# confidence and the smallest ε of the grid that makes its class wrong, and correlate the ranks of
# the two (Spearman's ρ). An image that is never fooled ranks above all that are. The hypothesis is
# *supported* if the 95 % bootstrap interval of ρ lies above zero, *contradicted* if it lies below,
# and *undecided* otherwise. Initially wrong images say nothing about it and are left out.

# %% tags=["remove-input"]
verdict = analysis.test_hypothesis(study.table)
say(wording.verdict_sentence(verdict))

# %% [markdown]
# What this does not show: one classifier, one set of images and one attack of one step. A rank
# correlation also does not say why. A confident image usually has a larger margin between its
# class and the next, and a margin takes a larger step to cross.

# %% [markdown]
# ## The most confident images

# %% tags=["hide-input"]
confident = analysis.initially_correct(study.table, 0.99, 1.0)
curve = analysis.curve(analysis.at(study.table, grid), confident)
control = analysis.curve(study.control, confident)
if len(confident):
    show(
        figures.rates,
        curve,
        control,
        published.bin_curve(99) if original_images else None,
        what=f"{len(confident)} initially correct images with confidence above 99 %",
        name="fig-confident",
        caption=f"Top-1 and top-5 accuracy and mean confidence of the {len(confident)} initially "
        "correct images with a clean confidence of 99–100 %, with 95 % intervals"
        + (" (published: 39 images)." if original_images else "."),
    )

# %% tags=["remove-input"]
say(wording.confident_reading(curve))

# %% [markdown]
# ## By clean confidence

# %% tags=["hide-input"]
bins = analysis.bin_curves(study.table, analysis.ORIGINAL_BINS, grid)
control_bins = analysis.bin_curves(study.control, analysis.ORIGINAL_BINS, control_grid, study.table)
published_bins = (
    {analysis.bin_name(low, high): published.bin_curve(percent)
     for percent, (low, high, _) in published.BINS.items()}
    if original_images
    else None
)  # fmt: skip
show(
    figures.bins,
    bins,
    "top1",
    "top-1 accuracy",
    control_bins,
    published_bins,
    name="fig-bins-accuracy",
    caption="Top-1 accuracy over ε of the initially correct images, by clean confidence, with "
    "95 % intervals.",
)

# %% tags=["hide-input"]
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

# %% tags=["remove-input"]
say(wording.bins_reading(bins))

# %% tags=["hide-input"]
show_table(
    analysis.bin_table(study.table, analysis.ORIGINAL_BINS, [0.3, 1, 4, 20]),
    name="tab-bins",
    caption="Top-1 accuracy of the initially correct images by clean confidence (95 % interval).",
)

# %% tags=["hide-input"]
show_table(
    analysis.bin_table(study.table, analysis.FIVE_POINT_BINS[::-1], [0.3, 1, 4, 20]),
    name="tab-five-point-bins",
    caption="The same for all bins of 5 points.",
)

# %% [markdown]
# ## All images
#
# Initially wrong images included: for them, "attack" means to push a wrong classifier further.

# %% tags=["hide-input"]
everything = analysis.curve(analysis.at(study.table, study.profile.all_images_epsilon_255))
show(
    figures.rates,
    everything,
    analysis.curve(study.control),
    published.all_samples_curve() if original_images else None,
    what=f"All {len(study.dataset)} images",
    name="fig-all",
    caption=f"Top-1 and top-5 accuracy and mean confidence of all {len(study.dataset)} images, "
    "with 95 % intervals.",
)

# %% tags=["hide-input"]
show_table(
    analysis.side_by_side(everything, published.all_samples_curve() if original_images else None),
    name="tab-all",
    caption=f"All {len(study.dataset)} images: this run"
    + (" and the published one (GoogLeNet)." if original_images else "."),
)

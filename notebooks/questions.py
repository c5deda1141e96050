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
# # The open questions
#
# The original page left questions open: "How are the classes distributed? Neighbouring classes
# etc", "Add perception thing", and whether the L- and U-shaped curves of single images are the
# rule. Here they are answered on all images of this build. Unless it says otherwise, a statement
# is about the initially correct images.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["hide-input"]
from fgsm_lib import analysis, answers, figures, neighbors, perception, shapes, visibility
from fgsm_lib import figures_questions as drawings
from fgsm_lib.cases import open_case
from fgsm_lib.display import credit, say, show, show_table
from fgsm_lib.study import open_study

study = open_study(profile)
names = study.dataset.class_names
same_images = analysis.shared(study.table, study.control)

# %% tags=["remove-input"]
tried = study.control["sample"].nunique()
say(
    f"The control, random signs at each ε of the grid, was computed for **{tried} of "
    f"{len(study.dataset)} images**, spread evenly over the set. A curve of the attack that is "
    "compared with it is taken on the same images."
)

# %% [markdown]
# ## Neighboring classes: where do fooled images go?
#
# At the first ε of the grid at which an image is wrong, it is seen as another class, its
# *adversarial class*. Where did that class stand on the clean image?

# %% tags=["hide-input"]
fooled = neighbors.first_fooled(study.table)
by_chance = neighbors.first_fooled(study.control)
ranks, chance_ranks = neighbors.rank_counts(fooled), neighbors.rank_counts(by_chance)
if len(fooled):
    show(
        drawings.rank_bars,
        {"FGSM": ranks, "random signs": chance_ranks},
        name="fig-ranks",
        caption="Rank of the adversarial class on the clean image, with 95% intervals.",
    )

# %% tags=["remove-input"]
say(answers.ranks(ranks, chance_ranks, len(names)))

# %% [markdown]
# The last layer weighs the same features once for each class, with one weight vector per class. Are
# the vectors of the class that an image leaves and of the one it reaches more alike than those of
# any two classes? They are compared by their cosine; chance is the true class's mean cosine with
# all other classes.

# %% tags=["remove-input"]
vectors = neighbors.class_vectors(study.classifier.network, len(names))
similarity = None if vectors is None else neighbors.weight_similarity(fooled, vectors)
say(answers.similarity(similarity))

# %% tags=["hide-input"]
pairs = neighbors.transitions(fooled)
if len(pairs):
    show_table(
        answers.transition_table(pairs, names),
        name="tab-transitions",
        caption="The most frequent ways at the first ε that fools: how many images of a class are "
        "fooled, and how many of these go there, with their share (95% interval).",
    )

# %% tags=["remove-input"]
say(answers.transitions(pairs))

# %% [markdown]
# ## Robustness and distribution of the classes

# %% tags=["hide-input"]
half = neighbors.half_epsilon(study.table)
robust = neighbors.class_robustness(study.table, half)
correct_in_control = analysis.initially_correct(study.control)
if len(robust):
    show(
        drawings.class_robustness,
        robust,
        names,
        analysis.curve(analysis.at(study.control, [half]), correct_in_control),
        name="fig-class-robustness",
        caption=f"Share of the initially correct images still correct at ε = {half:g}/255, the ε "
        "of the grid that leaves nearest to a half, in the classes that have most such images, "
        "with 95% intervals (Wilson).",
    )

# %% tags=["remove-input"]
say(answers.robustness(robust, half, neighbors.class_test(robust), names))

# %% [markdown]
# How many classes do the predictions use? The *effective* number is the exponential of the entropy
# of their distribution: ten for ten equally frequent classes, one for a single one.

# %% tags=["hide-input"]
spread, chance_spread = neighbors.class_spread(same_images), neighbors.class_spread(study.control)
show(
    drawings.class_counts,
    spread,
    chance_spread,
    name="fig-class-counts",
    caption=f"Effective number of classes that the predictions for the {tried} images of the "
    "control are spread over, initially correct or not.",
)

# %% tags=["remove-input"]
say(answers.spread(spread, chance_spread, names))

# %% [markdown]
# ## Curve shapes
#
# Two rules sort every image. Its *fate* goes by its class over the whole grid:
#
# - **never fooled**: correct at every ε,
# - **bounce-back**: wrong somewhere and correct again at a larger ε,
# - **fooled for good**: wrong from some ε on.
#
# Its *shape* goes by the confidence of the predicted class. The fall is the first value minus the
# smallest, the rebound the last value minus the smallest.
#
# - **L**: a rebound of less than a tenth of the fall,
# - **L with a rise**: at least a tenth,
# - **U**: at least half,
# - **rising**: a fall of less than 0.05, and an end more than 0.05 above the start,
# - **flat**: a fall of less than 0.05 without that.

# %% tags=["remove-input"]
sorted_images = shapes.image_shapes(study.table)
under_random_signs = shapes.image_shapes(study.control)
totals = {
    column: [shapes.counts(images, column, kinds) for images in (sorted_images, under_random_signs)]
    for column, kinds in (("fate", analysis.FATES), ("shape", shapes.SHAPES))
}
for column, (attacked, by_chance) in totals.items():
    say(answers.kinds(column, attacked, by_chance))

# %% tags=["hide-input"]
bins = [(0.99, 1), (0.95, 0.99), (0.9, 0.95), (0.8, 0.9), (0.6, 0.8), (0.4, 0.6), (0, 0.4)]
fates = shapes.by_confidence(study.table, bins, "fate", analysis.FATES)
curves = shapes.by_confidence(study.table, bins, "shape", shapes.SHAPES)
if len(sorted_images):
    show(
        drawings.stacked_bins,
        fates,
        analysis.FATES,
        name="fig-fates",
        caption="What becomes of the class over the whole grid, by clean confidence.",
    )
    show(
        drawings.stacked_bins,
        curves,
        shapes.SHAPES,
        name="fig-shapes",
        caption="The shape of the confidence curve, by clean confidence.",
    )

# %% tags=["hide-input"]
for column, groups in (("fate", fates), ("shape", curves)):
    attacked, by_chance = totals[column]
    show_table(
        shapes.reading_table({"all": attacked, **groups, "random signs": by_chance}),
        name=f"tab-{column}s",
        caption=f"The {column} of the images by clean confidence, and under random signs: count "
        "and share (95% interval).",
    )

# %% [markdown]
# The typical image of a kind is the one whose curve lies nearest to the mean curve of its kind.

# %% tags=["hide-input"]
if len(sorted_images):
    examples = dict(list(shapes.typical(sorted_images, study.table).items())[:8])
    show(
        drawings.gallery,
        examples,
        study.table,
        [study.dataset[sample][0] for sample in examples.values()],
        shapes.kind_counts(sorted_images),
        name="fig-gallery",
        caption="Confidence of the predicted class over ε: the typical image of each kind that "
        "occurs, the most frequent kinds first.",
    )
    credits = {sample: credit(study.dataset.photo(sample)) for sample in examples.values()}
    say(" ".join(f"Sample {sample}: {line}" for sample, line in credits.items() if line))

# %% [markdown]
# ## Perception
#
# Four numbers measure a step, on images rounded to 8 bits: the largest change of any value, L∞; the
# Euclidean length, L2; the peak signal-to-noise ratio, PSNR; and SSIM {cite:p}`wang2004`.

# %% tags=["hide-input"]
some = range(0, len(study.dataset), max(1, len(study.dataset) // 10))
measured, bands = visibility.measure_table(study, some, [1, 2, 4, 8, 16, 32])
means = perception.means(measured.drop(columns="sample"))
show(
    drawings.measures,
    means,
    name="fig-measures",
    caption=f"Means over {len(some)} images spread evenly over the set, initially correct or not. "
    "Dotted: random signs.",
)

# %% tags=["remove-input"]
say(answers.seen(means, perception.JUST_NOTICEABLE_DELTA_E))

# %% [markdown]
# Where is your own threshold? Look for the first picture in which you see the noise.

# %% tags=["hide-input"]
case = open_case(study, study.profile.example)
show(
    figures.strengths,
    case,
    [0, 1, 2, 3, 4, 6],
    name="fig-threshold",
    caption=f"The same image around the threshold. {credit(case.photo)}",
)

# %% [markdown]
# Is it seen in the dark or in the light? The same step changes a dark pixel by a larger share than
# a light one, and the screen's gamma works the other way round. The color difference ΔE of
# [the method](method.ipynb) weighs both as the eye does.

# %% tags=["hide-input"]
lightness = {
    direction: visibility.lightness_curve(bands, direction, 4)
    for direction in perception.DIRECTIONS
}
width = visibility.LIGHTNESS_EDGES[1]
show(
    drawings.lightness,
    lightness,
    width,
    perception.JUST_NOTICEABLE_DELTA_E,
    name="fig-lightness",
    caption="Mean color difference ΔE at ε = 4/255 by the lightness of the clean region, over the "
    "same images, each counted once in every band it has, with 95% intervals.",
)

# %% tags=["remove-input"]
say(answers.by_lightness(lightness["FGSM"], width, 4))

# %% tags=["hide-input"]
dark, light = visibility.darkest_and_lightest(case)
show(
    figures.images,
    [dark.clean, dark.attacked, dark.random, light.clean, light.attacked, light.random],
    ["dark region", "ε = 8/255", "random, 8/255", "light region", "ε = 8/255", "random, 8/255"],
    "The darkest and the lightest part of the image, each clean, attacked and with random signs of "
    "8/255.",
    name="fig-dark-light",
    caption="The darkest and the lightest square of the image above, enlarged.",
)

# %% [markdown]
# ## 8 bits: does the attack survive being saved?
#
# An image file holds whole gray levels, and so does the image before the attack. So a step of less
# than half a level is rounded away when the adversarial image is saved, and one of 0.5 to 1.5
# levels becomes exactly one.

# %% tags=["hide-input"]
rates = visibility.rounding_rates(study.table, study.eight_bit)
if len(rates):
    small = analysis.at(study.control, rates["epsilon_255"])
    show(
        drawings.rounding,
        rates,
        analysis.curve(small, correct_in_control),
        name="fig-rounding",
        caption=f"Top-1 accuracy of the {rates['n'].max()} initially correct images among the "
        f"{tried} of the control, for the exact step and the step saved in 8 bits, with 95% "
        "intervals.",
    )
    show_table(
        answers.rounding_table(rates),
        name="tab-rounding",
        caption="The same in numbers: accuracy of the exact and of the saved step (95% intervals), "
        "how many images the exact step fools, how many of these are still fooled after saving, "
        f"and how many of all {rates['n'].max()} saved images are seen exactly as the clean one.",
    )
    say(answers.rounding(rates))
else:
    say("None of these images is initially correct, so there is no attack to save.")

# %% [markdown]
# ## Controls: random signs at each ε
#
# How large does a step in a random direction have to be to do the same?

# %% tags=["hide-input"]
curve, control = analysis.curve(same_images), analysis.curve(study.control)
show(
    drawings.against_chance,
    curve,
    control,
    name="fig-controls",
    caption=f"Top-1 accuracy of the {tried} images of the control, initially correct or not, under "
    f"FGSM and under random signs at all {len(control)} ε of the grid, with 95% intervals.",
)

# %% tags=["remove-input"]
say(answers.against_chance(curve, control))

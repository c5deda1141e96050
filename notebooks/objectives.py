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
# # What made the published curves
#
# The original page explains FGSM with the cross-entropy, but its code called `nll_loss` on raw
# logits: it lowered the logit of the true class and nothing else. It also clipped twice, to the
# image's own smallest and largest value before the valid range. Here both objectives and both
# clips run on the same images.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["hide-input"]
from fgsm_lib import analysis, figures_objectives, objectives, published, wording
from fgsm_lib.display import say, show, show_table
from fgsm_lib.profiles import VARIANTS
from fgsm_lib.study import open_study

study = open_study(profile)
variants = {(objective, clip): study.variant(objective, clip) for objective, clip in VARIANTS}
own_clip = {
    objective: variants[objective, study.profile.clip]
    for objective in ("cross_entropy", "true_logit")
}
pair = objectives.on_shared_images(
    {(objective, study.profile.clip): table for objective, table in own_clip.items()}
)
by_objective = {objective: table for (objective, _), table in pair.items()}
images = by_objective["true_logit"]["sample"].nunique()
original = published.all_samples_curve() if published.comparable(study.dataset.photos) else None
control = analysis.shared(study.control, by_objective["true_logit"])

# %% [markdown]
# ## Two objectives, two stories

# %% tags=["remove-input"]
say(
    f"All means are over **{images} of {len(study.dataset)} images**, spread evenly over the set, "
    "initially wrong ones included. " + objectives.story_sentence(by_objective, original)
)

# %% tags=["hide-input"]
show(
    figures_objectives.curves,
    pair,
    "confidence",
    "mean confidence",
    control,
    original,
    name="fig-objectives-confidence",
    caption=f"Mean confidence over ε, {images} images, with 95% intervals.",
)

# %% tags=["hide-input"]
show(
    figures_objectives.curves,
    pair,
    "top1",
    "top-1 accuracy",
    control,
    original,
    name="fig-objectives-accuracy",
    caption=f"Top-1 accuracy over ε of the same {images} images, with 95% intervals.",
)

# %% tags=["remove-input"]
epsilon = analysis.nearest(by_objective["true_logit"], 1)
confident = None if original is None else published.bin_curve(99).set_index("epsilon_255")["top1"]
theirs = None if confident is None else confident.get(epsilon)
say(objectives.bin_sentence(by_objective, epsilon, theirs))
say(wording.published_missing(study.dataset.photos))

# %% [markdown]
# ## Why
#
# With $p = \operatorname{softmax}(z)$ the two gradients are
#
# $$\nabla(-\log p_y) = (1 - p_y)\Bigl(\sum_{k \ne y} q_k \nabla z_k - \nabla z_y\Bigr),
#   \quad q_k = \frac{p_k}{1 - p_y},$$
#
# $$\nabla(-z_y) = -\nabla z_y .$$
#
# The true-logit objective only pushes $z_y$ down. The cross-entropy also lifts the rivals, each by
# its share $q_k$ of the rest of the probability, so above all the nearest.

# %% tags=["hide-input"]
samples = objectives.spread_by_confidence(study.table, 32)
probed = objectives.probe(study, samples, [0.3, 1, 4, 16])
changes = objectives.mean_changes(probed)
if samples:
    show(
        figures_objectives.logit_changes,
        changes,
        name="fig-logit-changes",
        caption=f"Mean change of the true logit and of the largest logit of any other class, over "
        f"{len(samples)} initially correct images spread evenly over the ranks of their "
        "confidence, with 95% intervals.",
    )

# %% tags=["remove-input"]
say(objectives.change_sentence(changes, 1))

# %% [markdown]
# ## What it does to the conclusions
#
# The grid of this page is coarse: the smallest fooling ε is the first of few values, and a class
# that comes back between two of them is not seen.

# %% tags=["hide-input"]
show_table(
    objectives.consequence_table(pair),
    name="tab-objectives",
    caption="Fooling, return of the right class, and Hypothesis 1 under both objectives, on the "
    "same initially correct images. Counts, shares and 95% intervals.",
)

# %% [markdown]
# ## The second clip

# %% tags=["remove-input"]
shared = objectives.on_shared_images(variants)
for objective in by_objective:
    say(
        f"**{objectives.NAMES[objective].capitalize()}.** "
        + objectives.clip_sentence(shared[objective, "valid"], shared[objective, "image"])
    )

# %% tags=["hide-input"]
count = shared["true_logit", "image"]["sample"].nunique()
show(
    figures_objectives.curves,
    shared,
    "confidence",
    "mean confidence",
    analysis.shared(study.control, shared["true_logit", "image"]),
    name="fig-clips",
    caption=f"Mean confidence over ε under both objectives and both clips, on the {count} "
    f"image{'s' if count != 1 else ''} that all four were computed for, with 95% intervals.",
)

# %% tags=["hide-input"]
show_table(
    objectives.confidence_table(shared),
    name="tab-clips-confidence",
    caption=f"Mean confidence of these {count} images, by objective and clip.",
)
show_table(
    objectives.consequence_table(shared),
    name="tab-clips",
    caption="As {numref}`tab-objectives`, on those of these images that are initially correct.",
)

# %% [markdown]
# ## Where gradients vanish
#
# The factor $1 - p_y$ makes the gradient of the cross-entropy small where the classifier is sure.
# Its sign does not care, until float32 runs out of digits. That happens in two steps.
#
# Where $p_y$ rounds to 1 ($1 - p_y$ below 2⁻²⁴), the term of the true class is lost: the attack
# only lifts the rivals. Where the $p_k$ of all rivals round to 0, too (below about 10⁻⁴⁵), nothing
# is left: no pixel moves, and the attack fails for a reason that has nothing to do with robustness.

# %% tags=["hide-input"]
if samples:
    show(
        figures_objectives.gradient_sizes,
        probed,
        name="fig-gradient-sizes",
        caption="Sum of the absolute values of the gradient against 1 − p of the true class, for "
        f"the same {len(samples)} images. Dashed: 2⁻²⁴, below which p is 1 in float32.",
    )

# %% tags=["remove-input"]
say(objectives.vanishing_sentence(probed))

# %% tags=["hide-input"]
show_table(
    objectives.zero_table(by_objective, [(0.9999, 1.0), (0.99, 0.9999), (0.9, 0.99), (0.0, 0.9)]),
    name="tab-zeros",
    caption=f"Initially correct images with a gradient of exactly zero at any of their "
    f"{study.dataset[0][0].numel()} values, and the most such values in one image.",
)

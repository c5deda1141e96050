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
# # Data and model

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["hide-input"]
from fgsm_lib import analysis, figures, published, wording
from fgsm_lib.cases import short_name
from fgsm_lib.demo import story
from fgsm_lib.display import credit, say, show, show_table
from fgsm_lib.markdown import escape
from fgsm_lib.study import open_study

study = open_study(profile)
clean = analysis.clean(study.table)

# %% [markdown]
# ## The images

# %% tags=["remove-input"]
labels = study.dataset.labels()
say(
    f"The profile **{study.profile.name}** attacks {len(study.dataset)} {study.profile.images} "
    f"({study.profile.title}). Of the {len(study.dataset.class_names)} classes that the classifier "
    f"knows, {len(set(labels))} occur among them."
)
if study.profile.name == "demo":
    say(
        "They stand in for photographs, so that this site can be built anywhere. Each shows a toy "
        "in a studio, computed from a random scene. Ten shapes wear five patterns, which makes "
        "fifty classes; pose, light, backdrop, blur, noise and a ribbon in front make some of them "
        "hard."
    )

# %% tags=["hide-input"]
chosen = range(0, len(study.dataset), max(1, len(study.dataset) // 12))[:12]
photos = [study.dataset.photo(sample) for sample in chosen]
show(
    figures.contact_sheet,
    [study.dataset[sample][0] for sample in chosen],
    [photo.class_name for photo in photos],
    name="fig-sheet",
    caption=f"{len(chosen)} images spread evenly over the set, as the classifier receives them, "
    "with the names of their classes.",
    pixel_true=False,
)

# %% tags=["remove-input"]
credits = [f"{escape(short_name(p.class_name))}: {credit(p)}" for p in photos if credit(p)]
if credits:
    say("```{dropdown} Credits of these photographs\n" + "\n\n".join(credits) + "\n```")

# %% [markdown]
# Every image is prepared in the same way: its shorter side is resized, the center is cropped, and
# its bytes become numbers in [0, 1]. These numbers are what the attack changes. Normalization, by
# the means and standard deviations of the channels, is part of the classifier.

# %%
print(study.classifier.preprocessing)
print("mean", study.classifier.mean.flatten(), "std", study.classifier.std.flatten())

# %% tags=["hide-input"]
show(
    figures.class_counts,
    labels,
    len(study.dataset.class_names),
    name="fig-classes",
    caption="How many classes have no image, one image, two, and so on.",
)

# %% [markdown]
# ## The classifier

# %% tags=["remove-input"]
say(
    f"The classifier is torchvision's architecture `{study.profile.arch}`. Its *confidence* is the "
    "largest softmax probability, whatever the class. An image is *top-1* correct if that class is "
    "its label, and *top-5* correct if its label is among the five most probable classes."
)
show_table(
    analysis.clean_summary(study.table),
    name="tab-clean",
    caption=f"The classifier on the {len(study.dataset)} clean images.",
)

# %% tags=["remove-input"]
if published.comparable(study.dataset.photos):
    theirs = published.clean_predictions()
    say(
        f"The published run used GoogLeNet {{cite:p}}`szegedy2015` on the same photographs: top-1 "
        f"{theirs['correct'].mean():.3f}, top-5 {theirs['correct_top5'].mean():.3f}, mean "
        f"confidence {theirs['confidence'].mean():.3f}."
    )
say(wording.published_missing(study.dataset.photos))

# %% tags=["remove-input"]
if study.profile.name == "demo":
    say(story.training_sentence())
    show(
        figures.confusion,
        [story.confusion(clean, word) for word in (0, 1)],
        ["pattern", "shape"],
        name="fig-confusion",
        caption=f"What the classifier sees (columns) in which toy (rows): number of images among "
        f"{len(clean)}, colored by the share of the row.",
    )
    say("````{dropdown} The model card of this classifier\n" + story.model_card() + "\n````")

# %% [markdown]
# ## Confidence on clean images

# %% tags=["hide-input"]
show(
    figures.confidence_histogram,
    clean,
    name="fig-confidence",
    caption="Clean confidence in steps of 5 points, correct and wrong images apart.",
)

# %% tags=["remove-input"]
right, wrong = clean[clean["correct"]], clean[~clean["correct"]]
say(
    f"Of the {len(right)} correct images, {(right['confidence'] > 0.95).sum()} have more than 95% "
    f"confidence; of the {len(wrong)} wrong ones, {(wrong['confidence'] > 0.95).sum()}. The means "
    f"are {right['confidence'].mean():.2f} and {wrong['confidence'].mean():.2f}."
)

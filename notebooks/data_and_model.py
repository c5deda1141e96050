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
# # What is attacked

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
from importlib.resources import files

import pandas as pd

from fgsm_lib import analysis, figures, gallery, published
from fgsm_lib.show import credit, say, show
from fgsm_lib.study import open_study
from fgsm_lib.words import escape, network_name, taken_on

study = open_study(profile)
photos = study.shown

# %% tags=["remove-input"]
say(
    "Two kinds of pictures appear on this site. What you look at one by one are, on most pages, "
    f"{len(photos.pictures)} photographs that come with scikit-image, attacked in "
    f"{network_name(photos.classifier.name)}, an ImageNet classifier. The statistics are taken on "
    f"{taken_on(study.profile, len(study.pictures))}."
    + (
        " They are toys so that this site can be built anywhere, and the statistics are about them "
        "alone; what was found on the original's 1000 photographs is recorded beside them."
        if profile == "demo"
        else ""
    )
)

# %% [markdown]
# ## The photographs

# %% tags=["hide-input"]
show(
    gallery.pictures(
        [photos.image(p.sample)[0][0] for p in photos.pictures],
        [p.class_name for p in photos.pictures],
        columns=4,
    ),
    name="fig-photographs",
    caption="The photographs as the classifier receives them, with the names of their classes. "
    + " ".join(
        f"{escape(p.class_name)}: {credit(p)}" for p in photos.pictures
    ),
)

# %% [markdown]
# ## The pictures of the statistics

# %%
labels = pd.Series(study.pictures.labels())
counts = labels.value_counts()
print(
    len(study.pictures),
    "pictures of",
    len(counts),
    "classes; the classifier knows",
    len(study.names),
)
print("pictures per class:", counts.min(), "to", counts.max())

# %% tags=["hide-input"]
some = study.pictures.samples[:: max(1, len(study.pictures) // 12)][:12]
show(
    gallery.pictures(
        [study.image(sample)[0][0] for sample in some],
        [
            study.names[study.pictures.picture(sample).label]
            for sample in some
        ],
        columns=4,
    ),
    name="fig-sheet",
    caption=f"{len(some)} of these pictures, spread evenly over the set, with their classes.",
)
credits = {
    sample: credit(study.pictures.picture(sample)) for sample in some
}
credits = [f"{sample}: {text}" for sample, text in credits.items() if text]
if credits:
    lines = "\n\n".join(credits)
    say(f":::{{dropdown}} Credits of these photographs\n{lines}\n:::")

# %% [markdown]
# Every picture is prepared in the same way: it is turned upright, its shorter side is resized,
# the center is cropped, and its bytes become numbers in [0, 1]. These numbers are what the attack
# changes. Normalization, by the means and standard deviations of the channels, is part of the
# classifier.

# %%
print(study.classifier.preprocessing)
print(
    "mean",
    study.classifier.mean.flatten(),
    "std",
    study.classifier.std.flatten(),
)

# %% [markdown]
# ## The classifier on clean pictures
#
# [Confidence](#confidence) is the largest softmax probability, whatever the class. A
# picture is *top-1* correct if that class is its label, and *top-5* correct if its label is among
# the five most probable classes.

# %%
table = study.table()
clean = analysis.clean(table)
start = analysis.at(table, 0)  # also of what has no gradient
summary = analysis.curve(start, start["sample"]).iloc[0]

# %% tags=["remove-input"]
show(
    pd.DataFrame(
        {"measure": name, "value": analysis.rate_text(summary, column, 3)}
        for column, name in (
            ("top1", "top-1 accuracy"),
            ("top5", "top-5 accuracy"),
            ("confidence", "mean confidence"),
        )
    ),
    name="tab-clean",
    caption=f"{network_name(study.classifier.name)} on the {len(clean)} clean pictures (95% interval).",
)
if published.covers_all(study.pictures):
    theirs = published.clean_predictions()
    say(
        "The published run used GoogLeNet {cite:p}`szegedy2015` on the same photographs: top-1 "
        f"{theirs['correct'].mean():.3f}, top-5 {theirs['correct_top5'].mean():.3f}, mean "
        f"confidence {theirs['confidence'].mean():.3f}."
    )

# %% tags=["hide-input"]
show(
    figures.histogram(clean),
    name="fig-confidence",
    caption="Clean confidence in steps of 5 points, correct and wrong pictures apart. Nothing is attacked "
    "here, so there is no control.",
)
right, wrong = clean[clean["correct"]], clean[~clean["correct"]]
say(
    f"Of the {len(right)} correct pictures, {(right['confidence'] > 0.95).sum()} have more than 95% "
    f"confidence; of the {len(wrong)} wrong ones, {(wrong['confidence'] > 0.95).sum() or 'none'}. The "
    f"means are {right['confidence'].mean():.2f} and {wrong['confidence'].mean():.2f}."
)

# %% tags=["hide-input"]
if profile == "demo":
    words = pd.Series(study.names).str.split()  # "dotted star"
    tables = {
        what: pd.crosstab(
            clean["label"].map(words.str[place]),
            clean["predicted_class"].map(words.str[place]),
        )
        for place, what in enumerate(("pattern", "shape"))
    }
    show(
        figures.matrix(tables),
        name="fig-confusion",
        caption=f"What the classifier sees (columns) in which toy (rows), of {len(clean)} pictures.",
    )
    card = (files("fgsm_lib") / "demo" / "MODEL_CARD.md").read_text(
        encoding="utf-8"
    )
    say(
        f"The network had **{study.profile.training}**: in its last stage it saw FGSM copies with ε up "
        "to 2/255. [Without it](meaning.ipynb) hardly any picture survives a step of 1/255, and there "
        "would be no difference between confident and unsure pictures to look at."
    )
    # Without its title, and how the file is made.
    text = card[card.index("\n|") :]
    say(f"````{{dropdown}} The model card of this classifier\n{text}\n````")

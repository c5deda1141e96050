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
# # About this build

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
from fgsm_lib import about
from fgsm_lib.display import say, show_table
from fgsm_lib.study import open_study

study = open_study(profile)

# %% [markdown]
# Every figure, table and number on this site was computed by one build. This is what it was given
# and what it ran on.

# %% tags=["remove-input"]
show_table(about.settings_table(study), name="tab-settings", caption="What was computed.")
show_table(
    about.provenance_table(study),
    name="tab-provenance",
    caption="From what, where, and how long it took. Equal hashes mean equal inputs.",
)
show_table(about.versions_table(), name="tab-versions", caption="With which versions.")

# %% tags=["remove-input"]
clean = study.table[study.table["epsilon_255"] == 0]
without = int((clean["zero_gradients"] > 0).sum())
total = clean["zero_gradients"].sum() / (len(clean) * study.dataset[0][0].numel())
say(
    "**Zero gradients.** Where the gradient is exactly zero in float32, so is its sign, and the "
    f"value does not move. In this sweep that concerns {total:.2%} of all values; {without} of "
    f"{len(clean)} images have at least one."
)

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
# # The original's claims, checked
#
# The original page describes what its author saw in curves. Here every statement that can be
# checked is judged by a written rule, twice: on the author's published numbers, and on this run.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["hide-input"]
from fgsm_lib import ledger, perception, published
from fgsm_lib.display import say, show_table
from fgsm_lib.study import open_study

study = open_study(profile)
samples = range(0, len(study.dataset), max(1, len(study.dataset) // 10))
colors = perception.difference_table(study, samples, [4, 8, 12, 16])
theirs = ledger.published_evidence()
ours = ledger.run_evidence(study, colors)
judged = ledger.judge_all(theirs, ours)
ledger.write_ledger(judged, study.folder / "claims.json")

# %% tags=["remove-input"]
say(ledger.summary_sentence(judged))
if not published.covers_all(study.dataset.photos):
    say(
        f"This run looks at other images than the published one: {study.profile.title}. Where a "
        "claim fails here, that says nothing about the original's data. Where it holds, it is not "
        "bound to them."
    )

# %% tags=["hide-input"]
show_table(
    ledger.verdict_table(judged),
    name="tab-claims",
    caption="Every claim and whether it holds.",
)

# %% [markdown]
# ## Where words and data disagree
#
# On the author's own numbers these claims do not hold:

# %% tags=["remove-input"]
say(ledger.disagreements(judged))

# %% [markdown]
# Two statements have two readings each, and both are judged. "This is roughly the same point" may
# mean where accuracy begins to rise or where the rise ends. "Levels out" may mean the level at the
# end of the steep drop or at the far end of the curve.
#
# A claim that holds may hold by little. The rules judge the curves as they are drawn; the evidence
# tells when a rise is one of a single image.
#
# ## Sample 766
#
# Each claim is given in the author's words, with the rule by which it is judged and the two
# verdicts. "Around" an ε means within a factor of 1.5. [The method](method.ipynb) explains the
# color difference ΔE.

# %% tags=["remove-input"]
say(ledger.details(judged, "Sample 766"))

# %% [markdown]
# ## The most confident images
#
# Means over the initially correct images with a clean confidence of 99–100%.

# %% tags=["remove-input"]
say(ledger.details(judged, "The most confident images"))

# %% [markdown]
# ## Confidence levels compared

# %% tags=["remove-input"]
say(ledger.details(judged, "Confidence levels compared"))

# %% [markdown]
# ## Single images

# %% tags=["remove-input"]
say(ledger.details(judged, "Single images"))

# %% [markdown]
# ## Distance to the published curves

# %% tags=["remove-input"]
if published.covers_all(study.dataset.photos):
    distances = ledger.distances(theirs, ours)
    say(ledger.distance_sentence(distances, study))
    if len(distances):
        show_table(
            ledger.distance_table(distances),
            name="tab-distances",
            caption="How far this run lies from every published curve: the number of ε in common, "
            "the largest distance, and the root mean square. Sample 528 was read off its plot, to "
            "about 0.01.",
        )
else:
    say("The published curves are of other images, so there is no distance to take.")

# %% [markdown]
# ## What is not judged
#
# - That an attacked picture looks "slightly more blurry", or that without the clean one beside it
#   "it can be hard to tell": that takes people who look.
# - That the method "leads to robust adversaries" and that iterative ones look cleaner: the original
#   shows no data for it. [One step against many](iterative.ipynb) measures the latter.

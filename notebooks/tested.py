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
# # How this is tested
#
# A page of numbers is worth what can be shown about them. This one says what the project promises,
# how each promise is checked, and how the checks ended the last time that they ran where this site
# was built.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
from fgsm_lib import promises
from fgsm_lib.display import say, show_table
from fgsm_lib.profiles import build_folder

reports = sorted((build_folder() / "tests").glob("*.xml"))
counts = promises.read_counts(reports)

# %% tags=["remove-input"]
say(promises.counts_sentence(reports, counts))
show_table(
    promises.promise_table(counts),
    name="tab-promises",
    caption="What is promised, how it is checked, and how many tests did so in the last run.",
)

# %% [markdown]
# ## The same numbers again
#
# `make verify` deletes the demo's results, builds the site from nothing and compares what it
# computed with values that are kept in the repository: for every table the counts and means at
# every ε and the classes of a spread of rows, the verdicts on the original's claims, and the
# numbers in the pages' tables and in the descriptions of their figures.
#
# Two processors may add up the same numbers in another order. That moves a confidence by about
# 10⁻⁷, except where a gradient is zero up to rounding: its sign then is an accident. Measured with
# other batch sizes, with two threads, and with the vector instructions of older processors, no
# class changed except one that led by 4 · 10⁻⁵, and no confidence by more than 0.01. So a class
# must be the same unless its lead is below 0.001, one image's confidence may move by 0.01, and a
# mean as if one image in a hundred did. What moves further is named, and the check fails.
#
# ## What is not tested
#
# That the original's photographs, run through torchvision's GoogLeNet, give the published numbers:
# it needs weights that are downloaded, and the page on [the claims](claims.ipynb) says how far
# each run is from them. A graphics processor, Windows and macOS: the tests run on Linux, on the
# processor.

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
# What does this project promise, how is each promise checked, and how did the checks end the last
# time that they ran where this site was built?

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
# `make verify` deletes the demo's results, builds the site from nothing and compares it with values
# that are kept in the repository: for every table the counts and means at every ε and the classes
# of a spread of rows, the verdicts on the original's claims, and the numbers in the pages' tables
# and in the descriptions of their figures.
#
# Two processors may add up the same numbers in another order. That moves a confidence by about
# 10⁻⁷, except where a gradient is zero up to rounding: its sign then is an accident. This was
# measured with other batch sizes, with two threads, and with the vector instructions of older
# processors. No class changed except one that led by 4 · 10⁻⁵, and no confidence by more than 0.01.
#
# So a class must be the same unless its lead is below 0.001, one image's confidence may move by
# 0.01, and a mean as if one image in a hundred did. What moves further is named, and the check
# fails.
#
# ## What is not tested
#
# - That the original's photographs, run through torchvision's GoogLeNet, give the published
#   numbers. This needs weights that are downloaded. The page on [the claims](claims.ipynb) says how
#   far a run is from these numbers.
# - Windows, macOS, and a graphics processor: the tests run on Linux, on the processor.

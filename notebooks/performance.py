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
# # Performance
#
# What a sweep costs, compared with three other libraries, with the original's loop, and with the
# bare passes through the network that no sweep can do without.
#
# The attacked image is $\tilde{x}(\epsilon) = \mathrm{clip}(x + \epsilon\,\mathrm{sign}\,g)$, and
# the gradient $g$ does not depend on ε. So a sweep over $E$ values of ε needs one backward pass
# and $E$ forward passes per image, the one at $\epsilon = 0$ being the gradient's own. Libraries
# that offer FGSM as one attack among many compute the gradient again at every ε, and then look at
# the result: $2E$ forward and $E$ backward passes. Counting a backward pass to the pixels as one
# forward pass, that is $3E / (E + 1)$ times as much: 2.8 times at 16 values of ε. The rest of what
# follows is layout.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["hide-input"]
from fgsm_lib.bench import drawings, record, report
from fgsm_lib.display import say, show, show_table

measurements, here = record.read()
whose = (
    "These measurements were made here, by `make bench`."
    if here
    else "No `make bench` has run here: this is the record of one run that comes with the library. "
    "Run it to see your own machine."
)
say(f"{whose} Only ratios of times mean something on another machine.")

# %% [markdown]
# ## The same sweep, by others
#
# Each library runs twice: *as documented*, with batches of 50 in PyTorch's default memory format
# (NCHW) and weights that ask for gradients, and in its *fastest layout*, channels last, weights
# frozen, with the batch size and the use of the cores that were fastest for it. The *original's
# loop* takes image by image and computes a new gradient at each ε, and the *bare passes* are the
# floor: forward and backward passes in the fastest layout found, which attack nothing. All others
# get their images decoded; only this library reads its files.

# %% tags=["hide-input"]
for name, entry in measurements.items():
    say(report.circumstances(entry))
    say(report.agreement(entry))
    show(
        drawings.sides,
        entry,
        name=f"fig-sides-{name}",
        caption=f"Time per image and ε with {entry['classifier']}; a circle for each round.",
    )
    show_table(
        report.speed_table(entry),
        name=f"tab-sides-{name}",
        caption=f"The same with {entry['classifier']}, and predictions equal to this library's.",
    )
    say(report.rate(entry))
    say(f"The goals were:\n\n{report.goals_list(entry)}")

# %% [markdown]
# ## Batch size, memory format, threads
#
# On a CPU small batches stay in the cache, and cores that share one batch wait for each other. So
# a sweep gives each core batches of its own, and measures which size is fastest before it starts
# (a few seconds; the result is kept in `calibration.json` beside the tables).

# %% tags=["hide-input"]
for name, entry in measurements.items():
    show(
        drawings.layouts,
        entry,
        name=f"fig-layouts-{name}",
        caption=f"A forward pass of {entry['classifier']}: memory format, batches computed at a "
        "time × threads for each.",
    )
    say(report.layouts(entry))

# %% [markdown]
# ## What else is free?
#
# Measured on one core. Lower precision is not used if it changes a single prediction: the ε at
# which an image is fooled is what a sweep is about.

# %% tags=["hide-input"]
for name, entry in measurements.items():
    if "extras" in entry:
        show_table(
            report.extras_table(entry),
            name=f"tab-extras-{name}",
            caption=f"Other ways to do a pass of {entry['classifier']}.",
        )
        say(report.extras_reading(entry))

# %% [markdown]
# ## Memory and scale
#
# Images are read when they are needed, and the table is written in pieces as it grows. So neither
# the number of images nor that of ε should matter to memory.

# %% tags=["hide-input"]
for name, entry in measurements.items():
    if "scale" in entry:
        say(
            "Whole sweeps, from the files to the finished table, of the set repeated as often as "
            f"needed, at {entry['scale']['crop']}² pixels. {report.scale(entry)}"
        )
        show(
            drawings.scale,
            entry,
            name=f"fig-scale-{name}",
            caption="Peak memory and time of a sweep, left over images at two ε, right over ε for "
            "250 images.",
        )

# %% [markdown]
# ## What a validation set costs

# %% tags=["hide-input"]
for name, entry in measurements.items():
    show_table(
        report.cost_table(entry),
        name=f"tab-cost-{name}",
        caption=f"{report.COST_IMAGES:,} images at {report.COST_EPSILONS} ε with "
        f"{entry['classifier']}.",
    )

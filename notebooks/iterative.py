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
# # One step or many?

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
from itertools import product

import pandas as pd
import torch

from fgsm_lib import analysis, attacks, figures, gallery, perception
from fgsm_lib.show import code, credit, say, show
from fgsm_lib.study import open_study
from fgsm_lib.words import network_name, taken_on

study = open_study(profile)
photos = study.shown

# %% [markdown]
# The original page ends with a promise: iterative methods lead to cleaner-looking adversaries.
# Here two of them get the same budget ε as FGSM, on the same pictures.
#
# The Basic Iterative Method, BIM [(Kurakin et al., 2017)](#kurakin2017), takes FGSM in small
# steps, a new gradient before each, and stays within ε of the clean image at every value.
# Projected gradient descent, PGD [(Madry et al., 2018)](#madry2018), does the same from a random
# start within these bounds. Ten steps of ε/4 each:


# %%
def attack(method, net, x, y, epsilon, seed=0):
    """A batch after one method's attack, as a file of 8 bits holds it."""
    many = {"steps": 10, "step_size": epsilon / 4}
    if method == "FGSM":
        moved = attacks.fgsm(net, x, y, epsilon)
    elif method == "random signs":
        moved = attacks.perturb(x, attacks.random_signs(x, seed), epsilon)
    else:  # PGD is BIM from a random start
        start = attacks.random_start(x, seed) if method == "PGD" else None
        moved = attacks.pgd(net, x, y, epsilon, start=start, **many)
    return attacks.eight_bit(moved)


# %% tags=["remove-cell"]
METHODS = ["FGSM", "BIM", "PGD", "random signs"]


def seen(net, x):
    """The classes that a network sees in a batch."""
    with torch.no_grad():
        return net(x).argmax(1)


# %% tags=["remove-input"]
code(attacks.pgd)

# %% [markdown]
# ## Many pictures

# %% tags=["remove-input"]
say(
    f"These numbers are of {taken_on(study.profile, len(study.pictures))}. Whether a picture fools, and "
    "how near it is to the clean one, are both judged on what a file of 8 bits holds."
)

# %%
right = analysis.initially_correct(study.table())
chosen = list(right[:: study.profile.every.iterative])
x, y = (torch.cat(part) for part in zip(*map(study.image, chosen)))
net, rows = study.classifier, []
for e, method in product((0.5, 1, 2), METHODS):
    moved = attack(method, net, x, y, e / 255)
    facts = {"epsilon_255": e, "method": method, "sample": chosen}
    facts["fooled"] = (seen(net, moved) != y).tolist()
    facts["psnr"] = [perception.psnr(a, b) for a, b in zip(x, moved)]
    rows.append(pd.DataFrame(facts))
table = pd.concat(rows)

# %%
share = analysis.rates(table.groupby(["method", "epsilon_255"])["fooled"])

# %% tags=["hide-input"]
show(
    figures.curves(
        {name: share.loc[name].reset_index() for name in METHODS},
        {"value": "share fooled"},
    ),
    name="fig-iterative-success",
    caption=f"Share of {len(chosen)} initially correct pictures, one in {study.profile.every.iterative} of "
    "them all, that each method fools, with 95% intervals. Random signs: one draw a picture.",
)


# %%
def paired(method, e, column):
    """Mean difference to FGSM on the same pictures, with its interval."""
    here = table[table["epsilon_255"] == e].pivot(
        index="sample", columns="method", values=column
    )
    return analysis.difference(here[method], here["FGSM"])


gains = {(m, e): (paired(m, e, "fooled"), paired(m, e, "psnr"))
         for m in ("BIM", "PGD") for e in (0.5, 1, 2)}  # fmt: skip

# %% tags=["remove-input"]
show(
    pd.DataFrame(
        {
            "method": method,
            "ε": analysis.eps(e),
            "fooled, BIM or PGD minus FGSM": analysis.estimate_text(
                *more[:3]
            ),
            "PSNR gain in dB": analysis.estimate_text(*gain[:3], 1),
        }
        for (method, e), (more, gain) in gains.items()
    ),
    name="tab-iterative",
    caption=f"Paired differences to FGSM on the same {len(chosen)} pictures (95% interval). By "
    "construction FGSM moves nearly every value by all of ε and so has the lowest PSNR of its budget.",
)

# %% [markdown]
# Their perturbation is smaller by so many decibels, because a value moves back and forth where
# the sign of its gradient changes on the way. PSNR is no look: whether it *looks* cleaner, these
# numbers cannot say.
#
# ## The smallest ε that fools
#
# Who only wants to fool can stop at the smallest ε that does, from 0.5/255 up, where rounding
# first moves some values of the saved picture by a level:

# %%
GRID = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 20)


def first_fooling(method, sample):
    """The first ε of a grid, in 1/255, at which a method fools."""
    x, y = photos.image(sample)
    for e in GRID:
        if seen(net, attack(method, net, x, y, e / 255, sample)) != y:
            return analysis.eps(e)
    return f"none to {analysis.eps(GRID[-1])}"


net = photos.classifier
firsts = {
    p.name: {m: first_fooling(m, p.sample) for m in METHODS}
    for p in photos.pictures
}

# %% tags=["remove-input"]
show(
    pd.DataFrame({"photograph": n} | first for n, first in firsts.items()),
    name="tab-iterative-smallest",
    caption=f"The smallest ε of the grid {', '.join(f'{e:g}' for e in GRID)} (in 1/255) at which the "
    f"saved photograph is seen as another class by {network_name(net.name)}. These are a few pictures and no "
    "statistic; PGD and random signs are one draw each.",
)

# %% tags=["hide-input"]
x, y = photos.image("coffee")
shown = {"clean": x} | {m: attack(m, net, x, y, 4 / 255) for m in METHODS}
with torch.no_grad():
    best = {
        name: net(one).softmax(1)[0].max(0) for name, one in shown.items()
    }
show(
    gallery.pictures(
        [one[0] for one in shown.values()],
        [
            f"{name}\n{photos.names[p.indices]}, {p.values:.0%}"
            for name, p in best.items()
        ],
        columns=5,
    ),
    name="fig-iterative-coffee",
    caption=f"The cup of coffee at ε = 4/255 by each method. {credit(photos.picture('coffee'))}",
)

# %% [markdown]
# That a picture resists one step of FGSM says little: these methods find what FGSM misses, and a
# picture that no method here fools may still be fooled by another. [What it
# means](meaning.ipynb) goes on from here.

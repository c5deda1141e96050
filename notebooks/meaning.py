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
# # What it means

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import pandas as pd
import torch

from fgsm_lib import analysis, attacks, figures, load_classifier
from fgsm_lib.show import say, show, slider
from fgsm_lib.study import open_study
from fgsm_lib.words import network_name

study = open_study(profile)
photos = study.shown

# %% [markdown]
# All attacks on this site are *white-box*: who attacks knows the network, its weights and its
# preprocessing, and may change every color value by up to ε. Under this
# [threat model](<#threat model>) defenses are judged, because what holds against an attacker who
# knows everything holds against one who knows less. Two questions follow. Does an adversarial
# picture need that knowledge? And can a network be trained to withstand the step?
#
# ## Does it fool a second network?
#
# The attacker has a network of his own, attacks that one, and shows the picture to ours. On the
# photographs of this site: made with EfficientNet-Lite1, shown to EfficientNet-Lite0.

# %%
theirs, ours = load_classifier("efficientnet_lite1"), photos.classifier


def directions(x, y):
    """Where a step may go: along either network's signs, or at random."""
    return {
        "FGSM on ours": attacks.input_gradient(ours, x, y)[0].sign(),
        "FGSM on theirs": attacks.input_gradient(theirs, x, y)[0].sign(),
        "random signs": attacks.random_signs(x, 0),
    }


def ours_is_wrong(x, y, signs, e):
    moved = attacks.eight_bit(attacks.perturb(x, signs, e / 255))
    with torch.no_grad():
        return (ours(moved).argmax(1) != y).item()


# %%
GRID = (0.5, 1, 2, 3, 4, 6, 8, 12, 16, 20, 32)
firsts = []
for picture in photos.pictures:
    x, y = photos.image(picture.sample)
    row = {"photograph": picture.name}
    for kind, signs in directions(x, y).items():
        wrong = [e for e in GRID if ours_is_wrong(x, y, signs, e)]
        row[kind] = analysis.eps(wrong[0]) if wrong else "none to 32/255"
    firsts.append(row)

# %% tags=["remove-input"]
show(
    pd.DataFrame(firsts),
    name="tab-transfer",
    caption=f"The smallest ε of the grid {', '.join(f'{e:g}' for e in GRID)} (in 1/255) at which "
    f"{network_name(ours.name)} is wrong about the saved picture. Four photographs are no statistic.",
)

# %% [markdown]
# The same on many pictures, those that both networks see correctly:

# %% tags=["remove-cell"]
# The second network: the toys have one of their own.
second = (
    open_study("plain").classifier if profile == "demo"
    else theirs
)  # fmt: skip

# %%
ours, theirs = study.classifier, second
right = analysis.initially_correct(study.table())
rows = []
for sample in right[:: max(1, len(right) // 150)]:
    x, y = study.image(sample)
    with torch.no_grad():
        both = theirs(x).argmax(1) == y
    for kind, signs in directions(x, y).items() if both else ():
        for e in (1, 2, 4, 8, 16):
            wrong = ours_is_wrong(x, y, signs, e)
            rows.append((sample, kind, e, wrong))
columns = ["sample", "kind", "epsilon_255", "wrong"]
table = pd.DataFrame(rows, columns=columns)
share = analysis.rates(table.groupby(["kind", "epsilon_255"])["wrong"])

# %% tags=["hide-input"]
show(
    figures.lines(
        {k: share.loc[k].reset_index() for k in table["kind"].unique()},
        "epsilon_255",
        {"value": "share of pictures about which ours is wrong"},
        shares=True,
    ),
    name="fig-transfer",
    caption=f"{table['sample'].nunique()} {study.profile.kind} that both networks see correctly, in "
    f"8 bits, with 95% intervals (Wilson). Ours: {network_name(ours.name)}"
    + (
        " of the toys, with light adversarial training; theirs: the same without it."
        if profile == "demo"
        else f"; theirs: {network_name(theirs.name)}."
    ),
)


# %% tags=["remove-input"]
def told(kind):
    row = share.loc[(kind, 8)]
    low, high = 100 * row["low"], 100 * row["high"]
    return (
        f"{analysis.percent(row['value'])} "
        f"({analysis.interval_text(low, high, 0)}%)"
    )


say(
    f"At 8/255 ours is wrong about {told('FGSM on ours')} of the pictures made with itself, about "
    f"{told('FGSM on theirs')} of those made with theirs, and after random signs about "
    f"{told('random signs')}. That adversarial pictures carry over to networks trained apart was "
    "found early {cite:p}`goodfellow2015`; how far depends on the two networks."
)

# %% [markdown]
# ## Does training help?
#
# The toys' classifier was hardened: in its last stage it also learned from pictures after an FGSM
# step of up to 2/255. A second network had the same training on unchanged pictures alone.

# %%
toys = {"hardened": open_study("demo"), "unhardened": open_study("plain")}
grid = (0, 0.25, 0.5, 1, 2, 4, 8)
tables = {
    name: one.table(every=4, epsilon_255=grid) for name, one in toys.items()
}
control = toys["hardened"].table("random", every=4, epsilon_255=grid)
curves = {name: analysis.curve(table) for name, table in tables.items()}

# %% tags=["hide-input"]
show(
    figures.curves(
        curves, "top1", "top-1 accuracy", analysis.curve(control)
    ),
    name="fig-hardening",
    caption=f"Top-1 accuracy of the two networks under FGSM, of {curves['unhardened']['n'].max():.0f} toys "
    "each, with 95% intervals; random signs are those on the hardened one.",
)

# %% tags=["remove-input"]
at = {
    name: curve.set_index("epsilon_255")["top1"]
    for name, curve in curves.items()
}
first = {
    name: analysis.clean(table)["correct"] for name, table in tables.items()
}
cost = analysis.difference(first["hardened"], first["unhardened"])
say(
    f"At 1/255 the unhardened network keeps {analysis.percent(at['unhardened'][1])} of the toys right, the "
    f"hardened one {analysis.percent(at['hardened'][1])}; at 8/255, four times the step it was "
    f"trained with, {analysis.percent(at['hardened'][8])}. On clean pictures the hardened network's "
    f"accuracy differs by {analysis.number(100 * cost.value, 1, '+')} points "
    f"({analysis.interval_text(100 * cost.low, 100 * cost.high, 1)}, paired, {cost.n} toys). Each is "
    "one training run."
)

# %% [markdown]
# One toy, the first that both see correctly with at least 90% and that a step of 1/255 turns for
# the unhardened network alone:

# %%
rows = {
    n: t.set_index(["sample", "epsilon_255"]) for n, t in tables.items()
}
sure = {n: t.xs(0.0, level=1)["confidence"] >= 0.9 for n, t in rows.items()}
at_0 = {n: t.xs(0.0, level=1)["correct"] & sure[n] for n, t in rows.items()}
at_1 = {n: t.xs(1.0, level=1)["correct"] for n, t in rows.items()}
both = at_0["unhardened"] & at_0["hardened"]
sample = (both & ~at_1["unhardened"] & at_1["hardened"]).idxmax()

# %% tags=["hide-input"]
for name, one in toys.items():
    show(
        slider(one.case(sample), 1),
        name=f"fig-toy-{name}",
        caption=f"Toy {sample}, {one.pictures.picture(sample).class_name}, as the {name} network "
        "sees it.",
    )

# %% [markdown]
# Training on FGSM steps is the oldest defense, and a partial one: it helps about as far as the
# steps it was trained with, and [more steps](iterative.ipynb) find what one step misses. To train
# on the pictures of PGD [(Madry et al., 2018)](#madry2018) holds better, and costs as many
# gradients more. That a picture resists FGSM is no proof of anything; that it is fooled, is.

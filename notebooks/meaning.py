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
from fgsm_lib.show import say, show
from fgsm_lib.slider import slider
from fgsm_lib.study import open_study
from fgsm_lib.words import network_name

study = open_study(profile)
photos = study.shown

# %% [markdown]
# On the other pages all attacks are *white-box*: the attacker knows the network, its weights and
# its preprocessing, and may change every color value by up to ε. Defenses are judged under this
# [threat model](<#threat model>), because what holds against an attacker who knows everything
# holds against one who knows less. Two questions follow. Does an adversarial picture need that
# knowledge? And can a network be trained to withstand the step?
#
# ## Does it fool a second network?
#
# Attackers may have a network of their own, attack that one, and show the picture to ours. On the
# photographs of this site: made with EfficientNet-Lite1, shown to EfficientNet-Lite0.

# %%
theirs, ours = load_classifier("efficientnet_lite1"), photos.classifier


def directions(x, y, seed):
    """Where a step may go: along either network's signs, or at random."""
    return {
        "FGSM on ours": attacks.input_gradient(ours, x, y)[0].sign(),
        "FGSM on theirs": attacks.input_gradient(theirs, x, y)[0].sign(),
        "random signs": attacks.random_signs(x, seed),
    }


def ours_is_wrong(x, y, signs, e):
    """Whether ours is wrong, for each picture of a batch."""
    moved = attacks.eight_bit(attacks.perturb(x, signs, e / 255))
    with torch.no_grad():
        return (ours(moved).argmax(1) != y).tolist()


# %%
GRID = (0.5, 1, 2, 3, 4, 6, 8, 12, 16, 20, 32)
firsts = []
for picture in photos.pictures:
    x, y = photos.image(picture.sample)
    seen = photos.names[theirs(x).argmax()]
    row = {"photograph": picture.name, "theirs sees": seen}
    for kind, signs in directions(x, y, picture.sample).items():
        wrong = (e for e in GRID if ours_is_wrong(x, y, signs, e) == [True])
        first = next(wrong, None)
        row[kind] = analysis.eps(first) if first else "none to 32/255"
    firsts.append(row)

# %% tags=["remove-input"]
show(
    pd.DataFrame(firsts),
    name="tab-transfer",
    caption=f"The smallest ε of the grid {', '.join(f'{e:g}' for e in GRID)} (in 1/255) at which "
    f"{network_name(ours.name)} is wrong about the saved picture, and what {network_name(theirs.name)} "
    "sees in the clean one. A few photographs are no statistic, and random signs are one draw.",
)

# %% [markdown]
# The same on many pictures, those that both networks see correctly:

# %% tags=["remove-cell"]
# The second network: the toys have one of their own.
second = open_study("plain").classifier if profile == "demo" else theirs

# %%
ours, theirs = study.classifier, second
right = analysis.initially_correct(study.table())
chosen = list(right[:: max(1, len(right) // 150)])
rows = []
for batch in (chosen[i : i + 8] for i in range(0, len(chosen), 8)):
    x, y = (torch.cat(part) for part in zip(*map(study.image, batch)))
    with torch.no_grad():
        both = theirs(x).argmax(1) == y
    for kind, signs in directions(x, y, batch[0]).items():
        facts = {"sample": batch, "both": both.tolist(), "kind": kind}
        facts["attacked"] = signs.flatten(1).any(1).tolist()
        for e in (1, 2, 4, 8, 16):
            wrong = ours_is_wrong(x, y, signs, e)
            rows.append(
                pd.DataFrame(facts | {"epsilon_255": e, "wrong": wrong})
            )

# %%
table = pd.concat(rows).query("both")  # that both networks see correctly
unmoved = table.loc[~table["attacked"], "sample"].nunique()
table = table[table["attacked"]]  # what has no gradient resisted nothing
share = analysis.rates(table.groupby(["kind", "epsilon_255"])["wrong"])

# %% tags=["hide-input"]
show(
    figures.curves(
        {k: share.loc[k].reset_index() for k in table["kind"].unique()},
        {"value": "share of pictures about which ours is wrong"},
    ),
    name="fig-transfer",
    caption=f"{table['sample'].nunique()} {study.profile.kind} that both networks see correctly, in "
    f"8 bits, with 95% intervals. Ours: {network_name(ours.name)}"
    + (
        f" of the toys, with {study.profile.training}; theirs: the same without it."
        if profile == "demo"
        else f"; theirs: {network_name(theirs.name)}."
    )
    + (
        f" {unmoved} have no gradient in one of the two." if unmoved else ""
    ),
)


# %% tags=["remove-input"]
def told(kind):
    row = share.loc[(kind, 8)]
    n = int(row["n"])
    return analysis.count_text(round(row["value"] * n), n)


say(
    f"At 8/255 ours is wrong about {told('FGSM on ours')} of the pictures made with itself, about "
    f"{told('FGSM on theirs')} of those made with theirs, and after random signs about "
    f"{told('random signs')}. That adversarial pictures carry over to other networks was found "
    "early {cite:p}`szegedy2014`; how far depends on the two."
    + (
        " These two are near relatives: of one architecture, trained from the same first weights."
        if profile == "demo"
        else ""
    )
)

# %% [markdown]
# ## Does training help?
#
# Two small networks for generated pictures of toys come with this site. One was hardened: in its
# last stage it also learned from pictures after an FGSM step of up to 2/255. The other had the same
# recipe, with unchanged pictures alone.

# %%
toys = {"hardened": open_study("demo"), "unhardened": open_study("plain")}
grid = (0, 0.3, 0.5, 1, 2, 4, 8)
tables = {
    name: one.table(every=4, epsilon_255=grid) for name, one in toys.items()
}
control = toys["hardened"].table("random", every=4, epsilon_255=grid)
curves = {name: analysis.curve(table) for name, table in tables.items()}

# %% tags=["hide-input"]
show(
    figures.curves(
        curves, {"top1": "top-1 accuracy"}, analysis.curve(control)
    ),
    name="fig-hardening",
    caption=f"Top-1 accuracy of the two networks under FGSM, of {curves['unhardened']['n'].max():.0f} toys "
    "each, with 95% intervals; random signs are those on the hardened one. Who guesses one of the "
    f"{len(toys['hardened'].names)} classes is right about "
    f"{analysis.percent(1 / len(toys['hardened'].names))}.",
)


# %% tags=["remove-input"]
def right_at(name, e):
    found = analysis.at(tables[name], e).set_index("sample")["correct"]
    return found, analysis.count_text(int(found.sum()), len(found))


def gap(e):
    """How much more the hardened network is right about than the other, in points."""
    found = analysis.difference(
        right_at("hardened", e)[0], right_at("unhardened", e)[0]
    )
    around = analysis.interval_text(100 * found.low, 100 * found.high, 1)
    text = f"{analysis.number(100 * found.value, 1, '+')} points ({around})"
    return text, found.low <= 0 <= found.high


say(
    f"At 1/255 the unhardened network is right about {right_at('unhardened', 1)[1]} toys, the hardened "
    f"one about {right_at('hardened', 1)[1]}. At 4/255, twice the largest step of its training, the "
    f"difference is {gap(4)[0]}, at 8/255 {gap(8)[0]}"
    f"{', too close to tell' if gap(8)[1] else ''}. On clean pictures it is {gap(0)[0]}. "
    "All are measured toy by toy. Each network is one training run, and the pictures of their first "
    "stage differed a little: another run may give other numbers."
)

# %% [markdown]
# One toy, the first that both see correctly with at least 90% and that a step of 1/255 turns for
# the unhardened network alone. It was picked for that: it shows, and proves nothing.

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
# Training on adversarial pictures is among the oldest defenses
# [(Goodfellow et al., 2015)](#goodfellow2015), and a partial one: [more steps](iterative.ipynb)
# find what one step misses. Training on the pictures of PGD [(Madry et al., 2018)](#madry2018)
# withstands more, and costs a gradient more for each of its steps. That a picture resists FGSM
# proves nothing about other attacks; that it is fooled, proves that it can be.

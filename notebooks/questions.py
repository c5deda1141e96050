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
# # Where fooled images go
#
# The original page left questions open: "How are the classes distributed? Neighbouring classes
# etc", "Add perception thing", and whether the L- and U-shaped curves of single images are the
# rule.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import numpy as np
import pandas as pd
from scipy.stats import entropy

from fgsm_lib import analysis, figures
from fgsm_lib.analysis import count_text, eps, percent
from fgsm_lib.show import code, say, show
from fgsm_lib.study import open_study
from fgsm_lib.words import taken_on

study = open_study(profile)
table, names = study.table(), study.names
every = study.profile.every.control
control = study.table("random", every=every)
tried = control["sample"].nunique()

# %% tags=["remove-input"]
say(
    f"The numbers of this page are taken on {taken_on(study.profile, len(study.pictures))}. Unless it "
    "says otherwise, a statement is about initially correct pictures."
)

# %% [markdown]
# ## Neighboring classes
#
# At the first ε of the grid at which a picture is wrong, it is seen as another class, its
# *adversarial class*. Where did that class stand on the clean picture?


# %%
def first_fooled(table):
    """The initially correct pictures at the first ε at which they are wrong."""
    right = analysis.initially_correct(table)
    wrong = table[table["sample"].isin(right) & ~table["correct"]]
    first = wrong.drop_duplicates("sample")
    before = analysis.clean(table)["top_classes"][first["sample"]]
    pairs = zip(before.map(list), first["predicted_class"])
    rank = [
        str(top.index(to) + 1) if to in top else "below 5"
        for top, to in pairs
    ]
    first = first.assign(rank=rank)
    return first.rename(columns={"label": "from", "predicted_class": "to"})


fooled, by_chance = first_fooled(table), first_fooled(control)


# %%
def ranks(first):
    """How many stood second, third, … on the clean picture."""
    places = ["2", "3", "4", "5", "below 5"]
    counts = first["rank"].value_counts().reindex(places, fill_value=0)
    return pd.DataFrame(
        [analysis.rate(k, len(first)) for k in counts], index=places
    )


# %% tags=["hide-input"]
both = {"FGSM": ranks(fooled), "random signs": ranks(by_chance)}
parts = pd.concat(both, axis=1).swaplevel(axis=1)
show(
    figures.bars(
        parts["value"],
        "share of the fooled pictures",
        parts["low"],
        parts["high"],
    ),
    name="fig-ranks",
    caption=f"Rank of the adversarial class on the clean picture, of {len(fooled)} pictures fooled by "
    f"FGSM up to {eps(table['epsilon_255'].max())} and {len(by_chance)} by random signs, which were "
    f"tried on one picture in {every}, with 95% intervals.",
)

# %% tags=["remove-input"]
ours, random = (
    f"{percent(row['value'])} ({percent(row['low'])} to {percent(row['high'])})"
    for row in (each.loc["2"] for each in both.values())
)
say(
    f"Of the {len(fooled)} pictures that FGSM fools, {ours} go to the class that was second before; of "
    f"the {len(by_chance)} that random signs fool, the fair comparison, {random} do. The first class "
    "over the border is likely to be the runner-up anyway."
)
ways = fooled.value_counts(["from", "to"]).head(8)
if ways.max() >= 5:
    total = fooled["from"].value_counts()
    show(
        pd.DataFrame(
            {
                "from": names[start],
                "to": names[end],
                "of the fooled of this class": count_text(n, total[start]),
            }
            for (start, end), n in ways.items()
        ),
        name="tab-transitions",
        caption="The most frequent ways at the first ε that fools (95% interval). They were picked for "
        "being frequent: on new pictures they would be less so.",
    )

# %% [markdown]
# ## Robustness and distribution of the classes

# %%
right = analysis.initially_correct(table)
kept = analysis.curve(table, right)
half = kept.loc[(kept["top1"] - 0.5).abs().idxmin(), "epsilon_255"]
here = analysis.at(table[table["sample"].isin(right)], half)
classes = analysis.rates(here.groupby("label")["correct"])
largest = classes.sort_values("n", ascending=False).head(20)
largest = largest.sort_values("value")

# %% tags=["hide-input"]
noise = analysis.at(control[control["sample"].isin(right)], half)["correct"]
largest.index = [names[label] for label in largest.index]
if largest["n"].min() >= 10:
    show(
        figures.bars(
            largest["value"],
            "share still right",
            largest["low"],
            largest["high"],
            horizontal=True,
        ),
        name="fig-class-robustness",
        caption=f"Share of the initially correct pictures still right at ε = {eps(half)}, where about "
        f"half of all are, in the {len(largest)} classes with most pictures "
        f"({largest['n'].min()} to {largest['n'].max()}), with 95% intervals. Random signs of this "
        f"size, the control, leave {count_text(int(noise.sum()), len(noise))} right, of all classes.",
    )
else:
    most = classes["n"].median()
    say(
        f"Half of the {len(classes)} classes have at most {most:g} initially correct "
        f"picture{'' if most == 1 else 's'}: too few to say whether classes differ."
    )

# %% [markdown]
# How many classes do the predictions use? The *effective* number is the exponential of the
# entropy of their distribution: ten for ten equally frequent classes, one for a single one.


# %%
def effective(rows):
    """Effective number of predicted classes at each ε."""
    seen = rows.groupby("epsilon_255")["predicted_class"]
    number = seen.agg(lambda s: np.exp(entropy(s.value_counts())))
    return number.rename("classes").reset_index()


# %% tags=["hide-input"]
show(
    figures.lines(
        {
            "FGSM": effective(analysis.shared(table, control)),
            "random signs": effective(control),
        },
        {"classes": "effective number of classes"},
    ),
    name="fig-class-counts",
    caption=f"Effective number of classes that the predictions for the {tried} pictures of the control "
    "are spread over, initially correct or not.",
)

# %% [markdown]
# ## Does the class come back?
#
# Two ranges of ε, because what happens depends on where the grid ends. A picture that wanders
# from class to class comes upon the true one by chance, too; the last column says how often it
# comes upon any given other class.

# %%
rows = []
for upto in (20, 128):
    fate = analysis.fates(table, upto).value_counts()
    back, of, chance = analysis.bounce_backs(table, len(names), upto)
    rows.append((upto, fate, back, of, chance))

# %% tags=["remove-input"]
show(
    pd.DataFrame(
        {
            "up to": eps(upto),
            **{
                kind: count_text(fate.get(kind, 0), fate.sum())
                for kind in ("never fooled", "fooled for good")
            },
            "right again, of the fooled": count_text(back, of),
            "by chance": percent(chance, 1),
        }
        for upto, fate, back, of, chance in rows
    ),
    name="tab-fates",
    caption=f"What becomes of the class of the {len(right)} initially correct pictures (95% interval).",
)

# %% [markdown]
# ## Curve shapes
#
# A written rule reads the whole confidence curve up to 20/255: flat, rising, falling, L, L with a
# rise, U, or none of these.

# %% tags=["remove-input"]
code(analysis.shape)


# %%
def shapes_of(rows):
    """The shape of the curve of each initially correct picture."""
    curves = rows[rows["sample"].isin(right)].groupby("sample")
    return curves.apply(
        lambda c: analysis.shape(c["epsilon_255"], c["confidence"])
    )


shapes, by_chance = shapes_of(table), shapes_of(control)
kinds = shapes.value_counts()
bins = pd.cut(
    analysis.clean(table).loc[right, "confidence"],
    [0, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1],
)
counts = pd.crosstab(bins, shapes)[kinds.index]

# %% tags=["hide-input"]
counts.index = [analysis.bin_name(b.left, b.right) for b in counts.index]
show(
    figures.stacked(counts, "share of the pictures"),
    name="fig-shapes",
    caption="The shape of the confidence curve up to 20/255, by clean confidence.",
)


def listed(found):
    return ", ".join(
        f"{count_text(n, len(found))} are *{kind}*"
        for kind, n in found.value_counts().items()
    )


say(
    f"Of these curves, {listed(shapes)}. Under random signs, the control, {listed(by_chance)}."
)

# %% [markdown]
# ## 8 bits: does the attack survive being saved?
#
# An image file holds whole levels, and so does the picture before the attack. So where ε is below
# half a level, the saved picture is the clean one; where ε is a whole number of levels, it is the
# exact one. Only a step in between is changed: strictly between 0.5 and 1.5 levels it becomes
# exactly one, and at 0.5, a tie, one or none.

# %%
saved = study.table(bits=8, every=study.profile.every.control)
small = sorted(e for e in saved["epsilon_255"].unique() if e <= 2)
which = analysis.initially_correct(table).intersection(saved["sample"])
both = {
    "exact step": analysis.curve(analysis.at(table, small), which),
    "saved in 8 bits": analysis.curve(analysis.at(saved, small), which),
}
noise = analysis.curve(analysis.at(control, small), which)

# %% tags=["hide-input"]
show(
    figures.curves(both, {"top1": "top-1 accuracy"}, noise),
    name="fig-rounding",
    caption=f"Top-1 accuracy of {len(which)} initially correct pictures, for the exact step and the "
    "step saved in 8 bits, with 95% intervals. Dotted: random signs.",
)
keys = ["sample", "epsilon_255"]
joined = saved[saved["sample"].isin(which)].merge(
    table, on=keys, suffixes=("_saved", "")
)
between = joined.query("0.5 <= epsilon_255 <= 2 and epsilon_255 % 1 > 0")
rows = []
for e, each in between.groupby("epsilon_255"):
    exact, kept = ~each["correct"], ~each["correct_saved"]
    row = {
        "ε": eps(e),
        "fooled by the exact step": f"{exact.sum()} of {len(exact)}",
        "of these when saved": count_text(
            (exact & kept).sum(), exact.sum()
        ),
        "by the saved step": count_text(kept.sum(), len(kept)),
    }
    rows.append(row)
show(
    pd.DataFrame(rows),
    name="tab-rounding",
    caption=f"How many of {len(which)} initially correct pictures the exact step fools, how many of "
    "these stay fooled once they are saved, and how many the saved step fools (95% interval).",
)

# %% [markdown]
# ## How large must random signs be to do the same?

# %%
lost = analysis.not_attacked(table)
pair = {"FGSM": analysis.shared(table, control), "random": control}
pair = {k: rows[~rows["sample"].isin(lost)] for k, rows in pair.items()}


def halved(right, epsilon):
    """The ε at which half of the first count is left; inf if none."""
    below = np.flatnonzero(right <= right[0] / 2)
    if not len(below):
        return np.inf
    ends = [below[0], below[0] - 1]
    return np.interp(right[0] / 2, right[ends], epsilon[ends])


# %%
# The pictures, then 2000 bootstrap samples, the same for both.
n = pair["FGSM"]["sample"].nunique()
draws = np.random.default_rng(0).multinomial(n, [1 / n] * n, 2000)
draws = np.vstack([np.ones(n, int), draws])
found = {}
for name, rows in pair.items():
    right = rows.pivot(
        index="sample", columns="epsilon_255", values="correct"
    )
    counts = draws @ right.to_numpy(int)
    found[name] = np.array([halved(c, right.columns) for c in counts])

# %% tags=["hide-input"]
curves = {name: analysis.curve(rows) for name, rows in pair.items()}
chance = curves.pop("random")
show(
    figures.curves(curves, {"top1": "top-1 accuracy"}, chance),
    name="fig-controls",
    caption=f"Top-1 accuracy of {n} pictures of the control, initially correct or not, under "
    "FGSM and under random signs, with 95% intervals.",
)


# %% tags=["remove-input"]
def near(values, unit=""):
    value, (low, high) = values[0], np.sort(values[1:])[[50, -51]]
    value, low, high = (
        f"{float(f'{each:.2g}'):g}".replace("inf", "∞")
        for each in (value, low, high)
    )
    return f"{value}{unit} ({low}–{high})"


ours, random = found.values()
with np.errstate(all="ignore"):
    times = near(random / ours)
say(
    f"On these {n} pictures, with ε to {eps(control['epsilon_255'].max())}, FGSM halves accuracy near "
    f"{near(ours, '/255')}, random signs "
    + (
        f"near {near(random, '/255')}: they need about {times} times the step. "
        "Interpolated, with intervals of a paired bootstrap."
        if np.isfinite(random[0])
        else "do not."
    )
)

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
# # What made the published curves
#
# The original page explains FGSM with the cross-entropy, but its code called `nll_loss` on raw
# logits: it lowered the logit of the true class and nothing else. It also clipped twice, to the
# image's own smallest and largest value before the valid range. Here both objectives and both
# clips run on the same pictures.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
from itertools import product

import numpy as np
import pandas as pd
import torch

from fgsm_lib import analysis, figures, published
from fgsm_lib.analysis import count_text, eps, percent
from fgsm_lib.attacks import input_gradient, perturb, random_signs
from fgsm_lib.show import say, show
from fgsm_lib.study import open_study
from fgsm_lib.words import taken_on

study = open_study(profile)
grid = study.profile.epsilon_255.objectives
original = published.covers_all(study.pictures)
NAMES = {"cross_entropy": "cross-entropy", "true_logit": "true logit"}

# %% tags=["remove-input"]
say(
    f"The numbers of this page are taken on {taken_on(study.profile, len(study.pictures))}."
    + (
        " They are not the original's photographs: what made *its* curves can only be seen on those."
        if not original
        else " The original's network was GoogLeNet: where this one behaves otherwise, what the "
        "objective made and what the network made cannot be told apart."
        if study.classifier.name != "googlenet"
        else ""
    )
)

# %% [markdown]
# ## Two objectives

# %%
step = study.profile.every.objectives
pair = {
    name: study.table(objective=objective, epsilon_255=grid, every=step)
    for objective, name in NAMES.items()
}
control = study.table("random", epsilon_255=grid, every=step)
curves = {name: analysis.curve(table) for name, table in pair.items()}
chance = analysis.curve(control)

# %% tags=["hide-input"]
theirs = published.all_samples_curve() if original else None
images = curves["true logit"]["n"].max()
for column, what in {
    "confidence": "mean confidence",
    "top1": "top-1 accuracy",
}.items():
    show(
        figures.curves(curves, {column: what}, chance, theirs),
        name=f"fig-objectives-{what.split()[1]}",
        caption=f"{what.capitalize()} over ε of the same {images} of {len(study.pictures)} "
        "pictures, initially wrong ones included, with 95% intervals. Dotted: random signs."
        + (" Gray: published, all 1000." if original else ""),
    )

# %% tags=["remove-input"]
said = []
for name, curve in curves.items():
    rows = curve.set_index("epsilon_255")
    low, last = rows["confidence"].idxmin(), rows.index[-1]
    start, least, end = (
        analysis.rate_text(rows.loc[e], "confidence")
        for e in (0, low, last)
    )
    said.append(
        f"Under the **{name}** the mean confidence goes from {start} to its lowest of these "
        f"{len(grid)} values, {least} at {eps(low)}"
        + ("." if low == last else f", and is {end} at {eps(last)}.")
    )
say(" ".join(said) + f" All means are over {images} pictures.")

# %% [markdown]
# ## Why
#
# With $p = \operatorname{softmax}(z)$ the two gradients are
#
# $$\nabla(-\log p_y) = (1 - p_y)\Bigl(\sum_{k \ne y} q_k \nabla z_k - \nabla z_y\Bigr),
#   \quad q_k = \frac{p_k}{1 - p_y},$$
#
# $$\nabla(-z_y) = -\nabla z_y .$$
#
# The true-logit objective only pushes $z_y$ down. The gradient of the cross-entropy has a second
# term, which lifts the rivals, each by its share $q_k$ of the rest of the probability. What comes
# of it, on pictures spread evenly over the ranks of their confidence:

# %%
unchanged = study.table(objective="cross_entropy", epsilon_255=[0])
clean = analysis.clean(unchanged)
right = clean[clean["correct"] & clean["attacked"]]
right = right.sort_values("confidence").index
places = np.linspace(0, len(right) - 1, 32).astype(int)
x, y = (torch.cat(p) for p in zip(*map(study.image, right[places])))


# %%
def rival(z):
    """The largest logit of any other class."""
    return z.scatter(1, y[:, None], -torch.inf).amax(1)


signs = {"random signs": random_signs(x, 0)}
for objective, name in NAMES.items():
    gradient, z = input_gradient(study.classifier, x, y, objective)
    signs[name] = gradient.sign()

# %%
rows, epsilons = [], (0.3, 1, 4, 16)
for (name, sign), e in product(signs.items(), epsilons):
    with torch.no_grad():
        moved = study.classifier(perturb(x, sign, e / 255))
    facts = {"objective": name, "epsilon_255": e}
    facts["true"] = (moved - z).gather(1, y[:, None])[:, 0].tolist()
    facts["rival"] = (rival(moved) - rival(z)).tolist()
    rows.append(pd.DataFrame(facts))
by = pd.concat(rows).groupby(["objective", "epsilon_255"])
mean = {c: analysis.means(by[c]) for c in ("true", "rival")}

# %% tags=["hide-input"]
show(
    figures.lines(
        {
            f"{what}, {name}": mean[column].loc[name].reset_index()
            for name in NAMES.values()
            for column, what in (
                ("true", "true class"),
                ("rival", "best rival"),
            )
        },
        {"value": "mean change of the logit"},
    ),
    name="fig-logit-changes",
    caption=f"Mean change of the true logit and of the largest logit of any other class, over "
    f"{len(x)} initially correct pictures, with 95% intervals.",
)


# %% tags=["remove-input"]
def change(what, name, e):
    return analysis.estimate_text(
        *mean[what].loc[(name, e), ["value", "low", "high"]]
    )


rivals = by["rival"].apply(list)
gaps = {
    e: analysis.difference(
        rivals["cross-entropy", e], rivals["true logit", e]
    )
    for e in epsilons
}
gap, above = gaps[4], sum(each.low > 0 for each in gaps.values())
where = "each" if above == len(gaps) else f"{above}"
say(
    f"At 4/255 the best rival's logit changes by {change('rival', 'cross-entropy', 4)} under the "
    f"cross-entropy and by {change('rival', 'true logit', 4)} under the true logit: a difference of "
    f"{analysis.estimate_text(*gap[:3])}, paired over the {gap.n} "
    f"pictures. At {where} of the {len(gaps)} ε tried its interval lies above 0. Random "
    f"signs of 16/255, the control, change the true logit by {change('true', 'random signs', 16)} and "
    f"the best rival's by {change('rival', 'random signs', 16)}."
)

# %% [markdown]
# ## What the objective does to the conclusions

# %%
rows = []
for name, table in pair.items():
    which = analysis.initially_correct(table)
    first = analysis.smallest_epsilon(table, which)
    start = analysis.clean(table).loc[which, "confidence"]
    rho = analysis.spearman(start, first)
    back = analysis.bounce_backs(table, len(study.names), max(grid))
    rows.append((name, len(which), *back, rho))

# %% tags=["remove-input"]
show(
    pd.DataFrame(
        {
            "objective": name,
            "pictures": n,
            f"fooled, to {eps(max(grid))}": count_text(fooled, n),
            "of these right again": count_text(back, fooled),
            "by chance": percent(level, 1),
            "ρ of confidence and smallest ε": analysis.estimate_text(
                *rho[:3]
            ),
        }
        for name, n, back, fooled, level, rho in rows
    ),
    name="tab-objectives",
    caption="Fooling, return of the right class, and Hypothesis 1 under both objectives, on the "
    f'initially correct pictures and a grid of only {len(grid)} values. "By chance" is how often '
    "any given other class is visited after the first wrong ε.",
)

# %% [markdown]
# ## The second clip

# %%
CLIPS = {"valid": "valid range", "image": "second clip"}
clipped = {}
for objective, clip in product(NAMES, CLIPS):
    rows = study.table(
        objective=objective,
        clip=clip,
        epsilon_255=grid,
        every=study.profile.every.clips,
    )
    name = f"{NAMES[objective]}, {CLIPS[clip]}"
    clipped[name] = rows[rows["attacked"]]
four = {name: analysis.curve(rows) for name, rows in clipped.items()}

# %% tags=["hide-input"]
count = four["cross-entropy, second clip"]["n"].max()
show(
    figures.curves(four, {"confidence": "mean confidence"}),
    name="fig-clips",
    caption=f"Mean confidence over ε under both objectives and both clips, on {count} pictures, one in "
    f"{study.profile.every.clips}, initially wrong ones included, with 95% intervals. The control of the "
    "second clip is the valid range.",
)

# %% tags=["remove-input"]
said = []
for name in NAMES.values():
    plain, second = (
        clipped[f"{name}, {clip}"]
        .set_index(["sample", "epsilon_255"])["confidence"]
        .unstack()
        for clip in CLIPS.values()
    )
    e = (second - plain).mean().abs().idxmax()
    gap = analysis.estimate_text(
        *analysis.difference(second[e], plain[e])[:3], 3
    )
    said.append(f"{gap} under the {name} (at {eps(e)})")
say(
    f"On these {count} pictures the second clip changes the mean confidence by "
    + " and ".join(said)
    + f". Each was picked as the largest at {len(grid)} ε, and so is more likely too large than too small."
)

# %% [markdown]
# ## Where gradients vanish
#
# The factor $1 - p_y$ makes the gradient of the cross-entropy small where the classifier is sure.
# Its sign does not care, until float32 runs out of digits: where $p_y$ rounds to 1, the term of
# the true class is lost; where the $p_k$ of all rivals round to 0, too, nothing is left, no pixel
# moves, and the attack did not happen.

# %%
sure = 1 - right.map(clean["confidence_true"]).to_numpy(float)
size = clean.loc[right, "gradient_l1"].to_numpy(float)
none = len(analysis.not_attacked(unchanged))
some = int((clean["zero_gradients"] > 0).sum())
print(
    f"{none} pictures without a gradient; {some} with a zero at some value"
)

# %% tags=["hide-input"]
rows = {"rest": sure.clip(6e-8), "size": size.clip(1e-12)}
show(
    figures.points(
        {"pictures": pd.DataFrame(rows)},
        "rest",
        "size",
        "1 − p of the true class",
        "sum of |gradient|",
        log="xy",
    ),
    name="fig-gradient-sizes",
    caption=f"Sum of the absolute values of the cross-entropy's gradient against 1 − p of the true "
    f"class, for {len(right)} initially correct pictures before any step: there is no control.",
)

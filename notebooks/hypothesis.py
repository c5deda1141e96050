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
# # Do confident images resist?
#
# *Hypothesis 1 of the original page:*
#
# > **Images with a high initial confidence are harder to manipulate.**

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import numpy as np
import pandas as pd
from scipy.stats import bootstrap, spearmanr

from fgsm_lib import analysis, figures, published
from fgsm_lib.analysis import count_text, eps, number
from fgsm_lib.show import code, say, show
from fgsm_lib.study import open_study
from fgsm_lib.words import network_name

study, record = open_study(profile), published.record()
original = published.covers_all(study.pictures)


def told(rho, low, high, *_):
    return f"{number(rho)} ({number(low)} to {number(high)})"


# %% [markdown]
# ## The test
#
# A picture is hard to manipulate if only a large step makes the classifier wrong about it. So
# every picture that is classified correctly gets its **smallest ε**: the first of the grid at
# which the prediction is wrong. Initially wrong pictures say nothing about the hypothesis, and
# one without a gradient was never attacked; both are left out. One that is never wrong ranks
# above all others.
#
# The measure is Spearman's rank correlation ρ of clean confidence and smallest ε, with a 95%
# interval from 2000 bootstrap resamples of the pictures. The hypothesis is *supported* if the
# interval lies above zero, *contradicted* if below, *undecided* if it contains zero, and *cannot be
# judged* on fewer than ten pictures. This rule is fixed in the code and does not depend on the run.

# %%
table = study.table()  # one row per picture and ε
right = analysis.initially_correct(table)
confidence = analysis.clean(table).loc[right, "confidence"]
smallest = analysis.smallest_epsilon(table, right)


# %%
def rank_correlation(x, y):
    return spearmanr(x, y).statistic


rho = rank_correlation(confidence, smallest)
interval = bootstrap(
    (confidence, smallest),
    rank_correlation,
    paired=True,
    vectorized=False,
    n_resamples=2000,
    method="percentile",
    rng=np.random.default_rng(0),
).confidence_interval
print(f"ρ = {rho:.2f} ({interval.low:.2f} to {interval.high:.2f})")

# %% tags=["remove-input"]
never = int(np.isinf(smallest).sum())
say(
    f"**On these {len(right)} correctly classified {study.profile.kind}, the hypothesis is "
    f"{analysis.verdict(*interval, len(right))}**: ρ = {told(rho, *interval)}. "
    f"{f'{never} of them are never fooled' if never else 'All of them are fooled at some ε'} "
    f"up {analysis.upto(table)}; the median smallest ε is {eps(smallest.median())}."
)

# %% tags=["remove-input"]
if profile == "demo":
    say(
        "These are generated pictures of toys and a small network that had "
        f"{study.profile.training}: [without it](meaning.ipynb), hardly any of them would survive a "
        "step of 1/255."
    )
if not original:
    exact, eight, other = (
        f"ρ = {v['rho']:.2f} ({v['low']:.2f} to {v['high']:.2f}; {v['n']} photographs, ε to "
        f"{eps(v['up_to_255'])}), {v['word']}"
        for v in (
            record["verdicts"][k] for k in ("exact", "saved", "true_logit")
        )
    )
    say(
        f"**On the original's photographs** (recorded, {network_name(record['provenance']['classifier'])}): "
        f"{exact}; saved in 8 bits {eight}; under the true logit {other}."
    )

# %% [markdown]
# ## The same for what a file can hold
#
# A step below 0.5/255 vanishes when the picture is saved. And the published experiment climbed
# another [objective](#objective), $-z_y$, which lowers the logit of the true class and nothing
# else. Does the verdict hold for saved pictures, and for that objective?


# %%
def correlation(rows):
    """Spearman's ρ as above, of the pictures in a table."""
    which = right.intersection(rows["sample"])
    first = analysis.smallest_epsilon(rows, which)
    return analysis.spearman(confidence[which], first)


# %%
every, grids = study.profile.every, study.profile.epsilon_255
saved = study.table(bits=8, every=every.control)
logit = study.table(
    objective="true_logit",
    every=every.objectives,
    epsilon_255=grids.objectives,
)
found = {
    "exact steps, cross-entropy": correlation(table),
    "saved in 8 bits, cross-entropy": correlation(saved),
    "exact steps, true logit": correlation(logit),
}

# %% tags=["remove-input"]
show(
    pd.DataFrame(
        {
            "steps and objective": name,
            "pictures": result.n,
            "ρ": told(*result),
            "the hypothesis is": analysis.verdict(*result[1:]),
        }
        for name, result in found.items()
    ),
    name="tab-verdicts",
    caption="Rank correlation of clean confidence and smallest ε: for the exact step on all "
    f"pictures, for the saved one (one picture in {every.control}), and for the other objective "
    f"(one in {every.objectives}, on a coarser grid), with 95% intervals.",
)

# %% tags=["remove-input"]
vanish = count_text(int((smallest < 0.5).sum()), len(right))
still = analysis.at(table[table["sample"].isin(right)], 1)["correct"]
say(
    f"{vanish} have a smallest ε below 0.5/255: about them, the exact step says something about the "
    f"classifier, not about a picture that anybody could send. At 1/255, "
    f"{count_text(int(still.sum()), len(still))} are right."
)

# %% [markdown]
# ## How long pictures hold out
#
# The share of pictures not yet fooled at any ε so far, by clean confidence, and the control:
# random signs of the same size.


# %%
def not_yet_fooled(rows, low, high):
    """Share of the pictures of one bin that no ε so far has fooled."""
    which = analysis.initially_correct(rows, low, high)
    first = analysis.smallest_epsilon(rows, which)
    grid = np.sort(rows["epsilon_255"].unique())
    holding = pd.DataFrame({e: first > e for e in grid})
    holding = holding.melt(var_name="epsilon_255").groupby("epsilon_255")
    return analysis.rates(holding["value"]).reset_index()


# %%
control = study.table("random", every=every.control)
bins = {analysis.bin_name(*b): b for b in analysis.ORIGINAL_BINS}
holding = {name: not_yet_fooled(table, *b) for name, b in bins.items()}
by_chance = {name: not_yet_fooled(control, *b) for name, b in bins.items()}

# %% tags=["hide-input"]
show(
    figures.bins(holding, "value", "share not yet fooled", by_chance),
    name="fig-holding",
    caption="Share of the correctly classified pictures not yet fooled over ε, by clean confidence, "
    f"with 95% intervals. Dotted: random signs, on one picture in {every.control}.",
)

# %% [markdown]
# ## Why: the first-order prediction
#
# Along the step, $\log\frac{p_y}{1-p_y}$ falls at first by $\lVert\nabla J\rVert_1/(1-p_y)$ per
# unit of ε. So
#
# $$\hat\epsilon = \log\frac{p_y}{1 - p_y} \cdot \frac{1 - p_y}{\lVert\nabla_X J\rVert_1}$$
#
# is the ε at which the probability of the true class would be one half if the network were
# linear. It costs nothing: the gradient is that of the attack.

# %%
first = study.table(objective="cross_entropy", epsilon_255=[0])
predicted = analysis.first_order(first).loc[right]

by_confidence = analysis.spearman(confidence, smallest)
by_prediction = analysis.spearman(predicted, smallest)
left = analysis.spearman(confidence, smallest, known=predicted)

# %% tags=["remove-input"]
code(analysis.first_order)

# %% tags=["hide-input"]
finite = np.isfinite(smallest)
predictors = {"clean confidence": confidence, "first-order ε̂": predicted}
show(
    figures.points(
        {
            name: pd.DataFrame(
                {
                    "rank": values[finite].rank(pct=True),
                    "smallest": smallest[finite],
                }
            )
            for name, values in predictors.items()
        },
        "rank",
        "smallest",
        "rank of the predictor",
        "smallest ε in 1/255",
        log="y",
    ),
    name="fig-predictors",
    caption=f"Smallest ε, a value of the grid, of the {int(finite.sum())} pictures that are fooled "
    f"{analysis.upto(table)}, over their rank by two predictors.",
)
apart = by_prediction.low > by_confidence.high
said = (
    f"Rank correlation with the smallest ε: {told(*by_prediction)} for the first-order prediction, "
    f"{told(*by_confidence)} for confidence, {by_prediction.n} pictures; "
    f"{'the prediction orders them better' if apart else 'the two are too close to tell'}. With the "
    "prediction's ranks known, the partial rank correlation of confidence and smallest ε is "
    f"{told(*left)}: "
)
if left.low > 0:
    said += "something of the relation is left."
elif left.high < 0:
    said += "more confidence then goes with a *smaller* ε."
else:
    said += "nothing of the relation that can be told from chance is left."
if not original:
    known = record["verdicts"]["partial"]
    interval = told(known["rho"], known["low"], known["high"]).rstrip(")")
    said += f" On the original's photographs (recorded) it is {interval}; {known['n']} photographs)."
say(said)

# %% [markdown]
# ## The original's groups of pictures
#
# Five groups by clean confidence, as on the original page.

# %%
grid = study.profile.epsilon_255.hypothesis
curves = analysis.bin_curves(analysis.at(table, grid))
random = analysis.bin_curves(analysis.at(control, grid))
theirs = published.record_bins()
if original:
    theirs = {
        analysis.bin_name(*edges): published.bin_curve(key).assign(n=n)
        for key, (*edges, n) in published.BINS.items()
    }

# %% tags=["hide-input"]
source = "published (GoogLeNet)" if original else "recorded (photographs)"
sizes = ", ".join(str(int(curve["n"].max())) for curve in theirs.values())
beside = (
    f"Dotted: random signs, on one picture in {every.control}. Gray: {source.split()[0]}, on {sizes} "
    "of the original's photographs."
)
show(
    figures.bins(curves, "top1", "top-1 accuracy", random, theirs, source),
    name="fig-bins-accuracy",
    caption="Top-1 accuracy over ε of the initially correct pictures, by clean confidence, with 95% "
    f"intervals. {beside}",
)
show(
    figures.bins(
        curves, "confidence", "mean confidence", random, theirs, source
    ),
    name="fig-bins-confidence",
    caption="Mean confidence over ε of the same pictures. After the class has changed, it is the "
    f"confidence in the wrong class. {beside}",
)

# %% [markdown]
# ## All pictures
#
# Initially wrong ones included; for them, an attack pushes a wrong classifier further.

# %%
grid = study.profile.epsilon_255.all_images
everything = analysis.curve(analysis.at(table, grid))
chance = analysis.curve(analysis.at(control, grid))
theirs = published.record_curve()
if original:
    theirs = published.all_samples_curve()

# %% tags=["hide-input"]
rates = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "confidence": "mean confidence",
}
show(
    figures.curves({"FGSM": everything}, rates, chance, theirs, source),
    name="fig-all",
    caption=f"Top-1 and top-5 accuracy and mean confidence of all {len(study.pictures)} "
    f"{study.profile.kind}, with 95% intervals. Dotted: random signs, on {chance['n'].max()} of "
    f"them. Gray: {source}, all 1000.",
)
show(
    pd.DataFrame(
        {
            "ε": eps(row["epsilon_255"]),
            "top-1": analysis.rate_text(row, "top1"),
            "top-5": analysis.rate_text(row, "top5"),
            "confidence": analysis.rate_text(row, "confidence"),
        }
        for _, row in everything.iterrows()
    ),
    name="tab-all",
    caption=f"The same in numbers, of {len(study.pictures)} {study.profile.kind}.",
)

# %% [markdown]
# ## What this does not show
#
# - Another network or objective may order the pictures otherwise, and a better attack than FGSM
#   finds a smaller ε.
# - The smallest ε is the first wrong value of a grid. Between two ε at which the picture is right
#   there may be one at which it is wrong.
# - A correlation over pictures is no cause: nobody has made one more confident here and watched
#   it become harder.

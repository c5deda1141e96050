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
# # The Fast Gradient Sign Method

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
from fgsm_lib import analysis, published
from fgsm_lib.analysis import percent
from fgsm_lib.show import credit, escape, say, show, slider
from fgsm_lib.study import open_study
from fgsm_lib.words import network_name

study = open_study(profile)
photos = study.shown

# %% tags=["hide-input"]
# The picture shown: of the photographs that the classifier sees correctly
# with at least 50%, the one with the surest wrong answer up to 2/255.
table = photos.table(epsilon_255=photos.profile.epsilon_255.cases)
best = analysis.surest_wrong(table)
case = photos.case(best["sample"])
before = case.row(0)
show(
    slider(case, best["epsilon_255"], hero=True),
    name="fig-home",
    caption=f"{network_name(photos.classifier.name)}, an ImageNet classifier, sees "
    f"*{escape(case.name(before['predicted_class']))}* ({percent(before['confidence'])}) in the "
    "photograph. Move ε. The middle picture is what is added, amplified; the button takes random "
    f"signs in its place, the control. {credit(case.picture)}",
)

# %% [markdown]
# Change every pixel of a picture a little, each in the direction that hurts a classifier most,
# and its right answer can turn wrong. This one step is the Fast Gradient Sign Method (FGSM) of
# {cite:t}`goodfellow2015`. Its size is called ε: at ε = 2/255, no color value of the picture
# moves by more than two of the 255 steps that an image file stores.
#
# ## What was found

# %% tags=["remove-input"]
record = published.record()
curve = record and published.record_curve().set_index("epsilon_255")["top1"]
if record and not published.covers_all(study.pictures):
    verdict = record["verdicts"]
    say(
        f"**On the 1000 photographs of the original experiment**, recorded with "
        f"{network_name(record['provenance']['classifier'])}:\n\n"
        f"- One step of 1/255 takes top-1 accuracy from **{percent(curve[0], 1)}** to "
        f"**{percent(curve[1], 1)}**, one of 4/255 to {percent(curve[4], 1)}. At 16/255 it is "
        f"{percent(curve[16], 1)}: a larger step is not always worse.\n"
        f"- Images with a high initial confidence are harder to manipulate: **"
        f"{verdict['exact']['word']}** (ρ = {verdict['exact']['rho']:.2f}, "
        f"{verdict['exact']['low']:.2f} to {verdict['exact']['high']:.2f}; "
        f"{verdict['exact']['n']} images). On pictures saved in 8 bits: "
        f"{verdict['saved']['word']} (ρ = {verdict['saved']['rho']:.2f}, "
        f"{verdict['saved']['low']:.2f} to {verdict['saved']['high']:.2f}).\n"
    )

# %% tags=["remove-input"]
everything, control = (
    study.table(),
    study.table("random", every=study.profile.every.control),
)
top1 = analysis.curve(everything).set_index("epsilon_255")["top1"]
right = analysis.initially_correct(everything)
rho = analysis.spearman(
    analysis.clean(everything).loc[right, "confidence"],
    analysis.smallest_epsilon(everything, right),
)
chance = analysis.curve(control).set_index("epsilon_255")["top1"]
shared = analysis.curve(analysis.shared(everything, control)).set_index(
    "epsilon_255"
)["top1"]
what = "**On 1000 generated pictures of toys**, which this site computes anew wherever it is built " \
    "(their classifier had light adversarial training)" \
    if profile == "demo" else f"**On these {len(study.pictures)} {study.profile.kind}**"  # fmt: skip
say(
    f"{what}:\n\n"
    f"- {network_name(study.profile.arch)} classifies **{percent(top1[0], 1)}** correctly, "
    f"**{percent(top1[1], 1)}** after a step of 1/255, **{percent(top1[4], 1)}** after 4/255.\n"
    f"- The direction counts: random signs of 4/255, the control, leave {percent(chance[4], 1)} right "
    f"where the gradient's signs leave {percent(shared[4], 1)} ({control['sample'].nunique()} "
    "pictures).\n"
    f"- The hypothesis on confidence is **{analysis.verdict(rho.low, rho.high, rho.n)}** (ρ = "
    f"{rho.value:.2f}, {rho.low:.2f} to {rho.high:.2f}; {rho.n} pictures, ε to "
    f"{analysis.eps(everything['epsilon_255'].max())}).\n"
)

# %% [markdown]
# ## What you can do here
#
# **See it.** Move ε above, or on any case study in the menu.
#
# **Understand it.** [How it works](method.ipynb) is two equations and six lines of code. [What is
# attacked](data-and-model.ipynb) shows the pictures and the classifiers; the
# [glossary](book/glossary.md) explains the words.
#
# **Judge it.** [Do confident images resist?](hypothesis.ipynb) puts the hypothesis to the test.
# [One step or many?](iterative.ipynb) sets FGSM beside its iterative relatives. The [original's
# claims](claims.ipynb) are checked one by one.
#
# **Try it.** [Can you see it?](can-you-see-it.ipynb) tests your eyes. [Attack a
# picture](live.ipynb) in your browser, one of yours if you like: it never leaves your device. Or
# rerun any page's notebook, with [your own model and pictures](your-own.ipynb).

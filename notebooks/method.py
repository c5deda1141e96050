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
# # The method

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["hide-input"]
import torch

from fgsm_lib import attacks, figures, perception
from fgsm_lib.cases import logit_shift, open_case, unit_table
from fgsm_lib.display import credit, say, show, show_source, show_table
from fgsm_lib.study import open_study

study = open_study(profile)
case = open_case(study, study.profile.example)

# %% [markdown]
# FGSM moves every color value of an image by the same small amount, up or down, whichever makes the
# classifier worse. One gradient tells the direction of all of them.
#
# ## Two equations
#
# An {term}`adversarial image` $\widetilde{X}$ is the image $X$ plus a {term}`perturbation` $\eta$:
#
# $$\widetilde{X} = X + \eta$$ (eq-1-1)
#
# FGSM {cite:p}`goodfellow2015` takes for $\eta$ one step of size $\epsilon$ along the sign of a
# gradient:
#
# $$\eta = \epsilon \,\operatorname{sign}\bigl(\nabla_x J(\Theta, x, y)\bigr)$$ (eq-1-2)
#
# $x$
# : the image as the classifier receives it: one number in $[0, 1]$ per pixel and color channel.
#
# $y$
# : its label, the true class.
#
# $\Theta$
# : the weights of the classifier. Training changes them; an attack leaves them alone.
#
# $J(\Theta, x, y)$
# : the {term}`objective`, which grows as the classifier gets worse at $x$. The usual one is the
#   {term}`cross-entropy` $-\log \operatorname{softmax}(z)_y$ of the {term}`logits` $z$.
#
# $\nabla_x J$
# : its gradient with respect to the image: how fast $J$ grows with each number of $x$. Training
#   differentiates by $\Theta$, the attack by $x$.
#
# $\operatorname{sign}$
# : $-1$, $0$ or $1$. However small its gradient, a number takes the whole step; it stays only where
#   the gradient is exactly zero.
#
# $\epsilon$
# : the size of the step. No number of the image changes by more than $\epsilon$, so
#   $\lVert\eta\rVert_\infty \le \epsilon$.
#
# The step *ascends* the objective, and any wrong class will do. The targeted attack wants a chosen
# one: it puts that class for $y$ and steps the other way,
# $\widetilde{X} = X - \epsilon\,\operatorname{sign}(\nabla_x J(\Theta, x, y_\text{target}))$.

# %% [markdown]
# ## Why one small step suffices
#
# Think of a single unit that computes $w \cdot x$. The step $\eta = \epsilon\operatorname{sign}(w)$
# moves it by
#
# $$w \cdot \eta = \epsilon \sum_i |w_i| = \epsilon \lVert w \rVert_1 .$$
#
# This grows in proportion to the number of inputs, while no input changes by more than $\epsilon$.
# With random signs, each drawn by a coin, the terms cancel, and the sum grows only with the square
# root. So in an image, which has many inputs, changes too small to see add up to one that decides.

# %% tags=["hide-input"]
show(
    figures.dimension_shift,
    [10, 100, 1000, 10_000, 3 * 224 * 224],
    1 / 255,
    name="fig-dimension",
    caption="Shift of a linear unit with normally distributed weights by one step of ε = 1/255. "
    "The last point is an image of 224 × 224 pixels in three colors.",
)

# %% [markdown]
# A deep network is not linear, but over a small step it nearly is. To first order, the step against
# the gradient of the true class's logit $z_y$ lowers it by $\epsilon\lVert\nabla_x z_y\rVert_1$.

# %% tags=["hide-input"]
shift = logit_shift(study, case, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 4])
show(
    figures.linear_regime,
    shift,
    name="fig-linear",
    caption=f"Fall of the logit of the true class of sample {case.photo.sample}, one of the case "
    "studies: for a step against its gradient's sign, as the gradient predicts it, and for random "
    "signs, the control.",
)

# %% tags=["remove-input"]
early, late = (shift[shift["epsilon_255"] == level].iloc[0] for level in (0.2, 4))
say(
    f"At ε = 0.2/255 the logit falls by {early['measured']:.2f}, and the gradient predicts "
    f"{early['predicted']:.2f}. At 4/255 it falls by {late['measured']:.1f}, and the gradient "
    f"predicts {late['predicted']:.1f}. Random signs of 4/255 change it by "
    f"{abs(late['random']):.2f}."
)

# %% [markdown]
# ## An example by hand
#
# Take an "image" of four pixels and a classifier with two classes, whose logits are linear:
#
# $$x = (0.2,\ 0.6,\ 0.5,\ 0.9), \qquad
#   z_0 = x_1 - 2x_2 + 0.5x_3 + x_4, \qquad z_1 = 0 .$$
#
# The first logit is $z_0 = 0.2 - 1.2 + 0.25 + 0.9 = 0.15$, so class 0 wins with confidence
# $p_0 = 1/(1 + e^{-0.15}) = 0.537$. With label $y = 0$ the gradient of the cross-entropy is
# $(p_0 - 1)\,w = -0.463\,(1, -2, 0.5, 1)$, and its sign $(-1, 1, -1, -1)$. A step of
# $\epsilon = 0.1$ leads to
#
# $$\widetilde{x} = (0.1,\ 0.7,\ 0.4,\ 0.8), \qquad
#   z_0 = 0.1 - 1.4 + 0.2 + 0.8 = -0.3 .$$
#
# The logit has moved by $\epsilon\lVert w\rVert_1 = 0.1 \cdot 4.5 = 0.45$, and class 1 wins with
# confidence $1/(1 + e^{-0.3}) = 0.574$. The library computes the same:

# %%
weights = torch.tensor([[1.0, -2.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0]])
four_pixels = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False)).eval()
four_pixels[1].weight.data = weights

x = torch.tensor([0.2, 0.6, 0.5, 0.9]).view(1, 1, 2, 2)
y = torch.tensor([0])
x_adversarial = attacks.fgsm(four_pixels, x, y, epsilon=0.1)

before, after = four_pixels(x).softmax(1)[0], four_pixels(x_adversarial).softmax(1)[0]
print("adversarial pixels:", [round(value, 3) for value in x_adversarial.flatten().tolist()])
print(f"class 0 before: {before[0]:.3f}, class 1 after: {after[1]:.3f}")

# %% tags=["remove-cell"]
# The page claims these numbers; a build in which they are wrong has to fail.
torch.testing.assert_close(x_adversarial.flatten(), torch.tensor([0.1, 0.7, 0.4, 0.8]))
assert f"{before[0]:.3f} {after[1]:.3f}" == "0.537 0.574"

# %% [markdown]
# ## The implementation
#
# These three functions are the attack, as they stand in the library. The gradient does not depend
# on ε, so one serves every ε.

# %% tags=["remove-input"]
show_source(attacks.input_gradient)
show_source(attacks.fgsm)
show_source(attacks.perturb)

# %% [markdown]
# ## The units of ε
#
# This site attacks in pixel space, where ε is a fraction of the range $[0, 1]$. Many
# implementations, the original page's among them, attack after normalization: each channel has
# been shifted by a mean and divided by a standard deviation $\sigma$. There the same step is
# $\epsilon/\sigma$ and differs by channel.

# %% tags=["remove-input"]
show_table(
    unit_table(study.classifier, [1, 2, 4, 6, 8, 16]),
    name="tab-units",
    caption="The same ε as a fraction of [0, 1] and after normalization, by channel.",
)

# %% [markdown]
# Two details change what such a number means.
#
# **Clipping.** A pixel cannot be darker than 0 or brighter than 1, so the result of
# {eq}`eq-1-1` is clipped to $[0, 1]$. The published experiment clipped a second time, to the
# smallest and largest value of the image itself; the profile option `clip = "image"` does so.
#
# **Rounding.** An image file holds whole numbers from 0 to 255, so a step smaller than 0.5/255 is
# rounded away when the image is saved. Smaller ε on this site say something about the classifier,
# not about image files.

# %% [markdown]
# ## From which ε can it be seen?

# %% tags=["hide-input"]
show(
    figures.strengths,
    case,
    [0, 1, 2, 4, 8, 16],
    name="fig-perception",
    caption=f"The same image at growing ε. Look at plain, bright areas first. {credit(case.photo)}",
)

# %% [markdown]
# One measure is the color difference ΔE: the distance in the color space CIELAB, made so that equal
# distances look equally different. About 2.3 is just noticeable between two plain patches side by
# side {cite:p}`mahy1994`. Another is the structural similarity SSIM {cite:p}`wang2004`, which
# compares local patterns and is 1 for equal images. Both are taken on images rounded to 8 bits.

# %% tags=["hide-input"]
samples = range(0, len(study.dataset), max(1, len(study.dataset) // 10))
differences = perception.difference_table(study, samples, [0, 0.5, 1, 2, 4, 8, 16])
show(
    figures.perception,
    differences,
    perception.JUST_NOTICEABLE_DELTA_E,
    name="fig-difference",
    caption=f"Mean color difference and SSIM over ε, averaged over {len(samples)} images spread "
    "evenly over the set. Dotted: random signs of the same size, the control.",
)

# %% tags=["remove-input"]
attacked = differences[differences["direction"] == "FGSM"]
noticeable = attacked[attacked["delta_e"] >= perception.JUST_NOTICEABLE_DELTA_E]
seen = (
    f"first reaches that at **ε = {noticeable['epsilon_255'].min():g}/255** of this grid"
    if len(noticeable)
    else "never reaches that on this grid"
)
at_four = attacked[attacked["epsilon_255"] == 4].iloc[0]
by_chance = differences[differences["direction"] == "random signs"]
say(
    f"Just noticeable is a ΔE of {perception.JUST_NOTICEABLE_DELTA_E}, and the mean {seen}. Take "
    "it as a lower bound: people notice less of fine noise on a picture than of a difference "
    "between plain patches."
)
say(
    "The original page calls the attack only slightly perceptible up to 4/255. There ΔE is "
    f"{at_four['delta_e']:.1f}, SSIM {at_four['ssim']:.2f} and the peak signal-to-noise ratio "
    f"{at_four['psnr']:.0f} dB. Random signs of 4/255 have a ΔE of "
    f"{by_chance[by_chance['epsilon_255'] == 4].iloc[0]['delta_e']:.1f}: the eye sees the size of "
    "the step, not its direction."
)

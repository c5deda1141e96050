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
# # How it works

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from fgsm_lib import attacks, figures, gallery, perception
from fgsm_lib.show import code, credit, say, show
from fgsm_lib.study import open_study

# %% [markdown]
# FGSM moves every color value of a picture by the same small amount, up or down, whichever makes
# the classifier worse. One gradient tells the direction of all of them.
#
# ## Two equations
#
# An [adversarial image](<#adversarial image>) $\widetilde{X}$ is the image $X$ plus a
# [perturbation](#perturbation) $\eta$:
#
# $$\widetilde{X} = X + \eta \tag{1.1}$$
#
# FGSM [(Goodfellow et al., 2015)](#goodfellow2015) takes for $\eta$ one step of size $\epsilon$
# along the sign of a gradient:
#
# $$\eta = \epsilon \,\operatorname{sign}\bigl(\nabla_X J(\Theta, X, y)\bigr) \tag{1.2}$$

# %% tags=["hide-input"]
case = open_study(profile).shown.case("camera")
show(
    gallery.triple(case, 2),
    name="fig-method",
    caption="Equation (1.1) as pictures, at ε = 2/255. In the sign of the gradient, a channel at "
    f"full strength is +1, and gray 0. {credit(case.picture)}",
)

# %% [markdown]
# $X$
# : the image: one number in $[0, 1]$ per pixel and color channel.
#
# $y$
# : its label, the true class.
#
# $\Theta$
# : the weights of the classifier, which an attack leaves alone.
#
# $J(\Theta, X, y)$
# : the [objective](#objective), which grows as the classifier gets worse at $X$. The usual one is
#   the [cross-entropy](#cross-entropy) $-\log \operatorname{softmax}(z)_y$ of the
#   [logits](#logits) $z$.
#
# $\nabla_X J$
# : its gradient with respect to the image: how fast $J$ grows with each number of $X$. Training
#   differentiates by $\Theta$, the attack by $X$.
#
# $\operatorname{sign}$
# : $-1$, $0$ or $1$. However small its gradient, a number takes the whole step, unless that is
#   exactly zero. An image whose gradient is zero everywhere is not attacked at all.
#
# $\epsilon$
# : the size of the step. No number of the image changes by more than $\epsilon$, so
#   $\lVert\eta\rVert_\infty \le \epsilon$.

# %% [markdown]
# ## The attack in six lines
#
# A photograph, the classifier, and torch:

# %%
study = open_study(profile).shown
X, y = study.image("camera")  # (1, 3, 224, 224) in [0, 1], and its class

X.requires_grad_(True)
J = cross_entropy(study.classifier(X), y)
(gradient,) = torch.autograd.grad(J, X)
adversarial = (X + 2 / 255 * gradient.sign()).clamp(0, 1).detach()

for name, x in {"clean": X, "after the step": adversarial}.items():
    p = study.classifier(x).softmax(1)[0]
    print(f"{name}: {study.names[p.argmax()]}, {p.max():.1%}")

# %% [markdown]
# The library's `fgsm` is these lines with checks at the door, for a batch, an ε per image,
# another objective, and a chosen target class:

# %%
same = attacks.fgsm(study.classifier, X.detach(), y, epsilon=2 / 255)
print("largest difference:", (same - adversarial).abs().max().item())

# %% tags=["remove-input"]
code(attacks.input_gradient)
code(attacks.fgsm)
code(attacks.perturb)

# %% [markdown]
# The step *ascends* the objective, and any wrong class will do. The targeted attack wants a
# chosen one: it puts that class for $y$ and steps the other way.
#
# ## Why one small step suffices
#
# Think of a single unit that computes $w \cdot X$. The step $\eta =
# \epsilon\operatorname{sign}(w)$ moves it by
#
# $$w \cdot \eta = \epsilon \sum_i |w_i| = \epsilon \lVert w \rVert_1 .$$
#
# This grows in proportion to the number of inputs, while none changes by more than $\epsilon$.
# With random signs the terms cancel, and the sum typically grows only with the square root. So in
# an image, which has many inputs, changes too small to see add up.

# %%
rows = []
for n in (10, 100, 1000, 10_000, 3 * 224 * 224):
    seed = torch.Generator().manual_seed(n)
    w = torch.randn(200, n, generator=seed)
    coin = torch.randint(0, 2, (200, n), generator=seed) * 2 - 1
    along, random = w.abs().sum(1) / 255, (w * coin).sum(1).abs() / 255
    rows.append((n, along.mean().item(), random.mean().item()))
shift = pd.DataFrame(rows, columns=["inputs", "along", "random"])

# %% tags=["hide-input"]
show(
    figures.lines(
        {
            "along the signs of w": shift.rename(
                columns={"along": "shift"}
            ),
            "random signs": shift.rename(columns={"random": "shift"}),
        },
        {"shift": "mean shift of the unit"},
        x="inputs",
        xlabel="number of inputs",
        log="xy",
    ),
    name="fig-dimension",
    caption="How far one step of ε = 1/255 moves a linear unit with normally distributed weights; "
    "means over 200 units. The last point is an image of 224 × 224 pixels in three colors.",
)

# %% [markdown]
# ## How far is a deep network from that?
#
# To first order, the step against the gradient of the true class's logit $z_y$ lowers it by
# $\epsilon\lVert\nabla_X z_y\rVert_1$. The same photograph, and random signs beside it:

# %%
X, y = study.image("camera")
net = study.classifier
gradient, logits = attacks.input_gradient(net, X, y, "true_logit")
coin = attacks.random_signs(X[0], seed=0)[None]
slope = gradient.abs().sum().item()

rows = []
for e in (0, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4):
    row = {"epsilon_255": e, "predicted": e / 255 * slope}
    for name, sign in {"FGSM": gradient.sign(), "random": coin}.items():
        moved = net(attacks.perturb(X, sign, e / 255))
        row[name] = (logits - moved)[0, y].item()
    rows.append(row)
fall = pd.DataFrame(rows)

# %% tags=["hide-input"]
as_fall = {
    "FGSM": "FGSM",
    "predicted by the gradient": "predicted",
    "random signs": "random",
}
show(
    figures.lines(
        {
            name: fall[["epsilon_255", c]].rename(columns={c: "y"})
            for name, c in as_fall.items()
        },
        {"y": "fall of the true class's logit"},
    ),
    name="fig-linear",
    caption="Fall of the true class's logit: predicted, real, and after random signs (one draw).",
)

# %% tags=["remove-input"]
small, large = fall[fall["epsilon_255"] == 0.1].iloc[0], fall.iloc[-1]
say(
    f"At ε = 0.1/255 the logit falls by {small['FGSM']:.2f} where the gradient predicts "
    f"{small['predicted']:.2f}; at {large['epsilon_255']:g}/255 by {large['FGSM']:.1f} of a "
    f"predicted {large['predicted']:.1f}, {large['FGSM'] / large['predicted']:.0%} of it. The "
    "gradient tells the direction well and the size only over the smallest steps. Random signs of "
    f"{large['epsilon_255']:g}/255, one draw, change the logit by {abs(large['random']):.1f}."
)

# %% [markdown]
# ## Examples by hand
#
# Take tiny "images" and classifiers of two classes. The label is $y = 0$ and the second logit
# $z_1 = 0$, so class 0 wins where $z_0 > 0$, with confidence $p_0 = 1/(1 + e^{-z_0})$.
#
# <div class="by-hand">
# <div class="two-numbers" data-point="0.7 0.5" data-epsilon="0.1">
#
# **Two numbers** are a point, and what lies within $\epsilon$ of them is a square. Let
# $z_0 = 6\,\bigl(x_2 - 0.3 - 0.8\,(x_1 - 0.4)^2\bigr)$ and $X = (0.7,\ 0.5)$. Then
# $z_0 = 0.768$, and class 0 wins with confidence 0.683. The gradient of the cross-entropy is
# $(0.913, -1.901)$, its sign $(1, -1)$. So the step of $\epsilon = 0.1$ goes to the corner
# $\widetilde{X} = (0.8,\ 0.4)$, where $z_0 = -0.168$ and class 1 wins with confidence 0.542. Of
# the square's four corners it is the only one beyond the boundary $z_0 = 0$.
#
# </div>
# <div class="four-pixels" data-pixels="0.2 0.6 0.5 0.9" data-weights="1 -2 0.5 1"
#   data-epsilon="0.1">
#
# **Four pixels**, $X = (0.2,\ 0.6,\ 0.5,\ 0.9)$, with $z_0 = w \cdot X$ and
# $w = (1, -2, 0.5, 1)$: $z_0 = 0.2 - 1.2 + 0.25 + 0.9 = 0.15$, and class 0 wins with confidence
# $0.537$. The gradient is $(p_0 - 1)\,w = -0.463\,w$, its sign $(-1, 1, -1, -1)$. A step of
# $\epsilon = 0.1$ leads to $\widetilde{X} = (0.1,\ 0.7,\ 0.4,\ 0.8)$ and
# $z_0 = 0.1 - 1.4 + 0.2 + 0.8 = -0.3$: it has moved by
# $\epsilon\lVert w\rVert_1 = 0.1 \cdot 4.5 = 0.45$, and class 1 wins with confidence $0.574$.
#
# </div>
# </div>
#
# Two numbers have four corners, $n$ numbers $2^n$. The library moves the four pixels as well:

# %%
linear = torch.nn.Linear(4, 2, bias=False)
linear.weight.data = torch.tensor([[1, -2, 0.5, 1], [0, 0, 0, 0.0]])
four_pixels = torch.nn.Sequential(torch.nn.Flatten(), linear).eval()

x = torch.tensor([0.2, 0.6, 0.5, 0.9]).view(1, 1, 2, 2)
moved = attacks.fgsm(four_pixels, x, [0], epsilon=0.1)
p = four_pixels(torch.cat([x, moved])).softmax(1)
print("adversarial pixels:", moved.flatten().numpy().round(3))
print(f"class 0 before: {p[0, 0]:.3f}, class 1 after: {p[1, 1]:.3f}")

# %% tags=["remove-cell"]
# The page claims these numbers; a build in which they are wrong has to fail.
torch.testing.assert_close(
    moved.flatten(), torch.tensor([0.1, 0.7, 0.4, 0.8])
)
assert f"{p[0, 0]:.3f} {p[1, 1]:.3f}" == "0.537 0.574"


def logit(x):
    return 6 * (x[1] - 0.3 - 0.8 * (x[0] - 0.4) ** 2)


point = torch.tensor([0.7, 0.5], requires_grad=True)
objective = cross_entropy(
    torch.stack([logit(point), torch.tensor(0.0)]), torch.tensor(0)
)
(slope,) = torch.autograd.grad(objective, point)
end = (point + 0.1 * slope.sign()).detach()
claimed = {
    "0.768 0.683": [logit(point), logit(point).sigmoid()],
    "0.913 -1.901": slope,
    "0.800 0.400": end,
    "-0.168 0.542": [logit(end), 1 - logit(end).sigmoid()],
}
for text, numbers in claimed.items():
    assert " ".join(f"{number:.3f}" for number in numbers) == text
assert logit(end) < 0
for other in [(0.8, 0.6), (0.6, 0.4), (0.6, 0.6)]:
    assert logit(other) > 0

# %% [markdown]
# ## The units of ε
#
# This site attacks in pixel space, where ε is a fraction of the range $[0, 1]$. Many
# implementations, the original page's among them, attack after normalization: each channel has
# been divided by a standard deviation $\sigma$, and the same step is $\epsilon/\sigma$:

# %%
sigma = study.classifier.std.flatten()[0].item()
units = pd.DataFrame({"in 1/255": [1, 4, 16]})
units["fraction of [0, 1]"] = units["in 1/255"] / 255
units["normalized, ε/σ"] = units["in 1/255"] / 255 / sigma
units.round(4)

# %% [markdown]
# **Clipping.** No pixel is darker than 0 or brighter than 1, so the result of [(1.1)](#eq-1-1) is
# clipped to $[0, 1]$. The published experiment clipped once more, to the image's own range.
#
# **Rounding.** An image file holds whole numbers from 0 to 255: it loses a step below 0.5/255.
#
# ## From which ε can it be seen?

# %% tags=["hide-input"]
sizes = [0, 2, 4, 8, 16]
show(
    gallery.pictures(
        [case.adversarial(e) for e in sizes],
        [f"ε = {e}/255" if e else "clean" for e in sizes],
        "The photograph at growing ε: noise appears on the plain sky first.",
        columns=5,
    ),
    name="fig-perception",
    caption="The same photograph at growing ε. Look at plain, bright areas first.",
)

# %% [markdown]
# One measure is the color difference ΔE: the distance in the color space CIELAB, where equal
# distances look equally different. About 2.3 is just noticeable between two plain patches
# side by side [(Mahy et al., 1994)](#mahy1994); of fine noise, people notice less. Another is the
# structural similarity SSIM [(Wang et al., 2004)](#wang2004), 1 for equal images.
# [A test](can-you-see-it.ipynb) is for your own eyes.

# %%
rows = []
for picture in study.pictures:
    one = study.case(picture.sample)
    for e in (1, 2, 3, 4, 8, 16):
        moved = {"FGSM": one.adversarial(e), "random": one.random(e)}
        for kind, x in moved.items():
            measured = perception.difference(one.image, x)
            rows.append({"epsilon_255": e, "kind": kind} | measured)
means = pd.DataFrame(rows).groupby(["kind", "epsilon_255"]).mean()
attacked, random = (means.loc[k].reset_index() for k in ("FGSM", "random"))

# %% tags=["hide-input"]
show(
    figures.lines(
        {"FGSM": attacked, "random signs": random},
        {"delta_e": "mean ΔE", "ssim": "SSIM"},
        levels={"just noticeable": perception.JUST_NOTICEABLE_DELTA_E},
    ),
    name="fig-difference",
    caption=f"Mean color difference and SSIM over ε, over the {len(study.pictures)} photographs of "
    "this site in 8 bits, after FGSM and after random signs of the same size.",
)

# %% tags=["remove-input"]
level = perception.JUST_NOTICEABLE_DELTA_E
seen = perception.crossing(
    attacked["epsilon_255"], attacked["delta_e"], level
)
four = attacked[attacked["epsilon_255"] == 4].iloc[0]
say(
    f"The mean ΔE over these {len(study.pictures)} photographs reaches {level} near "
    f"ε = {seen:.1f}/255 (interpolated). The original page calls the attack only slightly "
    f"perceptible up to 4/255; there ΔE is {four['delta_e']:.1f} and SSIM {four['ssim']:.2f}."
)

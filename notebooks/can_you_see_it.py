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
# # Can you see it?

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import html
import json
from statistics import median

import numpy as np
import pandas as pd
import torch

from fgsm_lib import attacks, perception
from fgsm_lib.analysis import eps
from fgsm_lib.perception import to_uint8
from fgsm_lib.show import credit, say, show
from fgsm_lib.slider import Widget, encoded, lossless, picture_data
from fgsm_lib.study import open_study
from fgsm_lib.words import network_name

photos = open_study(profile).shown
cases = [photos.case(one) for one in photos.pictures.samples]
cases = [case for case in cases if case.row(0)["correct"]]
net = photos.classifier

KINDS = {"FGSM": "adversarial", "random signs": "random"}
LAST = 32  # in 1/255: to here it is looked at
NAME = network_name(net.name)


def at(steps):
    """At which ε first and with how many photographs, in a few words."""
    many = f"{len(steps)} of {len(cases)} photographs"
    if not steps:
        return f"none up to {eps(LAST)} ({many})"
    if steps[0] == steps[-1]:
        return f"{eps(steps[0])} ({many})"
    ends = f"{steps[0]} to {steps[-1]}"
    return f"{eps(median(steps))} (median; {ends}; {many})"


# %% tags=["hide-input"]
STEPS = torch.arange(1, LAST + 1)  # a file of 8 bits holds no others


def first_fooling(case, direction):
    """The first ε, in 1/255, at which the saved photograph fools."""
    x = case.image.expand(len(STEPS), -1, -1, -1)
    x = attacks.perturb(x, direction, STEPS / 255, case.bounds)
    with torch.no_grad():
        seen = net(attacks.eight_bit(x)).argmax(1).cpu()
    wrong = STEPS[seen != case.picture.label]
    return int(wrong[0]) if len(wrong) else None


firsts = {
    case.picture.name: {
        "FGSM": first_fooling(case, case.direction),
        "random signs": first_fooling(case, case.random_direction),
    }
    for case in cases
}
fooled = {
    kind: sorted(first[kind] for first in firsts.values() if first[kind])
    for kind in KINDS
}
say(
    f"{NAME} was shown these photographs as image files, after every step that a file can hold, up "
    f"to {eps(LAST)}. **The smallest that fools it is, of FGSM, {at(fooled['FGSM'])}; of random "
    f"signs, {at(fooled['random signs'])}.**"
)

# %% tags=["hide-input"]
grid, level = [1, 2, 3, 4, 8, 16], perception.JUST_NOTICEABLE_DELTA_E
noticeable = {}
for kind, move in KINDS.items():
    changed = [
        [perception.delta_e(c.image, getattr(c, move)(e)) for c in cases]
        for e in grid
    ]
    noticeable[kind] = perception.crossing(
        grid, np.mean(changed, axis=1), level
    )
say(
    f"By the usual measure, a mean color difference ΔE of {level}, a step of FGSM is just noticeable "
    f'near ε = {noticeable["FGSM"]:.1f}/255. And you? "Add perception thing", the original page '
    "noted, and left it at that. Here your own eyes are tested."
)

# %% tags=["remove-input"]
chosen = next(
    (c for c in cases if firsts[c.picture.name]["FGSM"]), cases[0]
)
stills = {}
for e in (0, 2, 8):
    image = attacks.eight_bit(chosen.adversarial(e))
    with torch.no_grad():
        p = net(image[None]).softmax(1)[0].max(0)
    title = f"ε = {eps(e)}" if e else "clean"
    stills[f"{title}: {photos.names[p.indices]}, {p.values:.0%}"] = (
        to_uint8(image)
    )
height, width = next(iter(stills.values())).shape[:2]
facts = {
    "size": width,
    "network": NAME,
    "fooled": {
        "signs": fooled["FGSM"],
        "control": fooled["random signs"],
        "median": median(fooled["FGSM"]) if fooled["FGSM"] else None,
    },
    "none": f"none to {eps(LAST)}",
    "visible": noticeable["FGSM"],
    "visible_name": f"ΔE {level}",
    "rows": [
        [f"{NAME} is fooled", *(at(fooled[kind]) for kind in KINDS)],
        [
            f"mean ΔE is {level}",
            *(f"{noticeable[kind]:.1f}/255" for kind in KINDS),
        ],
    ],
}
shown = "".join(
    f'<div><p>{html.escape(title)}</p><img src="{i}.webp" width="{width}" height="{height}" '
    f'alt="{html.escape(chosen.picture.name)}, {html.escape(title)}"></div>'
    for i, title in enumerate(stills)
)
markup = (
    '<div class="seen-test" data-pictures="data.js"><div class="start pst-js-only">'
    "<p>You see a photograph twice. One of the two was changed, by a step of FGSM or by random "
    "signs. Which one? Where you cannot tell, guess. How often you were right is said at the end. "
    "40 pairs take three or four minutes; you may stop before. Nothing is stored, and nothing leaves "
    "your device.</p>"
    "<p>This tests eyes: a screen reader has nothing to say about these pictures. What the network "
    "makes of them stands in the table below.</p>"
    '<button type="button">Begin</button></div>'
    "<noscript><p>The test runs in the browser, and that needs JavaScript. Without it, here is one "
    "photograph before and after a step of FGSM, and what the network sees in it.</p>"
    f'<div class="stills">{shown}</div></noscript>'
    f'<script type="application/json">{json.dumps(facts)}</script></div>'
)
data = json.dumps([picture_data(case) for case in cases])
files = {"data.js": f"fgsm.photographs({data});\n".encode()}
files |= {
    f"{i}.webp": lossless(pixels)
    for i, pixels in enumerate(stills.values())
}
credits = [credit(case.picture) for case in cases]
show(
    Widget(
        markup,
        f"A test of eyes, which runs on the site. Here: {'; '.join(stills)}.",
        files,
        encoded(np.hstack(list(stills.values())), "PNG"),
    ),
    name="fig-seen",
    caption="Which one was changed? Both pictures as files of 8 bits hold them. "
    f"{' '.join(dict.fromkeys(filter(None, credits)))}",
)

# %% tags=["remove-input"]
show(
    pd.DataFrame(
        {"photograph": name}
        | {kind: eps(e) if e else "none" for kind, e in first.items()}
        for name, first in firsts.items()
    ),
    name="tab-seen",
    caption=f"The smallest ε at which the saved photograph fools {NAME}, of every whole ε from "
    f"1/255 to {eps(LAST)}.",
)

# %% [markdown]
# ## How your threshold is found
#
# Two staircases take turns, one for FGSM and one for random signs, both from 16/255. Each right
# answer makes the step smaller, until the first mistake. From then on a mistake makes it larger,
# and two right answers in a row make it smaller. This is the two-down one-up rule of
# [Levitt (1971)](#levitt1971). It settles where $\sqrt{1/2}$ = 70.7% of the answers are right: guessing
# gets half, so that counts as seeing.
#
# The steps are 1, 2, 3, 4, 6, 8, 11, 16, 23 and 32/255. Nothing lies below 1: an ε under 0.5/255
# vanishes in a file of 8 bits, and what lies between whole numbers is rounded to them.
#
# All answers count for the threshold. A Weibull curve says how often one is right at each ε; its
# exponent, 2, and 3% slips of the finger are taken for granted. Before the first answer, all
# thresholds from 0.5 to 64/255 are equally probable on a logarithmic axis. Shown are the median
# and the middle 95% of what the answers leave.
#
# Twenty answers of each kind are few, so the result is rough: the ends of its interval lie about a
# factor of seven apart, and often more. Readers who were simulated, with flatter and steeper curves than this,
# had their true threshold inside it at least 85 times in 100; a test of this site holds it to
# that.
#
# ## What it does not say
#
# It is your threshold on this screen, at this distance, in this light, and for these photographs.
# Each pixel of a picture covers whole pixels of your screen and nothing is smoothed, but how
# large that is differs; and a screen may show fewer levels than a file holds. You also see the
# clean picture beside the attacked one. Whoever meets an adversarial image alone has a harder
# task.

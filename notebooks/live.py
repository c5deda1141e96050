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
# # Try it yourself

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import copy
import html
import json

import numpy as np

from fgsm_lib import analysis
from fgsm_lib.analysis import percent
from fgsm_lib.attacks import input_gradient
from fgsm_lib.perception import to_uint8
from fgsm_lib.show import credit, say, show
from fgsm_lib.slider import Widget, encoded, lossless
from fgsm_lib.study import open_study
from fgsm_lib.words import escape, network_name

study = open_study(profile)
photos = study.shown

# %% tags=["hide-input"]
# Where it starts: of the photographs that the network sees correctly with at
# least 50%, the one with the surest wrong answer up to 2/255.
table = photos.table(epsilon_255=photos.profile.epsilon_255.cases)
start = analysis.surest_wrong(table)
picture = photos.pictures.picture(start["sample"])
before = analysis.clean(table).loc[start["sample"], "confidence"]
say(
    f"In the picture *{escape(picture.name)}* the network sees "
    f"*{escape(photos.names[picture.label])}*, {percent(before, 1)}. After one "
    f"step of {start['epsilon_255']:g}/255 it sees "
    f"*{escape(photos.names[start['predicted_class']])}*, "
    f"{percent(start['confidence'], 1)}. Press Start, and your own browser "
    "computes that step. Then take another picture, or one of yours: it stays "
    "on your device."
)

# %% tags=["remove-input"]
studies = {one.classifier.name: one for one in (study, photos)}
offered = [(photos, sample) for sample in photos.pictures.samples]
if study is not photos:
    offered += [
        (study, sample)
        for sample in study.profile.cases or study.pictures.samples[:3]
    ]
pictures, files, credits, row = [], {}, [], []
for home, sample in offered:
    one = home.pictures.picture(sample)
    image, _ = home.image(sample)
    file = f"{len(files)}.webp"
    row.append(to_uint8(image[0]))
    files[file] = lossless(row[-1])
    labels = {
        name: one.label
        for name, other in studies.items()
        if other.names == home.names
    }
    shown = (
        one.name
        if home is photos
        else f"{home.names[one.label]} ({sample})"
    )
    pictures.append({"name": shown, "file": file, "labels": labels})
    credits.append(credit(one))
data = {
    "networks": {
        name: network_name(name)
        + (", toys" if one.profile.pictures == "toys" else "")
        for name, one in studies.items()
    },
    "pictures": pictures,
    "epsilons": [float(e) for e in photos.profile.epsilon_255.cases],
    "objective": photos.profile.objective,
    "start": {
        "picture": picture.name,
        "epsilon": float(start["epsilon_255"]),
    },
}
# "<" is all that could end the element early.
facts = json.dumps(data).replace("<", "\\u003c")
stills = [
    f'<div class="picture"><p class="title">{html.escape(one["name"])}</p><img src="{one["file"]}" '
    f'alt="A picture to attack: {html.escape(one["name"])}." width="224" height="224"></div>'
    for one in pictures[: len(photos.pictures)]
]
markup = (
    f'<div class="live-attack"><div class="pictures offered">{"".join(stills)}</div>'
    '<p class="no-script">The attack runs in the browser, and that needs JavaScript. The case '
    "studies show the same attacks, computed when this site was built.</p>"
    f'<script type="application/json">{facts}</script></div>'
)
still = np.hstack(row[: len(photos.pictures)])
show(
    Widget(
        markup,
        "Pictures to attack in the browser.",
        files,
        encoded(still, "PNG"),
    ),
    name="fig-live",
    caption="An attack that your browser computes, and beside it the control, a step of the same "
    f"size along random signs. {' '.join(dict.fromkeys(filter(None, credits)))}",
)

# %% [markdown]
# ## Which class is attacked
#
# For a picture of this site, its label. Nobody knows the label of yours, so there it is the class
# that the network sees in it. The step leads away from this class, or toward one that you pick.
# One step is FGSM, [(1.2)](#eq-1-2); several are BIM, see [One step or many?](iterative.ipynb). The
# objectives are the subject of [a page of their own](objectives.ipynb).
#
# ## What runs there
#
# A browser cannot differentiate a network. So the build traced the backward pass once and wrote
# it down as ordinary operations, which ONNX Runtime Web runs. Your picture is turned upright,
# laid on white, resized and cut by the arithmetic that Python uses. One gradient serves every ε
# of a step.
#
# To halve the download, the weights are rounded to 16 bits. What that does to this picture:

# %%
rounded = copy.deepcopy(photos.classifier)
for weight in rounded.parameters():
    if weight.ndim >= 2:  # kernels and matrices
        weight.data = weight.half().float()
image, label = photos.image(start["sample"])
exact = input_gradient(photos.classifier, image, label)
coarse = input_gradient(rounded, image, label)
same = exact.gradient.sign() == coarse.gradient.sign()
for name, one in {"32 bits": exact, "16 bits": coarse}.items():
    print(f"{name}: confidence {one.logits.softmax(1).max():.2%}")
print(f"equal signs: {same.float().mean():.1%}")

# %% [markdown]
# So a browser is compared with Python on the same rounded weights: logits agree within 0.001, and
# at least 99.5% of all signs are equal. A test of this site holds them to that.

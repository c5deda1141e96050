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
# # What a sweep costs

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import json
from importlib.resources import files

import pandas as pd

from fgsm_lib import figures
from fgsm_lib.show import say, show
from fgsm_lib.words import network_name

# %% [markdown]
# The attacked picture is $\tilde{x}(\epsilon) = \mathrm{clip}(x + \epsilon\,\mathrm{sign}\,g)$,
# and the gradient $g$ does not depend on ε. So a sweep over $E$ values of ε needs one backward
# pass and $E$ forward passes a picture, the one at $\epsilon = 0$ being the gradient's own.
# Libraries that offer FGSM as one attack among many compute the gradient again at every ε, and
# then look at the result.
#
# On a CPU the forward passes here run in ONNX Runtime, where a probe shows the same answers, and
# the gradient in PyTorch. Each worker has one core and small batches of its own, which stay in
# the cache.

# %%
record = json.loads(
    (files("fgsm_lib") / "published" / "speed.json").read_text()
)
times = pd.DataFrame(
    {k: v["milliseconds"] for k, v in record["networks"].items()}
)
bare = times[times.index.str.startswith("bare passes, torch")].min()
times = times[~times.index.str.startswith("bare passes, torch")]
times.loc["bare passes, torch"] = bare
ratios = times / times.loc["this library"]
LOOP = "the original's loop"

# %% tags=["remove-input"]
first = times.columns[0]
facts = record["networks"]


def slower(way):
    return f"{ratios.loc[way, first]:.1f}"


say(
    f"With {network_name(first)}, the network of the toys, this library takes {times.loc['this library', first]:.2f} "
    f"ms a picture and ε, PyTorch's bare passes {slower('bare passes, torch')} times as long. As "
    f"documented, foolbox takes {slower('foolbox, as documented')} times as long, torchattacks "
    f"{slower('torchattacks, as documented')}, cleverhans {slower('cleverhans, as documented')} "
    f"times; the original's loop {slower(LOOP)} times. Each is the median of {record['rounds']} rounds "
    f"in turns over {facts[first]['images']} pictures and {len(record['epsilon_255'])} ε, on "
    f"{record['machine']}; only the ratios mean something elsewhere."
)

# %% tags=["hide-input"]
show(
    figures.bars(
        times[first].dropna().sort_values(),
        "milliseconds a picture and ε",
        horizontal=True,
    ),
    name="fig-speed",
    caption=f'Time of the same sweep with {network_name(first)}. "Bare passes" attack nothing: they are the '
    'floor. "As documented": batches of 50; "best layout": channels last, batches of 8, a worker '
    "on each core.",
)

# %% tags=["remove-input"]
shown = ratios.rename(columns=network_name)
shown = shown.map(lambda ratio: f"{ratio:.2f}" if ratio == ratio else "–")
show(
    shown.reset_index(names="times as long as this library"),
    name="tab-speed",
    caption="How many times as long as this library's sweep each way takes, by network. Bare passes "
    "are one gradient and the forward passes, with nothing around them: below 1 is what the sweep "
    "pays for reading, stepping and keeping. The libraries ran beside the toys' network only. "
    "Pictures swept: "
    + ", ".join(
        f"{v['images']} ({network_name(k)})" for k, v in facts.items()
    )
    + ". The export to ONNX Runtime comes once and is not counted: "
    + ", ".join(f"{v['export_seconds']:.1f}" for v in facts.values())
    + " s, in this order.",
)

# %% [markdown]
# `python demo/speed.py` in the repository measures all this on your machine; it is one file to
# read.

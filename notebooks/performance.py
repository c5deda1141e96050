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

# %% tags=["remove-input"]
first = times.columns[0]
loop = ratios.loc["the original's loop", first]
say(
    f"With `{first}`, this library takes {times.loc['this library', first]:.2f} ms a picture and ε, "
    f"PyTorch's bare passes {ratios.loc['bare passes, torch', first]:.1f} times as long, foolbox as "
    f"documented {ratios.loc['foolbox, as documented', first]:.1f} times, the original's loop "
    f"{loop:.1f} times. Each is the median of {record['rounds']} "
    f"rounds in turns over {record['images']} pictures and {len(record['epsilon_255'])} ε, on "
    f"{record['machine']}; only the ratios mean something elsewhere. "
    + " ".join(
        f"With `{k}` the forward passes were computed by {v['engine']}"
        + (
            f"; its export, {v['export_seconds']:.1f} s, comes once and is not counted."
            if v["export_seconds"]
            else "."
        )
        for k, v in record["networks"].items()
    )
)

# %% tags=["hide-input"]
show(
    figures.bars(
        times[first].sort_values(),
        "milliseconds a picture and ε",
        horizontal=True,
    ),
    name="fig-speed",
    caption=f'Time of the same sweep with `{first}`. "Bare passes" attack nothing: they are the '
    'floor. "As documented": batches of 50; "best layout": channels last, batches of 8, a worker '
    "on each core.",
)

# %% tags=["remove-input"]
shown = ratios.map("{:.2f}".format).reset_index(
    names="times as long as this library"
)
show(
    shown,
    name="tab-speed",
    caption="How many times as long as this library's sweep each way takes, by network.",
)

# %% [markdown]
# `python demo/speed.py` in the repository measures all this on your machine; it is one file to
# read.

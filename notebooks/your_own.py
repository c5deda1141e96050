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
# # Your own model and images
#
# Everything on this site can be asked of another classifier and of other images, in two ways.
#
# A profile, a copy of `fgsm_lib/profiles/nips2017.toml`, builds the *whole site* for a torchvision
# architecture and a weights file. This page shows the other way: a network that you hold in memory,
# and a folder of images.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% [markdown]
# ## What it takes
#
# **A network**: any `torch.nn.Module` that takes normalized images of shape $(N, 3, H, W)$ and
# returns logits of shape $(N, \text{classes})$, without softmax. It is put into evaluation mode.
# Images are resized, cropped and normalized as for ImageNet, unless you say otherwise (`resize`,
# `crop`, `mean`, `std`, `interpolation`). A network of
# [timm](https://github.com/huggingface/pytorch-image-models) brings its own values along.
#
# **Images**: a folder with one subfolder per class, named as the class or with its number, from 0;
# or a CSV file with the columns `path`, below the folder of the file, and `label`. Pillow reads the
# images, so PNG, JPEG and most other formats will do.
#
# This page runs anywhere, because it borrows both from the site: the network of the profile, and
# every fortieth of its images, listed in a CSV file.

# %%
import tempfile
from pathlib import Path

import pandas as pd

from fgsm_lib.study import open_study

site = open_study(profile)
network, class_names = site.classifier.network, site.classifier.class_names

scratch = tempfile.TemporaryDirectory()  # gone when this notebook ends
folder = Path(scratch.name)
photos = site.dataset.photos[::40]
(folder / "images").symlink_to(photos[0].path.parent.resolve())
paths = [f"images/{photo.path.name}" for photo in photos]
listed = pd.DataFrame({"path": paths, "label": [photo.label for photo in photos]})
listed.to_csv(folder / "images.csv", index=False)

# %% [markdown]
# ## From a network and images to two pages
#
# The sweep attacks every image at every ε. Interrupted, it goes on where it stopped. It is not
# repeated as long as the network's layers and weights, the images and the settings are the same,
# and with more ε only the new ones are computed.

# %% tags=["remove-output"]
from fgsm_lib.own import own_study
from fgsm_lib.own_pages import show_case, show_hypothesis

study = own_study(network, folder / "images.csv", class_names, folder / "results")
table, control, minimal = study.table, study.control, study.minimal

# %% [markdown]
# The three tables are the attack, the control with random signs, and the minimal ε of each image.
# They are pandas data frames, kept as Parquet files in the folder of the results, and computed when
# they are first asked for.

# %%
table[["sample", "label", "epsilon_255", "predicted_class", "confidence", "correct"]].head(3)

# %% [markdown]
# ## A case study

# %%
show_case(study, sample=0)

# %% [markdown]
# ## The hypothesis

# %%
show_hypothesis(study)

# %% [markdown]
# Both functions are short. `fgsm_lib/own_pages.py` shows what to call for a figure of your own, and
# `notebooks/hypothesis.py` is the rest of the analysis.
#
# ## On several machines
#
# A [Dask](https://distributed.dask.org) cluster computes the sweep after
# `study.scheduler = "tcp://host:8786"`, set before the first table, or for a profile with
# `fgsm sweep --scheduler`. Start `dask scheduler` on one machine and `dask worker tcp://host:8786`
# on the others. Each needs this package (`pip install "fgsm-lib[cluster]"`) and the images at the
# same path; the network is sent to them.
#
# A worker that dies is survived, and the table is the one that a single machine would have made.

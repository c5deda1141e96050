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
# # Your own model and pictures
#
# Everything on this site can be asked of another classifier and of other pictures: of a network
# that you hold in memory, as here, or by a profile that builds the whole site.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import tempfile
from pathlib import Path

import pandas as pd
import torch

from fgsm_lib import analysis, figures, gallery
from fgsm_lib.show import show
from fgsm_lib.study import open_study, own_study

# The weights that this page makes up are the same in every build.
torch.manual_seed(0)

# %% [markdown]
# ## What it takes
#
# **A network**: any `torch.nn.Module` that takes normalized images $(N, C, H, W)$ and returns
# logits, or an object with `.logits`, as Hugging Face's do. What is measured is a copy: yours
# stays as it was. Pictures are resized, cropped and normalized as for ImageNet, unless you say
# otherwise (`resize`, `crop`, `mean`, `std`, `interpolation`); a network of
# [timm](https://github.com/huggingface/pytorch-image-models) brings its own values.
#
# **Pictures**: a folder with one subfolder per class; a CSV file or a data frame with the columns
# `path` and `label`; or a torch `Dataset`. PNG, JPEG and most other formats will do; they are
# turned upright, and what is transparent is white.
#
# **Class names**: a list in the order of the logits, or a dictionary by index or by name.
#
# This page runs anywhere, because it borrows both from the site: its network, with the
# preprocessing that the site gives it, and its photographs.

# %%
site = open_study(profile).shown
network, class_names = site.classifier.network, site.names
look = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear"}

scratch = tempfile.TemporaryDirectory()  # gone when this notebook ends
folder = Path(scratch.name)
for picture in site.pictures:
    # A folder for each class, named by its number.
    place = folder / "pictures" / str(picture.label)
    place.mkdir(parents=True)
    site.pictures.read(picture.sample).save(place / f"{picture.name}.png")

# %% [markdown]
# ## From a network and pictures to tables, in three calls

# %% tags=["remove-stderr"]
study = own_study(
    network, folder / "pictures", class_names, folder / "results",
    epsilon_255=[0, 0.5, 1, 2, 4, 8], **look,
)  # fmt: skip
table = study.table()
control = study.table("random")
table[
    ["sample", "epsilon_255", "predicted_class", "confidence", "correct"]
].head(6)

# %% [markdown]
# The tables are pandas data frames, one row per picture and ε, kept as Parquet files in the
# folder of the results. Interrupted, a sweep goes on where it stopped; with more ε only the new
# ones are computed; for another network, other pictures or another objective the table is a new
# one. `batch=` and `device=` say how and where to compute (`"cuda"`, `"mps"`), and
# `objective="true_logit"` helps where a network is so sure that the gradient of the cross-entropy
# is exactly zero.
#
# ## A case study

# %%
case = study.case(0)
figure = gallery.case_curve(case)
figure.savefig(folder / "case.png", dpi=150)  # or .svg, .pdf
print(
    case.name(case.picture.label),
    "→",
    case.name(case.row(4)["predicted_class"]),
)

# %% tags=["remove-input"]
show(
    figure,
    name="fig-own-case",
    caption=f"Confidence of {case.picture.name} over ε, by a network from memory, and after random "
    "signs, the control.",
)

# %% [markdown]
# ## All of them

# %%
right = analysis.initially_correct(table)
curve = analysis.curve(table, right)
first = analysis.smallest_epsilon(table, right)
print(dict(zip(right, first)))  # inf: fooled at no ε of the grid

# %% tags=["remove-input"]
show(
    figures.curves(
        {"FGSM": curve},
        {"top1": "top-1 accuracy"},
        analysis.curve(control, right),
    ),
    name="fig-own-all",
    caption=f"Top-1 accuracy of the {len(right)} initially correct pictures, with 95% intervals; dotted: "
    "random signs. Of so few pictures they say little.",
)

# %% [markdown]
# With ten correctly classified pictures or more, `notebooks/hypothesis.py` computes the rest from
# these tables.
#
# ## A checkpoint of your own
#
# A fine-tuned torchvision network, with its class names, is one call. Names that begin with
# `module.` or `_orig_mod.`, and a state dict inside a dictionary, are understood; nothing is
# unpickled.

# %%
from torchvision import models

from fgsm_lib import load_classifier

path = folder / "finetuned.pt"
state = models.resnet18(num_classes=3).state_dict()  # yours is trained
torch.save({"state_dict": state}, path)
mine = load_classifier("resnet18", ["cat", "cup", "rocket"], path)
print(mine.name, mine.class_names, mine.sha256[:12])

# %% [markdown]
# ## A CSV file, a data frame, a torch dataset

# %%
frame = pd.DataFrame(
    [(f"pictures/{p.label}/{p.name}.png", p.label) for p in site.pictures],
    columns=["path", "label"],
)
frame.to_csv(folder / "pictures.csv", index=False)
by_csv = own_study(
    network, folder / "pictures.csv", class_names, folder / "csv", **look
)

# %%
pairs = [(site.pictures.read(p.sample), p.label) for p in site.pictures]


class Mine(torch.utils.data.Dataset):
    def __len__(self):
        return len(pairs)

    def __getitem__(self, index):
        # A picture, or a tensor in [0, 1], and its class.
        return pairs[index]


by_dataset = own_study(network, Mine(), class_names, folder / "set", **look)
print(len(by_csv.pictures), len(by_dataset.pictures))

# %% [markdown]
# ## A network of timm
#
# It knows how it wants its pictures; a model of Hugging Face whose output has `.logits` is given in
# the same way, with its mean and std.

# %%
import timm

theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False)
by_timm = own_study(
    theirs, folder / "pictures", class_names, folder / "timm"
)
print(by_timm.classifier.resize, by_timm.classifier.crop)

# %% [markdown]
# ## The whole site
#
# A profile names pictures, a classifier, the grids of ε, objective and clip. Copy
# `fgsm_lib/profiles/nips2017.toml`, change what you like, and build: `make site PROFILE=my.toml`.
#
# ## On several machines
#
# A [Dask](https://distributed.dask.org) cluster computes the sweep of a profile with `fgsm sweep
# --profile my.toml --scheduler tcp://host:8786`. Start `dask scheduler` on one machine and `dask
# worker tcp://host:8786` on the others. Each needs this package (`pip install
# "fgsm-lib[cluster]"`) and the pictures at the same path; the network is sent to them. A worker
# that dies is survived.

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
# Everything on this site can be asked of another classifier and of other images. There are two
# ways. A profile (a copy of `fgsm_lib/profiles/nips2017.toml`) builds the *whole site* for a
# torchvision architecture and a weights file. This page is the other one: a network that you
# already hold in memory, and a folder.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% [markdown]
# ## What it takes
#
# A **network**, any `torch.nn.Module` that takes normalized images of shape $(N, 3, H, W)$ and
# returns logits of shape $(N, \text{classes})$. It is put into evaluation mode; softmax is not
# its task.
#
# A **folder** with one subfolder per class, named as the class or with its number, from 0. The
# files in it may be PNG, JPEG or any other format that Pillow reads.
#
# So that this page runs anywhere, it borrows both from the site: the network of the profile, and
# every fortieth of its images, copied into a folder in that layout.

# %%
import shutil
import tempfile
from pathlib import Path

from fgsm_lib.study import open_study

site = open_study(profile)
network, class_names = site.classifier.network, site.classifier.class_names
size = {"resize": site.classifier.resize, "crop": site.classifier.crop}
mean, std = site.classifier.mean.flatten().tolist(), site.classifier.std.flatten().tolist()

scratch = tempfile.TemporaryDirectory()  # gone when this notebook ends
folder = Path(scratch.name)
for photo in site.dataset.photos[::40]:
    subfolder = folder / "images" / str(photo.label)
    subfolder.mkdir(parents=True, exist_ok=True)
    shutil.copy(photo.path, subfolder)

# %% [markdown]
# ## From a network and a folder to a study
#
# The sweep computes one gradient per image and one forward pass per ε. It shows its progress, goes
# on where it stopped if it is interrupted, and is not repeated as long as the network's layers and
# weights, the images and the settings are the same.

# %% tags=["remove-output"]
from fgsm_lib.own import own_study

study = own_study(
    network, folder / "images", class_names, folder / "results", mean=mean, std=std, **size
)
table, control = study.table, study.control

# %%
from fgsm_lib import analysis, figures, wording
from fgsm_lib.cases import open_case
from fgsm_lib.display import say, show, show_table

say(
    f"This run has {len(study.dataset)} images and {table['epsilon_255'].nunique()} "
    f"values of ε: a table of {len(table)} rows, a pandas data frame. On the clean images:"
)

# %%
show_table(
    analysis.clean_summary(table),
    name="tab-own-clean",
    caption=f"The classifier on the {len(study.dataset)} clean images of the folder.",
)

# %% [markdown]
# ## A case study

# %%
case = open_case(study, sample=0)
show(
    figures.triple,
    case,
    6,
    name="fig-own-triple",
    caption="The first image of the folder, the sign of the gradient, and the image after a step "
    "of 6/255 along it.",
)
show(
    figures.case_curve,
    case,
    name="fig-own-curve",
    caption="Confidence of the predicted class over ε, with random signs as control.",
)

# %% tags=["remove-input"]
say(wording.case_start(case))
say(wording.case_reading(case))

# %% [markdown]
# ## The curves of a hypothesis page

# %%
correct = analysis.initially_correct(table)
show(
    figures.rates,
    analysis.curve(table, correct),
    analysis.curve(control, correct),
    None,
    what=f"The {len(correct)} initially correct images",
    name="fig-own-rates",
    caption=f"Top-1 and top-5 accuracy and mean confidence over ε of the {len(correct)} initially "
    "correct images of the folder, with 95 % intervals.",
)

# %% [markdown]
# `notebooks/hypothesis.py` is the rest of that page: replace its `open_study(profile)` with the
# study of this page, and every figure and sentence is about your model and your images.

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
# # The library
#
# `fgsm_lib` is small enough to be read in an evening. These are the names that matter, each with
# one example that ran when this page was built.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import tempfile
from pathlib import Path

results = Path(tempfile.mkdtemp())

# %% [markdown]
# **`load_classifier`**, **`open_study`**: a network behind its preprocessing; pictures, a
# classifier and their tables.

# %%
from fgsm_lib import fgsm, load_classifier, open_study

classifier = load_classifier("efficientnet_lite0")
study = open_study("photographs", results=results)
images, labels = study.image("coffee")
print(images.shape, study.names[classifier(images).argmax()])

# %% [markdown]
# **`fgsm`**: equations (1.1) and (1.2). ε is a fraction of [0, 1].

# %%
adversarial = fgsm(classifier, images, labels, epsilon=2 / 255)
p = classifier(adversarial).softmax(1)[0]
print(study.names[p.argmax()], f"{p.max():.1%}")

# %% [markdown]
# **`pgd`**: the same in small steps, from the image (BIM) or a random start (PGD); here toward a
# class.

# %%
from fgsm_lib.attacks import pgd

target = [study.names.index("teapot")]
moved = pgd(
    classifier,
    images,
    target,
    4 / 255,
    steps=10,
    step_size=1 / 255,
    targeted=True,
)
print(study.names[classifier(moved).argmax()])

# %% [markdown]
# **`input_gradient`**, **`perturb`**: one gradient serves every ε.

# %%
from fgsm_lib.attacks import input_gradient, perturb

gradient, logits = input_gradient(classifier, images, labels)
for epsilon in (1, 8):
    x = perturb(images, gradient.sign(), epsilon / 255)
    print(epsilon, study.names[classifier(x).argmax()])

# %% [markdown]
# **`Study.table`**: a sweep, kept as Parquet files; `"random"` is the control.

# %%
table = study.table(epsilon_255=[0, 1, 2, 4], samples=[0, 1])
table[["sample", "epsilon_255", "confidence", "correct"]]

# %% [markdown]
# **`analysis.curve`**: rates and means over ε, each with n and a 95% interval.

# %%
from fgsm_lib import analysis

analysis.curve(table)[
    ["epsilon_255", "n", "top1", "top1_low", "top1_high"]
].round(2)

# %% [markdown]
# **`figures`**, **`gallery`**, **`show`**: matplotlib figures, and how a notebook shows them; on
# the site they get a number, a caption, a dark version and one for a phone.

# %%
from fgsm_lib import gallery
from fgsm_lib.show import show

show(
    gallery.triple(study.case("camera"), 2),
    name="fig-library",
    caption="One step of 2/255 on a photograph. Photograph: Lav Varshney, CC0.",
)

# %% [markdown]
# **`own_study`**: any network on any pictures, as [a page of its own](your-own.ipynb) shows. Each
# function says in its docstring what it takes, returns and raises: `help(fgsm)`.

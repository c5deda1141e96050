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
# # One step against many
#
# The original page ends with a promise: iterative methods lead to cleaner-looking adversaries. Here
# two of them get the same budget ε as FGSM, on the same images.
#
# The Basic Iterative Method, BIM {cite:p}`kurakin2017`, takes FGSM in small steps, a new gradient
# before each, and stays within ε of the clean image at every value. Projected gradient descent, PGD
# {cite:p}`madry2018`, does the same from a random start within these bounds.

# %% tags=["parameters", "remove-cell"]
profile = "demo"

# %% tags=["hide-input"]
from fgsm_lib import attacks, figures_iterative, iterative, objectives
from fgsm_lib.cases import open_case
from fgsm_lib.display import credit, say, show, show_source, show_table
from fgsm_lib.study import open_study

study = open_study(profile)
cases = [open_case(study, sample) for sample in study.profile.cases]
table = iterative.comparison(study)

# %% tags=["hide-input"]
show_source(attacks.pgd)

# %% tags=["remove-input"]
say(
    f"BIM is this with $u = 0$. Both take {iterative.STEPS} steps of ε/4, and so as many "
    "gradients; at ε = 4/255 these are the steps that Kurakin et al. use. All three climb the "
    f"{objectives.NAMES[study.profile.objective]} and are clipped to [0, 1]. Random signs of size "
    "ε are the control."
)

# %% [markdown]
# ## Many images

# %% tags=["remove-input"]
step, count = study.profile.every_iterative, table["sample"].nunique()
which = "all were" if step == 1 else f"one in {step}, spread evenly over the set, was"
say(
    f"Of the initially correct images, {which} attacked: **{count} "
    f"image{'s' * (count != 1)}**. {iterative.success_sentence(table)}"
)

# %% tags=["hide-input"]
if len(table):
    show(
        figures_iterative.success,
        table,
        name="fig-iterative-success",
        caption="Share of these images that each method fools, with 95% intervals (Wilson).",
    )
    show_table(
        iterative.summary_table(table),
        name="tab-iterative",
        caption=f"How many of the {count} images are fooled, and the share; mean confidence in the "
        "predicted class; mean PSNR in dB and mean SSIM to the clean image, both in 8 bits. In "
        "brackets: 95% intervals.",
    )

# %% [markdown]
# ## Do they look cleaner?
#
# FGSM moves almost every value by ε. In a method of several steps, a value moves back and forth
# where the sign of its gradient changes on the way, and ends nearer to the clean image. How near is
# measured by the peak signal-to-noise ratio, PSNR, and by SSIM, which is 1 for equal images.

# %% tags=["hide-input"]
gained = iterative.gains(table)
say(iterative.cleaner_sentence(gained))
if len(gained) and gained["n"].min() > 1:
    show_table(
        iterative.gain_table(gained),
        name="tab-iterative-gains",
        caption="Mean gain over FGSM on the same image, in dB of PSNR and in SSIM (95% interval). "
        "More is closer to the clean image.",
    )

# %% [markdown]
# Equal ε is not the only fair comparison: who only wants to fool can stop at the smallest ε that
# does. On the case studies, each method climbs a ladder on which every ε is twice the last, up to
# the first that fools. These are a few images and no statistic.

# %% tags=["hide-input"]
right = [case.photo.sample for case in cases if case.row(0)["correct"]]
if right:
    show_table(
        iterative.smallest_table(iterative.smallest_fooling(study, right), right),
        name="tab-iterative-smallest",
        caption="Smallest ε of the ladder that fools, with PSNR in dB and SSIM there, for the case "
        "studies that start right. ∞: rounded to 8 bits, nothing of the step is left.",
    )
else:
    say("No case study of this run starts with the right class.")

# %% [markdown]
# ## The case studies at 4/255

# %% tags=["hide-input"]
for case in cases:
    show(
        figures_iterative.side_by_side,
        study,
        case,
        4,
        name=f"fig-iterative-{case.photo.sample}",
        caption=f"Sample {case.photo.sample}, label *{case.class_name(case.photo.label)}*, at "
        "ε = 4/255: predicted class and confidence, PSNR and SSIM to the clean image. "
        f"{credit(case.photo)}",
    )

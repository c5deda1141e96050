"""Figures of the page on one step against many, in the style of ``figures``."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from fgsm_lib import analysis
from fgsm_lib.cases import Case
from fgsm_lib.figures import MARKERS, WIDTH, Drawing, images
from fgsm_lib.iterative import GRADIENTS, attacked, decibels
from fgsm_lib.perception import similarity
from fgsm_lib.study import Study


def side_by_side(study: Study, case: Case, epsilon_255: float) -> Drawing:
    """One image under every method at one epsilon, with class, confidence, PSNR and SSIM."""
    tensors, titles, measures = [case.image], ["clean"], [""]
    for method in GRADIENTS:
        changed = attacked(study, case.photo.sample, method, epsilon_255 / 255)[0]
        psnr, ssim = similarity(case.image, changed)
        tensors.append(changed)
        titles.append(method)
        measures.append(f"{decibels(psnr)} dB, SSIM {ssim:.3f}")
    with torch.inference_mode():
        confidences, classes = study.classifier(torch.stack(tensors)).softmax(1).max(1)
    seen = [
        f"{case.class_name(int(index))}, {confidence:.0%}"
        for index, confidence in zip(classes, confidences, strict=True)
    ]
    lines = list(zip(titles, seen, measures, strict=True))
    alt = (
        f"Sample {case.photo.sample}, clean and attacked at {epsilon_255:g}/255: "
        + "; ".join(", ".join(filter(None, line)) for line in lines)
        + "."
    )
    titles = ["\n".join(line) for line in lines]
    return images(tensors, titles, alt)


def success(table: pd.DataFrame) -> Drawing:
    """The share of images that each method fools, with Wilson's 95% intervals, by epsilon."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    levels = sorted(table["epsilon_255"].unique())
    said = []
    for place, method in enumerate(GRADIENTS):
        rows = table[table["method"] == method]
        right = rows.groupby("epsilon_255")["correct"]
        rates = np.array([analysis.rate(int((~each).sum()), len(each)) for _, each in right])
        x = np.arange(len(levels)) + (place - 1.5) * 0.15
        axis.errorbar(
            x,
            rates[:, 0],
            yerr=np.clip([rates[:, 0] - rates[:, 1], rates[:, 2] - rates[:, 0]], 0, None),
            fmt=MARKERS[place],
            color=f"C{place}",
            capsize=3,
            label=method,
        )
        points = zip(levels, rates[:, 0], strict=True)
        said.append(f"{method}: " + ", ".join(f"{v:.0%} at {e:g}/255" for e, v in points))
    axis.set_xticks(range(len(levels)), [f"ε = {level:g}/255" for level in levels])
    axis.set_xlim(-0.5, len(levels) - 0.5)
    axis.set_ylim(-0.03, 1.05)
    axis.set_ylabel("share of images fooled")
    figure.legend(loc="outside upper center", ncols=4)
    n = table["sample"].nunique()
    return figure, f"Share fooled among {n} initially correct images. " + "; ".join(said) + "."

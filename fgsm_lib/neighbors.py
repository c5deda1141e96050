"""Where fooled images go: which class an attack leads to, and how near it was to the true one.

The *adversarial class* of an image is the predicted class at the first epsilon of the table at
which an initially correct image is wrong. Pure functions on sweep tables, and one on the weights
of a network.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import stats

from fgsm_lib import analysis, shapes

OUTSIDE = "outside the top 5"
RANKS = ("rank 2", "rank 3", "rank 4", "rank 5", OUTSIDE)


def first_fooled(table: pd.DataFrame) -> pd.DataFrame:
    """One row per initially correct image that some epsilon fools, at the first one that does.

    Index: sample. Columns: label, epsilon_255, adversarial_class, and rank, where the adversarial
    class stood on the clean image (one of ``RANKS``).
    """
    before = analysis.clean(table).loc[analysis.initially_correct(table)]
    wrong = table[~table["correct"] & table["sample"].isin(before.index)]
    first = wrong.sort_values(["sample", "epsilon_255"]).drop_duplicates("sample")
    first = first.set_index("sample").rename(columns={"predicted_class": "adversarial_class"})
    ranks = [
        clean_rank(top5, there)
        for top5, there in zip(
            before.loc[first.index, "top5_classes"], first["adversarial_class"], strict=True
        )
    ]
    columns = ["label", "epsilon_255", "adversarial_class"]
    return first[columns].assign(rank=pd.Series(ranks, index=first.index, dtype=object))


def clean_rank(top5_classes: np.ndarray, adversarial_class: int) -> str:
    """Where a class stands among the most probable five of the clean image."""
    places = np.flatnonzero(np.asarray(top5_classes) == adversarial_class)
    return f"rank {places[0] + 1}" if len(places) else OUTSIDE


def rank_counts(fooled: pd.DataFrame) -> pd.DataFrame:
    """How many adversarial classes had which clean rank: rank, count, n, share, low, high (95%).

    One row per entry of ``RANKS``; shares are NaN where no image was fooled.
    """
    return shapes.counts(fooled, "rank", RANKS).rename(columns={"kind": "rank"})


def transitions(fooled: pd.DataFrame) -> pd.DataFrame:
    """Counts of (label, adversarial class), the most frequent first; ties by class number.

    Columns: label, adversarial_class, count, and of_class, the fooled images of that label.
    """
    pairs = fooled.groupby(["label", "adversarial_class"]).size().rename("count").reset_index()
    of_class = fooled.groupby("label").size()
    pairs["of_class"] = of_class.reindex(pairs["label"]).to_numpy(dtype=int)
    order = ["count", "label", "adversarial_class"]
    return pairs.sort_values(order, ascending=[False, True, True], ignore_index=True)


def class_robustness(table: pd.DataFrame, epsilon_255: float) -> pd.DataFrame:
    """Accuracy at one epsilon of the initially correct images of each class that has any.

    Columns: label, n, correct, and top1 with its 95% Wilson bounds top1_low and top1_high;
    most accurate class first.
    """
    rows = analysis.at(table, [epsilon_255])
    rows = rows[rows["sample"].isin(analysis.initially_correct(table))]
    result = []
    for label, group in rows.groupby("label"):
        correct = int(group["correct"].sum())
        share, low, high = analysis.rate(correct, len(group))
        result.append((label, len(group), correct, share, low, high))
    columns = ["label", "n", "correct", "top1", "top1_low", "top1_high"]
    robust = pd.DataFrame(result, columns=columns)
    return robust.sort_values(["top1", "n", "label"], ascending=[False, False, True])


def half_epsilon(table: pd.DataFrame) -> float:
    """The epsilon (in 1/255) that leaves nearest to half of the initially correct images correct.

    Where differences between classes show best: neither all nor none of the images are fooled.
    """
    curve = analysis.curve(table, analysis.initially_correct(table))
    attacked = curve[curve["epsilon_255"] > 0]
    if attacked.empty:
        return float(table["epsilon_255"].max())
    return float(attacked.loc[(attacked["top1"] - 0.5).abs().idxmin(), "epsilon_255"])


def class_test(robust: pd.DataFrame) -> float:
    """p of "all classes are equally robust", from the counts of ``class_robustness``.

    Pearson's χ² on classes × (correct, wrong), judged by permutation: classes have few images, too
    few for the χ² distribution. NaN with one class, or where all images fare alike.
    """
    counts = np.column_stack([robust["correct"], robust["n"] - robust["correct"]])
    if len(counts) < 2 or (counts.sum(axis=0) == 0).any():
        return float("nan")
    method = stats.PermutationMethod(n_resamples=1999, rng=np.random.default_rng(0))
    return float(stats.chi2_contingency(counts, correction=False, method=method).pvalue)


def class_spread(table: pd.DataFrame) -> pd.DataFrame:
    """How many classes the predictions at each epsilon are spread over, for all images.

    Columns: epsilon_255, n, classes (how many are predicted at all), effective (the exponential
    of the distribution's entropy: 10 for ten equally frequent classes, 1 for a single one),
    top_class, top_count.
    """
    rows = []
    for epsilon_255, group in table.groupby("epsilon_255"):
        counts = group["predicted_class"].value_counts().sort_index()
        shares = counts / counts.sum()
        rows.append(
            {
                "epsilon_255": epsilon_255,
                "n": len(group),
                "classes": len(counts),
                "effective": float(np.exp(-(shares * np.log(shares)).sum())),
                "top_class": int(counts.idxmax()),
                "top_count": int(counts.max()),
            }
        )
    columns = ["epsilon_255", "n", "classes", "effective", "top_class", "top_count"]
    return pd.DataFrame(rows, columns=columns)


def class_vectors(network: torch.nn.Module, classes: int) -> np.ndarray | None:
    """The weights with which the last layer weighs its features for each class.

    That layer is the last ``Linear`` or 1×1 convolution with one output per class: a convolution
    in SqueezeNet, linear in most others.

    Returns:
        float64 (classes, features); None where the network has no such layer.
    """
    found = None
    for module in network.modules():
        linear = isinstance(module, torch.nn.Linear)
        pointwise = isinstance(module, torch.nn.Conv2d) and module.kernel_size == (1, 1)
        if (linear or pointwise) and len(module.weight) == classes:
            found = module.weight
    return None if found is None else found.detach().flatten(1).double().cpu().numpy()


def cosines(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosine between ``vectors[first]`` and ``vectors[second]``, pair by pair, in [-1, 1].

    A vector of zeros has no direction: NaN.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.full_like(vectors, np.nan), where=lengths > 0)
    return (unit[first] * unit[second]).sum(axis=1)


@dataclass(frozen=True)
class Similarity:
    """Cosines of true and adversarial class, of ``n`` fooled images, against chance.

    ``chance`` is the mean cosine of the true class with every other class, over the same images;
    ``difference`` is the mean over images of the cosine minus that, with Student's 95% bounds.
    ``closer`` counts the images whose cosine lies above the median of all other classes.
    """

    n: int
    cosine: float
    chance: float
    difference: float
    low: float
    high: float
    closer: int


def weight_similarity(fooled: pd.DataFrame, vectors: np.ndarray) -> Similarity:
    """Are the weight vectors of the class that is left and of the one that is reached alike?"""
    nan = float("nan")
    if fooled.empty or len(vectors) < 2:
        return Similarity(len(fooled), nan, nan, nan, nan, nan, 0)
    labels = fooled["label"].to_numpy(dtype=int)
    reached = cosines(vectors, labels, fooled["adversarial_class"].to_numpy(dtype=int))
    everyone = np.arange(len(vectors))
    others = {
        label: cosines(vectors, np.full(len(vectors) - 1, label), np.delete(everyone, label))
        for label in np.unique(labels)
    }
    chance = np.array([others[label].mean() for label in labels])
    median = np.array([np.median(others[label]) for label in labels])
    difference, low, high = analysis.mean(reached - chance)
    closer = int((reached > median).sum())
    return Similarity(
        len(fooled), float(reached.mean()), float(chance.mean()), difference, low, high, closer
    )

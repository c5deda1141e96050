"""What the choice of objective and clip does to an attack: two of each, side by side.

With p = softmax(z), the gradient of the cross-entropy is

    ∇(-log p_y) = (1 - p_y) · (Σ_{k≠y} q_k ∇z_k - ∇z_y),   q_k = p_k / (1 - p_y)

so it pushes the true logit down *and* lifts the rivals, each by its share q of the rest of the
probability, and it is as small as 1 - p_y. The gradient of the true-logit objective is -∇z_y.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from fgsm_lib import analysis
from fgsm_lib.answers import share
from fgsm_lib.attacks import OBJECTIVES, clip_bounds, input_gradient, perturb, random_signs
from fgsm_lib.study import Study, single

Variants = dict[tuple[str, str], pd.DataFrame]

NAMES = {"cross_entropy": "cross-entropy", "true_logit": "true logit", "random": "random signs"}
CLIPS = {"valid": "to [0, 1]", "image": "to the image's range"}
# 1 - p below this is 0 in float32.
FLOAT32_ROUNDING = 2.0**-24


def on_shared_images(variants: Variants) -> Variants:
    """The same tables, cut down to the images that all of them have."""
    shared = set.intersection(*(set(table["sample"]) for table in variants.values()))
    return {key: table[table["sample"].isin(shared)] for key, table in variants.items()}


def spread_by_confidence(table: pd.DataFrame, count: int) -> list[int]:
    """Up to ``count`` initially correct samples, evenly over the ranks of their confidence."""
    start = analysis.clean(table).loc[analysis.initially_correct(table)]
    ranked = start.sort_values(["confidence"], kind="stable").index
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
    return [int(ranked[place]) for place in places]


def probe(study: Study, samples: Sequence[int], epsilon_255: Sequence[float]) -> pd.DataFrame:
    """What each step does to the logits of some images.

    One row per sample, direction ("cross_entropy", "true_logit" or "random") and epsilon:
    ``true_change``, how z_y changes; ``rival_change``, how the largest logit of any other class
    does (it may be another class after the step); ``doubt``, 1 - p_y on the clean image, computed
    in float64; ``gradient_l1``, ‖∇J‖₁ (NaN for random signs).
    """
    rows = []
    for sample in samples:
        images, labels = single(study, sample)
        label = int(labels)
        bounds = clip_bounds(images, study.classifier, study.profile.clip)
        gradients = {
            name: input_gradient(study.classifier, images, labels, name) for name in OBJECTIVES
        }
        clean = gradients["cross_entropy"].logits[0]
        before = _true_and_rival(clean, label)
        directions = {name: found.gradient.sign() for name, found in gradients.items()}
        directions["random"] = random_signs(images[0], sample)[None]
        for name, direction in directions.items():
            gradient = gradients[name].gradient if name in gradients else None
            known = {
                "sample": sample,
                "direction": name,
                "doubt": _doubt(clean, label),
                "gradient_l1": np.nan if gradient is None else float(gradient.abs().sum()),
            }
            for epsilon in epsilon_255:
                with torch.inference_mode():
                    changed = perturb(images, direction, epsilon / 255, bounds)
                    after = _true_and_rival(study.classifier(changed)[0], label)
                changes = {
                    "true_change": after[0] - before[0],
                    "rival_change": after[1] - before[1],
                }
                rows.append({**known, "epsilon_255": epsilon, **changes})
    columns = ["sample", "direction", "doubt", "gradient_l1", "epsilon_255"]
    return pd.DataFrame(rows, columns=[*columns, "true_change", "rival_change"])


def _true_and_rival(logits: torch.Tensor, label: int) -> tuple[float, float]:
    """z_y and the largest logit of any other class."""
    others = torch.cat([logits[:label], logits[label + 1 :]])
    return float(logits[label]), float(others.max())


def _doubt(logits: torch.Tensor, label: int) -> float:
    """1 - p_y without the cancellation that would make it 0 in float32."""
    probabilities = logits.double().softmax(0)
    return float(probabilities.sum() - probabilities[label])


def mean_changes(probed: pd.DataFrame) -> pd.DataFrame:
    """Means of the two changes, with 95% intervals and ``n``, per direction and epsilon."""
    rows = []
    for (direction, epsilon), group in probed.groupby(["direction", "epsilon_255"], sort=True):
        row = {"direction": direction, "epsilon_255": epsilon, "n": len(group)}
        for column in ("true_change", "rival_change"):
            names = (column, f"{column}_low", f"{column}_high")
            row |= dict(zip(names, analysis.mean(group[column]), strict=True))
        rows.append(row)
    names = [f"{c}{end}" for c in ("true_change", "rival_change") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["direction", "epsilon_255", "n", *names])


# --- tables for reading ------------------------------------------------------------------------


def confidence_table(variants: Variants) -> pd.DataFrame:
    """Mean confidence, one row per epsilon and one column per objective and clip."""
    columns = {}
    for name, table in _named(variants).items():
        curve = analysis.curve(table)
        columns["ε"] = [f"{epsilon:g}/255" for epsilon in curve["epsilon_255"]]
        columns[name] = [f"{confidence:.3f}" for confidence in curve["confidence"]]
    return pd.DataFrame(columns)


def consequence_table(variants: Variants) -> pd.DataFrame:
    """What the choice does to fooling, bounce-backs and Hypothesis 1; initially correct images.

    One row per result and one column per objective and clip.
    """
    columns = {}
    for name, table in _named(variants).items():
        images, fooled, again = analysis.bounce_backs(table)
        smallest = analysis.smallest_fooling_epsilon(table, analysis.initially_correct(table))
        verdict = analysis.test_hypothesis(table)
        columns[name] = {
            "images": str(images),
            "fooled at some ε": analysis.count_text(fooled, images),
            "of these, right again": analysis.count_text(again, fooled),
            "median smallest fooling ε": _median_text(smallest),
            "ρ with confidence": _rho_text(verdict),
            "Hypothesis 1": verdict.word,
        }
    return pd.DataFrame(columns).rename_axis("result").reset_index()


def _named(variants: Variants) -> dict[str, pd.DataFrame]:
    """The tables by objective, and by clip where there is more than one."""
    clips = {clip for _, clip in variants}
    return {
        NAMES[objective] if len(clips) == 1 else f"{NAMES[objective]}, clip {CLIPS[clip]}": table
        for (objective, clip), table in variants.items()
    }


def zero_table(
    tables: dict[str, pd.DataFrame], bins: Sequence[tuple[float, float]]
) -> pd.DataFrame:
    """Where gradients are exactly zero: by objective and clean confidence of correct images."""
    rows = []
    for low, high in bins:
        for objective, table in tables.items():
            samples = analysis.initially_correct(table, low, high)
            zeros = analysis.clean(table).loc[samples, "zero_gradients"]
            rows.append(
                {
                    "clean confidence": f"{low * 100:g}–{high * 100:g}%",
                    "objective": NAMES[objective],
                    "images": len(samples),
                    "with a zero": int((zeros > 0).sum()),
                    "most zeros": int(zeros.max()) if len(zeros) else "no image",
                }
            )
    return pd.DataFrame(rows)


def _median_text(smallest: pd.Series) -> str:
    if smallest.empty:
        return "no image"
    median = float(np.median(smallest))
    return "above the grid" if np.isinf(median) else f"{median:g}/255"


def _rho_text(verdict: analysis.Verdict) -> str:
    if verdict.word == "cannot be judged":
        return "–"
    return f"{verdict.rho:.2f} ({verdict.rho_low:.2f} to {verdict.rho_high:.2f})"


# --- sentences ---------------------------------------------------------------------------------


def story_sentence(tables: dict[str, pd.DataFrame], published: pd.DataFrame | None = None) -> str:
    """Which objective draws which curve of mean confidence, beside the published one, if any."""
    parts = [
        f"With the {NAMES[objective]}, mean confidence {_course(analysis.curve(table))}"
        for objective, table in tables.items()
    ]
    if published is not None:
        parts.append(f"The published one (GoogLeNet, true logit, 1000 images) {_course(published)}")
    return " ".join(parts)


def _course(curve: pd.DataFrame) -> str:
    start, end = curve.iloc[0], curve.iloc[-1]
    confidence = curve["confidence"]
    low, high = curve.loc[confidence.idxmin()], curve.loc[confidence.idxmax()]
    parts = [f"starts at {start['confidence']:.2f}"]
    if low["epsilon_255"] not in (start["epsilon_255"], end["epsilon_255"]):
        parts.append(f"is lowest at {low['epsilon_255']:g}/255 with {low['confidence']:.2f}")
    if high["epsilon_255"] not in (start["epsilon_255"], end["epsilon_255"]):
        parts.append(f"is highest at {high['epsilon_255']:g}/255 with {high['confidence']:.2f}")
    return f"{', '.join(parts)}, and ends at {end['confidence']:.2f} at {end['epsilon_255']:g}/255."


def change_sentence(changes: pd.DataFrame, epsilon_255: float) -> str:
    """What the two objectives and the control do to z_y and to its largest rival at one epsilon."""
    rows = changes[changes["epsilon_255"] == epsilon_255].set_index("direction")
    if rows.empty:
        return "No image of this run is classified correctly, so there is no true logit to lower."
    said = [
        f"a step up the {NAMES[name]} moves $z_y$ by {rows.loc[name, 'true_change']:+z.2f} and its "
        f"largest rival by {rows.loc[name, 'rival_change']:+z.2f}"
        for name in ("cross_entropy", "true_logit")
    ]
    control = rows.loc["random"]
    lift = rows.loc["cross_entropy", "rival_change"] - rows.loc["true_logit", "rival_change"]
    fall = rows.loc["cross_entropy", "true_change"] - rows.loc["true_logit", "true_change"]
    verdict = (
        f"So the cross-entropy gives up {fall:.2f} of the fall of the true logit, and its rival "
        f"ends {lift:.2f} higher."
        if lift > 0 and fall > 0
        else "In this run the two objectives do not part as the formula suggests."
    )
    n = int(rows["n"].max())
    over = "Over this one image" if n == 1 else f"On average over these {n} images"
    return (
        f"{over}, at ε = {epsilon_255:g}/255, {said[0]}; {said[1]}. Random signs move them by "
        f"{control['true_change']:+z.2f} and {control['rival_change']:+z.2f}. {verdict}"
    )


def bin_sentence(
    tables: dict[str, pd.DataFrame], epsilon_255: float, published: float | None
) -> str:
    """Accuracy of the most confident images under both objectives, beside the published one.

    ``published`` is None where the published run looked at other images.
    """
    parts = []
    for objective, table in tables.items():
        samples = analysis.initially_correct(table, 0.99, 1.0)
        if samples.empty:
            return "In this run no initially correct image has a clean confidence above 99%."
        row = analysis.curve(analysis.at(table, [epsilon_255]), samples).iloc[0]
        parts.append(f"{analysis.rate_text(row)} with the {NAMES[objective]}")
    return (
        f"Of the {len(samples)} images that start right with 99–100% confidence, the share still "
        f"right at ε = {epsilon_255:g}/255 is {' and '.join(parts)} (95% intervals)."
        + ("" if published is None else f" Published, true logit on GoogLeNet: {published:.2f}.")
    )


def clip_sentence(valid: pd.DataFrame, image: pd.DataFrame) -> str:
    """How many images the second clip gives another class, and by how much the confidence."""
    both = valid.merge(image, on=["sample", "epsilon_255"], suffixes=("", "_image"))
    both = both[both["epsilon_255"] > 0]
    if both.empty:
        return "No image was attacked with both clips."
    changed = both["predicted_class"] != both["predicted_class_image"]
    images = changed.groupby(both["sample"]).any()
    gap = (both["confidence"] - both["confidence_image"]).abs()
    largest = both.loc[gap.idxmax()]
    return (
        f"At one or more of {both['epsilon_255'].nunique()} values of ε above 0, the second clip "
        f"changes the predicted class of {share(int(images.sum()), len(images))} images; that is "
        f"{int(changed.sum())} of {len(both)} predictions. It changes the confidence by "
        f"{gap.mean():.3f} on average, at most by {gap.max():.2f} (sample {largest['sample']:.0f} "
        f"at {largest['epsilon_255']:g}/255)."
    )


def vanishing_sentence(probed: pd.DataFrame) -> str:
    """How the size of the two gradients goes with doubt, and whether one rounds to nothing."""
    one = probed.drop_duplicates(["sample", "direction"])
    one = one[one["direction"] != "random"]
    if one["sample"].nunique() < 2:
        return "One image, or none, shows no trend of gradients with confidence."
    parts = []
    for name, rows in one.groupby("direction"):
        sure, unsure = rows.loc[rows["doubt"].idxmin()], rows.loc[rows["doubt"].idxmax()]
        parts.append(
            f"from {_power(unsure['gradient_l1'])} to {_power(sure['gradient_l1'])} for the "
            f"{NAMES[name]}"
        )
    ce = one[one["direction"] == "cross_entropy"]
    rounded = int((ce["doubt"] < FLOAT32_ROUNDING).sum())
    nothing = int((ce["gradient_l1"] == 0).sum())
    return (
        f"From the least sure of these {ce['sample'].nunique()} images (1 − p = "
        f"{_power(ce['doubt'].max())}) to the surest ({_power(ce['doubt'].min())}), ‖∇J‖₁ goes "
        f"{' and '.join(parts)}. On {rounded or 'none'} of them 1 − p is below 2⁻²⁴; on "
        f"{nothing or 'none'} the gradient of the cross-entropy is zero everywhere."
    )


def _power(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"

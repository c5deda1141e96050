"""One step against many: FGSM, BIM and PGD at the same L∞ budget, on the same images.

The step size is a quarter of the budget, with five steps: for ε = 4/255 that is what Kurakin et
al. (2017) use (steps of 1/255, 1.25 of them for each 1/255 of budget). PGD takes as many, so that
it differs from BIM in its random start only. The clip is always to [0, 1].
"""

import hashlib
import inspect
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy import stats

from fgsm_lib import analysis, perception
from fgsm_lib.attacks import bim, fgsm, perturb, pgd, random_signs, random_start
from fgsm_lib.calibrate import in_workers, worker_count
from fgsm_lib.files import replacing
from fgsm_lib.shards import read_table
from fgsm_lib.study import Study, single
from fgsm_lib.sweep import provenance

STEPS = 5
EPSILON_255 = (1.0, 4.0)
# Method -> how many gradients it costs.
GRADIENTS = {"FGSM": 1, "BIM": STEPS, "PGD": STEPS, "random signs": 0}
# From far below a rounding step of an image file to plainly visible, each twice the last.
LADDER_255 = tuple(0.125 * 2**rung for rung in range(8))
COLUMNS = {"sample": int, "method": str, "epsilon_255": float, "predicted_class": int}
COLUMNS |= {"confidence": float, "correct": bool, "psnr": float, "ssim": float}


def attacked(study: Study, sample: int, method: str, epsilon: float) -> torch.Tensor:
    """What a method (a key of ``GRADIENTS``) makes of one sample: float32 (1, 3, H, W) in [0, 1].

    The number of the sample seeds PGD's start and the random signs.
    """
    images, labels = single(study, sample)
    classifier, objective = study.classifier, study.profile.objective
    walk = {"steps": STEPS, "step_size": epsilon / 4, "objective": objective}
    match method:
        case "FGSM":
            return fgsm(classifier, images, labels, epsilon, objective=objective)
        case "BIM":
            return bim(classifier, images, labels, epsilon, **walk)
        case "PGD":
            start = random_start(images[0], sample)[None]
            return pgd(classifier, images, labels, epsilon, start, **walk)
        case "random signs":
            return perturb(images, random_signs(images[0], sample)[None], epsilon)
    raise ValueError(f"method is {method!r}; expected {', '.join(GRADIENTS)}")


def measure(study: Study, sample: int, method: str, epsilon_255: float) -> tuple:
    """One row, in ``COLUMNS``: what is seen after one attack, and how far it is from clean.

    ``psnr`` (dB) and ``ssim`` are those of ``perception.similarity``, to the clean image.
    """
    image, label = study.dataset[sample]
    changed = attacked(study, sample, method, epsilon_255 / 255)
    with torch.inference_mode():
        confidence, seen = study.classifier(changed)[0].softmax(0).max(0)
    outcome = (int(seen), float(confidence), int(seen) == label)
    return sample, method, epsilon_255, *outcome, *perception.similarity(image, changed[0])


def compare(study: Study, samples: Sequence[int], epsilon_255: Sequence[float]) -> pd.DataFrame:
    """Every method on some samples: one row per sample, epsilon and method, in ``COLUMNS``."""
    rows = [
        measure(study, sample, method, epsilon)
        for sample in samples
        for epsilon in epsilon_255
        for method in GRADIENTS
    ]
    return _frame(rows)


def _frame(rows: list[tuple]) -> pd.DataFrame:
    """A table keeps its types without a row, too."""
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def chosen_samples(study: Study) -> list[int]:
    """Every n-th initially correct sample, where n is the profile's [every] iterative."""
    correct = analysis.initially_correct(study.table)
    return correct[:: study.profile.every_iterative].tolist()


def comparison(study: Study) -> pd.DataFrame:
    """``compare`` on the chosen samples: read from the build folder, or computed and kept there."""
    path, samples = study.folder / "iterative.parquet", chosen_samples(study)
    expected = _fingerprint(study, samples)
    table = read_table(path, expected)
    if table is None:
        calls = [(study, [sample], EPSILON_255) for sample in samples]
        parts = list(in_workers(worker_count(study.classifier), compare, calls))
        whole = pd.concat(parts or [compare(study, [], EPSILON_255)])
        _write(whole.sort_values(["sample", "epsilon_255"], kind="stable"), path, expected)
        table = pd.read_parquet(path)
    return table


def _fingerprint(study: Study, samples: list[int]) -> str:
    """Of all that the table depends on: what a sweep depends on, the samples, and this code."""
    sweep = provenance(study.dataset, study.classifier, study.sweep_settings)["fingerprint"]
    functions = (attacked, measure, compare, perception.similarity, perception.to_uint8)
    code = [inspect.getsource(function) for function in functions]
    parts = [sweep, samples, EPSILON_255, GRADIENTS, code]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _write(table: pd.DataFrame, path: Path, fingerprint: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stamped = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(stamped.schema.metadata or {}), b"fingerprint": fingerprint.encode()}
    with replacing(path) as unfinished:
        pq.write_table(
            stamped.replace_schema_metadata(metadata), unfinished, write_page_checksum=True
        )


def smallest_fooling(study: Study, samples: Sequence[int]) -> pd.DataFrame:
    """The first rung of ``LADDER_255`` at which each method fools: rows in ``COLUMNS``.

    A sample and method without a row is not fooled on the ladder.
    """
    correct, found = list(COLUMNS).index("correct"), []
    for sample in samples:
        for method in GRADIENTS:
            climb = (measure(study, sample, method, epsilon) for epsilon in LADDER_255)
            found += islice((row for row in climb if not row[correct]), 1)
    return _frame(found)


# --- for reading -------------------------------------------------------------------------------


def summary_table(table: pd.DataFrame) -> pd.DataFrame:
    """Success, confidence and visibility by epsilon and method, with 95% intervals."""
    rows = []
    for (epsilon, method), group in table.groupby(["epsilon_255", "method"], sort=False):
        fooled = int((~group["correct"]).sum())
        center, below, above = analysis.mean(group["confidence"])
        spread = "" if np.isnan(below) else f" ({below:.2f}–{above:.2f})"
        rows.append(
            {
                "ε": f"{epsilon:g}/255",
                "method": method,
                "fooled": analysis.count_text(fooled, len(group)),
                "mean confidence": f"{center:.2f}{spread}",
                "PSNR": decibels(group["psnr"].mean()),
                "SSIM": f"{group['ssim'].mean():.4f}",
            }
        )
    return pd.DataFrame(rows)


def decibels(psnr: float) -> str:
    """A PSNR for reading; equal images have an infinite one."""
    return "∞" if np.isinf(psnr) else f"{psnr:.1f}"


def success_sentence(table: pd.DataFrame) -> str:
    """What the further gradients buy: image by image, whether BIM does better than FGSM."""
    if table.empty:
        return "No image of this run is classified correctly, so there is none to fool."
    parts = []
    for epsilon, group in table.groupby("epsilon_255"):
        fooled = ~group.pivot(index="sample", columns="method", values="correct")
        parts.append(f"At ε = {epsilon:g}/255, {_beyond_one_step(fooled)}")
    return " ".join(parts)


def _beyond_one_step(fooled: pd.DataFrame) -> str:
    """BIM against FGSM on the same images: only those that one of them fools can tell."""
    gained = int((fooled["BIM"] & ~fooled["FGSM"]).sum())
    lost = int((fooled["FGSM"] & ~fooled["BIM"]).sum())
    if gained + lost == 0:
        return "BIM fools the same images as FGSM."
    p = stats.binomtest(gained, gained + lost).pvalue
    return (
        f"BIM fools {gained} that FGSM does not, and FGSM {lost} that BIM does not (exact McNemar "
        f"test, p = {p:.2g})."
    )


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """How much closer to the clean image BIM and PGD stay than FGSM, image by image.

    Images that some method left as they were have an infinite PSNR and are left out.

    Columns: epsilon_255, method, n, and psnr (dB) and ssim, the mean gains, each with its 95%
    bounds ``_low`` and ``_high`` (Student's t; NaN for one image).
    """
    finite = np.isfinite(table["psnr"]).groupby(table["sample"]).transform("all")
    rows = []
    for epsilon, group in table[finite].groupby("epsilon_255"):
        wide = group.pivot(index="sample", columns="method", values=["psnr", "ssim"])
        for method in ("BIM", "PGD"):
            row = {"epsilon_255": epsilon, "method": method, "n": len(wide)}
            for measure in ("psnr", "ssim"):
                gain = analysis.mean(wide[measure, method] - wide[measure, "FGSM"])
                names = (measure, f"{measure}_low", f"{measure}_high")
                row |= dict(zip(names, gain, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def gain_table(gained: pd.DataFrame) -> pd.DataFrame:
    """``gains`` for reading."""
    columns = {"PSNR": ("psnr", 1), "SSIM": ("ssim", 4)}
    rows = []
    for gain in gained.to_dict(orient="records"):
        row = {"ε": f"{gain['epsilon_255']:g}/255", "method": gain["method"], "images": gain["n"]}
        for name, (key, digits) in columns.items():
            low, high = gain[f"{key}_low"], gain[f"{key}_high"]
            row[name] = f"{gain[key]:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"
        rows.append(row)
    return pd.DataFrame(rows)


def cleaner_sentence(gained: pd.DataFrame) -> str:
    """Whether iterative images are closer to the clean ones at the same budget."""
    if gained.empty or gained["n"].min() < 2:
        return "Fewer than two attacked images do not tell which method looks cleaner."
    holds = (gained[["psnr_low", "ssim_low"]] > 0).to_numpy()
    verdict = "holds" if holds.all() else "holds in part" if holds.any() else "does not hold"
    return (
        f"At equal L∞ size, the promise that iterative methods look cleaner **{verdict}** in this "
        f"run: of the {holds.size} mean gains over FGSM, {int(holds.sum())} lie above zero with "
        "their whole 95% interval."
    )


def smallest_table(smallest: pd.DataFrame, samples: Sequence[int]) -> pd.DataFrame:
    """Each method's own smallest fooling epsilon on some samples, and how visible it is there."""
    rows = []
    for sample in samples:
        for method in GRADIENTS:
            found = smallest[(smallest["sample"] == sample) & (smallest["method"] == method)]
            row = {"sample": sample, "method": method, "ε": f"none up to {LADDER_255[-1]:g}/255"}
            row |= {"PSNR": "–", "SSIM": "–"}
            if len(found):
                first = found.iloc[0]
                row["ε"] = f"{first['epsilon_255']:g}/255"
                row["PSNR"] = decibels(first["psnr"])
                row["SSIM"] = f"{first['ssim']:.4f}"
            rows.append(row)
    return pd.DataFrame(rows)

"""The claims ledger: every claim judged on the published numbers and on a run.

``claims`` has the claims; here is what they are judged by, the table of their verdicts, how far a
run lies from every published curve, and all of it in words.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fgsm_lib import analysis, published
from fgsm_lib.claims import CLAIMS, FAILS, TOP_BIN, UNKNOWN, VERDICTS, Evidence, eps
from fgsm_lib.demo import story
from fgsm_lib.files import replacing
from fgsm_lib.markdown import escape
from fgsm_lib.profiles import DEMO
from fgsm_lib.study import Study

# How far the five pictures of the original's series lie from the first, in gray levels: the median
# over all pixel values of its figure. Its caption gives another number for the last one.
PUBLISHED_SERIES_255 = (0.0, 4.0, 8.0, 12.0, 16.0)


# --- evidence -----------------------------------------------------------------------------------


def published_evidence() -> Evidence:
    """The published numbers. A file that is missing or damaged is left out, with the reason."""
    absent = {
        "images": "The published numbers hold no curves of single images but the three.",
        "colors": "The published numbers hold no images.",
    }

    def read(key: str, load: Callable[[], pd.DataFrame]) -> pd.DataFrame | None:
        try:
            return load()
        except FileNotFoundError as error:
            absent[key] = f"The published file {Path(error.filename or '').name} is missing."
        except (ValueError, KeyError) as error:  # pandas' own errors are kinds of ValueError
            absent[key] = f"The published numbers of {key} cannot be read ({error})."
        return None

    bins = {}
    for percent, (low, high, n) in published.BINS.items():
        name = analysis.bin_name(low, high)
        curve = read(name, lambda percent=percent: published.bin_curve(percent))
        if curve is not None:
            bins[low, high] = curve.assign(n=n)
    samples = {}
    for sample in published.SAMPLES:
        curve = read(f"sample {sample}", lambda sample=sample: published.sample_curve(sample))
        if curve is not None:
            samples[sample] = curve
    return Evidence(
        source=published.SOURCE,
        bins=bins,
        everything=read("all images", published.all_samples_curve),
        samples=samples,
        series_255=PUBLISHED_SERIES_255,
        absent=absent,
    )


def run_evidence(study: Study, colors: pd.DataFrame | None = None) -> Evidence:
    """The same from a run, on the same grids and bins.

    ``colors`` comes from ``perception.difference_table``. A sample counts if it is the original's
    photograph, or in the demo set a picture that plays its part.
    """
    profile, photos, table = study.profile, study.dataset.photos, study.table
    rows = analysis.at(table, profile.hypothesis_epsilon_255)
    absent, samples, stand_ins = {}, {}, set()
    for sample in published.SAMPLES:
        plays = profile.name == DEMO and bool(story.role_sentence(sample))
        if sample >= len(photos) or not (plays or published.covers(photos[sample])):
            absent[f"sample {sample}"] = (
                f"Sample {sample} of this set is not the photograph of the original page."
                if sample < len(photos)
                else f"This set has no sample {sample}."
            )
            continue
        if plays and not published.covers(photos[sample]):
            stand_ins.add(sample)
        curve = analysis.at(table[table["sample"] == sample], profile.case_epsilon_255)
        names = [study.dataset.class_names[index] for index in curve["predicted_class"]]
        samples[sample] = curve.assign(predicted_class=names)
    confident = analysis.initially_correct(table, *TOP_BIN)
    if not len(confident):
        absent["images"] = (
            f"No initially correct image has a clean confidence of {analysis.bin_name(*TOP_BIN)}."
        )
    if colors is not None and "direction" in colors:
        colors = colors[colors["direction"] == "FGSM"]
    return Evidence(
        source=f"profile {profile.name}",
        bins={
            edges: analysis.curve(rows, analysis.initially_correct(table, *edges))
            for edges in analysis.ORIGINAL_BINS
        },
        everything=analysis.curve(analysis.at(table, profile.all_images_epsilon_255)),
        samples=samples,
        images=rows[rows["sample"].isin(confident)],
        colors=colors,
        stand_ins=frozenset(stand_ins),
        absent=absent,
    )


# --- the ledger ---------------------------------------------------------------------------------


def judge_all(published_numbers: Evidence, run: Evidence) -> pd.DataFrame:
    """Every claim judged twice: id, part, title, statement, reading, and for ``published_`` and
    ``run_`` the verdict and the evidence."""
    rows = []
    for claim in CLAIMS:
        theirs, ours = claim.judge(published_numbers), claim.judge(run)
        rows.append(
            {
                "id": claim.id,
                "part": claim.part,
                "title": claim.title,
                "statement": claim.statement,
                "reading": claim.reading,
                "published_verdict": theirs.verdict,
                "published_evidence": theirs.evidence,
                "run_verdict": ours.verdict,
                "run_evidence": ours.evidence,
            }
        )
    return pd.DataFrame(rows)


def write_ledger(frame: pd.DataFrame, path: Path) -> None:
    """The ledger as a JSON list, one object per claim. A reader never sees half a file."""
    text = json.dumps(frame.to_dict("records"), indent=2, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def verdict_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The verdicts as a table for reading."""
    columns = {
        "title": "claim",
        "published_verdict": "published numbers",
        "run_verdict": "this run",
    }
    return frame[list(columns)].rename(columns=columns)


def distances(published_numbers: Evidence, run: Evidence) -> pd.DataFrame:
    """How far a run lies from every published curve, over the ε that both have.

    Columns: curve, values (how many ε), largest, at (its epsilon_255), rms (root mean square).
    """
    pairs = []
    measures = {"top1": "top-1", "top5": "top-5", "confidence": "mean confidence"}
    curves = {
        analysis.bin_name(*edges): (curve, run.bins.get(edges))
        for edges, curve in published_numbers.bins.items()
    }
    curves["all images"] = (published_numbers.everything, run.everything)
    for name, (theirs, ours) in curves.items():
        pairs += [(f"{name}, {label}", theirs, ours, key) for key, label in measures.items()]
    for sample, theirs in published_numbers.samples.items():
        ours = run.samples.get(sample)
        pairs.append((f"sample {sample}, confidence", theirs, ours, "confidence"))
    rows = []
    for name, theirs, ours, column in pairs:
        if theirs is None or ours is None or theirs.empty or ours.empty:
            continue
        theirs, ours = (frame.set_index("epsilon_255")[column] for frame in (theirs, ours))
        gap = (ours - theirs).dropna().abs()  # only the ε that both have
        if len(gap):
            row = {"curve": name, "values": len(gap), "largest": gap.max(), "at": gap.idxmax()}
            rows.append({**row, "rms": float(np.sqrt((gap**2).mean()))})
    return pd.DataFrame(rows, columns=["curve", "values", "largest", "at", "rms"])


def distance_table(table: pd.DataFrame) -> pd.DataFrame:
    """The distances as a table for reading."""
    return pd.DataFrame(
        {
            "published curve": table["curve"],
            "ε": table["values"],
            "largest": [f"{row['largest']:.3f} at {eps(row['at'])}" for _, row in table.iterrows()],
            "rms": [f"{value:.3f}" for value in table["rms"]],
        }
    )


# --- the page in words (Markdown) ---------------------------------------------------------------


def summary_sentence(frame: pd.DataFrame) -> str:
    """How many claims hold, on either side, and how many verdicts differ."""
    theirs, ours = (frame[f"{side}_verdict"] for side in ("published", "run"))
    both = (theirs != UNKNOWN) & (ours != UNKNOWN)
    differ = int((both & (theirs != ours)).sum())
    return (
        f"Of {len(frame)} claims, **on the published numbers** {_counts(theirs)}; **in this run** "
        f"{_counts(ours)}. Of the {int(both.sum())} that can be judged on both, {differ} come out "
        "differently."
    )


def _counts(verdicts: pd.Series) -> str:
    holds, fails, unknown = (int((verdicts == verdict).sum()) for verdict in VERDICTS)
    return f"{holds} hold, {fails} do not and {unknown} cannot be judged"


def details(frame: pd.DataFrame, part: str) -> str:
    """The claims of one part as a definition list: the words, the rule, both verdicts."""
    entries = []
    for _, row in frame[frame["part"] == part].iterrows():
        lines = [
            f"**{escape(row['title'])}**",
            f": “{escape(row['statement'])}”",
            f": *Read as:* {escape(row['reading'])}",
            f": *Published numbers:* **{row['published_verdict']}.** "
            f"{escape(row['published_evidence'])}",
            f": *This run:* **{row['run_verdict']}.** {escape(row['run_evidence'])}",
        ]
        entries.append("\n".join(lines))
    return "\n\n".join(entries)


def disagreements(frame: pd.DataFrame) -> str:
    """Where the author's words and the author's data differ, as a list."""
    rows = frame[frame["published_verdict"] == FAILS]
    if rows.empty:
        return "On the published numbers, no claim that can be judged fails."
    return "\n".join(
        f"- **{escape(row['title'])}.** “{escape(row['statement'])}” In the data: "
        f"{escape(row['published_evidence'])}"
        for _, row in rows.iterrows()
    )


def distance_sentence(table: pd.DataFrame, study: Study) -> str:
    """What the distances to the published curves mean: a reproduction, or another setting."""
    if table.empty:
        gone = f" (missing: {', '.join(absent)})" if (absent := published.missing()) else ""
        return f"This run has no value of ε in common with the published curves{gone}."
    worst = table.loc[table["largest"].idxmax()]
    profile = study.profile
    settings = {
        "architecture": (profile.arch, "googlenet"),
        "objective": (profile.objective, "true_logit"),
        "clip": (profile.clip, "image"),
    }
    other = [
        f"{name} `{ours}` (published: `{theirs}`)"
        for name, (ours, theirs) in settings.items()
        if ours != theirs
    ]
    text = (
        "This run has the setting of the published one, so the distances tell whether it is "
        "reproduced."
        if not other
        else f"This run has another setting: {', '.join(other)}. So the distances tell how much "
        "that changes, not whether the publication can be reproduced."
    )
    return (
        f"{text} The largest is {worst['largest']:.3f} ({worst['curve']}, at {eps(worst['at'])})."
    )

"""The record of the original's photographs: what the real profile finds, in a few kilobytes.

    python demo/record.py write     # from the tables of make site PROFILE=nips2017 ARCH=…
    python demo/record.py check     # whether a fresh build gives the same values

The default build shows the record where the photographs themselves cannot be.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
import pandas as pd
import torch

from fgsm_lib import InputError, analysis
from fgsm_lib.study import Study, open_study

FILE = Path(__file__).parent.parent / "fgsm_lib" / "published" / "photographs.json"
# A mean may move as if one picture in 500 did, one picture's confidence by a hundredth: processors
# add in different orders, and where a gradient is nearly zero its sign is an accident.
TOLERANCE = {"all": 0.002, "bins": 0.03, "samples": 0.02, "verdicts": 0.01}


def rows(table: pd.DataFrame) -> list[dict]:
    """A table in as many digits as mean something."""
    return json.loads(table.to_json(orient="records", double_precision=5))


def sample(study: Study, number: int) -> dict:
    case = study.case(number)

    def along(table: pd.DataFrame) -> list[dict]:
        named = table.assign(**{"class": table["predicted_class"].map(case.name)})
        return rows(named[["epsilon_255", "class", "confidence", "correct"]])

    picture = case.picture
    credit = {"author": picture.author, "license": picture.license, "page_url": picture.page_url}
    label = case.name(picture.label)
    return {"label": label, **credit, "rows": along(case.table), "random": along(case.control)}


def verdict(study: Study, table: pd.DataFrame, known: pd.Series | None = None) -> dict:
    """Hypothesis 1 on one table, as the page on the hypothesis judges it; or what is left of it."""
    clean = analysis.clean(study.table())
    right = analysis.initially_correct(study.table()).intersection(table["sample"])
    first = analysis.smallest_epsilon(table, right)
    known = None if known is None else known.loc[right]
    rho = analysis.spearman(clean.loc[right, "confidence"], first, known)
    return {
        "n": rho.n,
        "rho": round(rho.value, 4),
        "low": round(rho.low, 4),
        "high": round(rho.high, 4),
        "word": analysis.verdict(rho.low, rho.high, rho.n),
        "up_to_255": float(table["epsilon_255"].max()),
    }


def measured() -> dict:
    study = open_study("nips2017")
    table, every = study.table(), study.profile.every
    objectives = study.profile.epsilon_255.objectives
    grid = study.profile.epsilon_255.hypothesis
    other = study.table(objective="true_logit", epsilon_255=objectives, every=every.objectives)
    saved = study.table(bits=8, every=every.control)
    right = analysis.initially_correct(table)
    return {
        "provenance": {
            "classifier": study.classifier.name,
            "weights_sha256": study.classifier.sha256,
            "pictures": f"{len(study.pictures)} {study.pictures.title}",
            "pictures_sha256": study.pictures.sha256(),
            "torch": torch.__version__,
            "date": str(date.today()),
        },
        "all": rows(analysis.curve(table)),
        "correct": len(right),
        "bins": {
            name: rows(curve)
            for name, curve in analysis.bin_curves(analysis.at(table, grid)).items()
        },
        "samples": {str(number): sample(study, number) for number in study.profile.cases},
        "verdicts": {
            "exact": verdict(study, table),
            "saved": verdict(study, saved),
            "true_logit": verdict(study, other),
            "partial": verdict(study, table, analysis.first_order(table)),
        },
    }


def flat(value: object, place: str) -> Iterator[tuple[str, object]]:
    """Every number and text of a record, by its place: ``samples.766.rows.3.confidence``."""
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(one, f"{place}.{key}")
    else:
        yield place, value


def differences(ours: dict, theirs: dict) -> list[str]:
    """Where two records differ by more than is allowed, by place."""
    moved = []
    for part, allowed in TOLERANCE.items():
        here, there = dict(flat(ours[part], part)), dict(flat(theirs[part], part))
        moved += [f"{place}: only in one of them" for place in sorted(here.keys() ^ there.keys())]
        for place in here.keys() & there.keys():
            one, kept = here[place], there[place]
            if isinstance(kept, float) and isinstance(one, float | int):
                same = abs(one - kept) <= allowed
            else:
                same = one == kept
            moved += [] if same else [f"{place}: {one} here, {kept} in the record"]
    return sorted(moved)


@click.command()
@click.argument("what", type=click.Choice(["write", "check"]))
def main(what: str) -> None:
    """Write the record of the profile nips2017, or compare it with a fresh build's tables.

    The photographs and the classifier are those of FGSM_DATA and FGSM_ARCH.
    """
    try:
        found = json.loads(json.dumps(measured()))
    except InputError as error:
        raise click.ClickException(str(error)) from None
    if what == "write":
        text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        FILE.write_text(text + "\n", encoding="utf-8")
        click.echo(f"wrote {FILE} ({FILE.stat().st_size / 1000:.0f} kB)")
        return
    moved = differences(found, json.loads(FILE.read_text(encoding="utf-8")))
    if moved:
        more = "\n".join(moved[:20])
        raise click.ClickException(f"{len(moved)} values differ from the record:\n{more}")
    click.echo(f"the record holds: {found['provenance']['pictures']}, all values within tolerance")


if __name__ == "__main__":
    main()

"""Measure the demo weights on the 1000 pictures: ``python -m fgsm_lib.demo.measure``.

Writes the numbers of the model card, and which pictures stand at 766, 132 and 528.
"""

import json
from dataclasses import asdict
from pathlib import Path

import click
import pandas as pd
import torch

from fgsm_lib.classifiers import load_classifier
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.demo.card import WEIGHTS_FILE, update_card
from fgsm_lib.demo.dataset import ensure_demo_set
from fgsm_lib.demo.images import CLASS_NAMES
from fgsm_lib.demo.numbering import EPSILON_255, assign_roles, describe
from fgsm_lib.demo.recipe import ARCHITECTURE
from fgsm_lib.demo.roles import ROLES_FILE
from fgsm_lib.errors import InputError
from fgsm_lib.shards import write_sweep
from fgsm_lib.sweep import SweepSettings

BINS = ((99, 100), (95, 99), (90, 95), (85, 90), (40, 60))
PATTERNS = 5


def measure_and_number(folder: Path, cache: Path, processes: int | None = None) -> None:
    """Sweep the pictures in the order of their generation; update the card and the roles.

    Args:
        folder: where the weights are, and the card and the roles go.
        cache: where the pictures and the sweep table are kept.
    """
    table = sweep_unnumbered(folder / WEIGHTS_FILE.name, cache, processes)
    update_card(folder, measured=measured_facts(table))
    roles = assign_roles(table)
    content = {str(position): asdict(role) for position, role in roles.items()}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / ROLES_FILE.name).write_text(text, encoding="utf-8")
    for position, role in roles.items():
        click.echo(f"{position}: picture {role.index}, {role.reason}")


def sweep_unnumbered(weights: Path, cache: Path, processes: int | None = None) -> pd.DataFrame:
    """The sweep table of the demo set as generated: ``sample`` is the index of the picture."""
    images = ensure_demo_set(cache / "unnumbered", roles={}, processes=processes)
    classifier = load_classifier(ARCHITECTURE, list(CLASS_NAMES), weights)
    dataset = PhotoDataset(images, classifier.to_pixels)
    path = cache / "sweep.parquet"
    write_sweep(dataset, classifier, SweepSettings(tuple(map(float, EPSILON_255))), path)
    return pd.read_parquet(path)


def measured_facts(table: pd.DataFrame) -> dict[str, object]:
    """The numbers of the model card, from a sweep table."""
    clean = table[table["epsilon_255"] == 0]
    pictures = describe(table)
    confident = pictures[pictures["confidence"] >= 0.9]
    percent = clean["confidence"] * 100
    predicted, label = clean["predicted_class"], clean["label"]
    top1 = table.groupby("epsilon_255")["correct"].mean()
    return {
        "images": len(clean),
        "top1": float(clean["correct"].mean()),
        "top5": float(clean["correct_top5"].mean()),
        "mean_confidence": float(clean["confidence"].mean()),
        "shape_correct": float((predicted // PATTERNS == label // PATTERNS).mean()),
        "pattern_correct": float((predicted % PATTERNS == label % PATTERNS).mean()),
        "bins": {
            f"{low}–{high}": int(((percent >= low) & ((percent < high) | (high == 100))).sum())
            for low, high in BINS
        },
        "top1_under_fgsm": {f"{e:g}": float(top1[e]) for e in (0.5, 1, 2, 4, 8, 16)},
        "largest_epsilon_255": float(table["epsilon_255"].max()),
        "initially_correct": len(pictures),
        "never_fooled": int(pictures["lost_at"].isna().sum()),
        "lost_and_back": int(pictures["back_at"].notna().sum()),
        "confident": len(confident),
        "confident_never_fooled": int(confident["lost_at"].isna().sum()),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("_build/demo-training"),
    show_default=True,
    help="Folder for the pictures and the sweep table.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
def main(cache: Path, threads: int) -> None:
    """Measure the shipped weights on the 1000 pictures; rewrite model card and roles."""
    torch.set_num_threads(threads)
    try:
        measure_and_number(WEIGHTS_FILE.parent, cache)
    except InputError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()

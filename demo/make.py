"""Make what ``fgsm_lib/demo`` ships: ``python demo/make.py pictures weights plain card``."""

import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from render import HARDNESS, SEED, in_processes, label_of, preprocessed
from scene import CLASS_NAMES

SHIPPED = Path(__file__).resolve().parent.parent / "fgsm_lib" / "demo"
PICTURES = SHIPPED / "toys.parquet"
WEIGHTS = SHIPPED / "mobilenet_v3_small-toys.safetensors"
PLAIN = SHIPPED / "mobilenet_v3_small-plain.safetensors"
FACTS, PAGE = SHIPPED / "model_card.json", SHIPPED / "MODEL_CARD.md"
TEMPLATE = Path(__file__).with_name("card.md")

COUNT = 1000
QUALITY = 85  # of the WebP files; at 95 they are three times as large
EPSILON_255 = (0.5, 1, 2, 4, 8, 16)


@click.group(chain=True)
def main() -> None:
    """Make the demo's pictures, its classifier and its model card, into fgsm_lib/demo."""


@main.command()
def pictures() -> None:
    """Render the 1000 pictures, in half a minute."""
    labels = [label_of(SEED, index) for index in range(COUNT)]
    columns = {
        "image": pa.array(in_processes(webp, COUNT, "toys"), pa.binary()),
        "label": pa.array(labels, pa.int16()),
        "name": pa.array([CLASS_NAMES[label] for label in labels]),
    }
    about = {"class_names": json.dumps(CLASS_NAMES), "made_by": "python demo/make.py pictures"}
    pq.write_table(pa.table(columns, metadata=about), PICTURES, compression="zstd")


def webp(index: int) -> bytes:
    """The file of picture ``index``."""
    file = io.BytesIO()
    pixels = preprocessed(SEED, HARDNESS, 256, index)
    Image.fromarray(pixels).save(file, "webp", quality=QUALITY)
    return file.getvalue()


@main.command()
def weights() -> None:
    """Train a classifier in the place of the shipped one, in an hour on one core."""
    import torch  # here, so that the processes that render the pictures do not load it
    from train import STAGES, TEMPERATURE, WEIGHT_DECAY, train, weights_file

    network, scores = train()
    WEIGHTS.write_bytes(weights_file(network))
    training = {
        "stages": [vars(stage) for stage in STAGES],
        "weight_decay": WEIGHT_DECAY,
        "temperature": TEMPERATURE,
        "torch": torch.__version__.split("+")[0],
        "validation": scores[-1],
        "validation_before_last_stage": scores[-2],
        "remark": "",
    }
    _write_facts(training=training)


@main.command()
def plain() -> None:
    """Train the second classifier: as the first, but never on attacked pictures."""
    from train import train, weights_file

    network, _ = train(hardened=False)
    PLAIN.write_bytes(weights_file(network))


@main.command()
def card() -> None:
    """Measure the shipped classifier on the shipped pictures, in a minute; write the model card."""
    facts = _write_facts(
        weights=_file_facts(WEIGHTS),
        plain=_file_facts(PLAIN) | {"measured": measure_shipped(PLAIN)},
        pictures=_file_facts(PICTURES) | {"format": f"WebP of quality {QUALITY}"},
        measured_on=datetime.now(UTC).date().isoformat(),
        measured=measure_shipped(),
        measured_every_20th=measure_shipped(every=20),
    )
    PAGE.write_text(TEMPLATE.read_text(encoding="utf-8").format(**facts), encoding="utf-8")


def measure_shipped(weights: Path = WEIGHTS, every: int = 1) -> dict:
    """``train.measure`` of a shipped classifier, on every n-th of the shipped pictures."""
    from train import ARCHITECTURE, measure

    from fgsm_lib import load_classifier
    from fgsm_lib.datasets import demo_toys

    toys = demo_toys().every(every)
    return measure(load_classifier(ARCHITECTURE, toys.class_names, weights), toys, EPSILON_255)


def _file_facts(path: Path) -> dict:
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return {"file": path.name, "megabytes": round(len(content) / 1e6, 2), "sha256": sha256}


def _write_facts(**facts) -> dict:
    """Replace some facts of the model card, keep the others, and return them all."""
    facts = json.loads(FACTS.read_text(encoding="utf-8")) | facts
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    FACTS.write_text(text, encoding="utf-8")
    return facts


if __name__ == "__main__":
    main()

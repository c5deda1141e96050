"""Train the demo classifier: ``python -m fgsm_lib.demo.train``.

The shipped weights come from this program. It renders its own pictures, trains in the stages of
``recipe``, chooses between networks on a validation split, and only then measures the chosen one
on the 1000 pictures of the demo set, numbers them and writes the model card.
"""

import hashlib
import time
from dataclasses import asdict
from pathlib import Path

import click
import safetensors.torch
import torch

from fgsm_lib.classifiers import file_sha256
from fgsm_lib.demo.card import WEIGHTS_FILE, update_card
from fgsm_lib.demo.dataset import HARDNESS
from fgsm_lib.demo.measure import measure_and_number
from fgsm_lib.demo.recipe import (
    ARCHITECTURE,
    STAGES,
    TEMPERATURE,
    WEIGHT_DECAY,
    Score,
    Stage,
    evaluate,
    fold_temperature,
    new_network,
    train_stage,
)
from fgsm_lib.demo.splits import Split, load_split
from fgsm_lib.demo.version import generator_version
from fgsm_lib.demo.workers import keep_freed_memory
from fgsm_lib.errors import InputError

TRAIN_SEED = 1
VALIDATION = Split(seed=2, count=1000, size=256, hardness=HARDNESS)
VALIDATION_CROP = 224


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("_build/demo-training"),
    show_default=True,
    help="Folder for rendered pictures (3 GB) and finished stages; an interrupted run goes on.",
)
@click.option(
    "--networks",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many to train, from different random numbers; the best on validation is kept.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads for training. More threads than free cores are slower than one.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Processes for rendering.  [default: one per available core]",
)
@click.option(
    "--device",
    default="cuda" if torch.cuda.is_available() else "cpu",
    show_default=True,
    help="Where torch computes.",
)
@click.option(
    "--quick",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Scale the number of pictures and steps, to try the program out.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=WEIGHTS_FILE.parent,
    show_default="the package",
    help="Folder for the weights, the model card and the roles.",
)
@click.option("--remark", default="", help="A sentence about this run, for the model card.")
def main(
    cache: Path,
    networks: int,
    threads: int,
    processes: int | None,
    device: str,
    quick: float,
    output: Path,
    remark: str,
) -> None:
    """Train the demo classifier and write its weights, model card and case-study roles.

    Takes about an hour on one CPU core. The result replaces the shipped files.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    started = time.monotonic()
    try:
        scored = []
        for seed in range(networks):
            network, scores = train_network(seed, cache, processes, device, quick)
            scored.append((scores[-1].loss, seed, network, scores))
        # On the validation split: the 1000 are kept for measuring what has been chosen.
        _, seed, network, scores = min(scored, key=lambda entry: entry[:2])
        output.mkdir(parents=True, exist_ok=True)
        weights = output / WEIGHTS_FILE.name
        save_weights(network, weights)
        update_card(
            output,
            architecture=ARCHITECTURE,
            weights={"file": weights.name, "bytes": weights.stat().st_size},
            sha256=file_sha256(weights),
            training={**_training_facts(seed, networks, quick, scores), "remark": remark},
        )
        click.echo(f"training took {(time.monotonic() - started) / 60:.0f} minutes")
        measure_and_number(output, cache, processes)
    except InputError as error:
        raise click.ClickException(str(error)) from None


def train_network(
    seed: int, cache: Path, processes: int | None, device: str, quick: float = 1.0
) -> tuple[torch.nn.Module, list[Score]]:
    """All stages for one initialization; finished ones are taken over from the cache.

    Returns:
        The network, and its scores on the validation split after each stage at full size.
    """
    network = new_network(seed).to(device)
    scores = []
    for position, stage in enumerate(STAGES):
        split = Split(TRAIN_SEED, max(200, round(stage.count * quick)), stage.size)
        checkpoint = _checkpoint(cache, seed, STAGES[: position + 1], split, quick)
        if checkpoint.exists():
            network.load_state_dict(torch.load(checkpoint, map_location=device, weights_only=True))
            click.echo(f"{stage.name}: taken over from {checkpoint}")
        else:
            train_stage(network, stage, load_split(split, cache, processes), seed, quick)
            unfinished = checkpoint.with_suffix(".unfinished")
            torch.save(network.state_dict(), unfinished)
            unfinished.replace(checkpoint)
        if stage.size == VALIDATION.size:  # at another size the network is not at home yet
            pictures = load_split(VALIDATION, cache, processes)
            scores.append(evaluate(network, pictures, VALIDATION_CROP))
            click.echo(f"{stage.name}: on the validation split {scores[-1]}")
    return network, scores


def _checkpoint(
    cache: Path, seed: int, stages: tuple[Stage, ...], split: Split, quick: float
) -> Path:
    """A name that changes with everything that the state after these stages depends on."""
    text = repr((seed, quick, stages, split.file(Path()), WEIGHT_DECAY))
    return cache / f"network-{hashlib.sha256(text.encode()).hexdigest()[:12]}.pt"


def save_weights(network: torch.nn.Module, path: Path) -> None:
    """Write the weights as float16 safetensors, the temperature folded into the last layer.

    ``network`` itself is left as it is.
    """
    shipped = new_network(seed=0)
    shipped.load_state_dict(network.state_dict())
    fold_temperature(shipped, TEMPERATURE)
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in shipped.state_dict().items()
    }
    overflowed = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if overflowed:
        raise InputError(f"{overflowed[0]} does not fit into float16; expected smaller weights.")
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(safetensors.torch.save(state))  # save_file makes it private
    unfinished.replace(path)


def _training_facts(
    seed: int, networks: int, quick: float, scores: list[Score]
) -> dict[str, object]:
    return {
        "generator": generator_version(),
        "stages": [asdict(stage) for stage in STAGES],
        "weight_decay": WEIGHT_DECAY,
        "temperature": TEMPERATURE,
        "network_seed": seed,
        "networks_trained": networks,
        "quick": quick,
        "torch": torch.__version__.split("+")[0],
        "validation": {"pictures": VALIDATION.count, **asdict(scores[-1])},
        "validation_before_last_stage": asdict(scores[-2]),
    }


if __name__ == "__main__":
    main()

"""What a sweep costs beside three libraries, the original's loop and the bare passes.

    python demo/speed.py            # about half an hour on two quiet cores
    python demo/speed.py --arch mobilenet_v3_small --images 50

Every side gets the same classifier, pictures and epsilons, in one process, in turns; times are
medians over the rounds. The libraries run beside the demo's own network. The result goes into
fgsm_lib/published/speed.json, which the page on performance shows.
"""

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from tqdm import tqdm

from fgsm_lib import attacks
from fgsm_lib.classifiers import Classifier, models
from fgsm_lib.store import Machine, sweep
from fgsm_lib.study import open_study
from fgsm_lib.sweep import SweepSettings, onnx_forward

FILE = Path(__file__).parent.parent / "fgsm_lib" / "published" / "speed.json"
GRID = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 2, 4, 10, 20, 30, 40, 50, 60)  # in 1/255
ARCHS = ("mobilenet_v3_small", "efficientnet_lite0", "squeezenet1_0", "googlenet")
BESIDE_LIBRARIES = "mobilenet_v3_small"  # the others' gradients at every epsilon take long enough
CORES = torch.get_num_threads()


def foolbox(model, images, labels, epsilons):
    """LinfFastGradientAttack with a list of epsilons, as in foolbox's README."""
    import foolbox as fb

    attack = fb.attacks.LinfFastGradientAttack(random_start=False)
    attack(fb.PyTorchModel(model, bounds=(0, 1)), images, labels, epsilons=epsilons)


def torchattacks(model, images, labels, epsilons):
    """FGSM, one for each epsilon, and a pass that looks at the result."""
    import torchattacks as ta

    for epsilon in epsilons:
        looked_at(model, ta.FGSM(model, eps=epsilon)(images, labels))


def cleverhans(model, images, labels, epsilons):
    """fast_gradient_method, one call for each epsilon, and a pass that looks at the result."""
    from cleverhans.torch.attacks.fast_gradient_method import fast_gradient_method

    options = {"y": labels, "clip_min": 0.0, "clip_max": 1.0}
    for epsilon in epsilons:
        looked_at(model, fast_gradient_method(model, images, epsilon, np.inf, **options))


def original_loop(model, images, labels, epsilons):
    """The original page's way: picture by picture, a new gradient at every epsilon."""
    for image, label in zip(images.split(1), labels.split(1), strict=True):
        for epsilon in epsilons:
            moved = attacks.fgsm(model, image, label, epsilon, objective="true_logit")
            looked_at(model, moved)


def bare(model, images, labels, epsilons, forward=None):
    """Nothing but the passes: one with its backward pass, one more for each other epsilon."""
    attacks.input_gradient(model, images, labels)
    plain = images.contiguous() if forward else images
    for _ in epsilons[1:]:
        looked_at(forward or model, plain)


def looked_at(model, images):
    with torch.inference_mode():
        return model(images).argmax(1)


def in_batches(side: Callable, model, images, labels, batch: int, workers: int) -> float:
    """Seconds for all pictures: ``workers`` batches at a time, on a thread each; or on all."""
    parts = list(zip(images.split(batch), labels.split(batch), strict=True))
    epsilons = [epsilon / 255 for epsilon in GRID]
    start = time.perf_counter()
    if workers == 1:
        for part in parts:
            side(model, *part, epsilons)
    else:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(lambda part: side(model, *part, epsilons), parts))
    return time.perf_counter() - start


def measured(arch: str, count: int, rounds: int) -> dict:
    toys = open_study("demo")
    pictures = toys.pictures.subset(toys.pictures.samples[:count])
    if arch == "mobilenet_v3_small":
        classifier = toys.classifier
    elif arch == "efficientnet_lite0":
        classifier = toys.shown.classifier
    else:  # only the time counts: any weights do
        options = {"init_weights": False} if arch == "googlenet" else {}
        network = models.get_model(arch, weights=None, **options)
        classifier = Classifier(network, [f"class {i}" for i in range(1000)], name=arch)
    images = torch.stack([classifier.to_pixels(pictures.read(s)) for s in pictures.samples])
    labels = torch.tensor(pictures.labels()) % len(classifier.class_names)
    last = images.contiguous(memory_format=torch.channels_last)
    begun = time.perf_counter()
    forward, engine = onnx_forward(classifier, pictures, count * len(GRID))
    exported = time.perf_counter() - begun

    def ours(machine: Machine) -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            sweep(pictures, classifier, SweepSettings(GRID), Path(folder), machine=machine)
            return time.perf_counter() - start

    def laid_out(side, batch, workers, given=last):
        return partial(in_batches, side, classifier, given, labels, batch, workers)

    sides = {"this library": partial(ours, Machine())}  # the export was made above, once
    sides["this library, torch"] = partial(ours, Machine(engine="torch"))
    for batch in (4, 8, 16):
        sides[f"bare passes, torch, batch {batch}"] = laid_out(bare, batch, CORES)
    if engine == "ONNX Runtime":
        sides["bare passes, ONNX Runtime"] = laid_out(partial(bare, forward=forward), 8, CORES)
    if arch == BESIDE_LIBRARIES:
        for library in (foolbox, torchattacks, cleverhans):
            sides[f"{library.__name__}, as documented"] = laid_out(library, 50, 1, images)
            sides[f"{library.__name__}, best layout"] = laid_out(library, 8, CORES)
        sides["the original's loop"] = laid_out(original_loop, count, 1, images)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in tqdm(range(rounds + 1), f"{arch}, rounds"):  # the first warms up
        for name, side in sides.items():
            times[name].append(side())
    torch.set_num_threads(CORES)
    passes = count * len(GRID)
    return {
        "engine": engine,
        "images": count,
        "export_seconds": round(exported, 2),
        "milliseconds": {  # a picture and epsilon
            name: round(statistics.median(taken[1:]) / passes * 1000, 3)
            for name, taken in times.items()
        },
    }


@click.command()
@click.option("--arch", "archs", multiple=True, type=click.Choice(ARCHS), help="All by default.")
@click.option("--images", default=50, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(archs: tuple[str, ...], images: int, rounds: int) -> None:
    """Measure the sweep beside other ways to compute it; only on a quiet machine."""
    record = json.loads(FILE.read_text()) if FILE.is_file() else {"networks": {}}
    record |= {
        "machine": f"{platform.machine()}, {CORES} cores",
        "torch": torch.__version__,
        "epsilon_255": GRID,
        "rounds": rounds,
    }
    for arch in archs or ARCHS:
        record["networks"][arch] = measured(arch, images, rounds)
        FILE.write_text(json.dumps(record, indent=1) + "\n")
    click.echo(f"wrote {FILE}")


if __name__ == "__main__":
    main()

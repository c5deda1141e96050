"""The same sweep by this library, by others, and by nothing but its passes, in turns.

All sides get the same classifier, images and epsilons, in one process. Times are medians over the
rounds, and each is kept beside the number of predictions that equal those of this library.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from fgsm_lib.attacks import input_gradient
from fgsm_lib.bench import contenders, passes
from fgsm_lib.bench.contenders import Contender
from fgsm_lib.bench.passes import Layout
from fgsm_lib.calibrate import calibrate, worker_count
from fgsm_lib.study import Study
from fgsm_lib.sweep import SweepSettings, sweep_samples

DOCUMENTED_BATCH = 50
SEARCH_IMAGES = 16  # to find a library's fastest layout, at
SEARCH_EPSILONS = (1 / 255, 4 / 255)  # and to warm up

# Takes some samples and epsilons; returns the predicted classes, int (epsilons, samples).
Work = Callable[[range, Sequence[float]], np.ndarray]


@dataclass(frozen=True)
class Side:
    """One way to compute the sweep; ``objective`` and ``clip`` are what it attacks with."""

    name: str
    use: str
    layout: Layout
    work: Work
    objective: str = "cross_entropy"
    clip: str = "valid"

    def once(self, images: int, epsilons: Sequence[float]) -> tuple[float, np.ndarray]:
        """Seconds for everything, and the predicted classes, int (epsilons, images)."""
        found = {}

        def one(chunk: range) -> None:
            found[chunk.start] = self.work(chunk, epsilons)

        parts = passes.chunks(images, self.layout)
        seconds = passes.seconds(self.layout, one, [(chunk,) for chunk in parts])
        return seconds, np.hstack([found[chunk.start] for chunk in parts])


class Bench:
    """The first images of a study, decoded, in both memory formats, and the sides that use them."""

    def __init__(self, study: Study, images: int):
        self.study = study
        self.count = min(images, len(study.dataset))
        self.epsilon_255 = study.profile.hypothesis_epsilon_255
        self.epsilons = [epsilon / 255 for epsilon in self.epsilon_255]
        pixels, labels = zip(*(study.dataset[i] for i in range(self.count)), strict=True)
        device = study.classifier.device
        self.labels = torch.tensor(labels, device=device)
        self.pixels = {
            order: torch.stack(pixels).to(device, memory_format=order)
            for order in (torch.contiguous_format, torch.channels_last)
        }

    def floor(self, layout: Layout) -> Side:
        """Nothing but the passes: one with its backward pass, and one for each other epsilon."""
        model = passes.laid_out(self.study.classifier, layout.channels_last)
        images = self.pixels[layout.memory_format]

        def work(chunk: range, epsilons: Sequence[float]) -> np.ndarray:
            some = images[chunk.start : chunk.stop]
            _, logits = input_gradient(model, some, self.labels[chunk.start : chunk.stop])
            seen = [logits.argmax(1)]
            with torch.inference_mode():
                seen += [model(some).argmax(1) for _ in epsilons[1:]]
            return torch.stack(seen).cpu().numpy()

        return Side("bare passes", "fastest layout", layout, work)

    def ours(self, layout: Layout) -> Side:
        """The sweep of this library; the only side that also reads the image files."""

        def work(chunk: range, epsilons: Sequence[float]) -> np.ndarray:
            settings = SweepSettings(tuple(epsilon * 255 for epsilon in epsilons))
            return self.swept(settings, chunk)

        return Side("this library", "as calibrated", layout, work)

    def swept(self, settings: SweepSettings, chunk: range) -> np.ndarray:
        """The predicted classes of a sweep, int (epsilons, samples of the chunk)."""
        study = self.study
        table = sweep_samples(study.dataset, study.classifier, settings, chunk, len(chunk))
        return table["predicted_class"].to_numpy().reshape(len(chunk), -1).T

    def other(
        self, name: str, use: str, layout: Layout, contender: Contender, frozen: bool, **attack
    ) -> Side:
        """Another way, with the images already in memory."""
        model = passes.laid_out(self.study.classifier, layout.channels_last, frozen)
        images = self.pixels[layout.memory_format]

        def work(chunk: range, epsilons: Sequence[float]) -> np.ndarray:
            some = slice(chunk.start, chunk.stop)
            return contender(model, images[some], self.labels[some], epsilons).cpu().numpy()

        return Side(name, use, layout, work, **attack)

    def fastest(self, name: str, contender: Contender, cores: int) -> Side:
        """Another way in the layout that suits it best, with weights that need no gradients."""
        batches = passes.BATCHES[self.study.classifier.device.type]
        layouts = [
            Layout(batch, True, *share)
            for share in dict.fromkeys([(cores, 1), (1, cores)])
            for batch in batches
        ]
        make = partial(self.other, name, "fastest layout", contender=contender, frozen=True)
        sides = [make(layout=layout) for layout in layouts]
        return min(sides, key=self._time_per_image)

    def _time_per_image(self, side: Side) -> float:
        images = min(self.count, max(SEARCH_IMAGES, side.layout.batch))
        return min(side.once(images, SEARCH_EPSILONS)[0] for _ in range(2)) / images


def compare(study: Study, images: int, rounds: int) -> dict[str, object]:
    """Every side at the study's hypothesis grid of ε: layout, seconds and equal predictions."""
    study.folder.mkdir(parents=True, exist_ok=True)
    bench, cores = Bench(study, images), worker_count(study.classifier)
    timed = passes.time_layouts(study.classifier, passes.all_layouts(study.classifier), rounds)
    torch.set_num_threads(cores)  # each layout has set its own
    sides = _sides(bench, min(timed, key=lambda one: one.milliseconds).layout, cores)
    _turn(bench, sides, SEARCH_EPSILONS)  # warms up
    turns = [_turn(bench, sides, bench.epsilons) for _ in tqdm(range(rounds), "sides in turns")]
    torch.set_num_threads(cores)
    return {
        "images": bench.count,
        "epsilon_255": list(bench.epsilon_255),
        "rounds": rounds,
        "cores": cores,
        "passes": [{**asdict(one.layout), "milliseconds": one.milliseconds} for one in timed],
        "sides": [
            _result(bench, side, [turn[i] for turn in turns]) for i, side in enumerate(sides)
        ],
    }


def _sides(bench: Bench, fastest: Layout, cores: int) -> list[Side]:
    classifier = bench.study.classifier
    setting = calibrate(classifier)  # what is remembered may be of a busy hour
    threads = 1 if setting.workers > 1 else cores
    documented = Layout(DOCUMENTED_BATCH, False, 1, cores)
    original = {"objective": "true_logit", "clip": "image"}
    libraries = contenders.installed()
    return [
        bench.floor(fastest),
        bench.ours(Layout(setting.batch, True, setting.workers, threads)),
        *(bench.fastest(name, contender, cores) for name, contender in libraries.items()),
        *(
            bench.other(name, "as documented", documented, contender, frozen=False)
            for name, contender in libraries.items()
        ),
        bench.other(
            "the original's loop",
            "image by image",
            Layout(1, False, 1, cores),
            contenders.original_loop,
            frozen=False,
            **original,
        ),
    ]


def _turn(
    bench: Bench, sides: Sequence[Side], epsilons: Sequence[float]
) -> list[tuple[float, np.ndarray]]:
    return [side.once(bench.count, epsilons) for side in sides]


def _result(bench: Bench, side: Side, runs: list[tuple[float, np.ndarray]]) -> dict[str, object]:
    """What is kept of a side: the bare passes attack nothing, so they predict nothing."""
    times = [seconds for seconds, _ in runs]
    result = {
        "name": side.name,
        "use": side.use,
        "layout": asdict(side.layout),
        "seconds": statistics.median(times),
        "rounds": times,
    }
    if side.name != "bare passes":
        settings = SweepSettings(bench.epsilon_255, side.objective, side.clip)
        expected = bench.swept(settings, range(bench.count))
        result |= {
            "equal": int((runs[-1][1] == expected).sum()),
            "predictions": expected.size,
        }
    return result

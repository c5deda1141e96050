"""A study: pictures, a classifier and their tables. What every notebook starts from."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from pathlib import Path

import msgspec
import pandas as pd
import torch

from fgsm_lib import InputError, attacks, datasets, expanded, offered, published
from fgsm_lib.classifiers import Classifier, check_door, copied, network_sha256
from fgsm_lib.pictures import Picture, Pictures
from fgsm_lib.profiles import DEMO, Grids, Profile, build_folder, load_profile
from fgsm_lib.store import Machine, Parts, sweep
from fgsm_lib.sweep import SweepSettings, batch_of, naming
from fgsm_lib.weights import best_device, load_classifier, timm_preprocessing
from fgsm_lib.words import short_name

TRIAL = 8  # pictures that the door looks at


@dataclass
class Study:
    """Pictures, classifier and tables of one profile; tables are computed where they are missing.

    ``folder`` keeps the tables. ``machine`` says where sweeps run.
    """

    profile: Profile
    pictures: Pictures
    classifier: Classifier
    folder: Path
    machine: Machine = field(default_factory=Machine)

    @property
    def names(self) -> list[str]:
        """The classes by their first synonym, in the order of the logits."""
        return [short_name(name) for name in self.classifier.class_names]

    @cached_property
    def shown(self) -> "Study":
        """The study whose pictures the pages show one by one; itself, if the profile names none."""
        return open_study(self.profile.shown) if self.profile.shown else self

    @cached_property
    def cases(self) -> "list[Case]":
        """The case studies: the profile's own, or those of the pictures shown."""
        study = self if self.profile.cases else self.shown
        return [study.case(sample) for sample in study.profile.cases]

    def table(
        self,
        direction: str = "gradient",
        *,
        objective: str | None = None,
        clip: str | None = None,
        bits: int | None = None,
        epsilon_255: Sequence[float] | None = None,
        every: int = 1,
        samples: Sequence[int] | None = None,
    ) -> pd.DataFrame:
        """One row per sample and epsilon, in the columns of ``sweep.SCHEMA``.

        Args:
            direction: "gradient", or "random" for random signs, the control.
            objective, clip, epsilon_255: other ones than the profile's.
            bits: 8 for what an image file keeps of the attacked picture.
            every: only the samples whose number is divisible by this.
            samples: only these.
        """
        profile = self.profile
        settings = SweepSettings(
            profile.sweep_epsilon_255 if epsilon_255 is None else epsilon_255,
            profile.objective if objective is None else objective,
            profile.clip if clip is None else clip,
            direction,
            bits,
        )
        if not isinstance(every, Integral) or every < 1:
            raise InputError(f"every is {every!r}; expected a whole number above 0.")
        if not isinstance(samples, Iterable | None):
            raise InputError(f"samples is {samples!r}; expected a list of sample numbers.")
        rows = self.pictures.rows if samples is None else map(self.pictures.picture, samples)
        chosen = [row.sample for row in rows if row.sample % every == 0]
        return sweep(self.pictures, self.classifier, settings, self.folder, chosen, self.machine)

    @property
    def parts(self) -> Parts:
        """What is kept of the tables of these pictures, of the classifier as it is now."""
        return Parts(self.folder, self.pictures, self.classifier)

    def take(self, source: str | Path) -> None:
        """Take the tables that a site offers, see ``offered``; says whether they were taken."""
        print(offered.take(self, source))

    def picture(self, sample: str | int) -> Picture:
        """One picture, by its number in the set or by its name; InputError where there is none."""
        named = [picture for picture in self.pictures if picture.name == sample]
        return named[0] if named else self.pictures.picture(sample)

    def image(self, sample: str | int) -> tuple[torch.Tensor, torch.Tensor]:
        """One picture as a batch of one: images (1, C, H, W) in [0, 1] and labels (1,)."""
        return batch_of(self.pictures, self.classifier, [self.picture(sample).sample])

    def case(self, sample: str | int) -> "Case":
        """One picture under attack; InputError where the set has no such picture."""
        picture = self.picture(sample)
        images, labels = self.image(picture.sample)
        gradient, _ = attacks.input_gradient(
            self.classifier, images, labels, self.profile.objective
        )
        one = {"epsilon_255": self.profile.epsilon_255.cases, "samples": [picture.sample]}
        return Case(
            picture=picture,
            image=images[0],
            gradient=gradient[0],
            bounds=attacks.clip_bounds(images, self.classifier, self.profile.clip),
            table=self.table(**one),
            control=self.table("random", **one),
            published=published.sample_curve(picture),
            names=self.names,
        )


@dataclass(frozen=True)
class Case:
    """One picture of a study.

    ``image`` is float32 (C, H, W) in [0, 1], ``gradient`` is that of the objective, of the same
    shape. ``table`` and ``control`` (random signs) hold one row per epsilon, in the columns of
    ``sweep.SCHEMA``; ``published`` is the original page's curve, where it has one.
    """

    picture: Picture
    image: torch.Tensor
    gradient: torch.Tensor
    bounds: attacks.Bounds
    table: pd.DataFrame
    control: pd.DataFrame
    published: pd.DataFrame | None
    names: list[str]

    @property
    def direction(self) -> torch.Tensor:
        """The sign of the gradient, in {-1, 0, 1}."""
        return self.gradient.sign()

    @property
    def random_direction(self) -> torch.Tensor:
        """The control's direction, in {-1, 1}; the same in every run."""
        return attacks.random_signs(self.image, seed=self.picture.sample)

    def adversarial(self, epsilon_255: float) -> torch.Tensor:
        """The attacked image x̃ at one epsilon, shaped like ``image``."""
        return self._moved(self.direction, epsilon_255)

    def random(self, epsilon_255: float) -> torch.Tensor:
        """The control: the same step into a random direction."""
        return self._moved(self.random_direction, epsilon_255)

    def _moved(self, direction: torch.Tensor, epsilon_255: float) -> torch.Tensor:
        return attacks.perturb(self.image[None], direction[None], epsilon_255 / 255, self.bounds)[0]

    def row(self, epsilon_255: float) -> pd.Series:
        """What the classifier says at one epsilon of the grid; InputError where it is not on it."""
        with suppress(TypeError, ValueError):
            rows = self.table[self.table["epsilon_255"] == round(float(epsilon_255), 9)]
            if len(rows):
                return rows.iloc[0]
        grid = ", ".join(f"{epsilon:g}" for epsilon in self.table["epsilon_255"])
        raise InputError(f"epsilon_255 is {epsilon_255!r}; expected one of {grid}.")

    def name(self, index: int) -> str:
        """A class by its first synonym."""
        return self.names[index]


# --- opening -------------------------------------------------------------------------------------


def open_study(
    profile: str | Path | Profile = DEMO,
    *,
    data: str | Path | None = None,
    weights: str | Path | None = None,
    arch: str | None = None,
    results: str | Path | None = None,
    machine: Machine | None = None,
) -> Study:
    """Open a profile by name, or by the path of its TOML file.

    ``results`` is the folder for the tables, by default ``_build/<profile>/tables``.

    Raises InputError where its data or weights are missing or damaged, or where measuring the
    classifier would mislead (see ``classifiers.check_door``).
    """
    if not isinstance(profile, Profile):
        profile = load_profile(profile, data=data, weights=weights, arch=arch)
    pictures = datasets.of_profile(profile)
    classifier = load_classifier(
        profile.arch, pictures.class_names, profile.weights or None, profile.weights_sha256 or None
    )
    folder = build_folder() / profile.name / "tables" if results is None else expanded(results)
    study = Study(profile, pictures, classifier, folder.absolute(), machine or Machine())
    if profile.pictures == "folder":  # the others are known
        _check(classifier, pictures)
    return study


def _check(classifier: Classifier, pictures: Pictures) -> None:
    """The door, for a few pictures from all over the set, at least two rows."""
    step = max(1, len(pictures) // TRIAL)
    some = [*dict.fromkeys([*pictures.samples[::step][: TRIAL - 1], pictures.samples[-1]])]
    some = some * 2 if len(some) == 1 else some
    read = [pictures.read(sample) for sample in some]  # once: of megapixels it takes a while
    images = torch.stack([classifier.to_pixels(picture) for picture in read])
    labels = torch.tensor([pictures.picture(sample).label for sample in some])
    largest, (height, width) = max(max(picture.size) for picture in read), images.shape[2:]
    if largest < min(height, width):
        warnings.warn(
            f"pictures of at most {largest} pixels a side are enlarged to {height} × {width}; "
            "resize and crop say otherwise.",
            stacklevel=3,
        )
    with naming(pictures, some):
        check_door(classifier, images.to(classifier.device), labels)


def own_study(
    network: torch.nn.Module | Classifier,
    images: object,
    class_names: Sequence[str] | Mapping | None = None,
    results: str | Path = "results",
    *,
    objective: str = "cross_entropy",
    epsilon_255: Sequence[float] | None = None,
    batch: int | None = None,
    device: str | torch.device | None = None,
    **preprocessing,
) -> Study:
    """A study of any network on any pictures.

    Args:
        network: takes normalized images, floats (N, C, H, W); returns logits (N, classes), or an
            object with ``.logits``. What is measured is a copy.
        images: a folder with one subfolder per class, a CSV file, a data frame, or a torch
            ``Dataset``; see ``datasets``.
        class_names: in the order of the logits, or a dictionary by index or by name; where the
            pictures say their classes themselves (``ImageFolder``), those in their order.
        results: the folder for the tables. A table is computed again for another network (its
            weights, its layers, its answers), other pictures or another objective.
        objective: "cross_entropy", or "true_logit", whose gradient does not vanish where the
            softmax is exactly 1.
        epsilon_255: the grid of ε in 1/255; by default that of the profile nips2017.
        batch: pictures a pass.
        device: where to compute; a GPU if there is one, by default.
        preprocessing: ``resize``, ``crop``, ``mean``, ``std`` and ``interpolation`` of
            ``Classifier``; those left out are those of a timm network's own configuration, and
            ImageNet's for any other network.

    Raises InputError where measuring would mislead (see ``classifiers.check_door``).
    """
    unknown = preprocessing.keys() - {"resize", "crop", "mean", "std", "interpolation"}
    if unknown:
        raise InputError(f"unknown argument {sorted(unknown)[0]!r} of own_study.")
    results = expanded(results).absolute()
    nips = load_profile("nips2017", data=".")
    grids = nips.epsilon_255
    checked = SweepSettings(grids.cases if epsilon_255 is None else epsilon_255, objective)
    if epsilon_255 is not None:
        grids = Grids(*[tuple(sorted({0.0, *checked.epsilon_255}))] * 4)
    machine = Machine(batch=batch)
    if isinstance(network, Classifier):
        if preprocessing or datasets.class_list(class_names) not in (None, network.class_names):
            raise InputError("network is a Classifier; expected its own names and preprocessing.")
        classifier = copied(network).to(best_device(network.device if device is None else device))
        classifier.sha256 = network_sha256(classifier.network)
    else:
        class_names = datasets.own_names(images) if class_names is None else class_names
        preprocessing = timm_preprocessing(network, preprocessing)
        classifier = Classifier(network, class_names, **preprocessing).to(best_device(device))
    names = classifier.class_names if class_names is None else class_names
    pictures = datasets.pictures_from(images, names)
    _check(classifier, pictures)
    profile = msgspec.structs.replace(
        nips, name=results.name, title="my own pictures", kind="pictures", arch=classifier.name,
        cases=(), shown="", objective=objective, epsilon_255=grids,
    )  # fmt: skip
    return Study(profile, pictures, classifier, results, machine)

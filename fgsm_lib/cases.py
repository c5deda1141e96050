"""A case study: one image, attacked at many epsilons, with random signs as its control."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from fgsm_lib import analysis, attacks, published
from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import Photo
from fgsm_lib.study import Study, single
from fgsm_lib.sweep import SweepSettings, sweep_samples


@dataclass(frozen=True)
class Case:
    """One sample of a study.

    ``image`` is float32 (3, H, W) in [0, 1], ``gradient`` is that of the objective, of the same
    shape. ``table`` and ``control`` (random signs) hold one row per epsilon, in the columns of
    ``sweep.SCHEMA``; ``published`` is the original page's curve, where it has one.
    """

    photo: Photo
    image: torch.Tensor
    gradient: torch.Tensor
    bounds: tuple[torch.Tensor | float, torch.Tensor | float]
    table: pd.DataFrame
    control: pd.DataFrame
    published: pd.DataFrame | None
    class_names: list[str]
    objective: str

    @property
    def direction(self) -> torch.Tensor:
        """The sign of the gradient, in {-1, 0, 1}."""
        return self.gradient.sign()

    @property
    def random_direction(self) -> torch.Tensor:
        """The control's direction, in {-1, 1}; the same in every run."""
        return attacks.random_signs(self.image, seed=self.photo.sample)

    def adversarial(self, epsilon_255: float) -> torch.Tensor:
        """The attacked image x̃ at one epsilon, shaped like ``image``."""
        return self._perturbed(self.direction, epsilon_255)

    def random(self, epsilon_255: float) -> torch.Tensor:
        """The control: the same step into a random direction."""
        return self._perturbed(self.random_direction, epsilon_255)

    def _perturbed(self, direction: torch.Tensor, epsilon_255: float) -> torch.Tensor:
        return attacks.perturb(self.image[None], direction[None], epsilon_255 / 255, self.bounds)[0]

    def row(self, epsilon_255: float) -> pd.Series:
        """What the classifier says at one epsilon of the grid."""
        return self.table[self.table["epsilon_255"] == epsilon_255].iloc[0]

    def class_name(self, index: int) -> str:
        """The first of a class's synonyms: "barrel" for "barrel, cask"."""
        return short_name(self.class_names[index])


def short_name(class_name: str) -> str:
    """The first synonym of an ImageNet class name."""
    return class_name.split(",")[0].strip()


def open_case(study: Study, sample: int) -> Case:
    """One sample of a study, with everything its page shows.

    Raises InputError where the set has no such sample.
    """
    photo = study.dataset.photo(sample)
    images, labels = single(study, sample)
    gradient, _ = attacks.input_gradient(study.classifier, images, labels, study.profile.objective)
    grid = study.profile.case_epsilon_255
    control = SweepSettings(grid, study.profile.objective, study.profile.clip, direction="random")
    rows = study.table[study.table["sample"] == sample]
    covered = published.covers(photo) and not published.missing()
    return Case(
        photo=photo,
        image=images[0],
        gradient=gradient[0],
        bounds=attacks.clip_bounds(images, study.classifier, study.profile.clip),
        table=analysis.at(rows, grid).reset_index(drop=True),
        control=sweep_samples(study.dataset, study.classifier, control, [sample]).to_pandas(),
        published=published.sample_curve(sample) if covered else None,
        class_names=study.dataset.class_names,
        objective=study.profile.objective,
    )


def unit_table(classifier: Classifier, epsilon_255: Sequence[float]) -> pd.DataFrame:
    """The same epsilons in other units, for reading: as a fraction of [0, 1], and normalized."""
    deviations = zip(("red", "green", "blue"), classifier.std.flatten().tolist(), strict=True)
    units = {"fraction": 1.0, **dict(deviations)}
    return pd.DataFrame(
        {"ε": f"{epsilon:g}/255"}
        | {name: f"{epsilon / 255 / size:.4f}" for name, size in units.items()}
        for epsilon in epsilon_255
    )


def logit_shift(study: Study, case: Case, epsilon_255: Sequence[float]) -> pd.DataFrame:
    """How far one step lowers the true class's logit z_y, against what the gradient predicts.

    Columns: epsilon_255; predicted, ε‖∇z_y‖₁ (Goodfellow et al. 2015, section 3); measured,
    z_y(x) - z_y(x̃) for the step against the sign of ∇z_y; random, the same for random signs.
    """
    images = case.image[None]
    label = torch.tensor([case.photo.label], device=images.device)
    gradient, logits = attacks.input_gradient(study.classifier, images, label, "true_logit")

    @torch.inference_mode()
    def drop(direction: torch.Tensor, epsilon: float) -> float:
        changed = study.classifier(attacks.perturb(images, direction, epsilon / 255))
        return float(logits[0, label] - changed[0, label])

    rows = [
        {
            "epsilon_255": epsilon,
            "predicted": epsilon / 255 * float(gradient.abs().sum()),
            "measured": drop(gradient.sign(), epsilon),
            "random": drop(case.random_direction[None], epsilon),
        }
        for epsilon in epsilon_255
    ]
    return pd.DataFrame(rows)

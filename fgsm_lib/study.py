"""A study: one profile, opened. What every notebook starts from."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock

from fgsm_lib.attacks import Clip
from fgsm_lib.classifiers import Classifier, load_classifier
from fgsm_lib.datasets import PhotoDataset, read_class_names
from fgsm_lib.minimal import minimal_fingerprint, write_minimal
from fgsm_lib.profiles import (
    DEMO,
    Profile,
    build_folder,
    data_folder,
    load_profile,
    variant_name,
)
from fgsm_lib.shards import read_provenance, read_table, write_sweep
from fgsm_lib.sweep import SweepSettings, provenance


@dataclass
class Study:
    """Images, classifier and results of one profile; tables are computed where they are missing.

    ``scheduler`` is the address of a Dask scheduler that sweeps run on, see ``cluster``.
    """

    profile: Profile
    dataset: PhotoDataset
    classifier: Classifier
    folder: Path
    scheduler: str | None = None

    @property
    def sweep_settings(self) -> SweepSettings:
        return SweepSettings(
            self.profile.sweep_epsilon_255, self.profile.objective, self.profile.clip
        )

    @property
    def control_settings(self) -> SweepSettings:
        return replace(self.sweep_settings, direction="random")

    @cached_property
    def table(self) -> pd.DataFrame:
        """The sweep over all images: one row per sample and epsilon (see ``sweep.SCHEMA``)."""
        return self._table("sweep", self.sweep_settings, self.dataset)

    @cached_property
    def control(self) -> pd.DataFrame:
        """The same with random signs in place of the gradient's.

        Of every n-th image only, where the profile says so ([every] control).
        """
        return self._thinned("control", self.control_settings, self.profile.every_control)

    @cached_property
    def eight_bit(self) -> pd.DataFrame:
        """What an image file with 8 bits a channel keeps of the attack, at the smallest epsilons.

        Of the images of ``control``.
        """
        grid = self.profile.eight_bit_epsilon_255
        settings = replace(self.sweep_settings, epsilon_255=grid, eight_bit=True)
        return self._thinned("eight-bit", settings, self.profile.every_control)

    @cached_property
    def minimal(self) -> pd.DataFrame:
        """The minimal adversarial epsilon of each initially correct image (``minimal.SCHEMA``).

        Of every n-th image only, where the profile says so ([every] minimal).
        """
        path, settings = self.folder / "minimal.parquet", self.sweep_settings
        table = self.table[self.table["sample"] % self.profile.every_minimal == 0]
        origin = provenance(self.dataset, self.classifier, settings)["fingerprint"]
        expected = minimal_fingerprint(origin, self.profile.every_minimal)
        with FileLock(path.with_name(f"{path.name}.lock")):  # who comes second finds it done
            measured = read_table(path, expected)
            if measured is None:
                write_minimal(self.dataset, self.classifier, settings, table, path, expected)
                measured = pd.read_parquet(path)
        return measured

    def variant(self, objective: str, clip: Clip) -> pd.DataFrame:
        """The sweep with one of the objectives and clips, at ``objectives_epsilon_255``.

        Of every n-th image only, where the profile says so ([every] objectives, and clips for the
        clip that is not the profile's). Its own objective and clip need no computing again.
        """
        profile = self.profile
        if (objective, clip) == (profile.objective, profile.clip):
            rows = self.table[self.table["epsilon_255"].isin(profile.objectives_epsilon_255)]
            return rows[rows["sample"] % profile.every_objectives == 0]
        step = profile.every_objectives if clip == profile.clip else profile.every_clips
        settings = SweepSettings(profile.objectives_epsilon_255, objective, clip)
        return self._thinned(variant_name(objective, clip), settings, step)

    def _thinned(self, name: str, settings: SweepSettings, step: int) -> pd.DataFrame:
        """The table of every n-th image, numbered as in the whole set."""
        table = self._table(name, settings, self.dataset.every(step))
        return table.assign(sample=table["sample"] * step)

    def _table(self, name: str, settings: SweepSettings, dataset: PhotoDataset) -> pd.DataFrame:
        path = self.folder / f"{name}.parquet"
        expected = provenance(dataset, self.classifier, settings)["fingerprint"]
        table = read_table(path, expected)
        if table is None or read_provenance(path).get("fingerprint") != expected:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_sweep(dataset, self.classifier, settings, path, self.scheduler)
            table = pd.read_parquet(path)
        return table


def single(study: Study, sample: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One sample as a batch of one, on the classifier's device: images (1, 3, H, W), labels (1,).

    Laid out as the classifier's weights are, which is how a sweep computes.
    """
    image, label = study.dataset[sample]
    images = image.to(study.classifier.device)[None].contiguous(memory_format=torch.channels_last)
    return images, torch.tensor([label], device=images.device)


def open_study(profile: str | Profile = DEMO) -> Study:
    """Open a profile by name (or by the path of its TOML file).

    Raises InputError where its data or weights are missing or damaged.
    """
    if isinstance(profile, str):
        profile = load_profile(profile)
    folder = data_folder(profile)
    classifier = load_classifier(
        profile.arch, read_class_names(folder), profile.weights, profile.weights_sha256
    )
    dataset = PhotoDataset(folder, classifier.to_pixels)
    return Study(profile, dataset, classifier, build_folder() / profile.name)

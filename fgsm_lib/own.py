"""Your own model and images: any torch network, and a folder with one subfolder per class."""

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from fgsm_lib.classifiers import Classifier, fold_batch_norm
from fgsm_lib.datasets import Photo, PhotoDataset
from fgsm_lib.errors import InputError
from fgsm_lib.profiles import load_profile
from fgsm_lib.study import Study

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


class ImageFolder(PhotoDataset):
    """Images in one subfolder per class: ``folder/<class>/<any name>.png`` (or .jpg, ...).

    A subfolder is named as one of ``class_names``, or with the number of a class, from 0. Samples
    are numbered from 0 in the order of the sorted paths.

    Raises InputError where a subfolder names no class or more than one, or there is no image.
    """

    def __init__(self, folder: Path, class_names: list[str], to_pixels):
        self.folder = Path(folder)
        self.to_pixels = to_pixels
        self.class_names = list(class_names)
        paths = sorted(path for path in self.folder.glob("*/*") if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError(
                f"{self.folder}: no images; expected one subfolder per class with files that end "
                f"in {', '.join(sorted(SUFFIXES))}."
            )
        labels = {path.parent: self._label(path.parent) for path in paths}
        self.photos = [
            Photo(sample, path.stem, path, labels[path.parent], class_names[labels[path.parent]])
            for sample, path in enumerate(paths)
        ]

    def _label(self, subfolder: Path) -> int:
        name = subfolder.name
        labels = [label for label, known in enumerate(self.class_names) if known == name]
        if name.isdecimal() and int(name) < len(self.class_names):
            labels = labels or [int(name)]
        if len(labels) != 1:
            raise InputError(
                f"{subfolder}: {name!r} is the name of {len(labels) or 'no'} classes; expected "
                f"one of the class names or a number from 0 to {len(self.class_names) - 1}."
            )
        return labels[0]

    @cache  # noqa: B019 - a data set lives as long as the program
    def sha256(self) -> str:
        """A fingerprint of the labels, the class names and all image files."""
        digest = hashlib.sha256(repr(self.class_names).encode())
        for photo in self.photos:
            digest.update(f"{photo.label} {photo.path.name}".encode())
            digest.update(hashlib.sha256(photo.path.read_bytes()).digest())
        return digest.hexdigest()


def own_study(
    network: torch.nn.Module,
    images: Path,
    class_names: list[str],
    results: Path,
    **preprocessing,
) -> Study:
    """A study of any network on any images, with the epsilons of the profile nips2017.

    Args:
        network: takes normalized images, float32 (N, 3, H, W); returns logits (N, classes).
        images: a folder with one subfolder per class, see ``ImageFolder``.
        class_names: one name per class, in the order of the logits.
        results: the folder for the tables. A table is computed again for another network (its
            weights or its layers), other images or other settings.
        preprocessing: ``resize``, ``crop``, ``mean``, ``std`` and ``interpolation`` of
            ``Classifier``; those left out are ImageNet's.
    """
    classifier = Classifier(
        fold_batch_norm(network),
        list(class_names),
        name=type(network).__name__,
        sha256=network_sha256(network),
        **preprocessing,
    )
    dataset = ImageFolder(images, class_names, classifier.to_pixels)
    profile = replace(
        load_profile("nips2017"),
        name=Path(results).name,
        title="my own images",
        images="images",
        data=dataset.folder,
        arch=classifier.name,
        cases=(),
    )
    return Study(profile, dataset, classifier, Path(results))


def network_sha256(network: torch.nn.Module) -> str:
    """A fingerprint of a network's layers and weights."""
    digest = hashlib.sha256(repr(network).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()

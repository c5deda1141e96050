"""Your own model and images: any torch network, and a folder or a CSV file of images."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from fgsm_lib._torchvision import transforms
from fgsm_lib.classifiers import Classifier, fold_batch_norm
from fgsm_lib.datasets import Photo, PhotoDataset, read_csv
from fgsm_lib.errors import InputError
from fgsm_lib.profiles import load_profile
from fgsm_lib.study import Study

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


class OwnImages(PhotoDataset):
    """Images in one subfolder per class, or listed in a CSV file.

    A folder holds ``<class>/<any name>.png`` (or .jpg, ...); samples are numbered from 0 in the
    order of the sorted paths. A CSV file has the columns ``path``, which leads from its own folder
    downward, and ``label``; samples are numbered in the order of its rows. A class is one of
    ``class_names`` or its number, from 0.

    Raises InputError where a class is none of these or more than one, or there is no image.
    """

    def __init__(self, images: Path, class_names: list[str], to_pixels):
        self.folder = Path(images)
        self.to_pixels = to_pixels
        self.class_names = list(class_names)
        listed = _in_table if self.folder.is_file() else _in_folder
        self.photos = []
        for sample, (path, named, where) in enumerate(listed(self.folder)):
            label = self._label(named, where)
            self.photos.append(Photo(sample, path.stem, path, label, self.class_names[label]))

    def _label(self, name: str, where: str) -> int:
        labels = [label for label, known in enumerate(self.class_names) if known == name]
        if name.isdecimal() and int(name) < len(self.class_names):
            labels = labels or [int(name)]
        if len(labels) != 1:
            raise InputError(
                f"{where}: {name!r} is the name of {len(labels) or 'no'} classes; expected "
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


def _in_folder(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Path and class of each image, and where the class is said."""
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(
            f"{folder}: no images; expected one subfolder per class with files that end in "
            f"{', '.join(sorted(SUFFIXES))}, or a CSV file with the columns path and label."
        )
    for path in paths:
        yield path, path.parent.name, str(path.parent)


def _in_table(table: Path) -> Iterator[tuple[Path, str, str]]:
    for number, row in enumerate(read_csv(table, ["path", "label"]), start=1):
        path, where = Path(row["path"]), f"{table}, row {number}"
        if path.is_absolute() or ".." in path.parts:
            raise InputError(
                f"{where}: the path is {row['path']!r}; expected one below its folder."
            )
        if not (table.parent / path).is_file():
            raise InputError(f"{where}: there is no image {row['path']!r}; expected a file.")
        yield table.parent / path, row["label"], where


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
        images: a folder with one subfolder per class, or a CSV file, see ``OwnImages``.
        class_names: one name per class, in the order of the logits.
        results: the folder for the tables. A table is computed again for another network (its
            weights or its layers), other images or other settings.
        preprocessing: ``resize``, ``crop``, ``mean``, ``std`` and ``interpolation`` of
            ``Classifier``; those left out are those of a timm network's own configuration, and
            ImageNet's for any other network.
    """
    if hasattr(network, "pretrained_cfg"):
        preprocessing = timm_preprocessing(network) | preprocessing
    classifier = Classifier(
        fold_batch_norm(network),
        list(class_names),
        name=type(network).__name__,
        sha256=network_sha256(network),
        **preprocessing,
    ).to("cuda" if torch.cuda.is_available() else "cpu")
    dataset = OwnImages(images, class_names, classifier.to_pixels)
    profile = replace(
        load_profile("nips2017"),
        name=Path(results).name,
        title="my own images",
        images="images",
        data=dataset.folder,
        arch=classifier.name,
        cases=(),
        every_minimal=1,
        every_control=1,
    )
    return Study(profile, dataset, classifier, Path(results))


def timm_preprocessing(network: torch.nn.Module) -> dict[str, object]:
    """What a network of timm wants its images to be like, as options of ``Classifier``.

    Raises InputError where timm would not resize the shorter side and crop the center.
    """
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(network)
    _, height, width = config["input_size"]
    if height != width or config.get("crop_mode", "center") != "center":
        raise InputError(
            f"{type(network).__name__} wants images of {height} × {width} in the crop mode "
            f"{config.get('crop_mode')!r}; expected square images and 'center'."
        )
    return {
        "resize": int(height / config["crop_pct"]),
        "crop": height,
        "mean": tuple(config["mean"]),
        "std": tuple(config["std"]),
        "interpolation": transforms.InterpolationMode(config["interpolation"]),
    }


def network_sha256(network: torch.nn.Module) -> str:
    """A fingerprint of a network's layers and weights."""
    digest = hashlib.sha256(repr(network).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()

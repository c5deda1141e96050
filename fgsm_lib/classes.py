"""Names of classes: in which order they stand, and which of them a label means.

A label is the name of a class, or its number. Numbers count through ``class_names``, or through
the classes that a set says itself, whose names are then found among ``class_names``. What could
mean two classes is refused.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fgsm_lib import InputError

ClassNames = Sequence[str | int] | Mapping[int, str] | Mapping[str, int]


def imagenet_classes() -> list[str]:
    """The 1000 ImageNet classes as torchvision names them, in the order of the logits."""
    path = Path(__file__).parent / "imagenet_classes.txt"
    return path.read_text(encoding="utf-8").splitlines()


def class_list(class_names: ClassNames | None) -> list[str] | None:
    """Names of classes in the order of the logits.

    Args:
        class_names: a list, tuple or array in that order; a dictionary {index: name} or
            {name: index}, whose indices are 0, 1, 2, … without a gap. A name may occur twice.
            None stays None.

    Raises InputError where it is anything else, or holds fewer than two names.
    """
    if class_names is None:
        return None
    names = class_names.tolist() if isinstance(class_names, np.ndarray | pd.Series) else class_names
    names = _in_order(names) if isinstance(names, Mapping) else names
    is_list = isinstance(names, Sequence) and not isinstance(names, str | bytes)
    if not is_list or not all(isinstance(name, str | int) for name in names):
        raise InputError(
            f"class_names is {str(class_names)[:80]}; expected a list of names in the order of the "
            "logits, or a dictionary {index: name} or {name: index} with each index from 0 on once."
        )
    if len(names) < 2:
        raise InputError(
            f"class_names holds {len(names)} names; expected at least two: with a single class "
            "there is nothing to be mistaken for."
        )
    return [_composed(name) for name in names]


def _composed(text: object) -> str:
    """The same letters as one writes them: é is one character, which a Mac's folders take apart."""
    return unicodedata.normalize("NFC", str(text))


def _in_order(names: Mapping) -> list[str | None]:
    """The names of {index: name} or {name: index} by their indices; None where one is missing."""
    pairs = names.items()
    if _is_by_name(names):
        pairs = [(index, name) for name, index in pairs]
    by_index = {i: n for i, n in pairs if isinstance(i, Integral) and isinstance(n, str)}
    return [by_index.get(index) for index in range(len(names))]


def _is_by_name(names: ClassNames) -> bool:
    """Whether this is {name: index}."""
    return isinstance(names, Mapping) and not all(isinstance(v, str) for v in names.values())


def own_names(source: Any) -> list[str] | None:
    """The classes that a data set says itself, in the order of its numbers, or None.

    They are its ``classes``, as torchvision's have them; in torch's Subset and ConcatDataset those
    of the sets in it. Where a set transforms its labels, nobody knows.
    """
    if type(source).__module__.startswith("torch.utils.data"):
        inner = getattr(source, "datasets", None) or [getattr(source, "dataset", None)]
        every = [own_names(one) for one in inner]
        return every[0] if every.count(every[0]) == len(every) else None
    found, transform = (getattr(source, name, None) for name in ("classes", "target_transform"))
    if transform or not isinstance(found, list | tuple | np.ndarray):
        return None
    synonyms = [name if isinstance(name, tuple) else (name,) for name in found]
    return [_composed(", ".join(map(str, each))) for each in synonyms]


def labels_of(
    given: Sequence[Any],
    class_names: ClassNames | None,
    wheres: Sequence[str],
    own: Sequence[str] | None = None,
) -> tuple[list[str], list[int]]:
    """The names of the classes, and the label of each picture, from 0.

    Args:
        given: the name of a class or its number, for each picture.
        class_names: see ``class_list``. A dictionary {name: index} says that what may be a name
            is one.
        wheres: what a message calls each picture.
        own: the classes that the set says itself, through which whole numbers count. Without, a
            number is like its text: it may be a name, too.

    Raises InputError where something means no class, or more than one.
    """
    names = class_list(class_names)
    if names is None:
        raise InputError("class_names is None; expected one name per class, in logit order.")
    meant, last = _meanings(names, own, _is_by_name(class_names))
    labels = []
    for value, where in zip(given, wheres, strict=True):
        with suppress(ValueError, RuntimeError):  # several numbers
            value = value.item() if hasattr(value, "item") else value
        is_number = own is not None and isinstance(value, int)
        found = meant.get(value if is_number else _composed(value), set())
        if len(found) != 1:
            raise InputError(
                f"{where}: {value!r} is the name or number of {len(found) or 'no'} classes; "
                f"expected a class name, or a number from 0 to {last}; where a name "
                "is another's number, class_names as a dictionary {name: index}."
            )
        labels += found
    return names, labels


def _meanings(
    names: Sequence[str], own: Sequence[str] | None, names_first: bool
) -> tuple[dict[str | int, set[int]], int]:
    """Which classes each text means, and with ``own`` each number; and the last number."""
    meant: dict[str | int, set[int]] = {}
    for index, name in enumerate(names):
        meant.setdefault(name, set()).add(index)
    counted = [{index} for index in range(len(names))]
    if own not in (None, names):
        counted = [meant.get(name, set()) for name in own]
        if any(len(found) != 1 for found in counted):
            raise InputError(
                f"class_names is {str(names)[:80]} ({len(names)} in all), and the set's own "
                f"classes are {str(own)[:80]} ({len(own)}); expected each of these among "
                "class_names; where these are the same in other words, set its classes to them."
            )
    for number, found in enumerate(counted):
        key = str(number) if own is None else number
        if not (key in meant and names_first):
            meant[key] = meant.get(key, set()) | found
    return meant, len(counted) - 1

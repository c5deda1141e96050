"""Names of classes: in which order they stand, and which of them is meant."""

import operator
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fgsm_lib import InputError

MOST_CLASSES = 100_000

ClassNames = Sequence[str | int] | Mapping[int, str] | Mapping[str, int]


def class_list(class_names: ClassNames | None) -> list[str] | None:
    """Names of classes in the order of the logits.

    Args:
        class_names: a list or tuple in that order; a dictionary {index: name} or {name: index},
            whose indices are 0, 1, 2, … without a gap. A name may occur twice. None stays None.

    Raises InputError where it is anything else, or holds fewer than two names.
    """
    if class_names is None:
        return None
    names = class_names
    with suppress(RuntimeError):  # a tensor without values
        names = class_names.tolist() if hasattr(class_names, "tolist") else class_names
    if isinstance(names, Mapping):
        names = _in_order(names)
    if not isinstance(names, Sequence) or isinstance(names, str | bytes):
        raise InputError(
            f"class_names is a {type(class_names).__name__}; expected a list of names in the order "
            "of the logits, or a dictionary by index or by name."
        )
    for name in names:
        if not isinstance(name, str | int):
            raise InputError(f"class_names holds {name!r}; expected texts or whole numbers.")
    if len(names) < 2:
        raise InputError(
            f"class_names holds {len(names)} names; expected at least two: with a single class "
            "there is nothing to be mistaken for."
        )
    return [str(name) for name in names]


def _in_order(names: Mapping) -> list[str]:
    """The names of {index: name} or {name: index} by their indices."""
    pairs = [(name, index) for index, name in names.items()]
    if not all(isinstance(name, str) for name, _ in pairs):  # by name
        pairs = list(names.items())
    # As JSON has only texts for keys, an index may be one: {"0": "cat", "1": "dog"}.
    by_index = {_whole(index): name for name, index in pairs}
    if not all(isinstance(name, str) for name, _ in pairs) or -1 in by_index:
        raise InputError(
            f"class_names is {str(names)[:80]}; expected a dictionary {{index: name}} or "
            "{name: index}."
        )
    if sorted(by_index) != list(range(len(pairs))):
        raise InputError(
            f"class_names has the indices {str(sorted(index for _, index in pairs))[:80]}; "
            f"expected each number from 0 to {len(pairs) - 1} once."
        )
    return [by_index[index] for index in range(len(pairs))]


def _whole(value: Any) -> int:
    """A whole number from 0 on, also in a text or a tensor; -1 for anything else."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else -1
    try:
        return max(operator.index(value), -1)
    except TypeError:
        return -1


def labels_of(
    given: Sequence[Any], class_names: ClassNames | None, wheres: Sequence[str]
) -> tuple[list[str], list[int]]:
    """The names of the classes, and the label of each picture, from 0.

    Args:
        given: the name of a class or its number, for each picture.
        class_names: see ``class_list``. None is allowed where all are given by number.
        wheres: what a message calls each picture.

    Raises InputError where something is no class, or the name of one and the number of another.
    """
    names = class_list(class_names) or _numbers(given)
    meant: dict[str, set[int]] = {}
    for number, name in enumerate(names):
        meant.setdefault(name, set()).add(number)
        meant.setdefault(str(number), set()).add(number)
    labels = []
    for value, where in zip(given, wheres, strict=True):
        if isinstance(value, str):
            found = meant.get(value, set())
        else:
            found = {_whole(value)} if 0 <= _whole(value) < len(names) else set()
        if len(found) != 1:
            raise InputError(
                f"{where}: {value!r} is the name or number of {len(found) or 'no'} classes; "
                f"expected one of the class names, or a number from 0 to {len(names) - 1}."
            )
        labels += found
    return names, labels


def _numbers(given: Sequence[Any]) -> list[str]:
    """Numbers in place of names, as many as occur."""
    numbers = [_whole(value) for value in given]
    if min(numbers) < 0 or max(numbers) >= MOST_CLASSES:
        some = ", ".join(sorted({str(value) for value in given})[:3])
        raise InputError(
            f"class_names is None, and the pictures' classes are {some}, …; expected class_names, "
            "in the order of the logits."
        )
    return [str(number) for number in range(max(2, max(numbers) + 1))]


def imagenet_classes() -> list[str]:
    """The 1000 ImageNet classes as torchvision names them, in the order of the logits."""
    path = Path(__file__).parent / "imagenet_classes.txt"
    return path.read_text(encoding="utf-8").splitlines()

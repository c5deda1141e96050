"""Names of classes: in which order they stand, and which of them is meant."""

import operator
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

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
    return [composed(str(name)) for name in names]


def composed(text: str) -> str:
    """The same letters as one writes them: é is one character, which a Mac's folders take apart."""
    return unicodedata.normalize("NFC", text)


def _in_order(names: Mapping) -> list[str]:
    """The names of {index: name} or {name: index} by their indices."""
    pairs = [(name, index) for index, name in names.items()]
    if _is_by_name(names):
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


def _is_by_name(names: ClassNames | None) -> bool:
    """Whether this is {name: index}."""
    return isinstance(names, Mapping) and not all(isinstance(v, str) for v in names.values())


def _whole(value: Any) -> int:
    """A whole number from 0 on, also in a text or a tensor; -1 for anything else."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else -1
    try:
        return max(operator.index(value.item() if hasattr(value, "item") else value), -1)
    except (TypeError, ValueError, RuntimeError):
        return -1


def own_names(source: Any) -> list[str] | None:
    """The classes that a set says itself, in the order of its numbers; None where it does not.

    They are its ``classes`` or ``class_names``, in a set of Hugging Face's those of the feature
    ``label``, in torch's Subset and ConcatDataset those of the sets in it. Where labels are
    transformed, or a wrapper may do so, nobody knows.
    """
    # The columns of a data frame are attributes, too.
    if isinstance(source, pd.DataFrame) or getattr(source, "target_transform", None):
        return None
    if type(source).__module__.startswith("torch.utils.data"):
        inner = getattr(source, "datasets", None) or [getattr(source, "dataset", None)]
        every = [own_names(one) for one in inner]
        return every[0] if every.count(every[0]) == len(every) else None
    found = getattr(source, "classes", getattr(source, "class_names", None))
    features = getattr(source, "features", None)
    if found is None and isinstance(features, Mapping):
        found = getattr(features.get("label"), "names", None)
    with suppress(InputError):  # it may be a single one, or have synonyms
        found = class_list(found)
    if not isinstance(found, list | tuple):
        return None
    synonyms = [name if isinstance(name, tuple) else [name] for name in found]
    return [composed(", ".join(map(str, each))) for each in synonyms]


def places(own: Sequence[str], names: Sequence[str]) -> list[int]:
    """Where each of a set's own classes stands among the class names.

    By name, if each is one of them. Else there must be equally many, with a word in common at
    every place ("tench, Tinca tinca" is "tench"), or nowhere: then the order cannot be checked.
    """
    often = Counter(names)
    if own != names and all(often[name] == 1 for name in own):
        return [names.index(name) for name in own]
    words = [[set(re.findall(r"\w+", name.lower())) for name in each] for each in (own, names)]
    alike = own == names or all(mine & yours for mine, yours in zip(*words, strict=False))
    nowhere = set().union(*words[0]).isdisjoint(set().union(*words[1]))
    if len(own) != len(names) or not (alike or nowhere):
        raise InputError(
            f"class_names is {str(names)[:80]} ({len(names)} in all), and the set's own classes "
            f"are {str(own)[:80]} ({len(own)}); expected each of these among class_names."
        )
    return list(range(len(names)))


def labels_of(
    given: Sequence[Any],
    class_names: ClassNames | None,
    wheres: Sequence[str],
    own: Sequence[str] | None = None,
) -> tuple[list[str], list[int]]:
    """The names of the classes, and the label of each picture, from 0.

    Args:
        given: the name of a class or its number, for each picture.
        class_names: see ``class_list``. None is allowed where all are given by number.
        wheres: what a message calls each picture.
        own: the set's own classes, if a number counts through those; else it is like its text.

    Texts that can all be names are names, if not all can be numbers, or a dictionary {name: index}
    is given. Raises InputError where something is no class, or one by its name and another by its
    number.
    """
    names = class_list(class_names) or _numbers(given)
    place = None if own is None else places(own, names)
    texts = [None if own and not isinstance(value, str) else _text(value) for value in given]
    meant: dict[str, set[int]] = {}
    for number, name in enumerate(names):
        meant.setdefault(name, set()).add(number)
    numbered, told = {str(number) for number in range(len(names))}, {*texts} - {None}
    if not (told <= meant.keys() and (_is_by_name(class_names) or not told <= numbered)):
        for number in numbered:
            meant.setdefault(number, set()).add(int(number))
    labels = []
    for value, text, where in zip(given, texts, wheres, strict=True):
        number = _whole(value)
        found = set(place[number : number + 1]) if text is None else meant.get(text, set())
        if len(found) != 1:
            expected = f"one of the class names, or a number from 0 to {len(names) - 1}"
            if found:
                expected = "one; if it is a name, class_names as a dictionary {name: index}"
            raise InputError(
                f"{where}: {value!r} is the name or number of {len(found) or 'no'} classes; "
                f"expected {expected}."
            )
        labels += found
    return names, labels


def _text(value: Any) -> str:
    number = _whole(value)
    return composed(value if isinstance(value, str) else str(value if number < 0 else number))


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

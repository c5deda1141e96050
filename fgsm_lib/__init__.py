"""The Fast Gradient Sign Method, as a small library for notebooks.

Read in this order: ``attacks`` (the method; its arguments are looked at in ``checks``),
``classifiers`` (a network behind its preprocessing), ``weights`` (where it comes from),
``pictures``, ``classes`` and ``datasets`` (what is attacked), ``sweep`` and ``store`` (many
pictures at many ε, kept), ``offered`` (and handed on), ``study`` (all of it opened at once),
``analysis`` and ``perception`` (what tables and pictures say), ``figures``, ``gallery``, ``slider``
and ``show`` (how it is shown).
"""

import os
from importlib import import_module
from pathlib import Path

__version__ = "0.2.0"

_HOMES = {
    "fgsm": "attacks",
    "load_classifier": "weights",
    "own_study": "study",
    "open_study": "study",
}


class InputError(ValueError):
    """Something that was given cannot be used; the message says what, and what was expected.

    It is one line, also where a value is shown that would print on many; of a long one both ends.
    """

    def __init__(self, message: str):
        line = " ".join(message.split())
        super().__init__(line if len(line) <= 1000 else f"{line[:700]} … {line[-250:]}")

    def _render_traceback_(self) -> list[str]:
        """In a notebook the sentence alone: what leads to it is no fault of the library."""
        return [f"InputError: {self}"]


def expanded(path: str | os.PathLike) -> Path:
    """A path, with the home of its user in place of ``~user``, if there is such a user."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a path is of type {type(path).__name__}; expected a text or a Path.")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def __getattr__(name: str):
    """Import what is asked for, and nothing else: torch alone takes seconds."""
    if name in _HOMES:
        return getattr(import_module(f"fgsm_lib.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'fgsm_lib' has no attribute {name!r}")

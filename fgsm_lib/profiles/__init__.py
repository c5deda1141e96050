"""Profiles: which pictures, which classifier, which epsilons and which objective go together.

A profile is a TOML file. Four are built in (the files beside this one); any other is named by its
path, so nobody has to edit the library to study another network or other pictures.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from fgsm_lib import InputError, expanded

BUILT_IN = Path(__file__).parent
DEMO = "demo"

Epsilon = Annotated[float, msgspec.Meta(ge=0, le=255)]
Step = Annotated[int, msgspec.Meta(ge=1)]


class Grids(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The epsilons, in 1/255, of the pages on single pictures, of the hypothesis, and so on."""

    cases: tuple[Epsilon, ...] = (
        *(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20),
    )
    hypothesis: tuple[Epsilon, ...] = (
        *(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 2, 4, 10, 20, 30, 40, 50, 60),
    )
    all_images: tuple[Epsilon, ...] = (0, 1, 2, 4, 8, 16, 32, 48, 64, 96, 128)
    objectives: tuple[Epsilon, ...] = (0, 0.3, 1, 4, 16, 60)


class Every(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of every how many pictures one is looked at, by a page that computes much."""

    control: Step = 4  # random signs at every epsilon, and what 8 bits keep
    objectives: Step = 4  # the other objective
    clips: Step = 4  # the other clip, with both objectives
    iterative: Step = 45  # BIM and PGD


class Profile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The contents of a profile file; paths are resolved against its folder.

    ``pictures`` is "toys", "photographs" (those that scikit-image ships) or "folder", which
    ``data`` then names. ``shown`` is the profile whose pictures the pages show one by one.
    ``training`` is what has to be said of the classifier wherever its numbers are.
    """

    title: str
    pictures: Literal["toys", "photographs", "folder"]
    arch: str
    name: str = ""
    kind: str = "images"  # what the pages call them
    data: str = ""
    weights: str = ""
    weights_sha256: str = ""
    objective: Literal["cross_entropy", "true_logit"] = "cross_entropy"
    clip: Literal["valid", "image"] = "valid"
    cases: tuple[str | int, ...] = ()
    shown: str = ""
    training: str = ""
    epsilon_255: Grids = Grids()
    every: Every = Every()

    @property
    def sweep_epsilon_255(self) -> tuple[float, ...]:
        """Every epsilon that some page needs, each once, in increasing order, from 0 on."""
        grids = self.epsilon_255
        used = grids.cases + grids.hypothesis + grids.all_images + grids.objectives
        return tuple(sorted({0.0, *map(float, used)}))


def load_profile(
    name: str | Path = DEMO,
    *,
    data: str | Path | None = None,
    weights: str | Path | None = None,
    arch: str | None = None,
) -> Profile:
    """A built-in profile by name, or one's own by the path of its TOML file.

    ``data``, ``weights`` and ``arch`` replace what the file says. Where they are not given, the
    environment variables FGSM_DATA, FGSM_WEIGHTS and FGSM_ARCH are looked at, then the photographs
    that ``fgsm fetch`` has fetched. The toys and the photographs, which every build shows, bring
    their own pictures and classifier.

    Raises InputError where the file or a value in it is not as expected.
    """
    profile = _parse(_find(str(name)))
    given = {"data": data, "weights": weights, "arch": arch}
    if profile.pictures != "folder":
        if any(given.values()):
            raise InputError(
                f"the profile {profile.name} brings its own pictures and classifier; for other "
                "data or weights add PROFILE=nips2017 (--profile nips2017)."
            )
        return profile
    fetched = build_folder() / profile.name / "data"
    if not profile.data and (fetched / "dev_dataset.csv").is_file():
        profile = msgspec.structs.replace(profile, data=str(fetched))
    given = {key: value or os.environ.get(f"FGSM_{key.upper()}") for key, value in given.items()}
    given = {key: value for key, value in given.items() if value}
    for key in given.keys() & {"data", "weights"}:
        given[key] = str(expanded(given[key]).absolute())
    if given.keys() & {"weights", "arch"}:
        given = {"weights": "", "weights_sha256": "", **given}  # those of the file fit no longer
    return msgspec.structs.replace(profile, **given)


def built_in() -> list[str]:
    """The names of the built-in profiles."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def build_folder() -> Path:
    """``_build`` of the project one is in, or of the current folder outside the project.

    The build runs every notebook from a folder of its own and says so with FGSM_BUILD.
    """
    if "FGSM_BUILD" in os.environ:
        return Path(os.environ["FGSM_BUILD"])
    here = Path.cwd()
    projects = [folder for folder in (here, *here.parents) if (folder / "_toc.yml").is_file()]
    return (projects[0] if projects else here) / "_build"


def _find(name: str) -> Path:
    if name in built_in():
        return BUILT_IN / f"{name}.toml"
    path = expanded(name)
    if path.suffix != ".toml":
        raise InputError(
            f"unknown profile {name!r}; expected {', '.join(built_in())} or the path of a .toml "
            "file."
        )
    if path.stem in built_in() and path.absolute().parent != BUILT_IN:
        raise InputError(f"{path}: {path.stem} is a built-in profile; rename your file.")
    return path


def _parse(path: Path) -> Profile:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        profile = msgspec.convert({**values, "name": path.stem}, Profile)
    except OSError:
        raise InputError(f"{path}: no such profile file.") from None
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}.") from None
    except (ValueError, RecursionError) as error:  # also of a name that no file can have
        raise InputError(f"{path}: not a TOML file ({error}).") from None
    if not any(profile.sweep_epsilon_255):
        raise InputError(f"{path}: every epsilon is 0; expected at least one above 0.")
    grids = {
        key: tuple(sorted({0.0, *map(float, grid)}))  # every curve starts at the clean image
        for key, grid in msgspec.structs.asdict(profile.epsilon_255).items()
    }
    beside = {
        key: str((path.parent / expanded(value)).absolute())
        for key in ("data", "weights", "shown")
        if (value := getattr(profile, key)) and (key != "shown" or value.endswith(".toml"))
    }
    return msgspec.structs.replace(profile, epsilon_255=Grids(**grids), **beside)

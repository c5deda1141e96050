"""Profiles: which images, which classifier, which epsilons and which objective go together.

A profile is a TOML file. Two are built in (the files beside this one); any other is named by its
path, so nobody has to edit the library to study another model or other images.
"""

import math
import os
import tomllib
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from fgsm_lib.demo.dataset import ensure_demo_set
from fgsm_lib.errors import InputError

BUILT_IN = Path(__file__).parent
DEMO = "demo"


@dataclass(frozen=True)
class Profile:
    """The contents of a profile file; paths are resolved against its folder."""

    name: str
    title: str
    images: str
    data: Path | None
    arch: str
    weights: Path | None
    weights_sha256: str | None
    objective: str
    clip: str
    cases: tuple[int, ...]
    case_epsilon_255: tuple[float, ...]
    hypothesis_epsilon_255: tuple[float, ...]
    all_images_epsilon_255: tuple[float, ...]
    objectives_epsilon_255: tuple[float, ...]
    every_objectives: int
    every_clips: int
    every_iterative: int
    every_minimal: int
    every_control: int

    @property
    def sweep_epsilon_255(self) -> tuple[float, ...]:
        """Every epsilon that some page needs, each once, in increasing order."""
        grids = self.case_epsilon_255 + self.hypothesis_epsilon_255 + self.all_images_epsilon_255
        return tuple(sorted({0.0, *grids, *self.objectives_epsilon_255}))

    @property
    def eight_bit_epsilon_255(self) -> tuple[float, ...]:
        """Where rounding to whole gray levels matters: up to two of them."""
        return tuple(epsilon for epsilon in self.sweep_epsilon_255 if epsilon <= 2)

    @property
    def example(self) -> int:
        """The sample that the pages about one image show: the first case study, else sample 0."""
        return self.cases[0] if self.cases else 0

    @property
    def other_variants(self) -> list[tuple[str, str]]:
        """The three pairs of objective and clip that the profile's own sweep does not use."""
        return [pair for pair in VARIANTS if pair != (self.objective, self.clip)]


_TEXTS = {"title", "images", "data", "arch", "weights", "weights_sha256", "objective", "clip"}
_GRIDS = {"cases", "hypothesis", "all_images", "objectives"}
_EVERY = {"objectives", "clips", "iterative", "minimal", "control"}
_CHOICES = {"objective": ("cross_entropy", "true_logit"), "clip": ("valid", "image")}
_REQUIRED = {"title", "arch"}
# Every objective with every clip; the published experiment is the last.
VARIANTS = tuple(product(_CHOICES["objective"], _CHOICES["clip"]))


def variant_name(objective: str, clip: str) -> str:
    """The name of a variant's table in the build folder."""
    return f"sweep-{objective}-{clip}"


def load_profile(
    name: str,
    *,
    data: str | Path | None = None,
    weights: str | Path | None = None,
    arch: str | None = None,
) -> Profile:
    """A built-in profile by name, or one's own by the path of its TOML file.

    ``data``, ``weights`` and ``arch`` replace what the file says. Where they are not given, the
    environment variables FGSM_DATA, FGSM_WEIGHTS and FGSM_ARCH are looked at.

    Raises InputError where the file or a value in it is not as expected.
    """
    path = _find(name)
    profile = _parse(path)
    data = data or os.environ.get("FGSM_DATA")
    weights = weights or os.environ.get("FGSM_WEIGHTS")
    arch = arch or os.environ.get("FGSM_ARCH")
    if profile.name == DEMO and (data or weights or arch):
        raise InputError(
            "the profile demo brings its own images and classifier; "
            "for other data or weights add PROFILE=nips2017 (--profile nips2017)."
        )
    if data:
        profile = replace(profile, data=Path(data).absolute())
    if weights:
        profile = replace(profile, weights=Path(weights).absolute(), weights_sha256=None)
    if arch:
        profile = replace(profile, arch=arch)
    return profile


def _find(name: str) -> Path:
    built_in = {path.stem: path for path in sorted(BUILT_IN.glob("*.toml"))}
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{path}: no such profile file.")
        if path.stem in built_in and path.resolve().parent != BUILT_IN:
            raise InputError(f"{path}: {path.stem} is a built-in profile; rename your file.")
        return path
    if name not in built_in:
        raise InputError(
            f"unknown profile {name!r}; expected {', '.join(built_in)} or the path of a .toml file."
        )
    return built_in[name]


def _parse(path: Path) -> Profile:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({error}).") from None
    grids = values.pop("epsilon_255", {})
    every = values.pop("every", {})
    cases = values.pop("cases", [])
    for key in _REQUIRED - values.keys():
        raise InputError(f"{path}: {key!r} is missing; expected a text.")
    for key, value in values.items():
        if key not in _TEXTS:
            raise InputError(
                f"{path}: unknown key {key!r}; expected {', '.join(sorted(_TEXTS))}, cases, "
                "[epsilon_255] or [every]."
            )
        if not isinstance(value, str):
            raise InputError(f"{path}: {key} is {value!r}; expected a text.")
        if value not in _CHOICES.get(key, (value,)):
            raise InputError(f"{path}: {key} is {value!r}; expected {' or '.join(_CHOICES[key])}.")
    if not isinstance(cases, list) or not all(type(n) is int and n >= 0 for n in cases):
        raise InputError(f"{path}: cases is {cases!r}; expected a list of sample numbers.")
    return Profile(
        name=path.stem,
        title=values["title"],
        images=values.get("images", "images"),
        data=_path(path, values.get("data")),
        arch=values["arch"],
        weights=_path(path, values.get("weights")),
        weights_sha256=values.get("weights_sha256") or None,
        objective=values.get("objective", "cross_entropy"),
        clip=values.get("clip", "valid"),
        cases=tuple(cases),
        **{f"{key}_epsilon_255": grid for key, grid in _grids(path, grids).items()},
        **{f"every_{key}": step for key, step in _every(path, every).items()},
    )


def _path(profile: Path, value: str | None) -> Path | None:
    return (profile.parent / value).absolute() if value else None


def _grids(path: Path, grids: object) -> dict[str, tuple[float, ...]]:
    """The epsilon grids, sorted; those that a profile leaves out are the built-in ones."""
    if not isinstance(grids, dict) or grids.keys() - _GRIDS:
        raise InputError(
            f"{path}: epsilon_255 is {grids!r}; expected a table of {', '.join(sorted(_GRIDS))}."
        )
    defaults = tomllib.loads((BUILT_IN / "nips2017.toml").read_text())["epsilon_255"]
    for key, grid in grids.items():
        if not (isinstance(grid, list) and all(map(_is_epsilon, grid)) and any(grid)):
            raise InputError(
                f"{path}: epsilon_255.{key} is {grid!r}; expected a list of numbers from 0 to 255, "
                "at least one of them above 0."
            )
    names = {"cases": "case"}
    return {
        # Every curve starts at the clean image.
        names.get(key, key): tuple(sorted({0.0, *map(float, grid)}))
        for key, grid in {**defaults, **grids}.items()
    }


def _every(path: Path, every: object) -> dict[str, int]:
    """Every how many images a page that computes much looks at one."""
    if not isinstance(every, dict) or every.keys() - _EVERY:
        raise InputError(
            f"{path}: every is {every!r}; expected a table of {', '.join(sorted(_EVERY))}."
        )
    for key, step in every.items():
        if type(step) is not int or step < 1:
            raise InputError(f"{path}: every.{key} is {step!r}; expected a whole number above 0.")
    defaults = tomllib.loads((BUILT_IN / "nips2017.toml").read_text())["every"]
    return {**defaults, **every}


def _is_epsilon(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= 255


def data_folder(profile: Profile) -> Path:
    """Where the profile's images lie. Those of the demo are made there if need be."""
    if profile.name == DEMO:
        return ensure_demo_set(build_folder() / DEMO / "data")
    if profile.data is None:
        raise InputError(
            f"the profile {profile.name} needs a folder of photographs: make site "
            f"PROFILE={profile.name} DATA=<folder with dev_dataset.csv, categories.csv, images/> "
            "[WEIGHTS=<file> ARCH=<torchvision name>]."
        )
    if not profile.data.is_dir():
        raise InputError(f"{profile.data}: no such folder; expected DATA to name one.")
    return profile.data


def build_folder() -> Path:
    """``_build`` of the project one is in (or of the current folder, outside the project).

    The build runs every notebook from a folder of its own and says so with FGSM_BUILD.
    """
    if "FGSM_BUILD" in os.environ:
        return Path(os.environ["FGSM_BUILD"])
    here = Path.cwd()
    projects = [folder for folder in (here, *here.parents) if (folder / "_toc.yml").is_file()]
    return (projects[0] if projects else here) / "_build"

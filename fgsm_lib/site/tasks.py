"""What depends on what: the tasks of a build, run by doit.

Only what changed is redone: prose re-renders, a notebook re-executes that notebook, the library
re-executes what imports it, and the sweep runs again only for other images, weights, epsilons or
code that its numbers depend on.
"""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor
from contextlib import closing, contextmanager
from pathlib import Path

from doit.action import CmdAction
from doit.cmd_base import ModuleTaskLoader
from doit.dependency import DatabaseException, SqliteDB
from doit.doit_cmd import DoitMain
from doit.exceptions import TaskFailed
from doit.reporter import ConsoleReporter
from doit.tools import config_changed
from filelock import FileLock, Timeout

from fgsm_lib.demo.workers import available_cores
from fgsm_lib.errors import InputError
from fgsm_lib.profiles import Profile, build_folder, data_folder, variant_name
from fgsm_lib.site import MARKER, PARENT, browser, launch, runtime
from fgsm_lib.site.forks import execute_page, page_processes, warm_up

LIBRARY = Path(__file__).parents[1]
# What the numbers of a sweep depend on.
SWEEP_MODULES = (
    "_torchvision",
    "datasets",
    "classifiers",
    "attacks",
    "sweep",
    "shards",
    "calibrate",
    "minimal",
    "iterative",
    "perception",
)
# Page -> notebook. The case studies share one and come from the profile.
PAGES = {
    "index": "index.py",
    "method": "method.py",
    "data-and-model": "data_and_model.py",
    "hypothesis": "hypothesis.py",
    "objectives": "objectives.py",
    "iterative": "iterative.py",
    "questions": "questions.py",
    "claims": "claims.py",
    "live": "live.py",
    "your-own": "your_own.py",
    "performance": "performance.py",
    "tested": "tested.py",
    "about": "about.py",
}
CASE_NOTEBOOK = "case_study.py"


class Memory(SqliteDB):
    """What doit remembers of earlier builds. If it is damaged or lost, all is done again."""

    def __init__(self, name: str, codec, **options):
        try:
            with closing(sqlite3.connect(name)) as connection:
                for (text,) in connection.execute("select task_data from doit"):
                    json.loads(text)
        except (sqlite3.Error, ValueError, TypeError):
            Path(name).unlink(missing_ok=True)
        try:
            super().__init__(name, codec, **options)
        except DatabaseException:  # doit would answer with a traceback
            sys.exit(
                f"fgsm: {name}: the memory of builds cannot be written; expected a place that can "
                "be written, with space left."
            )

    def dump(self) -> None:
        try:
            super().dump()
        except sqlite3.Error as error:  # a disk that is full, say
            print(f"fgsm: {self.name}: {error}; the next build does all again.", file=sys.stderr)


class Unaltered:
    """A check for doit: the targets are, byte for byte, what the task left behind."""

    def __call__(self, task, values: dict) -> bool:
        task.value_savers.append(lambda: {"targets": self._digest(task)})
        return values.get("targets") == self._digest(task)

    @staticmethod
    def _digest(task) -> str | None:
        digest = hashlib.sha256()
        try:
            for target in task.targets:
                digest.update(Path(target).read_bytes())
        except OSError:
            return None
        return digest.hexdigest()


class PageFailed(TaskFailed):
    """A notebook that failed; its message says on which page and in which cell."""


class Reporter(ConsoleReporter):
    """One line for each task that has something to do, with the word that says what."""

    def execute_task(self, task) -> None:
        if task.actions:
            self.write(f"· {task.title()}\n")

    def skip_uptodate(self, task) -> None:
        pass

    def skip_ignore(self, task) -> None:
        pass

    def add_failure(self, task, fail_info) -> None:
        if isinstance(fail_info, PageFailed):
            self.write(f"fgsm: {fail_info.message}\n")

    def complete_run(self) -> None:
        pass


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One build at a time in a build folder; a build that is killed frees it.

    Raises InputError where another build is running.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder}: another build is running here; expected to be alone. Wait until it is done."
        ) from None
    with held:
        yield


def run(
    project: Path, profile: Profile, argument: str, samples: list[int], names: dict[int, str]
) -> bool:
    """Bring the site of a profile up to date; True if that worked.

    ``argument`` is what the notebooks call the profile (its name, or the path of its file);
    ``names`` has the class name of each sample that gets a case study.

    Raises InputError where another build is running.
    """
    folder = build_folder() / profile.name
    folder.mkdir(parents=True, exist_ok=True)
    workers = min(4, available_cores())
    options = {
        "dep_file": str(folder / ".doit.db"),
        "backend": "memory",
        "num_process": workers,
        "par_type": "thread",
        "reporter": Reporter,
        "verbosity": 2,
    }
    with alone(build_folder()), page_processes(workers) as processes:
        tasks = Tasks(project, profile, argument, samples, names, processes)
        creators = {
            "task_sweep": tasks.sweep,
            "task_page": tasks.pages,
            "task_classifier": tasks.classifier,
            "task_runtime": tasks.runtime,
            "task_site": tasks.site,
            "DOIT_CONFIG": options,
        }
        backends = {"BACKEND": {"memory": f"{__name__}:Memory"}}
        return DoitMain(ModuleTaskLoader(creators), extra_config=backends).run(["site"]) == 0


class Tasks:
    """The task creators that doit calls, for one profile."""

    def __init__(
        self,
        project: Path,
        profile: Profile,
        argument: str,
        samples: list[int],
        names: dict[int, str],
        processes: Executor,
    ):
        self.project = project
        self.profile = profile
        self.argument = argument
        self.processes = processes
        self.folder = build_folder() / profile.name
        self.notebooks = {
            name: (notebook, {"profile": argument}) for name, notebook in PAGES.items()
        }
        for sample in dict.fromkeys([*profile.cases, *samples]):
            parameters = {"profile": argument, "sample": sample, "class_name": names[sample]}
            self.notebooks[f"case-{sample}"] = (CASE_NOTEBOOK, parameters)

    @property
    def sweeps(self) -> list[Path]:
        variants = [variant_name(*variant) for variant in self.profile.other_variants]
        names = ["sweep", "control", "eight-bit", *variants]
        return [self.folder / f"{name}.parquet" for name in names]

    @property
    def tables(self) -> list[Path]:
        return [
            *self.sweeps,
            *(self.folder / f"{name}.parquet" for name in ("minimal", "iterative")),
        ]

    def sweep(self) -> dict:
        data = data_folder(self.profile)
        inputs = [data / "dev_dataset.csv", data / "categories.csv"]
        inputs += sorted((data / "images").glob("*.png"))
        inputs += [LIBRARY / f"{module}.py" for module in SWEEP_MODULES]
        inputs += [self.profile.weights] if self.profile.weights else []
        grids = [self.profile.sweep_epsilon_255, self.profile.objectives_epsilon_255]
        grids += [self.profile.every_objectives, self.profile.every_clips]
        grids += [self.profile.every_minimal, self.profile.every_iterative]
        grids += [self.profile.every_control]
        choice = [grids, self.profile.arch, self.profile.objective, self.profile.clip]
        return {
            "actions": [(_live, [_command("fgsm_lib.cli", "sweep", "--profile", self.argument)])],
            "file_dep": inputs,
            "uptodate": [config_changed(json.dumps([*choice, str(data)])), Unaltered()],
            "targets": [*self.tables, *(path.with_suffix(".json") for path in self.sweeps)],
            "title": lambda task: "sweep",
        }

    def pages(self) -> Iterator[dict]:
        library = [path for path in LIBRARY.rglob("*.py") if LIBRARY / "site" not in path.parents]
        library += [*LIBRARY.glob("published/*.csv"), *LIBRARY.glob("demo/*.json")]
        library += LIBRARY.glob("bench/*.json")
        measured = {  # what other commands left for a page to show
            "performance": list(build_folder().glob("bench.json")),
            "tested": sorted((build_folder() / "tests").glob("*.xml")),
        }
        for name, (notebook, parameters) in self.notebooks.items():
            source = self.project / "notebooks" / notebook
            target = self.folder / "pages" / f"{name}.ipynb"
            yield {
                "name": name,
                "actions": [(self._execute, [source, target, parameters])],
                "io": {"capture": False},  # the tasks are threads, and standard output is one
                "file_dep": [
                    source,
                    LIBRARY / "site" / "execute.py",
                    *library,
                    *self.tables,
                    *measured.get(name, []),
                ],
                "uptodate": [
                    config_changed(json.dumps([parameters, str(self.profile)])),
                    Unaltered(),
                ],
                "targets": [target, target.with_suffix(".clean.ipynb")],
                "title": lambda task: f"notebook {task.name.removeprefix('page:')}",
            }

    def _execute(self, source: Path, target: Path, parameters: dict) -> PageFailed | None:
        what = f"{source.name} (page {target.stem})"
        return self._in_process(what, execute_page, source, target, parameters)

    def _in_process(self, what: str, function: Callable, *arguments) -> PageFailed | None:
        """Call a function, which returns why it failed, if it did, in a process of its own."""
        try:
            failure = self.processes.submit(function, *arguments).result()
        except BrokenExecutor:
            failure = f"{what}: its process was killed."
        except OSError as error:  # a disk that is full, say
            failure = f"{what}: {error}"
        return PageFailed(failure) if failure else None

    def classifier(self) -> dict:
        manifest = self.folder / "live" / browser.MANIFEST
        inputs = [LIBRARY / f"{module}.py" for module in ("_torchvision", "classifiers")]
        inputs += [LIBRARY / "site" / f"{module}.py" for module in ("browser", "onnx_export")]
        inputs += [self.profile.weights] if self.profile.weights else []
        inputs += [data_folder(self.profile) / "categories.csv"]
        return {
            "actions": [(self._write_classifier, [])],
            "io": {"capture": False},  # as for the pages
            "file_dep": inputs,
            "task_dep": ["sweep"],  # which would be measured beside it, and be slower
            "uptodate": [config_changed(self.profile.arch), lambda: browser.is_whole(manifest)],
            "targets": [manifest],
            "title": lambda task: "classifier for the live page",
        }

    def _write_classifier(self) -> PageFailed | None:
        return self._in_process(
            "the classifier for the live page", browser.write_classifier, self.argument
        )

    def runtime(self) -> dict:
        manifest = runtime.runtime_folder() / runtime.MANIFEST
        command = _command("fgsm_lib.site.runtime")
        return {
            "actions": [CmdAction(command, shell=False, env=_environment())],
            "file_dep": [runtime.LOCK, LIBRARY / "site" / "runtime.py"],
            "task_dep": ["sweep"],
            # Where npm could not be reached, the next build tries again.
            "uptodate": [lambda: browser.is_whole(manifest, tolerate_missing=False)],
            "targets": [manifest],
            "title": lambda task: "runtime of the live page, from npm",
        }

    def site(self) -> dict:
        inputs = [path for path in (self.project / "book").rglob("*") if path.is_file()]
        inputs += [self.project / "_config.yml", self.project / "_toc.yml"]
        inputs += [path for path in (LIBRARY / "site").iterdir() if path.is_file()]
        names = self._page_order()
        inputs += [self.folder / "pages" / f"{name}.ipynb" for name in names]
        inputs += [self.folder / "live" / browser.MANIFEST]
        inputs += [runtime.runtime_folder() / runtime.MANIFEST]
        command = _command(
            "fgsm_lib.site.render",
            "--profile",
            self.argument,
            "--project",
            str(self.project),
            *names,
        )
        return {
            "actions": [CmdAction(command, shell=False, env=_environment())],
            "file_dep": inputs,
            "uptodate": [
                config_changed(json.dumps([names, os.environ.get(launch.VARIABLE)])),
                lambda: self._shown() == names,
            ],
            "targets": [build_folder() / "html" / "index.html"],
            "title": lambda task: "pages",
        }

    def _page_order(self) -> list[str]:
        return list(self.notebooks)

    def _shown(self) -> list[str] | None:
        """The pages of the site in ``_build/html``, if it is this profile's."""
        try:
            marker = json.loads((build_folder() / "html" / MARKER).read_text())
            return marker["pages"] if marker["profile"] == self.profile.name else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _environment() -> dict[str, str]:
    """That of a process which ends with this one."""
    return {**os.environ, PARENT: str(os.getpid())}


def _live(command: list[str]) -> bool:
    """Run a command on our own terminal: doit would show its progress bar only at the end."""
    warm_up()
    return subprocess.run(command, env=_environment()).returncode == 0

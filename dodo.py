"""Builds the site: tables -> notebooks -> book (Jupyter Book) -> _build/html.

    doit                                            the demo
    doit PROFILE=nips2017 ARCH=efficientnet_lite0   the photographs; fetched, without DATA=folder
    doit PROFILE=my.toml SAMPLES="323 7"            one's own profile, with more case studies

The settings may also stand in the environment, which is how ``make site`` gives them. So do
FGSM_SITE_URL, where the site will lie, and FGSM_REPOSITORY, https://github.com/owner/name/tree/main.
Only what changed is done again, and what is done appears whole or not at all.
"""

import ctypes
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from doit import get_var
from doit.exceptions import TaskFailed, UnmetDependency
from doit.reporter import ConsoleReporter
from doit.tools import config_changed
from filelock import FileLock, Timeout

from fgsm_lib import InputError, __version__
from fgsm_lib.profiles import load_profile

ROOT = Path(__file__).parent.absolute()
LIBRARY, NOTEBOOKS, EXTENSION = ROOT / "fgsm_lib", ROOT / "notebooks", ROOT / "book" / "_ext"
BUILD, STARTED = ROOT / "_build", time.monotonic()
sys.path.append(str(EXTENSION))
import assemble  # noqa: E402

# --- settings ------------------------------------------------------------------------------------


def setting(name: str, path: bool = False) -> str:
    """A setting from doit's command line or the environment; a path then holds in any folder."""
    text = get_var(name, "") or os.environ.get(name, "")
    return str(Path(text).expanduser().absolute()) if text and path else text


PROFILE = setting("PROFILE", path=setting("PROFILE").endswith(".toml")) or "demo"
DATA = setting("DATA", path=True) or os.environ.get("FGSM_DATA", "")
FETCHED = BUILD / "nips2017" / "data" if PROFILE == "nips2017" and not DATA else None
SAMPLES, REPOSITORY = setting("SAMPLES").split(), setting("FGSM_REPOSITORY")
GIVEN = {
    "FGSM_BUILD": str(BUILD),
    "FGSM_DATA": str(FETCHED or DATA),
    "FGSM_WEIGHTS": setting("WEIGHTS", path=True),
    "FGSM_ARCH": setting("ARCH"),
    "FGSM_SITE_URL": setting("FGSM_SITE_URL").rstrip("/"),
    "FGSM_REPOSITORY": REPOSITORY,
    "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
}
REPLACED = ("data", "weights", "arch")  # of a profile
os.environ |= {name: text for name, text in GIVEN.items() if text}
try:
    OWN = load_profile(PROFILE, **{key: GIVEN[f"FGSM_{key.upper()}"] for key in REPLACED})
    SHOWN = load_profile(OWN.shown) if OWN.shown else OWN  # whose pictures a reader looks at
    if REPOSITORY and not assemble.REPOSITORY.fullmatch(REPOSITORY):
        expected = "https://github.com/owner/name/tree/main"
        raise InputError(f"FGSM_REPOSITORY is {REPOSITORY!r}; expected {expected}.")
except InputError as error:
    sys.exit(f"site: {error}")

FOLDER = BUILD / OWN.name  # what is built for this profile
TABLES, LIVE, RUNTIME = FOLDER / "tables.json", FOLDER / "live", BUILD / "npm"
OFFERED = FOLDER / "offered"  # the tables, as the site offers them
WHEEL = BUILD / "wheel" / f"fgsm_lib-{__version__}-py3-none-any.whl"
FOLDER.mkdir(parents=True, exist_ok=True)

# A case study is of the profile's own pictures, or of those it shows, where it names none itself.
# Of SAMPLES, numbers are of its own pictures and names of the shown ones.
NAMED = OWN.shown or PROFILE
CHOSEN = [(PROFILE if OWN.cases else NAMED, case) for case in OWN.cases or SHOWN.cases]
CHOSEN += [(PROFILE, int(text)) if text.isdecimal() else (NAMED, text) for text in SAMPLES]
CASES = {f"case-{sample}": {"profile": name, "sample": sample} for name, sample in CHOSEN}
TOC = assemble.toc_with((ROOT / "_toc.yml").read_text(encoding="utf-8"), list(CASES))
PAGES = {  # page -> (script, parameters); "your-own" is notebooks/your_own.py
    page: (NOTEBOOKS / "case_study.py", CASES[page])
    if page in CASES
    else (NOTEBOOKS / f"{page.replace('-', '_')}.py", {"profile": PROFILE})
    for page in assemble.toc_pages(TOC)
}

# --- what depends on what ------------------------------------------------------------------------


def as_left(task, values: dict) -> bool:
    """For doit: the pictures, and the parts of the tables, are those of the last time."""

    def seen() -> str:
        parts = [BUILD / part for part in json.loads(TABLES.read_text())] if TABLES.exists() else []
        pictures = assemble.files(Path(OWN.data)) if OWN.data else []
        states = [(str(path), path.stat()) for path in parts + pictures if path.is_file()]
        text = repr([(name, state.st_size, state.st_mtime_ns) for name, state in states])
        return hashlib.sha256(text.encode()).hexdigest()

    task.value_savers.append(lambda: {"seen": seen()})
    return values.get("seen") == seen()


GROUND = assemble.files(LIBRARY)  # what every number may depend on
GROUND += [path for path in (Path(PROFILE), Path(OWN.weights)) if path.is_file()]
CHOICE = repr([OWN, SHOWN])


def task_tables() -> dict:
    """Every table that a page reads, in a process of its own, which uses all cores."""
    return {
        "actions": [compute_tables],
        "file_dep": GROUND,
        "uptodate": [config_changed(CHOICE + str(SAMPLES)), as_left],
        "targets": [TABLES, OFFERED / f"{OWN.name}.parquet"],
    }


def task_notebook():
    """Each page's notebook, executed by papermill."""
    data = [path for path in NOTEBOOKS.iterdir() if path.suffix in {".json", ".csv", ".parquet"}]
    executing = [EXTENSION / "execution.py", EXTENSION / "kernels.py"]
    for page, (script, parameters) in PAGES.items():
        yield {
            "name": page,
            "actions": [(execute, [page])],
            "io": {"capture": False},  # a kernel wants streams that are files
            "file_dep": [script, *executing, *data, *GROUND, TABLES],
            "uptodate": [config_changed(repr([parameters, CHOICE]))],
            "targets": [FOLDER / "pages" / page / "page.ipynb"],
        }


def task_live() -> dict:
    """The networks of the live page, as a browser can run them."""
    script, lock = EXTENSION / "export.py", EXTENSION / "package-lock.json"
    return {
        "actions": [(run, [str(script), PROFILE, str(LIVE)])],
        "file_dep": [script, lock, *GROUND],
        "task_dep": ["tables"],  # which would be slower beside it
        "uptodate": [config_changed(CHOICE)],
        "targets": [LIVE / "manifest.json"],
    }


def task_runtime() -> dict:
    """What runs them, from npm; where npm cannot be reached, the builds of an hour go without."""
    said = RUNTIME / "missing.txt"
    return {
        "actions": [(assemble.fetch_runtime, [said])],
        "file_dep": [EXTENSION / "package-lock.json"],
        "uptodate": [lambda: assemble.tried(said)],
        "targets": [said],
    }


def task_wheel() -> dict:
    """The library, as the site offers it."""
    about = [ROOT / "pyproject.toml", ROOT / "README.md"]
    return {
        "actions": [build_wheel],
        "file_dep": [*assemble.files(LIBRARY), *about],
        "targets": [WHEEL],
    }


def task_site() -> dict:
    """Notebooks and prose, rendered and put into _build/html."""
    rendered, html = FOLDER / "render", BUILD / "html"
    pages = [FOLDER / "pages" / page for page in PAGES]
    book, live = FOLDER / "book", [LIVE, RUNTIME]
    made = [WHEEL, LIVE / "manifest.json", RUNTIME / "missing.txt"]
    made += [OFFERED / f"{OWN.name}.parquet", *(page / "page.ipynb" for page in pages)]
    return {
        "actions": [
            (assemble.stage, [book, ROOT, TOC, pages]),
            (assemble.render, [book, rendered]),
            (assemble.publish, [rendered, html, pages, WHEEL, OFFERED, live, OWN.name]),
        ],
        "file_dep": [*assemble.files(ROOT / "book"), ROOT / "_config.yml", *made],
        "uptodate": [
            config_changed(TOC + os.environ.get("FGSM_SITE_URL", "") + REPOSITORY),
            lambda: (html / ".profile").is_file() and (html / ".profile").read_text() == OWN.name,
        ],
        "targets": [html / "index.html"],
    }


# --- what is done --------------------------------------------------------------------------------


def run(*arguments: str) -> TaskFailed | None:
    """Python on this terminal, for progress and faults; what else it says is left out."""
    done = subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    return TaskFailed("") if done.returncode else None


def build_wheel() -> None:
    """By the build backend itself, which needs no network."""
    from hatchling.builders.wheel import WheelBuilder

    list(WheelBuilder(str(ROOT)).build(directory=str(WHEEL.parent), versions=["standard"]))


def compute_tables() -> TaskFailed | None:
    """Fetch, sweep, offer, and list the parts with their hashes: what the notebooks depend on."""
    fgsm = ("-m", "fgsm_lib.cli")
    samples = [option for text in SAMPLES for option in ("--case", text)]
    failed = run(*fgsm, "fetch", "nips2017", "--to", str(FETCHED)) if FETCHED else None
    sweep = (*fgsm, "sweep", "--all", "--profile", PROFILE, "--offer", str(OFFERED))
    failed = failed or run(*sweep, *samples)
    parts = [
        part
        for name in sorted({OWN.name, SHOWN.name})
        for part in sorted((BUILD / name / "tables").rglob("*.parquet"))
    ]
    digests = {str(part.relative_to(BUILD)): hashlib.sha256(part.read_bytes()) for part in parts}
    if not failed:
        TABLES.write_text(json.dumps({name: sha.hexdigest() for name, sha in digests.items()}))
    return failed


def execute(page: str) -> TaskFailed | None:
    """Run a page's notebook. Others run beside it: with more threads they starve each other."""
    import execution  # papermill takes seconds to import: only where a notebook runs

    script, parameters = PAGES[page]
    profile = SHOWN if parameters["profile"] == OWN.shown else OWN
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return execution.execute(script, parameters, profile, FOLDER / "pages" / page)


# --- how doit runs -------------------------------------------------------------------------------


class Reporter(ConsoleReporter):
    """One build at a time; a line for each task with something to do, and a last one."""

    built = False

    def initialize(self, tasks, selected_tasks) -> None:
        self.lock = FileLock(BUILD / ".lock")
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            self.write("another build is running here; this one waits for its end\n")
            self.lock.acquire()

    def execute_task(self, task) -> None:
        if task.actions:
            self.write(f"{time.monotonic() - STARTED:4.0f} s  {task.name.replace(':', ' ')}\n")

    def skip_uptodate(self, task) -> None:
        self.built |= task.name == "site"

    add_success = skip_uptodate

    def add_failure(self, task, fail) -> None:
        if isinstance(fail, UnmetDependency):
            return
        text = fail.message if isinstance(fail, TaskFailed) else f"{task.name}: {fail.get_msg()}"
        self.write(f"site: {text}\n" if text else "")

    def complete_run(self) -> None:
        for text in self.runtime_errors:
            self.write(f"site: {text}\n")
        if self.built:
            place, seconds = (
                os.path.relpath(BUILD / "html" / "index.html"),
                time.monotonic() - STARTED,
            )
            self.write(f"the site: {place} ({OWN.name}, {len(PAGES)} pages, {seconds:.0f} s)\n")


def interrupt(*_) -> None:
    """Ctrl-C: doit keeps what is done."""
    if multiprocessing.parent_process() is None:
        print("\nsite: interrupted; the next build goes on from here.", file=sys.stderr)
    sys.exit(130)


DOIT_CONFIG = {
    "default_tasks": ["site"],
    "dep_file": str(FOLDER / "doit.db"),
    "backend": "sqlite3",
    "reporter": Reporter,
    "verbosity": 2,
    "num_process": 0,
}
signal.signal(signal.SIGINT, interrupt)
if sys.platform == "linux":  # notebooks side by side, in processes that end with this one
    multiprocessing.set_start_method("fork", force=True)
    DOIT_CONFIG["num_process"] = min(4, os.cpu_count() or 1)
    prctl = ctypes.CDLL(None).prctl
    os.register_at_fork(after_in_child=lambda: prctl(1, signal.SIGTERM))  # PR_SET_PDEATHSIG

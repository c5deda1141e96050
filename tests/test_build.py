"""The build: what is redone and what is not, how it fails, and what a reader downloads.

A project of two notebooks stands in for this one; ``dodo.py`` and ``book/_ext`` are the real ones.
"""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTENSION = ROOT / "book" / "_ext"
sys.path.append(str(EXTENSION))
import assemble  # noqa: E402

INDEX = """\
# %% [markdown]
# # Home
#
# As [Goodfellow et al. (2015)](#goodfellow2015) say, [logits](#logits) are in
# [the glossary](book/prose.md). FGSM [(Goodfellow et al., 2015)](#goodfellow2015) is
# [(1.2)](#eq-1-2):
#
# $$x + y \\tag{1.2}$$

# %% tags=["parameters"]
profile = "demo"

# %%
import os
from pathlib import Path
from fgsm_lib.numbers import answer

Path(os.environ["FGSM_SITE_FILES"], "fig.svg").write_text(f"<svg>{answer}</svg>")
print(profile, answer)
"""
CASE = """\
# %% [markdown]
# # A case

# %% tags=["parameters"]
profile = "demo"
sample = 766

# %%
from fgsm_lib import InputError

print(profile, sample)
"""
CLI = """\
import os, pathlib, sys
arguments = sys.argv[1:]
if "323" in arguments:
    sys.exit("fgsm: there is no sample 323.")
part = pathlib.Path(os.environ["FGSM_BUILD"], "small", "tables", "part.parquet")
part.parent.mkdir(parents=True, exist_ok=True)
part.write_text("rows")
offered = pathlib.Path(arguments[arguments.index("--offer") + 1], "small.parquet")
offered.parent.mkdir(exist_ok=True)
offered.write_text("rows")
"""
SHIPPED = """\
from types import SimpleNamespace


class Set(list):
    def picture(self, sample):
        return self[sample]


def of_profile(profile):
    return Set([SimpleNamespace(sample=0, name="coffee", class_name="espresso*, coffee")])
"""
EXPORT = """\
import pathlib, sys
folder = pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
(folder / "manifest.json").write_text("{}")
"""
PROSE = """\
# Prose

```{glossary}
logits
    What a network says.
```

```{bibliography}
```
"""
TOC = """\
format: jb-book
root: index
chapters:
  - file: case-766
  - file: book/prose
"""


def config() -> str:
    """The real configuration's extensions, but for its own, and what a book cannot do without."""
    real = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["extensions"]
    extensions = [name for name in real if not name.startswith("_ext")]
    small = {"title": "small", "only_build_toc_files": True}
    small["execute"] = {"execute_notebooks": "off"}
    small["bibtex_bibfiles"] = ["book/references.bib"]
    small["sphinx"] = {"config": {"extensions": extensions, "html_static_path": []}}
    return yaml.safe_dump(small)


PROFILE = ['title = "a small set"', 'pictures = "photographs"', 'arch = "googlenet"']
WRITTEN = {
    "_toc.yml": TOC,
    "_config.yml": config(),
    "book/prose.md": PROSE,
    "book/_ext/export.py": EXPORT,
    "fgsm_lib/cli.py": CLI,
    "fgsm_lib/numbers.py": "answer = 42\n",
    "timm.py": "",  # which kernels import before they are asked for anything
    "fgsm_lib/datasets.py": SHIPPED,
    "small.toml": "\n".join([*PROFILE, 'cases = ["coffee"]']),
    "notebooks/index.py": INDEX,
    "notebooks/case_study.py": CASE,
    "bin/npm": "#!/bin/sh\necho npm error code ENOTFOUND >&2\nexit 1\n",
}
COPIED = ["dodo.py", "pyproject.toml", "README.md", "book/references.bib", "fgsm_lib/profiles"]
COPIED += [f"book/_ext/{name}.py" for name in ("assemble", "execution", "kernels")]
COPIED += [f"book/_ext/{name}.json" for name in ("package", "package-lock")]
COPIED += [f"fgsm_lib/{name}.py" for name in ("__init__", "words")]


def write_project(root: Path) -> Path:
    """A project with two notebooks, a page of prose and a library that computes nothing."""
    for name, text in WRITTEN.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    (root / "bin" / "npm").chmod(0o755)
    (root / "fgsm_lib" / "demo").mkdir()
    return root


class Project:
    """A project in a folder, and the ways to build it."""

    def __init__(self, root: Path):
        self.root = write_project(root)
        self.html = root / "_build" / "html"
        path = f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}"
        kept = {name: text for name, text in os.environ.items() if not name.startswith("FGSM_")}
        self.environment = kept | {"PATH": path, "PROFILE": "small.toml", "DATA": "", "ARCH": ""}

    def start(self, *tasks: str, **settings: str) -> subprocess.Popen:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        command = [sys.executable, "-m", "doit", *tasks]
        return subprocess.Popen(command, cwd=self.root, env=self.environment | settings, **options)

    def start_notebook(self) -> subprocess.Popen:
        """A build that has come to the notebook of the home page."""
        process = self.start()
        while "notebook index" not in process.stdout.readline():
            pass
        return process

    def build(self, *tasks: str, status: int = 0, **settings: str) -> list[str]:
        """Build all, or some tasks; what it said, line by line, without the seconds."""
        process = self.start(*tasks, **settings)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == status, said
        return [re.sub(r"^ *\d+ s  ", "", line) for line in said.splitlines()]

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def notebook(self, name: str) -> dict:
        return json.loads((self.html / "_downloads" / name).read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project that was built once; what that said is its ``said``."""
    if sys.platform == "win32":
        pytest.skip("the stand-in for npm is a shell script")
    project = Project(tmp_path_factory.mktemp("project with blanks"))
    project.said = project.build(FGSM_SITE_URL="https://a.org/fgsm/")
    return project


def sources(notebook: dict) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"]]


# --- a build -------------------------------------------------------------------------------------


def test_a_build_has_a_line_for_each_task_and_says_where_the_site_is(project):
    tasks = {"tables", "live", "runtime", "wheel", "notebook index", "notebook case-coffee", "site"}
    assert set(project.said[:-1]) - tasks == {
        "        no ONNX Runtime Web (npm error code ENOTFOUND): the live page will say so"
    }
    assert set(project.said) > tasks
    place = re.escape(str(Path("_build", "html", "index.html")))
    assert re.fullmatch(rf"the site: {place} \(small, 2 pages, \d+ s\)", project.said[-1])


def test_the_site_holds_pages_downloads_wheel_and_what_the_live_page_loads(project):
    home = (project.html / "index.html").read_text()
    assert "small.toml 42" in home
    for target in ("book/prose.html#term-logits", "#equation-eq-1-2"):
        assert f'href="{target}"' in home
    assert len(re.findall(r'href="book/prose\.html#id\d+"', home)) == 2  # the citations
    assert "eq-1-2)" not in home
    assert "Coffee: espresso*</h1>" in re.sub(
        "<a .*?</a>", "", (project.html / "case-coffee.html").read_text()
    )
    live = project.html / "_static" / "live"
    assert (live / "manifest.json").is_file()
    assert (live / "missing.txt").read_text() == "npm error code ENOTFOUND"
    assert [path.name for path in (project.html / "_static").glob("*.whl")]
    assert (project.html / "_static" / "tables" / "small.parquet").read_text() == "rows"
    facts = json.loads((project.root / "_build/small/pages/index/page.ipynb").read_text())
    assert facts["metadata"]["fgsm"]["title"] == "a small set"


def test_downloads_install_the_library_and_show_no_role(project):
    install, title, *_ = sources(project.notebook("index.ipynb"))
    assert re.match(
        r'%pip install -q "fgsm-lib @ https://a\.org/fgsm/_static/fgsm_lib-.*-none-any\.whl"\n',
        install,
    )
    said = "As Goodfellow et al. (2015) say, logits are in\nthe glossary. FGSM (Goodfellow et al., "
    assert title.endswith(said + "2015) is\n(1.2):\n\n$$x + y \\tag{1.2}$$")
    coffee = project.notebook("executed/case-coffee.ipynb")
    assert sources(coffee)[0] == "# Coffee: espresso\\*"
    assert 'sample = "coffee"' in sources(coffee)[2]
    assert "papermill" not in json.dumps(coffee)
    assert str(project.root) not in json.dumps(coffee["metadata"])


def test_nothing_is_redone_where_nothing_changed(project):
    began = time.monotonic()
    (line,) = project.build(FGSM_SITE_URL="https://a.org/fgsm/")
    assert line.startswith("the site: ")
    assert time.monotonic() - began < 10  # 0.7 on a quiet machine


def test_only_what_depends_on_a_change_is_redone(project):
    project.edit("notebooks/index.py", "# # Home", "# # House")
    assert set(project.build("notebook", "wheel")) == {"notebook index"}
    assert "# House" in (project.root / "_build/small/pages/index/page.ipynb").read_text()


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ('raise InputError("the sample is -1; expected one.")', "the sample is -1; expected one."),
        ("import os; os._exit(9)", "Kernel died"),
    ],
)
def test_a_failing_cell_is_named_and_the_site_stays(project, cell, said):
    before = (project.html / "case-coffee.html").read_text()
    script = project.root / "notebooks" / "case_study.py"
    good = script.read_text()
    script.write_text(f"{good}\n# %%\n{cell}\n")
    try:
        lines = project.build("notebook", status=1)
    finally:
        script.write_text(good)
    assert lines[-3:] == [
        "notebook case-coffee",
        f"site: page case-coffee, in the cell that begins with {cell!r}:",
        f"  {said}",
    ]
    assert (project.html / "case-coffee.html").read_text() == before
    assert not list((project.root / "_build" / "small" / "pages").glob(".*"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"PROFILE": "imagenet"}, "site: unknown profile 'imagenet'; expected demo, "),
        ({"PROFILE": "none.toml"}, "none.toml: no such profile file."),
        ({"FGSM_REPOSITORY": "someone/fgsm"}, "expected https://github.com/owner/name/tree/main."),
        ({"PROFILE": "demo", "DATA": "pictures"}, "brings its own pictures"),
        ({"SAMPLES": "323"}, "fgsm: there is no sample 323."),
    ],
)
def test_a_wrong_setting_is_one_sentence_before_the_work_starts(project, settings, said):
    lines = project.build(status=1, **settings)
    assert said in lines[-1]
    assert len([line for line in lines if line != "tables"]) == 1


@pytest.mark.slow
def test_a_fault_in_the_book_is_named_and_the_site_stays(project):
    project.edit("book/prose.md", "# Prose", "# Prose\n\n{term}`unheard`")
    assert any("unheard" in line for line in project.build(status=1))
    assert (project.html / "index.html").is_file()
    project.edit("book/prose.md", "{term}`unheard`", "")
    project.build()


@pytest.mark.slow
def test_a_build_that_is_killed_leaves_nobody_behind_and_heals(project):
    project.edit("notebooks/index.py", "print(", "import time; time.sleep(60)\nprint(")
    process = project.start_notebook()
    time.sleep(5)  # a kernel runs
    process.kill()
    process.communicate(timeout=60)  # the workers hold its other end
    project.edit("notebooks/index.py", "sleep(60)", "sleep(0)")
    lines = project.build()
    assert "notebook index" in lines
    assert lines[-1].startswith("the site: ")
    assert not list((project.root / "_build" / "small" / "pages").glob(".*"))


@pytest.mark.slow
def test_ctrl_c_stops_at_once_and_says_so(project):
    project.edit("notebooks/index.py", "print(", "import time; time.sleep(60)\nprint(")
    process = project.start_notebook()
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said == "\nsite: interrupted; the next build goes on from here.\n"
    project.edit("notebooks/index.py", "import time; time.sleep(60)\n", "")


@pytest.mark.slow
def test_of_two_builds_at_once_the_second_waits(project):
    project.edit("notebooks/index.py", "# %%\nimport", "# %%\n# again\nimport")
    first = project.start_notebook()
    second = project.build()
    said, _ = first.communicate(timeout=60)
    assert "the site: " in said
    assert second[0] == "another build is running here; this one waits for its end"
    assert second[1].startswith("the site: ")
    assert len(second) == 2


# --- pieces --------------------------------------------------------------------------------------


def test_the_case_studies_of_a_build_replace_those_of_the_table_of_contents():
    toc = (
        "root: index\nparts:\n  - file: a-b\n  - file: case-x\n  - file: case-y\n  - file: book/c\n"
    )
    ours = assemble.toc_with(toc, ["case-1", "case-2"])
    assert ours == toc.replace("case-x", "case-1").replace("case-y", "case-2")
    assert assemble.toc_pages(ours) == ["index", "a-b", "case-1", "case-2"]
    assert yaml.safe_load(assemble.toc_with(toc, ["case-9"]))["parts"][1] == {"file": "case-9"}


def test_every_page_of_the_table_of_contents_has_its_script():
    pages = assemble.toc_pages((ROOT / "_toc.yml").read_text())
    scripts = {f"{page.replace('-', '_')}.py" for page in pages if not page.startswith("case-")}
    assert scripts | {"case_study.py"} == {path.name for path in (ROOT / "notebooks").glob("*.py")}


WHEEL, TABLE = "w-1.2-x.whl", '_static/tables/demo.parquet")'


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        (
            {},
            [f"# %pip install -q ../_static/{WHEEL}", f'# open_study("demo").take("../{TABLE}'],
        ),
        (
            {"FGSM_SITE_URL": "file:///a"},
            [
                f'%pip install -q "fgsm-lib @ file:///a/_static/{WHEEL}"',
                f'open_study("demo").take("file:///a/{TABLE}',
            ],
        ),
        (
            {"FGSM_REPOSITORY": "https://github.com/a/b/tree/c"},
            ['%pip install -q "fgsm-lib @ git+https://github.com/a/b@c"'],
        ),
        (
            {"FGSM_DATA": "/somebody's/folder", "FGSM_ARCH": "efficientnet_lite0"},
            ["# %env FGSM_DATA=folder", "%env FGSM_ARCH=efficientnet_lite0"],
        ),
    ],
)
def test_the_first_cell_says_where_library_tables_and_pictures_are_to_be_had(
    environment, lines, monkeypatch
):
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    source = assemble.install_cell(WHEEL, ["demo"])["source"]
    assert {*lines} <= {*source.splitlines()}
    assert "somebody" not in source


@pytest.mark.parametrize("found", ["1.3", "none"])
def test_the_first_cell_tells_of_another_library_and_of_none(found, monkeypatch):
    library = None if found == "none" else SimpleNamespace(__version__=found)
    monkeypatch.setitem(sys.modules, "fgsm_lib", library)
    cell = assemble.install_cell(WHEEL, [])["source"]
    with pytest.raises(ImportError, match=f"needs fgsm_lib 1.2, and here is {found}: install it"):
        exec(cell, {})
    monkeypatch.setitem(sys.modules, "fgsm_lib", SimpleNamespace(__version__="1.2"))
    exec(cell, {})


def test_a_notebook_takes_the_tables_that_it_reads(tmp_path):
    for name in ("demo", "photographs"):
        (tmp_path / f"{name}.parquet").touch()
    scripts = (ROOT / "notebooks").glob("*.py")
    asked = {path.stem: assemble.wanted(jupytext.read(path), tmp_path) for path in scripts}
    assert asked["hypothesis"] == ["demo"]
    assert asked["index"] == ["demo", "photographs"]
    assert asked["case_study"] == asked["method"] == ["photographs"]
    assert asked["performance"] == asked["library"] == []


@pytest.mark.parametrize("arguments", [["site", "Profile=my.toml"], ["case"]])
def test_make_tells_of_a_variable_that_is_misspelt_or_missing(arguments):
    if shutil.which("make") is None:
        pytest.skip("no make here")
    said = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    assert "expected" in said.stderr


def pins(name: str) -> dict[str, str]:
    """The exact versions in a file, by the canonical names of the packages."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


def test_every_requirement_is_pinned_and_locked_in_a_version_that_it_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    constrained, locked = pins("constraints.txt"), pins("requirements.lock")
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        if name != project["name"]:
            assert requirement.specifier.contains(constrained[name]), name
            assert locked[name] == constrained[name], name


def test_every_locked_package_has_hashes_and_no_address():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"\n(?=[A-Za-z0-9])", text) if "==" in entry.split()[0]]
    assert len(entries) == len(pins("requirements.lock"))
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert "://" not in text

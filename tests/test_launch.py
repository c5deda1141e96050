"""Launch buttons: where they lead, what lies there, and that there are none without an address."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from test_site import needs_browser, serious_faults

from fgsm_lib import cli
from fgsm_lib.errors import InputError
from fgsm_lib.site import launch, render
from fgsm_lib.site.execute import clean_notebook

PROJECT = Path(__file__).parents[1]
ADDRESS = "https://github.com/someone/fgsm/tree/1a2b3c"
SOMEONE = launch.Repository("https://github.com/someone/fgsm", "1a2b3c")
PAGES = ("index", "about")


def test_an_address_names_repository_and_version(monkeypatch):
    assert launch.repository() is None
    monkeypatch.setenv(launch.VARIABLE, "")
    assert launch.repository() is None
    monkeypatch.setenv(launch.VARIABLE, ADDRESS)
    assert launch.repository() == SOMEONE


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/someone/fgsm",
        "https://gitlab.com/someone/fgsm/tree/main",
        'https://github.com/someone/fgsm/tree/"><script>',
        "someone/fgsm",
    ],
)
def test_an_address_that_the_services_cannot_use_stops_a_build_at_once(address, monkeypatch):
    monkeypatch.setenv(launch.VARIABLE, address)
    with pytest.raises(InputError, match=r"owner/name/tree/main\.$"):
        launch.repository()
    monkeypatch.chdir(PROJECT)
    done = CliRunner().invoke(cli.main, ["site"])
    assert done.exit_code == 1
    assert done.output.startswith("fgsm: FGSM_REPOSITORY is ")


def test_the_first_cell_installs_the_library_and_the_rest_is_the_page():
    clean = clean_notebook(PROJECT / "notebooks" / "about.py", {})
    launched = launch.with_install(clean, SOMEONE)
    nbformat.validate(launched)
    assert launched.cells[1:] == clean.cells
    last = launched.cells[0].source.splitlines()[-1]
    assert last == "    %pip install --quiet git+https://github.com/someone/fgsm@1a2b3c"


@pytest.mark.slow
def test_the_first_cell_makes_the_library_importable(tmp_path):
    """In an environment that has its dependencies, and with a clone in GitHub's place."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    ours = {path for path in sys.path if path.endswith("site-packages")}
    (packages / "ours.pth").write_text("\n".join(ours))  # their own .pth files are not followed
    clone = tmp_path / "fgsm.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", PROJECT, clone], check=True)
    head = ["git", "-C", clone, "rev-parse", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    place = launch.Repository(SOMEONE.address, commit)
    cell = launch.INSTALL.format(requirement=place.requirement)
    script = tmp_path / "cell.ipy"
    script.write_text(f"{cell}\nimport fgsm_lib; print(fgsm_lib.__file__)\n")
    elsewhere = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{clone.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": SOMEONE.address,
    }
    done = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-m", "IPython", script],
        cwd=tmp_path,
        env=os.environ | elsewhere,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1].startswith(str(packages)), done.stdout + done.stderr


def rendered(folder: Path, monkeypatch) -> Path:
    """A small demo site with two computed pages and one of prose; the folder of its HTML."""
    monkeypatch.setenv("FGSM_BUILD", str(folder / "build"))
    project = folder / "project"
    for name in ("references.bib", "references.md", "_static/fgsm.css", "_static/favicon.svg"):
        target = project / "book" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((PROJECT / "book" / name).read_bytes())
    for name in ("_config.yml", "constraints.txt"):
        (project / name).write_bytes((PROJECT / name).read_bytes())
    toc = "chapters: [{file: about}, {file: book/references}]"
    (project / "_toc.yml").write_text(
        f"format: jb-book\nroot: index\nparts:\n  - caption: all\n    {toc}\n"
    )
    pages = folder / "build" / "demo" / "pages"
    pages.mkdir(parents=True)
    for page in PAGES:
        notebook = nbformat.v4.new_notebook()
        text = f"# {page}\n\nWhat search engines read of the page {page} of this small book."
        notebook.cells.append(nbformat.v4.new_markdown_cell(text))
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        nbformat.write(notebook, pages / f"{page}.ipynb")
        nbformat.write(notebook, pages / f"{page}.clean.ipynb")
    return render.render(project, "demo", list(PAGES), "profile **demo**").parent


@pytest.mark.slow
def test_without_an_address_no_page_speaks_of_launching(tmp_path, monkeypatch):
    html = rendered(tmp_path, monkeypatch)
    for path in html.rglob("*.html"):
        text = path.read_text().lower()
        assert not [word for word in ("colab", "binder", "rocket") if word in text], path
    assert json.loads((html / "profile.json").read_text())["launch"] is False
    assert not (tmp_path / "build" / launch.BRANCH).exists()


@pytest.mark.slow
@needs_browser
def test_with_an_address_every_computed_page_opens_its_notebook(tmp_path, monkeypatch, browser):
    monkeypatch.setenv(launch.VARIABLE, ADDRESS)
    html = rendered(tmp_path, monkeypatch)
    branch = tmp_path / "build" / launch.BRANCH
    for page in PAGES:
        soup = BeautifulSoup((html / f"{page}.html").read_text(), "html.parser")
        links = [link["href"] for link in soup.select(".dropdown-launch-buttons a")]
        assert links == [
            f"https://mybinder.org/v2/gh/someone/fgsm/notebooks?urlpath=lab/tree/{page}.ipynb",
            f"https://colab.research.google.com/github/someone/fgsm/blob/notebooks/{page}.ipynb",
        ]
        launched = nbformat.read(branch / f"{page}.ipynb", as_version=4)
        assert SOMEONE.requirement in launched.cells[0].source
        (download,) = html.glob(f"_downloads/*/{page}.ipynb")
        assert download.read_bytes() == (branch / f"{page}.ipynb").read_bytes()
    assert "colab" not in (html / "book" / "references.html").read_text()
    assert (branch / "requirements.txt").read_text().splitlines() == [
        "--extra-index-url https://download.pytorch.org/whl/cpu",
        "-c constraints.txt",
        f"fgsm-lib @ {SOMEONE.requirement}",
    ]
    assert (branch / "constraints.txt").is_file()
    page = browser.new_page()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto((html / "about.html").as_uri())
    colab = page.get_by_role("link", name="Colab")
    assert not colab.is_visible()
    page.get_by_role("button", name="Launch interactive content").click()
    colab.wait_for(state="visible")
    icon = page.locator(".dropdown-launch-buttons i")
    assert "svg" in icon.evaluate("icon => getComputedStyle(icon).maskImage")
    of_the_page = list(errors)  # axe-core itself asks for files, which file: forbids
    faults = serious_faults(page, ".dropdown-launch-buttons")
    page.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert of_the_page == []
    assert faults == []

"""What comes from outside stays text: names in pages, drawings and downloads; the site's policy."""

import base64
import hashlib
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup

from fgsm_lib import display, figures
from fgsm_lib.datasets import Photo, read_class_names, read_photos
from fgsm_lib.markdown import escape
from fgsm_lib.site import csp, render

PROJECT = Path(__file__).parents[1]
HOSTILE = "<script>alert(1)</script>"
NAMES = [HOSTILE, "</style><svg onload=alert(1)>", "[x](javascript:alert(1))", "`{eval}` $x$"]

PAGE = """\
<html><head><meta charset="utf-8" /><script>let theirs = 1;</script>
<script src="a.js"></script></head><body><article>text</article></body></html>
"""


def test_the_policy_allows_the_theme_s_inline_scripts_and_no_other(tmp_path):
    (tmp_path / "index.html").write_text(PAGE)
    csp.protect(tmp_path)
    soup = BeautifulSoup((tmp_path / "index.html").read_text(), "html.parser")
    policy = soup.find("meta", attrs={"http-equiv": True})["content"]
    digest = base64.b64encode(hashlib.sha256(b"let theirs = 1;").digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert soup.head.find_all(True)[1].name == "meta"  # before every script


def test_only_the_live_page_may_compile_webassembly():
    assert "'wasm-unsafe-eval'" in csp.policy_of("live.html", PAGE)
    assert "'wasm-unsafe-eval'" not in csp.policy_of("index.html", PAGE)


@pytest.mark.parametrize(
    "smuggled", ["<script>alert(1)</script>", '<img src="x" onerror="alert(1)">', "<a ONCLICK=f()>"]
)
def test_a_page_with_a_script_or_handler_of_its_own_is_not_published(tmp_path, smuggled):
    (tmp_path / "case.html").write_text(PAGE.replace("text", smuggled))
    with pytest.raises(csp.UnsafePage, match=r"case\.html"):
        csp.protect(tmp_path)


def test_data_for_a_script_is_no_script(tmp_path):
    page = PAGE.replace("text", '<script type="application/json">{}</script>')
    assert csp.policy_of("case.html", page) == csp.policy_of("case.html", PAGE)


def test_a_page_in_which_the_policy_has_no_place_is_not_published(tmp_path):
    (tmp_path / "index.html").write_text(PAGE.replace("<meta", "<beta"))
    with pytest.raises(csp.UnsafePage, match="charset"):
        csp.protect(tmp_path)


def hostile_photo(name: str) -> Photo:
    url = "https://example.org/by/2.0"
    return Photo(0, "x", Path("x.png"), 0, name, author=name, license_url=url, page_url=url)


@pytest.mark.parametrize("url", ["javascript:alert(1)", 'https://x" onclick="alert(1)', "//x) <b>"])
def test_an_address_that_is_no_plain_link_is_left_out(url):
    photo = Photo(0, "x", Path("x.png"), 0, "c", author="A", license_url=url, page_url=url)
    assert display.credit(photo) == "Photograph: A."


@pytest.mark.filterwarnings("ignore::bs4.XMLParsedAsHTMLWarning")
@pytest.mark.parametrize("name", [*NAMES, "--><script>alert(1)</script>"])
def test_names_are_text_in_drawings(name):
    """matplotlib writes SVG: a name is drawn as outlines or escaped, never as an element."""
    with figures.style():
        figure, alt = figures.contact_sheet([torch.zeros(3, 8, 8)], [name])
        svg = display._save(figure, "svg").decode()
        plt.close(figure)
    soup = BeautifulSoup(svg, "html.parser")
    assert soup.find("script") is None
    assert not [
        tag for tag in soup.find_all(True) if any(key.startswith("on") for key in tag.attrs)
    ]
    assert isinstance(alt, str)


@pytest.fixture
def hostile_set(photos):
    """A data set on disk whose classes and authors are named by an enemy."""
    folder = photos(count=4, classes=4)
    categories = pd.DataFrame({"CategoryId": range(1, 5), "CategoryName": NAMES})
    categories.to_csv(folder / "categories.csv", index=False)
    table = pd.read_csv(folder / "dev_dataset.csv").assign(Author=NAMES)
    table.to_csv(folder / "dev_dataset.csv", index=False)
    return folder


@pytest.mark.slow
def test_a_site_about_hostile_names_shows_them_as_text(hostile_set, tmp_path, monkeypatch):
    """The real renderer on one page with a figure, a table, a sentence and the credits."""
    people = read_photos(hostile_set, read_class_names(hostile_set))
    monkeypatch.setenv("FGSM_BUILD", str(tmp_path / "build"))
    project = tmp_path / "project"
    (project / "book" / "_static").mkdir(parents=True)
    for path in ("references.bib", "_static/fgsm.css", "_static/favicon.svg"):
        (project / "book" / path).write_bytes((PROJECT / "book" / path).read_bytes())
    (project / "_config.yml").write_bytes((PROJECT / "_config.yml").read_bytes())
    (project / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nparts:\n"
        "  - caption: all\n    chapters:\n      - file: case-0\n      - file: about\n"
    )
    bundles = []
    monkeypatch.setattr(
        display,
        "display",
        lambda shown, raw=False: bundles.append(shown if raw else {"text/markdown": shown.data}),
    )
    display.show(
        figures.contact_sheet,
        [torch.zeros(3, 8, 8)] * 4,
        [person.class_name for person in people],
        name="fig-hostile",
        caption="A caption about " + escape(people[0].class_name),
    )
    table = pd.DataFrame({people[0].class_name: [person.author for person in people]})
    display.show_table(table, name="tab-hostile", caption=escape(people[1].class_name))
    for person in people:
        display.say(f"{escape(person.class_name)}: {display.credit(person)}")
    outputs = [nbformat.v4.new_output("display_data", data=bundle) for bundle in bundles]
    pages = {
        "index": [nbformat.v4.new_code_cell("show()", outputs=outputs)],
        "case-0": [],
        "about": [],
    }
    folder = tmp_path / "build" / "mine" / "pages"
    folder.mkdir(parents=True)
    for page, cells in pages.items():
        name = escape(people[0].class_name)
        title = nbformat.v4.new_markdown_cell(
            f"# {name}\n\nWhat search engines read of the page {page}: {name} is its class."
        )
        notebook = nbformat.v4.new_notebook(cells=[title, *cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        nbformat.write(notebook, folder / f"{page}.ipynb")
        nbformat.write(notebook, folder / f"{page}.clean.ipynb")
    index = render.render(project, "mine", list(pages), f"profile {escape(HOSTILE)}")
    for path in index.parent.glob("*.html"):
        text = path.read_text()
        soup = BeautifulSoup(text, "html.parser")
        scripts = soup.find_all("script")
        assert not [tag for tag in scripts if "alert(1)" in tag.get_text()], path
        assert not [
            tag for tag in soup.find_all(True) if any(k.startswith("on") for k in tag.attrs)
        ]
        assert not [a for a in soup.find_all(href=re.compile("^javascript:"))], path
    shown = BeautifulSoup(index.read_text(), "html.parser").find("article").get_text()
    for name in NAMES:
        assert name in shown
    assert json.loads((index.parent / "profile.json").read_text())["profile"] == "mine"
    drawings = list((index.parent / "_images").glob("*.svg"))
    assert len(drawings) == 2
    assert not any("<script" in drawing.read_text() for drawing in drawings)
    assert np.all([drawing.stat().st_size > 1000 for drawing in drawings])

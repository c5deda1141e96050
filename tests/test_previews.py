"""Descriptions for search engines and previews, and the icons' style sheet."""

from types import SimpleNamespace

import pytest
from docutils.core import publish_doctree

from fgsm_lib.site import icons, meta, sphinx_ext

SCRIPT = (
    'x={"sun":[9,9,[],"f185","M9"]},'
    'y={"sun":[512,256,[9728],"f185","M0 1z"],bars:[1,1,[],"f0c9","M2"]}'
)


def test_the_description_is_the_first_paragraph_in_words():
    text = """
Title
=====

Short.

    A quotation that is long enough to be a description of the page.

- An item of a list that is long enough to be a description of the page.

Here :math:`x` stands in a paragraph that is long enough for a description.

The first paragraph of words
that says what the page is about.
"""
    expected = "The first paragraph of words that says what the page is about."
    assert meta.description(publish_doctree(text)) == expected


def test_a_page_without_a_paragraph_that_could_describe_it_is_named(caplog):
    doctree = publish_doctree("Title\n=====\n\nShort.")
    app = SimpleNamespace(config=SimpleNamespace(html_title="Site", html_baseurl=""))
    context = {"title": "Title", "pathto": lambda name, resource: name}
    sphinx_ext.describe_page(app, "lonely-page", "page.html", context, doctree)
    (record,) = caplog.records  # a warning, and with it the build, fails
    assert "lonely-page: no paragraph describes this page" in record.getMessage()
    assert "metatags" not in context


@pytest.mark.parametrize(
    "text, expected",
    [
        ("short", "short"),
        (f"{'a' * 80}. {'b' * 90}.", f"{'a' * 80}."),
        ("word " * 40, ("word " * 31).strip() + " …"),
    ],
)
def test_a_long_text_ends_at_a_sentence_or_at_a_word(text, expected):
    assert meta.shortened(text) == expected
    assert len(meta.shortened(text)) <= meta.LONGEST


def test_the_address_of_the_site_makes_the_picture_absolute_and_names_the_page():
    here = meta.tags('A "title"', "Text", "https://a.example/b/c.html", "https://a.example/b/")
    assert 'property="og:url" content="https://a.example/b/c.html"' in here
    assert 'content="https://a.example/b/_static/preview.png"' in here
    assert "A &quot;title&quot;" in here
    assert "og:url" not in meta.tags("A", "Text", None, "../")
    assert 'content="../_static/preview.png"' in meta.tags("A", "Text", None, "../")


def test_an_icon_is_drawn_by_the_last_of_its_drawings():
    rule = icons.icon_rule(SCRIPT, "fa-sun")
    assert rule.startswith(".fa-sun {")
    assert "M0%201z" in rule
    assert "0%200%20512%20256" in rule
    assert "M2" in icons.icon_rule(SCRIPT, "fa-bars")


def test_an_icon_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="fa-nothing"):
        icons.icon_rule(SCRIPT, "fa-nothing")


def test_pages_get_the_icons_they_use_in_place_of_the_script(tmp_path):
    scripts = tmp_path / "_static" / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "fontawesome.js").write_text(SCRIPT)
    styles = tmp_path / "_static" / "styles"
    styles.mkdir()
    font = '@font-face{font-family:"Font Awesome 6 Free";src:url(a.woff2)}'
    (styles / "theme.css").write_text("a{b:c}" + font + "@font-face{font-family:Other}")
    (tmp_path / "book").mkdir()
    page = tmp_path / "book" / "page.html"
    page.write_text(
        '<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>'
        '<i class="fa-solid fa-sun fa-lg"></i>'
    )
    icons.replace_icon_script(tmp_path)
    assert '<link rel="stylesheet" href="../_static/icons.css" />' in page.read_text()
    assert "<script" not in page.read_text()
    styles = (tmp_path / "_static" / "icons.css").read_text()
    assert ".fa-sun {" in styles
    assert ".fa-bars {" not in styles
    assert not (scripts / "fontawesome.js").exists()
    assert (tmp_path / "_static" / "styles" / "theme.css").read_text() == (
        "a{b:c}@font-face{font-family:Other}"
    )

"""One style sheet for a page, and scripts that wait, after a build."""

from fgsm_lib.site import head

PAGE = """<link href="{root}_static/styles/theme.css?digest=1" rel="stylesheet" />
<link rel="stylesheet" href="{root}_static/own.css" />
{more}
<link rel="preload" as="script" href="{root}_static/big.js" />
<script src="{root}_static/documentation_options.js"></script>
<script src="{root}_static/other.js"></script>
<script>let inline = 1;</script>
<script defer src="{root}_static/big.js"></script>"""


def built(tmp_path):
    static = tmp_path / "_static"
    (static / "styles").mkdir(parents=True)
    (static / "basic.css").write_text("a{background:url(file.png)}")
    (static / "own.css").write_text("c{color:red}")
    (static / "slider.css").write_text("d{color:blue}")
    (static / "styles" / "theme.css").write_text(
        '@import "../basic.css";b{background:url(../file.png)}c{mask:url(data:image/x)}'
    )
    (tmp_path / "book").mkdir()
    slider = '<link rel="stylesheet" href="_static/slider.css" />'
    (tmp_path / "index.html").write_text(PAGE.format(root="", more=slider))
    (tmp_path / "book" / "page.html").write_text(PAGE.format(root="../", more=""))
    head.lighten(tmp_path)
    (joined,) = static.glob("site-*.css")
    return tmp_path, joined


def test_the_style_sheets_of_all_pages_are_one_in_their_order(tmp_path):
    html, joined = built(tmp_path)
    assert joined.read_text() == (
        "a{background:url(file.png)}b{background:url(file.png)}c{mask:url(data:image/x)}\n"
        "c{color:red}"
    )
    styles = [
        line
        for line in (html / "index.html").read_text().splitlines()
        if 'rel="stylesheet"' in line
    ]
    assert styles == [
        f'<link rel="stylesheet" href="_static/{joined.name}" />',
        '<link rel="stylesheet" href="_static/slider.css" />',
    ]
    page = (html / "book" / "page.html").read_text()
    assert page.count("stylesheet") == 1
    assert f'href="../_static/{joined.name}"' in page


def test_scripts_wait_but_for_those_that_inline_scripts_need(tmp_path):
    html, _ = built(tmp_path)
    text = (html / "index.html").read_text()
    assert [line for line in text.splitlines() if "script" in line] == [
        '<script src="_static/documentation_options.js"></script>',
        '<script defer src="_static/other.js"></script>',
        "<script>let inline = 1;</script>",
        '<script defer src="_static/big.js"></script>',
    ]


def test_a_dark_page_is_light_on_paper():
    sheet = (
        '/* html[data-theme="light"]{a:b} */ .highlight{a:b} html[data-theme="dark"] p{color:white}'
        'html[data-theme="light"] .highlight p{color:black}'
    )
    assert head.light_on_paper(sheet).strip() == (
        "@media print{html[data-theme=dark] .highlight p{color:black}}"
    )
    assert head.light_on_paper(".highlight{a:b}") == ""

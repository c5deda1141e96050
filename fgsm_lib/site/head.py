"""A page is shown before its scripts are there, in the styles of one file.

Out of the box a page waits for eleven style sheets and a dozen scripts; on a slow network every
one of them costs a journey. Run after a build, on all pages.
"""

import hashlib
import os
import re
from pathlib import Path

_STYLE = re.compile(r'<link [^>]*rel="stylesheet"[^>]*>\s*')
_PATH = re.compile(r'href="(?P<root>(?:\.\./)*)(?P<path>_static/[^"?]+)')
_IMPORT = re.compile(r'@import (?:url\()?"([^"]+)"\)?;')
_LIGHT = re.compile(r'([^{}]*\[data-theme="?light"?\][^{}]*)\{([^{}]*)\}')
_COMMENT = re.compile(r"/\*.*?\*/|@charset[^;]*;", re.DOTALL)
_FILE = re.compile(r"url\(['\"]?(?!data:|#|http)([^'\")]+)['\"]?\)")
_PRELOAD = re.compile(r'<link rel="preload" as="script"[^>]*>\s*')
_BLOCKING = re.compile(r"<script (?=[^>]*\bsrc=)(?![^>]*\b(?:defer|async)\b)")
# The short inline scripts, which nothing can defer, add to what this one defines.
_FIRST = "documentation_options.js"


def lighten(html: Path) -> None:
    """Join the style sheets that all pages share, and defer the scripts."""
    pages = {
        path: path.read_text(encoding="utf-8")
        for path in html.rglob("*.html")
        if "_static" not in path.relative_to(html).parts
    }
    wanted = [_style_paths(text) for text in pages.values()]
    shared = [path for path in wanted[0] if all(path in others for others in wanted)]
    joined = "\n".join(_with_imports(html / path, html / "_static") for path in shared)
    joined += light_on_paper(joined)
    name = f"_static/site-{hashlib.sha256(joined.encode()).hexdigest()[:12]}.css"
    (html / name).write_text(joined, encoding="utf-8")
    for path, text in pages.items():
        path.write_text(deferred(with_one_style_sheet(text, shared, name)), encoding="utf-8")


def _style_paths(text: str) -> list[str]:
    return [match["path"] for link in _STYLE.findall(text) if (match := _PATH.search(link))]


def _with_imports(sheet: Path, static: Path) -> str:
    """A style sheet with those it imports written out; the files it names are found from static."""

    def from_static(match: re.Match) -> str:
        return f"url({os.path.relpath(sheet.parent / match[1], static)})"

    text = _FILE.sub(from_static, sheet.read_text(encoding="utf-8"))
    return _IMPORT.sub(lambda match: _with_imports(sheet.parent / match[1], static), text)


def light_on_paper(sheet: str) -> str:
    """What makes a dark page light when it is printed: the rules of light pages, once more."""
    rules = [
        re.sub(r'data-theme="?light"?', "data-theme=dark", selector) + "{" + body + "}"
        for selector, body in _LIGHT.findall(_COMMENT.sub("", sheet))
    ]
    return f"\n@media print{{{''.join(rules)}}}" if rules else ""


def with_one_style_sheet(text: str, shared: list[str], name: str) -> str:
    """A page whose links to ``shared`` are one link to ``name``, where the first of them was."""
    root = None

    def link(match: re.Match) -> str:
        nonlocal root
        found = _PATH.search(match[0])
        if not found or found["path"] not in shared:
            return match[0]
        if root is not None:
            return ""
        root = found["root"]
        return f'<link rel="stylesheet" href="{root}{name}" />\n'

    return _STYLE.sub(link, text)


def deferred(text: str) -> str:
    """A page whose scripts run in their order once it is parsed; its styles are fetched before."""
    text = _PRELOAD.sub("", text)

    def defer(match: re.Match) -> str:
        tag = text[match.start() : text.index(">", match.start())]
        return match[0] if _FIRST in tag else "<script defer "

    return _BLOCKING.sub(defer, text)

"""The finished pages, once more: light to load, and safe wherever they are published.

Out of the box a page waits for eleven style sheets, a dozen scripts and all of Font Awesome. A
static site has no server of its own to send a Content-Security-Policy, so it travels in the page.
"""

import hashlib
import html
import os
import re
import shutil
from base64 import b64encode
from pathlib import Path

from _ext.equations import draw_equations
from sphinx.errors import ExtensionError

_STYLE = re.compile(
    r'<link (?=[^>]*rel="stylesheet")[^>]*href="(?P<root>[./]*)(?P<path>_static/[^"?]+)[^>]*>\s*'
)
_IMPORT = re.compile(r'@import (?:url\()?"([^"]+)"\)?;')
_ADDRESS = re.compile(r"url\(['\"]?(?!data:|#|http)([^'\")]+)['\"]?\)")
_COMMENT = re.compile(r"/\*.*?\*/|@charset[^;]*;", re.DOTALL)
_PRINTED = re.compile(r"@media print\s*\{(?:[^{}]*\{[^{}]*\})*\s*\}")
# The icons come from icons.css: neither the script nor the font of 156 KB is needed.
_FONT = re.compile(r"@font-face\s*\{[^}]*Font ?Awesome[^}]*\}")
_LETTERS = re.compile(r'(?:\.fa-[\w-]+:{1,2}before,?)+\{content:"[^"]*"\}')
_UNUSED = re.compile(
    r'<link rel="preload" as="script"[^>]*>\s*|<script[^>]*fontawesome\.js[^>]*></script>\s*'
    r'|<meta name="(?:viewport" content="width=device-width, initial-scale=1"|docsearch:)[^>]*>\s*'
)
# The short inline scripts, which nothing can defer, add to what the first script defines.
_BLOCKING = re.compile(
    r"<script (?=[^>]*\bsrc=)(?![^>]*\b(?:defer|async)\b)(?![^>]*documentation_options\.js)"
)
# For the keyboard, the text comes before the list of pages; for the eye, see fgsm.css.
_SIDEBAR = re.compile(
    r'(<dialog id="pst-primary-sidebar-modal"></dialog>\s*<div )(.*?)'
    r'(<main id="main-content".*</main>)',
    re.DOTALL,
)
_INLINE = re.compile(r"<script(?![^>]*(?:\bsrc=|json))[^>]*>(.*?)</script>", re.DOTALL)
_CHARSET = '<meta charset="utf-8" />'


def finish(source: Path, site: Path) -> None:
    """Rework all pages of a rendered site, and bring the files of its figures into it.

    Raises ExtensionError for an equation that cannot be drawn, and for a missing file.
    """
    pages = {
        path: path.read_text(encoding="utf-8")
        for path in site.rglob("*.html")
        if "_static" not in path.relative_to(site).parts
    }
    bring_files(pages.values(), source / "_files", site / "_files")
    sheet, shared = joined_styles(site, list(pages.values()))
    for path, text in draw_equations(pages).items():
        text = _STYLE.sub(lambda match: _one_sheet(match, shared, sheet), text)
        text = _UNUSED.sub("", text)
        text = _BLOCKING.sub("<script defer ", text)
        text = re.sub(r"<title>(.*?) &#8212; \1</title>", r"<title>\1</title>", text)
        text = _SIDEBAR.sub(r'\3\1role="complementary" aria-label="Pages" \2', text)
        policy = html.escape(policy_of(text))
        meta = f'{_CHARSET}\n    <meta http-equiv="Content-Security-Policy" content="{policy}" />'
        path.write_text(text.replace(_CHARSET, meta, 1), encoding="utf-8")
    for script in site.glob("_static/scripts/fontawesome.js*"):
        script.unlink()


def bring_files(pages, source: Path, target: Path) -> None:
    """Copy what the pages name, and nothing that an earlier run of a notebook left behind."""
    names = {name for text in pages for name in re.findall(r'"(?:\.\./)*_files/([^"]+)"', text)}
    target.mkdir(exist_ok=True)
    for name in names:
        if not (source / name).is_file():
            raise ExtensionError(f"a page shows _files/{name}, which no notebook has written")
        shutil.copyfile(source / name, target / name)


def joined_styles(site: Path, pages: list[str]) -> tuple[str, list[str]]:
    """Write the style sheets that all pages share as one; returns its path, and theirs."""
    wanted = [[match["path"] for match in _STYLE.finditer(text)] for text in pages]
    shared = [path for path in wanted[0] if all(path in others for others in wanted)]
    joined = "\n".join(_with_imports(site / path, site / "_static") for path in shared)
    joined = _LETTERS.sub("", _FONT.sub("", joined))
    plain = _PRINTED.sub("", _COMMENT.sub("", joined))
    # A dark page is light when it is printed; and until a script has decided (where there is none,
    # for ever) a page is what the reader's system prefers.
    joined += _once_more(plain, "light", "print", "dark")
    for theme in ("light", "dark"):
        joined += _once_more(plain, theme, f"screen and (prefers-color-scheme: {theme})", "auto")
    name = f"_static/site-{hashlib.sha256(joined.encode()).hexdigest()[:12]}.css"
    (site / name).write_text(joined, encoding="utf-8")
    return name, shared


def _once_more(styles: str, theme: str, medium: str, other: str) -> str:
    """The rules of pages in one theme, for pages in another where a medium calls for it."""
    named = rf'\[data-theme="?{theme}"?\]'
    rules = re.findall(rf"([^{{}}]*{named}[^{{}}]*)(\{{[^{{}}]*\}})", styles)
    moved = (re.sub(named, f"[data-theme={other}]", selector) + body for selector, body in rules)
    return f"\n@media {medium}{{{''.join(moved)}}}"


def _with_imports(sheet: Path, static: Path) -> str:
    """A style sheet with those it imports written out; the files it names are found from static."""

    def from_static(match: re.Match) -> str:
        return f"url({os.path.relpath(sheet.parent / match[1], static)})"

    text = _ADDRESS.sub(from_static, sheet.read_text(encoding="utf-8"))
    return _IMPORT.sub(lambda match: _with_imports(sheet.parent / match[1], static), text)


def _one_sheet(match: re.Match, shared: list[str], sheet: str) -> str:
    """The joined style sheet where the first of those that it holds was linked."""
    if match["path"] not in shared:
        return match[0]
    first = match["path"] == shared[0]
    return f'<link rel="stylesheet" href="{match["root"]}{sheet}" />\n' if first else ""


def policy_of(page: str) -> str:
    """A page's Content-Security-Policy: its own origin, and the theme's inline scripts by hash.

    Those stand in the head and, for the search, in its own page. What a name in a table or a
    notebook's output brought along stands in the article, gets no hash and is not run. Only where
    a classifier runs in the browser may WebAssembly be compiled, and a reader's picture be shown.
    """
    article = re.search(r"<article.*</article>", page, re.DOTALL)
    trusted = page.replace(article[0], "") if article else page
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(trusted))
    hashes = dict.fromkeys(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)
    live = "live-attack" in page
    parts = {
        "default-src": "'self'",
        "script-src": " ".join(["'self'", *hashes] + ["'wasm-unsafe-eval'"] * live),
        # Equations and the theme's scripts bring styles; a style cannot run anything.
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:" + " blob:" * live,
        "font-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",  # the search
    }
    return "; ".join(f"{key} {value}" for key, value in parts.items())

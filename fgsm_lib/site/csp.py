"""A Content-Security-Policy in every page: nothing runs that the build did not put there.

A static site can be published anywhere, so the policy travels in the page (``<meta http-equiv>``)
and not in a server's header.
"""

import base64
import hashlib
import html
from pathlib import Path

from bs4 import BeautifulSoup, Tag

# Pages on which a classifier runs in the browser: they compile WebAssembly, nothing else does.
WASM_PAGES = ("live.html",)

_CHARSET = '<meta charset="utf-8" />'


class UnsafePage(Exception):
    """A page holds a script that the theme did not put there; the message names both."""


def protect(folder: Path) -> None:
    """Write the policy into every page of a rendered site.

    Raises UnsafePage where a page has a script in its text or an inline event handler.
    """
    for path in sorted(folder.rglob("*.html")):
        page = path.relative_to(folder).as_posix()
        if page.startswith("_static/"):  # fragments of the theme, never opened by themselves
            continue
        text = path.read_text(encoding="utf-8")
        if text.count(_CHARSET) != 1:
            raise UnsafePage(f"{page}: expected {_CHARSET} once, to write the policy after it.")
        policy = html.escape(policy_of(page, text))
        meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}" />'
        path.write_text(text.replace(_CHARSET, f"{_CHARSET}\n    {meta}"), encoding="utf-8")


def policy_of(page: str, text: str) -> str:
    """The policy of one page: its own origin, and the theme's inline scripts by their hashes."""
    scripts = ["'self'", *(f"'sha256-{digest}'" for digest in _inline_scripts(page, text))]
    images = ["'self'", "data:"]
    if page in WASM_PAGES:
        scripts.append("'wasm-unsafe-eval'")
        images.append("blob:")  # a reader's own picture
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src {' '.join(scripts)}",
            # Equations and the theme's scripts bring styles; a style cannot run anything.
            "style-src 'self' 'unsafe-inline'",
            f"img-src {' '.join(images)}",
            "font-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",  # the search
        ]
    )


def _inline_scripts(page: str, text: str) -> list[str]:
    """Base64 of the SHA-256 of each inline script, once.

    A hash allows a script, so only the theme's scripts get one. Those are in the head (and in the
    body of the search page): whatever a name in a CSV file or a notebook's output brought along
    would be in the body.
    """
    soup = BeautifulSoup(text, "html.parser")
    scripts = [tag for tag in soup.find_all("script", src=False) if not _is_data(tag)]
    for tag in scripts:
        if page != "search.html" and tag.find_parent("body"):
            raise UnsafePage(f"{page}: a script in the text of the page: {str(tag)[:80]!r}.")
    for tag in soup.find_all(True):
        for name in tag.attrs:
            if name.lower().startswith("on"):
                raise UnsafePage(f"{page}: an inline event handler: {name} of <{tag.name}>.")
    digests = (hashlib.sha256(tag.get_text().encode()).digest() for tag in scripts)
    return list(dict.fromkeys(base64.b64encode(digest).decode() for digest in digests))


def _is_data(script: Tag) -> bool:
    """JSON that a script of the site reads; a browser does not run it."""
    return script.get("type", "").endswith("json")

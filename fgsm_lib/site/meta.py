"""What search engines and link previews read: a description and a picture of each page."""

import posixpath
import re
from html import escape

from docutils import nodes

PREVIEW = "_static/preview.png"
SHORTEST, LONGEST = 50, 160  # characters
_APART = (nodes.definition, nodes.entry, nodes.list_item, nodes.citation, nodes.block_quote)


def description(doctree: nodes.document) -> str | None:
    """The first paragraph that says something in words, cut to a length that previews show.

    Passed over are paragraphs with equations, quotations, the line of provenance, and what only
    makes sense in its list or table. None where nothing is left.
    """
    for paragraph in doctree.findall(nodes.paragraph):
        parent = paragraph.parent
        if isinstance(parent, _APART) or "provenance" in parent.get("classes", []):
            continue
        if next(paragraph.findall(nodes.math), None) is None:
            text = re.sub(r"\s+", " ", paragraph.astext()).strip()
            if len(text) >= SHORTEST:
                return shortened(text)
    return None


def shortened(text: str) -> str:
    """The whole sentences that fit, or else the words that do."""
    if len(text) <= LONGEST:
        return text
    sentences = text[: LONGEST + 1].rfind(". ")
    if sentences >= SHORTEST:
        return text[: sentences + 1]
    return text[: text.rfind(" ", 0, LONGEST - 1)].rstrip(",;:–—") + " …"


def tags(title: str, text: str, address: str | None, base: str) -> str:
    """The ``<meta>`` elements of a page.

    ``address`` is the page's own address, where the site knows its ``base``; without a base there
    is no ``og:url``, and the picture is named relative to the page.
    """
    properties = {
        "og:type": "article",
        "og:title": title,
        "og:description": text,
        "og:image": posixpath.join(base, PREVIEW),
        "og:image:alt": "An image, the direction of an FGSM step, and the image after that step.",
    }
    if address:
        properties["og:url"] = address
    lines = [f'<meta name="description" content="{escape(text)}" />']
    lines += [f'<meta property="{key}" content="{escape(v)}" />' for key, v in properties.items()]
    return "\n" + "\n".join(lines)

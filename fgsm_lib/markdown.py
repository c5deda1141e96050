"""Text from outside, made safe for Markdown."""

import html


def escape(text: str) -> str:
    """A class or author name on one line, in which no markup survives."""
    text = " ".join(text.split())
    for character in "\\`*_{}[]|$~":
        text = text.replace(character, f"\\{character}")
    return html.escape(text, quote=False)

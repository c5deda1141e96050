"""The ε slider as HTML: three pictures, and the data from which ``slider.js`` builds the rest.

Without the script the pictures of one ε remain, with what the classifier sees in them. No style
attribute and no inline script: a strict Content-Security-Policy forbids both.
"""

import json
from html import escape


def markup(data: dict, folder: str) -> str:
    """The inside of the figure.

    ``data`` is that of ``fgsm_lib.slider.packed``; ``folder`` is where the picture files are, as
    an address relative to the page.
    """
    stop = data["stops"][data["start"]]
    pictures = "".join(_picture(shown, data, folder) for shown in stop["pictures"])
    # "<" is all that could end the element early.
    facts = json.dumps({**data, "folder": folder}, ensure_ascii=False).replace("<", "\\u003c")
    return (
        f'<div class="epsilon-slider"><div class="pictures">{pictures}</div>'
        f'<p class="summary">{escape(stop["summary"])}</p>'
        f'<script type="application/json">{facts}</script></div>'
    )


def _picture(shown: dict, data: dict, folder: str) -> str:
    title, text, alt = (escape(shown[part]) for part in ("title", "text", "alt"))
    return (
        f'<div class="picture" data-what="{shown["what"]}"><p class="title">{title}</p>'
        f'<img src="{escape(folder + shown["file"])}" alt="{alt}" '
        f'width="{data["width"]}" height="{data["height"]}" loading="lazy">'
        f'<p class="seen">{text}</p></div>'
    )

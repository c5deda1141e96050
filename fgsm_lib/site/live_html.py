"""The live page's figure as HTML: the pictures to choose from, and the data for ``live.js``.

Without the script, or where it is not run, the pictures remain, each with a link to its case study,
which shows the same attack as the build computed it.
"""

import json
from html import escape

NO_SCRIPT = (
    "The attack runs in your browser, and that needs JavaScript. Without it, the case studies "
    "show the same attacks, as this build computed them."
)
ON_PAPER = (
    "The attack runs in the browser, on this page of the site. The case studies show the same "
    "attacks, as this build computed them."
)


def markup(data: dict, manifest: dict, images: str, pages: str) -> str:
    """The inside of the figure.

    ``data`` is that of ``fgsm_lib.live.packed``, ``manifest`` that of ``browser.manifest``;
    ``images`` and ``pages`` are where both are, as addresses relative to the page.
    """
    pictures = "".join(
        _picture(picture, data["crop"], images, pages) for picture in data["pictures"]
    )
    missing = f'<p class="missing">{escape(manifest["missing"])}</p>' if manifest["missing"] else ""
    # "<" is all that could end the element early.
    facts = json.dumps({**data, **manifest, "images": images}, ensure_ascii=False)
    facts = facts.replace("<", "\\u003c")
    return (
        f'<div class="epsilon-slider live-attack"><div class="pictures offered">{pictures}</div>'
        f'{missing}<p class="no-script">{NO_SCRIPT}</p><p class="on-paper">{ON_PAPER}</p>'
        f'<script type="application/json">{facts}</script></div>'
    )


def _picture(picture: dict, size: int, images: str, pages: str) -> str:
    name = escape(picture["name"])
    return (
        f'<div class="picture"><p class="title">{name}</p>'
        f'<img src="{escape(images + picture["file"])}" alt="Sample {picture["sample"]}: {name}." '
        f'width="{size}" height="{size}" loading="lazy">'
        f'<p><a href="{escape(pages)}case-{picture["sample"]}.html">'
        f"case study of sample {picture['sample']}</a></p></div>"
    )

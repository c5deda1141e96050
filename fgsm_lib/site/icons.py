"""The theme's icons without the theme's icon script.

The theme brings all of Font Awesome, 540 KB compressed, to show nine icons. After a build the
drawings of those that the pages use are put into a style sheet, and the script is taken out, as
is its font of 156 KB.
"""

import re
from pathlib import Path
from urllib.parse import quote

SCRIPT = Path("_static", "scripts", "fontawesome.js")
STYLES = Path("_static", "icons.css")
_TAG = re.compile(r'<script defer src="([^"]*)_static/scripts/fontawesome\.js[^"]*"></script>')
_FONT = re.compile(r"@font-face\s*\{[^}]*Font ?Awesome[^}]*\}")
# Which letter of that font an icon was.
_LETTERS = re.compile(r'(?:\.fa-[\w-]+:{1,2}before,?)+\{content:"[^"]*"\}')
_USED = re.compile(r'class="[^"]*\bfa-solid\b[^"]*"')
_MODIFIERS = {"fa-solid", "fa-lg"}
_BASE = """.fa-solid {
  display: inline-block;
  width: 1em;
  height: 1em;
  vertical-align: -0.125em;
  background-color: currentColor;
  -webkit-mask: var(--icon) center / contain no-repeat;
  mask: var(--icon) center / contain no-repeat;
}

/* The theme's own drawing, a letter of its icon font. */
.fa-solid::before {
  content: none !important;
}

.fa-lg {
  font-size: 1.25em;
}

@media (forced-colors: active) {
  .fa-solid {
    background-color: CanvasText;
  }
}
"""


def replace_icon_script(html: Path) -> None:
    """Give every page below ``html`` the icons it uses as a style sheet.

    Raises ValueError for an icon that Font Awesome does not draw.
    """
    script = (html / SCRIPT).read_text(encoding="utf-8")
    pages = {page: page.read_text(encoding="utf-8") for page in html.rglob("*.html")}
    used = {
        name
        for text in pages.values()
        for classes in _USED.findall(text)
        for name in re.findall(r"\bfa-[a-z0-9-]+", classes)
    }
    rules = [icon_rule(script, name) for name in sorted(used - _MODIFIERS)]
    (html / STYLES).write_text("\n".join([_BASE, *rules]), encoding="utf-8")
    for page, text in pages.items():
        link = rf'<link rel="stylesheet" href="\g<1>{STYLES.as_posix()}" />'
        page.write_text(_TAG.sub(link, text), encoding="utf-8")
    (html / SCRIPT).unlink()
    for sheet in (html / "_static" / "styles").glob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        sheet.write_text(_LETTERS.sub("", _FONT.sub("", text)), encoding="utf-8")


def icon_rule(script: str, name: str) -> str:
    """The style of the icon of class ``name``, with its drawing out of Font Awesome's script."""
    key = re.escape(name.removeprefix("fa-"))
    # The solid drawings come last; those before are of other styles.
    found = re.findall(rf'["{{,]{key}"?:\[(\d+),(\d+),\[[^\]]*\],"[0-9a-f]+","([^"]+)"\]', script)
    if not found:
        raise ValueError(f"{name}: Font Awesome has no such solid icon")
    width, height, path = found[-1]
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}'>"
        f"<path d='{path}'/></svg>"
    )
    return f'.{name} {{\n  --icon: url("data:image/svg+xml,{quote(svg)}");\n}}\n'

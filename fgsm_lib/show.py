"""How notebooks show things: figures, tables, sentences and the ε slider.

Jupyter gets a picture, an HTML table or Markdown. While the site is built, the environment
variable ``FGSM_SITE_FILES`` names a folder: then every output also carries MyST text
(``text/x-myst``), which ``book/_ext/site.py`` renders with number and caption, and the files that
it names are written into that folder. In a plain script, a figure is saved and a table printed.
"""

import hashlib
import html
import inspect
import io
import os
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from fgsm_lib import InputError, style
from fgsm_lib.slider import Widget, encoded, lossless
from fgsm_lib.words import escape, readable

MYST = "text/x-myst"
SITE_FILES = "FGSM_SITE_FILES"
PHONE = 760  # CSS pixels: where the page is narrower, figures are those drawn for a phone
MANY = 12  # pictures in a figure, from which on it only gives an impression of them
HEAVY = 80_000  # bytes: pictures for Jupyter that would be larger are compressed with loss


def show(
    thing: Figure | pd.DataFrame | Widget,
    *,
    name: str | None = None,
    caption: str = "",
    alt: str | None = None,
) -> None:
    """Show a matplotlib figure, a table, or a slider.

    Args:
        thing: A figure; a table whose cells are texts, or numbers already rounded for reading; or
            a widget, such as ``slider.slider`` returns.
        name: The label that ``{numref}`` refers to, of lower-case letters, digits and hyphens.
        caption: One paragraph of MyST Markdown.
        alt: What a figure shows, in words; by default ``style.alt`` reads it off the axes.

    Raises:
        InputError: It is something else, or the name is no label.
    """
    if name is not None and not re.fullmatch(r"[a-z0-9-]+", name):
        raise InputError(f"name is {name!r}; expected lower-case letters, digits and hyphens.")
    if isinstance(thing, pd.DataFrame):
        _show_table(thing, name, caption)
    elif isinstance(thing, Widget):
        markup = _with_files(thing, name or "slider")
        _show_figure("slider", markup, thing.still, thing.text, name, caption)
    elif isinstance(thing, Figure):
        text = alt or style.alt(thing)
        markup = _pictures(thing, name or "figure", text)
        png = _saved(thing, "png", dpi=96 if _in_jupyter() else 150, facecolor="white")
        _show_figure("themed", markup, png, text, name, caption)
        plt.close(thing)  # or Jupyter shows it a second time
    else:
        kind = type(thing).__name__
        raise InputError(f"show got a {kind}; expected a figure, a DataFrame or a slider.")


def say(text: str) -> None:
    """Show a sentence (MyST Markdown) whose numbers were computed; nothing for an empty one."""
    if text:
        _display(text, {"text/markdown": readable(text)}, readable(text))


def code(function: Callable) -> None:
    """Show a function as it stands in the library, folded under its name."""
    source = inspect.getsource(function)
    summary = f"<summary>The code of {function.__name__}</summary>"
    folded = f'<details class="code">{summary}\n\n```python\n{source}```\n\n</details>'
    _display(folded, {"text/markdown": folded}, source)


def credit(picture) -> str:
    """Who made a ``pictures.Picture`` and under which license, as Markdown; may be empty."""
    if not picture.author:
        return ""
    said = [_link(picture.author, picture.page_url)]
    if picture.license or picture.license_url:
        said.append(_link(picture.license or "license", picture.license_url))
    return f"Photograph: {', '.join(said)}, resized and cropped."


def _link(text: str, address: str) -> str:
    """A Markdown link, where the address is one that cannot end the link or run a script."""
    plain = re.fullmatch(r"https?://[\w./@%~:+=?&-]+", address or "")
    return f"[{escape(text)}]({address})" if plain else escape(text)


# --- figures -------------------------------------------------------------------------------------


def _show_figure(
    kind: str, markup: str, png: bytes, text: str, name: str | None, caption: str
) -> None:
    """Show ``markup`` on the site and a PNG file elsewhere, which a plain script writes."""
    if not _in_jupyter():
        Path(f"{name or 'figure'}.png").write_bytes(png)
        print(f"saved {name or 'figure'}.png: {text}")
        return
    _display(_numbered(f"figure {kind}", name, caption, markup), _still(png) | {"text/plain": text})
    if caption:  # in Jupyter below the picture; on the site it stands there already
        label = f"**{name}.** " if name else ""
        _display("% caption", {"text/markdown": label + readable(caption)})


def _pictures(figure: Figure, name: str, alt: str) -> str:
    """A figure as two pictures, one for light and one for dark pages; each also for a phone."""
    if not _site_files():
        return ""
    narrow = _svg(figure.again(style.NARROW) if hasattr(figure, "again") else figure)
    wide, pictures = _svg(figure), []
    for theme, colored in (("light", str), ("dark", style.darkened)):
        small, large = (
            f'"{_store(f"{name}-{size}-{theme}.svg", colored(svg).encode())}" {_size(svg)}'
            for size, svg in (("narrow", narrow), ("wide", wide))
        )
        pictures.append(
            f'<picture class="on-{theme}"><source media="(max-width: {PHONE}px)" srcset={small}>'
            f'<img src={large} alt="{html.escape(alt)}" loading="lazy"></picture>'
        )
    return "".join(pictures)


def _size(svg: str) -> str:
    """Width and height of a figure in CSS pixels, as attributes; its SVG is measured in points."""
    points = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()
    width, height = (round(float(side) * 96 / 72) for side in points)
    return f'width="{width}" height="{height}"'


def _saved(figure: Figure, kind: str, **options) -> bytes:
    """A figure as a file; a reader's own stays on white, and is cut where its ink ends."""
    buffer = io.BytesIO()
    if not hasattr(figure, "again"):
        options |= {"facecolor": "white", "bbox_inches": "tight"}
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def _svg(figure: Figure) -> str:
    """A figure as SVG, with its pictures as WebP, which is smaller.

    Their pixels stay exactly as they are, unless there are very many. Those with transparent
    pixels stay PNG.
    """
    svg = _saved(figure, "svg", metadata={"Date": None}).decode()
    png = re.compile(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)")
    exact = len(png.findall(svg)) < MANY

    def as_webp(match: re.Match) -> str:
        with Image.open(io.BytesIO(b64decode(match[1]))) as image:
            pixels = np.asarray(image.convert("RGBA"))
        if pixels[..., 3].min() < 255:
            return match[0]
        pixels = pixels[..., :3]
        file = lossless(pixels) if exact else encoded(pixels, "WEBP", quality=85)
        return "data:image/webp;base64," + b64encode(file).decode()

    return png.sub(as_webp, svg)


def _still(png: bytes) -> dict[str, str]:
    """A PNG file as an output for Jupyter; as JPEG where it would make the notebook heavy."""
    if len(png) <= HEAVY:
        return {"image/png": b64encode(png).decode()} if png else {}
    with Image.open(io.BytesIO(png)) as image:
        jpeg = encoded(np.asarray(image.convert("RGB")), "JPEG", quality=85)
    return {"image/jpeg": b64encode(jpeg).decode()}


# --- tables --------------------------------------------------------------------------------------

_NUMBER = re.compile(
    r"[<>≤≥≈~]?\s*[−+-]?\d[\d.,]*(e[−-]?\d+)?\s*(%|×|dB|/255)?(\s*\([^()]*\))?|[–—-]?"
)


def _show_table(frame: pd.DataFrame, name: str | None, caption: str) -> None:
    title = f"<caption>{html.escape(readable(caption))}</caption>" if caption else ""
    inside, text = _table(frame), frame.to_string(index=False)
    jupyter = {"text/html": f"<table>{title}{inside}</table>", "text/plain": text}
    _display(_numbered("table results", name, caption, inside), jupyter, text)


def _table(frame: pd.DataFrame) -> str:
    """Head and body of a table, whose cells bring no markup; its numbers stand at the right.

    Each cell names its column, so that a phone can show each row as a block.
    """
    head, columns = [], []
    for name, cells in frame.items():
        name = html.escape(str(name))
        texts = [cell if isinstance(cell, str) else f"{cell}".replace("-", "−") for cell in cells]
        kind = ' class="number"' * all(map(_NUMBER.fullmatch, texts))
        head.append(f'<th scope="col"{kind}>{name}</th>')
        columns.append([f'<td data-label="{name}"{kind}>{_unbroken(text)}</td>' for text in texts])
    rows = (f"<tr>{' '.join(row)}</tr>" for row in zip(*columns, strict=True))
    return f"<thead><tr>{' '.join(head)}</tr></thead> <tbody>{' '.join(rows)}</tbody>"


def _unbroken(cell: str) -> str:
    """A cell's text that breaks neither within a number nor within an interval."""
    parts = [(part, html.escape(part)) for part in re.split(r" (?=\()", cell)]
    return " ".join(
        f'<span class="whole">{shown}</span>'
        if len(part) <= 25 and not re.search("[A-Za-z]{3}", part)
        else shown
        for part, shown in parts
    )


# --- where it goes -------------------------------------------------------------------------------


def _in_jupyter() -> bool:
    """Whether this runs in a kernel, which can show pictures."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _display(myst: str, bundle: dict[str, str], printed: str = "") -> None:
    """What the site, Jupyter and a plain script show."""
    if not _in_jupyter():
        print(printed)
        return
    from IPython.display import display  # a plain script does without it

    display(bundle | ({MYST: myst} if _site_files() else {}), raw=True)


def _numbered(kind: str, name: str | None, caption: str, inside: str) -> str:
    """MyST text: HTML as a figure or table with number and caption, see ``book/_ext/site.py``."""
    lines = [" ".join(text.split()) for text in (caption, inside)]
    return "\n".join([f"`````{{shown}} {name or ''}", f":kind: {kind}", "", *lines, "`````"])


def _site_files() -> Path | None:
    """Where the files of the site go; None outside its build."""
    folder = os.environ.get(SITE_FILES)
    return Path(folder) if folder else None


def _store(name: str, content: bytes) -> str:
    """Write a file of the site, named after its content; returns its address from the root."""
    stem, dot, suffix = name.rpartition(".")
    folder = _site_files()
    file = folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:12]}{dot}{suffix}"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{os.getpid()}-{file.name}")
        unfinished.write_bytes(content)
        unfinished.replace(file)
    return f"_files/{file.name}"


def _with_files(widget: Widget, name: str) -> str:
    """The widget's HTML, with the addresses of its files in place of their names."""
    markup = widget.markup
    for key, content in widget.files.items() if _site_files() else ():
        markup = markup.replace(f'"{key}"', f'"{_store(f"{name}-{key}", content)}"')
    return markup

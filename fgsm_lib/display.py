"""How notebooks show things: figures, tables and sentences.

In Jupyter these are an image, an HTML table and Markdown. On the site they become numbered
figures with a light and a dark version, numbered tables and prose: each output carries a second
representation that ``fgsm_lib.site.mime`` knows how to render.
"""

import base64
import inspect
import io
import re
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from PIL import Image

from fgsm_lib import figures, live, slider
from fgsm_lib.cases import Case
from fgsm_lib.datasets import Photo
from fgsm_lib.markdown import escape
from fgsm_lib.study import Study

FIGURE_MIME = "application/vnd.fgsm.figure+json"
TABLE_MIME = "application/vnd.fgsm.table+json"
SLIDER_MIME = "application/vnd.fgsm.slider+json"
LIVE_MIME = "application/vnd.fgsm.live+json"
OWN_MIMES = (FIGURE_MIME, TABLE_MIME, SLIDER_MIME, LIVE_MIME)


def show(
    draw: Callable[..., figures.Drawing],
    *args,
    name: str,
    caption: str,
    pixel_true: bool = True,
    **kwargs,
) -> None:
    """Draw a figure of ``fgsm_lib.figures`` and display it, for light and dark pages.

    ``name`` is the label that ``{numref}`` refers to, ``caption`` is Markdown. A figure that only
    gives an impression of many images may weigh a tenth with ``pixel_true=False``.
    """
    with figures.style():
        figure, alt = draw(*args, **kwargs)
        light = lighter(_save(figure, "svg").decode(), pixel_true)
        png = _save(figure, "png", facecolor="white", dpi=110)
        plt.close(figure)
    svg = {"light": light, "dark": figures.darkened(light)}
    content = {**svg, "alt": alt, "name": name, "caption": caption}
    bundle = {
        FIGURE_MIME: content,
        "image/png": base64.b64encode(png).decode(),
        "text/plain": alt,
    }
    display(bundle, raw=True)


def show_table(table: pd.DataFrame, *, name: str, caption: str) -> None:
    """Display a table whose cells are texts or numbers already rounded for reading."""
    columns = [str(column) for column in table.columns]
    rows = [[str(cell) for cell in row] for row in table.itertuples(index=False)]
    content = {"columns": columns, "rows": rows, "name": name, "caption": caption}
    bundle = {
        TABLE_MIME: content,
        "text/html": table.to_html(index=False, escape=True),
        "text/plain": table.to_string(index=False),
    }
    display(bundle, raw=True)


def show_slider(case: Case, start_255: float, *, name: str, caption: str) -> None:
    """Display the ε slider of a case study, which starts at ``start_255``.

    In Jupyter, where no page script moves it, the three pictures at that ε.
    """
    data, files = slider.packed(case, start_255)
    shown = data["stops"][data["start"]]
    pictures = [files[picture["file"]] for picture in shown["pictures"]]
    bundle = {
        SLIDER_MIME: _with_files(data, files, name, caption),
        "image/png": base64.b64encode(_beside(pictures)).decode(),
        "text/plain": shown["summary"],
    }
    display(bundle, raw=True)


def show_live(study: Study, *, name: str, caption: str) -> None:
    """Display the figure of the live page, where the reader's browser attacks a picture.

    In Jupyter, which lacks the page's scripts, a line of text.
    """
    data, files = live.packed(study)
    bundle = {
        LIVE_MIME: _with_files(data, files, name, caption),
        "text/plain": "On the site, the classifier runs here in the reader's browser.",
    }
    display(bundle, raw=True)


def _with_files(data: dict, files: dict[str, bytes], name: str, caption: str) -> dict:
    """A representation for the site that brings picture files along."""
    encoded = {file: base64.b64encode(content).decode() for file, content in files.items()}
    return {"data": data, "files": encoded, "name": name, "caption": caption}


def _beside(files: list[bytes]) -> bytes:
    """Pictures of one size, side by side, as a PNG file."""
    pictures = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    buffer = io.BytesIO()
    Image.fromarray(np.hstack(pictures)).save(buffer, "PNG")
    return buffer.getvalue()


def say(text: str) -> None:
    """Display a sentence (Markdown) whose numbers were computed; nothing for an empty one."""
    if text:
        display(Markdown(text))


def show_source(function: Callable) -> None:
    """Display a function as it stands in the library."""
    display(Markdown(f"```python\n{inspect.getsource(function)}```"))


def credit(photo: Photo) -> str:
    """Who made a photograph and under which license, as Markdown; empty where nobody is named."""
    if not photo.author:
        return ""
    name = escape(photo.author)
    if _is_link(photo.page_url):
        name = f"[{name}]({photo.page_url})"
    if not _is_link(photo.license_url):
        return f"Photograph: {name}."
    by = "CC BY 2.0" if "/by/2.0" in photo.license_url else "license"
    return f"Photograph: {name}, [{by}]({photo.license_url}), resized and cropped."


def _is_link(url: str | None) -> bool:
    """A plain web address: nothing in it can end the Markdown link or run a script."""
    return bool(url and re.fullmatch(r"https?://[\w./@%~:+-]+", url))


def lighter(svg: str, pixel_true: bool) -> str:
    """A figure in SVG with its embedded PNG images as WebP, which is smaller.

    With ``pixel_true`` the pixels stay exactly as they are. Images with transparent pixels stay
    PNG.
    """

    def as_webp(match: re.Match) -> str:
        with Image.open(io.BytesIO(base64.b64decode(match[1]))) as image:
            rgba = np.asarray(image.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            return match[0]
        pixels = np.ascontiguousarray(rgba[..., :3])
        file = slider.lossless(pixels) if pixel_true else _lossy(pixels)
        return "data:image/webp;base64," + base64.b64encode(file).decode()

    return re.sub(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)", as_webp, svg)


def _lossy(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=85)
    return file.getvalue()


def _save(figure: plt.Figure, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(buffer, format=kind, metadata=metadata, **options)
    return buffer.getvalue()

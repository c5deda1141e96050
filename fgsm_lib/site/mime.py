"""Renders the figures and tables of ``fgsm_lib.display`` as Sphinx nodes.

MyST-NB finds this through the entry point in pyproject.toml.
"""

import base64
import hashlib
import posixpath
import re
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from docutils import nodes

from fgsm_lib.display import FIGURE_MIME, LIVE_MIME, OWN_MIMES, SLIDER_MIME, TABLE_MIME
from fgsm_lib.site import browser, live_html, slider_html


class Renderer:
    """A MyST-NB MimeRenderPlugin for the representations of ``fgsm_lib.display``."""

    mime_priority_overrides: ClassVar = [("*", mime, 1) for mime in OWN_MIMES]

    @staticmethod
    def handle_mime(renderer, data, inline: bool) -> list[nodes.Element] | None:
        if data.mime_type == FIGURE_MIME:
            return [_figure(renderer, data)]
        if data.mime_type == TABLE_MIME:
            return [_table(renderer, data)]
        if data.mime_type == SLIDER_MIME:
            return [_slider(renderer, data)]
        if data.mime_type == LIVE_MIME:
            return [_live(renderer, data)]
        return None


def _figure(renderer, data) -> nodes.figure:
    """One numbered figure that holds a light and a dark image; the style sheet shows one."""
    content = data.content
    figure = nodes.figure(classes=["themed"])
    for theme in ("light", "dark"):
        svg = content[theme].encode()
        name = f"{content['name']}-{theme}-{hashlib.sha256(svg).hexdigest()[:12]}.svg"
        uri = renderer.write_file([name], svg, overwrite=False, exists_ok=True)
        image = SizedImage(uri=uri, alt=content["alt"], classes=[f"on-{theme}"])
        image["width"], image["height"] = size_of(content[theme])
        figure += image
    caption = nodes.caption()
    caption += _markdown(renderer, content["caption"], data.line)
    figure += caption
    return _labeled(renderer, figure, content["name"])


class SizedImage(nodes.image):
    """An image whose place is kept free until it is loaded: nothing jumps, and what lies far below
    is not taken for near."""


def visit_sized_image(translator, node: SizedImage) -> None:
    """Write the image with its size as attributes; docutils would make them a fixed style."""
    images = translator.builder.images
    uri = posixpath.join(translator.builder.imgpath, quote(images[node["uri"]]))
    size = {"width": node["width"], "height": node["height"]}
    translator.body.append(
        translator.emptytag(node, "img", "\n", src=uri, alt=node["alt"], loading="lazy", **size)
    )


def depart_sized_image(translator, node: SizedImage) -> None:
    pass


def size_of(svg: str) -> tuple[int, int]:
    """Width and height of a figure in CSS pixels; its SVG is measured in points."""
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()
    return round(float(width) * 4 / 3), round(float(height) * 4 / 3)


def _slider(renderer, data) -> nodes.figure:
    """A numbered figure whose pictures a script swaps; without the script, those of one ε."""
    to_root = _with_files(renderer, data.content)
    return _interactive(
        renderer, data, slider_html.markup(data.content["data"], f"{to_root}_images/")
    )


def _live(renderer, data) -> nodes.figure:
    """A numbered figure in which a script runs the classifier; without it, the pictures."""
    to_root = _with_files(renderer, data.content)
    app = renderer.renderer.sphinx_env.app
    manifest = browser.manifest(Path(app.srcdir) / browser.STATIC)
    markup = live_html.markup(data.content["data"], manifest, f"{to_root}_images/", to_root)
    return _interactive(renderer, data, markup)


def _with_files(renderer, content: dict) -> str:
    """Write a figure's picture files; returns the way from its page to the root of the site.

    They go where Sphinx puts images; it would copy only those that a page shows.
    """
    env = renderer.renderer.sphinx_env
    folder = Path(env.app.outdir) / "_images"
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in content["files"].items():
        (folder / name).write_bytes(base64.b64decode(file))
    return "../" * env.docname.count("/")


def _interactive(renderer, data, markup: str) -> nodes.figure:
    """HTML that a script of the site brings to life, as a figure with number and caption."""
    figure = nodes.figure("", nodes.raw("", markup, format="html"), classes=["slider"])
    caption = nodes.caption()
    caption += _markdown(renderer, data.content["caption"], data.line)
    figure += caption
    return _labeled(renderer, figure, data.content["name"])


def _table(renderer, data) -> nodes.table:
    """A numbered table. Cells are text nodes, so no cell can bring markup into the page."""
    content = data.content
    table = nodes.table(classes=["results"])
    title = nodes.title()
    title += _markdown(renderer, content["caption"], data.line)
    group = nodes.tgroup(cols=len(content["columns"]))
    group += [nodes.colspec(colwidth=1) for _ in content["columns"]]
    head, body = nodes.thead(), nodes.tbody()
    head += _row([_cell(name) for name in content["columns"]])
    body += [_row([_cell(text) for text in row]) for row in content["rows"]]
    group += [head, body]
    table += [title, group]
    return _labeled(renderer, table, content["name"])


def _row(cells: list[nodes.entry]) -> nodes.row:
    row = nodes.row()
    row += cells
    return row


def _cell(text: str) -> nodes.entry:
    """A cell that may wrap, but neither within a number nor within an interval.

    Where a column is narrow, "0.40 (0.29–0.52)" so stands on two lines, not on four.
    """
    entry = nodes.entry(classes=["long"] if len(text) > 30 else [])
    paragraph = nodes.paragraph()
    for place, part in enumerate(re.split(r" (?=\()", text)):
        if place:
            paragraph += nodes.Text(" ")
        whole = len(part) <= 25 and not re.search("[A-Za-z]{3}", part)
        paragraph += nodes.inline(text=part, classes=["whole"]) if whole else nodes.Text(part)
    entry += paragraph
    return entry


def _markdown(renderer, text: str, line: int | None) -> list[nodes.Node]:
    """Inline Markdown of a caption, with the roles and math of the page."""
    holder = nodes.Element()
    with renderer.renderer.current_node_context(holder):
        renderer.renderer.nested_render_text(text, line or 0, inline=True)
    return holder.children


def _labeled(renderer, node: nodes.Element, name: str) -> nodes.Element:
    """Make ``{numref}`` and ``{ref}`` find the node."""
    node["names"].append(nodes.fully_normalize_name(name))
    renderer.renderer.document.note_explicit_target(node, node)
    return node

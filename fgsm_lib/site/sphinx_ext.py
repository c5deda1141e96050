"""What Sphinx is taught beyond Jupyter Book: equation tags, previews, accessible HTML."""

import html
import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from fgsm_lib.site import equations, meta, mime

logger = logging.getLogger(__name__)

# Class of an element that scripts bring to life -> its style sheets and scripts.
INTERACTIVE = {
    "epsilon-slider": (("slider.css",), ("parts.js", "slider.js")),
    "epsilon-slider live-attack": (("slider.css", "live.css"), ("parts.js", "live.js")),
}


def tag_equations(app: Sphinx, doctree: nodes.document) -> None:
    """Show the equation labeled ``eq-1-2`` as (1.2): the original page's numbers."""
    domain = app.env.get_domain("math")
    for equation in doctree.findall(nodes.math_block):
        match = re.fullmatch(r"eq-(\d+)-(\d+)", equation.get("label") or "")
        if match:
            number = f"{match[1]}.{match[2]}"
            equation["number"] = number
            domain.data["objects"][equation["label"]] = (app.env.docname, number)


def repair_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Faults of the theme's HTML: an unescaped title, and what axe-core reports."""
    # The theme prints the title's text as it is, and a case study's title holds a class name.
    context["pagetitle"] = html.escape(context.get("pagetitle", ""))
    # The launch buttons' icon is named as Font Awesome 5 did; icons.py draws the names of today.
    for button in context.get("header_buttons", []):
        button["icon"] = button["icon"].replace("fas ", "fa-solid ")
    body = context.get("body")
    if not body:
        return
    # Buttons whose label says something else than their visible text.
    body = body.replace(' aria-label="Toggle hidden content"', "")
    # A bibliography is a list; these roles are deprecated and lack the parents they need.
    body = body.replace(' role="doc-biblioentry"', ' role="listitem"')
    body = body.replace(' role="doc-backlink"', "")
    context["body"] = body
    for element, (styles, scripts) in INTERACTIVE.items():
        if f'class="{element}"' in body:  # on no other page
            for style in styles:
                app.add_css_file(style)
            for script in scripts:
                app.add_js_file(script, loading_method="defer")


def describe_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """A description and a preview for every page."""
    site = app.config.html_title
    # The search and index pages have neither text nor, before their templates run, a title.
    title = context.get("title") or {"search": "Search", "genindex": "Index"}.get(pagename, site)
    title = re.sub(r"<[^>]*>", "", title)
    text = meta.description(doctree) if doctree is not None else f"{title} of the site “{site}”"
    if text is None:
        logger.warning(
            "%s: no paragraph describes this page; expected one of %d characters or more, "
            "without equations, near its top",
            pagename,
            meta.SHORTEST,
        )
        return
    here = context.get("pageurl")
    base = app.config.html_baseurl or context["pathto"]("", resource=True)
    context["metatags"] = (context.get("metatags") or "") + meta.tags(title, text, here, base)


def setup(app: Sphinx) -> dict[str, object]:
    app.add_node(mime.SizedImage, html=(mime.visit_sized_image, mime.depart_sized_image))
    app.connect("doctree-read", tag_equations)
    app.connect("html-page-context", repair_page, priority=900)
    app.connect("html-page-context", describe_page, priority=900)
    app.add_html_math_renderer(equations.RENDERER, equations.INLINE, equations.BLOCK)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""What Sphinx is taught beyond Jupyter Book: equation tags and repairs for screen readers."""

import html
import re

from docutils import nodes
from sphinx.application import Sphinx


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
    body = context.get("body")
    if not body:
        return
    # Buttons whose label says something else than their visible text.
    body = body.replace(' aria-label="Toggle hidden content"', "")
    # A bibliography is a list; these roles are deprecated and lack the parents they need.
    body = body.replace(' role="doc-biblioentry"', ' role="listitem"')
    body = body.replace(' role="doc-backlink"', "")
    context["body"] = body
    if 'class="epsilon-slider"' in body:  # on no other page
        app.add_css_file("slider.css")
        app.add_js_file("slider.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, object]:
    app.connect("doctree-read", tag_equations)
    app.connect("html-page-context", repair_page, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

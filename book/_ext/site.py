"""What Sphinx is taught beyond Jupyter Book: outputs of ``fgsm_lib.show``, the frame of a page."""

import html
import json
import os
import re
from pathlib import Path
from typing import ClassVar

from _ext import equations, pages
from _ext.assemble import REPOSITORY
from docutils import nodes
from myst_nb.core import render
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.search import WordCollector
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

# Class of an element that scripts bring to life -> its style sheets and scripts.
INTERACTIVE = {
    "epsilon-slider": (["slider.css"], ["pixels.js", "slider.js"]),
    "live-attack": (["live.css"], ["live.js"]),
    "seen-test": (["seen.css"], ["pixels.js", "staircase.js", "seen.js"]),
    "claims": (["claims.css"], ["claims.js"]),
    "by-hand": (["touch.css"], ["touch.js"]),
}
WORDS_A_MINUTE = 220
MANY = 6  # rows of a table; one with more is folded


class MystText:
    """Renders ``text/x-myst``, which an output of a notebook carries for the site."""

    mime_priority_overrides: ClassVar = [("*", "text/x-myst", 1)]

    @staticmethod
    def handle_mime(renderer, data, inline: bool):
        if data.mime_type == "text/x-myst":
            return renderer._render_markdown_base(data, fmt="myst", inline=inline)
        return None


class Shown(SphinxDirective):
    """A figure or table with number and caption, whose inside is HTML.

    The argument is its label. The last line of the content is the HTML, the caption stands before.
    """

    optional_arguments = 1
    has_content = True
    option_spec: ClassVar = {"kind": str.split}

    def run(self) -> list[nodes.Node]:
        kind, *classes = self.options["kind"]
        inside = nodes.raw("", self.content[-1], format="html")
        caption, _ = self.parse_inline(" ".join(self.content[:-1]))
        if kind == "table":
            shown = nodes.table("", nodes.title("", "", *caption), inside, classes=classes)
        else:
            shown = nodes.figure("", inside, nodes.caption("", "", *caption), classes=classes)
        if self.arguments:
            shown["names"].append(nodes.fully_normalize_name(self.arguments[0]))
            self.state.document.note_explicit_target(shown, shown)
        rows = self.content[-1].count("<tr>") - 1  # without the head
        if kind != "table" or rows <= MANY:
            return [shown]
        start = f'<details class="rows"><summary>Show the table of {rows} rows</summary>'
        before, after = (nodes.raw("", tag, format="html") for tag in (start, "</details>"))
        return [before, shown, after]


class CodeBelow(SphinxPostTransform):
    """Moves folded code below what it shows, once MyST-NB has folded it."""

    default_priority = 200

    def run(self, **kwargs) -> None:
        for folded in list(self.document.findall(HideCodeCellNode)):
            cell = folded.parent
            cell.remove(folded)
            cell.append(folded)


def visit_prose(collector: WordCollector, node: nodes.Node, visit=WordCollector.dispatch_visit):
    """What search looks through: no code."""
    if isinstance(node, nodes.literal_block):
        raise nodes.SkipNode
    visit(collector, node)


def forget_index(app: Sphinx, doctree: nodes.document) -> None:
    """There is no index, and search would find each of its terms twice."""
    for entry in list(doctree.findall(addnodes.index)):
        entry.parent.remove(entry)


def place(app: Sphinx, config: Config) -> None:
    """Where site and repository are published: the environment may say so."""
    config.html_baseurl = config.ogp_site_url = os.environ.get("FGSM_SITE_URL", "")
    if found := REPOSITORY.fullmatch(os.environ.get("FGSM_REPOSITORY", "")):
        config.html_theme_options |= {
            "repository_url": found[1],
            "repository_branch": "notebooks",  # of executable notebooks, pushed by the workflow
            "use_repository_button": True,
            "launch_buttons": {
                "notebook_interface": "jupyterlab",
                "colab_url": "https://colab.research.google.com",
                "binderhub_url": "https://mybinder.org",
            },
        }


def frame_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Reading time above a page, its notebook below, its scripts; and what the theme gets wrong."""
    # The theme prints the title's text as it is, and a case study's title holds a class name.
    context["pagetitle"] = html.escape(context.get("pagetitle", ""))
    # Icons of the buttons are named as Font Awesome 5 did.
    for button in context.get("header_buttons", []):
        button["icon"] = re.sub(r"^fa[sb] ", "fa-solid ", button["icon"])
    context["metatags"] = tidied(context.get("metatags", ""), bool(context["pageurl"]))
    if pagename == "search":
        app.add_js_file("search.js", loading_method="defer")
    body = context.get("body")
    if not body or doctree is None:
        return
    body = body.replace('"_files/', f'"{"../" * pagename.count("/")}_files/')
    # A button whose label says something else than its text; roles that are deprecated.
    body = body.replace(' aria-label="Toggle hidden content"', "")
    body = body.replace(' role="doc-biblioentry"', ' role="listitem"')
    body = body.replace(' role="doc-backlink"', "")
    if pagename != app.config.root_doc:
        body = body.replace("</h1>", f"</h1>\n{reading_time(doctree)}", 1)
    context["body"] = body + foot(context["meta"] or {})
    for element, (styles, scripts) in INTERACTIVE.items():
        if re.search(rf'class="[^"]*\b{element}\b', body):  # on no other page
            for style in styles:
                app.add_css_file(style)
            for script in scripts:
                app.add_js_file(script, loading_method="defer")


def tidied(tags: str, published: bool) -> str:
    """A page's ``<meta>`` elements with whole sentences, or at least words, as descriptions.

    Without an address of its own, a site has none for the page and picture of a link preview.
    """
    tags = re.sub(r'(content="[^"]{50,}[.!?]) [^"]*\.\.\."', r'\1"', tags)
    tags = re.sub(r'(content="[^"]*) [^" ]*\.\.\."', r'\1 …"', tags)
    return tags if published else re.sub(r'<meta property="og:(url|image)[^>]*>\s*', "", tags)


def reading_time(doctree: nodes.document) -> str:
    """How long the text takes, without tables and code."""
    words = sum(len(node.astext().split()) for node in doctree.findall(nodes.paragraph))
    minutes = round(words / WORDS_A_MINUTE)
    return f'<p class="reading-time">{minutes} minutes to read</p>' if minutes > 1 else ""


def foot(meta: dict) -> str:
    """What built a page, and its notebooks: ``dodo.py`` leaves it in the notebook's metadata."""
    if "fgsm" not in meta:
        return ""
    facts = json.loads(meta["fgsm"])
    said = [f"Built with {html.escape(facts['title'])} on {html.escape(facts['built'])}."]
    for kind, text in {"notebook": "notebook to run", "executed": "as executed"}.items():
        said.append(f'<a download href="{html.escape(facts[kind])}">{text}</a>')
    said.append('<a href="about.html">about this site</a>')
    return f'<p class="foot">{said[0]} {" · ".join(said[1:])}</p>'


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        pages.finish(Path(app.srcdir), Path(app.outdir))


def setup(app: Sphinx) -> dict[str, object]:
    # MyST-NB looks for renderers among the entry points of packages, and this is none.
    render.load_mime_renders = lambda: [MystText]
    WordCollector.dispatch_visit = visit_prose
    equations.setup(app)
    app.add_js_file("parts.js", priority=400, loading_method="defer")  # before what builds on it
    app.add_directive("shown", Shown)
    app.add_post_transform(CodeBelow)
    app.connect("config-inited", place)
    app.connect("doctree-read", forget_index)
    app.connect("html-page-context", frame_page, priority=900)
    app.connect("build-finished", finish, priority=900)  # the theme writes style sheets then
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

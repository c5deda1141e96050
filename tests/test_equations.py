"""Equations become drawings after a build."""

import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner

from fgsm_lib.site import equations, render

PAGE = r"""<p>With <span class="math notranslate nohighlight">\(a &lt; \epsilon\)</span> and
<code>\(not math\)</code>.</p>
<div class="math notranslate nohighlight" id="equation-eq-1-1">
<span class="eqno">(1.1)<a class="headerlink" href="#equation-eq-1-1">#</a></span>\[b =
\operatorname{sign}(c)\]</div>
<p>Again <span class="math notranslate nohighlight">\(a &lt; \epsilon\)</span>.</p>
<div class="math notranslate nohighlight">
\[d\]</div>"""


def test_every_equation_is_drawn_and_readable_and_keeps_its_number(tmp_path):
    page = tmp_path / "book" / "page.html"
    page.parent.mkdir()
    page.write_text(PAGE)
    equations.draw_equations(tmp_path)
    soup = BeautifulSoup(page.read_text(), "html.parser")
    drawings = soup.select(".math > svg")
    assert [drawing["aria-hidden"] for drawing in drawings] == ["true"] * 4
    said = [tag.get_text() for tag in soup.select(".mathml math")]
    assert said == ["a<ϵ", "b=sign(c)", "a<ϵ", "d"]
    assert [tag.get("display") for tag in soup.select("math")] == [None, "block", None, "block"]
    assert soup.select_one("#equation-eq-1-1 .eqno").get_text() == "(1.1)#"
    numbered, plain = soup.select("div.math")  # each scrolls if it must; its link takes the focus
    assert not numbered.has_attr("tabindex")
    assert plain["tabindex"] == "0"
    assert soup.find("code").get_text() == r"\(not math\)"
    assert soup.get_text().count("\\") == 2  # those of the code


@pytest.mark.parametrize("tex", [r"\frac{a", r"\unknown x"])
def test_an_equation_that_cannot_be_drawn_stops_the_build_and_is_named(tmp_path, tex):
    page = tmp_path / "page.html"
    page.write_text(f'<span class="math notranslate">\\({tex}\\)</span>')
    with pytest.raises(equations.BadEquation) as failure:
        equations.draw_equations(tmp_path)
    assert tex in str(failure.value)
    assert tex in page.read_text()  # and nothing is half done


def test_its_message_is_all_that_a_user_sees(monkeypatch):
    def broken(*arguments):
        raise equations.BadEquation(r"MathJax cannot draw \frac{a: missing argument")

    monkeypatch.setattr(render, "render", broken)
    done = CliRunner().invoke(render.main, ["index", "--profile", "demo"])
    assert done.exit_code == 1
    assert done.output == "fgsm: MathJax cannot draw \\frac{a: missing argument\n"

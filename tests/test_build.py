"""The build's own steps: notebooks run once, fail helpfully, and never leave half a result."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from fgsm_lib.display import FIGURE_MIME
from fgsm_lib.site import execute, render

SOURCE = """\
# %% [markdown]
# # Sample {{ sample }}

# %% tags=["parameters"]
sample = 766
profile = "demo"

# %%
print(profile, sample + 1)
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "page.py"
    path.write_text(SOURCE)
    return path


def test_parameters_are_filled_into_code_and_prose(source):
    notebook = execute.clean_notebook(source, {"sample": 132, "profile": "my.toml"})
    assert notebook.cells[0].source == "# Sample 132"
    assert notebook.cells[1].source == "sample = 132\nprofile = 'my.toml'"
    assert all(not cell.get("outputs") for cell in notebook.cells)


def test_the_executed_and_the_clean_notebook_lie_beside_each_other(source, tmp_path):
    target = tmp_path / "out" / "case-132.ipynb"
    execute.execute(source, target, {"sample": 132, "profile": "demo"})
    executed = nbformat.read(target, as_version=4)
    assert executed.cells[2].outputs[0]["text"] == "demo 133\n"
    clean = nbformat.read(target.with_suffix(".clean.ipynb"), as_version=4)
    assert clean.cells[2].outputs == []
    assert {path.name for path in target.parent.iterdir()} == {
        "case-132.ipynb",
        "case-132.clean.ipynb",
    }


def test_a_failing_cell_is_named_and_the_last_good_result_stays(source, tmp_path):
    target = tmp_path / "case-7.ipynb"
    target.write_text("the last good one")
    source.write_text(SOURCE + "\n# %%\n1 / (sample - 7)\n")
    with pytest.raises(execute.NotebookFailed) as failure:
        execute.execute(source, target, {"sample": 7})
    message = str(failure.value)
    assert "page.py (page case-7)" in message
    assert "cell 4" in message
    assert "1 / (sample - 7)" in message
    assert "ZeroDivisionError" in message
    assert target.read_text() == "the last good one"
    assert list(tmp_path.glob(".case-7*")) == []


def test_the_case_studies_of_a_build_replace_those_of_the_table_of_contents():
    parts = [
        {"caption": "one", "chapters": [{"file": f} for f in ("a", "case-1", "case-2", "b")]},
        {"caption": "two", "chapters": [{"file": "z"}]},
    ]
    toc = render.with_cases({"root": "index", "parts": parts}, ["a", "z", "case-9", "case-3"])
    names = [[entry["file"] for entry in part["chapters"]] for part in toc["parts"]]
    assert names == [["a", "case-9", "case-3", "b"], ["z"]]
    assert [part["caption"] for part in toc["parts"]] == ["one", "two"]


def test_downloads_hold_only_what_jupyter_can_show():
    data = {FIGURE_MIME: {"light": "<svg/>"}, "image/png": "aGk=", "text/plain": "alt"}
    cell = new_code_cell(outputs=[new_output("display_data", data=data)])
    notebook = new_notebook(cells=[cell])
    shown = render.for_jupyter(notebook)
    assert set(shown.cells[0].outputs[0]["data"]) == {"image/png", "text/plain"}
    assert FIGURE_MIME in notebook.cells[0].outputs[0]["data"]


def test_the_line_of_provenance_follows_the_title():
    notebook = new_notebook(cells=[new_markdown_cell("# Title"), new_markdown_cell("text")])
    cells = render.with_provenance(notebook, "method", "profile **demo**").cells
    assert cells[0].source == "# Title"
    assert "profile **demo**" in cells[1].source
    assert "<downloads/method.ipynb>" in cells[1].source

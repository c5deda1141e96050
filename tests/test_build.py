"""The build's own steps: notebooks run once, fail helpfully, and never leave half a result."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from fgsm_lib.display import FIGURE_MIME
from fgsm_lib.site import execute, forks, render

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


@pytest.fixture(scope="module")
def processes():
    with forks.page_processes(2) as pool:
        yield pool


def test_a_forked_kernel_runs_a_page(processes, source, tmp_path):
    target = tmp_path / "out" / "case-132.ipynb"
    source.write_text(SOURCE + "import sys, torch\nprint('fgsm_lib.study' in sys.modules)\n")
    source.write_text(source.read_text() + "print(torch.get_num_threads(), __name__)\n")
    parameters = {"sample": 132, "profile": "demo"}
    assert processes.submit(forks.execute_page, source, target, parameters).result() is None
    text = nbformat.read(target, as_version=4).cells[2].outputs[0]["text"]
    assert text == "demo 133\nTrue\n1 __main__\n"


def test_forked_kernels_know_nothing_of_each_other(processes, tmp_path):
    calls = []
    for name in ("one", "two", "three"):
        source = tmp_path / f"{name}.py"
        source.write_text(f"# %%\nprint('seen' in globals())\nseen = '{name}'\nprint(seen)\n")
        calls.append((source, tmp_path / f"{name}.ipynb", {}))
    jobs = [processes.submit(forks.execute_page, *call) for call in calls]
    assert [job.result() for job in jobs] == [None, None, None]
    for _, target, _ in calls:
        text = nbformat.read(target, as_version=4).cells[0].outputs[0]["text"]
        assert text == f"False\n{target.stem}\n"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("1 / 0", "ZeroDivisionError"), ("import os; os._exit(9)", "the kernel died")],
)
def test_a_forked_kernel_that_fails_or_dies_is_reported(
    processes, source, tmp_path, cell, expected
):
    source.write_text(f"# %%\n{cell}\n")
    target = tmp_path / "page.ipynb"
    message = processes.submit(forks.execute_page, source, target, {}).result()
    assert "page.py (page page)" in message
    assert expected in message
    assert not target.exists()


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

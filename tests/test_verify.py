"""``make verify``: a number that moved is named, and what rounding alone decides is not."""

import json

import nbformat
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook, new_output

from fgsm_lib import cli
from fgsm_lib.display import FIGURE_MIME, TABLE_MIME
from fgsm_lib.errors import InputError
from fgsm_lib.site import verify


def table(samples: int = 40, margin: float = 0.3) -> pd.DataFrame:
    """Every image is class 1 with 0.6, class 0 follows ``margin`` behind, and 2 is the label."""
    rows = [(sample, epsilon) for sample in range(samples) for epsilon in (0.0, 4.0)]
    count = len(rows)
    return pd.DataFrame(
        {
            "sample": np.array([sample for sample, _ in rows], np.int32),
            "label": np.full(count, 2, np.int16),
            "epsilon_255": [epsilon for _, epsilon in rows],
            "predicted_class": np.full(count, 1, np.int16),
            "confidence": np.full(count, 0.6, np.float32),
            "confidence_true": np.full(count, 0.05, np.float32),
            "correct": np.zeros(count, bool),
            "correct_top5": np.ones(count, bool),
            "top5_classes": [np.array([1, 0, 2])] * count,
            "top5_confidences": [np.array([0.6, 0.6 - margin, 0.01], np.float32)] * count,
        }
    )


ALT = "Accuracy falls from 0.90 to 0.25 at 4/255, of 40 images."
ROWS = [["0.85 (0.80–0.89)", "−"], ["12 of 40", "label"]]


@pytest.fixture
def folder(tmp_path):
    """A small build folder: a table, claims, and a page with a table and a figure."""
    write(tmp_path, table())
    return tmp_path


def write(folder, rows, verdict="holds", cells=ROWS, alt=ALT):
    rows.to_parquet(folder / "sweep.parquet")
    claims = [{"id": "766-drop", "run_verdict": verdict, "run_evidence": "From 1 to 2."}]
    (folder / "claims.json").write_text(json.dumps(claims))
    outputs = [
        {TABLE_MIME: {"columns": ["rate", "text"], "rows": cells, "name": "tab-a", "caption": ""}},
        {FIGURE_MIME: {"alt": alt, "name": "fig-a", "light": "<svg/>"}},
    ]
    cell = new_code_cell(outputs=[new_output("display_data", data=data) for data in outputs])
    for page in ("hypothesis", "about", "hypothesis.clean"):
        (folder / "pages").mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=[cell]), folder / "pages" / f"{page}.ipynb")


def reference(folder) -> dict[str, list]:
    """What a reference of this folder holds, after its way through the file."""
    path = folder / "reference.json"
    verify.write_reference(path, verify.results(folder))
    return verify.read_reference(path)


def moved(folder, expected) -> list[str]:
    return verify.differences(expected, verify.results(folder))


def test_the_same_results_differ_in_nothing(folder):
    expected = reference(folder)
    assert moved(folder, expected) == []
    assert {name.split(":")[0] for name in expected} == {"sweep", "claims", "page hypothesis"}
    assert expected["page hypothesis: tab-a"] == [0.85, 12]
    assert expected["page hypothesis: fig-a"] == [0.9, 0.25, 4, 255, 40]


@pytest.mark.parametrize(
    ("column", "value", "line"),
    [
        (
            "correct",
            True,
            "sweep: correct, ε = 4/255: expected 0, found 1, tolerance 0",
        ),
        (
            "confidence",
            0.3,  # of one in 40 images
            "sweep: confidence, ε = 4/255: expected 0.6, found 0.5925, tolerance 0.00025",
        ),
    ],
)
def test_a_number_that_moved_is_named(folder, column, value, line):
    expected, rows = reference(folder), table()
    rows.loc[1, column] = value  # sample 0 at 4/255
    write(folder, rows)
    assert line in moved(folder, expected)


def test_a_class_away_from_a_tie_is_exact(folder):
    expected, rows = reference(folder), table()
    rows["predicted_class"] = np.int16(0)
    write(folder, rows)
    lines = moved(folder, expected)
    assert len(lines) == verify.SPREAD
    assert all("class of a row, sample" in line for line in lines)
    assert all(line.endswith("expected 1, found 0, tolerance 0") for line in lines)


def test_a_tie_is_no_error(folder):
    """Two classes 0.0005 apart change places in one image: its class, and whether it is right."""
    write(folder, table(margin=0.0005))
    expected, rows = reference(folder), table(margin=0.0005)
    rows["predicted_class"] = np.int16(0)
    rows.loc[rows["sample"] < 5, "correct"] = True
    write(folder, rows)
    assert moved(folder, expected) == []
    write(folder, rows.assign(top5_confidences=table()["top5_confidences"]))  # no tie here
    assert len(moved(folder, expected)) == verify.SPREAD + 2


def test_what_rounding_does_to_confidences_is_no_error(folder):
    expected, rows = reference(folder), table()
    rows["confidence"] += np.float32(1e-6)
    rows.loc[rows["sample"] == 0, "confidence"] += np.float32(0.0095)
    write(folder, rows)
    assert moved(folder, expected) == []


def test_a_verdict_that_changed_is_named(folder):
    expected = reference(folder)
    write(folder, table(), verdict="does not hold")
    assert moved(folder, expected) == [
        "claims, 766-drop: expected 'holds', found 'does not hold', tolerance 0"
    ]


def test_numbers_on_pages_are_named_by_page_table_and_column(folder):
    expected = reference(folder)
    cells = [["0.83", "−"], ["13 of 40", "label"]]
    write(folder, table(), cells=cells, alt=ALT.replace("0.25", "0.28"))
    assert moved(folder, expected) == [
        "page hypothesis: fig-a, number 2: expected 0.25, found 0.28, tolerance 0.01",
        "page hypothesis: tab-a, row 1, 'rate': expected 0.85, found 0.83, tolerance 0.01",
        "page hypothesis: tab-a, row 2, 'rate': expected 12, found 13, tolerance 0",
    ]


def test_a_last_digit_on_a_page_may_turn_over(folder):
    expected = reference(folder)
    write(folder, table(), cells=[["0.86 (0.81–0.90)", "−"], ["12 of 40", "label"]])
    assert moved(folder, expected) == []


def test_tables_that_came_and_went_are_named(folder):
    expected = reference(folder)
    (folder / "sweep.parquet").rename(folder / "control.parquet")
    lines = moved(folder, expected)
    assert "sweep: correct: in the reference, not in this build" in lines
    assert "control: correct: in this build, not in the reference" in lines


def test_another_grid_is_named(folder):
    expected, rows = reference(folder), table()
    write(folder, rows[rows["epsilon_255"] == 0])
    assert "sweep: correct: expected 2 values, found 1" in moved(folder, expected)


def test_a_table_without_epsilon_and_with_infinities_is_summarized_whole(folder):
    rows = pd.DataFrame({"sample": [0, 1, 2], "minimal_255": [1.0, 3.0, np.inf]})
    rows.to_parquet(folder / "minimal.parquet")
    expected = reference(folder)
    assert expected["minimal: minimal_255"] == [2.0]
    assert expected["minimal: minimal_255, finite"] == [2]
    rows.assign(minimal_255=[1.0, 3.1, 5.0]).to_parquet(folder / "minimal.parquet")
    assert moved(folder, expected) == [
        "minimal: minimal_255, all rows: expected 2, found 3.03333, tolerance 0.0101111",
        "minimal: minimal_255, finite: in the reference, not in this build",
    ]


def test_a_table_without_confidences_has_its_counts_and_means(folder):
    rows = table().drop(columns=["top5_classes", "top5_confidences"]).assign(attack="BIM")
    rows.to_parquet(folder / "iterative.parquet")
    expected = reference(folder)
    assert expected["iterative: correct"] == [0, 0]
    assert "iterative: class of a row" not in expected


@pytest.mark.parametrize(
    ("text", "printed"),
    [("0.85 (0.80–0.89)", ["0.85", "0.80", "0.89"]), ("from -3 to 4/255", ["-3", "4", "255"]),
     ("ε2-5, case-766", ["2", "5", "766"]), ("none", [])],
)  # fmt: skip
def test_numbers_are_found_as_they_are_printed(text, printed):
    assert verify.numbers(text) == printed


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``fgsm verify`` with a build that finds its results ready-made."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "_toc.yml").touch()
    (project / "_build" / "demo" / "old").mkdir(parents=True)
    monkeypatch.chdir(project)

    def build(*args):
        assert not (project / "_build" / "demo").exists()  # from nothing
        made = project / "_build" / "demo"
        made.mkdir()
        write(made, table())

    monkeypatch.setattr(cli, "build", build)
    return lambda *options: CliRunner().invoke(cli.main, ["verify", *options])


@pytest.fixture
def path(run, tmp_path):
    return tmp_path / "project" / "tests" / "reference" / "demo.json"


def test_without_a_reference_it_says_so_before_it_builds(run, path):
    result = run()
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "demo.json: no such file" in result.output
    assert "make verify UPDATE=1" in result.output


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"sweep": 3}', '{"a": [null]}', "\xff\xfe"])
def test_a_damaged_reference_is_one_sentence_and_can_be_renewed(run, path, content):
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="latin-1")
    result = run()
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "demo.json: " in result.output
    assert run("--update").exit_code == 0
    assert run().exit_code == 0


def test_differences_are_printed_and_the_status_is_one(run, path):
    assert run("--update").exit_code == 0
    values = verify.read_reference(path)
    values["sweep: correct"][0] = 7
    path.write_text(json.dumps(values))
    result = run()
    assert result.exit_code == 1
    assert "sweep: correct, ε = 0/255: expected 7, found 0, tolerance 0\n" in result.output
    assert "demo.json: 1 of " in result.output
    renewed = run("--update")
    assert renewed.exit_code == 0
    assert "expected 7, found 0" in renewed.output
    assert "within the tolerances" in run().output


def test_the_file_has_a_line_for_each_name(run, path):
    run("--update")
    lines = path.read_text().splitlines()
    assert sum(line.startswith('"') for line in lines) == len(verify.read_reference(path))


def test_a_reference_that_cannot_be_read_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="not readable as JSON"):
        verify.read_reference(tmp_path)

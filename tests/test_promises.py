"""What the page *How this is tested* promises is in the tests, and what it counts was counted."""

from pathlib import Path

import pytest

from fgsm_lib import promises

REPORT = """\
<testsuites><testsuite tests="4" failures="1" errors="1" skipped="1">
<testcase classname="tests.test_faults" name="a" time="1.5" />
<testcase classname="tests.test_faults" name="b" time="2"><skipped message="no right" /></testcase>
<testcase classname="tests.test_sweep" name="c" time="0.5"><failure message="x" /></testcase>
<testcase classname="tests.test_sweep" name="d" time="0"><error message="x" /></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "fast.xml"
    path.write_text(REPORT)
    return path


def test_every_file_of_tests_keeps_one_promise():
    promised = [name for promise in promises.PROMISES for name in promise.files]
    assert len(promised) == len(set(promised))
    there = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert set(promised) == there


def test_outcomes_are_counted_by_file(report):
    table = promises.promise_table(promises.read_counts([report]))
    said = dict(zip(promises.PROMISES, table["last run"], strict=True))
    by_files = {promise.files[0]: text for promise, text in said.items()}
    assert by_files["faults"] == "1 passed, 1 skipped"
    assert by_files["sweep"] == "2 failed"
    assert by_files["attacks"] == "none run"


def test_the_sentence_says_when_and_how_many(report):
    text = promises.counts_sentence([report], promises.read_counts([report]))
    assert "**1 passed, 2 failed, 1 skipped**, in 4 s" in text


@pytest.mark.parametrize("content", [None, "", "<testsuites><testsuite>"])
def test_without_a_report_the_page_says_so(tmp_path, content):
    path = tmp_path / "fast.xml"
    if content is not None:
        path.write_text(content)
    counts = promises.read_counts([path])
    assert "No test has been run" in promises.counts_sentence([path], counts)
    assert set(promises.promise_table(counts)["last run"]) == {"none run"}

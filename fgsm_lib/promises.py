"""What this project promises, which tests check it, and what the last run of them said."""

import xml.etree.ElementTree as ET  # nosec B405
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

OUTCOMES = ("passed", "failed", "skipped")


@dataclass(frozen=True)
class Promise:
    """A promise, how it is checked, and the files in ``tests/`` that do it, without ``test_``."""

    promise: str
    check: str
    files: tuple[str, ...]


PROMISES = (
    Promise(
        "The attack is FGSM, and BIM and PGD are what their papers say.",
        "Examples by hand; properties on random networks and images (distance at most ε, values "
        "in [0, 1], ε = 0 changes nothing, order and size of the batch do not matter, nothing is "
        "left behind); pixel by pixel against foolbox, torchattacks and ART; the original page's "
        "formula.",
        ("attacks", "iterative_attacks", "iterative", "oracles"),
    ),
    Promise(
        "A sweep's table is what a naive loop gives.",
        "Row by row against ten lines of plain PyTorch, on fifty of the demo's images as well; the "
        "same bytes in two runs and with one worker or two; other batch sizes within tolerance.",
        ("sweep", "shards", "cluster", "repeatable", "minimal"),
    ),
    Promise(
        "Intervals, ranks and survival curves are those of the textbooks.",
        "Published examples and second libraries; every statistic on runs without one fooled or "
        "one correct image.",
        ("analysis", "survival", "survival_wording", "objectives", "questions", "degenerate_pages"),
    ),
    Promise(
        "A number that moves is noticed.",
        "make verify rebuilds the demo site from nothing and compares it with committed values; "
        "the tests move a number and expect it to be named, and let a tie pass.",
        ("verify", "claims", "published", "real_numbers"),
    ),
    Promise(
        "A build that is interrupted, or that meets a fault, ends with the same site in the end.",
        "kill -9 at ten random moments of a build and of a sweep; a disk that gets full during the "
        "sweep, the notebooks and the rendering; a read-only folder, no home, a clock set back; "
        "two builds at once; kernels that die, hang or print without end; every cache damaged.",
        ("faults", "build", "demo_dataset"),
    ),
    Promise(
        "Wrong input is answered in one sentence.",
        "Thousands of damaged and hostile images, tables, weights, profiles and results, in a "
        "process with limited memory; downloads that break off, stand still or arrive altered.",
        ("fuzz", "datasets", "classifiers", "profiles", "cli", "own"),
    ),
    Promise(
        "The site runs nothing but its own scripts, and shows names as text.",
        "The Content-Security-Policy of every page; classes and authors named by an enemy.",
        ("security", "lock"),
    ),
    Promise(
        "The pages work: links, sizes, keyboard, screen readers, light and dark, paper.",
        "The finished site in a real browser, with axe and Lighthouse; the live page against "
        "Python; downloaded notebooks in a folder of their own.",
        (
            *("site", "slider", "previews", "interactive", "display", "wording", "launch"),
            *("live", "browser", "onnx_export", "equations", "head", "lighthouse"),
            *("downloads", "about", "print"),
        ),
    ),
    Promise(
        "The demo pictures are the same everywhere, and the benchmark compares like with like.",
        "Pictures made again by other processes, byte for byte; all sides of the benchmark predict "
        "the same classes.",
        ("demo_images", "demo_numbering", "bench"),
    ),
    Promise(
        "The oldest and the newest versions that are said to work do.",
        "A weekly job with each makes the demo site again, compares its values and runs the fast "
        "tests, another checks every package's hash; actionlint on the jobs' files.",
        ("workflow", "promises"),
    ),
)


def read_counts(reports: Sequence[Path]) -> pd.DataFrame:
    """Every test of some JUnit reports: file (without ``test_``), outcome and seconds.

    A report that is missing or damaged counts as none.
    """
    rows = []
    for report in reports:
        try:
            # A file of this build, written by pytest; and expat itself stops at entity bombs.
            tree = ET.parse(report)  # noqa: S314  # nosec B314
        except (OSError, ET.ParseError):
            continue
        for case in tree.iter("testcase"):
            module = case.get("classname", "").rpartition("test_")[2]
            rows.append((module, _outcome(case), float(case.get("time", 0))))
    return pd.DataFrame(rows, columns=["file", "outcome", "seconds"])


def _outcome(case: ET.Element) -> str:
    found = {child.tag for child in case}
    if found & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in found else "passed"


def promise_table(counts: pd.DataFrame) -> pd.DataFrame:
    """The promises as a table for reading, with what the last run said of each."""
    return pd.DataFrame(
        {
            "promise": [promise.promise for promise in PROMISES],
            "how it is checked": [promise.check for promise in PROMISES],
            "last run": [_said(counts[counts["file"].isin(promise.files)]) for promise in PROMISES],
        }
    )


def counts_sentence(reports: Sequence[Path], counts: pd.DataFrame) -> str:
    """How many tests ran, when, and how they ended; or that there is no report."""
    if counts.empty:
        return (
            "**No test has been run in this folder**, or its report is gone: `make test` and "
            "`make slow-test` write one each, and the next build shows them here."
        )
    when = max(report.stat().st_mtime for report in reports if report.exists())
    day = datetime.fromtimestamp(when).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return (
        f"The last run, of {day}: **{_said(counts)}**, in {counts['seconds'].sum():.0f} s of "
        "tests. A test is skipped where what it needs is not there: the real photographs, a "
        "browser, the right to mount a small disk."
    )


def _said(counts: pd.DataFrame) -> str:
    numbers = [(outcome, int((counts["outcome"] == outcome).sum())) for outcome in OUTCOMES]
    return ", ".join(f"{number} {outcome}" for outcome, number in numbers if number) or "none run"

"""Does a rebuild give the committed numbers? What ``fgsm verify`` compares, and how closely.

A reference of some kilobytes stands for everything a build of the demo set computes: of each
table the counts and means at every epsilon and the classes of a spread of rows; the verdicts of
the claims; and the numbers in the pages' tables and in the descriptions of their figures. It is
derived from whatever tables and pages there are, so a new one needs no code here.

What may differ between two machines is the order in which float32 sums are added up. That moves
a confidence by about 1e-7, except where a gradient is zero up to rounding: there its sign is an
accident, and at a few images in a thousand the next decimals differ too. The tolerances come from
sweeps of the demo set with batches of 1 to 16, one thread and two, and without AVX-512 and AVX:
no class changed but one whose margin was 4e-5, no confidence moved by more than 0.0097, no mean
over 200 images by more than 7.2e-5.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api import types

from fgsm_lib.display import FIGURE_MIME, TABLE_MIME
from fgsm_lib.errors import InputError
from fgsm_lib.files import replacing

TIE = 1e-3  # two probabilities this close, or closer, may change places
CONFIDENCE = 0.01  # how far one image's confidence may move
MOVING = 0.01  # the share of images that may do so, at least one: bounds how far a mean may move
SPREAD = 32  # rows of each table whose classes are compared one by one
# Pages about the machine and the moment: their numbers differ from build to build.
CIRCUMSTANCES = {"about", "performance", "tested"}


@dataclass(frozen=True)
class Series:
    """Results that belong together: numbers, each with its tolerance, or texts with tolerance 0.

    ``labels`` say which is which in a report.
    """

    values: Sequence[float | str]
    labels: Sequence[str]
    tolerances: Sequence[float]


def results(folder: Path) -> dict[str, Series]:
    """Everything comparable in the build folder of a profile, by name."""
    found: dict[str, Series] = {}
    for path in sorted(folder.glob("*.parquet")):
        found |= {
            f"{path.stem}: {name}": series for name, series in of_table(pd.read_parquet(path))
        }
    claims = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    verdicts = [claim["run_verdict"] for claim in claims]
    found["claims"] = _exact(verdicts, [claim["id"] for claim in claims])
    for path in sorted((folder / "pages").glob("*.ipynb")):
        page = path.name.removesuffix(".ipynb")
        if not page.endswith(".clean") and page not in CIRCUMSTANCES:
            found |= {f"page {page}: {name}": series for name, series in of_page(path)}
    return found


# --- tables -------------------------------------------------------------------------------------


def of_table(table: pd.DataFrame) -> Iterator[tuple[str, Series]]:
    """Counts and means of every column at every epsilon, and the classes of some rows."""
    ties = _ties(table)
    # Where a sample has one row only, its epsilon is a result and no grid.
    grouped = "epsilon_255" in table and bool(table["sample"].duplicated().any())
    groups = table.groupby("epsilon_255").indices if grouped else {"": np.arange(len(table))}
    labels = [f"ε = {key:g}/255" if grouped else "all rows" for key in groups]
    yield "rows", _exact([len(rows) for rows in groups.values()], labels)
    if grouped:
        yield "epsilon_255", _exact([float(key) for key in groups], labels)
    keys = ["sample", "label", "epsilon_255"] if grouped else ["sample", "label"]
    for name in table.columns.drop(keys, errors="ignore"):
        parts = [table[name].iloc[rows] for rows in groups.values()]
        if types.is_bool_dtype(table[name]):
            near = [
                int(ties[name].iloc[rows].sum()) if name in ties else 0 for rows in groups.values()
            ]
            yield name, Series([int(part.sum()) for part in parts], labels, near)
        elif types.is_float_dtype(table[name]):
            yield from _of_numbers(name, parts, labels)
    if grouped and "top5_confidences" in table:  # without them, nobody knows what is a tie
        yield from _of_rows(table, ties)


def _of_numbers(
    name: str, parts: list[pd.Series], labels: list[str]
) -> Iterator[tuple[str, Series]]:
    """The mean of the finite values, and how many there are where some are not."""
    finite = [part[np.isfinite(part.astype(float))].astype(float) for part in parts]
    means = [round(float(part.mean()), 6) if len(part) else "none" for part in finite]
    # Relative where values are above 1: these are no probabilities.
    tolerances = [
        0 if mean == "none" else CONFIDENCE * max(MOVING, 1 / len(part)) * max(1, abs(mean))
        for mean, part in zip(means, finite, strict=True)
    ]
    yield name, Series(means, labels, tolerances)
    if any(len(all_) > len(some) for all_, some in zip(parts, finite, strict=True)):
        yield f"{name}, finite", _exact([len(part) for part in finite], labels)


def _of_rows(table: pd.DataFrame, ties: pd.DataFrame) -> Iterator[tuple[str, Series]]:
    """Predicted class and confidence of a spread of rows, drawn once and for all by a seed."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(table))[:SPREAD])
    rows = table.iloc[chosen]
    labels = [
        f"sample {sample} at {epsilon:g}/255"
        for sample, epsilon in zip(rows["sample"], rows["epsilon_255"], strict=True)
    ]
    anything = [float("inf") if tie else 0.0 for tie in ties["correct"].iloc[chosen]]
    yield "class of a row", Series(rows["predicted_class"].tolist(), labels, anything)
    confidences = [round(float(value), 6) for value in rows["confidence"]]
    yield "confidence of a row", Series(confidences, labels, [CONFIDENCE] * len(rows))


def _ties(table: pd.DataFrame) -> pd.DataFrame:
    """Where rounding alone may decide ``correct`` and ``correct_top5``."""
    if "top5_confidences" not in table:
        return pd.DataFrame(index=table.index)
    top = np.stack(table["top5_confidences"])
    second = top[:, 1] if top.shape[1] > 1 else np.zeros(len(top))
    last = np.abs(table["confidence_true"].to_numpy() - top[:, -1])
    return pd.DataFrame({"correct": top[:, 0] - second <= TIE, "correct_top5": last <= TIE})


# --- pages --------------------------------------------------------------------------------------


def of_page(path: Path) -> Iterator[tuple[str, Series]]:
    """The numbers of each table and figure of an executed notebook.

    Of a table's cell its first number: an interval follows from it and from the count. Of a
    figure those of its alternative text, which is made from its data.
    """
    for content in _shown(path, TABLE_MIME):
        cells = [
            (f"row {row}, {column!r}", numbers(cell)[:1])
            for row, cells in enumerate(content["rows"], start=1)
            for column, cell in zip(content["columns"], cells, strict=True)
        ]
        yield content["name"], _printed([(label, found[0]) for label, found in cells if found])
    for content in _shown(path, FIGURE_MIME):
        found = enumerate(numbers(content["alt"]), start=1)
        yield content["name"], _printed([(f"number {place}", text) for place, text in found])


def _shown(path: Path, mime: str) -> Iterator[dict]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if mime in output.get("data", {}):
                yield output["data"][mime]


def numbers(text: str) -> list[str]:
    """The numbers in a text, as they are printed."""
    return re.findall(r"(?:(?<!\w)-)?\d+(?:\.\d+)?", text)


def _printed(labeled: list[tuple[str, str]]) -> Series:
    """Numbers as printed: each may move by one unit of its last digit, a whole one not at all."""
    units = [10.0 ** -len(text.partition(".")[2]) if "." in text else 0 for _, text in labeled]
    values = [json.loads(re.sub(r"^(-?)0+(?=\d)", r"\1", text)) for _, text in labeled]
    return Series(values, [label for label, _ in labeled], units)


def _exact(values: Sequence[float | str], labels: Sequence[str]) -> Series:
    return Series(values, labels, [0] * len(values))


# --- the comparison -----------------------------------------------------------------------------


def differences(expected: dict[str, list], found: dict[str, Series]) -> list[str]:
    """One line per value that is not as expected: name, expected, found, tolerance."""
    lines = [f"{name}: in the reference, not in this build" for name in expected.keys() - found]
    for name, series in found.items():
        if name not in expected:
            lines.append(f"{name}: in this build, not in the reference")
        elif len(expected[name]) != len(series.values):
            lines.append(
                f"{name}: expected {len(expected[name])} values, found {len(series.values)}"
            )
        else:
            rows = zip(expected[name], series.values, series.labels, series.tolerances, strict=True)
            lines += [
                f"{name}, {label}: expected {_text(value)}, found {_text(here)}, "
                f"tolerance {tolerance:g}"
                for value, here, label, tolerance in rows
                if not _agree(value, here, tolerance)
            ]
    return sorted(lines)


def _agree(expected: float | str, found: float | str, tolerance: float) -> bool:
    if isinstance(expected, str) or isinstance(found, str):
        return expected == found
    # Both were rounded to decimals, which floats hold up to their own rounding.
    return abs(expected - found) <= tolerance * (1 + 1e-9) + 1e-12


def _text(value: float | str) -> str:
    return repr(value) if isinstance(value, str) else f"{value:.6g}"


def read_reference(path: Path) -> dict[str, list]:
    """The committed values by name; InputError where there is no readable reference."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; expected the reference values. make verify UPDATE=1 writes it."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not readable as JSON ({error}); expected reference values. "
            "make verify UPDATE=1 writes it again."
        ) from None
    if not isinstance(content, dict) or not all(map(_is_series, content.values())):
        raise InputError(
            f"{path}: holds something else than names with lists of numbers or texts. "
            "make verify UPDATE=1 writes it again."
        )
    return content


def _is_series(values: object) -> bool:
    return isinstance(values, list) and all(type(value) in (int, float, str) for value in values)


def write_reference(path: Path, found: dict[str, Series]) -> None:
    """One line per name, so that a difference in version control names what moved."""
    lines = [
        f"{json.dumps(name, ensure_ascii=False)}: "
        f"{json.dumps(list(series.values), ensure_ascii=False, separators=(',', ':'))}"
        for name, series in found.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

"""Tables to hand on: a site offers them as a file, and a notebook takes it instead of computing.

The file is Parquet and holds all tables of one study: what they are of (``KIND``), the columns of
``sweep.SCHEMA``, and the provenance of the numbers as metadata. Rows are taken only where they are
those that would be computed: of the same pictures, classifier and code.
"""

import http.client
import json
import re
import urllib.request
from contextlib import suppress
from functools import reduce
from operator import and_
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fgsm_lib import InputError, expanded
from fgsm_lib.store import locked, rows, same_probe, write, writing
from fgsm_lib.sweep import SCHEMA, SweepSettings
from fgsm_lib.words import first_line

TEXT = pa.string()
KIND = pa.schema({"direction": TEXT, "objective": TEXT, "clip": TEXT, "bits": pa.int32()})
ALL = pa.schema([*KIND, *SCHEMA])
FAULTS = (pa.ArrowException, http.client.HTTPException)
SECONDS = 60  # without a word from a server
NAMES = {  # of what may differ
    "pictures_sha256": "pictures",
    "weights_sha256": "weights",
    "code_sha256": "code of fgsm_lib",
    "probe": "answers of the classifier",
}


def offer(study, file: Path) -> None:
    """Write every table of the study's numbers, as far as it is computed, into one file."""
    ours, tables = study.provenance, [ALL.empty_table()]
    for facts in sorted(study.folder.glob("*/provenance.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):  # damaged: nobody reads it
            theirs = json.loads(facts.read_text())
            if not differing(theirs, ours):
                table = rows(facts.parent)
                kind = [pa.repeat(pa.scalar(theirs[of.name], of.type), len(table)) for of in KIND]
                tables.append(pa.table([*kind, *table.columns], schema=ALL))
    table = pa.concat_tables(tables).replace_schema_metadata({"provenance": json.dumps(ours)})
    with writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, table, compression="zstd")


def take(study, source: str | Path) -> str:
    """Put what such a file holds among the study's tables; says what was done, or why not.

    ``source`` is an address or a path. InputError where the study's folder cannot be written.
    """
    try:
        table = read(source)
        others = differing(json.loads(table.schema.metadata[b"provenance"]), study.provenance)
        if others:
            raise InputError(f"other {' and other '.join(others)} than here")
        table = table.select(ALL.names).cast(ALL)
    except (*FAULTS, OSError, KeyError, TypeError, ValueError) as error:
        why = first_line(getattr(error, "reason", error))  # urllib puts it into another error
        return f"{source}: not taken ({why}); what is missing is computed."
    for kind in table.group_by(KIND.names).aggregate([]).to_pylist():
        known = {name: value for name, value in kind.items() if value is not None}
        one = [pc.field(name) == value for name, value in known.items()]
        one += [pc.field(name).is_null() for name in kind.keys() - known]
        part = table.filter(reduce(and_, one)).select(SCHEMA.names)
        folder = study.table_folder(SweepSettings((0,), **kind))
        with locked(folder), writing(folder):
            write(folder / "offered.parquet", part)
    return f"{source}: {len(table)} rows taken, which are not computed again."


def differing(theirs: dict, ours: dict) -> list[str]:
    """What is another in one provenance than in the other, in words."""
    same = {name: theirs[name] == ours[name] for name in ours}
    same["probe"] = same_probe(theirs["probe"], ours["probe"])
    return list(dict.fromkeys(NAMES.get(name, name) for name in ours if not same[name]))


def read(source: str | Path) -> pa.Table:
    """The table at an address or a path."""
    if not re.match(r"(https?|file)://", str(source)):
        return pq.read_table(expanded(source))
    with urllib.request.urlopen(str(source), timeout=SECONDS) as answer:  # noqa: S310
        return pq.read_table(pa.BufferReader(answer.read()))

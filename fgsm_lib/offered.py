"""Tables to hand on: a site offers them as a file, and a notebook takes it instead of computing.

The file is Parquet and holds all rows that ``store`` keeps of one study. They are taken only where
they are those that would be computed: of the same pictures, classifier and code.
"""

import http.client
import re
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fgsm_lib import InputError, expanded
from fgsm_lib.store import STORED, differing, provenance_of
from fgsm_lib.words import first_line

SECONDS = 60  # without a word from a server
FAULTS = (pa.ArrowException, http.client.HTTPException, OSError, KeyError, TypeError, ValueError)


def offer(study, file: Path) -> None:
    """Write every table of the study, as far as it is computed, into one file."""
    parts = study.parts
    parts.write(file, parts.rows(), compression="zstd")


def take(study, source: str | Path) -> str:
    """Put what such a file holds among the study's tables; says what was done, or why not.

    ``source`` is an address or a path. InputError where the study's folder cannot be written.
    """
    parts = study.parts
    try:
        rows = _read(source)
        others = differing(provenance_of(rows), parts.provenance)
        if others:
            raise InputError(f"other {' and other '.join(others)} than here")
        rows = rows.select(STORED.names).cast(STORED)
    except FAULTS as error:
        why = first_line(getattr(error, "reason", error))  # urllib puts it into another error
        return f"{source}: not taken ({why}); what is missing is computed."
    with parts.locked():
        parts.write(parts.offered, rows)
    return f"{source}: {len(rows)} rows taken, which are not computed again."


def _read(source: str | Path) -> pa.Table:
    if not re.match(r"(https?|file)://", str(source)):
        return pq.read_table(expanded(source))
    with urllib.request.urlopen(str(source), timeout=SECONDS) as answer:  # noqa: S310
        return pq.read_table(pa.BufferReader(answer.read()))

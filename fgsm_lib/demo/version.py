"""Which generator made a picture: a hash of the source files that decide its pixels."""

import hashlib
from functools import cache
from pathlib import Path

SOURCES = ("solids", "patterns", "textures", "backdrops", "scene", "render", "images")


@cache
def generator_version() -> str:
    """16 hexadecimal digits that change with every change to the generator's source."""
    digest = hashlib.sha256()
    for module in SOURCES:
        digest.update((Path(__file__).parent / f"{module}.py").read_bytes())
    return digest.hexdigest()[:16]

"""The order of the demo set: three pictures are moved to the positions of the case studies.

``roles.json`` maps a position to the index of the generated picture that stands there. It is
written by ``python -m fgsm_lib.demo.measure``, by the rule in ``numbering``.
"""

import json
from collections.abc import Mapping
from pathlib import Path

ROLES_FILE = Path(__file__).with_name("roles.json")


def read_roles(path: Path = ROLES_FILE) -> dict[int, int]:
    """Position -> index of the generated picture."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {int(position): role["index"] for position, role in content.items()}


def sample_order(count: int, roles: Mapping[int, int]) -> list[int]:
    """The index of the generated picture at each position: a permutation of range(count).

    Each picture in a role changes places with the one that stands at its position; everything
    else stays. A set too small for a role does without it.
    """
    order = list(range(count))
    for position, index in roles.items():
        if max(position, index) < count:
            present = order.index(index)
            order[present], order[position] = order[position], order[present]
    return order

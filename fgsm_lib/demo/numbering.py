"""Which pictures stand at positions 766, 132 and 528: the rule, as functions on a sweep table.

The three case studies follow three photographs of the original experiment, each of which behaves
in its own way along epsilon. The demo set is numbered so that its pictures at the same positions
behave alike, whatever weights are shipped:

766
    of all pictures that are classified correctly at first, lose this at some epsilon and have it
    back at a larger one, the one with the highest initial confidence;
132
    of all pictures that are never fooled and begin with a confidence of at least 0.95, the one
    whose confidence falls and recovers the most: the smaller of its fall and its rebound counts;
528
    of all pictures that are fooled at 1/255 or before, and not by one class alone, the one whose
    initial confidence is nearest to 0.87.

All of it for epsilon up to 20/255. Where no picture fulfills a rule, the one that comes nearest
takes the role, and the reason says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from fgsm_lib.analysis import curve_shape
from fgsm_lib.errors import InputError

EPSILON_255 = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20)

HIGHLY_CONFIDENT = 0.95
LIKE_528 = 0.87
EARLY_EPSILON_255 = 1.0


@dataclass(frozen=True)
class Role:
    """Why a picture stands at a position."""

    index: int
    fulfilled: bool  # else it only comes nearest
    reason: str


def assign_roles(table: pd.DataFrame) -> dict[int, Role]:
    """The pictures for the three positions, each at most once.

    Args:
        table: a tidy sweep: one row per sample and epsilon, with the columns sample, epsilon_255,
            predicted_class, confidence and correct. ``sample`` is the index of a generated
            picture. Rows beyond 20/255 are ignored.

    Raises:
        InputError: too few pictures are classified correctly to choose from.
    """
    pictures = describe(table[table["epsilon_255"] <= max(EPSILON_255)])
    if len(pictures) < 3:
        raise InputError(
            f"the classifier recognizes {len(pictures)} of the demo pictures; expected at least 3, "
            "one for each case study."
        )
    roles: dict[int, Role] = {}
    rules: dict[int, Callable[[pd.DataFrame], Role]] = {
        766: comes_back,
        132: withstands,
        528: fooled_early,
    }
    for position, rule in rules.items():
        taken = [role.index for role in roles.values()]
        roles[position] = rule(pictures.drop(index=taken))
    return roles


def describe(table: pd.DataFrame) -> pd.DataFrame:
    """One row per picture that is classified correctly at epsilon 0; the index is the sample.

    Columns: ``confidence`` (initial), ``lost_at`` and ``back_at`` (the first epsilon at which it
    is wrong, and the first after that at which it is correct again; NaN for never),
    ``false_classes`` (how many different ones), ``dip`` (the smaller of the confidence's fall and
    its rebound) and ``shape`` (of the confidence along epsilon, see ``analysis.curve_shape``).
    """
    correct_at_first = {
        sample: _describe_one(rows)
        for sample, rows in table.sort_values("epsilon_255").groupby("sample")
        if rows["correct"].iloc[0]
    }
    return pd.DataFrame(list(correct_at_first.values()), index=list(correct_at_first))


def _describe_one(rows: pd.DataFrame) -> dict[str, object]:
    confidence = rows["confidence"]
    wrong = rows[~rows["correct"]]
    lost_at = wrong["epsilon_255"].min()
    back = rows[rows["correct"] & (rows["epsilon_255"] > lost_at)]
    lowest = confidence.min()
    return {
        "confidence": confidence.iloc[0],
        "lost_at": lost_at,
        "back_at": back["epsilon_255"].min(),
        "false_classes": wrong["predicted_class"].nunique(),
        "dip": min(confidence.iloc[0] - lowest, confidence.iloc[-1] - lowest),
        "shape": curve_shape(confidence),
    }


def comes_back(pictures: pd.DataFrame) -> Role:
    """The rule for 766."""
    returning = pictures[pictures["back_at"].notna()]
    if returning.empty:
        index = pictures["confidence"].idxmax()
        return Role(int(index), False, "no picture comes back; this is the most confident of all")
    index = returning["confidence"].idxmax()
    chosen = pictures.loc[index]
    reason = (
        f"the most confident ({chosen['confidence']:.3f}) of {len(returning)} pictures whose "
        f"class changes (here at {chosen['lost_at']:g}/255) and comes back "
        f"(at {chosen['back_at']:g}/255)"
    )
    return Role(int(index), True, reason)


def withstands(pictures: pd.DataFrame) -> Role:
    """The rule for 132."""
    never_fooled = pictures[pictures["lost_at"].isna()]
    confident = never_fooled[never_fooled["confidence"] >= HIGHLY_CONFIDENT]
    if never_fooled.empty:
        index = pictures["lost_at"].idxmax()
        epsilon = pictures.loc[index, "lost_at"]
        reason = f"every picture is fooled; this one holds out longest (to {epsilon:g}/255)"
        return Role(int(index), False, reason)
    if confident.empty:
        index = never_fooled["confidence"].idxmax()
        reason = (
            f"no picture with a confidence of at least {HIGHLY_CONFIDENT} is never fooled; this "
            f"is the most confident ({pictures.loc[index, 'confidence']:.3f}) of "
            f"{len(never_fooled)} that never are"
        )
        return Role(int(index), False, reason)
    index = confident["dip"].idxmax()
    chosen = pictures.loc[index]
    recovers = chosen["shape"] == "U"
    begin = "the deepest dip and recovery" if recovers else "none dips and recovers; nearest to it"
    reason = (
        f"{begin} ({chosen['dip']:.3f}) of {len(confident)} pictures that are never fooled and "
        f"begin with a confidence of at least {HIGHLY_CONFIDENT} (here {chosen['confidence']:.3f})"
    )
    return Role(int(index), bool(recovers), reason)


def fooled_early(pictures: pd.DataFrame) -> Role:
    """The rule for 528."""
    early = pictures[pictures["lost_at"] <= EARLY_EPSILON_255]
    changing = early[early["false_classes"] >= 2]
    candidates = next(group for group in (changing, early, pictures) if not group.empty)
    index = (candidates["confidence"] - LIKE_528).abs().idxmin()
    chosen = pictures.loc[index]
    fulfilled = candidates is changing
    begin = "" if fulfilled else "no picture is fooled early by changing classes; "
    classes = chosen["false_classes"]
    fooled = (
        f"fooled at {chosen['lost_at']:g}/255, by {classes} different class"
        f"{'' if classes == 1 else 'es'}"
        if classes
        else "never fooled"
    )
    reason = (
        f"{begin}the initial confidence nearest to {LIKE_528} ({chosen['confidence']:.3f}) of "
        f"{len(candidates)} pictures; {fooled}"
    )
    return Role(int(index), fulfilled, reason)

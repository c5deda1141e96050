"""Tables and sentences of the *Performance* page, from a record of ``make bench``."""

from dataclasses import dataclass

import pandas as pd

from fgsm_lib.bench.extras import USED
from fgsm_lib.bench.passes import Layout

OURS, FLOOR, ORIGINAL = "this library", "bare passes", "the original's loop"
FASTEST, DOCUMENTED = "fastest layout", "as documented"
COST_IMAGES, COST_EPSILONS = 50_000, 24


def milliseconds(entry: dict, side: dict) -> float:
    """Milliseconds per image and ε."""
    return side["seconds"] * 1000 / (entry["images"] * len(entry["epsilon_255"]))


def side(entry: dict, name: str) -> dict:
    """The one side of that name: this library, the bare passes or the original's loop."""
    return next(one for one in entry["sides"] if one["name"] == name)


def libraries(entry: dict, use: str) -> list[dict]:
    """The other libraries, in one of their two uses."""
    own = (OURS, FLOOR, ORIGINAL)
    return [one for one in entry["sides"] if one["name"] not in own and one["use"] == use]


def speed_table(entry: dict) -> pd.DataFrame:
    """One row per side: how it was laid out, what it costs, and how far it agrees."""
    ours = side(entry, OURS)["seconds"]
    rows = [
        {
            "side": f"{one['name']}, {one['use']}",
            "layout": str(Layout(**one["layout"])),
            "ms per image and ε": f"{milliseconds(entry, one):.1f}",
            "× this library": f"{one['seconds'] / ours:.2f}",
            "equal": f"{one['equal']} of {one['predictions']}" if "equal" in one else "–",
        }
        for one in sorted(entry["sides"], key=lambda one: one["seconds"])
    ]
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Goal:
    """What the sweep should reach: a bound on the ratio of two times, and the ratio measured."""

    text: str
    ratio: float
    bound: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.ratio <= self.bound if self.at_most else self.ratio >= self.bound

    def __str__(self) -> str:
        sign, verdict = "≤" if self.at_most else "≥", "met" if self.met else "**not met**"
        return f"{self.text} {sign} {self.bound:g}: {verdict}, {self.ratio:.2f}."


def goals(entry: dict) -> list[Goal]:
    """The goals of the project, against the slowest round of evidence: the nearest library."""
    ours = side(entry, OURS)["seconds"]
    result = [Goal("this library / bare passes", ours / side(entry, FLOOR)["seconds"], 1.05, True)]
    for use, bound in ((DOCUMENTED, 8), (FASTEST, 2.5)):
        result += [
            Goal(f"{one['name']}, {one['use']} / this library", one["seconds"] / ours, bound)
            for one in libraries(entry, use)
        ]
    return [*result, Goal(f"{ORIGINAL} / this library", side(entry, ORIGINAL)["seconds"] / ours, 6)]


def goals_list(entry: dict) -> str:
    """The goals as a Markdown list, each with its verdict."""
    return "\n".join(f"- {goal}" for goal in goals(entry))


def circumstances(entry: dict) -> str:
    """When, on what and with what an entry was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
    return (
        f"**{entry['classifier']}, {entry['title']}.** The first {entry['images']} images of the "
        f"set, {entry['crop']}² pixels, at {len(entry['epsilon_255'])} ε; each time is the "
        f"median of {entry['rounds']}, all sides in turns, warmed up. Measured on "
        f"{entry['date']}: {entry['hardware']}, cores: {entry['cores']}; {versions}.{_busy(entry)}"
    )


def _busy(entry: dict) -> str:
    """Were other programs running?"""
    load = entry["load_before"]
    if load < 0.5 * entry["cores"]:
        return f" The machine was otherwise idle (load {load:.1f} before the start)."
    return (
        f" **The machine was busy** with other programs (load {load:.1f} before the start). That "
        "slows every side, and most those whose threads wait for each other."
    )


def agreement(entry: dict) -> str:
    """Do all sides compute the same? Said before a time is."""
    judged = [one for one in entry["sides"] if "equal" in one and one["name"] != OURS]
    if not judged:
        return "No other side was installed, so nothing could be compared."
    worst = min(judged, key=lambda one: one["equal"] / one["predictions"])
    total, equal = (sum(one[key] for one in judged) for key in ("predictions", "equal"))
    if equal == total:
        return (
            f"All {len(judged)} other sides predict what this library does, {equal} times in all."
        )
    return (
        f"Of {total} predictions of the {len(judged)} other sides, {total - equal} differ from "
        f"this library's; most for {worst['name']}, {worst['use']}: "
        f"{worst['predictions'] - worst['equal']} of {worst['predictions']}."
    )


def fastest(entry: dict) -> dict:
    """The layout with the fastest forward pass."""
    return min(entry["passes"], key=lambda row: row["milliseconds"])


def layouts(entry: dict) -> str:
    """What the layout alone is worth."""
    best = fastest(entry)
    usual = [row for row in entry["passes"] if row["batch"] == 50 and not row["channels_last"]]
    usual = [row for row in usual if row["workers"] * row["threads"] == entry["cores"]]
    text = f"The fastest layout found takes {best['milliseconds']:.1f} ms per image and pass: "
    text += f"{_layout(best)}."
    if usual:
        slow = max(usual, key=lambda row: row["threads"])
        factor = slow["milliseconds"] / best["milliseconds"]
        text += f" The usual one ({_layout(slow)}) takes {slow['milliseconds']:.1f} ms, "
        text += f"{factor:.1f} times as long, before any attack begins."
    return text


def _layout(row: dict) -> str:
    return str(Layout(**{key: value for key, value in row.items() if key != "milliseconds"}))


def extras_table(entry: dict) -> pd.DataFrame:
    """What else was tried on one core: time against the pass as it is used, changed predictions."""
    used = next(row for row in entry["extras"] if row["name"] == USED)
    rows = [
        {
            "pass": row["name"],
            "ms per image": f"{row['milliseconds']:.1f}" if "milliseconds" in row else "–",
            "× as it is used": f"{row['milliseconds'] / used['milliseconds']:.2f}"
            if "milliseconds" in row
            else "–",
            "changed predictions": f"{row['changed']} of {row['predictions']}"
            if "changed" in row
            else f"did not run: {row['error']}",
        }
        for row in entry["extras"]
    ]
    return pd.DataFrame(rows)


def extras_reading(entry: dict) -> str:
    """Which of the others would be free, and why none is used."""
    used, *others = (row for row in entry["extras"] if "milliseconds" in row)
    faster = [row for row in others if row["milliseconds"] < 0.95 * used["milliseconds"]]
    free = [row for row in faster if not row["changed"]]
    changing = [row for row in faster if row["changed"]]
    if not faster:
        return "None of them is faster by more than 5%."
    sentences = [
        f"{row['name']} is faster, but changes {row['changed']} of {row['predictions']} "
        "predictions, so it is not used."
        for row in changing
    ]
    sentences += [
        f"{row['name']} saves {1 - row['milliseconds'] / used['milliseconds']:.0%} and changes no "
        f"prediction here; its first round took {row['first_seconds']:.0f} s, that of the pass as "
        f"it is used {used['first_seconds']:.0f} s. It is not used: no prediction changed on "
        "these images is no promise for others."
        for row in free
    ]
    return " ".join(sentences)


def rate(entry: dict) -> str:
    """How much this library gets done, its share of what the bare passes would, and why."""
    ours, floor = (side(entry, name)["seconds"] for name in (OURS, FLOOR))
    done = entry["images"] * len(entry["epsilon_255"])
    reading = entry["images"] * entry["decoding_milliseconds"] / 1000 / entry["cores"]
    return (
        f"This library judges {done / ours:.0f} attacked images per second, {floor / ours:.0%} of "
        "what the bare passes would. Reading and resizing the images, from which the others are "
        f"spared, takes {reading / ours:.0%} of its time ({entry['decoding_milliseconds']:.1f} ms "
        f"of one core for each); without it, its time would be {(ours - reading) / floor:.2f} × "
        "theirs. One worker reads while another computes, but a busy core cannot do both."
    )


def cost_table(entry: dict) -> pd.DataFrame:
    """Hours for a whole validation set, from the rates of an entry."""
    epsilons = len(entry["epsilon_255"])
    # One backward pass counts as one more forward pass.
    share = (COST_EPSILONS + 1) / (epsilons + 1)
    here = side(entry, OURS)["seconds"] / entry["images"] * share * COST_IMAGES / 3600
    alone = [row for row in entry["passes"] if row["workers"] * row["threads"] == 1]
    one_core = here * min(row["milliseconds"] for row in alone) / fastest(entry)["milliseconds"]
    hours = {
        "1 core": (one_core, "from the rate of one core alone"),
        f"{entry['cores']} cores, this machine": (here, "as measured"),
        "16 cores": (one_core / 16, "if 16 cores work as fast as 16 times one"),
        "10 workers of such a machine": (here / 10, "if no worker waits for another"),
    }
    rows = [
        {"machine": name, "hours": f"{value:.2g}", "how known": known}
        for name, (value, known) in hours.items()
    ]
    gpu = {"machine": "one GPU", "hours": "not measured", "how known": "run make bench on it"}
    return pd.DataFrame([*rows, gpu])


def scale(entry: dict) -> str:
    """Does memory grow with images or ε, and is the cost per image constant?"""
    images, epsilons = entry["scale"]["images"], entry["scale"]["epsilons"]
    return " ".join(
        [
            _growth(images, "images"),
            _per_image(images),
            _growth(epsilons, "epsilons").replace("epsilons", "ε"),
        ]
    )


def _growth(points: list[dict], what: str) -> str:
    first, last = points[0], points[-1]
    growth = last["peak_bytes"] / first["peak_bytes"] - 1
    return (
        f"From {first[what]:,} to {last[what]:,} {what}, {last[what] / first[what]:.0f} times as "
        f"many, peak memory goes from {first['peak_bytes'] / 1e6:.0f} to "
        f"{last['peak_bytes'] / 1e6:.0f} MB ({growth:+.0%})."
    )


def _per_image(points: list[dict]) -> str:
    slow = points[1:]  # the smallest is mostly start
    costs = [point["seconds"] * 1000 / point["images"] for point in slow]
    numbers = ", ".join(
        f"{cost:.1f} ms at {point['images']:,}" for cost, point in zip(costs, slow, strict=True)
    )
    return f"Cost per image: {numbers}."

"""Figures of the *Performance* page, in the style of ``figures``."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from fgsm_lib.bench import report
from fgsm_lib.figures import MARKERS, WIDTH, Drawing


def layouts(entry: dict) -> Drawing:
    """Milliseconds per image and forward pass over the batch size; a line per layout."""
    figure, axis = plt.subplots(figsize=(WIDTH, 4.6))
    lines: dict[tuple[bool, int, int], list[dict]] = {}
    for row in entry["passes"]:
        key = row["channels_last"], row["workers"], row["threads"]
        lines.setdefault(key, []).append(row)
    said = []
    shares = list(dict.fromkeys(key[1:] for key in lines))
    for (channels_last, *share), rows in lines.items():
        place = shares.index(tuple(share))
        name = f"{'channels last' if channels_last else 'NCHW'}, {_share(*share)}"
        batches, times = zip(*((row["batch"], row["milliseconds"]) for row in rows), strict=True)
        line = "-" if channels_last else "--"
        axis.plot(batches, times, line, marker=MARKERS[place], color=f"C{place}", label=name)
        said.append(f"{name}: " + ", ".join(f"{t:.1f} at {b}" for b, t in zip(batches, times)))  # noqa: B905
    axis.set_xscale("log")
    axis.set_xticks(batches, [str(batch) for batch in batches])
    axis.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axis.set_xlabel("batch size")
    axis.set_ylabel("ms per image and pass")
    figure.legend(loc="outside lower center", ncols=2)
    return figure, "Milliseconds per image and forward pass. " + "; ".join(said) + "."


def _share(workers: int, threads: int) -> str:
    return f"{workers} × {threads} thread{'s' if threads > 1 else ''}"


def sides(entry: dict) -> Drawing:
    """Milliseconds per image and ε of every side, as bars; a circle per round."""
    rows = sorted(entry["sides"], key=lambda one: one["seconds"])
    names = [f"{one['name']}\n{one['use']}" for one in rows]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.55 * len(rows) + 0.8))
    times = [report.milliseconds(entry, one) for one in rows]
    own = {report.OURS: "C0", report.FLOOR: "C5"}
    places = np.arange(len(rows))
    axis.barh(places, times, color=[own.get(one["name"], "C1") for one in rows], height=0.7)
    for place, one, time in zip(places, rows, times, strict=True):
        each = [time * taken / one["seconds"] for taken in one["rounds"]]
        axis.plot(each, [place] * len(each), "o", color="C5", markersize=3, fillstyle="none")
        axis.text(max(each), place, f"  {time:.1f}", va="center", fontsize=10)
    axis.set_yticks(places, names, fontsize=9)
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    axis.margins(x=0.12)
    axis.set_xlabel("ms per image and ε")
    said = "; ".join(
        f"{one['name']}, {one['use']} {time:.1f}" for one, time in zip(rows, times, strict=True)
    )
    return figure, f"Milliseconds per image and ε, from the fastest: {said}."


def scale(entry: dict) -> Drawing:
    """Peak memory and seconds, over images (left) and over ε (right)."""
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 4.6), sharex="col", sharey="row")
    said = []
    for column, what in enumerate(("images", "epsilons")):
        points, name = entry["scale"][what], "images" if what == "images" else "values of ε"
        x = [point[what] for point in points]
        memory = [point["peak_bytes"] / 1e6 for point in points]
        seconds = [point["seconds"] for point in points]
        axes[0, column].plot(x, memory, "o-", color="C0")
        axes[1, column].plot(x, seconds, "s-", color="C1")
        axes[1, column].set_xlabel(name)
        axes[0, column].set_xscale("log")
        axes[1, column].set_yscale("log")
        axes[1, column].yaxis.set_major_formatter("{x:g}")
        axes[1, column].yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        axes[1, column].set_xticks(x, [f"{value:,}" for value in x])
        axes[1, column].xaxis.set_minor_locator(mpl.ticker.NullLocator())
        said.append(
            f"Over {name}: "
            + "; ".join(
                f"{count:,}: {size:.0f} MB, {time:.1f} s"
                for count, size, time in zip(x, memory, seconds, strict=True)
            )
        )
    axes[0, 0].set_ylim(0, 1.2 * axes[0, 0].get_ylim()[1])
    axes[0, 0].set_ylabel("peak memory, MB")
    axes[1, 0].set_ylabel("seconds")
    return figure, "Peak memory and time of a whole sweep. " + ". ".join(said) + "."

"""The shapes of single images along epsilon: what becomes of the class, and of the confidence.

Two written rules sort every initially correct image. Its *fate* looks at the class over the
whole grid (``analysis.fates``), its *shape* at the confidence of the predicted class
(``analysis.curve_shape``).
"""

from collections.abc import Sequence

import pandas as pd

from fgsm_lib import analysis

SHAPES = ("L", "L with a rise", "U", "rising", "flat")


def image_shapes(table: pd.DataFrame) -> pd.DataFrame:
    """Fate and shape of each initially correct image.

    Index: sample. Columns: clean_confidence, fate (of ``analysis.FATES``), shape (of ``SHAPES``).
    """
    fates = analysis.fates(table)
    rows = table[table["sample"].isin(fates.index)].sort_values(["sample", "epsilon_255"])
    result = [
        {
            "sample": sample,
            "clean_confidence": float(image["confidence"].iloc[0]),
            "fate": fates[sample],
            "shape": analysis.curve_shape(image["confidence"]),
        }
        for sample, image in rows.groupby("sample")
    ]
    columns = ["sample", "clean_confidence", "fate", "shape"]
    return pd.DataFrame(result, columns=columns).set_index("sample")


def counts(shapes: pd.DataFrame, column: str, kinds: Sequence[str]) -> pd.DataFrame:
    """How many images are of which kind: kind, count, n, share, low, high (95%, Wilson)."""
    rows = []
    for kind in kinds:
        count = int((shapes[column] == kind).sum())
        share, low, high = analysis.rate(count, len(shapes))
        rows.append((kind, count, len(shapes), share, low, high))
    return pd.DataFrame(rows, columns=["kind", "count", "n", "share", "low", "high"])


def by_confidence(
    table: pd.DataFrame, bins: Sequence[tuple[float, float]], column: str, kinds: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """``counts`` of the initially correct images of each confidence bin, by the bin's name."""
    shapes = image_shapes(table)
    return {
        analysis.bin_name(low, high): counts(
            shapes.loc[analysis.initially_correct(table, low, high)], column, kinds
        )
        for low, high in bins
    }


def typical(shapes: pd.DataFrame, table: pd.DataFrame) -> dict[str, int]:
    """One sample for each combination of fate and shape that occurs: the most typical one.

    That is the image whose confidence curve is nearest (root mean square) to the mean curve of
    its kind; the most frequent kinds come first.
    """
    curves = table.pivot(index="sample", columns="epsilon_255", values="confidence")
    kinds = shapes["fate"] + ", " + shapes["shape"]
    examples = {}
    for kind, _ in sorted(kinds.value_counts().items(), key=lambda item: (-item[1], item[0])):
        members = curves.loc[kinds.index[kinds == kind]]
        distance = ((members - members.mean()) ** 2).mean(axis=1)
        examples[kind] = int(distance.idxmin())
    return examples


def kind_counts(shapes: pd.DataFrame) -> dict[str, int]:
    """How many images have each combination of fate and shape, named as by ``typical``."""
    return (shapes["fate"] + ", " + shapes["shape"]).value_counts().to_dict()


def reading_table(groups: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """``by_confidence`` for reading: one row per bin, ``"12: 0.40 (0.29–0.52)"`` per kind."""
    rows = []
    for name, group in groups.items():
        row = {"clean confidence": name, "images": int(group["n"].iloc[0])}
        for kind in group.to_dict(orient="records"):
            row[kind["kind"]] = analysis.count_text(kind["count"], kind["n"])
        rows.append(row)
    return pd.DataFrame(rows)

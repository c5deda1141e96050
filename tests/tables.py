"""Small sweep tables for tests, in the columns of ``fgsm_lib.sweep``."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def sweep(
    correct: Sequence[Sequence[bool]] | None = None,
    confidence: Sequence[Sequence[float]] | None = None,
    epsilon_255: Sequence[float] | None = None,
    *,
    predicted: Sequence[Sequence[int]] | None = None,
    attacked: Sequence[bool] | None = None,
    samples: Sequence[int] | None = None,
    label: int | Sequence[int] = 0,
    classes: int = 10,
) -> pd.DataFrame:
    """A table of N pictures at E values of ε, from (N, E) lists; only one of them is needed.

    ``correct`` and ``predicted`` imply each other: a picture that is wrong is seen as the class
    after its label. ``epsilon_255`` is 0, 1, … and confidence 0.5 where not given; the clean
    picture's five most probable classes are the seen one and those after it.
    """
    given = next(rows for rows in (predicted, correct, confidence) if rows is not None)
    shape = np.shape(given)
    labels = np.broadcast_to(label, shape[:1])[:, None]
    if predicted is None:
        right = np.ones(shape, dtype=bool) if correct is None else np.asarray(correct, dtype=bool)
        predicted = np.where(right, labels, (labels + 1) % classes)
    seen = np.asarray(predicted)
    sure = np.full(shape, 0.5) if confidence is None else np.asarray(confidence, dtype=float)
    sure = sure.astype(np.float32)
    top = (seen[..., None] + np.arange(min(5, classes))) % classes
    numbers = np.arange(shape[0]) if samples is None else np.asarray(samples)
    took = np.ones(shape[0], dtype=bool) if attacked is None else np.asarray(attacked, dtype=bool)
    grid = np.arange(shape[1]) if epsilon_255 is None else np.asarray(epsilon_255)

    def repeated(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, shape[1])

    correct = seen == labels
    odds = np.where(correct, 1.0, -1.0).astype(np.float32)
    return pd.DataFrame(
        {
            "sample": repeated(numbers).astype(np.int32),
            "label": repeated(labels[:, 0]).astype(np.int32),
            "epsilon_255": np.tile(grid, shape[0]).astype(float),
            "predicted_class": seen.ravel().astype(np.int32),
            "confidence": sure.ravel(),
            "confidence_true": np.where(correct, sure, (1 - sure) / 2).astype(np.float32).ravel(),
            "correct": correct.ravel(),
            "correct_top5": (top == labels[..., None]).any(-1).ravel() if classes > 5 else None,
            "top_classes": list(top.reshape(-1, top.shape[-1]).astype(np.int32)),
            "top_confidences": list(np.repeat(sure.reshape(-1, 1), top.shape[-1], axis=1)),
            "margin": odds.ravel(),
            "log_odds": odds.ravel(),
            "gradient_l1": np.where(repeated(took), 1.0, 0.0).astype(np.float32),
            "zero_gradients": np.where(repeated(took), 0, 12).astype(np.int32),
            "attacked": repeated(took),
        }
    )

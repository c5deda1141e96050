"""The sweep of the real photographs with SqueezeNet 1.0, against an independent computation."""

from pathlib import Path

import pandas as pd
import pytest

TABLE = Path(__file__).parents[1] / "_build" / "nips2017" / "sweep.parquet"
ORIGIN = TABLE.with_suffix(".json")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not ORIGIN.exists() or "squeezenet1_0" not in ORIGIN.read_text(),
        reason="no sweep of the real photographs with squeezenet1_0 in _build/nips2017",
    ),
]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_parquet(TABLE)


def test_clean_accuracy_and_confidence(table):
    clean = table[table["epsilon_255"] == 0]
    assert len(clean) == 1000
    assert clean["correct"].mean() == pytest.approx(0.503, abs=0.002)
    assert clean["correct_top5"].mean() == pytest.approx(0.768, abs=0.002)
    assert clean["confidence"].mean() == pytest.approx(0.482, abs=0.002)


def test_mean_confidence_over_epsilon(table):
    """Values of an independent computation with cross-entropy, given to three digits."""
    means = table.groupby("epsilon_255")["confidence"].mean()
    for epsilon, expected in {0.3: 0.484, 1: 0.535, 4: 0.478, 16: 0.349, 60: 0.700}.items():
        assert means[epsilon] == pytest.approx(expected, abs=0.002)


def test_the_three_samples_start_as_published_for_squeezenet(table):
    clean = table[table["epsilon_255"] == 0].set_index("sample")
    assert clean.loc[766, "correct"]
    assert clean.loc[766, "confidence"] == pytest.approx(0.985, abs=0.001)
    assert clean.loc[528, "correct"]
    assert clean.loc[528, "confidence"] == pytest.approx(0.975, abs=0.001)
    assert not clean.loc[132, "correct"]
    assert clean.loc[132, "confidence"] == pytest.approx(0.706, abs=0.001)

"""What is said of Hypothesis 1, on runs whose story is known and on runs that have none."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fgsm_lib import analysis, figures_survival, minimal, survival, survival_wording
from fgsm_lib.analysis import ORIGINAL_BINS


def table(epsilon, confidence, fooled=True, by_chance=False, margin=None) -> pd.DataFrame:
    """A table of ``minimal.SCHEMA``; the first-order prediction is half of what it takes."""
    n, epsilon = len(epsilon), np.asarray(epsilon, dtype=float)
    return pd.DataFrame(
        {
            "sample": np.arange(n),
            "confidence": np.broadcast_to(np.float32(confidence), n),
            "margin": np.broadcast_to(np.arange(n) if margin is None else margin, n).astype(float),
            "predicted_epsilon_255": epsilon / 2,
            "epsilon_255": epsilon,
            "fooled": np.broadcast_to(fooled, n).astype(bool),
            "random_fooled": np.broadcast_to(by_chance, n).astype(bool),
        }
    )


CONFIDENCE = np.linspace(0.41, 1.0, 60)
HARDER = table(np.arange(1.0, 61), CONFIDENCE)
EASIER = table(np.arange(60.0, 0, -1), CONFIDENCE)
DEGENERATE = {
    "no image": table([], []),
    "one image": table([3.0], 0.995),
    "one image, never fooled": table([128.0], 0.995, fooled=False),
    "one image outside the bins": table([3.0], 0.7),
    "none fooled": table([128.0] * 30, CONFIDENCE[::2], fooled=False),
    "all at the smallest epsilon": table([0.00625] * 30, CONFIDENCE[::2]),
    "all in one bin": table(np.arange(1.0, 31), 0.995),
    "one fooled": table([2.0] + [128.0] * 29, CONFIDENCE[::2], fooled=[True] + [False] * 29),
}


def test_medians_in_a_table():
    rows = survival_wording.median_table(
        table([1, 2, 3, 128, 128, 5], [0.995] * 3 + [0.96] * 2 + [0.5], [1, 1, 1, 0, 0, 1]),
        ORIGINAL_BINS,
    )
    assert rows["images"].tolist() == [3, 2, 0, 0, 1]
    assert rows["fooled"].tolist() == [3, 0, 0, 0, 1]
    medians = rows["median minimal ε in 1/255"].tolist()
    assert medians[0].startswith("2.00 (1.00–")
    assert medians[1:] == [
        "more than half never fooled",
        "no image",
        "no image",
        "5.00 (too few for an interval)",
    ]


def test_the_survival_curves_in_words():
    text = survival_wording.survival_reading(HARDER, ORIGINAL_BINS)
    assert "The curves of the 5 bins drawn here differ by more than chance" in text
    assert "4 degrees of freedom, p < 0.0001" in text
    assert "The curves of the 12 bins of 5 points that hold an image differ by more" in text
    shuffled = table(np.random.default_rng(1).permutation(60) + 1.0, CONFIDENCE)
    text = survival_wording.survival_reading(shuffled, ORIGINAL_BINS)
    assert "differ no more than by chance" in text
    assert "p = 0." in text


def test_the_control_says_whether_the_direction_counts():
    text = survival_wording.chance_reading(HARDER)
    assert "fool 0 of 60 initially correct images" in text
    assert "the direction of the step" in text
    often = table([1.0] * 10, 0.9, by_chance=[True] * 8 + [False] * 2)
    text = survival_wording.chance_reading(often)
    assert "fool 8 of 10" in text
    assert "80.0%" in text
    assert "size of the step alone may be enough" in text


def swept(minimal, grid) -> pd.DataFrame:
    """The sweep table that a table of minimal epsilons was refined from."""
    rows = [
        (sample, epsilon, confidence, epsilon < smallest)
        for sample, confidence, smallest in zip(
            minimal["sample"], minimal["confidence"], minimal["epsilon_255"], strict=True
        )
        for epsilon in grid
    ]
    table = pd.DataFrame(rows, columns=["sample", "epsilon_255", "confidence", "correct"])
    return table.astype({"correct": bool})


def test_the_verdict_is_compared_with_that_of_the_grid_and_of_all_images():
    text = survival_wording.grid_reading(HARDER, swept(HARDER, [0, 20, 40, 60]))
    assert "ρ would be 0.94" in text  # three steps of twenty in place of sixty
    assert "the verdict the same." in text
    some = EASIER[EASIER["sample"] % 3 == 0]
    both = pd.concat([EASIER, HARDER.assign(sample=HARDER["sample"] + 60)])
    text = survival_wording.grid_reading(some, swept(both, [0, 20, 40, 60]))
    assert "the verdict the same; over all 120 initially correct images of the set" in text
    assert text.endswith("and the verdict undecided.")


def test_rivals_in_words_and_in_a_table():
    """The margin orders all rightly; the first-order ε̂ is half of what it takes, so it does too."""
    rng = np.random.default_rng(0)
    made_up = table(np.arange(1.0, 61), np.clip(CONFIDENCE + rng.normal(0, 0.2, 60), 0.1, 1))
    rivals = survival.rivals(made_up)
    text = survival_wording.rivals_reading(made_up, rivals)
    assert f"holds out longer in {rivals.loc['confidence', 'value']:.1%} of the pairs" in text
    assert "The logit margin orders 100.0% rightly, better by" in text
    assert "takes 2.00 times the ε̂" in text
    rows = survival_wording.rivals_table(rivals)
    assert rows["predictor"].tolist() == ["clean confidence", "logit margin", "first-order ε̂"]
    assert rows["minus clean confidence's"][0] == "–"
    assert rows["concordance"][1] == "1.000 (1.000–1.000)"


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ((0.1, 0.05, 0.15), "better by 10.00 points (+5.00 to +15.00)"),
        ((-0.1, -0.15, -0.05), "worse by 10.00 points (-15.00 to -5.00)"),
        ((0.01, -0.02, 0.04), "may be chance"),
    ],
)
def test_a_difference_is_only_one_where_its_interval_says_so(difference, said):
    found = pd.DataFrame(
        [[0.6, 0.5, 0.7, *difference]] * 3,
        index=list(survival.PREDICTORS),
        columns=survival_wording.VALUE + survival_wording.DIFFERENCE,
    )
    assert said in survival_wording.rivals_reading(HARDER, found)


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.2, 0.1, 0.3), "still hold out longer"),
        ((-0.2, -0.3, -0.1), "fall *earlier*"),
        ((0.05, -0.1, 0.2), "nothing is left"),
        ((np.nan, np.nan, np.nan), "has nothing to add"),
    ],
)
def test_what_is_left_is_said_by_its_interval(interval, said):
    left = pd.DataFrame(
        [[0.9, *interval]] * 2,
        index=list(survival.PREDICTORS[1:]),
        columns=["shared", *survival_wording.VALUE],
    )
    text = survival_wording.left_reading(HARDER, survival.judge(HARDER), left)
    assert text.startswith("Confidence alone: ρ = 1.00.")
    assert text.count(said) == 2
    rows = survival_wording.left_table(survival.judge(HARDER), left)
    assert rows["known besides"].tolist() == ["nothing", "logit margin", "first-order ε̂"]
    assert "nan" not in rows.to_string()


# --- runs that have no story -------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("made_up", DEGENERATE.values(), ids=DEGENERATE)
def test_every_sentence_and_table_of_a_degenerate_run(made_up):
    """Nothing divides by zero, nothing warns, and no reader meets a nan or an inf."""
    verdict, rivals, left = (
        f(made_up) for f in (survival.judge, survival.rivals, survival.left_over)
    )
    said = [
        survival_wording.survival_reading(made_up, ORIGINAL_BINS),
        survival_wording.chance_reading(made_up),
        survival_wording.rivals_reading(made_up, rivals),
        survival_wording.left_reading(made_up, verdict, left),
        survival_wording.grid_reading(made_up, swept(made_up, [0, 1, 128])),
        survival_wording.median_table(made_up, ORIGINAL_BINS).to_string(),
        survival_wording.rivals_table(rivals).to_string(),
        survival_wording.left_table(verdict, left).to_string(),
    ]
    words = " ".join(said).replace("(", " ").replace(")", " ").split()
    assert not {"nan", "inf", "+nan", "nan%"} & set(words)
    assert all(said[:4])


def test_the_first_image_in_words_where_there_is_none():
    text = survival_wording.survival_reading(DEGENERATE["no image"], ORIGINAL_BINS)
    assert "No image of this run is classified correctly" in text
    text = survival_wording.survival_reading(
        DEGENERATE["one image outside the bins"], ORIGINAL_BINS
    )
    assert "None of these bins" in text
    text = survival_wording.survival_reading(DEGENERATE["all in one bin"], ORIGINAL_BINS)
    assert "no other curve to compare" in text
    text = survival_wording.survival_reading(DEGENERATE["none fooled"], ORIGINAL_BINS)
    assert "no image holds out longer than another" in text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [name for name in DEGENERATE if name != "no image"])
def test_the_figures_of_a_degenerate_run_are_not_empty(name):
    """The page draws them only where there is an image; then there is something to see."""
    made_up = DEGENERATE[name]
    figure, alt = figures_survival.predictors(
        made_up, survival_wording.NAMES, survival.rivals(made_up)
    )
    figure.canvas.draw()
    assert all(axis.lines for axis in figure.axes)
    assert "nan" not in alt
    plt.close(figure)

    groups = survival.by_bin(made_up, ORIGINAL_BINS)
    if any(map(len, groups.values())):
        figure, alt = figures_survival.survival(groups, groups, 128)
        figure.canvas.draw()
        assert all(axis.lines for axis in figure.axes)
        assert "nan" not in alt
        plt.close(figure)


def test_the_survival_figure_is_told_in_its_alt_text():
    groups = survival.by_bin(HARDER, ORIGINAL_BINS)
    figure, alt = figures_survival.survival(groups, groups, 128)
    plt.close(figure)
    assert "99–100%: half are fooled by 60.00/255" in alt
    assert "Random signs leave at the end: 99–100% 0.00" in alt


def test_the_columns_made_up_here_are_those_of_the_table():
    assert HARDER.columns.tolist() == minimal.SCHEMA.names
    assert analysis.rank_verdict(EASIER["confidence"], EASIER["epsilon_255"]).word == "contradicted"

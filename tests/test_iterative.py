"""The comparison of one step with many: what the table holds, and what is said about it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import skimage.metrics
import torch

from fgsm_lib import analysis, attacks, figures_iterative, iterative

MINE = 'title = "Mine"\narch = "tiny"\nobjective = "true_logit"\n'
MINE += "[epsilon_255]\ncases = [1]\nhypothesis = [4]\n"
MINE += "all_images = [4]\nobjectives = [4]\n[every]\niterative = 2\n"


@pytest.fixture
def study(study_of):
    return study_of(MINE)


def rows(*facts) -> pd.DataFrame:
    """One image per fact: whether FGSM, BIM and PGD fool it, and how much closer BIM is in dB."""
    values = [
        (sample, method, 4.0, int(fooled), 0.5, not fooled, 30.0 + gain, 0.9 + gain / 100)
        for sample, (fgsm, bim, pgd, closer) in enumerate(facts)
        for method, fooled, gain in (
            ("FGSM", fgsm, 0),
            ("BIM", bim, closer),
            ("PGD", pgd, closer),
            ("random signs", False, 0),
        )
    ]
    return pd.DataFrame(values, columns=list(iterative.COLUMNS))


def test_a_row_is_the_attack_that_it_names(study):
    table = iterative.compare(study, [5], [4.0]).set_index("method")
    assert table.index.tolist() == list(iterative.GRADIENTS)
    image, label = study.dataset[5]
    labels = torch.tensor([label])
    walk = {"steps": 5, "step_size": 1 / 255, "objective": "true_logit"}
    start = attacks.random_start(image, 5)[None]
    network, images = study.classifier, image[None]
    made = {
        "FGSM": attacks.fgsm(network, images, labels, 4 / 255, objective="true_logit"),
        "BIM": attacks.bim(network, images, labels, 4 / 255, **walk),
        "PGD": attacks.pgd(network, images, labels, 4 / 255, start, **walk),
        "random signs": attacks.perturb(images, attacks.random_signs(image, 5)[None], 4 / 255),
    }
    for method, changed in made.items():
        row, probabilities = table.loc[method], network(changed).softmax(1)[0]
        assert row["predicted_class"] == probabilities.argmax().item()
        assert row["correct"] == (row["predicted_class"] == label)
        assert row["confidence"] == pytest.approx(probabilities.max().item(), abs=1e-5)
        a, b = (np.uint8(np.round(255 * one.detach().numpy())) for one in (image, changed[0]))
        psnr = skimage.metrics.peak_signal_noise_ratio(a, b)
        ssim = skimage.metrics.structural_similarity(a, b, channel_axis=0)
        assert row[["psnr", "ssim"]].tolist() == pytest.approx([psnr, ssim], rel=1e-4)


def test_an_unknown_method_is_refused(study):
    with pytest.raises(ValueError, match="method is 'CW'; expected FGSM, BIM"):
        iterative.attacked(study, 0, "CW", 0.1)


def test_the_table_is_computed_once(study, monkeypatch):
    monkeypatch.setattr(iterative, "chosen_samples", lambda study: [1, 4])
    table = iterative.comparison(study)
    assert sorted(table["sample"].unique()) == [1, 4]
    assert len(table) == 2 * 2 * 4
    monkeypatch.setattr(iterative, "in_workers", None)  # a second computation would fail
    pd.testing.assert_frame_equal(iterative.comparison(study), table)
    assert not list(study.folder.glob(".iterative*"))


def test_other_samples_are_another_table(study, monkeypatch):
    monkeypatch.setattr(iterative, "chosen_samples", lambda study: [1])
    iterative.comparison(study)
    monkeypatch.setattr(iterative, "chosen_samples", lambda study: [2])
    assert iterative.comparison(study)["sample"].unique().tolist() == [2]


def test_no_correct_image_gives_an_empty_table_and_words(study, monkeypatch):
    monkeypatch.setattr(iterative, "chosen_samples", lambda study: [])
    table = iterative.comparison(study)
    assert table.empty
    assert "none to fool" in iterative.success_sentence(table)
    assert "Fewer than two" in iterative.cleaner_sentence(iterative.gains(table))
    assert iterative.summary_table(table).empty


def test_success_is_counted_by_hand():
    table = rows((True, True, True, 1), (False, True, True, 3), (False, False, False, 2))
    summary = iterative.summary_table(table).set_index("method")
    assert summary["fooled"].to_dict() == {
        "FGSM": "1: 0.33 (0.06–0.79)",
        "BIM": "2: 0.67 (0.21–0.94)",
        "PGD": "2: 0.67 (0.21–0.94)",
        "random signs": "0: 0.00 (0.00–0.56)",
    }
    assert summary.loc["BIM", "PSNR"] == "32.0"
    text = iterative.success_sentence(table)
    assert "BIM fools 1 that FGSM does not, and FGSM 0 that BIM does not" in text
    assert "p = 1)" in text


def test_methods_that_fool_the_same_images_are_said_to():
    text = iterative.success_sentence(rows((True, True, False, 1), (False, False, True, 1)))
    assert text.endswith("BIM fools the same images as FGSM.")


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((1, 1.1), "holds**"), ((-1, -3), "does not hold"), ((9, -3), "does not hold")],
)
def test_the_promise_is_judged_image_by_image_and_by_its_interval(gains, verdict):
    table = rows(*((True, True, True, gain) for gain in gains))
    gained = iterative.gains(table)
    assert f"**{verdict}" in iterative.cleaner_sentence(gained)
    assert gained["psnr"].tolist() == pytest.approx([sum(gains) / 2] * 2)
    assert gained.loc[0, ["psnr", "psnr_low", "psnr_high"]].tolist() == pytest.approx(
        analysis.mean(pd.Series(gains))
    )
    assert f"{sum(gains) / 2:+.1f} (" in iterative.gain_table(gained)["PSNR"][0]


def test_an_image_that_does_not_change_has_no_gain():
    table = rows((True, True, True, 1), (True, True, True, 2), (False, False, False, np.inf))
    gained = iterative.gains(table)
    assert gained["n"].tolist() == [2, 2]
    assert gained["psnr"].tolist() == pytest.approx([1.5, 1.5])


@pytest.mark.parametrize("fooled", [True, False])
def test_one_image_has_a_figure_and_no_interval(fooled):
    table = rows((fooled, fooled, fooled, 1))
    figure, alt = figures_iterative.success(table)
    plt.close(figure)
    assert "among 1 initially correct" in alt
    said = iterative.cleaner_sentence(iterative.gains(table)) + iterative.success_sentence(table)
    assert "nan" not in said + iterative.summary_table(table).to_string()


def test_the_smallest_fooling_epsilon_is_the_first_of_the_ladder(study):
    samples = [0, 3]
    smallest = iterative.smallest_fooling(study, samples)
    whole = iterative.compare(study, samples, iterative.LADDER_255)
    wrong = whole[~whole["correct"]].groupby(["sample", "method"])["epsilon_255"].min()
    found = smallest.set_index(["sample", "method"])["epsilon_255"]
    assert found.to_dict() == wrong.to_dict()
    assert len(iterative.smallest_table(smallest, samples)) == 8


def test_who_is_never_fooled_is_said_to_be():
    table = iterative.smallest_table(pd.DataFrame(columns=list(iterative.COLUMNS)), [7])
    assert set(table["ε"]) == {"none up to 16/255"}

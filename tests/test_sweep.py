"""The rows of a sweep against a naive loop, and what they are computed from."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from fgsm_lib import attacks, sweep
from fgsm_lib.datasets import PhotoDataset
from fgsm_lib.errors import InputError
from fgsm_lib.sweep import SweepSettings, provenance, sweep_samples

GRID = (0.0, 0.5, 1.0, 4.0, 20.0)
ALL = range(12)


@pytest.fixture
def classifier(tiny):
    return tiny()


def frame(dataset, classifier, settings, samples=ALL, batch=4) -> pd.DataFrame:
    return sweep_samples(dataset, classifier, settings, samples, batch).to_pandas()


def naive(dataset, classifier, epsilons, objective):
    """The same table the slow way: image by image, with a new gradient at every epsilon."""
    rows = []
    for sample in range(len(dataset)):
        image, label = dataset[sample]
        for epsilon in epsilons:
            x = image[None].clone().requires_grad_(True)
            objective(classifier(x), torch.tensor([label])).backward()
            changed = (x + epsilon / 255 * x.grad.sign()).clamp(0, 1).detach()
            p = classifier(changed).softmax(1)[0]
            order = p.argsort(descending=True)[:5].tolist()
            zeros = int((x.grad == 0).sum())
            rows.append([sample, label, epsilon, order[0], p.max().item(), p[label].item()])
            rows[-1] += [order[0] == label, label in order, order, p[order].tolist(), zeros]
    return pd.DataFrame(rows, columns=sweep.SCHEMA.names)


def assert_same_numbers(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Equal classes, and probabilities up to the float32 noise of other batch sizes."""
    exact = ["sample", "label", "epsilon_255", "predicted_class", "correct", "correct_top5"]
    for column in [*exact, "zero_gradients"]:
        assert ours[column].tolist() == theirs[column].tolist()
    assert [list(row) for row in ours["top5_classes"]] == [
        list(row) for row in theirs["top5_classes"]
    ]
    for column in ("confidence", "confidence_true"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=0, atol=1e-6)
    top5 = [np.stack(table["top5_confidences"]) for table in (ours, theirs)]
    np.testing.assert_allclose(*top5, rtol=0, atol=1e-6)


# --- the numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "loss"),
    [("cross_entropy", F.cross_entropy), ("true_logit", lambda z, y: -z[0, y].sum())],
)
def test_the_table_equals_a_naive_loop(tiny_set, classifier, objective, loss):
    ours = frame(tiny_set, classifier, SweepSettings(GRID, objective))
    assert_same_numbers(ours, naive(tiny_set, classifier, GRID, loss))
    assert ours["predicted_class"].nunique() > 1  # else the comparison says little
    assert 0 < ours["correct_top5"].mean() < 1


@pytest.mark.parametrize("batch", [1, 5, 12])
def test_the_batch_size_does_not_change_the_numbers(tiny_set, classifier, batch):
    settings = SweepSettings(GRID)
    expected = frame(tiny_set, classifier, settings, batch=4)
    assert_same_numbers(frame(tiny_set, classifier, settings, batch=batch), expected)


def test_some_samples_alone_give_their_rows_of_the_whole(tiny_set, classifier):
    settings = SweepSettings(GRID)
    whole = frame(tiny_set, classifier, settings)
    some = frame(tiny_set, classifier, settings, samples=[3, 7])
    assert_same_numbers(some, whole[whole["sample"].isin([3, 7])])


def test_columns_and_types_are_those_of_the_schema(tiny_set, classifier):
    table = sweep_samples(tiny_set, classifier, SweepSettings(GRID), ALL)
    assert table.schema.equals(sweep.SCHEMA, check_metadata=True)
    assert table.num_rows == 12 * len(GRID)
    assert all(column.null_count == 0 for column in table.columns)


def test_rows_are_ordered_by_sample_then_as_the_grid(tiny_set, classifier):
    table = frame(tiny_set, classifier, SweepSettings(GRID), batch=5)
    assert table["sample"].tolist() == [sample for sample in ALL for _ in GRID]
    assert table["epsilon_255"].tolist() == list(GRID) * 12


def test_epsilon_zero_is_the_clean_image(tiny_set, classifier):
    table = frame(tiny_set, classifier, SweepSettings((0.0,)))
    images = torch.stack([tiny_set[sample][0] for sample in ALL])
    confidence, predicted = classifier(images).softmax(1).max(1)
    assert table["predicted_class"].tolist() == predicted.tolist()
    np.testing.assert_allclose(table["confidence"], confidence, rtol=0, atol=1e-6)  # float noise


def test_the_grid_need_not_hold_zero(tiny_set, classifier):
    with_zero = frame(tiny_set, classifier, SweepSettings((0.0, 4.0)))
    without = frame(tiny_set, classifier, SweepSettings((4.0,)))
    assert_same_numbers(without, with_zero[with_zero["epsilon_255"] == 4])


def test_fewer_than_five_classes_have_a_shorter_top_five(photos, tiny):
    classifier = tiny(classes=3)
    dataset = PhotoDataset(photos(4, classes=3), classifier.to_pixels)
    table = frame(dataset, classifier, SweepSettings((0.0, 1.0)), samples=range(4))
    assert {len(classes) for classes in table["top5_classes"]} == {3}
    assert table["correct_top5"].all()


def test_zero_gradients_are_counted_per_image(tiny_set, tiny):
    """A classifier that never looks at blue leaves 16 · 16 values of every image without a sign."""
    layer = torch.nn.Linear(768, 10)
    layer.weight.data = torch.linspace(-0.1, 0.1, 7680).view(10, 768)
    layer.weight.data[:, 512:] = 0
    linear = tiny(network=torch.nn.Sequential(torch.nn.Flatten(), layer))
    table = frame(tiny_set, linear, SweepSettings((0.0, 4.0)))
    assert set(table["zero_gradients"]) == {256}


def test_the_clip_to_the_image_s_range_reaches_the_sweep(tiny_set, classifier):
    settings = SweepSettings((60.0,), clip="image")
    table = frame(tiny_set, classifier, settings)
    images, labels = zip(*(tiny_set[sample] for sample in ALL), strict=True)
    images, labels = torch.stack(images), torch.tensor(labels)
    changed = attacks.fgsm(classifier, images, labels, 60 / 255, clip="image")
    confidence = classifier(changed).softmax(1).amax(1)
    np.testing.assert_allclose(table["confidence"], confidence, rtol=0, atol=1e-5)  # float noise


def test_random_signs_are_those_of_the_sample(tiny_set, classifier):
    control = SweepSettings((0.0, 20.0), direction="random")
    table = frame(tiny_set, classifier, control)
    assert_same_numbers(table, frame(tiny_set, classifier, control, batch=1))
    assert set(table["zero_gradients"]) == {0}
    image = tiny_set[9][0]
    changed = attacks.perturb(image, attacks.random_signs(image, seed=9), 20 / 255)
    confidence = classifier(changed[None]).softmax(1).max().item()
    ours = table[(table["sample"] == 9) & (table["epsilon_255"] == 20)]["confidence"].item()
    assert ours == pytest.approx(confidence, abs=1e-6)


def test_eight_bits_are_what_a_file_would_keep(tiny_set, classifier):
    grid = (0.0, 0.4, 0.6, 4.3)
    table = frame(tiny_set, classifier, SweepSettings(grid, eight_bit=True))
    exact = frame(tiny_set, classifier, SweepSettings((0.0, 1.0, 4.0)))
    # Nothing of 0.4/255 remains; 0.6/255 becomes 1/255 and 4.3/255 becomes 4/255.
    for kept, epsilon in [(0.0, 0.0), (0.0, 0.4), (1.0, 0.6), (4.0, 4.3)]:
        ours = table[table["epsilon_255"] == epsilon].assign(epsilon_255=kept)
        assert_same_numbers(ours, exact[exact["epsilon_255"] == kept])


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, "4", None, True])
def test_an_epsilon_that_is_no_size_is_an_input_error(wrong):
    with pytest.raises(InputError, match="epsilon_255 is"):
        SweepSettings((0.0, wrong))


@pytest.mark.parametrize(
    "wrong", [{"objective": "nll"}, {"clip": "both"}, {"direction": "up"}, {"eight_bit": "yes"}]
)
def test_an_unknown_choice_is_an_input_error(wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(InputError, match=f"{name} is '{value}'"):
        SweepSettings(GRID, **wrong)


def test_an_empty_grid_is_an_input_error(tiny_set, classifier):
    with pytest.raises(InputError, match="epsilon_255"):
        sweep_samples(tiny_set, classifier, SweepSettings(()), ALL)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_logits_that_are_no_numbers_name_the_samples(tiny_set, classifier, poison):
    calls = []

    def spoil(module, inputs, logits):
        calls.append(len(logits))
        # A batch of GRID takes five calls, so this is the second batch at its second epsilon.
        return logits + poison if len(calls) == len(GRID) + 2 else logits

    classifier.register_forward_hook(spoil)
    with pytest.raises(InputError, match=r"tiny .* samples \[4, 5, 6, 7\] at epsilon 0\.5/255"):
        sweep_samples(tiny_set, classifier, SweepSettings(GRID), ALL, batch=4)


def test_a_classifier_in_training_mode_is_refused(tiny_set, classifier):
    """With random signs, too, where no gradient is taken that would notice."""
    classifier.network[1].train()
    for direction in ("gradient", "random"):
        with pytest.raises(InputError, match=r"tiny is in training mode; .* eval\(\)"):
            sweep_samples(tiny_set, classifier, SweepSettings(GRID, direction=direction), ALL)


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ([torch.nn.Flatten(), torch.nn.Linear(768, 7)], r"\(4, 7\)"),
        ([torch.nn.AdaptiveAvgPool2d(1), torch.nn.Conv2d(3, 10, 1)], r"\(4, 10, 1, 1\)"),
        ([torch.nn.Flatten(0), torch.nn.Linear(4 * 768, 10)], r"\(10,\)"),
    ],
)
def test_logits_of_another_shape_are_named(tiny_set, tiny, layers, found):
    classifier = tiny(network=torch.nn.Sequential(*layers))
    with pytest.raises(InputError, match=rf"tiny returned {found} .* expected .* \(4, 10\)"):
        sweep_samples(tiny_set, classifier, SweepSettings(GRID), ALL)


def test_what_is_no_tensor_is_named(tiny_set, tiny):
    class Two(torch.nn.Module):
        def forward(self, images):
            return images.mean(), images.mean()

    with pytest.raises(InputError, match="tiny returned tuple for 4 images"):
        sweep_samples(tiny_set, tiny(network=Two()), SweepSettings(GRID), ALL)


def test_a_network_that_overwrites_its_input_changes_nothing(tiny_set, tiny):
    class Overwriting(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, images):
            logits = self.network(images.clone())
            with torch.no_grad():
                images.zero_()
            return logits

    plain = tiny()
    overwriting = tiny(network=Overwriting(plain.network))
    for settings in (SweepSettings(GRID), SweepSettings(GRID, direction="random")):
        expected = frame(tiny_set, plain, settings)
        assert_same_numbers(frame(tiny_set, overwriting, settings), expected)


# --- the fingerprint ---------------------------------------------------------------------------


def fingerprint(dataset, classifier, **settings) -> str:
    settings = {"epsilon_255": GRID} | settings
    return provenance(dataset, classifier, SweepSettings(**settings))["fingerprint"]


def test_the_fingerprint_is_the_same_for_the_same_things(tiny_set, tiny):
    assert fingerprint(tiny_set, tiny()) == fingerprint(tiny_set, tiny())


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon_255": (0.0, 0.5)},
        {"objective": "true_logit"},
        {"clip": "image"},
        {"direction": "random"},
        {"eight_bit": True},
    ],
)
def test_the_fingerprint_changes_with_the_settings(tiny_set, tiny, change):
    assert fingerprint(tiny_set, tiny(), **change) != fingerprint(tiny_set, tiny())


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "other weights"},
        {"name": "other"},
        {"resize": 20},
        {"crop": 15},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.5, 0.5, 0.5)},
    ],
)
def test_the_fingerprint_changes_with_the_classifier(tiny_set, tiny, change):
    assert fingerprint(tiny_set, tiny(**change)) != fingerprint(tiny_set, tiny())


def test_the_fingerprint_changes_with_the_data(photos, tiny):
    classifier = tiny()
    before = PhotoDataset(photos(3, name="a"), classifier.to_pixels)
    folder = photos(3, name="b")
    path = folder / "dev_dataset.csv"
    path.write_text(path.read_text().replace("photo0,1", "photo0,2"))
    after = PhotoDataset(folder, classifier.to_pixels)
    assert fingerprint(before, classifier) != fingerprint(after, classifier)


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("import torch\n", "import torch  # a comment\n\n\n", False),
        ('    """J of equation (1.2)', '    """Another docstring', False),
        ('"""The Fast Gradient Sign Method', '"""Another title', False),
        ("gradient.sign() if targeted", "gradient.cos() if targeted", True),
    ],
)
def test_code_counts_and_comments_do_not(tmp_path, monkeypatch, old, new, counts):
    before = sweep.code_sha256()
    source = Path(attacks.__file__).read_text(encoding="utf-8")
    assert old in source
    changed = tmp_path / "attacks.py"
    changed.write_text(source.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr(attacks, "__file__", str(changed))
    assert (sweep.code_sha256() != before) is counts

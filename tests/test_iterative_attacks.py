"""BIM and PGD: by hand, by property, and iterate by iterate against foolbox."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fgsm_lib import attacks

ULP = 2**-23
LABELS = torch.tensor([0, 3])

seeds = st.integers(0, 2**32 - 1)
epsilons = st.one_of(st.sampled_from([0.0, 1 / 255, 4 / 255, 0.5, 1.0]), st.floats(0, 1, width=32))


@pytest.fixture(scope="module")
def classifier(tiny):
    return tiny()


def noise(images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return torch.stack([attacks.random_start(x, seed + i) for i, x in enumerate(images)])


def by_bim(classifier, images, epsilon, seed, **options):
    return attacks.bim(classifier, images, LABELS, epsilon, **options)


def by_pgd(classifier, images, epsilon, seed, **options):
    return attacks.pgd(classifier, images, LABELS, epsilon, noise(images, seed), **options)


BOTH = st.sampled_from([by_bim, by_pgd])


# --- by hand -----------------------------------------------------------------------------------


class Valley(torch.nn.Module):
    """One pixel x; z_0 = (x - 0.5)², z_1 = 0. Its slope changes sign at 0.5."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        square = (pixels.flatten(1) - 0.5).square()
        return torch.cat([square, torch.zeros_like(square)], dim=1)


PIXEL = torch.tensor([0.7]).view(1, 1, 1, 1)


def test_small_steps_turn_where_the_slope_does():
    """Down the valley from 0.7 by 0.15: 0.55, then past 0.5 to 0.4, then back to 0.55.

    One step of the whole budget 0.3 overshoots to 0.4.
    """
    valley, label = Valley().eval(), torch.tensor([0])
    ends = [
        attacks.bim(valley, PIXEL, label, 0.3, steps=n, step_size=0.15).item() for n in range(4)
    ]
    assert ends == pytest.approx([0.7, 0.55, 0.4, 0.55])
    assert attacks.fgsm(valley, PIXEL, label, 0.3).item() == pytest.approx(0.4)


def test_the_ball_stops_the_walk():
    """Two steps of 0.15 with a budget of 0.2 end at 0.5, not at 0.4."""
    end = attacks.bim(Valley().eval(), PIXEL, torch.tensor([0]), 0.2, steps=2, step_size=0.15)
    assert end.item() == pytest.approx(0.5)


def test_pgd_starts_where_it_is_told():
    """From 0.7 - 0.3 it climbs down the other side: 0.4, 0.5."""
    start = torch.full_like(PIXEL, -1.0)
    ends = [
        attacks.pgd(
            Valley().eval(), PIXEL, torch.tensor([0]), 0.3, start, steps=n, step_size=0.1
        ).item()
        for n in range(2)
    ]
    assert ends == pytest.approx([0.4, 0.5])


# --- properties --------------------------------------------------------------------------------


@given(attack=BOTH, seed=seeds, epsilon=epsilons, steps=st.integers(0, 3), size=st.floats(0, 1))
def test_an_image_no_further_than_epsilon(classifier, pixels, attack, seed, epsilon, steps, size):
    images = pixels(2, seed)
    changed = attack(classifier, images, epsilon, seed % 1000, steps=steps, step_size=size)
    assert (changed.double() - images.double()).abs().max() <= epsilon + ULP
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert changed.dtype == torch.float32
    assert changed.shape == images.shape


@given(attack=BOTH, seed=seeds, objective=st.sampled_from(sorted(attacks.OBJECTIVES)))
def test_epsilon_zero_is_the_identity(classifier, pixels, attack, seed, objective):
    images = pixels(2, seed)
    options = {"steps": 2, "step_size": 0.1, "objective": objective}
    assert torch.equal(attack(classifier, images, 0, seed % 1000, **options), images)


@given(seed=seeds, epsilon=epsilons, objective=st.sampled_from(sorted(attacks.OBJECTIVES)))
def test_one_whole_step_of_bim_is_fgsm(classifier, pixels, seed, epsilon, objective):
    images = pixels(2, seed)
    options = {"objective": objective}
    one = attacks.bim(classifier, images, LABELS, epsilon, steps=1, step_size=epsilon, **options)
    assert torch.equal(one, attacks.fgsm(classifier, images, LABELS, epsilon, **options))


def test_one_epsilon_per_image_equals_separate_calls(classifier, pixels):
    images, sizes = pixels(2), torch.tensor([1 / 255, 6 / 255])
    together = attacks.bim(classifier, images, LABELS, sizes, steps=2, step_size=sizes / 2)
    for i, size in enumerate(sizes.tolist()):
        alone = attacks.bim(classifier, images, LABELS, size, steps=2, step_size=size / 2)
        assert torch.equal(together[i], alone[i])


@pytest.mark.parametrize("attack", [by_bim, by_pgd])
def test_nothing_is_changed_and_no_gradient_left(pixels, attack):
    layer = torch.nn.Linear(768, 10)  # its weights ask for gradients, unlike Classifier's
    model = torch.nn.Sequential(torch.nn.Flatten(), layer).eval()
    images = pixels(2).requires_grad_(True)
    before, weights = images.detach().clone(), layer.weight.detach().clone()
    changed = attack(model, images, 4 / 255, 0, steps=2, step_size=1 / 255)
    assert torch.equal(images, before)
    assert torch.equal(layer.weight, weights)
    assert images.grad is None
    assert layer.weight.grad is None
    assert not changed.requires_grad


@pytest.mark.parametrize("sizes", [(-0.1, 0.1), (0.1, -0.1), (float("nan"), 0.1)])
def test_a_size_that_is_none_is_refused(classifier, pixels, sizes):
    with pytest.raises(ValueError, match="epsilon is"):
        attacks.bim(classifier, pixels(2), LABELS, sizes[0], steps=1, step_size=sizes[1])


def test_a_random_start_is_uniform_and_the_same_in_every_run(pixels):
    (image,) = pixels(1, size=64)
    start = attacks.random_start(image, seed=5)
    assert torch.equal(start, attacks.random_start(image, seed=5))
    assert not torch.equal(start, attacks.random_start(image, seed=6))
    assert start.min() >= -1
    assert start.max() <= 1
    # 12288 uniform values: their mean and variance are known to about 0.005.
    assert start.mean().item() == pytest.approx(0, abs=0.02)
    assert start.var().item() == pytest.approx(1 / 3, abs=0.02)


# --- against foolbox ---------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("random", [False, True])
def test_iterates_are_those_of_foolbox(tiny, pixels, monkeypatch, steps, random):
    """In float64, so that no sign hangs on the order in which float32 sums are added up."""
    foolbox = pytest.importorskip("foolbox")
    classifier, images = tiny().double(), pixels(2).double()
    epsilon, step_size = 4 / 255, 1 / 255
    options = {"steps": steps, "step_size": step_size}
    kind = foolbox.attacks.LinfPGD if random else foolbox.attacks.LinfBasicIterativeAttack
    attack = kind(abs_stepsize=step_size, steps=steps, random_start=random)
    start = noise(images)
    if random:
        import eagerpy

        ours = attacks.pgd(classifier, images, LABELS, epsilon, start, **options)
        given_start = lambda x0, radius: eagerpy.astensor(x0.raw + radius * start)  # noqa: E731
        monkeypatch.setattr(attack, "get_random_start", given_start)
    else:
        ours = attacks.bim(classifier, images, LABELS, epsilon, **options)
    model = foolbox.PyTorchModel(classifier, bounds=(0, 1))
    theirs = attack.run(model, images, foolbox.Misclassification(LABELS), epsilon=epsilon)
    # One or two roundings of float32 constants (epsilon, step size) apart.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-7)
    assert (ours - images).abs().max() > 0.9 * min(epsilon, steps * step_size)

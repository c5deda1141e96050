"""What the attack promises, on networks small enough to check."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from fgsm_lib import attacks
from fgsm_lib.classifiers import Classifier

CLIPS = ("valid", "image")
ULP = 2**-23  # the spacing of float32 just above 1; sums of values in [0, 1] round to it at worst

epsilons = st.one_of(
    st.sampled_from([0.0, 0.1 / 255, 1 / 255, 6 / 255, 0.5, 1.0]), st.floats(0, 1, width=32)
)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def classifier(tiny):
    return tiny()


def some_labels(count: int, classes: int = 10) -> torch.Tensor:
    return torch.arange(count) * 3 % classes


def linear(weights: list[list[float]], bias: list[float] | None = None) -> torch.nn.Module:
    """A classifier of flattened images with known weights."""
    layer = torch.nn.Linear(len(weights[0]), len(weights), bias=bias is not None)
    layer.weight.data = torch.tensor(weights)
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    return torch.nn.Sequential(torch.nn.Flatten(), layer).eval()


# --- by hand -----------------------------------------------------------------------------------

FOUR = torch.tensor([0.2, 0.6, 0.5, 0.9]).view(1, 1, 2, 2)


def test_the_example_by_hand():
    """z_0 = x_1 - 2 x_2 + x_3 / 2 + x_4 = 0.15 falls by 0.1 · 4.5 to -0.3."""
    model = linear([[1.0, -2.0, 0.5, 1.0], [0.0] * 4])
    changed = attacks.fgsm(model, FOUR, torch.tensor([0]), 0.1)
    torch.testing.assert_close(changed.flatten(), torch.tensor([0.1, 0.7, 0.4, 0.8]))
    assert model(FOUR)[0, 0].item() == pytest.approx(0.15, abs=1e-6)
    assert model(changed)[0, 0].item() == pytest.approx(-0.3, abs=1e-6)
    assert changed.shape == FOUR.shape


def test_the_gradient_of_cross_entropy_by_hand():
    """(p_0 - 1) w with p_0 = 1 / (1 + exp(-0.15)) = 0.537."""
    model = linear([[1.0, -2.0, 0.5, 1.0], [0.0] * 4])
    gradient, logits = attacks.input_gradient(model, FOUR, torch.tensor([0]))
    expected = (1 / (1 + math.exp(-0.15)) - 1) * torch.tensor([1.0, -2.0, 0.5, 1.0])
    torch.testing.assert_close(gradient.flatten(), expected)
    torch.testing.assert_close(logits, torch.tensor([[0.15, 0.0]]))


def test_the_gradient_of_the_true_logit_is_minus_its_weights():
    model = linear([[1.0, -2.0, 0.5, 1.0], [3.0, 3.0, -3.0, 3.0]])
    gradient, _ = attacks.input_gradient(model, FOUR, torch.tensor([1]), "true_logit")
    assert gradient.flatten().tolist() == [-3, -3, 3, -3]


def test_a_pixel_with_zero_gradient_stays():
    model = linear([[1.0, 0.0, -1.0, 0.0], [0.0] * 4])
    changed = attacks.fgsm(model, FOUR, torch.tensor([0]), 0.1)
    torch.testing.assert_close(changed.flatten(), torch.tensor([0.1, 0.6, 0.6, 0.9]))


def test_the_result_is_clipped_to_valid_pixels():
    model = linear([[1.0, -2.0, 0.5, 1.0], [0.0] * 4])
    changed = attacks.fgsm(model, FOUR, torch.tensor([0]), 0.55)
    torch.testing.assert_close(changed.flatten(), torch.tensor([0.0, 1.0, 0.0, 0.35]))


# --- properties --------------------------------------------------------------------------------


@given(seed=seeds, epsilon=epsilons, targeted=st.booleans(), clip=st.sampled_from(CLIPS))
def test_no_pixel_moves_further_than_epsilon(classifier, pixels, seed, epsilon, targeted, clip):
    images = pixels(2, seed)
    options = {"targeted": targeted, "clip": clip}
    changed = attacks.fgsm(classifier, images, some_labels(2), epsilon, **options)
    # The clip to the image's own range goes to normalized space and back: a few roundings more.
    slack = ULP if clip == "valid" else 4 * ULP
    assert (changed.double() - images.double()).abs().max() <= epsilon + slack
    assert changed.dtype == torch.float32


@given(seed=seeds, epsilon=epsilons, targeted=st.booleans(), clip=st.sampled_from(CLIPS))
def test_the_result_is_an_image(classifier, pixels, seed, epsilon, targeted, clip):
    options = {"targeted": targeted, "clip": clip}
    changed = attacks.fgsm(classifier, pixels(2, seed), some_labels(2), epsilon, **options)
    assert changed.min() >= 0
    assert changed.max() <= 1


@given(seed=seeds, targeted=st.booleans(), objective=st.sampled_from(sorted(attacks.OBJECTIVES)))
def test_epsilon_zero_is_the_identity(classifier, pixels, seed, targeted, objective):
    images = pixels(2, seed)
    options = {"targeted": targeted, "objective": objective}
    assert torch.equal(attacks.fgsm(classifier, images, some_labels(2), 0, **options), images)


@given(seed=seeds)
def test_epsilon_zero_is_the_identity_in_the_image_s_own_range(classifier, pixels, seed):
    images = pixels(2, seed)
    changed = attacks.fgsm(classifier, images, some_labels(2), 0, clip="image")
    # The bounds were normalized and back; that may move the extreme pixels by a rounding.
    torch.testing.assert_close(changed, images, rtol=0, atol=4 * ULP)


@given(seed=seeds, epsilon=st.floats(2 / 255, 1))
def test_every_pixel_steps_to_the_sign_or_the_edge(classifier, pixels, seed, epsilon):
    images = pixels(1, seed)
    gradient, _ = attacks.input_gradient(classifier, images, some_labels(1))
    step = attacks.fgsm(classifier, images, some_labels(1), epsilon) - images
    room = torch.where(gradient > 0, 1 - images, images).clamp(max=epsilon)
    # One rounding each in the step, the difference and the room.
    torch.testing.assert_close(step, gradient.sign() * room, rtol=0, atol=3 * ULP)


@given(seed=seeds, epsilon=st.floats(0.25 / 255, 16 / 255))
def test_a_small_step_raises_the_objective_of_a_linear_classifier(seed, epsilon):
    """Of a linear classifier's true logit exactly: by epsilon · ‖w‖₁ where nothing is clipped."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(3, 12, generator=generator)
    model = linear(weights.tolist())
    images = torch.rand(2, 3, 2, 2, generator=generator) * 0.8 + 0.1
    labels = torch.tensor([2, 0])
    changed = attacks.fgsm(model, images, labels, epsilon, objective="true_logit")
    rise = attacks.true_logit(model(changed), labels) - attacks.true_logit(model(images), labels)
    expected = epsilon * weights[labels].abs().sum().item()
    # Logits of up to about 10, rounded at 1e-6, are subtracted.
    assert rise.item() == pytest.approx(expected, abs=1e-5)


def test_one_epsilon_per_image_equals_separate_calls(classifier, pixels):
    images, labels = pixels(4), some_labels(4)
    sizes = [0.0, 1 / 255, 6 / 255, 0.3]
    together = attacks.fgsm(classifier, images, labels, torch.tensor(sizes))
    for i, size in enumerate(sizes):
        assert torch.equal(together[i], attacks.fgsm(classifier, images, labels, size)[i])


def test_the_order_of_the_batch_does_not_matter(tiny, pixels):
    classifier = tiny().double()  # float64: no sign hangs on the rounding of another batch size
    images, labels = pixels(6).double(), some_labels(6)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    straight = attacks.fgsm(classifier, images, labels, 6 / 255)
    permuted = attacks.fgsm(classifier, images[order], labels[order], 6 / 255)
    assert torch.equal(straight[order], permuted)


def test_the_size_of_the_batch_does_not_matter(tiny, pixels):
    classifier = tiny().double()
    images, labels = pixels(6).double(), some_labels(6)
    whole = attacks.fgsm(classifier, images, labels, 6 / 255)
    for i in range(6):
        alone = attacks.fgsm(classifier, images[i : i + 1], labels[i : i + 1], 6 / 255)
        assert torch.equal(whole[i : i + 1], alone)


@pytest.mark.parametrize("objective", attacks.OBJECTIVES)
def test_batch_mates_do_not_scale_a_gradient(classifier, pixels, objective):
    """The loss is summed, not averaged, and no image's gradient depends on another image."""
    images, labels = pixels(5), some_labels(5)
    together, _ = attacks.input_gradient(classifier, images, labels, objective)
    alone, _ = attacks.input_gradient(classifier, images[2:3], labels[2:3], objective)
    # Convolutions of other batch sizes add up in another order: float32 noise, no factor of 5.
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("objective", attacks.OBJECTIVES)
def test_the_gradient_is_the_slope_of_the_objective(tiny, pixels, objective):
    classifier = tiny().double()
    images, labels = pixels(1).double(), some_labels(1) + 4
    gradient, logits = attacks.input_gradient(classifier, images, labels, objective)
    torch.testing.assert_close(logits, classifier(images))
    for channel, row, column in ((0, 0, 0), (1, 7, 3), (2, 15, 8)):
        h = torch.zeros_like(images)
        h[0, channel, row, column] = 1e-6
        up, down = (
            attacks.OBJECTIVES[objective](classifier(x), labels) for x in (images + h, images - h)
        )
        # Central differences of 1e-6 in float64 are good to about 1e-9.
        slope = (up - down).item() / 2e-6
        assert gradient[0, channel, row, column].item() == pytest.approx(slope, abs=1e-8)


def test_objectives_are_those_of_torch(pixels):
    logits, labels = (
        torch.randn(4, 7, generator=torch.Generator().manual_seed(1)),
        some_labels(4, 7),
    )
    each = -logits.log_softmax(1)[range(4), labels]
    torch.testing.assert_close(attacks.cross_entropy(logits, labels), each.sum())
    torch.testing.assert_close(attacks.true_logit(logits, labels), -logits[range(4), labels].sum())


def test_targeted_steps_toward_the_target(classifier, pixels):
    images, target = pixels(4), torch.tensor([7, 7, 7, 7])
    gradient, _ = attacks.input_gradient(classifier, images, target)
    toward = attacks.fgsm(classifier, images, target, 1 / 255, targeted=True)
    assert torch.equal(toward, attacks.perturb(images, -gradient.sign(), 1 / 255))
    before, after = (classifier(x).softmax(1)[:, 7] for x in (images, toward))
    assert (after > before).all()


# --- nothing is left behind --------------------------------------------------------------------


@pytest.mark.parametrize("clip", CLIPS)
def test_inputs_are_not_changed(classifier, pixels, clip):
    images, labels, epsilon = pixels(3), some_labels(3), torch.tensor([0.0, 0.1, 0.2])
    before = images.clone(), labels.clone(), epsilon.clone()
    weights = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    attacks.fgsm(classifier, images, labels, epsilon, clip=clip)
    assert all(map(torch.equal, (images, labels, epsilon), before))
    assert all(torch.equal(classifier.state_dict()[name], weights[name]) for name in weights)


def test_no_gradient_is_left_on_images_or_weights(pixels):
    model = linear([[1.0] * 768, [0.5] * 768])  # its weights ask for gradients, unlike Classifier's
    images = pixels(2)
    changed = attacks.fgsm(model, images, some_labels(2, 2), 0.1)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert images.grad is None
    assert not images.requires_grad
    assert not changed.requires_grad


def test_images_that_ask_for_gradients_stay_leaves_without_one(classifier, pixels):
    images = pixels(2).requires_grad_(True)
    gradient, logits = attacks.input_gradient(classifier, images, some_labels(2))
    assert images.grad is None
    assert images.requires_grad
    assert images.is_leaf
    assert not gradient.requires_grad
    assert not logits.requires_grad


@pytest.mark.parametrize("clip", CLIPS)
def test_the_result_is_detached_from_images_that_ask_for_gradients(classifier, pixels, clip):
    images = pixels(2).requires_grad_(True)
    assert not attacks.fgsm(classifier, images, some_labels(2), 0.1, clip=clip).requires_grad


def test_the_mode_stays(classifier, pixels):
    attacks.fgsm(classifier, pixels(1), some_labels(1), 0.1)
    assert not any(module.training for module in classifier.modules())


def test_it_works_where_gradients_are_switched_off(classifier, pixels):
    expected = attacks.fgsm(classifier, pixels(2), some_labels(2), 0.1)
    with torch.no_grad():
        assert torch.equal(attacks.fgsm(classifier, pixels(2), some_labels(2), 0.1), expected)
        assert not torch.is_grad_enabled()


# --- what is refused ---------------------------------------------------------------------------


def test_training_mode_is_refused(tiny, pixels):
    classifier = tiny().train()
    with pytest.raises(ValueError, match="training mode"):
        attacks.fgsm(classifier, pixels(1), some_labels(1), 0.1)


def test_a_part_in_training_mode_is_refused(tiny, pixels):
    classifier = tiny()
    classifier.network.train()
    with pytest.raises(ValueError, match="training mode"):
        attacks.fgsm(classifier, pixels(1), some_labels(1), 0.1)


@pytest.mark.parametrize("wrong", [-0.1, math.nan, torch.tensor([0.1, -0.1])])
def test_an_epsilon_below_zero_or_no_number_is_refused(classifier, pixels, wrong):
    with pytest.raises(ValueError, match="epsilon is"):
        attacks.fgsm(classifier, pixels(2), some_labels(2), wrong)


def test_an_infinite_epsilon_is_refused(classifier, pixels):
    """Infinity times a zero gradient is no pixel value."""
    with pytest.raises(ValueError, match="epsilon is"):
        attacks.fgsm(classifier, pixels(2), some_labels(2), math.inf)


# --- the original page's formula ---------------------------------------------------------------


def original_page(classifier, image, label, epsilon, clamp_to_image):
    """The original page's attack: one image, in normalized space, with epsilon / std.

    ``F.nll_loss`` gets raw logits there; ``clamp_to_image`` is its clip to the image's own range.
    """
    mean, std = classifier.mean[0], classifier.std[0]
    image = ((image - mean) / std).requires_grad_(True)
    loss = F.nll_loss(classifier.network(image[None]), torch.tensor([label]))
    (gradient,) = torch.autograd.grad(loss, image)
    image = image.detach()
    tilde = image + epsilon / std * gradient.sign()
    if clamp_to_image:
        tilde = torch.clamp(tilde, image.min(), image.max())
    tilde = torch.min(torch.max(tilde, (0 - mean) / std), (1 - mean) / std)
    return tilde * std + mean


@pytest.mark.parametrize("epsilon_255", [0, 0.5, 6, 20, 128])
@pytest.mark.parametrize(("clip", "clamp_to_image"), [("image", True), ("valid", False)])
def test_it_equals_the_original_page(tiny, pixels, epsilon_255, clip, clamp_to_image):
    classifier = tiny(3).double()  # float64: the same sign for the same gradient
    images, labels = (pixels(4).double() * 0.6 + 0.3).clamp(max=1), [1, 2, 3, 4]
    ours = attacks.fgsm(
        classifier,
        images,
        torch.tensor(labels),
        epsilon_255 / 255,
        objective="true_logit",
        clip=clip,
    )
    theirs = [
        original_page(classifier, image, label, epsilon_255 / 255, clamp_to_image)
        for image, label in zip(images, labels, strict=True)
    ]
    # Normalizing and back costs a few roundings of float64.
    torch.testing.assert_close(ours, torch.stack(theirs), rtol=0, atol=1e-12)


def test_the_two_clips_differ_where_an_image_uses_part_of_the_range(tiny, pixels):
    classifier, images = tiny(), pixels(1) * 0.4 + 0.3
    valid, image = (
        attacks.fgsm(classifier, images, some_labels(1), 0.2, clip=clip) for clip in CLIPS
    )
    assert valid.max() > image.max()
    assert valid.min() < image.min()


def test_the_image_s_range_is_taken_over_all_channels():
    """Each channel gets its own bounds in pixel space, from one range in normalized space."""
    classifier = Classifier(torch.nn.Identity(), [], mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.4))
    image = torch.full((1, 3, 2, 2), 0.5)
    image[0, 0, 0, 0] = 0.4  # normalized -1, the minimum
    image[0, 1, 0, 0] = 0.6  # normalized 0.5, the maximum
    low, high = attacks.clip_bounds(image, classifier, "image")
    torch.testing.assert_close(low.flatten(), torch.tensor([0.4, 0.3, 0.1]))
    torch.testing.assert_close(high.flatten(), torch.tensor([0.55, 0.6, 0.7]))


# --- random signs ------------------------------------------------------------------------------


def test_random_signs_are_plus_or_minus_one(pixels):
    image = pixels(1)[0]
    signs = attacks.random_signs(image, seed=766)
    assert signs.shape == image.shape
    assert signs.dtype == image.dtype
    assert set(signs.unique().tolist()) == {-1.0, 1.0}


def test_random_signs_are_a_fair_coin():
    signs = attacks.random_signs(torch.zeros(3, 100, 100), seed=1)
    # The mean of 30 000 fair signs has a standard deviation of 0.006; this allows five of them.
    assert abs(signs.mean().item()) < 0.03


def test_random_signs_depend_on_the_seed_alone(pixels):
    first = attacks.random_signs(pixels(1, seed=1)[0], seed=5)
    torch.rand(3)  # whatever else is drawn meanwhile
    assert torch.equal(first, attacks.random_signs(pixels(1, seed=2)[0], seed=5))
    assert not torch.equal(first, attacks.random_signs(pixels(1, seed=1)[0], seed=6))


def test_random_signs_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    attacks.random_signs(torch.zeros(3, 4, 4), seed=0)
    assert torch.equal(torch.get_rng_state(), state)


# --- eight bits --------------------------------------------------------------------------------


def test_eight_bits_keep_every_value_of_a_file():
    values = torch.arange(256, dtype=torch.uint8).float() / 255  # as torchvision's ToTensor
    assert torch.equal(attacks.eight_bit(values), values)


@pytest.mark.parametrize(("step", "kept"), [(0.4, 0), (0.6, 1), (-0.4, 0), (3.7, 4)])
def test_eight_bits_round_to_the_nearest_value(step, kept):
    value = torch.tensor([100 / 255])
    assert torch.equal(attacks.eight_bit(value + step / 255) * 255, torch.tensor([100.0 + kept]))

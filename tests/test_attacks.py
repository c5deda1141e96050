"""What the attack promises, by hand, by property and beside three other implementations."""

import math
import re

import networks
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from networks import Around, refused
from torch import nn

from fgsm_lib import attacks

WEIGHTS = [1.0, -2.0, 0.5, 1.0], [0.0] * 4
FOUR = torch.tensor([0.2, 0.6, 0.5, 0.9]).view(1, 1, 2, 2)
ROUNDING = {torch.float32: 1e-7, torch.float64: 1e-12}

epsilons = st.one_of(
    st.sampled_from([0.0, 0.1 / 255, 1 / 255, 6 / 255, 0.5, 1.0]), st.floats(0, 1, width=32)
)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def classifier(tiny):
    return tiny()


# --- by hand -------------------------------------------------------------------------------------


def test_the_example_of_four_pixels():
    """z_0 = x_1 - 2 x_2 + x_3 / 2 + x_4 = 0.15, so p_0 = .537; of class 1 .463 and then .574."""
    model = networks.linear(*WEIGHTS)
    changed = attacks.fgsm(model, FOUR, [0], 0.1)
    torch.testing.assert_close(changed.flatten(), torch.tensor([0.1, 0.7, 0.4, 0.8]))
    assert torch.equal(attacks.fgsm(model, FOUR, [1], 0.1, targeted=True), changed)
    gradient, _ = attacks.input_gradient(model, FOUR, [0], "true_logit")
    assert gradient.flatten().tolist() == [-1, 2, -0.5, -1]
    before, after = (model(x).softmax(1)[0] for x in (FOUR, changed))
    assert before.max().item() == before[0].item() == pytest.approx(0.537, abs=5e-4)
    assert after.max().item() == after[1].item() == pytest.approx(0.574, abs=5e-4)


def test_what_is_zero_stays_and_what_leaves_the_range_is_clipped():
    model = networks.linear([1.0, 0.0, -1.0, 0.0], [0.0] * 4)
    changed = attacks.fgsm(model, FOUR, [0], 0.55)
    torch.testing.assert_close(changed.flatten(), torch.tensor([0, 0.6, 1, 0.9]))


def test_one_epsilon_per_item_of_any_shape():
    """(4, 20), where each row moves by its own ε and the shape stays."""
    images = torch.full((4, 20), 0.5)
    for sizes in (each := [0, 0.1, 0.2, 0.4], np.array(each), torch.tensor(each).view(4, 1)):
        changed = attacks.fgsm(networks.linear([1.0] * 20, [-1.0] * 20), images, [0] * 4, sizes)
        assert changed.shape == (4, 20)
        torch.testing.assert_close(changed[:, 3], torch.tensor([0.5, 0.4, 0.3, 0.1]))


class Valley(torch.nn.Module):
    """One pixel x; z_0 = (x - 0.5)², z_1 = 0. Its slope changes sign at 0.5."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        square = (images.flatten(1) - 0.5).square()
        return torch.cat([square, torch.zeros_like(square)], dim=1)


def test_small_steps_turn_where_the_slope_does_and_stop_at_the_ball():
    """From 0.7 by 0.15: 0.55, past 0.5 to 0.4, back to 0.55; within 0.2 the second ends at 0.5."""
    valley, pixel = Valley().eval(), torch.tensor([[0.7]])
    ends = [attacks.pgd(valley, pixel, [0], 0.3, steps=n, step_size=0.15).item() for n in (1, 2, 3)]
    assert ends == pytest.approx([0.55, 0.4, 0.55])
    assert attacks.fgsm(valley, pixel, [0], 0.3).item() == pytest.approx(0.4)
    end = attacks.pgd(valley, pixel, [0], 0.2, steps=2, step_size=0.15)
    assert end.item() == pytest.approx(0.5)
    start = torch.full_like(pixel, -1.0)  # from 0.7 - 0.3 it climbs down the other side
    end = attacks.pgd(valley, pixel, [0], 0.3, steps=1, step_size=0.05, start=start)
    assert end.item() == pytest.approx(0.45)


# --- properties ----------------------------------------------------------------------------------


@given(
    seed=seeds,
    epsilon=epsilons,
    dtype=st.sampled_from([*ROUNDING]),
    shape=st.sampled_from([(20,), (1, 28, 28), (3, 8, 12), (2, 3, 4, 5)]),
    each=st.booleans(),
    options=st.fixed_dictionaries(
        {"targeted": st.booleans(), "objective": st.sampled_from(sorted(attacks.OBJECTIVES))}
    ),
)
def test_an_image_no_further_than_epsilon(pixels, seed, epsilon, dtype, shape, each, options):
    """‖x̃ - x‖∞ ≤ ε for any dtype and shape, in one step or in three."""
    images = pixels(2, seed, shape).to(dtype)
    model = networks.linear(*pixels(3, seed + 1, (math.prod(shape),)).sub(0.5).tolist()).to(dtype)
    sizes = torch.tensor([epsilon, epsilon / 2]) if each else epsilon
    most = torch.as_tensor(sizes, dtype=torch.float64).reshape(-1, *[1] * len(shape))
    start = torch.stack([attacks.random_start(x, seed) for x in images]).double()
    for changed in (
        attacks.fgsm(model, images, [0, 2], sizes, **options),
        attacks.pgd(model, images, [0, 2], sizes, steps=3, step_size=sizes, start=start, **options),
    ):
        assert changed.dtype == dtype
        assert changed.shape == images.shape
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert ((changed.double() - images.double()).abs() <= most + ROUNDING[dtype]).all()


@given(seed=seeds, epsilon=epsilons, clip=st.sampled_from(["valid", "image"]))
def test_either_clip_keeps_to_epsilon_and_zero_is_nothing(classifier, pixels, seed, epsilon, clip):
    images = pixels(2, seed)
    changed = attacks.fgsm(classifier, images, [0, 3], epsilon, clip=clip)
    assert (changed.double() - images.double()).abs().max() <= epsilon + 1e-7
    assert torch.equal(attacks.fgsm(classifier, images, [0, 3], 0, clip=clip), images)


@given(seed=seeds, epsilon=st.floats(0.25 / 255, 16 / 255))
def test_a_step_raises_the_objective_of_a_linear_classifier_by_epsilon_times_l1(seed, epsilon):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(3, 12, generator=generator)
    model = networks.linear(*weights.tolist())
    images, labels = torch.rand(2, 3, 2, 2, generator=generator) * 0.8 + 0.1, torch.tensor([2, 0])
    changed = attacks.fgsm(model, images, labels, epsilon, objective="true_logit")
    rise = attacks.true_logit(model(changed), labels) - attacks.true_logit(model(images), labels)
    # Logits of up to about 10, rounded at 1e-6, are subtracted.
    assert rise.item() == pytest.approx(epsilon * weights[labels].abs().sum().item(), abs=1e-5)


@given(seed=seeds, epsilon=epsilons, objective=st.sampled_from(sorted(attacks.OBJECTIVES)))
def test_one_whole_step_of_bim_is_fgsm(classifier, pixels, seed, epsilon, objective):
    images, options = pixels(2, seed), {"objective": objective}
    one = attacks.pgd(classifier, images, [0, 3], epsilon, steps=1, step_size=epsilon, **options)
    assert torch.equal(one, attacks.fgsm(classifier, images, [0, 3], epsilon, **options))


@pytest.mark.parametrize("objective", attacks.OBJECTIVES)
def test_the_gradient_is_the_slope_and_does_not_depend_on_batch_mates(tiny, pixels, objective):
    classifier, images = tiny().double(), pixels(4).double()
    labels = torch.tensor([0, 3, 6, 9])
    together, logits = attacks.input_gradient(classifier, images, labels, objective)
    torch.testing.assert_close(logits, classifier(images))
    alone, _ = attacks.input_gradient(classifier, images[2:3], labels[2:3], objective)
    torch.testing.assert_close(together[2:3], alone)
    step = torch.zeros_like(images)
    step[2, 1, 7, 3] = 1e-6
    up, down = (
        attacks.OBJECTIVES[objective](classifier(x), labels) for x in (images + step, images - step)
    )
    # Central differences of 1e-6 in float64 are good to about 1e-9.
    assert together[2, 1, 7, 3].item() == pytest.approx((up - down).item() / 2e-6, abs=1e-8)


@pytest.mark.parametrize("epsilon_255", [0.5, 128])
@pytest.mark.parametrize("clip", ["image", "valid"])
def test_it_equals_the_original_page(tiny, pixels, epsilon_255, clip):
    """Its attack: one image, in normalized space, ε / σ, nll_loss on logits, its extra clip."""
    classifier = tiny(3).double()  # float64: the same sign for the same gradient
    mean, std = classifier.mean[0], classifier.std[0]
    images, labels = (pixels(3).double() * 0.6 + 0.3).clamp(max=1), torch.tensor([1, 2, 3])
    options = {"objective": "true_logit", "clip": clip}
    ours = attacks.fgsm(classifier, images, labels, epsilon_255 / 255, **options)
    for i in range(3):
        image = ((images[i] - mean) / std).requires_grad_(True)
        loss = F.nll_loss(classifier.network(image[None]), labels[i : i + 1])
        (gradient,) = torch.autograd.grad(loss, image)
        tilde = image.detach() + epsilon_255 / 255 / std * gradient.sign()
        if clip == "image":
            tilde = tilde.clamp(image.min(), image.max())
        tilde = torch.min(torch.max(tilde, (0 - mean) / std), (1 - mean) / std) * std + mean
        # Normalizing and back costs a few roundings.
        torch.testing.assert_close(ours[i], tilde, rtol=0, atol=1e-7)


# --- nothing is left behind ----------------------------------------------------------------------


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_images_and_network_stay_as_they_were(pixels, attack):
    model = networks.seeded().eval()
    model[0].weight.requires_grad_(False)
    images, labels = pixels(2).requires_grad_(True), torch.tensor([0, 3])
    things = [images, labels, epsilon := torch.rand(2) / 9, *model.parameters()]
    before = [thing.detach().clone() for thing in things]
    asked = [thing.requires_grad for thing in things]
    steps = {} if attack == "fgsm" else {"steps": 2, "step_size": 0.01}
    changed = getattr(attacks, attack)(model, images, labels, epsilon, **steps)
    assert not changed.requires_grad
    assert all(map(torch.equal, things, before))
    assert [thing.requires_grad for thing in things] == asked
    assert all(thing.grad is None for thing in things)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_switched_off(classifier, pixels, off):
    expected = attacks.fgsm(classifier, pixels(2), [0, 3], 0.1)
    with off():
        images = pixels(2)
        assert torch.equal(attacks.fgsm(classifier, images, [0, 3], 0.1), expected)
        assert not torch.is_grad_enabled()
    assert torch.equal(attacks.fgsm(classifier, images, [0, 3], 0.1), expected)


# --- what works, and what is refused -------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [[0, 3], (0, 3), np.array([0, 3], np.uint16), torch.tensor([0, 3], dtype=torch.int32),
     pd.Series([0, 3], index=[7, 8]), [torch.tensor(0), np.int8(3)]],
)  # fmt: skip
def test_labels_may_be_any_whole_numbers(classifier, pixels, labels):
    expected = attacks.fgsm(classifier, pixels(2), torch.tensor([0, 3]), 0.1)
    assert torch.equal(attacks.fgsm(classifier, pixels(2), labels, 0.1), expected)


IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
PLAIN = networks.seeded().eval()
WRONG = [
    *(({"labels": wrong}, "labels is .*; expected 2 whole numbers from 0 to 9") for wrong in (
        [0.0, 3.0], torch.tensor([0.0, 3.0]), [True, False], ["0", "3"], None, 0, [0], [0, 10],
        [-1, 0], [[0], [3]], [0, 1, 2], torch.eye(2),
    )),
    *(({"epsilon": wrong}, "epsilon is .*; expected a fraction of .* one for each of 2 images")
      for wrong in (
        8, -0.1, math.nan, math.inf, 10**400, "0.1", None, [0.1, -0.1], [0.1] * 3, [], 1j,
    )),
    *(({"steps": wrong}, "steps is .*; expected a whole number above 0")
      for wrong in (0, -1, 1.5, True, None, "2")),
    *(({"step_size": wrong}, "step_size is .*; expected a f") for wrong in (8, None, [0.1] * 3)),
    *(({"start": wrong}, "start .*; expected") for wrong in (
        0.5, IMAGES[:1], IMAGES * 2, IMAGES * math.nan,
    )),
    *(({"targeted": wrong}, "targeted is .*; expected True or False") for wrong in ("no", None, 1)),
    *(({"images": wrong}, f"images is .*{said}.*; expected a batch .* floats in \\[0, 1\\]")
      for wrong, said in (
        (IMAGES * 255, r"from 0\.\d+ to 25\d\."), (IMAGES - 0.5, "from -0"),
        (IMAGES * math.nan, "nan"), (IMAGES.byte(), "uint8"), (IMAGES.half(), "float16"),
        (IMAGES.numpy(), "ndarray"), (IMAGES.flatten(), r"\(1536,\)"), (IMAGES[:0], r"\(0, 3"),
        (IMAGES.to_sparse(), "sparse"), (IMAGES.to("meta"), "meta"),
    )),
    *(({"objective": wrong}, f"objective is {re.escape(repr(wrong))}; expected 'cross_entropy' or")
      for wrong in ("nll", None, F.cross_entropy)),
    ({"clip": "foo"}, "clip is 'foo'; expected 'valid' or 'image'"),
    ({"clip": np.zeros((2, 2))}, "clip is array"),
    ({"classifier": PLAIN, "clip": "image"}, "Sequential has no mean and std"),
    ({"classifier": lambda x: x}, "classifier is a function"),
    ({"classifier": networks.seeded(channels=1).eval()}, r"not take images of shape \(2, 3, 16"),
    ({"classifier": networks.seeded().double().eval()}, "torch.float32"),
    ({"classifier": nn.Identity().eval()}, r"torch.float32 of shape \(2, 3, 16, 16\) for 2 images"),
    ({"classifier": nn.Sequential(nn.Flatten(), nn.Linear(768, 1)).eval()}, "two classes or more"),
    ({"classifier": Around(networks.seeded(), after=lambda z: (z, z)).eval()}, "returned tuple"),
    ({"classifier": nn.Sequential(networks.seeded().eval()[:2], nn.Dropout())}, "training mode"),
    ({"images": IMAGES[0]}, "for 3 images"),
    ({"images": IMAGES[0], "classifier": PLAIN}, r"\(3, 16, 16\)"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_attacked_is_refused(classifier, change, said):
    attack, options = attacks.fgsm, {"labels": [0, 3], "epsilon": 0.1}
    if change.keys() & {"steps", "step_size", "start"}:
        attack, options = attacks.pgd, {**options, "steps": 1, "step_size": 0.1}
    options |= {"classifier": classifier, "images": IMAGES, **change}
    assert re.search(said, refused(attack, **options))


@pytest.mark.parametrize(
    "before",
    [torch.Tensor.detach, lambda x: torch.from_numpy((x.detach() * 8).round().numpy()) / 8],
)
@pytest.mark.parametrize("frozen", [True, False])
def test_an_answer_that_does_not_depend_on_the_pixels_is_refused(pixels, before, frozen):
    model = Around(networks.seeded(), before).eval().requires_grad_(not frozen)
    assert "does not depend on the pixels" in refused(attacks.fgsm, model, pixels(2), [0, 3], 0.1)


def test_a_gradient_that_is_no_number_names_the_image(pixels):
    """sign(NaN) is 0, which would pass for an attack that was resisted."""
    steep = Around(networks.seeded(), lambda x: x + (x - x).sqrt()).eval()
    assert "gradient at image 0 is" in refused(attacks.fgsm, steep, pixels(2), [0, 3], 0.1)
    cone = Around(networks.seeded(), lambda x: x * (x - 0.5).square().sum((1, 2, 3), True).sqrt())
    images = torch.cat([pixels(1), torch.full((1, 3, 16, 16), 0.5)])  # the tip of the cone
    assert "gradient at image 1 is" in refused(attacks.fgsm, cone.eval(), images, [0, 3], 0.1)


# --- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [attacks.random_signs, attacks.random_start])
def test_random_directions_depend_on_the_seed_alone(pixels, draw):
    image, state = pixels(1, shape=(3, 100, 100))[0], torch.get_rng_state()
    first = draw(image, seed=5)
    assert first.abs().max() <= 1
    assert first.abs().min() == 1 or draw is attacks.random_start
    assert abs(first.mean().item()) < 0.03  # of 30 000 fair signs within 0.006, times five
    assert torch.equal(first, draw(image / 2, seed=5))
    assert not torch.equal(first, draw(image, seed=6))
    assert torch.equal(torch.get_rng_state(), state)


def test_eight_bits_are_what_a_file_keeps():
    values = torch.arange(256, dtype=torch.uint8).float() / 255  # as torchvision's ToTensor
    assert torch.equal(attacks.eight_bit(values), values)
    steps = torch.tensor([0.4, 0.6, -0.4, 3.7])
    kept = attacks.eight_bit((100 + steps) / 255) * 255 - 100
    torch.testing.assert_close(kept, torch.tensor([0.0, 1, 0, 4]), rtol=0, atol=1e-4)


# --- beside other implementations ----------------------------------------------------------------


def by_foolbox(classifier, images, labels, epsilon, steps, size):
    foolbox = pytest.importorskip("foolbox")
    kind, options = foolbox.attacks.LinfFastGradientAttack, {}
    if steps > 1:
        kind, options = foolbox.attacks.LinfPGD, {"abs_stepsize": size, "steps": steps}
    model = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    return kind(random_start=False, **options)(model, images, labels, epsilons=epsilon)[1]


def by_torchattacks(classifier, images, labels, epsilon, steps, size):
    torchattacks = pytest.importorskip("torchattacks")
    if steps == 1:
        return torchattacks.FGSM(classifier, eps=epsilon)(images, labels)
    options = {"alpha": size, "steps": steps, "random_start": False}
    return torchattacks.PGD(classifier, eps=epsilon, **options)(images, labels)


def by_cleverhans(classifier, images, labels, epsilon, steps, size):
    name = "fast_gradient_method" if steps == 1 else "projected_gradient_descent"
    attack = getattr(pytest.importorskip(f"cleverhans.torch.attacks.{name}"), name)
    options = {"clip_min": 0, "clip_max": 1, "y": labels}
    if steps == 1:
        return attack(classifier, images, epsilon, math.inf, **options)
    return attack(classifier, images, epsilon, size, steps, math.inf, rand_init=False, **options)


@pytest.mark.parametrize("oracle", [by_foolbox, by_torchattacks, by_cleverhans])
@pytest.mark.parametrize(("epsilon_255", "steps"), [(0.1, 1), (60, 1), (4, 3)])
def test_other_libraries_agree(tiny, pixels, oracle, epsilon_255, steps):
    """In float64, so that no sign hangs on the order of a sum; they round ε to float32."""
    for seed in range(2):
        classifier, images = tiny(seed).double(), pixels(4, seed).double()
        labels, epsilon, size = torch.tensor([0, 3, 5, 9]), epsilon_255 / 255, epsilon_255 / 255 / 2
        theirs = oracle(classifier, images, labels, epsilon, steps, size)
        ours = attacks.fgsm(classifier, images, labels, epsilon)
        if steps > 1:
            ours = attacks.pgd(classifier, images, labels, epsilon, steps=steps, step_size=size)
        torch.testing.assert_close(ours, theirs.double(), rtol=0, atol=2e-7)

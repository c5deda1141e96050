"""Pixel-for-pixel agreement with three independent implementations: foolbox, torchattacks and ART.

All take the sign of the same gradient. They may differ by float rounding, and where the
gradient is zero up to rounding: there its sign is an accident of the order of summation.
"""

from pathlib import Path

import pytest
import torch

from fgsm_lib import attacks
from fgsm_lib.classifiers import load_classifier  # brings torchvision, before the other two
from fgsm_lib.datasets import PhotoDataset, read_class_names

foolbox = pytest.importorskip("foolbox")
torchattacks = pytest.importorskip("torchattacks")
art_attacks = pytest.importorskip("art.attacks.evasion")
art_estimators = pytest.importorskip("art.estimators.classification")

SHARED = Path(__file__).resolve().parents[2] / "shared"
PHOTOGRAPHS = SHARED / "nips2017"
WEIGHTS = SHARED / "models" / "squeezenet1_0-imagenet.safetensors"

EPSILONS = [0.1 / 255, 1 / 255, 6 / 255, 60 / 255]


def by_foolbox(classifier, images, labels, epsilon):
    model = foolbox.PyTorchModel(classifier, bounds=(0, 1))
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    _, changed, _ = attack(model, images, labels, epsilons=epsilon)
    return changed


def by_torchattacks(classifier, images, labels, epsilon, targeted=False):
    attack = torchattacks.FGSM(classifier, eps=epsilon)
    if targeted:
        attack.set_mode_targeted_by_function(lambda _, targets: targets)
    return attack(images, labels)


def art_classifier(classifier, images):
    return art_estimators.PyTorchClassifier(
        model=classifier,
        loss=torch.nn.CrossEntropyLoss(reduction="sum"),
        input_shape=tuple(images.shape[1:]),
        nb_classes=len(classifier.class_names),
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


def by_art(classifier, images, labels, epsilon, targeted=False):
    attack = art_attacks.FastGradientMethod(
        art_classifier(classifier, images), eps=epsilon, targeted=targeted
    )
    return torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


ORACLES = [by_foolbox, by_torchattacks, by_art]


def assert_same_images(ours, theirs, gradient):
    # 1.0 + 6e-8 is the next float32: adding, projecting (foolbox) and clipping round a few times.
    different = (ours - theirs).abs() > 2e-7
    # float32 sums of gradients are good to about 1e-6 of the image's largest.
    largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
    unsigned = gradient.abs() <= 1e-6 * largest
    assert not (different & ~unsigned).any()
    # Not an excuse for all: a hundredth of the pixels at most.
    assert different.float().mean() < 0.01


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_on_random_networks_and_images(tiny, pixels, oracle, epsilon, seed):
    classifier, images = tiny(seed), pixels(4, seed)
    labels = torch.tensor([0, 3, 5, 9])
    gradient, _ = attacks.input_gradient(classifier, images, labels)
    ours = attacks.fgsm(classifier, images, labels, epsilon)
    assert_same_images(ours, oracle(classifier, images, labels, epsilon), gradient)


@pytest.mark.parametrize("oracle", [by_torchattacks, by_art])
def test_targeted(tiny, pixels, oracle):
    """Against two only; foolbox's FGSM has no targeted form."""
    classifier, images = tiny(), pixels(4)
    targets = torch.tensor([8, 8, 1, 1])
    gradient, _ = attacks.input_gradient(classifier, images, targets)
    ours = attacks.fgsm(classifier, images, targets, 6 / 255, targeted=True)
    theirs = oracle(classifier, images, targets, 6 / 255, targeted=True)
    assert_same_images(ours, theirs, gradient)


def iterated_by_torchattacks(classifier, images, labels, epsilon, steps, size):
    kind = torchattacks.PGD(classifier, eps=epsilon, alpha=size, steps=steps, random_start=False)
    return kind(images, labels)


def iterated_by_art(classifier, images, labels, epsilon, steps, size):
    attack = art_attacks.ProjectedGradientDescentPyTorch(
        art_classifier(classifier, images),
        eps=epsilon,
        eps_step=size,
        max_iter=steps,
        num_random_init=0,
        verbose=False,
    )
    return torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


@pytest.mark.parametrize("oracle", [iterated_by_torchattacks, iterated_by_art])
@pytest.mark.parametrize(("steps", "size"), [(1, 1 / 255), (3, 1 / 255), (5, 2 / 255)])
def test_small_steps(tiny, pixels, oracle, steps, size):
    """BIM, and PGD from the image itself. foolbox's iterates: test_iterative_attacks.py."""
    classifier, images = tiny(), pixels(4)
    labels = torch.tensor([0, 3, 5, 9])
    ours = attacks.bim(classifier, images, labels, 4 / 255, steps=steps, step_size=size)
    theirs = oracle(classifier, images, labels, 4 / 255, steps, size)
    # A sign that is an accident of rounding (see above) moves a pixel by two steps at most.
    different = (ours - theirs).abs() > 2e-7 * steps
    assert different.float().mean() < 0.002
    assert (ours - theirs).abs().max() <= 2 * size * steps + 1e-6


@pytest.mark.parametrize("oracle", [iterated_by_torchattacks, iterated_by_art])
def test_a_random_start(tiny, pixels, oracle):
    """PGD from where the oracle is told to start: both walk on from the same image."""
    classifier, images = tiny(), pixels(4)
    labels, epsilon = torch.tensor([0, 3, 5, 9]), 4 / 255
    start = torch.stack([attacks.random_start(x, seed) for seed, x in enumerate(images)])
    begun = attacks.perturb(images, start, epsilon)
    ours = attacks.pgd(classifier, images, labels, epsilon, start, steps=1, step_size=epsilon / 4)
    theirs = oracle(classifier, begun, labels, epsilon, 1, epsilon / 4)
    inside = attacks.perturb(images, -1, epsilon), attacks.perturb(images, 1, epsilon)
    theirs = theirs.clamp(*inside)  # the ball is around the image, not around the start
    assert ((ours - theirs).abs() > 4e-7).float().mean() < 0.002


@pytest.fixture(scope="module")
def squeezenet():
    for needed in (PHOTOGRAPHS, WEIGHTS):
        if not needed.exists():
            pytest.skip(f"needs real photographs and weights: no ../shared/{needed.name}")
    classifier = load_classifier("squeezenet1_0", read_class_names(PHOTOGRAPHS), WEIGHTS)
    return classifier, PhotoDataset(PHOTOGRAPHS, classifier.to_pixels)


@pytest.mark.parametrize("oracle", ORACLES)
def test_on_real_photographs(squeezenet, oracle):
    classifier, dataset = squeezenet
    pixels, labels = zip(*(dataset[sample] for sample in (766, 132, 528)), strict=True)
    images, labels = torch.stack(pixels), torch.tensor(labels)
    gradient, _ = attacks.input_gradient(classifier, images, labels)
    ours = attacks.fgsm(classifier, images, labels, 4 / 255)
    assert_same_images(ours, oracle(classifier, images, labels, 4 / 255), gradient)

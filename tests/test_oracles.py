"""Pixel-for-pixel agreement with two independent implementations, foolbox and torchattacks.

All three take the sign of the same gradient. They may differ by float rounding, and where the
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


ORACLES = [by_foolbox, by_torchattacks]


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


def test_targeted(tiny, pixels):
    """Against torchattacks only; foolbox's FGSM has no targeted form."""
    classifier, images = tiny(), pixels(4)
    targets = torch.tensor([8, 8, 1, 1])
    gradient, _ = attacks.input_gradient(classifier, images, targets)
    ours = attacks.fgsm(classifier, images, targets, 6 / 255, targeted=True)
    theirs = by_torchattacks(classifier, images, targets, 6 / 255, targeted=True)
    assert_same_images(ours, theirs, gradient)


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

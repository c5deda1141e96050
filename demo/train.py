"""How the classifier of the toys is trained and measured: a recipe in three stages, evaluation."""

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from render import HARDNESS, in_processes, label_of, preprocessed, scene_of
from scene import CLASS_NAMES, PATTERNS
from tqdm import tqdm

from fgsm_lib import analysis
from fgsm_lib.classifiers import IMAGENET_MEAN, IMAGENET_STD, Classifier, models, transforms
from fgsm_lib.datasets import torch_dataset
from fgsm_lib.pictures import Pictures
from fgsm_lib.store import sweep
from fgsm_lib.sweep import SweepSettings

ARCHITECTURE = "mobilenet_v3_small"
WEIGHT_DECAY = 0.02
TEMPERATURE = 1.3
TRAIN_SEED, VALIDATION_SEED = 1, 2
normalize = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)


@dataclass(frozen=True)
class Stage:
    """One run of the optimizer."""

    name: str
    count: int  # of pictures
    size: int  # their side in pixels
    crop: int
    steps: int
    batch: int
    rate: float  # the peak of the learning rate
    warmup: float  # the share of the steps in which the rate rises
    easy_first: bool = False
    attack_255: float = 0.0  # the largest epsilon of the FGSM copies, in units of 1/255


STAGES = (
    # Most of the learning happens where a step is cheap. Faint and hidden toys teach a network
    # nothing before it has seen clear ones.
    Stage("small pictures", 20_000, 146, 128, 2000, 64, 4e-3, 0.10, easy_first=True),
    Stage("full size", 8_000, 256, 224, 260, 64, 1.2e-3, 0.05),
    # Without this stage hardly any picture survives a step of one gray level.
    Stage("light adversarial", 8_000, 256, 224, 360, 48, 1e-3, 0.05, attack_255=2.0),
)


Split = tuple[np.ndarray, np.ndarray, np.ndarray]


@lru_cache(maxsize=2)  # the last two stages train on one split, of 1.6 GB
def load_split(seed: int, count: int, size: int, hardness: float) -> Split:
    """Render pictures for training or validation; each split has a seed, so none shares a picture.

    Returns:
        Pixels (N, size, size, 3) uint8, labels (N,) int64, difficulties (N,) float64 in [0, 1].
    """
    pixels = np.empty((count, size, size, 3), np.uint8)
    make = partial(preprocessed, seed, hardness, size)
    for index, made in enumerate(in_processes(make, count, f"pictures of {size} px")):
        pixels[index] = made
    labels = [label_of(seed, index) for index in range(count)]
    difficulties = [scene_of(seed, index, hardness).difficulty for index in range(count)]
    return pixels, np.array(labels), np.array(difficulties)


def train(seed: int = 0, hardened: bool = True) -> tuple[torch.nn.Module, list[dict]]:
    """All stages: the network, and how it did on the validation split after each at full size.

    Without ``hardened``, the last stage has as many steps, on clean pictures alone.
    """
    network = new_network(seed).to("cuda" if torch.cuda.is_available() else "cpu")
    scores = []
    for stage in STAGES:
        stage = stage if hardened else replace(stage, attack_255=0.0)
        train_stage(network, stage, load_split(TRAIN_SEED, stage.count, stage.size, 1.0), seed)
        if stage.size == 256:  # at another size the network is not at home yet
            pixels, labels, _ = load_split(VALIDATION_SEED, 1000, 256, HARDNESS)
            pictures = torch_dataset(list(zip(pixels, labels, strict=True)), CLASS_NAMES)
            classifier = Classifier(with_temperature(network), CLASS_NAMES)
            scores.append(measure(classifier, pictures, epsilon_255=(1,)))
            print(f"{stage.name}: on the validation split {scores[-1]}")
    return network, scores


def new_network(seed: int) -> torch.nn.Module:
    """The untrained network."""
    torch.manual_seed(seed)
    network = models.get_model(ARCHITECTURE, num_classes=len(CLASS_NAMES))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.1  # torchvision's 0.01 averages over more steps than we take
    return network.to(memory_format=torch.channels_last)


def train_stage(network: torch.nn.Module, stage: Stage, split: Split, seed: int) -> None:
    """Train ``network`` in place: AdamW, random crops and flips, in one order for each seed."""
    rng = np.random.default_rng([seed, stage.steps])
    device = next(network.parameters()).device
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        # Biases and the scales of batch normalization do not decay.
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_rate_factor, stage))
    network.train()
    progress = tqdm(_sampling_order(rng, split[2], stage), desc=stage.name, unit="step")
    for chosen in progress:
        images, labels = _batch(rng, split, chosen, stage.crop)
        optimizer.zero_grad()
        loss = _backward(network, images.to(device), labels.to(device), stage.attack_255, rng)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        progress.set_postfix(loss=f"{loss:.3f}")


def _rate_factor(stage, step):
    """A linear rise, then a half cosine down to a hundredth."""
    rising = max(1, int(stage.steps * stage.warmup))
    if step < rising:
        return (step + 1) / rising
    done = min(1.0, (step - rising) / max(1, stage.steps - rising))
    return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * done)))


def _sampling_order(rng, difficulties, stage):
    """Which pictures each step sees, (steps, batch).

    With ``easy_first`` the most difficult picture allowed rises from 0.3 to 1 over the first
    half of the steps.
    """
    order = np.empty((stage.steps, stage.batch), np.intp)
    for step in range(stage.steps):
        limit = min(1.0, 0.3 + 1.4 * step / stage.steps) if stage.easy_first else 1.0
        allowed = np.flatnonzero(difficulties <= limit)
        order[step] = rng.choice(allowed, stage.batch, replace=len(allowed) < stage.batch)
    return order


def _batch(rng, split, chosen, crop):
    """Random crops and flips: float32 (N, 3, crop, crop) in [0, 1] and int64 labels (N,)."""
    pixels, labels, _ = split
    slack = pixels.shape[1] - crop
    crops = np.empty((len(chosen), crop, crop, 3), np.uint8)
    for one, index in zip(crops, chosen, strict=True):
        top, left = rng.integers(0, slack + 1, 2)
        window = pixels[index, top : top + crop, left : left + crop]
        one[:] = window[:, ::-1] if rng.random() < 0.5 else window
    # The strides of (N, H, W, 3) seen as (N, 3, H, W) are already those of channels_last.
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255)
    return images, torch.from_numpy(labels[chosen])


def _backward(network, images, labels, attack_255, rng):
    """Gradients of the loss on clean images and, if asked for, on FGSM copies of them.

    The backward pass on the clean images yields the copies for free. Each image has its own
    epsilon, uniform up to the largest: the network must not specialize on one. Returns the mean
    cross-entropy on the clean images.
    """
    images = images.requires_grad_(attack_255 > 0)
    loss = F.cross_entropy(network(normalize(images)), labels)
    loss.backward()
    if attack_255 > 0:
        epsilon = rng.random((len(images), 1, 1, 1), np.float32) * (attack_255 / 255)
        step = torch.from_numpy(epsilon).to(images.device) * images.grad.sign()
        copies = (images.detach() + step).clamp(0, 1)
        F.cross_entropy(network(normalize(copies)), labels).backward()
    return loss.item()


def with_temperature(network: torch.nn.Module) -> torch.nn.Module:
    """A copy in evaluation mode whose logits are divided by ``TEMPERATURE``."""
    network = copy.deepcopy(network).eval()
    with torch.no_grad():
        for parameter in network.classifier[-1].parameters():
            parameter.div_(TEMPERATURE)
    return network


def weights_file(network: torch.nn.Module) -> bytes:
    """The weights as float16 safetensors, the temperature folded into the last layer."""
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in with_temperature(network).state_dict().items()
    }
    return safetensors.torch.save(state)


def measure(classifier: Classifier, pictures: Pictures, epsilon_255: Sequence[float]) -> dict:
    """What a classifier of toys does on clean pictures, and under FGSM at each ε.

    Returns:
        Shares of all pictures, and counts of those that are correct at first: by their confidence
        (``bins``), and by what becomes of them up to the largest ε (``fates``).
    """
    settings = SweepSettings((0, *epsilon_255))
    with tempfile.TemporaryDirectory() as folder:
        table = sweep(pictures, classifier, settings, Path(folder))
    first = analysis.clean(table)
    seen, label, kinds = first["predicted_class"], first["label"], len(PATTERNS)
    bins = {analysis.bin_name(*edges): edges for edges in analysis.ORIGINAL_BINS}
    top1 = table.groupby("epsilon_255")["correct"].mean().round(4)
    fates = analysis.fates(table, max(epsilon_255))
    shares = {
        "top1": first["correct"],
        "top5": first["correct_top5"],
        "mean_confidence": first["confidence"],
        "shape_correct": seen // kinds == label // kinds,
        "pattern_correct": seen % kinds == label % kinds,
    }
    return {
        "pictures": len(first),
        **{name: round(float(values.mean()), 4) for name, values in shares.items()},
        "bins": {name: len(analysis.initially_correct(table, *bins[name])) for name in bins},
        "top1_under_fgsm": {f"{epsilon:g}/255": float(top1[epsilon]) for epsilon in epsilon_255},
        "fates": {fate: int((fates == fate).sum()) for fate in analysis.FATES},
    }

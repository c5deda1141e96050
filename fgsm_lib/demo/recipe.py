"""How the demo classifier is trained: three stages, gradient steps, and evaluation."""

import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from fgsm_lib._torchvision import models
from fgsm_lib.classifiers import IMAGENET_MEAN, IMAGENET_STD
from fgsm_lib.demo.images import CLASS_NAMES
from fgsm_lib.demo.splits import Pictures

ARCHITECTURE = "mobilenet_v3_small"
WEIGHT_DECAY = 0.02
TEMPERATURE = 1.3
ATTACK_255 = 1.0  # the smallest step that shows in an 8-bit image, in units of 1/255


@dataclass(frozen=True)
class Stage:
    """One run of the optimizer. ``size`` and ``count`` name the pictures, see ``splits.Split``."""

    name: str
    count: int
    size: int
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
    # Without this stage hardly any picture survives a step of one grey level.
    Stage("light adversarial", 8_000, 256, 224, 360, 48, 1e-3, 0.05, attack_255=2.0),
)


def new_network(seed: int) -> torch.nn.Module:
    """The untrained network."""
    torch.manual_seed(seed)
    network = models.get_model(ARCHITECTURE, num_classes=len(CLASS_NAMES))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.1  # torchvision's 0.01 averages over more steps than we take
    return network.to(memory_format=torch.channels_last)


def normalize(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels in [0, 1], (N, 3, H, W), to the values that the network takes."""
    mean = torch.tensor(IMAGENET_MEAN, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=pixels.device).view(1, 3, 1, 1)
    return (pixels - mean) / std


def train_stage(
    network: torch.nn.Module, stage: Stage, pictures: Pictures, seed: int, quick: float = 1.0
) -> None:
    """Train ``network`` in place. ``quick`` scales the number of steps, for trying things out."""
    rng = np.random.default_rng([seed, stage.steps])
    steps = max(1, round(stage.steps * quick))
    optimizer = _optimizer(network, stage.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, stage.warmup)
    )
    order = _sampling_order(rng, pictures.difficulties, stage, steps)
    started, recent = time.monotonic(), []
    network.train()
    for step in range(steps):
        images, labels = _batch(rng, pictures, order[step], stage.crop)
        images = images.to(next(network.parameters()).device)
        labels = labels.to(images.device)
        optimizer.zero_grad()
        recent.append(_accumulate_gradients(network, images, labels, stage.attack_255, rng))
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % max(1, steps // 20) == 0:
            minutes = (time.monotonic() - started) / 60
            print(
                f"  {stage.name}: step {step + 1} of {steps}, {minutes:.1f} min, "
                f"loss {np.mean(recent):.3f}",
                flush=True,
            )
            recent.clear()


def _optimizer(network: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW; biases and the scales of batch normalization do not decay."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """A linear rise, then a half cosine down to a hundredth."""
    rising = max(1, int(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    done = min(1.0, (step - rising) / max(1, steps - rising))
    return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * done)))


def _sampling_order(
    rng: np.random.Generator, difficulties: np.ndarray, stage: Stage, steps: int
) -> np.ndarray:
    """Which pictures each step sees, (steps, batch).

    With ``easy_first`` the most difficult picture allowed rises from 0.3 to 1 over the first
    half of the steps.
    """
    order = np.empty((steps, stage.batch), np.intp)
    for step in range(steps):
        limit = min(1.0, 0.3 + 1.4 * step / steps) if stage.easy_first else 1.0
        allowed = np.flatnonzero(difficulties <= limit)
        order[step] = rng.choice(allowed, stage.batch, replace=len(allowed) < stage.batch)
    return order


def _batch(
    rng: np.random.Generator, pictures: Pictures, chosen: np.ndarray, crop: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random crops and flips: float32 (N, 3, crop, crop) in [0, 1] and int64 labels (N,)."""
    slack = pictures.pixels.shape[1] - crop
    crops = np.empty((len(chosen), crop, crop, 3), np.uint8)
    for crop_pixels, index in zip(crops, chosen, strict=True):
        top, left = rng.integers(0, slack + 1, 2)
        window = pictures.pixels[index, top : top + crop, left : left + crop]
        crop_pixels[:] = window[:, ::-1] if rng.random() < 0.5 else window
    # The strides of (N, H, W, 3) seen as (N, 3, H, W) are already those of channels_last.
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255)
    return images, torch.from_numpy(pictures.labels[chosen])


def _accumulate_gradients(
    network: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    attack_255: float,
    rng: np.random.Generator,
) -> float:
    """Gradients of the loss on clean images and, if asked for, on FGSM copies of them.

    The backward pass on the clean images yields the copies for free. Each image has its own
    epsilon, uniform up to the largest: the network must not specialize on one.

    Returns:
        The mean cross-entropy on the clean images.
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


def fold_temperature(network: torch.nn.Module, temperature: float) -> None:
    """Divide the logits by ``temperature``, by scaling the last layer in place."""
    last = network.classifier[-1]
    with torch.no_grad():
        last.weight.div_(temperature)
        last.bias.div_(temperature)


@dataclass(frozen=True)
class Score:
    """How a network does on a split."""

    top1: float
    top5: float
    confidence: float  # mean of the largest probability
    loss: float  # mean cross-entropy
    top1_attacked: float  # under FGSM at ATTACK_255

    def __str__(self) -> str:
        return (
            f"top-1 {self.top1:.3f}, top-5 {self.top5:.3f}, "
            f"mean confidence {self.confidence:.3f}, loss {self.loss:.3f}; "
            f"top-1 at {ATTACK_255:g}/255 {self.top1_attacked:.3f}"
        )


def evaluate(
    network: torch.nn.Module, pictures: Pictures, crop: int, temperature: float = TEMPERATURE
) -> Score:
    """Score center crops, before and after an FGSM step of ``ATTACK_255``."""
    network.eval()
    device = next(network.parameters()).device
    batch = 4 if device.type == "cpu" else 250  # four images stay in a CPU's cache
    edge = (pictures.pixels.shape[1] - crop) // 2
    clean, attacked = [], []
    for start in range(0, len(pictures.labels), batch):
        window = pictures.pixels[start : start + batch, edge : edge + crop, edge : edge + crop]
        images = torch.from_numpy(np.ascontiguousarray(window)).permute(0, 3, 1, 2)
        images = (images.to(device).float() / 255).requires_grad_(True)
        labels = torch.from_numpy(pictures.labels[start : start + batch]).to(device)
        logits = network(normalize(images)) / temperature
        loss = F.cross_entropy(logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images)
        with torch.no_grad():
            step = gradient.sign() * (ATTACK_255 / 255)
            attacked.append(network(normalize((images + step).clamp(0, 1))).argmax(dim=1).cpu())
        clean.append(logits.detach().cpu())
    logits = torch.cat(clean)
    labels = torch.from_numpy(pictures.labels)
    best = logits.topk(5, dim=1).indices
    return Score(
        top1=float((best[:, 0] == labels).float().mean()),
        top5=float((best == labels[:, None]).any(dim=1).float().mean()),
        confidence=float(logits.softmax(dim=1).amax(dim=1).mean()),
        loss=float(F.cross_entropy(logits, labels)),
        top1_attacked=float((torch.cat(attacked) == labels).float().mean()),
    )

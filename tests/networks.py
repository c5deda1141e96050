"""Networks for the tests: an ordinary one, and some of the odd ones that people bring."""

import copy

import pytest
import torch
from torch import nn

from fgsm_lib import InputError

COLORS = ["red", "green", "blue"]
OPTIONS = {"resize": 32, "crop": 32, "mean": (0.5,) * 3, "std": (0.25,) * 3}


def refused(function, *args, **options) -> str:
    """The one sentence with which something is refused."""
    with pytest.raises(InputError) as caught:
        function(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def copy_of(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).requires_grad_(True)


def seeded(seed: int = 0, classes: int = 10, channels: int = 3) -> nn.Module:
    """Two convolutions and a linear layer with random weights; takes images of any size."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64, classes),
        )


def linear(*weights: list[float]) -> nn.Module:
    """A classifier of flattened images, one row of weights for each class, without bias."""
    layer = nn.Linear(len(weights[0]), len(weights), bias=False)
    layer.weight.data = torch.tensor(weights)
    return nn.Sequential(nn.Flatten(), layer).eval()


class Small(nn.Module):
    """conv, bn, relu, conv, bn, relu, mean, linear; ``temperature`` divides the logits."""

    def __init__(self, classes: int = 3, channels: int = 3):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, classes)
        self.temperature = 1.0
        self.register_buffer("shift", torch.zeros(1), persistent=False)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.bn2(self.conv2(x)).relu()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3))) / self.temperature + self.shift


class Around(nn.Module):
    """A network with a function before it, after it, or both."""

    def __init__(self, network: nn.Module, before=None, after=None):
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x: torch.Tensor):
        x = self.network(self.before(x) if self.before else x)
        return self.after(x) if self.after else x


class Twice(nn.Module):
    """The same conv and bn two times over, with other statistics each time (cases, B)."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(3, 3, 3, 1, 1), nn.BatchNorm2d(3), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn(self.conv(x)).relu()
        return self.head(self.bn(self.conv(x)).mean((2, 3)))

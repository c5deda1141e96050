"""What the tests share: tiny networks, tiny sets of pictures, and a machine left as it was."""

import os

os.environ["MPLBACKEND"] = "agg"  # before matplotlib: no test opens a window

import hypothesis
import networks
import numpy as np
import pytest
import torch
from PIL import Image

from fgsm_lib.classifiers import Classifier
from fgsm_lib.datasets import class_folders
from fgsm_lib.pictures import Pictures

torch.set_num_threads(1)  # tiny networks gain nothing from more, and tests may run in parallel

# The same examples in every run, and no time limit: a busy machine is not a bug.
hypothesis.settings.register_profile("fgsm", derandomize=True, deadline=None, max_examples=30)
hypothesis.settings.load_profile("fgsm")


def pytest_collection_modifyitems(items) -> None:
    """What takes longest begins, so that of several processes none is left with it at the end."""
    first = ("test_site", "test_build", "test_live", "test_seen", "test_export")
    items.sort(key=lambda item: item.path.stem not in first)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """A test sees none of the user's settings, downloads nothing, and leaves torch as it was."""
    for name in [name for name in os.environ if name.startswith("FGSM_")]:
        monkeypatch.delenv(name)

    def offline(url, *args, **kwargs):
        raise OSError(f"a test asked for {url}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.fixture(scope="module")
def origin():
    """The address of the site in _build/html."""
    from browser import served

    with served() as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    """A browser; not for the session: while it is there, nothing else in this process can wait."""
    from browser import CHROMIUM
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as driver:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox", "--disable-gpu"]}
        yield driver.chromium.launch(**options)


@pytest.fixture(scope="session")
def tiny():
    """``tiny(seed, classes, network, **options)``: a Classifier around a tiny network."""

    def build(seed: int = 0, classes: int = 10, network=None, **options) -> Classifier:
        network = network or networks.seeded(seed, classes)
        names = [f"class {i}" for i in range(classes)]
        return Classifier(network, names, **{"resize": 16, "crop": 16} | options)

    return build


@pytest.fixture(scope="session")
def pixels():
    """``pixels(count, seed, shape)``: random images in [0, 1], some values exactly 0 or 1."""

    def build(count: int, seed: int = 0, shape: tuple[int, ...] = (3, 16, 16)) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return (torch.rand(count, *shape, generator=generator) * 1.1 - 0.05).clamp(0, 1)

    return build


def colored_noise(label: int, seed: int, size: int = 32) -> np.ndarray:
    """A picture of class 0, 1 or 2: noise in which red, green or blue is stronger; (H, W, 3)."""
    rng = np.random.default_rng([label, seed])
    picture = rng.normal(110, 50, (size, size, 3))
    picture[:, :, label] += rng.uniform(5, 50)
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def noise_folder(tmp_path_factory):
    """14 pictures of each of three classes of colored noise: ``red/``, ``green/``, ``blue/``."""
    folder = tmp_path_factory.mktemp("noise")
    for label, name in enumerate(networks.COLORS):
        (folder / name).mkdir()
        for seed in range(14):
            Image.fromarray(colored_noise(label, seed)).save(folder / name / f"{seed:02}.png")
    return folder


@pytest.fixture(scope="session")
def noise(noise_folder) -> Pictures:
    """The same as ``Pictures``."""
    return class_folders(noise_folder, networks.COLORS)


@pytest.fixture(scope="session")
def _trained():
    torch.manual_seed(0)
    network = networks.Small().train()
    labels = torch.arange(96) % 3
    pictures = [colored_noise(int(label), 100 + i) for i, label in enumerate(labels)]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    images = (images - 0.5) / 0.25
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(12):
        for batch in torch.randperm(96).split(16):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
    return network.eval()


@pytest.fixture
def trained(_trained) -> torch.nn.Module:
    """A small CNN with batch norm, trained on colored noise; a copy that a test may change."""
    return networks.copy_of(_trained)

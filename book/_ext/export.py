"""A classifier as two ONNX graphs, for a browser, which has no autograd.

``python book/_ext/export.py <profile> <folder>`` writes them for each network of the live page.
The gradient's graph is the backward pass, traced once: it becomes ordinary operations. The graph of
the logits is the part of it that ends there. Kernels and matrices travel as 16-bit floats, half the
download, and the browser widens them to the 32 bits that it computes with. The rounding hardly
moves a confidence, but some percent of the signs: compare with the ``rounded`` classifier.
"""

import copy
import hashlib
import json
import re
import sys
import warnings
from pathlib import Path

import onnx
import torch
from onnx_ir.passes import common as passes
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from fgsm_lib import load_classifier, open_study
from fgsm_lib.classifiers import Classifier
from fgsm_lib.words import first_line, short_name

OPSET = 18  # the first whose ScatterElements adds, see _max_pool_backward
WEIGHTS = "weights.bin"
LOCK = Path(__file__).with_name("package-lock.json")  # pins what runs the graphs


class NotExportable(Exception):
    """The browser cannot run the network; the message is what it lacks, in one line."""


def rounded(classifier: Classifier) -> Classifier:
    """A copy with every kernel and matrix rounded to 16-bit floats, as the browser gets them.

    Biases and what a batch norm multiplies and adds stay as they are.
    """
    copied = copy.deepcopy(classifier)
    with torch.no_grad():
        for weight in copied.parameters():
            if weight.ndim >= 2:
                weight.copy_(weight.half().to(weight.dtype))
    return copied


def export(classifier: Classifier, folder: Path) -> dict[str, object]:
    """Write ``gradient.onnx``, ``logits.onnx`` and ``weights.bin`` of the rounded classifier.

    Inputs of the graphs, all float32: ``image`` (1, 3, crop, crop), pixels in [0, 1]; and for the
    gradient ``label`` (1, classes), one-hot, and ``c`` (1,), which chooses the objective (see
    ``objective``). Outputs: ``logits`` (1, classes) and ``gradient``, shaped like the image.

    The weights file begins with ``halves`` 16-bit floats, the rest are 32-bit floats; the graphs
    count its bytes as if all were 32-bit floats. Returns ``halves``, the sizes of the ``files`` in
    bytes, and a ``version`` that changes with them; raises NotExportable.
    """
    square = isinstance(classifier.crop, int) and isinstance(classifier.resize, int)
    if not square or (classifier.channels, classifier.interpolation.value) != (3, "bilinear"):
        raise NotExportable("the page only knows color pictures, squares and bilinear resizing")
    both = _traced(rounded(classifier))
    weights, halves = _move_weights(both.graph)
    forward = onnx.utils.Extractor(both).extract_model(["image"], ["logits"])
    graphs = {"gradient.onnx": both.SerializeToString(), "logits.onnx": forward.SerializeToString()}
    contents = graphs | {WEIGHTS: weights}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sizes = {name: len(content) for name, content in contents.items()}
    version = hashlib.sha256(b"".join(contents.values())).hexdigest()[:12]
    return {"halves": halves, "files": sizes, "version": version}


def objective(logits: torch.Tensor, label: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """J = c·log Σ exp z - z_y: ``cross_entropy`` for c = 1, ``true_logit`` for c = 0."""
    return (c * logits.logsumexp(1) - (logits * label).sum(1)).sum()


def _traced(classifier: Classifier) -> onnx.ModelProto:
    """(image, one-hot label, c) -> (logits, gradient of the objective at the image), as ONNX."""
    # Pools to one pixel restride channels_last tensors in place: ONNX has no such thing.
    plain = classifier.to("cpu", torch.float32, memory_format=torch.contiguous_format)
    plain.layout = torch.contiguous_format

    def run(image: torch.Tensor, label: torch.Tensor, c: torch.Tensor) -> tuple:
        def loss(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = plain(image)
            return objective(logits, label, c), logits

        gradient, logits = torch.func.grad(loss, has_aux=True)(image)
        return logits, gradient

    image = torch.rand(1, 3, plain.crop, plain.crop)
    inputs = (image, torch.zeros(1, len(plain.class_names)), torch.ones(1))
    options = {"input_names": ["image", "label", "c"], "output_names": ["logits", "gradient"]}
    options |= {"dynamo": True, "opset_version": OPSET, "verbose": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about its own future
            graph = make_fx(run, decomposition_table=_BACKWARD)(*inputs).eval()
            program = torch.onnx.export(graph, inputs, **options)
    except Exception as error:  # torch.onnx has many kinds, and some networks have their own
        while error.__cause__:  # the operation that ONNX lacks is named at the bottom
            error = error.__cause__
        plain = re.sub(r"\x1b\[[0-9;]*m", "", first_line(error))  # without a terminal's colors
        raise NotExportable(f"{type(error).__name__}: {plain}") from None
    passes.ClearMetadataAndDocStringPass()(program.model)  # stack traces, with paths
    return program.model_proto


def _convolution_backward(gradient, image, weight, _, stride, padding, dilation, transposed, *rest):
    """At its input: a transposed convolution, padded by what the stride leaves over."""
    if transposed:
        raise NotImplementedError("the gradient of a transposed convolution")
    shapes = (image.shape[2:], gradient.shape[2:], weight.shape[2:])
    left_over = [
        size - (steps - 1) * s + 2 * p - d * (kernel - 1) - 1
        for size, steps, kernel, s, p, d in zip(*shapes, stride, padding, dilation, strict=True)
    ]
    options = (stride, padding, dilation, True, left_over, rest[1])
    return torch.ops.aten.convolution(gradient, weight, None, *options), None, None


def _max_pool_backward(gradient, image, kernel_size, stride, padding, dilation, ceil_mode, indices):
    """Each output's gradient goes to the pixel it came from; where windows share it, they add."""
    zeros = torch.zeros_like(image).flatten(2)
    return zeros.scatter_add(2, indices.flatten(2), gradient.flatten(2)).view(image.shape)


# How to write backward operations in terms that ONNX has; torch knows most of them.
_BACKWARD = core_aten_decompositions() | {
    torch.ops.aten.convolution_backward.default: _convolution_backward,
    torch.ops.aten.max_pool2d_with_indices_backward.default: _max_pool_backward,
}


def _move_weights(graph: onnx.GraphProto, smallest: int = 32) -> tuple[bytes, int]:
    """Take the large tensors out of a graph; the weights file and its number of 16-bit floats.

    What 16 bits hold exactly, kernels and matrices, comes first; what serves twice is there once.
    """
    values = [(t, torch.tensor(onnx.numpy_helper.to_array(t))) for t in graph.initializer]
    large = [(t, v) for t, v in values if v.dtype == torch.float32 and v.numel() >= smallest]
    packed = [(t, v.half() if v.half().float().equal(v) else v) for t, v in large]
    contents, places, halves = bytearray(), {}, 0
    for tensor, value in sorted(packed, key=lambda each: each[1].element_size()):
        content = value.numpy().tobytes()
        if content not in places:
            places[content] = len(contents) + 2 * halves
            contents += content
            halves += value.numel() if value.dtype == torch.float16 else 0
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        place = {"location": WEIGHTS, "offset": places[content], "length": 4 * value.numel()}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
    return bytes(contents), halves


def write(classifiers: list[Classifier], folder: Path) -> None:
    """Each classifier in a folder of its name, and ``manifest.json``, last: it names whole files.

    A classifier that cannot be written is there with the sentence that says why, ``missing``.
    """
    networks = []
    for classifier in classifiers:
        home = folder / re.sub(r"\W", "_", classifier.name)
        home.mkdir(parents=True, exist_ok=True)
        facts = {"name": classifier.name, "folder": home.name}
        classes = list(map(short_name, classifier.class_names))
        sizes = {"resize": classifier.resize, "crop": classifier.crop, "classes": classes}
        try:
            networks.append({**facts, **sizes, **export(classifier, home)})
        except NotExportable as error:
            networks.append({**facts, "missing": f"A browser cannot run it ({error})."})
    runtime = json.loads(LOCK.read_text())["packages"]["node_modules/onnxruntime-web"]["version"]
    said = json.dumps({"runtime": runtime, "networks": networks})
    (folder / "manifest.json").write_text(said, encoding="utf-8")


def main(profile: str, folder: str) -> None:
    """EfficientNet-Lite0, and the profile's own network if that is another one."""
    study = open_study(profile)
    offered = (load_classifier("efficientnet_lite0"), study.shown.classifier, study.classifier)
    write(list({classifier.name: classifier for classifier in offered}.values()), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])

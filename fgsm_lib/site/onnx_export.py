"""A classifier as two ONNX graphs, for a browser, which has no autograd.

``gradient.onnx`` computes the logits and the gradient of the objective with respect to the image:
the backward pass is traced once and becomes ordinary operations. ``logits.onnx`` is the part of it
that ends at the logits, so both graphs name the same weights, and one file holds them for both.

The weights stay float32. Half precision would halve the file, but some 2% of the gradient's signs
would come out otherwise.

Seen to give torch's logits and signs, of torchvision's architectures with random weights: AlexNet,
ConvNeXt, DenseNet, EfficientNet, GoogLeNet, Inception, MNASNet, MobileNet 2 and 3, RegNet, ResNet,
ShuffleNet, SqueezeNet, Swin 1 and 2, VGG and ViT, one size of each. In single precision, a unit
that is nearly 0 may be on in one of the two and off in the other: now and then a gradient differs
by a percent or so, as it does between two memory formats of torch.
"""

import copy
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir
import torch
from onnx_ir.passes import common as passes
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from fgsm_lib.classifiers import Classifier

GRADIENT, LOGITS, WEIGHTS = "gradient.onnx", "logits.onnx", "weights.bin"
OPSET = 18  # the first whose ScatterElements adds, see max_pool_backward

aten = torch.ops.aten


class NotExportable(Exception):
    """The network uses an operation whose gradient has no place in an ONNX graph."""


def export(classifier: Classifier, folder: Path) -> None:
    """Write ``gradient.onnx``, ``logits.onnx`` and ``weights.bin`` into an existing folder.

    Inputs of the graphs, all float32: ``image`` (1, 3, crop, crop), pixels in [0, 1]; and for the
    gradient ``label`` (1, classes), the one-hot label, and ``c`` (1,), which chooses the objective
    (see ``objective``). Outputs: ``logits`` (1, classes) and ``gradient``, shaped like the image.

    Raises NotExportable, with what torch said.
    """
    # Pools to one pixel restride channels_last tensors in place: ONNX has no such thing.
    plain = copy.deepcopy(classifier).to("cpu", memory_format=torch.contiguous_format)
    for module in plain.modules():
        if isinstance(module, torch.nn.AdaptiveAvgPool2d):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    image = torch.rand(1, 3, plain.crop, plain.crop)
    label = torch.zeros(1, len(plain.class_names))
    inputs = (image, label, torch.ones(1))
    try:
        # In separate steps, attention has a gradient that ONNX can write down.
        with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
            warnings.simplefilter("ignore")  # torch's, about its own future
            graph = make_fx(logits_and_gradient(plain), decomposition_table=backward_passes())
            program = torch.onnx.export(
                graph(*inputs).eval(),
                inputs,
                input_names=["image", "label", "c"],
                output_names=["logits", "gradient"],
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # torch.onnx has many kinds, and some networks have their own
        raise NotExportable(reason(error)) from error
    model = program.model
    passes.ClearMetadataAndDocStringPass()(model)  # stack traces, with the paths of this machine
    passes.DeduplicateInitializersPass()(model)
    onnx_ir.save(model, folder / GRADIENT, external_data=WEIGHTS)
    both = onnx.load(folder / GRADIENT, load_external_data=False)
    forward = onnx.utils.Extractor(both).extract_model(["image"], ["logits"])
    onnx.save(forward, folder / LOGITS)


def reason(error: BaseException) -> str:
    """What torch.onnx found first: the operation it lacks is named at the bottom, in one line."""
    while error.__cause__:
        error = error.__cause__
    first = str(error).partition("\n")[0]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", first)  # without the colors of a terminal
    return f"{type(error).__name__}: {plain}"


def objective(logits: torch.Tensor, label: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """J = c·log Σ exp z - z_y: ``cross_entropy`` for c = 1, ``true_logit`` for c = 0."""
    return (c * logits.logsumexp(1) - (logits * label).sum(1)).sum()


def logits_and_gradient(classifier: Classifier) -> Callable:
    """(image, one-hot label, c) -> (logits, gradient of the objective at the image)."""

    def run(image: torch.Tensor, label: torch.Tensor, c: torch.Tensor) -> tuple:
        def loss(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = classifier(image)
            return objective(logits, label, c), logits

        gradient, logits = torch.func.grad(loss, has_aux=True)(image)
        return logits, gradient

    return run


def backward_passes() -> dict:
    """How to write every backward operation in terms that ONNX has.

    torch knows most of them; convolutions and pools are missing there.
    """
    return core_aten_decompositions() | {
        aten.convolution_backward.default: convolution_backward,
        aten.max_pool2d_with_indices_backward.default: max_pool_backward,
        aten.avg_pool2d_backward.default: average_pool_backward,
        aten._adaptive_avg_pool2d.default: adaptive_pool,
        aten._adaptive_avg_pool2d_backward.default: adaptive_pool_backward,
    }


def convolution_backward(
    gradient, image, weight, bias_sizes, stride, padding, dilation, transposed, _, groups, mask
):
    """The gradient of a convolution with respect to its input is a transposed convolution.

    Where the stride leaves over rows and columns at the end, several sizes of the input give the
    same size of the output: ``output_padding`` makes up the difference.
    """
    if transposed:
        raise NotImplementedError("the gradient of a transposed convolution")
    sizes = zip(
        image.shape[2:],
        gradient.shape[2:],
        weight.shape[2:],
        stride,
        padding,
        dilation,
        strict=True,
    )
    output_padding = [
        size - ((steps - 1) * s - 2 * p + d * (kernel - 1) + 1)
        for size, steps, kernel, s, p, d in sizes
    ]
    to_image = aten.convolution(
        gradient, weight, None, stride, padding, dilation, True, output_padding, groups
    )
    return to_image, None, None


def max_pool_backward(gradient, image, kernel_size, stride, padding, dilation, ceil_mode, indices):
    """Each output's gradient goes to the pixel it came from.

    Windows that overlap may share that pixel, so the gradients add up there.
    """
    zeros = torch.zeros_like(image).flatten(2)
    scattered = zeros.scatter_add(2, indices.flatten(2), gradient.flatten(2))
    return scattered.view(image.shape)


def average_pool_backward(
    gradient, image, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
):
    """An average over windows is a matrix for the rows and one for the columns: here transposed."""
    if divisor_override:
        raise NotImplementedError("the gradient of an average with a divisor of its own")

    def matrix(size: int, steps: int, kernel: int, stride: int, padding: int) -> torch.Tensor:
        starts = [step * stride - padding for step in range(steps)]
        windows = [(start, min(start + kernel, size + padding)) for start in starts]
        if not count_include_pad:
            windows = [(max(start, 0), min(end, size)) for start, end in windows]
        return averages(windows, size, image.dtype)

    strides = stride or kernel_size
    sizes = zip(image.shape[2:], gradient.shape[2:], kernel_size, strides, padding, strict=True)
    rows, columns = (matrix(*each) for each in sizes)
    return rows.T @ gradient @ columns


def adaptive_pool(image, output_size):
    rows, columns = adaptive_averages(image, output_size)
    return rows @ image @ columns.T


def adaptive_pool_backward(gradient, image):
    rows, columns = adaptive_averages(image, gradient.shape[2:])
    return rows.T @ gradient @ columns


def adaptive_averages(image: torch.Tensor, output_size) -> list[torch.Tensor]:
    """The matrices of a pool to a given size; its windows overlap where that does not divide."""
    return [
        averages(
            [(i * size // steps, -(-(i + 1) * size // steps)) for i in range(steps)],
            size,
            image.dtype,
        )
        for size, steps in zip(image.shape[2:], output_size, strict=True)
    ]


def averages(windows: list[tuple[int, int]], size: int, dtype: torch.dtype) -> torch.Tensor:
    """(windows, size): row i averages the i-th window [start, end); what it holds beyond is 0."""
    return torch.tensor(
        [[(start <= j < end) / (end - start) for j in range(size)] for start, end in windows],
        dtype=dtype,
    )

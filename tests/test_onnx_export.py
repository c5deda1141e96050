"""The graphs for the browser compute what torch computes: onnxruntime is the independent judge."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from fgsm_lib import attacks
from fgsm_lib._torchvision import models
from fgsm_lib.classifiers import Classifier, fold_batch_norm
from fgsm_lib.site import onnx_export
from fgsm_lib.study import open_study, single

COEFFICIENTS = {"cross_entropy": 1.0, "true_logit": 0.0}


class Runner:
    """The two graphs of a folder, run by onnxruntime on one core."""

    def __init__(self, folder, classes: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.forward, self.backward = (
            onnxruntime.InferenceSession(folder / name, options)
            for name in (onnx_export.LOGITS, onnx_export.GRADIENT)
        )
        self.classes = classes

    def logits(self, images: torch.Tensor) -> np.ndarray:
        return self.forward.run(["logits"], {"image": images.contiguous().numpy()})[0]

    def gradient(self, images: torch.Tensor, label: int, objective: str) -> np.ndarray:
        inputs = {
            "image": images.contiguous().numpy(),
            "label": np.eye(self.classes, dtype=np.float32)[[label]],
            "c": np.array([COEFFICIENTS[objective]], dtype=np.float32),
        }
        return self.backward.run(["gradient"], inputs)[0]


def assert_agree(classifier: Classifier, folder, images: torch.Tensor, label: int) -> None:
    """Logits within 2e-5, at least 99.5% equal signs: what torch's own layouts differ by."""
    runner = Runner(folder, len(classifier.class_names))
    for objective in COEFFICIENTS:
        gradient, logits = attacks.input_gradient(
            classifier, images, torch.tensor([label]), objective
        )
        np.testing.assert_allclose(runner.logits(images), logits.numpy(), atol=2e-5, rtol=2e-5)
        found = np.sign(runner.gradient(images, label, objective))
        assert (found == gradient.sign().numpy()).mean() >= 0.995, objective


@given(
    size=st.integers(5, 12),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 4]),
)
def test_a_convolution_s_gradient_is_a_transposed_convolution(
    size, kernel, stride, padding, dilation, groups
):
    assume(size + 2 * padding >= dilation * (kernel - 1) + 1)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 4, size, size + 1, generator=generator, requires_grad=True)
    weight = torch.randn(8, 4 // groups, kernel, kernel, generator=generator)
    pairs = [[value] * 2 for value in (stride, padding, dilation)]
    output = torch.nn.functional.conv2d(image, weight, None, *pairs, groups)
    upstream = torch.randn(output.shape, generator=generator)
    (expected,) = torch.autograd.grad(output, image, upstream)
    found, *others = onnx_export.convolution_backward(
        upstream, image.detach(), weight, None, *pairs, False, [0, 0], groups, [True, False, False]
    )
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert others == [None, None]  # an attack needs no gradient of the weights


@given(
    size=st.integers(5, 12),
    kernel=st.integers(2, 4),
    stride=st.integers(1, 4),
    padding=st.integers(0, 1),
    ceil_mode=st.booleans(),
)
def test_a_max_pool_s_gradient_goes_to_the_pixels_it_came_from(
    size, kernel, stride, padding, ceil_mode
):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 2, size, size + 1, generator=generator, requires_grad=True)
    options = [[value] * 2 for value in (kernel, stride, padding, 1)]
    output, indices = torch.nn.functional.max_pool2d(image, *options, ceil_mode, True)
    upstream = torch.randn(output.shape, generator=generator)
    (expected,) = torch.autograd.grad(output, image, upstream)
    found = onnx_export.max_pool_backward(upstream, image.detach(), *options, ceil_mode, indices)
    torch.testing.assert_close(found, expected)


@given(
    size=st.integers(5, 12),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.just(()),
    padded=st.booleans(),
    ceil_mode=st.booleans(),
    count_include_pad=st.booleans(),
)
def test_an_average_pool_s_gradient_is_its_matrices_transposed(
    size, kernel, stride, padded, ceil_mode, count_include_pad
):
    padding = tuple(side // 2 * padded for side in kernel)  # torch allows half a window
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 2, size, size + 1, generator=generator, requires_grad=True)
    options = [kernel, stride, padding, ceil_mode, count_include_pad, None]
    output = torch.ops.aten.avg_pool2d(image, *options)
    upstream = torch.randn(output.shape, generator=generator)
    (expected,) = torch.autograd.grad(output, image, upstream)
    found = onnx_export.average_pool_backward(upstream, image.detach(), *options)
    torch.testing.assert_close(found, expected)


@given(size=st.integers(1, 12), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_an_adaptive_pool_is_two_matrices(size, rows, columns):
    """Also where windows overlap, and where the output is larger than the image."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 2, size, size + 1, generator=generator, requires_grad=True)
    output = torch.nn.functional.adaptive_avg_pool2d(image, (rows, columns))
    upstream = torch.randn(output.shape, generator=generator)
    (expected,) = torch.autograd.grad(output, image, upstream)
    found = onnx_export.adaptive_pool(image.detach(), (rows, columns))
    torch.testing.assert_close(found, output.detach())
    found = onnx_export.adaptive_pool_backward(upstream, image.detach())
    torch.testing.assert_close(found, expected)


@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.1, 1.0, 30.0]))
def test_one_formula_is_both_objectives(seed, scale):
    logits = scale * torch.randn(1, 7, generator=torch.Generator().manual_seed(seed))
    label = torch.tensor([seed % 7])
    one_hot = torch.nn.functional.one_hot(label, 7).float()
    for name, coefficient in COEFFICIENTS.items():
        found = onnx_export.objective(logits, one_hot, torch.tensor([coefficient]))
        expected = attacks.OBJECTIVES[name](logits, label)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


class SqueezeAndExcite(torch.nn.Module):
    """What the demo's network, SqueezeNet and DenseNet have and a plain network has not."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, stride=2, bias=False)
        self.norm = torch.nn.BatchNorm2d(8)
        self.pool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
        self.depthwise = torch.nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8)
        self.average = torch.nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)
        self.squeeze = torch.nn.AdaptiveAvgPool2d(1)
        self.excite = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 1), torch.nn.Hardsigmoid())
        self.act = torch.nn.Hardswish(inplace=True)
        self.head = torch.nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.norm(self.stem(x))))
        x = self.act(self.depthwise(x))
        x = self.average(x * self.excite(self.squeeze(x)))
        return self.head(torch.flatten(self.squeeze(x), 1))


@pytest.fixture(scope="module")
def small(tiny, tmp_path_factory):
    """A small classifier with every unusual layer, and the folder of its graphs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = fold_batch_norm(SqueezeAndExcite())
    classifier = tiny(network=network, crop=32, resize=32)
    folder = tmp_path_factory.mktemp("live")
    onnx_export.export(classifier, folder)
    return classifier, folder


def test_the_graphs_give_torch_s_logits_and_signs(small, pixels):
    classifier, folder = small
    for seed in range(3):
        assert_agree(classifier, folder, pixels(1, seed, size=32), label=seed)


def test_the_classifier_is_left_as_it_was(small):
    classifier, _ = small
    assert classifier.network.stem.weight.is_contiguous(memory_format=torch.channels_last)


def test_both_graphs_name_the_same_weights(small):
    _, folder = small
    graphs = [
        onnx.load(folder / name, load_external_data=False).graph
        for name in (onnx_export.LOGITS, onnx_export.GRADIENT)
    ]
    places = [
        {t.name: [(e.key, e.value) for e in t.external_data] for t in graph.initializer}
        for graph in graphs
    ]
    assert places[0].items() <= places[1].items()
    stored = sum(np.prod(t.dims) * 4 for t in graphs[1].initializer if t.external_data)
    assert (folder / onnx_export.WEIGHTS).stat().st_size < 1.2 * stored + 4096


def test_the_files_say_nothing_of_the_machine_that_made_them(small):
    _, folder = small
    for path in folder.iterdir():
        content = path.read_bytes()
        assert b".py" not in content and b"site-packages" not in content, path.name


class Median(torch.nn.Module):
    """Of every row: an operation that ONNX lacks."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.median(3)[0]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([torch.nn.ConvTranspose2d(3, 4, 2)], "transposed convolution"),
        ([torch.nn.Conv2d(3, 4, 2), torch.nn.AvgPool2d(2, divisor_override=3)], "divisor"),
        ([torch.nn.Conv2d(3, 4, 2), Median(), torch.nn.Unflatten(2, (3, 5))], "aten.median"),
    ],
)
def test_what_cannot_be_exported_is_named_in_one_line(tiny, tmp_path, layers, said):
    network = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with pytest.raises(onnx_export.NotExportable, match=said) as caught:
        onnx_export.export(tiny(network=network, classes=4), tmp_path)
    assert str(caught.value).isprintable()  # no line breaks, no colors of a terminal
    assert not list(tmp_path.iterdir())


def test_the_reason_is_one_line_without_colors():
    error = RuntimeError("\x1b[96mstep 3/3\x1b[0m failed\nNext steps: …")
    assert onnx_export.reason(error) == "RuntimeError: step 3/3 failed"
    error.__cause__ = KeyError()
    assert onnx_export.reason(error) == "KeyError: "


OPTIONS = {
    "squeezenet1_0": {},
    "googlenet": {"init_weights": False, "transform_input": True},
    "resnet18": {},
    "vgg11": {},  # its pool widens 3 x 3 pixels to 7 x 7
    "vit_b_16": {"image_size": 96},  # attention
    "convnext_tiny": {},  # a pool to one pixel of a permuted tensor
}


@pytest.mark.slow
@pytest.mark.parametrize("arch", OPTIONS)
def test_whole_architectures_agree(arch, pixels, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.get_model(arch, weights=None, num_classes=20, **OPTIONS[arch])
        for weight in network.parameters():
            if weight.ndim == 2 and not weight.any():  # a head that starts at zero hides the rest
                torch.nn.init.normal_(weight, std=0.05)
    names = [f"class {i}" for i in range(20)]
    classifier = Classifier(fold_batch_norm(network), names, crop=96, resize=96)
    onnx_export.export(classifier, tmp_path)
    assert_agree(classifier, tmp_path, pixels(1, size=96), label=3)


@pytest.mark.slow
def test_the_demo_classifier_agrees_on_its_own_pictures(tmp_path):
    study = open_study("demo")
    onnx_export.export(study.classifier, tmp_path)
    for sample in study.profile.cases:
        images, labels = single(study, sample)
        assert_agree(study.classifier, tmp_path, images, int(labels))

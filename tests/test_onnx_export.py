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
    """What the demo's network and SqueezeNet have and a plain network has not, in small."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, stride=2, bias=False)
        self.norm = torch.nn.BatchNorm2d(8)
        self.pool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
        self.depthwise = torch.nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8)
        self.squeeze = torch.nn.AdaptiveAvgPool2d(1)
        self.excite = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 1), torch.nn.Hardsigmoid())
        self.act = torch.nn.Hardswish(inplace=True)
        self.head = torch.nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.norm(self.stem(x))))
        x = self.act(self.depthwise(x))
        x = x * self.excite(self.squeeze(x))
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


def test_a_network_whose_gradient_onnx_lacks_is_named(tiny, tmp_path):
    network = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(3, 4, 2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with pytest.raises(onnx_export.NotExportable, match="transposed convolution"):
        onnx_export.export(tiny(network=network, classes=4), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["squeezenet1_0", "googlenet", "resnet18"])
def test_whole_architectures_agree(arch, pixels, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"init_weights": False, "transform_input": True} if arch == "googlenet" else {}
        network = models.get_model(arch, weights=None, num_classes=20, **options)
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

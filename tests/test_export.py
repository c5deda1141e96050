"""The graphs for the browser compute what torch computes; onnxruntime is the independent judge."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fgsm_lib import attacks
from fgsm_lib.classifiers import models
from fgsm_lib.study import open_study

SCRIPT = Path(__file__).parents[1] / "book" / "_ext" / "export.py"
_spec = importlib.util.spec_from_file_location("export", SCRIPT)
export = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(export)

COEFFICIENTS = {"cross_entropy": 1.0, "true_logit": 0.0}


class Runner:
    """The graphs of a folder in onnxruntime, on one core, with weights as a browser has them."""

    def __init__(self, folder: Path, halves: int):
        packed = (folder / export.WEIGHTS).read_bytes()
        first = np.frombuffer(packed, np.float16, halves).astype(np.float32)
        wide = folder / "wide"
        wide.mkdir()
        (wide / export.WEIGHTS).write_bytes(first.tobytes() + packed[2 * halves :])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.sessions = []
        for name in ("logits.onnx", "gradient.onnx"):
            (wide / name).write_bytes((folder / name).read_bytes())
            self.sessions.append(onnxruntime.InferenceSession(wide / name, options))

    def assert_agrees(self, classifier, image: torch.Tensor, label: int) -> None:
        """Logits within 1e-3, and at least 99.5% of all signs, for both objectives."""
        one_hot = np.eye(len(classifier.class_names), dtype=np.float32)[[label]]
        forward, backward = self.sessions
        pixels = image.contiguous().numpy()
        for objective, c in COEFFICIENTS.items():
            expected = attacks.input_gradient(classifier, image, [label], objective)
            inputs = {"image": pixels, "label": one_hot, "c": np.array([c], np.float32)}
            logits, gradient = backward.run(["logits", "gradient"], inputs)
            (alone,) = forward.run(["logits"], {"image": pixels})
            for found in (logits, alone):
                np.testing.assert_allclose(found, expected.logits.numpy(), atol=1e-3)
            same = np.sign(gradient) == expected.gradient.sign().numpy()
            assert same.mean() >= 0.995, objective


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["photographs", "demo"])
def test_the_shipped_networks_agree_with_torch_on_the_same_rounded_weights(profile, tmp_path):
    study = open_study(profile)
    found = export.export(study.classifier, tmp_path)
    runner = Runner(tmp_path, found["halves"])
    rounded = export.rounded(study.classifier)
    for sample in study.pictures.samples[:2]:
        image, label = study.image(sample)
        runner.assert_agrees(rounded, image, int(label))
    assert sum(found["files"].values()) < 10.5e6  # with the runtime, 13 MB when compressed


@pytest.fixture(
    scope="module", params=["squeezenet1_0", pytest.param("resnet18", marks=pytest.mark.slow)]
)
def others(request, tiny, tmp_path_factory):
    """A classifier with pools, of random weights, the folder of its graphs, and what was said."""
    torch.manual_seed(0)
    network = models.get_model(request.param, num_classes=10)
    classifier = tiny(network=network, crop=65, resize=65)
    folder = tmp_path_factory.mktemp("live")
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    found = export.export(classifier, folder)
    assert all(value.equal(before[name]) for name, value in classifier.state_dict().items())
    return classifier, folder, found


def test_pools_and_strides_that_leave_pixels_over_agree(others, pixels):
    classifier, folder, found = others
    runner = Runner(folder, found["halves"])
    for seed in range(2):
        runner.assert_agrees(export.rounded(classifier), pixels(1, seed, (3, 65, 65)), label=seed)


def test_the_graphs_share_their_weights_and_say_nothing_of_this_machine(others):
    _, folder, found = others
    names = ("gradient.onnx", "logits.onnx")
    graphs = [onnx.load(folder / name, load_external_data=False).graph for name in names]
    places = [
        {t.name: [(e.key, e.value) for e in t.external_data] for t in graph.initializer}
        for graph in graphs
    ]
    assert places[1].items() <= places[0].items()
    assert found["files"]["weights.bin"] > 10 * found["files"]["logits.onnx"]
    for path in folder.glob("*.*"):
        assert b".py" not in path.read_bytes(), path.name


class Median(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.median(3)[0]


@pytest.mark.parametrize(
    ("layers", "options", "said"),
    [
        ([torch.nn.ConvTranspose2d(3, 4, 2)], {}, "transposed convolution"),
        ([torch.nn.Conv2d(3, 4, 2), Median(), torch.nn.Unflatten(2, (3, 5))], {}, "aten.median"),
        ([torch.nn.Conv2d(3, 4, 2)], {"interpolation": "bicubic"}, "bilinear"),
    ],
)
def test_what_a_browser_cannot_run_is_named_in_one_line(tiny, tmp_path, layers, options, said):
    network = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    classifier = tiny(network=network, classes=4, **options)
    with pytest.raises(export.NotExportable, match=said) as caught:
        export.export(classifier, tmp_path)
    assert str(caught.value).isprintable()  # no line breaks, no colors of a terminal
    export.write([classifier], tmp_path)
    (entry,) = json.loads((tmp_path / "manifest.json").read_text())["networks"]
    assert said in entry["missing"] and "files" not in entry

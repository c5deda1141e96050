"""The shipped toys and their classifier are what the workshop ``demo/`` makes; the card is true."""

import hashlib
import io
import json
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "demo"))  # at the end: nothing there hides a module of another name

import make  # noqa: E402
import render  # noqa: E402
import scene  # noqa: E402

FACTS = json.loads(make.FACTS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shipped():
    return pq.read_table(make.PICTURES)


def test_labels_and_names_are_the_generators(shipped):
    names = json.loads(shipped.schema.metadata[b"class_names"])
    assert tuple(names) == scene.CLASS_NAMES
    assert len(set(names)) == 50
    labels = shipped["label"].to_pylist()
    assert labels == [render.label_of(render.SEED, index) for index in range(make.COUNT)]
    assert shipped["name"].to_pylist() == [names[label] for label in labels]
    assert {labels.count(label) for label in range(50)} == {20}


@pytest.mark.parametrize("index", [0, 137, 999])
def test_a_rendered_picture_is_the_shipped_one(shipped, index):
    """To within what WebP takes away: 35.6 dB and better, with the other pictures below 20."""
    kept = Image.open(io.BytesIO(shipped["image"][index].as_py()))
    assert (kept.format, kept.mode, kept.size) == ("WEBP", "RGB", (256, 256))
    rendered = render.preprocessed(render.SEED, render.HARDNESS, 256, index).astype(float)
    psnr = 10 * np.log10(255**2 / ((np.asarray(kept, float) - rendered) ** 2).mean())
    other = render.preprocessed(render.SEED, render.HARDNESS, 256, index + 1).astype(float)
    assert psnr > 34
    assert 10 * np.log10(255**2 / ((other - rendered) ** 2).mean()) < 20


def test_the_scene_is_the_same_at_every_size():
    small = render.picture(0, 0, 146, hardness=1.0)
    large = Image.fromarray(render.picture(0, 0, 292, hardness=1.0)).reduce(2)
    assert np.corrcoef(small.ravel(), np.asarray(large).ravel())[0, 1] > 0.97


def test_the_two_paints_of_every_toy_differ_in_lightness():
    for index in range(200):
        toy = render.scene_of(render.SEED, index)
        gap = abs(scene.luma(toy.first) - scene.luma(toy.second))
        assert gap * toy.gain * toy.contrast > scene.FAINTEST_PATTERN - 1e-5


@pytest.mark.parametrize("shape", scene.SHAPES)
def test_shapes_fit_their_bounding_sphere(shape):
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (3, 20_000)).astype(np.float32)
    distance = scene.SHAPES[shape](*points)
    assert distance.dtype == np.float32
    assert (distance[np.linalg.norm(points, axis=0) > scene.BOUNDING_RADIUS] > 0).all()
    assert 0.02 < (distance < 0).mean() < 0.3


def test_the_card_and_the_profile_name_the_shipped_files():
    profile = tomllib.loads((ROOT / "fgsm_lib/profiles/demo.toml").read_text(encoding="utf-8"))
    files = (make.WEIGHTS, make.PICTURES)
    weights, pictures = (hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    assert weights == FACTS["weights"]["sha256"] == profile["weights_sha256"]
    assert pictures == FACTS["pictures"]["sha256"]
    page = make.TEMPLATE.read_text(encoding="utf-8").format(**FACTS)
    assert make.PAGE.read_text(encoding="utf-8") == page


def test_the_card_s_numbers_come_out_again():
    """On every 20th picture; rounding may turn one class of the fifty."""
    measured, stated = make.measure_shipped(every=20), FACTS["measured_every_20th"]
    assert measured["pictures"] == stated["pictures"] == 50
    assert measured["mean_confidence"] == pytest.approx(stated["mean_confidence"], abs=2e-3)
    assert measured["top1"] == pytest.approx(stated["top1"], abs=0.021)
    assert measured["top1_under_fgsm"] == pytest.approx(stated["top1_under_fgsm"], abs=0.021)
    assert stated["top1"] == pytest.approx(FACTS["measured"]["top1"], abs=0.1)


def test_nothing_imports_the_workshop():
    modules = "|".join(path.stem for path in (ROOT / "demo").glob("*.py"))
    imported = re.compile(rf"^\s*(?:from|import) (?:demo|{modules})\b", re.MULTILINE)
    for folder in ("fgsm_lib", "notebooks", "book/_ext"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not imported.search(path.read_text(encoding="utf-8")), path

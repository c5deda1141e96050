"""The generator of the demo pictures: deterministic, balanced, and readable by a person."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from fgsm_lib.demo.images import CLASS_NAMES, label_of, picture, scene_of
from fgsm_lib.demo.png import encode_png
from fgsm_lib.demo.render import trace
from fgsm_lib.demo.scene import FAINTEST_PATTERN, Pose
from fgsm_lib.demo.solids import BOUNDING_RADIUS, SOLIDS, normals
from fgsm_lib.demo.textures import luma

SEED = 0
COMMITTED_MEANS = [[131.6, 127.6, 113.4], [57.8, 74.6, 89.9], [78.7, 99.8, 79.0]]
LUMA = np.array([0.299, 0.587, 0.114])


def test_class_names_are_pattern_and_shape():
    assert len(set(CLASS_NAMES)) == 50
    assert "striped cube" in CLASS_NAMES
    shown = picture(SEED, 3, size=32)
    assert shown.class_name == CLASS_NAMES[label_of(SEED, 3)]


def test_every_run_of_fifty_shows_each_class_once():
    for start in (0, 50, 950):
        labels = [label_of(SEED, index) for index in range(start, start + 50)]
        assert sorted(labels) == list(range(50))


def test_a_picture_depends_on_nothing_but_its_arguments():
    before = picture(SEED, 5)
    picture(SEED, 6)
    after = picture(SEED, 5)
    assert before.pixels.shape == (299, 299, 3)
    assert before.pixels.dtype == np.uint8
    np.testing.assert_array_equal(before.pixels, after.pixels)
    assert (before.label, before.difficulty) == (after.label, after.difficulty)
    assert not np.array_equal(before.pixels, picture(SEED + 1, 5).pixels)


def test_pictures_are_the_committed_ones():
    """Mean red, green and blue. A change here is a change of the demo set: train anew."""
    found = [picture(SEED, index, size=150).pixels.mean(axis=(0, 1)) for index in range(3)]
    np.testing.assert_allclose(found, COMMITTED_MEANS, atol=0.5)


def test_other_processors_make_the_same_pictures_to_within_a_grey_level():
    """NumPy without the vector instructions of this processor stands for another processor."""
    umath = pytest.importorskip("numpy._core._multiarray_umath")
    found = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]
    program = (
        "import sys, numpy as np\n"
        "from fgsm_lib.demo.images import picture\n"
        "np.save(sys.stdout.buffer, np.stack([picture(0, i).pixels for i in range(6)]))"
    )
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, stdout=subprocess.PIPE
    ).stdout
    elsewhere = np.load(io.BytesIO(output)).astype(int)
    here = np.stack([picture(SEED, index).pixels for index in range(6)]).astype(int)
    # Along an edge, the last bit of a number can decide on which side a pixel falls.
    assert (np.abs(here - elsewhere) > 1).mean() < 1e-4


def test_the_scene_is_the_same_at_every_size():
    small = picture(SEED, 0, size=146).pixels
    large = Image.fromarray(picture(SEED, 0, size=292).pixels).resize((146, 146), Image.BOX)
    assert np.corrcoef(small.ravel(), np.asarray(large).ravel())[0, 1] > 0.97


def test_hardness_makes_more_pictures_difficult():
    usual, harder = (
        np.mean([scene_of(SEED, index, hardness=hardness).difficulty for index in range(200)])
        for hardness in (1, 3)
    )
    assert usual == pytest.approx(1 / 2, abs=0.06)  # the means of U and of U^(1/3)
    assert harder == pytest.approx(3 / 4, abs=0.06)


def test_the_two_paints_of_every_toy_differ_in_lightness():
    for index in range(1000):
        scene = scene_of(SEED, index)
        gap = abs(luma(scene.paint.first) - luma(scene.paint.second))
        assert gap * scene.camera.gain * scene.camera.contrast > FAINTEST_PATTERN - 1e-5
        for color in (scene.paint.first, scene.paint.second):
            assert ((color >= 0) & (color <= 1)).all()


def test_patterns_show_on_the_most_difficult_toys():
    """Against the same toy unpainted: at least a tenth of it differs by more than its grain."""
    difficult = sorted(range(1000), key=lambda index: -scene_of(SEED, index).difficulty)
    # Only where something hangs in front can a pattern be hidden.
    visible = [index for index in difficult if scene_of(SEED, index).ribbon is None][:10]
    for turn, index in enumerate(visible):
        plain = scene_of(SEED, index).label // 5 * 5
        patterned = plain + 1 + turn % 4
        scene = scene_of(SEED, index, patterned)
        assert scene.difficulty > 0.9
        toy = trace(SOLIDS[scene.shape], scene.pose, 299).pixels
        with_pattern, without = (
            picture(SEED, index, label=label).pixels.reshape(-1, 3)[toy] @ LUMA
            for label in (patterned, plain)
        )
        difference = np.percentile(np.abs(with_pattern - without), 90)
        assert difference > max(12, 1.5 * 255 * scene.camera.grain), scene


def test_a_traced_sphere_covers_its_disc():
    pose = Pose(rotation=np.eye(3, dtype=np.float32), scale=0.4, center=(0.5, 0.5))
    surface = trace(SOLIDS["sphere"], pose, 200)
    radius = 0.86 * 0.4 * 200
    # Smoothing makes the outline wider by less than a pixel.
    assert np.pi * radius**2 < surface.coverage.sum() < np.pi * (radius + 1) ** 2
    # On a sphere about the origin, the normal points where the point is.
    inside = surface.coverage == 1
    directions = surface.points / 0.86
    assert np.abs(directions - surface.normals)[:, inside].max() < 0.03


@pytest.mark.parametrize("shape", SOLIDS)
def test_solids_fit_their_bounding_sphere(shape):
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.5, 1.5, (3, 20_000)).astype(np.float32)
    distance = SOLIDS[shape](*points)
    assert distance.dtype == np.float32
    assert (distance[np.linalg.norm(points, axis=0) > BOUNDING_RADIUS] > 0).all()
    assert 0.02 < (distance < 0).mean() < 0.3
    lengths = np.linalg.norm(normals(SOLIDS[shape], points[:, :1000]), axis=0)
    assert np.median(lengths) == pytest.approx(1, abs=1e-3)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
@settings(max_examples=50, deadline=None)
def test_png_files_hold_the_pixels(pixels):
    decoded = Image.open(io.BytesIO(encode_png(pixels)))
    assert decoded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(decoded), pixels)

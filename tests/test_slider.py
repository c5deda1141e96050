"""The data of the ε slider: the stops hold the pixels and predictions of the case itself."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fgsm_lib import slider
from fgsm_lib.cases import Case
from fgsm_lib.datasets import Photo
from fgsm_lib.site import slider_html

GRID = [0.0, 0.2, 4.0]


def table(confidence: float, first: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epsilon_255": GRID,
            "top5_classes": [[1, 0], [1, 0], [first, 1 - first]],
            "top5_confidences": [[0.9, 0.1], [0.8, 0.2], [confidence, 1 - confidence]],
        }
    )


@pytest.fixture
def case(tmp_path) -> Case:
    """A 2×2 image of which one value cannot grow; the attack turns class 1 into class 0."""
    image = torch.full((3, 2, 2), 100 / 255)
    image[0, 0, 0] = 1.0
    gradient = torch.ones(3, 2, 2)
    gradient[1, 0, 0] = -1
    gradient[2, 0, 0] = 0
    return Case(
        photo=Photo(7, "x", tmp_path / "x.png", 1, "sock"),
        image=image,
        gradient=gradient,
        bounds=(0.0, 1.0),
        table=table(0.6, first=0),
        control=table(0.7, first=1),
        published=None,
        class_names=["</script><b>", "sock, hose"],
        objective="cross_entropy",
    )


def test_the_pictures_are_the_8_bit_images_and_the_difference_around_gray(case):
    clean, small, step = slider.stops(case)
    assert step.adversarial[0, 0].tolist() == [255, 96, 100]
    assert step.adversarial[1, 1].tolist() == [104, 104, 104]
    # A channel at its end does not move; ±4/255 times 127/4 is black or white around gray 128.
    assert step.amplified == 127 / 4
    assert step.perturbation[0, 0].tolist() == [128, 1, 128]
    assert step.perturbation[1, 1].tolist() == [255, 255, 255]
    assert (clean.perturbation == 128).all()
    moved = np.abs(step.control.astype(int) - clean.control)
    assert set(moved[1].ravel().tolist()) == {4}
    assert [stop.rounds_away for stop in (clean, small, step)] == [False, True, False]


def test_the_predictions_are_those_of_the_table_and_of_the_control(case):
    step = slider.stops(case)[-1]
    assert step.top5 == [
        slider.Guess("</script><b>", 0.6, False),
        slider.Guess("sock", pytest.approx(0.4), True),
    ]
    assert step.control_top5[0] == slider.Guess("sock", 0.7, True)


def test_the_sentences_say_what_is_seen_and_whether_rounding_undoes_the_step(case):
    data, _ = slider.packed(case, 4)
    clean, small, step = data["stops"]
    assert clean["summary"] == "The clean image: sock, 90.0% (correct)."
    assert "too small for a picture of 8 bits" in small["summary"]
    assert step["summary"] == (
        "At ε = 4/255 the classifier sees </script><b>, 60.0% (wrong); after random signs of the "
        "same size sock, 70.0% (correct)."
    )
    assert step["value"] == "ε = 4/255, </script><b> 60%"
    assert step["pictures"][1]["text"] == "amplified 32 ×"


def test_equal_pictures_are_one_file_and_every_named_file_is_there(case):
    data, files = slider.packed(case, 4)
    named = [picture["file"] for stop in data["stops"] for picture in stop["pictures"]]
    assert set(named) == set(files)
    clean, small, _ = data["stops"]
    assert clean["pictures"][0]["file"] == small["pictures"][0]["file"]
    assert data["start"] == 2


@given(st.integers(0, 2**32 - 1))
def test_a_file_holds_exactly_its_pixels(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(slider.lossless(pixels))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), pixels)


def test_a_class_name_cannot_bring_markup_into_the_page(case):
    data, _ = slider.packed(case, 4)
    page = BeautifulSoup(slider_html.markup(data, "_images/"), "html.parser")
    assert page.find("b") is None
    assert len(page.find_all("script")) == 1
    assert json.loads(page.find("script").string) == {**data, "folder": "_images/"}
    assert len(page.find_all("img")) == 3
    assert page.select_one(".summary").string == data["stops"][2]["summary"]

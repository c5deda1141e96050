"""Measures of image difference, beside their formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import coffee

from fgsm_lib import InputError, perception

GRAY = torch.full((3, 8, 8), 100 / 255)


def test_images_are_taken_as_a_file_holds_them():
    two_channels = torch.tensor([[[-1.0, 0.5]], [[1, 2]]])
    assert perception.to_uint8(two_channels).tolist() == [[[0, 255], [128, 255]]]
    assert perception.to_uint8(GRAY.bfloat16()).shape == (8, 8, 3)
    nothing = {"delta_e": 0, "psnr": np.inf, "ssim": 1}
    assert perception.difference(GRAY, GRAY + 0.4 / 255) == nothing
    with pytest.raises(InputError, match=r"\(3, 8, 8\) and \(1, 8, 8\)"):
        perception.psnr(GRAY, GRAY[:1])


def test_measures_by_hand():
    """L* is 116 f(Y) - 16 (CIE 1976); the PSNR of four levels everywhere is 20 log10(255 / 4)."""

    def lightness(level):
        linear = ((level / 255 + 0.055) / 1.055) ** 2.4  # IEC 61966-2-1
        return 116 * linear ** (1 / 3) - 16

    found = perception.difference(GRAY, GRAY + 4 / 255)
    assert found["delta_e"] == pytest.approx(lightness(104) - lightness(100), abs=0.01)
    assert found["psnr"] == pytest.approx(20 * np.log10(255 / 4))
    one = perception.difference(GRAY[:1], GRAY[:1] + 4 / 255)  # gray images, too
    assert one == pytest.approx(found)


def test_ssim_of_two_constants_is_its_luminance_term_and_needs_a_window():
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 140 + c1) / (100**2 + 140**2 + c1)
    assert perception.ssim(GRAY, GRAY + 40 / 255) == pytest.approx(expected, abs=1e-6)
    assert np.isnan(perception.ssim(GRAY[:, :6], GRAY[:, :6]))


def test_a_crossing_lies_between_the_values_of_the_grid():
    """ΔE 3.1 at 4/255 and 0 at 0: a level of 2.3 is reached between them, at 4 · 2.3 / 3.1."""
    reached = perception.crossing([0, 4, 8, 12], [0, 3.1, 6.2, 9.3], 2.3)
    assert reached == pytest.approx(4 * 2.3 / 3.1)
    assert perception.crossing([0, 4], [0, 2], 2.3) == np.inf
    assert perception.crossing([1, 2], [5, 6], 2.3) == 1
    with pytest.raises(InputError, match="increasing"):
        perception.crossing([0, 0], [0, 1], 1)


@given(st.lists(st.floats(0, 10), min_size=2, max_size=8), st.floats(0.01, 10))
def test_a_crossing_is_the_first_point_of_the_drawn_line_that_has_that_level(values, level):
    reached = perception.crossing(range(len(values)), values, level)
    if 0 < reached < np.inf:
        before = int(np.ceil(reached)) - 1
        rise = (reached - before) * (values[before + 1] - values[before])
        assert values[before] + rise == pytest.approx(level, abs=1e-6)
        assert max(values[: before + 1]) < level


def test_random_signs_become_noticeable_near_2_6_255():
    photograph = torch.from_numpy(coffee()[::3, ::3].copy()).permute(2, 0, 1) / 255
    signs = torch.randint(0, 2, photograph.shape, generator=torch.manual_seed(0)) * 2 - 1
    epsilon = [0, 1, 2, 3, 4]
    changes = [perception.delta_e(photograph, photograph + e / 255 * signs) for e in epsilon]
    reached = perception.crossing(epsilon, changes, perception.JUST_NOTICEABLE_DELTA_E)
    assert 2 < reached < 3.5

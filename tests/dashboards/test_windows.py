import numpy as np
import pytest

from dashboards.windows import windows_of


def test_a_ct_in_hu_opens_in_the_soft_tissue_window():
    windows = windows_of("CT", np.array([-1024.0, 40, 3000]))
    assert windows["default"] == [-160.0, 240.0]
    lung = next(one for one in windows["presets"] if one["name"] == "Lung")
    assert (lung["low"], lung["high"]) == (-1350.0, 150.0)


@pytest.mark.parametrize("modality", ["MR", "CT", "US"])
def test_without_air_the_window_covers_what_is_not_background(modality):
    values = np.concatenate([np.zeros(9000), np.linspace(100, 200, 1000)])
    low, high = windows_of(modality, values)["default"]
    assert (low, high) == pytest.approx((101, 199), abs=0.2)


def test_a_constant_image_still_has_a_window():
    for one in windows_of("MR", np.full(10, 7.0))["presets"]:
        assert one["high"] > one["low"]

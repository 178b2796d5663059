"""Pictures: sides where they belong, true proportions, the fullest slice, colours that mean something."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medunet.io.picture import encode_png
from medunet.workflows.canvas import GLYPHS, above, beside, letter, outline, resize_image, resize_mask
from medunet.workflows.overlay import BOTH, FRAME, PREDICTION, TRUTH, overlay


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.all(picture == np.array(colour), axis=-1)


def phantom(shape: tuple[int, ...] = (20, 24, 16)) -> tuple[np.ndarray, np.ndarray]:
    """Brightness grows to the patient's right (x), a box as truth."""
    truth = np.zeros(shape, np.uint8)
    truth[tuple(slice(n // 3, 2 * n // 3) for n in shape)] = 1
    ramp = np.arange(shape[0], dtype=np.float32).reshape(-1, *[1] * (len(shape) - 1))
    return np.broadcast_to(ramp, shape)[None].copy(), truth


def panels(picture: np.ndarray) -> list[tuple[int, int]]:
    """Return the columns of the panels in the row of plain ones."""
    top = picture[: picture.shape[0] // 2]
    used = ~has(top, (17, 20, 24)).all(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], used.astype(int), [0]])))
    return list(zip(edges[::2], edges[1::2], strict=True))


def test_the_patients_right_is_on_the_left() -> None:
    image, truth = phantom()
    picture = overlay(image, truth, truth, (1.0, 1.0, 1.0))
    start, stop = panels(picture)[0]  # axial
    middle = picture[picture.shape[0] // 4 + 60, start:stop, 0].astype(float)
    assert middle[: len(middle) // 4].mean() > middle[-len(middle) // 4 :].mean() + 50


@pytest.mark.parametrize(("axis", "panel"), [(1, 0), (2, 1), (2, 2)])
def test_front_and_head_are_up(axis: int, panel: int) -> None:
    _, truth = phantom()
    ramp = np.indices(truth.shape, dtype=np.float32)[axis]
    picture = overlay(ramp[None], truth, truth, (1.0, 1.0, 1.0))
    start, stop = panels(picture)[panel]
    column = picture[: picture.shape[0] // 2 - 4, start + (stop - start) // 3, :]
    shown = column[~has(column, (17, 20, 24)), 0].astype(float)
    assert shown[: len(shown) // 4].mean() > shown[-len(shown) // 4 :].mean() + 50


def test_front_is_on_the_left_of_the_sagittal_slice() -> None:
    _, truth = phantom()
    ramp = np.broadcast_to(np.arange(24, dtype=np.float32)[None, :, None], truth.shape)
    picture = overlay(ramp[None].copy(), truth, truth, (1.0, 1.0, 1.0))
    start, stop = panels(picture)[2]
    row = picture[picture.shape[0] // 4 + 40, start:stop, 0].astype(float)
    assert row[: len(row) // 4].mean() > row[-len(row) // 4 :].mean() + 50


def test_proportions_are_those_in_mm() -> None:
    image, truth = phantom((20, 20, 5))
    widths = [b - a for a, b in panels(overlay(image, truth, truth, (1.0, 1.0, 6.0)))]
    # axial 20 x 20 mm, coronal and sagittal 20 x 30 mm: all 20 mm wide, 30 mm are 360 pixels
    assert widths == [240, 240, 240]
    flat = overlay(*phantom((40, 20))[:1], phantom((40, 20))[1], phantom((40, 20))[1], (1.0, 3.0))
    height, width = flat.shape[0], (flat.shape[1] - 8) // 2
    assert height / width == pytest.approx(60 / 40, rel=0.01)


def test_the_slice_with_most_truth_is_shown() -> None:
    truth = np.zeros((30, 30, 30), np.uint8)
    truth[14:16, 14:16, 4] = 1
    truth[10:20, 10:20, 22] = 1
    prediction = np.zeros_like(truth)
    prediction[5:25, 5:25, 4] = 1
    picture = overlay(np.zeros((1, 30, 30, 30), np.float32), truth, prediction, (1.0, 1.0, 1.0))
    start, stop = panels(picture)[0]
    axial = picture[picture.shape[0] // 2 :, start:stop]
    assert has(axial, TRUTH).sum() > 300
    assert not has(axial, PREDICTION).any()


def test_colours_tell_truth_prediction_and_agreement_apart() -> None:
    image, truth = phantom()
    same = overlay(image, truth, truth, (1.0, 1.0, 1.0))
    assert has(same, BOTH).any()
    assert not (has(same, TRUTH) | has(same, PREDICTION)).any()
    missed = overlay(image, truth, np.zeros_like(truth), (1.0, 1.0, 1.0))
    assert has(missed, TRUTH).any()
    assert not has(missed, PREDICTION).any()
    invented = overlay(image, np.zeros_like(truth), truth, (1.0, 1.0, 1.0))
    assert has(invented, PREDICTION).any()
    assert not has(invented, TRUTH).any()


def test_an_empty_case_and_a_constant_image_are_drawn() -> None:
    empty = np.zeros((8, 8, 8), np.uint8)
    picture = overlay(np.full((1, 8, 8, 8), 7.0, np.float32), empty, empty, (1.0, 1.0, 1.0))
    assert picture.dtype == np.uint8
    assert picture.ndim == 3


def test_a_large_2d_image_is_magnified_where_the_masks_differ() -> None:
    truth = np.zeros((600, 400), np.uint8)
    truth[100:140, 100:140] = 1
    truth[450:500, 300:340] = 1
    prediction = truth.copy()
    prediction[450:500, 300:340] = 0
    picture = overlay(np.zeros((1, 600, 400), np.float32), truth, prediction, (1.0, 1.0))
    rows, columns = np.nonzero(has(picture, FRAME))
    # columns of the picture are x: the missed square lies right and low
    assert columns.min() / 630 < 450 / 600 < columns.max() / 630
    assert rows.min() / 420 < 300 / 400 < rows.max() / 420
    assert has(picture[:, 640:], TRUTH).any()
    assert not has(picture[:, 640:], BOTH).any()


def test_2d_columns_are_x_and_rows_are_y() -> None:
    image = np.zeros((3, 40, 20), np.float32)
    image[0, :, :5] = 255.0  # small y: the top is red
    empty = np.zeros((40, 20), np.uint8)
    picture = overlay(image, empty, empty, (1.0, 1.0))
    assert tuple(picture[10, 10]) == (255, 0, 0)
    assert tuple(picture[-10, 10]) == (0, 0, 0)
    assert picture.shape[1] > picture.shape[0]


def test_outlines_are_inner_rims_of_each_label() -> None:
    mask = np.zeros((12, 12), np.uint8)
    mask[2:6, 2:10], mask[6:10, 2:10] = 1, 2
    rim = outline(mask, 1)
    assert rim[5, 5]  # the border between the two labels is drawn
    assert rim[6, 5]
    assert not rim[4, 5]
    assert not rim[mask == 0].any()


def test_resizing_keeps_places() -> None:
    image = np.zeros((1, 10, 10), np.float32)
    image[0, 2, 7] = 1.0
    large = resize_image(image, (50, 50))[0]
    assert np.unravel_index(large.argmax(), large.shape) == (12, 37)
    small = resize_image(np.ones((2, 100, 60), np.float32), (10, 6))
    np.testing.assert_allclose(small, np.ones((2, 10, 6)))
    np.testing.assert_array_equal(
        resize_mask(np.eye(3, dtype=np.uint8), (6, 6)), np.kron(np.eye(3), np.ones((2, 2)))
    )


def test_letters_are_readable_dots() -> None:
    for glyph, dots in GLYPHS.items():
        picture = np.full((40, 40, 3), 128, np.uint8)
        letter(picture, glyph, "top")
        assert has(picture, (255, 255, 255)).sum() == 4 * dots.count("#")
        assert has(picture[:20], (0, 0, 0)).any()  # the dark rim


def test_rows_and_columns_of_pictures() -> None:
    red, wide = np.full((4, 6, 3), 200, np.uint8), np.full((2, 10, 3), 100, np.uint8)
    assert beside([red, wide], gap=2).shape == (4, 18, 3)
    assert above([red, wide], gap=2).shape == (8, 10, 3)
    assert (beside([red, wide], gap=2)[1:3, 8:] == 100).all()


def test_png_keeps_every_pixel() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(picture)))), picture)

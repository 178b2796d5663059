from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset

from medunet.errors import DataError
from medunet.io.check import same_grid
from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.dicom.geometry import position_groups, stack
from medunet.io.dicom.headers import read_slices
from medunet.io.read import read_image, read_mask
from medunet.io.write import write_mask
from tests.io.edited import edit, refused
from tests.io.hard_series import Series, save


def test_an_oblique_series_and_its_mask_lie_where_the_affine_says(
    scan: tuple, oblique: np.ndarray, tmp_path: Path
) -> None:
    array, _ = scan
    write_ct_series(tmp_path / "ct", array, oblique, patient_id="p", description="d", seed=0)
    volume = read_image(tmp_path / "ct")
    assert np.array_equal(volume.array[0], array)
    assert np.allclose(volume.affine, oblique, atol=1e-6)
    mask = (array > 0).astype(np.uint8)
    write_mask(tmp_path / "mask.nii.gz", mask, volume)
    back = read_mask(tmp_path / "mask.nii.gz")
    assert np.array_equal(back.array, mask)
    assert np.allclose(back.affine, oblique, atol=1e-4)


def test_order_comes_from_positions_not_from_names_or_numbers(scan: tuple, series: Path) -> None:
    rng = np.random.default_rng(0)
    files = sorted(series.iterdir())
    for number, path in zip(rng.permutation(len(files)), files, strict=True):
        path.rename(series / f"x{number}.dcm")
    edit(series, lambda dataset, _: setattr(dataset, "InstanceNumber", 1))
    assert np.array_equal(read_image(series).array[0], scan[0])


def test_a_missing_slice_is_refused_with_the_gap(series: Path) -> None:
    (series / "0005.dcm").unlink()
    refused(series, r"gap of 5\.000 mm \(2\.00x the median of 2\.500 mm\)")


def test_uneven_spacing_is_refused(series: Path) -> None:
    def change(dataset: Dataset, index: int) -> None:
        position = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [position[0], position[1], 300 + 2.5 * index + 0.3 * (index > 6)]

    edit(series, change)
    refused(series, r"not evenly spaced: a gap of 2\.800 mm")


def test_jitter_of_a_hundredth_is_read(scan: tuple, series: Path) -> None:
    def change(dataset: Dataset, index: int) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, float(z) + 0.01 * (-1) ** index]

    edit(series, change)
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert volume.spacing_mm[2] == pytest.approx(2.5, abs=0.003)


def test_gantry_tilt_is_refused_in_degrees_and_kept_as_shear_for_repairs(scan: tuple, series: Path) -> None:
    def change(dataset: Dataset, index: int) -> None:
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y + np.tan(np.radians(15)) * 2.5 * index, z]

    edit(series, change)
    refused(series, r"tilted by 15\.0 degrees")
    volume = read_image(series, any_grid=True)
    assert np.array_equal(volume.array[0], scan[0])
    assert volume.affine[1, 2] == pytest.approx(-np.tan(np.radians(15)) * 2.5, abs=1e-3)


@pytest.fixture
def tilted(tmp_path: Path) -> Path:
    tan = float(np.tan(np.radians(15)))
    save(tmp_path / "tilted", Series(step=(0.0, 2.5 * tan, 2.5), shape=(20, 24)).images())
    return tmp_path / "tilted"


@pytest.mark.parametrize("how", [{"any_grid": True}, {"irregular": "resample"}])
@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_the_mask_of_tilted_slices_is_read_onto_its_image(ending: str, how: dict, tilted: Path) -> None:
    image = read_image(tilted, **how)
    mask = np.zeros(image.shape, np.uint8)
    mask[4:9, 5:12, 2:6] = 3
    path = tilted.parent / f"mask{ending}"
    write_mask(path, mask, image)
    back = read_mask(path, image=image)
    assert same_grid(image, back) is None
    assert np.array_equal(image.grid.from_ras(back.array), image.grid.from_ras(mask))
    with pytest.raises(DataError, match="not at right angles"):
        read_mask(path)  # without the image, nobody knows that it fits
    with pytest.raises(DataError, match="not at right angles"):
        read_image(path)


def test_the_mask_of_other_tilted_slices_is_refused(tilted: Path) -> None:
    image = read_image(tilted, irregular="resample")
    path = tilted.parent / "mask.nii.gz"
    write_mask(path, np.ones(image.shape, np.uint8), image)
    save(tilted.parent / "other", Series(step=(0.0, -0.67, 2.5), shape=(20, 24)).images())
    other = read_image(tilted.parent / "other", irregular="resample")
    with pytest.raises(DataError, match=r"not that of .*other") as caught:
        read_mask(path, image=other)
    assert str(path) in str(caught.value)


def test_a_reader_that_knows_no_shear_refuses_the_mask_of_tilted_slices(tilted: Path) -> None:
    """With a qform, which holds no shear, SimpleITK read it turned by 7.5 degrees."""
    image = read_image(tilted, irregular="resample")
    path = tilted.parent / "mask.nii.gz"
    write_mask(path, np.ones(image.shape, np.uint8), image)
    header = nib.load(path).header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 1)
    assert np.allclose(header.get_best_affine(), image.grid.affine, atol=1e-4)
    with pytest.raises(RuntimeError, match="orthonormal"):
        SimpleITK.ReadImage(str(path))


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("Rows", 3, "differ in size"),
        ("PixelSpacing", [2.0, 2.0], "differ in pixel spacing"),
        ("ImageOrientationPatient", [0, 1, 0, 1, 0, 0], "differ in orientation"),
    ],
)
def test_one_slice_that_does_not_belong_is_refused(
    keyword: str, value: object, expected: str, series: Path
) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if index == 5:
            setattr(dataset, keyword, value)

    edit(series, change)
    refused(series, expected)


def enhanced(series: Path, order: list[int]) -> Dataset:
    """Return one multi-frame file of the slices of a series."""
    slices = [pydicom.dcmread(path) for path in sorted(series.iterdir())]
    first = slices[0]
    shared, measures, plane, values = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.SliceThickness
    plane.ImageOrientationPatient = first.ImageOrientationPatient
    values.RescaleSlope, values.RescaleIntercept = "1", "-1024"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [values]
    frames = []
    for index in order:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = slices[index].ImagePositionPatient
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    dataset = first
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(dataset, keyword)
    del dataset.RescaleIntercept, dataset.SliceThickness
    dataset.SOPClassUID = pydicom.uid.EnhancedCTImageStorage
    dataset.NumberOfFrames = len(order)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.PixelData = b"".join(pydicom.dcmread(sorted(series.iterdir())[i]).PixelData for i in order)
    return dataset


def test_enhanced_frames_are_sorted_by_position(scan: tuple, series: Path, tmp_path: Path) -> None:
    order = [3, 1, 9, 0, 2, 8, 7, 4, 6, 5]
    enhanced(series, order).save_as(tmp_path / "enhanced.dcm")
    volume = read_image(tmp_path / "enhanced.dcm")
    assert np.array_equal(volume.array[0], scan[0])
    assert np.allclose(volume.affine, scan[1], atol=1e-6)
    dataset = enhanced(series, order)
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.save_as(tmp_path / "bare.dcm")
    refused(tmp_path / "bare.dcm", "10 frames, but positions for 0")
    enhanced(series, [0, 1, 2, 3, 0, 1, 2, 3]).save_as(tmp_path / "copies.dcm")
    assert read_image(tmp_path / "copies.dcm").shape == (11, 9, 4)
    enhanced(series, [0, 1, 3]).save_as(tmp_path / "gap.dcm")
    refused(tmp_path / "gap.dcm", "not evenly spaced")


def test_a_projection_is_a_picture_with_known_pixels(series: Path) -> None:
    path = series / "0001.dcm"
    dataset = pydicom.dcmread(path)
    stored = dataset.pixel_array - 1024.0
    dataset.Modality = "DX"
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    dataset.save_as(path)
    volume = read_image(path)
    assert volume.array.shape == (1, 11, 9)
    assert np.array_equal(volume.array[0], stored.T)
    assert volume.spacing_mm == (0.8, 1.2)


def test_a_stack_needs_no_pixels(scan: tuple, series: Path) -> None:
    planes = [plane for path in series.iterdir() for plane in read_slices(path)]
    found = stack(planes[::-1], "here")
    heights = [plane.position_mm[2] for plane in found.slices]
    assert heights == sorted(heights)
    assert found.affine[2].tolist() == pytest.approx([0.0, 0.0, 2.5, 300.0])
    assert [len(group) for group in position_groups([*planes, planes[3]])].count(2) == 1

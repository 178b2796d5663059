from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from medunet.errors import DataError
from medunet.geometry import voxel_to_mm
from medunet.io.dicom_write import write_ct_series
from medunet.io.read import content_hash, find_images, read_header, read_image, read_mask
from medunet.io.write import write_mask


@pytest.fixture
def series(scan: tuple, tmp_path: Path) -> Path:
    array, affine = scan
    folder = tmp_path / "ct"
    write_ct_series(folder, array, affine, patient_id="p1", description="phantom", seed=0)
    return folder


def edit(folder: Path, change: Callable[[Dataset, int], None]) -> None:
    """Change every file of a series in place; index counts slices from below."""
    for index, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        change(dataset, index)
        dataset.save_as(path)


def refused(source: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_image(source)
    assert str(source) in str(caught.value)


def test_a_written_series_is_read_back_in_place(scan: tuple, series: Path) -> None:
    array, affine = scan
    volume = read_image(series)
    assert np.array_equal(volume.array[0], array)
    assert np.allclose(volume.affine, affine, atol=1e-6)
    assert volume.modality == "CT"
    assert volume.warnings == ()
    header = read_header(series)
    assert (header.shape, header.format, header.dtype) == (array.shape, "dicom", "int16")


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


def test_what_is_written_is_what_the_standard_says(scan: tuple, series: Path) -> None:
    array, affine = scan
    dataset = pydicom.dcmread(series / "0003.dcm")
    assert dataset.SOPClassUID == pydicom.uid.CTImageStorage
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert (dataset.RescaleIntercept, dataset.RescaleSlope) == (-1024, 1)
    assert (dataset.PatientID, dataset.StudyDescription) == ("p1", "phantom")
    assert [float(x) for x in dataset.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    row, column = 4, 7
    cosines = np.array(dataset.ImageOrientationPatient, float)
    spacing = [float(x) for x in dataset.PixelSpacing]
    lps = np.array(dataset.ImagePositionPatient, float)  # PS3.3 C.7.6.2.1.1
    lps = lps + cosines[:3] * spacing[1] * column + cosines[3:] * spacing[0] * row
    voxel = np.round((lps * [-1, -1, 1] - affine[:3, 3]) / np.diag(affine)[:3]).astype(int)
    assert np.allclose(voxel_to_mm(affine, voxel.astype(float)), lps * [-1, -1, 1], atol=1e-6)
    assert dataset.pixel_array[row, column] - 1024 == array[tuple(voxel)]
    names = [pydicom.dcmread(path).SOPInstanceUID for path in series.iterdir()]
    assert len(set(names)) == array.shape[2]


def test_writing_twice_gives_the_same_bytes(scan: tuple, series: Path, tmp_path: Path) -> None:
    array, affine = scan
    write_ct_series(tmp_path / "again", array, affine, patient_id="p1", description="phantom", seed=0)
    assert content_hash(tmp_path / "again") == content_hash(series)
    write_ct_series(tmp_path / "other", array, affine, patient_id="p1", description="phantom", seed=1)
    first, other = (pydicom.dcmread(folder / "0001.dcm") for folder in (series, tmp_path / "other"))
    assert first.SeriesInstanceUID != other.SeriesInstanceUID
    with pytest.raises(DataError, match="holds files already"):
        write_ct_series(series, array, affine, patient_id="p1", description="phantom", seed=0)


def test_order_comes_from_positions_not_from_names_or_numbers(scan: tuple, series: Path) -> None:
    rng = np.random.default_rng(0)
    files = sorted(series.iterdir())
    for number, path in zip(rng.permutation(len(files)), files, strict=True):
        path.rename(series / f"x{number}.dcm")
    edit(series, lambda dataset, _: setattr(dataset, "InstanceNumber", 1))
    assert np.array_equal(read_image(series).array[0], scan[0])


def test_foreign_files_beside_a_series_do_not_matter(scan: tuple, series: Path) -> None:
    (series / "readme.txt").write_text("hello")
    (series / "empty").touch()
    assert np.array_equal(read_image(series).array[0], scan[0])


def test_slope_and_intercept_belong_to_each_slice(scan: tuple, series: Path) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(1 + index), str(-1024 * (1 + index))

    edit(series, change)
    expected = scan[0].astype(float) * (1 + np.arange(10))
    assert np.allclose(read_image(series).array[0], expected)


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


def test_two_images_in_one_place_are_refused_and_copies_are_dropped(scan: tuple, series: Path) -> None:
    shutil.copy(series / "0004.dcm", series / "copy.dcm")
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert any("1 copies" in text for text in volume.warnings)
    dataset = pydicom.dcmread(series / "copy.dcm")
    dataset.SOPInstanceUID = generate_uid()
    dataset.PixelData = dataset.PixelData[2:] + b"\0\0"
    dataset.save_as(series / "copy.dcm")
    refused(series, "2 different images .of 11. at the position")


def test_files_that_share_one_instance_uid_are_told_apart_by_position(scan: tuple, series: Path) -> None:
    edit(series, lambda dataset, _: setattr(dataset, "SOPInstanceUID", "1.2.3"))
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert any("SOPInstanceUID" in text for text in volume.warnings)


def test_empty_uids_are_read_where_the_grid_is_regular(scan: tuple, series: Path) -> None:
    def change(dataset: Dataset, _: int) -> None:
        dataset.SOPInstanceUID = dataset.SeriesInstanceUID = dataset.StudyInstanceUID = ""

    edit(series, change)
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert any("name no series" in text for text in volume.warnings)


def test_two_series_in_a_folder_are_two_sources(scan: tuple, series: Path, tmp_path: Path) -> None:
    array, affine = scan
    write_ct_series(tmp_path / "second", array[::-1], affine, patient_id="p1", description="b", seed=2)
    for path in (tmp_path / "second").iterdir():
        shutil.copy(path, series / f"b{path.name}")
    shutil.rmtree(tmp_path / "second")
    refused(series, "found 2 series")
    sources, skipped = find_images([series])
    assert skipped == []
    assert len({source.name for source in sources}) == 2
    assert [source.path for source in sources] == [series, series]
    assert np.array_equal(read_image(sources[0]).array[0], array)
    assert np.array_equal(read_image(sources[1]).array[0], array[::-1])


def test_a_localizer_inside_is_left_out(scan: tuple, series: Path) -> None:
    dataset = pydicom.dcmread(series / "0001.dcm")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    dataset.SOPInstanceUID = generate_uid()
    dataset.save_as(series / "scout.dcm")
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert any("1 localizer" in text for text in volume.warnings)


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


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PixelSpacing", [0.0, 0.0], "PixelSpacing"),
        ("PixelSpacing", None, "PixelSpacing is missing"),
        ("ImageOrientationPatient", None, "no ImageOrientationPatient"),
        ("ImagePositionPatient", None, "no ImagePositionPatient"),
        ("ImageOrientationPatient", [1, 0, 0, 0.5, 0.5, 0.2], "right angles"),
        ("RescaleSlope", "0", "RescaleSlope is 0"),
        ("SamplesPerPixel", 3, "colour"),
        ("HighBit", 12, "high bit 12"),
        ("Rows", 65535, "damaged or cut short"),
    ],
)
def test_a_file_with_a_wrong_header_is_refused(
    keyword: str, value: object, expected: str, series: Path
) -> None:
    path = series / "0001.dcm"
    dataset = pydicom.dcmread(path)
    if value is None:
        delattr(dataset, keyword)
    else:
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    refused(path, expected)


def test_a_header_that_claims_10_to_the_14_pixels_is_refused(series: Path) -> None:
    dataset = pydicom.dcmread(series / "0001.dcm")
    dataset.Rows = dataset.Columns = 65535
    dataset.NumberOfFrames = 30000
    dataset.save_as(series / "0001.dcm")
    refused(series / "0001.dcm", "65535 x 65535 x 30000")


def test_a_truncated_file_makes_the_series_refused(series: Path) -> None:
    path = series / "0004.dcm"
    path.write_bytes(path.read_bytes()[:-60])
    refused(series, "cut short")
    last = series / "0010.dcm"  # without it the rest would look whole
    for length in (900, 400, 200):
        last.write_bytes(last.read_bytes()[:length])
        with pytest.raises(DataError, match="may lack a slice"):
            read_image(series)


def test_a_single_file_is_one_slice(scan: tuple, series: Path) -> None:
    volume = read_image(series / "0003.dcm")
    assert np.array_equal(volume.array[0, :, :, 0], scan[0][:, :, 2])
    assert volume.spacing_mm == pytest.approx((0.8, 1.2, 2.5))
    assert any("one slice" in text for text in volume.warnings)


def test_monochrome1_is_turned_round(scan: tuple, series: Path) -> None:
    edit(series, lambda dataset, _: setattr(dataset, "PhotometricInterpretation", "MONOCHROME1"))
    volume = read_image(series)
    stored = scan[0].astype(int) + 1024
    assert np.array_equal(volume.array[0], (-1 - stored) - 1024)
    assert any("MONOCHROME1" in text for text in volume.warnings)


def test_bits_above_the_stored_ones_are_ignored(scan: tuple, series: Path) -> None:
    def change(dataset: Dataset, _: int) -> None:
        pixels = np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF
        dataset.PixelData = (pixels | 0x8000).astype("<u2").tobytes()
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0

    edit(series, change)
    assert np.array_equal(read_image(series).array[0], scan[0])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_slices_are_read_exactly(syntax: str, scan: tuple, series: Path) -> None:
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)
    assert np.array_equal(read_image(series).array[0], scan[0])


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encodings_are_read_exactly(syntax: str, scan: tuple, series: Path) -> None:
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        little = syntax != ExplicitVRBigEndian
        pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=little, force_encoding=True)
    assert np.array_equal(read_image(series).array[0], scan[0])


def test_a_deflated_bomb_is_refused(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medunet.io.dicom_headers.LARGEST_INFLATED", 2**16)
    path = series / "0001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.PixelData = bytes(2**20)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    assert path.stat().st_size < 2**14
    refused(path, "grows beyond")


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


def test_reports_and_plans_are_skipped_with_their_kind(series: Path) -> None:
    for name, modality in (("sr.dcm", "SR"), ("seg.dcm", "SEG")):
        dataset = pydicom.dcmread(series / "0001.dcm")
        dataset.Modality = modality
        dataset.save_as(series / name)
    assert read_image(series).shape == (11, 9, 10)
    sources, skipped = find_images([series])
    assert len(sources) == 1
    assert {"SR" in entry.reason or "SEG" in entry.reason for entry in skipped} == {True}
    refused(series / "sr.dcm", "DICOM SR, not a scan")


def test_writing_refuses_what_a_ct_cannot_hold(scan: tuple, tmp_path: Path) -> None:
    array, affine = scan
    sheared = affine.copy()
    sheared[0, 1] = 0.3
    for hu, grid, expected in (
        (array.astype(np.float32), affine, "whole numbers"),
        (array.astype(np.int32) + 40000, affine, "must lie between"),
        (array, sheared, "right angles"),
    ):
        with pytest.raises(DataError, match=expected):
            write_ct_series(tmp_path / "bad", hu, grid, patient_id="p", description="d", seed=0)
    assert not (tmp_path / "bad").exists()

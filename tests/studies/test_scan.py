from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medunet.io.dicom_write import write_ct_series
from medunet.io.write import write_image
from medunet.studies.reader import Reader, ReadLimits
from medunet.studies.scan import Scanned, folders_of, scan
from tests.phantoms import RAS_1MM, two_balls
from tests.studies.conftest import scans
from tests.studies.test_reader import POISONED

HU = two_balls(0, (8, 9, 6))[0].astype(np.int16)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(ReadLimits()) as found:
        yield found


def look(reader: Reader, *paths: Path, channels: int = 1, leave_out: tuple[Path, ...] = ()) -> Scanned:
    return scan(folders_of(paths, leave_out), reader, channels, paths)


def series(folder: Path, patient: str, seed: int) -> Path:
    write_ct_series(folder, HU, RAS_1MM, patient_id=patient, description=f"d{seed}", seed=seed)
    return folder


def same_study(root: Path) -> Path:
    """Write two series of one study into two folders."""
    import pydicom

    first, second = series(root / "a", "Smith", 1), series(root / "b", "Smith", 2)
    study = pydicom.dcmread(next(first.iterdir())).StudyInstanceUID
    for file in second.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.StudyInstanceUID = study
        dataset.save_as(file)
    return root


def test_series_are_studies_by_their_uid_wherever_they_lie(tmp_path: Path, reader: Reader):
    same_study(tmp_path / "one")
    series(tmp_path / "two", "Jones", 3)
    found = look(reader, tmp_path)
    assert sorted(len(study.images) for study in found.studies) == [1, 2]
    assert all(len(study.study) == 12 for study in found.studies)
    flat = tmp_path / "flat"  # all files in one folder
    flat.mkdir()
    for number, file in enumerate(sorted([*tmp_path.rglob("*.dcm")])):
        shutil.copy(file, flat / f"{number}")
    again = look(reader, flat)
    assert {study.content for study in again.studies} == {study.content for study in found.studies}


def test_a_series_that_lies_twice_counts_once_and_one_slice_more_is_another_content(
    tmp_path: Path, reader: Reader
):
    first = series(tmp_path / "a", "Smith", 1)
    (alone,) = look(reader, first).studies
    shutil.copytree(first, tmp_path / "copy")
    (both,) = look(reader, tmp_path).studies
    assert (both.content, len(both.images)) == (alone.content, 1)
    next(first.iterdir()).unlink()
    (shorter,) = look(reader, first).studies
    assert shorter.study == alone.study
    assert shorter.content != alone.content


def test_plain_files_are_studies_of_their_own(tmp_path: Path, reader: Reader):
    scans(tmp_path / "x", 2)
    write_image(tmp_path / "case_0000.nii.gz", two_balls(8)[0], RAS_1MM)
    write_image(tmp_path / "case_0001.nii.gz", two_balls(9)[0], RAS_1MM)
    assert len(look(reader, tmp_path).studies) == 4
    two = look(reader, tmp_path, channels=2).studies
    assert sorted(len(study.images) for study in two) == [1, 1, 2]
    pair = next(study for study in two if len(study.images) == 2)
    assert [image.files for image in pair.images] == [("case_0000.nii.gz",), ("case_0001.nii.gz",)]


def test_what_is_no_image_is_told_and_our_own_results_are_not_looked_at(tmp_path: Path, reader: Reader):
    scans(tmp_path, 1)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "broken.nii.gz").write_bytes(b"")
    (tmp_path / ".hidden.nii.gz").write_bytes(b"")
    scans(tmp_path / "out/abc", 1)
    (tmp_path / "out/abc/result.json").write_text("{}")
    scans(tmp_path / "later", 1)
    found = look(reader, tmp_path, leave_out=(tmp_path / "later",))
    assert len(found.studies) == 1
    assert {(left.path.name, left.meant) for left in found.left} == {
        ("notes.txt", False),
        ("broken.nii.gz", True),
    }
    assert look(reader, tmp_path / "notes.txt").left[0].meant  # it was named


def test_a_file_that_kills_the_reader_is_found_and_left_out(tmp_path: Path):
    scans(tmp_path, 5)
    shutil.copy(tmp_path / "Smith_002.nii.gz", tmp_path / "Smith_crash.nii.gz")
    with Reader(ReadLimits(), POISONED) as poisoned:
        found = look(poisoned, tmp_path)
    assert len(found.studies) == 5
    (left,) = found.left
    assert (left.path.name, left.meant) == ("Smith_crash.nii.gz", True)
    assert "SIGSEGV" in left.reason
    assert sys.platform == "win32" or "Smith" not in left.reason

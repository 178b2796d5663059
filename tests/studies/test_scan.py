from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.write import write_image
from medunet.studies.reader import Reader, ReadLimits
from medunet.studies.scan import Left, Scanned, folders_of, scan
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
    (tmp_path / "out/abc/result.json").write_text('{"identity": "i", "model_sha256": "m"}')
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


@pytest.mark.parametrize("folders", [2, 6])
def test_a_series_is_one_image_however_many_folders_it_lies_in(tmp_path: Path, reader: Reader, folders: int):
    first = series(tmp_path / "in/first", "Smith", 1)
    series(tmp_path / "in/second", "Jones", 2)
    shutil.copytree(first, tmp_path / "in/copy")
    whole = {study.content: study.study for study in look(reader, tmp_path / "in").studies}
    assert len(whole) == 2
    for number, file in enumerate(sorted(tmp_path.glob("in/*/*"))):
        place = tmp_path / f"spread/{number % folders}"
        place.mkdir(parents=True, exist_ok=True)
        file.rename(place / f"{file.parent.name}{number}")
    found = look(reader, tmp_path / "spread")
    assert {study.content: study.study for study in found.studies} == whole
    assert [len(study.images) for study in found.studies] == [1, 1]
    assert found.left == []
    for study in found.studies:
        assert len(study.images[0].files) == 6
        assert reader.read(study.images, 1, None)[0].shape == HU.shape


def test_only_the_files_of_all_channels_are_one_study(tmp_path: Path, reader: Reader):
    for number in (1234, 1235, 1240):
        write_image(tmp_path / f"in/IMG_{number}.nii.gz", two_balls(number)[0], RAS_1MM)
    assert [len(study.images) for study in look(reader, tmp_path, channels=3).studies] == [1, 1, 1]
    shutil.copy(tmp_path / "in/IMG_1234.nii.gz", tmp_path / "in/a_0000.nii.gz")
    twice = look(reader, tmp_path, tmp_path / "in", tmp_path / "in/a_0000.nii.gz", channels=2).studies
    assert [len(study.images) for study in twice] == [1, 1, 1, 1]


def test_what_the_system_closes_to_us_is_told_and_the_rest_is_found(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
):
    scans(tmp_path / "open", 2)
    scans(tmp_path / "closed", 1)
    listed, is_file = os.scandir, Path.is_file

    def scandir(path: object) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    def checked(path: Path) -> bool:
        if path.name == "Smith_001.nii.gz":
            raise OSError(5, "Input/output error", str(path))
        return is_file(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "is_file", checked)
    left: list[Left] = []
    found = scan(folders_of([tmp_path], left=left), reader, 1, [tmp_path])
    assert len(found.studies) == 1
    assert {(entry.path.name, entry.meant) for entry in left} == {
        ("closed", True),
        ("Smith_001.nii.gz", True),
    }
    assert any("Permission denied" in entry.reason for entry in left)
    assert not any("Smith" in entry.reason for entry in left)


@pytest.mark.parametrize("text", ["{}", "[1]", "no JSON", '{"identity": 1}', "[" * 100_000])
def test_the_result_of_another_program_hides_no_scans(tmp_path: Path, reader: Reader, text: str):
    scans(tmp_path / "below", 1)
    (tmp_path / "result.json").write_text(text)
    assert len(look(reader, tmp_path).studies) == 1


def test_a_file_that_the_drive_does_not_give_costs_only_itself(tmp_path: Path):
    scans(tmp_path, 3)
    shutil.copy(tmp_path / "Smith_002.nii.gz", tmp_path / "Smith_broken_sector.nii.gz")
    with Reader(ReadLimits(), POISONED) as poisoned:
        found = look(poisoned, tmp_path)
    assert len(found.studies) == 3
    assert [(left.path.name, left.meant) for left in found.left] == [("Smith_broken_sector.nii.gz", True)]
    assert "Input/output error" in found.left[0].reason

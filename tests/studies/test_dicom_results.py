from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from medunet.io.dicom_mask import read_dicom_mask
from medunet.io.dicom_write import write_ct_series
from medunet.io.find import find_images
from medunet.io.read import read_image
from medunet.io.volume import Grid, Volume
from medunet.studies.study import Study
from medunet.studies.writers import WRITERS
from tests.io.hard_series import Series, save
from tests.io.test_hard_series import TILTED
from tests.phantoms import card

DICOM = sorted(set(WRITERS) - {"nifti"})
FILES = {"seg": "seg.dcm", "rtstruct": "rtstruct.dcm", "sr": "sr.dcm", "preview": "preview.dcm"}
Folder = Callable[[str], Path]


def study_of(files: tuple[Path, ...], grid: Grid, **changes: Any) -> Study:
    facts: dict[str, Any] = {
        "name": "s1",
        "identity": "i",
        "series": (files,),
        "grid": grid,
        "card": card(),
        "model": {"run": "two_balls"},
        "model_sha256": "0" * 64,
        "options": "",
        "flags": (),
    }
    return Study(**facts | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    return make


@pytest.fixture
def scan(tmp_path: Path) -> Volume:
    hu = np.random.default_rng(0).integers(-100, 300, (20, 24, 9)).astype(np.int16)
    affine = np.diag([0.9, 0.9, 3.0, 1.0])
    write_ct_series(tmp_path / "ct", hu, affine, patient_id="Smith", description="x", seed=0)
    return read_image(tmp_path / "ct")


def drawn(volume: Volume) -> Any:
    mask = np.zeros(volume.shape, np.uint8)
    mask[3:8, 5:9, 2:5], mask[12:15, 14:20, 3:8] = 1, 2
    return mask


@pytest.mark.parametrize("kind", DICOM)
def test_every_format_is_written_alike_each_time(kind: str, scan: Volume, folder: Folder) -> None:
    files = tuple(sorted((scan.path).iterdir()))
    study = study_of(files, scan.grid)
    first, again = folder("a"), folder("b")
    made = WRITERS[kind](scan, drawn(scan), study, first)
    WRITERS[kind](scan, drawn(scan), study_of(files[::-1], scan.grid, identity="other formats"), again)
    assert first / FILES[kind] in made
    assert sorted(made) == sorted(first.iterdir())
    for path in made:
        assert path.read_bytes() == (again / path.name).read_bytes()
        dataset = pydicom.dcmread(path)
        assert dataset.Manufacturer == "medunet"  # a PACS that sends it back is told by this
        assert dataset.PatientID == "Smith"
        assert dataset.StudyInstanceUID == pydicom.dcmread(files[0]).StudyInstanceUID


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_masks_come_back_voxel_for_voxel(kind: str, scan: Volume, folder: Folder) -> None:
    files = tuple(sorted((scan.path).iterdir()))
    (path,) = WRITERS[kind](scan, drawn(scan), study_of(files, scan.grid), folder("a"))
    back = read_dicom_mask(path, scan.grid, card().drawn_names)
    assert np.array_equal(scan.grid.to_ras(back), drawn(scan))


@pytest.mark.parametrize("heights", [range(8), (0, 1, 2, 3, 4.4, 5.8, 7.2)])
def test_results_of_resampled_planes_lie_on_the_planes(heights: Any, tmp_path: Path, folder: Folder) -> None:
    save(tmp_path / "ct", Series(heights=tuple(heights), **TILTED).images())
    volume = read_image(tmp_path / "ct", irregular="resample")
    files = tuple(sorted((tmp_path / "ct").iterdir()))
    mask = np.zeros(volume.shape, np.uint8)
    mask[2:9, 4:9, 1:6] = 1
    stored = volume.grid.from_ras(mask)
    assert stored.any()
    (path,) = WRITERS["seg"](volume, mask, study_of(files, volume.grid), folder("a"))
    dataset = pydicom.dcmread(path)
    sources = {pydicom.dcmread(file).SOPInstanceUID: file for file in files}
    drawn_on = [
        sources[group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        for group in dataset.PerFrameFunctionalGroupsSequence
    ]
    heights_found = [float(pydicom.dcmread(file).ImagePositionPatient[2]) for file in drawn_on]
    filled = [k for k in range(stored.shape[2]) if stored[..., k].any()]
    expected = volume.grid.origins[filled, 2]
    assert sorted(heights_found) == pytest.approx(sorted(expected), abs=1e-3)
    frames = dataset.pixel_array if dataset.NumberOfFrames > 1 else dataset.pixel_array[None]
    for frame, height in zip(frames, heights_found, strict=True):
        index = int(np.abs(volume.grid.origins[:, 2] - height).argmin())
        assert np.array_equal(frame.T > 0, stored[..., index] > 0)


def test_an_empty_mask_has_a_report_but_no_segmentation(scan: Volume, folder: Folder) -> None:
    study = study_of(tuple(sorted((scan.path).iterdir())), scan.grid)
    empty = np.zeros(scan.shape, np.uint8)
    assert WRITERS["seg"](scan, empty, study, folder("a")) == []
    assert WRITERS["rtstruct"](scan, empty, study, folder("b")) == []
    assert [path.name for path in WRITERS["sr"](scan, empty, study, folder("c"))] == ["sr.dcm"]


def test_results_are_no_scans(scan: Volume, folder: Folder) -> None:
    study = study_of(tuple(sorted((scan.path).iterdir())), scan.grid)
    place = folder("a")
    for kind in DICOM:
        WRITERS[kind](scan, drawn(scan), study, place)
    sources, skipped = find_images([place])
    assert sources == []
    assert all("not a scan" in entry.reason for entry in skipped)

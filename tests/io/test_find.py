from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.io.dicom_write import write_ct_series
from medunet.io.read import content_hash, find_images, read_image
from medunet.io.sniff import kind_of
from medunet.io.write import write_image


class Marker:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_files_folders_and_series_are_found_with_unlike_names(scan: tuple, tmp_path: Path) -> None:
    array, affine = scan
    for name in ("a/scan.nii.gz", "b/scan.nii.gz", "b/other.mha", "b/.hidden.nii.gz", ".cache/scan.nii"):
        write_image(tmp_path / name, array, affine)
    write_ct_series(tmp_path / "c/ct", array, affine, patient_id="p", description="d", seed=0)
    sources, skipped = find_images([tmp_path])
    assert sorted(source.name for source in sources) == ["a_scan", "b_scan", "ct", "other"]
    assert skipped == []
    series = next(source for source in sources if source.name == "ct")
    assert (series.path, len(series.files)) == (tmp_path / "c/ct", 10)
    for source in sources:
        assert np.array_equal(read_image(source).array[0], array)


def test_slices_named_one_by_one_form_their_series(scan: tuple, tmp_path: Path) -> None:
    write_ct_series(tmp_path / "ct", *scan, patient_id="p", description="d", seed=0)
    sources, _ = find_images(sorted((tmp_path / "ct").iterdir()))
    assert len(sources) == 1
    assert read_image(sources[0]).shape == (11, 9, 10)


def test_what_is_no_image_is_skipped_with_a_reason_and_never_opened(tmp_path: Path) -> None:
    import pickle

    marker = tmp_path / "EXECUTED"
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "model.pt").write_bytes(pickle.dumps(Marker(marker)))
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("../../evil.txt", "x")
    (folder / "page.nii.gz").write_text("<!DOCTYPE html><html>Not found</html>")
    (folder / "card.json").write_text(json.dumps({"a": 1}))
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("hello")
    os.mkfifo(folder / "pipe.nii")
    sources, skipped = find_images([folder, tmp_path / "nowhere"])
    assert sources == []
    reasons = {entry.path.name: entry.reason for entry in skipped}
    expected = {
        "model.pt": "pickle",
        "a.zip": "zip",
        "page.nii.gz": "web page",
        "card.json": "JSON",
        "empty.png": "empty",
        "notes.txt": "text",
        "pipe.nii": "not a regular file",
        "nowhere": "no such file",
    }
    assert set(reasons) == set(expected)
    assert all(word in reasons[name] for name, word in expected.items())
    assert not marker.exists()
    for name in expected:
        if name != "nowhere":
            with pytest.raises(DataError, match=expected[name]):
                read_image(folder / name)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.nii\.gz: there is no such file"):
        read_image(tmp_path / "x.nii.gz")


def test_kind_comes_from_the_content_not_the_name(scan: tuple, tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", *scan)
    (tmp_path / "a.nii.gz").rename(tmp_path / "a.png")
    assert kind_of(tmp_path / "a.png") == "nifti"
    write_ct_series(tmp_path / "ct", *scan, patient_id="p", description="d", seed=0)
    path = tmp_path / "ct/0001.dcm"
    path.write_bytes(b"II*\0" + b"\0" * 124 + path.read_bytes()[128:])  # a TIFF header in the preamble
    assert kind_of(path) == "dicom"


def test_hash_follows_the_content_not_the_names(scan: tuple, tmp_path: Path) -> None:
    write_ct_series(tmp_path / "ct", *scan, patient_id="p", description="d", seed=0)
    before = content_hash(tmp_path / "ct")
    (tmp_path / "ct/0001.dcm").rename(tmp_path / "ct/z.dcm")
    assert content_hash(tmp_path / "ct") == before
    (tmp_path / "ct/z.dcm").unlink()
    assert content_hash(tmp_path / "ct") != before

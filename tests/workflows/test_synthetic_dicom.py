from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from medunet.errors import DataError
from medunet.io.read import content_hash, read_image, read_mask
from medunet.workflows.synthetic_dicom import export_dicom
from tests.workflows.test_synthetic_set import filled, pair


def test_a_set_becomes_series_and_segmentations_and_goes_on(tmp_path: Path) -> None:
    found = filled(tmp_path / "set", numbers=(0, 1))
    folders = export_dicom(found, tmp_path / "out")
    assert list(folders) == ["synthetic_000000", "synthetic_000001"]
    image, mask = pair(1, 3)
    back = read_image(folders["synthetic_000001"] / "image")
    assert np.allclose(back.array, image, atol=np.ptp(image) / 60000)
    assert back.spacing_mm == pytest.approx((0.5, 1.0, 2.0))
    again = read_mask(folders["synthetic_000001"] / "seg.dcm", image=back, drawn_names=found.card.drawn_names)
    assert np.array_equal(again.array, mask)
    header = pydicom.dcmread(folders["synthetic_000001"] / "image/0001.dcm")
    assert found.sha256 in header.DerivationDescription
    before = content_hash(folders["synthetic_000000"] / "image")
    export_dicom(found, tmp_path / "out")
    export_dicom(found, tmp_path / "other", ["synthetic_000000"])
    assert content_hash(tmp_path / "out/synthetic_000000/image") == before
    assert content_hash(tmp_path / "other/synthetic_000000/image") == before


def test_what_was_changed_or_is_unknown_is_not_exported(tmp_path: Path) -> None:
    found = filled(tmp_path / "set", numbers=(0, 1))
    found.mask_path("synthetic_000001").write_bytes(found.mask_path("synthetic_000000").read_bytes())
    with pytest.raises(DataError, match="is not what was sampled"):
        export_dicom(found, tmp_path / "out")
    with pytest.raises(DataError, match="no case"):
        export_dicom(found, tmp_path / "out", ["synthetic_000007"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["synthetic_000000"]

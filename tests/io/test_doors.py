from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.io.doors import layout_of, source_of, stored_of
from medunet.io.stored import Layout
from medunet.io.write import write_image


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd", "ct"])
def test_layout_and_voxels_agree_in_every_format(
    name: str, scan: tuple, series: Path, tmp_path: Path
) -> None:
    if name != "ct":
        write_image(tmp_path / name, *scan)
    files = source_of(tmp_path / name)
    layout, stored = layout_of(files), stored_of(files)
    assert stored.array.shape == (*layout.shape, layout.channels)
    assert np.array_equal(stored.layout.affine, layout.affine)
    assert sorted(stored.array.ravel()) == sorted(scan[0].ravel())


def test_a_header_is_in_ras_order_whatever_the_file_order() -> None:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = -3.0, 1.0, 2.0, 1.0  # axes I, R, A
    header = Layout((30, 10, 20), affine, 1, "int16", "nifti").to_header()
    assert header.shape == (10, 20, 30)
    assert header.spacing_mm == (1.0, 2.0, 3.0)
    assert np.array_equal(np.diag(header.affine), [1, 2, 3, 1])
    assert header.affine[2, 3] == -3.0 * 29


def test_a_folder_without_a_series_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"no DICOM scan \(0 DICOM and 1 other files\)"):
        source_of(tmp_path)

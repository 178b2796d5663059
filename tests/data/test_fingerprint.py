from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medunet.data.cases import find_cases
from medunet.data.fingerprint import content_key, fingerprint, read_pair
from medunet.errors import DataError
from medunet.io.write import write_image
from tests.phantoms import RAS_1MM, card, msd_folder, two_balls


def test_a_case_is_measured_once_and_remembered(tmp_path: Path):
    case = find_cases(card(), msd_folder(tmp_path / "data", 1)).cases[0]
    found = fingerprint(case, card(), "content", tmp_path / "store")
    _, mask = two_balls(0)
    assert found.label_voxels == {1: int((mask == 1).sum()), 2: int((mask == 2).sum())}
    assert found.shape == (22, 24, 20)
    assert np.mean(found.samples) == pytest.approx(80, abs=15)
    case.images[0].unlink()
    assert fingerprint(case, card(), "content", tmp_path / "store") == found


def test_the_key_depends_on_how_the_card_reads_the_mask():
    assert content_key("a", card()) != content_key("a", card(mask={"rule": "instances"}))
    assert content_key("a", card()) == content_key("a", card(title="Another title"))


def test_a_mask_on_another_grid_is_refused(tmp_path: Path):
    root = msd_folder(tmp_path, 1)
    _, mask = two_balls(0)
    moved = RAS_1MM.copy()
    moved[0, 3] = 5
    write_image(root / "labelsTr/case_00.nii.gz", mask, moved)
    with pytest.raises(DataError, match="case_00"):
        read_pair(find_cases(card(), root).cases[0], card())


def test_an_unknown_label_is_refused_by_value(tmp_path: Path):
    root = msd_folder(tmp_path, 1)
    _, mask = two_balls(0)
    mask[0, 0, 0] = 9
    write_image(root / "labelsTr/case_00.nii.gz", mask, RAS_1MM)
    with pytest.raises(DataError, match="9"):
        read_pair(find_cases(card(), root).cases[0], card())


def test_a_2d_file_in_a_3d_set_is_refused(tmp_path: Path):
    root = msd_folder(tmp_path, 1, dims=2)
    files = {"image": "images/{case}.png", "mask": "masks/{case}.png"}
    with pytest.raises(DataError, match="Correct `dims`"):
        read_pair(find_cases(card(files=files), root).cases[0], card(files=files))

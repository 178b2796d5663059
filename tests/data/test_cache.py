from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from medunet.data.cache import cached, foreground_points, preprocessing_key
from medunet.data.cases import find_cases
from medunet.errors import DataError
from tests.data.test_preprocess import plan
from tests.phantoms import card, msd_folder, two_balls


def test_an_entry_holds_image_mask_and_foreground(tmp_path: Path):
    case = find_cases(card(), msd_folder(tmp_path / "data", 1)).cases[0]
    entry = cached(case, card(), plan(), "content", tmp_path / "cache")
    _, mask = two_balls(0)
    assert np.array_equal(entry.mask, mask)
    assert isinstance(entry.image, np.memmap)
    assert entry.image.shape == (1, *mask.shape)
    labels = mask[tuple(entry.foreground[:, 1:].T)]
    assert np.array_equal(labels, entry.foreground[:, 0])
    assert len(entry.foreground) == (mask > 0).sum()


def test_a_second_run_reads_nothing(tmp_path: Path):
    root = msd_folder(tmp_path / "data", 1)
    case = find_cases(card(), root).cases[0]
    first = cached(case, card(), plan(), "content", tmp_path / "cache")
    shutil.rmtree(root)
    assert cached(case, card(), plan(), "content", tmp_path / "cache") == first


def test_what_an_interrupted_run_left_is_made_again(tmp_path: Path):
    case = find_cases(card(), msd_folder(tmp_path / "data", 1)).cases[0]
    half = tmp_path / "cache/cases" / preprocessing_key("content", card(), plan()) / "image.npy"
    entry = cached(case, card(), plan(), "content", tmp_path / "cache")
    (entry.folder / "entry.json").unlink()
    half.write_bytes(b"half")
    again = cached(case, card(), plan(), "content", tmp_path / "cache")
    assert again.image.shape == (1, 22, 24, 20)


def test_the_key_follows_everything_that_decides_the_bytes():
    base = preprocessing_key("c", card(), plan())
    assert preprocessing_key("d", card(), plan()) != base
    assert preprocessing_key("c", card(), plan(spacing_mm=(2.0, 1.0, 1.0))) != base
    assert preprocessing_key("c", card(), plan(normalisation="ct")) != base
    assert preprocessing_key("c", card(), plan(patch_voxels=(8, 8, 8))) == base


def test_many_foreground_voxels_are_drawn_from_not_cut_off():
    points = foreground_points(np.ones((60, 60, 10), np.uint8))
    assert len(points) == 10_000
    assert points[:, 1].max() > 55
    assert points[:, 1].min() < 5


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path):
    case = find_cases(card(), msd_folder(tmp_path / "data", 1)).cases[0]
    (tmp_path / "cache").write_text("a file where the cache should be")
    with pytest.raises(DataError, match="case_00 cannot be written"):
        cached(case, card(), plan(), "content", tmp_path / "cache")

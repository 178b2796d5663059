"""A folder without a card is recognised by what lies in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medunet.data.detect import detect
from medunet.data.patterns import compile_pattern, fill, walk
from medunet.errors import DataError
from medunet.io.write import write_image
from tests.phantoms import msd_folder, two_balls


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def pairs(root: Path) -> dict[str, str | None]:
    return {s.path.name: s.mask.name if s.mask else None for s in detect(root).subjects}


def test_msd_by_its_dataset_json_with_its_labels(tmp_path: Path) -> None:
    msd_folder(tmp_path, 2)
    said = {"labels": {"0": "background", "1": "bright"}, "training": [{"image": "./imagesTr/gone.nii.gz"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(said))
    found = detect(tmp_path)
    assert found.layout == "MSD"
    assert [s.id for s in found.subjects] == ["case_00", "case_01"]
    assert found.rules.labels == {1: "bright"}
    assert [(f.kind, "gone.nii.gz" in f.found) for f in found.findings] == [("partner", True)]


def test_nnunet_by_its_channel_files(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz")
    said = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "x": 1},
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(said))
    found = detect(tmp_path)
    assert found.layout == "nnU-Net"
    assert isinstance(found.subjects[0].image, tuple)
    assert [p.name for p in found.subjects[0].image] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert found.rules.labels == {1: "x"}


def test_bids_pairs_every_mask_with_the_longest_fitting_image(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/micr/sub-1_s1.png", "sub-1/micr/sub-1_s1_b.png", "dataset_description.json")
    touch(tmp_path, "derivatives/labels/sub-1/micr/sub-1_s1_b_seg-axon.png")
    touch(tmp_path, "derivatives/labels/sub-1/micr/sub-1_s1_seg-axon.png")
    assert detect(tmp_path).layout == "BIDS"
    assert pairs(tmp_path) == {
        "sub-1_s1.png": "sub-1_s1_seg-axon.png",
        "sub-1_s1_b.png": "sub-1_s1_b_seg-axon.png",
    }


def test_image_and_mask_folders_name_missing_partners(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "images/b.png", "masks/a_mask.png", "masks/c.png", "masks/._a.png")
    found = detect(tmp_path)
    assert pairs(tmp_path) == {"a.png": "a_mask.png", "b.png": None}
    assert {(f.path.name, f.expected) for f in found.findings} == {
        ("c.png", "an image named c"),
        ("b.png", "a mask named b"),
    }


def test_one_pair_and_loose_images(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    write_image(tmp_path / "pair/image.nii.gz", image, np.eye(4))
    write_image(tmp_path / "pair/label.nii.gz", mask, np.eye(4))
    assert detect(tmp_path / "pair").layout == "one pair"
    assert pairs(tmp_path / "pair") == {"image.nii.gz": "label.nii.gz"}
    (tmp_path / "notes.txt").write_text("hello")
    found = detect(tmp_path)
    assert (found.layout, len(found.subjects)) == ("loose images", 2)
    assert [entry.path.name for entry in found.skipped] == ["notes.txt"]


def test_patterns_refuse_unknown_placeholders_and_repeat_known_ones() -> None:
    with pytest.raises(DataError, match="unknown placeholder"):
        compile_pattern("{name}.png")
    again = compile_pattern("{case}/{case}.nii.gz")
    assert again.fullmatch("a/a.nii.gz")
    assert not again.fullmatch("a/b.nii.gz")
    assert fill("{patient}/{case}_{channel}.nii.gz", ("p", "c")) == "p/c_0000.nii.gz"


def test_walk_goes_no_deeper_than_asked(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/c/d.png", "a/e.png", ".git/x.png")
    assert sorted(walk(tmp_path, 1)) == [("a", True), ("a/b", True), ("a/e.png", False)]


def test_a_modality_that_is_no_list_is_passed_over(tmp_path: Path) -> None:
    msd_folder(tmp_path, 1)
    (tmp_path / "dataset.json").write_text('{"modality": 5}', encoding="utf-8")
    assert pairs(tmp_path) == {"case_00.nii.gz": "case_00.nii.gz"}

"""Cases are found by the card's patterns; what makes no case is told, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medunet.config.card import Card
from medunet.data.cases import check_expectations, find_cases
from medunet.errors import DataError


def make_card(**changes: Any) -> Card:
    values: dict[str, Any] = {
        "name": "toy",
        "title": "Toy",
        "source": "made in a test",
        "licence": "CC0-1.0",
        "modality": "MR",
        "dims": 3,
        "layout": "msd",
        "labels": {1: {"name": "organ"}},
    }
    return Card.model_validate(values | changes)


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_msd_cases_are_paired_and_sorted_and_hidden_files_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/b.nii.gz", "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "labelsTr/b.nii.gz")
    touch(tmp_path, "imagesTr/._a.nii.gz", ".trash/imagesTr/c.nii.gz", "__MACOSX/imagesTr/x.nii.gz")
    found = find_cases(make_card(), tmp_path)
    assert [case.id for case in found.cases] == ["a", "b"]
    assert found.cases[0].images == (tmp_path / "imagesTr/a.nii.gz",)
    assert found.cases[0].mask == tmp_path / "labelsTr/a.nii.gz"
    assert found.problems == ()
    assert found.unlabelled == ()


def test_missing_partners_are_named_with_the_expected_path(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "labelsTr/c.nii.gz")
    found = find_cases(make_card(), tmp_path)
    assert [case.id for case in found.cases] == ["a"]
    assert [case.id for case in found.unlabelled] == ["b"]
    assert len(found.problems) == 2
    assert f"expected {tmp_path / 'labelsTr/b.nii.gz'}" in found.problems[0]
    assert f"expected {tmp_path / 'imagesTr/c.nii.gz'}" in found.problems[1]


def test_nnunet_channels_are_collected_in_order_and_a_missing_one_is_told(tmp_path: Path) -> None:
    card = make_card(layout="nnunet", channels=2)
    for case in ("p1", "p2"):
        touch(
            tmp_path,
            f"imagesTr/{case}_0001.nii.gz",
            f"imagesTr/{case}_0000.nii.gz",
            f"labelsTr/{case}.nii.gz",
        )
    (tmp_path / "imagesTr/p2_0001.nii.gz").unlink()
    found = find_cases(card, tmp_path)
    assert [p.name for p in found.cases[0].images] == ["p1_0000.nii.gz", "p1_0001.nii.gz"]
    assert [case.id for case in found.cases] == ["p1"]
    assert "['0001'] are missing" in found.problems[0]


def test_channel_files_must_agree_with_the_card(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/p_0000.nii.gz", "imagesTr/p_0001.nii.gz", "labelsTr/p.nii.gz")
    with pytest.raises(DataError, match="2 channel files; the card says `channels: 3`"):
        find_cases(make_card(layout="nnunet", channels=3), tmp_path)


def test_bids_case_is_the_stem_and_patient_comes_from_the_rule(tmp_path: Path) -> None:
    files = {
        "image": "{patient}/micr/{case}.png",
        "mask": "derivatives/labels/{patient}/micr/{case}_seg-axon-manual.png",
    }
    card = make_card(layout="bids", dims=2, files=files, patient=r"^(sub-\w+?)_")
    for sample in ("sub-rat1_sample-1_SEM", "sub-rat1_sample-2_SEM"):
        touch(
            tmp_path,
            f"sub-rat1/micr/{sample}.png",
            f"derivatives/labels/sub-rat1/micr/{sample}_seg-axon-manual.png",
        )
    found = find_cases(card, tmp_path)
    assert [case.id for case in found.cases] == ["sub-rat1_sample-1_SEM", "sub-rat1_sample-2_SEM"]
    assert {case.patient for case in found.cases} == {"sub-rat1"}


def test_equal_names_below_patient_folders_stay_apart(tmp_path: Path) -> None:
    files = {"image": "{patient}/{case}.mha", "mask": "{patient}/{case}_mask.mha"}
    touch(tmp_path, "P1/scan.mha", "P1/scan_mask.mha", "P2/scan.mha", "P2/scan_mask.mha")
    found = find_cases(make_card(layout="folders", files=files), tmp_path)
    assert [(case.id, case.patient) for case in found.cases] == [("P1_scan", "P1"), ("P2_scan", "P2")]
    assert found.cases[1].mask == tmp_path / "P2/scan_mask.mha"


def test_a_patient_whose_number_is_part_of_a_file_number_is_still_told_apart(tmp_path: Path) -> None:
    card = make_card(
        layout="folders", files={"image": "{patient}/{case}.png", "mask": "masks/{patient}/{case}.png"}
    )
    for patient in "12":
        touch(tmp_path, f"{patient}/img_0012.png", f"masks/{patient}/img_0012.png")
    assert [case.id for case in find_cases(card, tmp_path).cases] == ["1_img_0012", "2_img_0012"]


def test_equal_names_without_a_patient_are_refused(tmp_path: Path) -> None:
    files = {"image": "images/{channel}/{case}.png", "mask": "masks/{case}.png"}
    touch(tmp_path, "images/0000/a.png", "images/0000/a.PNG", "masks/a.png")
    with pytest.raises(DataError, match=r"2 files for one case \(a.PNG, a.png\)"):
        find_cases(make_card(layout="folders", files=files), tmp_path)


def test_file_endings_match_in_any_case_and_by_any_known_ending(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.JPG", "images/b.jpg", "masks/a.png", "masks/b.TIFF", "images/notes.txt")
    files = {"image": "images/{case}.jpg", "mask": "masks/{case}.*"}
    found = find_cases(make_card(layout="folders", dims=2, files=files), tmp_path)
    assert [case.id for case in found.cases] == ["a", "b"]
    assert found.problems == ()


def test_mask_in_the_same_folder_is_not_taken_for_an_image(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a_mask.png")
    files = {"image": "{case}.png", "mask": "{case}_mask.png"}
    found = find_cases(make_card(layout="folders", dims=2, files=files), tmp_path)
    assert [case.id for case in found.cases] == ["a"]
    assert found.problems == ()


def test_dicom_folders_are_cases_and_empty_ones_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "dicom/p1/1.dcm", "dicom/p1/2.dcm", "masks/p1.nii.gz", "masks/p2.nii.gz")
    (tmp_path / "dicom/p2").mkdir()
    found = find_cases(make_card(layout="dicom", modality="CT"), tmp_path)
    assert [case.images for case in found.cases] == [(tmp_path / "dicom/p1",)]
    assert "p2: empty folder" in found.problems[0]


def test_a_case_without_its_field_of_view_is_left_out_and_told(tmp_path: Path) -> None:
    files = {"image": "images/{case}.png", "mask": "masks/{case}.png", "fov": "fov/{case}.png"}
    touch(tmp_path, "images/a.png", "masks/a.png", "fov/a.png", "images/b.png", "masks/b.png")
    found = find_cases(make_card(layout="folders", dims=2, files=files), tmp_path)
    assert [(case.id, case.fov) for case in found.cases] == [("a", tmp_path / "fov/a.png")]
    assert f"no field of view; expected {tmp_path / 'fov/b.png'}" in found.problems[0]


def test_patient_rule_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz")
    with pytest.raises(DataError, match=r"case a does not fit `patient: \^\(sub"):
        find_cases(make_card(patient=r"^(sub-\d+)"), tmp_path)


def test_missing_folder_and_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; expected imagesTr/\{case\}.nii.gz and labelsTr"):
        find_cases(make_card(), tmp_path / "absent")
    touch(tmp_path, "scan.nii.gz")
    with pytest.raises(DataError, match="a file, not a folder"):
        find_cases(make_card(), tmp_path / "scan.nii.gz")


def test_folder_without_cases_says_what_is_there_and_where_to_look(tmp_path: Path) -> None:
    touch(tmp_path, "readme.txt", "Task04/imagesTr/a.nii.gz", "Task04/labelsTr/a.nii.gz")
    with pytest.raises(DataError, match=r"found Task04/, readme.txt. Did you mean .*Task04\?"):
        find_cases(make_card(), tmp_path)


def test_images_without_any_mask_are_no_training_data_but_can_be_listed(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz")
    with pytest.raises(DataError, match="image without mask"):
        find_cases(make_card(), tmp_path)
    assert [case.id for case in find_cases(make_card(), tmp_path, labelled=False).unlabelled] == ["a"]


def test_linked_folders_are_followed_without_looping(tmp_path: Path) -> None:
    touch(tmp_path, "disk/a.nii.gz", "data/labelsTr/a.nii.gz")
    (tmp_path / "data/imagesTr").symlink_to(tmp_path / "disk")
    (tmp_path / "data/labelsTr/loop").symlink_to(tmp_path / "data")
    assert [case.id for case in find_cases(make_card(), tmp_path / "data").cases] == ["a"]


@dataclass(frozen=True)
class Measured:
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]


def test_every_number_that_differs_from_expect_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz")
    card = make_card(expect={"cases": 2, "spacing_max": [1, 1, 1], "shape_min": [30, 30, 30]})
    found = find_cases(card, tmp_path)
    with pytest.raises(DataError) as error:
        check_expectations(card, found, {"a": Measured((40, 20, 40), (1.0, 1.0, 3.0))})
    message = str(error.value)
    assert "cases: found 1, expected 2" in message
    assert "b.nii.gz: image without mask" in message
    assert "a: spacing (1.0, 1.0, 3.0), expected any to (1.0, 1.0, 1.0)" in message
    assert "a: shape (40, 20, 40), expected (30, 30, 30) to any" in message


def test_data_as_expected_passes(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz")
    card = make_card(expect={"cases_at_least": 1, "spacing_min": [1, 1, 1], "spacing_max": [1, 1, 1]})
    found = find_cases(card, tmp_path)
    check_expectations(card, found, {"a": Measured((40, 20, 40), (1.0, 1.0000001, 1.0))})
    with pytest.raises(DataError, match="has 2 axes"):
        check_expectations(card, found, {"a": Measured((40, 20), (1.0, 1.0))})

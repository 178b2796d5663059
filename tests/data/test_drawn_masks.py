"""DICOM SEG and RTSTRUCT as training masks: found by a card's patterns, read onto the grid of their image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medunet.config.base import parse
from medunet.config.card import Card
from medunet.data.cases import find_cases
from medunet.data.doctor import Rules, Subject, examine_case
from medunet.data.fingerprint import read_pair
from medunet.errors import ConfigError, DataError
from medunet.io.read import read_image, read_mask
from medunet.io.results.rtstruct import write_rtstruct
from medunet.io.results.seg import write_seg
from medunet.io.write import write_image
from tests.io.scans import LABELS, MAKER, Scan, some_mask, write_scan

SHAPE = (24, 20, 6)
DRAWN = {1: {"name": "liver"}, 2: {"name": "left kidney", "aliases": ["Kidney-LEFT"]}, 5: {"name": "blob"}}
WRITERS = {"SEG": write_seg, "RTSTRUCT": write_rtstruct}


def card(**changes: Any) -> Card:
    said = {
        "name": "drawn", "title": "", "source": "", "licence": "", "modality": "CT", "dims": 3,
        "layout": "dicom", "files": {"image": "{case}/ct/", "mask": "{case}/drawn/"}, "labels": DRAWN,
    }  # fmt: skip
    return parse(Card, said | changes, where="card")


@pytest.fixture(params=WRITERS)
def drawn(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Scan, Path]:
    """A data folder of one case, and its mask."""
    scan = write_scan(tmp_path / "p1/ct", SHAPE, "half_turn")
    place = tmp_path / "p1/drawn/1-1.dcm"
    place.parent.mkdir()
    WRITERS[request.param](place, some_mask(SHAPE), scan.reference, LABELS, MAKER)
    return scan, place


def test_masks_are_found_and_read_onto_the_grid_of_their_image(
    drawn: tuple[Scan, Path], tmp_path: Path
) -> None:
    (case,) = find_cases(card(), tmp_path).cases
    assert case.mask == drawn[1]
    image, mask = read_pair(case, card())
    assert np.array_equal(mask.array, image.grid.to_ras(some_mask(SHAPE)))
    assert np.array_equal(mask.affine, image.affine)


def test_the_image_may_be_nifti(drawn: tuple[Scan, Path], tmp_path: Path) -> None:
    image = read_image(tmp_path / "p1/ct")
    write_image(tmp_path / "p1.nii.gz", image.array[0], image.affine)
    files = {"image": "{case}.nii.gz", "mask": "{case}/drawn/"}
    (case,) = find_cases(card(files=files), tmp_path).cases
    _, mask = read_pair(case, card(files=files))
    assert np.array_equal(mask.array, image.grid.to_ras(some_mask(SHAPE)))


def test_regions_that_the_card_does_not_name(drawn: tuple[Scan, Path], tmp_path: Path) -> None:
    (case,) = find_cases(card(), tmp_path).cases
    few = {1: {"name": "LIVER"}}
    with pytest.raises(DataError, match=r"1-1.dcm: it draws blob, kidney_left, .*`others: leave out`"):
        read_pair(case, card(labels=few))
    image, mask = read_pair(case, card(labels=few, mask={"others": "leave out"}))
    assert np.array_equal(mask.array, image.grid.to_ras(some_mask(SHAPE) == 1))


@pytest.mark.parametrize(
    ("rule", "labels"),
    [({"values": {1: 3, 2: 4, 3: 3}}, [0, 3, 4, 0, 0, 3]), ({"rule": "instances"}, [0, 1, 1, 0, 0, 1])],
)
def test_numbers_instead_of_names(
    drawn: tuple[Scan, Path], tmp_path: Path, rule: dict[str, Any], labels: list[int]
) -> None:
    by_number = card(mask=rule, labels={n: {"name": f"part {n}"} for n in (1, 3, 4)})
    image, mask = read_pair(find_cases(by_number, tmp_path).cases[0], by_number)
    assert np.array_equal(mask.array, image.grid.to_ras(np.array(labels)[some_mask(SHAPE)]))


def test_a_mask_of_another_series_is_refused(drawn: tuple[Scan, Path], tmp_path: Path) -> None:
    write_scan(tmp_path / "p2/ct", SHAPE, "half_turn", spacing_mm=(0.8, 0.9, 3.1))
    (tmp_path / "p2/drawn").mkdir()
    (tmp_path / "p2/drawn/1-1.dcm").write_bytes(drawn[1].read_bytes())
    other = next(case for case in find_cases(card(), tmp_path).cases if case.id == "p2")
    with pytest.raises(DataError, match="another series"):
        read_pair(other, card())


def test_a_folder_with_two_masks_makes_no_case(drawn: tuple[Scan, Path], tmp_path: Path) -> None:
    write_scan(tmp_path / "p2/ct", SHAPE)
    (tmp_path / "p2/drawn").mkdir()
    for name in ("1-1.dcm", "1-2.dcm"):
        (tmp_path / "p2/drawn" / name).write_bytes(drawn[1].read_bytes())
    found = find_cases(card(), tmp_path)
    assert [case.id for case in found.cases] == ["p1"]
    assert "p2/drawn: 2 files; expected one mask" in found.problems[0]


def test_a_mask_without_its_image_is_refused(drawn: tuple[Scan, Path]) -> None:
    with pytest.raises(DataError, match="a DICOM object; expected its image"):
        read_mask(drawn[1])


def test_a_scan_in_the_place_of_a_mask_is_refused(drawn: tuple[Scan, Path], tmp_path: Path) -> None:
    (case,) = find_cases(card(), tmp_path).cases
    drawn[1].write_bytes(drawn[0].files[0].read_bytes())
    with pytest.raises(DataError, match="a DICOM image; expected a mask"):
        read_pair(case, card())


def test_the_doctor_reads_them_with_their_image(drawn: tuple[Scan, Path], tmp_path: Path) -> None:
    (case,) = find_cases(card(), tmp_path).cases
    found = examine_case(Subject.of(case), Rules.of(card()))
    assert found.facts is not None
    assert found.facts.labels == (1, 2, 5)
    wrong = examine_case(Subject.of(case), Rules.of(card(labels={1: {"name": "lung"}})))
    assert [(f.kind, f.path) for f in wrong.findings if f.severity == "error"] == [("mask", drawn[1])]


def test_names_that_only_signs_tell_apart_are_refused() -> None:
    with pytest.raises(ConfigError, match="leftkidney"):
        card(labels={1: {"name": "left kidney"}, 2: {"name": "other", "aliases": ["Left_Kidney"]}})

"""One case at a time: what is wrong with the image, with the mask, and between the two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medunet.config.card import MaskRule
from medunet.data.doctor import Examined, Rules, Subject, declared_bytes, examine_case
from medunet.data.findings import Finding, worst
from medunet.io.write import write_image
from tests.phantoms import RAS_1MM, two_balls

LABELS = Rules(labels={1: "bright", 2: "middling"})


def kinds(found: Examined) -> set[str]:
    return {finding.kind for finding in found.findings}


def examine(root: Path, image, mask, rules: Rules = LABELS, affines=(RAS_1MM, RAS_1MM)) -> Examined:
    write_image(root / "image.nii.gz", image, affines[0])
    write_image(root / "mask.nii.gz", mask, affines[1])
    place = root / "image.nii.gz"
    return examine_case(Subject("a", place, place, root / "mask.nii.gz"), rules)


def test_a_good_case_has_no_finding_and_true_facts(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    found = examine(tmp_path, image, mask, affines=(np.diag([2.0, 1, 1, 1]),) * 2)
    assert found.findings == ()
    assert found.facts is not None
    assert found.facts.shape == image.shape
    assert found.facts.spacing_mm == (2.0, 1.0, 1.0)
    assert found.facts.labels == (1, 2)
    assert found.facts.low < 0 < found.facts.high


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda m: m[2:], "grid", "shapes differ: 22 x 24 x 20"),
        (lambda m: np.where(m == 2, 9, m), "mask", "9 ("),
        (lambda m: m.astype(np.int16) - 1, "mask", "negative"),
        (lambda m: np.where(m == 2, np.nan, m), "mask", "NaN"),
        (lambda m: m * 0.5, "mask", "not whole numbers"),
        (lambda m: m * 0, "empty", "no voxel above 0"),
        (lambda m: m.astype(np.float32), "float-mask", "float32"),
    ],
)
def test_what_is_wrong_with_a_mask_is_told(tmp_path: Path, change, kind: str, words: str) -> None:
    image, mask = two_balls(0)
    found = examine(tmp_path, image, change(mask))
    assert kinds(found) == {kind}
    assert words in found.findings[0].found
    assert found.findings[0].path == tmp_path / "mask.nii.gz"
    assert found.findings[0].remedy


def test_a_mask_mirrored_in_the_world_is_an_error(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    found = examine(tmp_path, image, mask, affines=(np.eye(4), np.diag([-1.0, 1, 1, 1])))
    assert kinds(found) == {"mirrored"}
    assert found.findings[0].severity == "error"


def test_a_mirrored_header_over_the_same_place_is_a_warning(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    turned = np.diag([-1.0, 1, 1, 1])
    turned[0, 3] = image.shape[0] - 1
    assert kinds(examine(tmp_path, image, mask, affines=(np.eye(4), turned))) == {"axes"}


def test_headers_that_differ_by_rounding_are_a_note(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    moved = np.eye(4)
    moved[0, 3] = 0.1
    found = examine(tmp_path, image, mask, affines=(np.eye(4), moved))
    assert kinds(found) == {"rounding"}
    assert "0.1 mm" in found.findings[0].found


def test_swapped_image_and_mask_are_recognised(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    grey = np.clip(image + 50, 0, 255).astype(np.uint8)
    assert kinds(examine(tmp_path, mask, grey)) == {"swapped"}
    assert kinds(examine(tmp_path, mask, image)) == {"swapped"}


def test_numbered_objects_are_no_swap(tmp_path: Path) -> None:
    image, _ = two_balls(0)
    objects = np.arange(image.size, dtype=np.uint16).reshape(image.shape) % 500
    rules = Rules(mask=MaskRule(rule="instances"), labels={1: "nucleus"})
    assert kinds(examine(tmp_path, image, objects, rules)) == set()
    assert kinds(examine(tmp_path, image, objects, Rules())) == set()  # guessed without a card


def test_odd_images_are_told_by_kind(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    broken = image.copy()
    broken[0, 0, 0], broken[1, 1, 1] = np.nan, np.inf
    found = examine(tmp_path, broken, mask)
    assert kinds(found) == {"nan"}
    assert "2 voxels" in found.findings[0].found
    assert kinds(examine(tmp_path, image * 0 + 7, mask)) == {"constant"}


def test_shear_is_an_error_and_slight_skew_a_warning(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    for skew, kind in ((0.1, "sheared"), (0.005, "skewed")):
        affine = np.eye(4)
        affine[0, 1] = skew
        found = kinds(examine(tmp_path, image, mask, affines=(affine, affine)))
        assert found - {"odd"} == {kind}  # odd: no qform can say what this sform says


def test_a_truncated_image_is_unreadable_and_its_mask_is_still_checked(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    examine(tmp_path, image, np.where(mask == 2, 9, mask))
    place = tmp_path / "image.nii.gz"
    place.write_bytes(place.read_bytes()[:2000])
    found = examine_case(Subject("a", place, place, tmp_path / "mask.nii.gz"), LABELS)
    assert kinds(found) == {"unreadable", "mask"}
    assert found.facts is None


def test_memory_is_declared_from_the_header(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    examine(tmp_path, image, mask)
    place = tmp_path / "image.nii.gz"
    assert declared_bytes(Subject("a", place, place)) == image.size * 12
    assert declared_bytes(Subject("a", tmp_path / "absent.nii", tmp_path / "absent.nii")) == 0


def test_a_finding_has_the_words_of_its_kind_without_its_path() -> None:
    finding = Finding.of("unreadable", Path("a.nii"), "a.nii: cut short")
    assert (finding.severity, finding.found) == ("error", "cut short")
    assert worst(["ok", "warn", "reject"]) == "reject"
    assert worst([]) == "ok"

from __future__ import annotations

from pathlib import Path

import pytest

from medunet.studies.identity import sha256_of, without_identity

SCAN = Path("/data/Smith^John 1950/Smith_head.nii.gz")


@pytest.mark.parametrize(
    "text",
    [
        f"{SCAN}: cut short",
        f"in {SCAN.parent}: 3 files",
        "Smith_head.nii.gz: a colour picture",
        "slices of Smith^John 1950 and others",
        "series 1.2.840.113619.2.55.3.2831164 has no slices",
        "/elsewhere/Jones/scan.dcm is missing",
        "/elsewhere/Jones Smith/scan.dcm: is missing",
        "between '/elsewhere/Jones Smith/scan.dcm' and others",
        "[Errno 2] No such file: '/incoming/Smith John.dcm'",
    ],
)
def test_names_paths_and_uids_become_hashes(text: str):
    clean = without_identity(text, [SCAN])
    assert not any(word in clean for word in ("Smith", "Jones", "113619", "/data"))
    assert "<" in clean


def test_the_rest_of_a_message_stays():
    text = "expected an image of 1.5 x 1.5 mm, torch 2.13.0, 10 / 12 slices, with/without: 3"
    assert without_identity(text, [Path("/data/image/a.nii")]) == text


def test_a_name_in_small_letters_is_a_name():
    assert "mueller" not in without_identity("slices of mueller: 3", [Path("/data/mueller/image.nii")])


def test_texts_are_told_apart():
    assert sha256_of("ab", "c") != sha256_of("a", "bc")

"""Configuration files are checked by what they seem to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medunet.data.datalist import check_config


def told(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return " | ".join(finding.found for finding in check_config(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"learing_rate": 0.1}', "Did you mean training.learning_rate?"),
        ('{"training": [', "not readable as YAML"),
        ('{"training": [{"image": "no/such.nii.gz"}]}', "no/such.nii.gz: listed, but there is no such file"),
        ("name: x\ncard: phantom_ct\ntraining: {budgte: 10m}", "training.budgte: unknown key"),
        ("name: x\ncard: no_such_card\nfolds: 5", "no such card"),
        ("name: x\nlayout: msd\nlabels: {}", "labels"),
        ("- a\n- b", "expected `key: value` lines"),
        ("", "found nothing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    assert words in told(tmp_path / "x.yaml", text)


def test_good_files_have_no_finding(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"x")
    assert told(tmp_path / "list.json", json.dumps({"training": [{"image": "a.nii.gz"}], "test": []})) == ""
    assert told(tmp_path / "recipe.yaml", "name: x\ncard: phantom_ct") == ""


def test_a_long_list_of_lost_files_is_cut(tmp_path: Path) -> None:
    lost = told(tmp_path / "list.json", json.dumps({"training": [f"{i}.nii.gz" for i in range(50)]}))
    assert "and 30 more files are not there" in lost


def test_a_name_that_no_file_can_have_is_not_there(tmp_path: Path) -> None:
    found = told(tmp_path / "list.json", json.dumps({"training": ["x" * 5000]}))
    assert "listed, but there is no such file" in found

"""Records that cannot be forged, and sets of which nothing unchecked is read."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from medunet.config.samples import Admission, Check
from medunet.errors import ConfigError, DataError
from medunet.gate.record import (
    admission_key,
    file_sha256,
    read_admission,
    read_admitted,
    sign,
    verify,
    write_record,
)
from tests.gate.sets import admit_all, synthetic_set

KEY = bytes(range(32))


def record(**changes: object) -> Admission:
    check = Check(name="memory", passed=True, number=1.5, limit=1.0, reason="no copy")
    values = {"case": "a", "verdict": "admitted", "image_sha256": "1", "mask_sha256": "2", "gate": "g"}
    return Admission(checks=(check,), **(values | changes))  # type: ignore[arg-type]


def test_the_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    key = admission_key(tmp_path)
    place = tmp_path / "keys/admission.key"
    assert len(key) == 32
    assert admission_key(tmp_path) == key
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert admission_key(tmp_path / "other") != key
    place.write_bytes(b"short")
    with pytest.raises(ConfigError, match="5 bytes"):
        admission_key(tmp_path)


@pytest.mark.parametrize(
    "forged",
    [
        {"verdict": "rejected"},
        {"image_sha256": "3"},
        {"weights_sha256": "3"},
        {"gate": "h"},
        {"checks": ()},
        {"segmenter": "s"},
        {"signature": ""},
        {"case": "b"},
    ],
)
def test_a_record_that_was_changed_is_refused(forged: dict[str, object]) -> None:
    signed = sign(record(), KEY)
    verify(signed, KEY, {})
    with pytest.raises(DataError, match="signature"):
        verify(signed.model_copy(update=forged), KEY, {})
    with pytest.raises(DataError, match="signature"):
        verify(signed, bytes(32), {})


def test_a_set_is_read_when_all_of_it_is_admitted(tmp_path: Path) -> None:
    folder = synthetic_set(tmp_path / "set", 3)
    with pytest.raises(DataError, match="was not admitted"):
        read_admitted(folder, KEY)
    admit_all(folder, KEY, weights=("syn_0001",))
    found = read_admitted(folder, KEY)
    assert [one.case.id for one in found] == ["syn_0000", "syn_0001", "syn_0002"]
    assert [one.weights is not None for one in found] == [False, True, False]
    assert found[1].sample.number == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("images/syn_0001.png", "its image"),
        ("masks/syn_0001.png", "its mask"),
        ("weights/syn_0001.png", "its weights"),
        ("manifest.json", "manifest.json: was changed"),
        ("samples.jsonl", "samples.jsonl: was changed"),
        ("admission/gate.json", "other settings"),
    ],
)
def test_a_file_that_was_changed_is_named(tmp_path: Path, name: str, said: str) -> None:
    folder = synthetic_set(tmp_path / "set", 3)
    admit_all(folder, KEY, weights=("syn_0001",))
    place = folder / name
    if name.endswith(".png"):
        place.write_bytes((folder / "images/syn_0002.png").read_bytes())
    elif name == "admission/gate.json":
        place.write_text(json.dumps(json.loads(place.read_text()) | {"settings": "other"}))
    else:
        place.write_text(place.read_text() + "\n")
    with pytest.raises(DataError, match=said):
        read_admitted(folder, KEY)


def test_a_case_without_an_admitted_record_is_refused(tmp_path: Path) -> None:
    folder = synthetic_set(tmp_path / "set", 2)
    admit_all(folder, KEY)
    found = read_admission(folder, "syn_0001")
    assert found is not None
    write_record(folder, "syn_0001.json", sign(found.model_copy(update={"verdict": "rejected"}), KEY))
    with pytest.raises(DataError, match=r"syn_0001.png: synthetic, and not admitted"):
        read_admitted(folder, KEY)
    (folder / "admission/syn_0001.json").unlink()
    with pytest.raises(DataError, match=r"syn_0001.png: synthetic, and not admitted"):
        read_admitted(folder, KEY)


def test_a_case_that_was_taken_back_is_refused_wherever_its_files_come_from(tmp_path: Path) -> None:
    folder = synthetic_set(tmp_path / "set", 2)
    admit_all(folder, KEY)
    (folder / "revoked.jsonl").write_text('{"case": "syn_0001"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"syn_0001.png: was taken back for a patient who left"):
        read_admitted(folder, KEY)


def test_hashes_are_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")  # FIPS 180-2, appendix B.1
    with pytest.raises(DataError, match="cannot be read"):
        file_sha256(tmp_path / "b")


def test_the_record_of_another_case_is_refused(tmp_path: Path) -> None:
    """The same files once more under another name: its own record would have called it a duplicate."""
    folder = synthetic_set(tmp_path / "set", 2)
    for kind in ("images", "masks"):
        (folder / kind / "syn_0001.png").write_bytes((folder / kind / "syn_0000.png").read_bytes())
    admit_all(folder, KEY)
    read_admitted(folder, KEY)
    records = folder / "admission"
    (records / "syn_0001.json").write_bytes((records / "syn_0000.json").read_bytes())
    with pytest.raises(DataError, match=r"syn_0001\.png: its record is that of syn_0000"):
        read_admitted(folder, KEY)

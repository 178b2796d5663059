from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from medunet.errors import ConfigError
from medunet.io.deid import keys
from medunet.io.deid.dates import shift_date, shift_datetime


def test_a_key_is_made_once_for_its_owner_only(tmp_path: Path):
    path = tmp_path / "secrets" / "key"
    key = keys.open_key(path, [tmp_path / "out"])
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.open_key(path, [tmp_path / "out"]) == key
    assert [p.name for p in path.parent.iterdir()] == ["key"]
    assert keys.open_key(tmp_path / "other", []) != key


def test_processes_that_start_together_use_one_key(tmp_path: Path):
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(keys.open_key(tmp_path / "k", []))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("inside", ["key", "deep/er/key", "../out/key"])
def test_a_key_inside_the_data_is_refused(inside: str, tmp_path: Path):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="lies inside .*out; who gets the data would get it too"):
        keys.open_key(out / inside, [out])
    assert not out.exists()


def test_a_link_does_not_hide_where_the_key_lies(tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(ConfigError, match="lies inside"):
        keys.open_key(tmp_path / "link" / "key", [tmp_path / "out"])


@pytest.mark.parametrize("content", [b"", b"abc", b"00" * 31, b"zz" * 32, b"\xff\xfe\x00", b"00" * 4000])
def test_a_file_that_is_no_key_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="expected 64 hexadecimal digits"):
        keys.open_key(path, [])


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_may_read_is_refused(mode: int, tmp_path: Path):
    path = tmp_path / "key"
    keys.open_key(path, [])
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        keys.open_key(path, [])


def test_a_private_file_is_never_open_to_others(tmp_path: Path):
    path = tmp_path / "map.csv"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    keys.write_private(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_pseudonyms_shifts_and_names_are_independent_and_differ_between_patients():
    key = bytes(range(32))
    patients = [f"patient {number}" for number in range(500)]
    assert len({keys.pseudonym(key, patient) for patient in patients}) == 500
    shifts = [keys.shift_days(key, patient) for patient in patients]
    assert min(shifts) >= -3652
    assert max(shifts) <= -366
    assert len(set(shifts)) > 400
    assert keys.study_key(key, "1.2").upper() not in keys.pseudonym(key, "1.2")
    assert keys.pseudonym(key, "a") != keys.pseudonym(bytes(32), "a")


@pytest.mark.parametrize(
    ("text", "days", "expected"),
    [
        ("20200301", -1, "20200229"),
        ("20190301", -1, "20190228"),
        ("2020.03.01", -1, "2020.02.29"),
        ("00010101", -1, ""),  # before the first year
        ("20201301", -1, ""),
        ("20200230", 0, ""),
        ("2020-03-01", -1, ""),
        ("Müller", -1, ""),
        ("", -1, ""),
    ],
)
def test_shifted_dates(text: str, days: int, expected: str):
    assert shift_date(text, days) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20200301", "20200229"),
        ("2020030112", "2020022912"),
        ("20200301120000.5-0500", "20200229120000.5-0500"),
        ("202003", "202002"),
        ("2020", "2019"),
        ("2020+0100", "2019+0100"),
        ("20200301 noon", ""),
        ("99999999", ""),
    ],
)
def test_shifted_dates_with_times(text: str, expected: str):
    assert shift_datetime(text, -1) == expected

from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest

from medunet.errors import DataError, StudyError
from medunet.io.pacs.filemeta import read_meta, read_metas
from medunet.io.pacs.landing import Landing
from medunet.io.pacs.records import Limits, hashed


def test_the_file_meta_is_what_pydicom_reads(make_series: Callable) -> None:
    for path in make_series().iterdir():
        meta, truth = read_meta(path), pydicom.dcmread(path).file_meta
        assert meta.sop_class == truth.MediaStorageSOPClassUID
        assert (meta.uid, meta.syntax) == (truth.MediaStorageSOPInstanceUID, truth.TransferSyntaxUID)
        assert meta.uid not in repr(meta)


def element(number: int, vr: bytes, value: bytes) -> bytes:
    return b"\x02\x00" + number.to_bytes(2, "little") + vr + len(value).to_bytes(2, "little") + value


COMPLETE = element(2, b"UI", b"1.2\0") + element(3, b"UI", b"1.3\0") + element(16, b"UI", b"1.4\0")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0" * 200,
        COMPLETE,
        b"\0" * 128 + b"DICM",
        b"\0" * 128 + b"DICM" + COMPLETE[:-12],
        b"\0" * 128 + b"DICM" + COMPLETE[:24] + element(16, b"UI", b"1" * 66),
        b"\0" * 128
        + b"DICM"
        + b"\x02\x00\x01\x00OB\0\0\xff\xff\xff\xff"
        + COMPLETE,  # a length beyond the end
        b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x01SQ\0\0\0\0\0\0" * 10_000 + COMPLETE,
    ],
)
def test_what_has_no_complete_meta_is_no_dicom_file(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(head)
    with pytest.raises(DataError, match="no DICOM file"):
        read_meta(tmp_path / "x")
    (tmp_path / "good").write_bytes(b"\0" * 128 + b"DICM" + COMPLETE)
    metas, failed = read_metas([tmp_path / "x", tmp_path / "good", tmp_path / "absent", tmp_path / "good"])
    assert list(metas) == [tmp_path / "good"]
    assert list(failed) == [tmp_path / "x", tmp_path / "absent"]


def test_no_path_comes_from_a_uid(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "in", Limits())
    for uid in ("../../etc/passwd", "/etc/passwd", "1.2.3", "a" * 500):
        path = landing.add([b"x"], uid)
        assert path == tmp_path / "in" / f"{hashed(uid)}.dcm"
    assert len(landing.files) == len(list((tmp_path / "in").iterdir())) == 4
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_an_instance_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    landing = Landing(tmp_path, Limits())

    def broken() -> object:
        yield b"first half"
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(OSError, match="no space"):
        landing.add(broken(), "1.2")
    with pytest.raises(DataError):
        landing.add([b"<html>"])
    assert list(tmp_path.iterdir()) == landing.files == []
    assert landing.refusal is None
    landing.add([b"old"], "1.2")
    landing.add([b"new"], "1.2")
    assert [path.read_bytes() for path in landing.files] == [b"new"]


@pytest.mark.parametrize(
    ("limits", "adds", "whole"),
    [
        (Limits(instance_bytes=10), [[b"12345"], [b"12345", b"12345"], [b"12345", b"123456"]], 2),
        (Limits(study_bytes=10), [[b"12345"], [b"12345"], [b"1"]], 2),
        (Limits(instances=2), [[b"1"], [b"1"], [b"1"]], 2),
    ],
)
def test_beyond_a_limit_nothing_more_lands(
    limits: Limits, adds: list[list[bytes]], whole: int, tmp_path: Path
) -> None:
    landing = Landing(tmp_path, limits)
    for number, pieces in enumerate(adds[:whole]):
        landing.add(pieces, str(number))
    for _ in range(2):
        with pytest.raises(StudyError, match="more than"):
            landing.add(adds[whole], "9")
    with pytest.raises(StudyError, match="more than"):
        landing.add([b""], "0")
    assert len(list(tmp_path.iterdir())) == whole


def test_several_threads_may_land_the_same(tmp_path: Path) -> None:
    landing = Landing(tmp_path, Limits())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: landing.add([bytes([n % 10]) * 1000] * 20, str(n % 10)), range(80)))
    assert len(landing.files) == 10
    assert all(len(set(path.read_bytes())) == 1 and path.stat().st_size == 20_000 for path in landing.files)

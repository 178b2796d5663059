from __future__ import annotations

import dataclasses
import gzip
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from medunet.errors import StudyError
from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.read import content_hash, read_image
from medunet.io.volume import Volume
from medunet.io.write import write_image
from medunet.studies.message import pack_volume, unpack_volume
from medunet.studies.reader import Reader, ReadingDiedError, ReadLimits
from medunet.studies.task import Image
from tests.phantoms import RAS_1MM, two_balls

POISONED = (sys.executable, "-m", "tests.studies.poison_child")


def image_of(*paths: Path) -> Image:
    return Image(id="x", folder=str(paths[0].parent), files=tuple(p.name for p in paths), dicom=False)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(ReadLimits(memory_gb=4, seconds=60)) as found:
        yield found


@pytest.fixture
def poisoned() -> Iterator[Reader]:
    with Reader(ReadLimits(memory_gb=2, seconds=60), POISONED) as found:
        yield found


def test_a_volume_comes_over_as_it_is_read(tmp_path: Path, reader: Reader):
    affine = np.diag([-1.0, 2.0, 1.5, 1.0])
    image = two_balls(0)[0]
    image[3, 3, 3] = np.nan  # the reader tells it
    write_image(tmp_path / "a.nii.gz", image, affine)
    found, hashes = reader.read([image_of(tmp_path / "a.nii.gz")], 1, None)
    expected = read_image(tmp_path / "a.nii.gz")
    assert expected.warnings
    assert np.array_equal(found.array, expected.array)
    assert found.array.dtype == expected.array.dtype
    assert np.array_equal(found.affine, expected.affine)
    assert np.array_equal(found.grid.orientation, expected.grid.orientation)
    assert np.array_equal(found.grid.affine, expected.grid.affine)
    for name in ("path", "spacing_known", "modality", "warnings", "header"):
        assert getattr(found, name) == getattr(expected, name)
    assert hashes == [content_hash(tmp_path / "a.nii.gz")]


def test_every_field_of_a_volume_is_carried(tmp_path: Path):
    write_image(tmp_path / "a.nii.gz", two_balls(0)[0], RAS_1MM)
    packed = pack_volume(read_image(tmp_path / "a.nii.gz"))
    assert {*packed, "array"} == {field.name for field in dataclasses.fields(Volume)}
    header_affine = np.diag([2.0, 2.0, 3.0, 1.0])
    packed["grid"]["header_affine"] = header_affine.tolist()
    assert np.array_equal(unpack_volume(packed, np.zeros(1)).grid.header_affine, header_affine)


def test_a_series_and_its_facts_come_over(tmp_path: Path, reader: Reader):
    hu = two_balls(0)[0].astype(np.int16)
    write_ct_series(
        tmp_path / "s", hu, np.diag([1.0, 1.0, 3.0, 1.0]), patient_id="Smith", description="d", seed=1
    )
    answer = reader.scan(sorted((tmp_path / "s").iterdir()))
    (found,) = answer["images"]
    assert found["dicom"]
    assert len(found["study"]) == 12
    series = image_of(*map(Path, found["files"]))
    facts = reader.facts(series)
    assert (facts.modality, facts.plane, facts.spacing_mm) == ("CT", "axial", (1.0, 1.0, 3.0))
    volume, _ = reader.read([series], 1, None)
    assert volume.shape == hu.shape


def test_what_is_wrong_with_a_file_is_told_without_its_name(tmp_path: Path, reader: Reader):
    broken = tmp_path / "Smith^John.nii.gz"
    broken.write_bytes(b"\x1f\x8b broken")
    with pytest.raises(StudyError) as told:
        reader.read([image_of(broken)], 1, None)
    assert "Smith" not in str(told.value)
    assert str(tmp_path) not in str(told.value)
    assert "damaged" in str(told.value) or "cut" in str(told.value) or "gzip" in str(told.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("exit", "exit status 3"),
        ("crash", "SIGSEGV"),
        ("eat", r"more memory .*\(2 GB\)"),
        ("bug", "KeyError in"),
    ],
)
def test_a_poisoned_file_costs_only_itself(tmp_path: Path, poisoned: Reader, name: str, words: str):
    good, bad = tmp_path / "good.nii.gz", tmp_path / f"{name}.nii.gz"
    for path in (good, bad):
        write_image(path, two_balls(0)[0], RAS_1MM)
    with pytest.raises(ReadingDiedError, match=words) as told:
        poisoned.read([image_of(bad)], 1, None)
    assert "Smith" not in str(told.value)
    assert poisoned.read([image_of(good)], 1, None)[0].shape == (22, 24, 20)


def test_a_file_that_hangs_the_reader_is_given_up(tmp_path: Path):
    with Reader(ReadLimits(memory_gb=4, seconds=0.5), POISONED) as poisoned:
        with pytest.raises(ReadingDiedError, match=r"took longer than 0 s|took longer than 1 s"):
            poisoned.facts(image_of(tmp_path / "hang.nii.gz"))
        assert poisoned._process is None


def test_a_bomb_stays_within_the_memory_that_it_is_given(tmp_path: Path):
    plain = tmp_path / "plain.nii"
    write_image(plain, np.zeros((2, 2, 2), np.uint8), RAS_1MM)
    header = bytearray(plain.read_bytes()[:352])
    np.frombuffer(header, np.int16, 4, 40)[:] = (3, 1000, 1000, 400)
    with gzip.open(tmp_path / "bomb.nii.gz", "wb", 6) as stream:
        stream.write(header)
        for _ in range(40):
            stream.write(bytes(10_000_000))
    assert (tmp_path / "bomb.nii.gz").stat().st_size < 500_000
    with Reader(ReadLimits(memory_gb=2, seconds=60)) as small:
        with pytest.raises((StudyError, ReadingDiedError)):
            small.read([image_of(tmp_path / "bomb.nii.gz")], 1, None)
        assert small.read([image_of(plain)], 1, None)[0].shape == (2, 2, 2)


def test_the_child_ends_with_its_parent(tmp_path: Path):
    code = (
        "import sys, time; from pathlib import Path; from medunet.studies.reader import *\n"
        "reader = Reader(ReadLimits(), [sys.executable, '-m', 'tests.studies.poison_child'])\n"
        "reader._start(); print(reader._process.pid, flush=True)\n"
        "reader.scan([Path('hang')])\n"
    )
    parent = psutil.Popen(
        [sys.executable, "-c", code], stdout=-1, cwd=Path(__file__).parents[2], env=dict(os.environ)
    )
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 30
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_looking_at_more_files_may_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    with Reader(ReadLimits(seconds=10)) as reader:
        monkeypatch.setattr(reader, "_exchange", lambda request, seconds: asked.append(seconds) or ({}, None))
        (tmp_path / "a").write_bytes(bytes(20_000_000))
        reader.scan([tmp_path / "a", tmp_path / "gone"])
        reader.scan([tmp_path / "a"] * 10)
    assert asked == pytest.approx([11.1, 20.5])

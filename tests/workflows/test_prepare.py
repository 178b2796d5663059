from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medunet.errors import ConfigError, DataError
from medunet.io.write import write_synthetic_image
from medunet.workflows.prepare import prepare, survey
from tests.gate.sets import synthetic_set
from tests.phantoms import card, msd_folder, recipe, two_balls

ROOT = Path(__file__).parents[2]
MEASURE = """
import sys, time
from pathlib import Path
from medunet.workflows.prepare import prepare
from tests.phantoms import card, recipe
start = time.monotonic()
prepare(recipe(planning={}), card(), Path(sys.argv[1]), Path(sys.argv[2]), "cpu")
status = Path("/proc/self/status").read_text()
print(time.monotonic() - start, int(status.split("VmHWM:")[1].split()[0]) / 1e6)
"""


def test_prepare_says_what_it_found_and_planned(tmp_path: Path):
    result = prepare(recipe(), card(), msd_folder(tmp_path / "data", 4), tmp_path, "cpu")
    assert result["cases"] == 4
    assert result["failed"] == {}
    assert result["plan"]["patch_voxels"] == [16, 16, 16]
    assert len(list((tmp_path / "cache/cases").iterdir())) == 4


def test_a_second_run_writes_nothing(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 4)
    first = prepare(recipe(), card(), data, tmp_path, "cpu")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    assert prepare(recipe(), card(), data, tmp_path, "cpu") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == times


def test_a_changed_mask_is_noticed(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 3)
    first = prepare(recipe(), card(), data, tmp_path, "cpu")
    (data / "labelsTr/case_01.nii.gz").write_bytes((data / "labelsTr/case_00.nii.gz").read_bytes())
    assert prepare(recipe(), card(), data, tmp_path, "cpu")["data_hash"] != first["data_hash"]


def test_a_bad_case_costs_only_itself(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 4)
    (data / "labelsTr/case_01.nii.gz").write_bytes((data / "labelsTr/case_00.nii.gz").read_bytes()[:200])
    result = prepare(recipe(), card(), data, tmp_path, "cpu")
    assert result["cases"] == 3
    assert list(result["failed"]) == ["case_01"]
    assert "case_01.nii.gz" in result["failed"]["case_01"]


def test_nothing_usable_is_an_error(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 2)
    for path in (data / "imagesTr").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="none of 2 cases can be used"):
        prepare(recipe(), card(), data, tmp_path, "cpu")


def test_a_wrong_download_is_noticed_by_its_numbers(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 2)
    with pytest.raises(DataError, match="41"):
        prepare(recipe(), card(expect={"cases": 41}), data, tmp_path, "cpu")


def test_twenty_tiny_cases_take_seconds_and_little_memory(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 20)
    words = [sys.executable, "-c", MEASURE, str(data), str(tmp_path / "workspace")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    seconds, peak_gb = map(float, done.stdout.split())
    assert seconds < 15  # 5 on a quiet machine
    assert peak_gb < (0.8 if torch.version.cuda else 0.6)  # a torch for CUDA is 0.1 larger itself


def test_an_interrupted_preparation_goes_on(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 12)
    code = MEASURE.replace(
        "start =", "import os, threading; threading.Timer(0.25, os._exit, (9,)).start()\nstart ="
    )
    words = [sys.executable, "-c", code, str(data), str(tmp_path)]
    start = time.monotonic()
    subprocess.run(words, cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert time.monotonic() - start < 60
    result = prepare(recipe(), card(), data, tmp_path, "cpu")
    assert result["cases"] == 12
    assert not list((tmp_path / "cache/cases").glob("*/.making*"))


def test_a_full_disk_ends_the_preparation_instead_of_dropping_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError("100 requested and 0 written")

    monkeypatch.setattr("medunet.data.cache.np.save", full)
    with pytest.raises(DataError, match=r"case_0\d cannot be written \(No space left on device\)"):
        prepare(recipe(), card(), msd_folder(tmp_path / "data", 4), tmp_path, "cpu")
    assert not list((tmp_path / "cache/cases").iterdir())


def test_a_link_to_nothing_costs_only_its_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = msd_folder(tmp_path / "data", 4)
    mask = data / "labelsTr/case_02.nii.gz"
    mask.unlink()
    mask.symlink_to(tmp_path / "not_fetched")
    found = survey(card(), data, tmp_path / "cache")
    assert set(found.fingerprints) == {"case_00", "case_01", "case_03"}
    assert "case_02" in capsys.readouterr().err


def test_a_lack_of_memory_now_ends_the_preparation_instead_of_dropping_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = msd_folder(tmp_path / "data", 4)
    memory = SimpleNamespace(available=1000, total=10**12)
    monkeypatch.setattr("medunet.io.limits.psutil.virtual_memory", lambda: memory)
    with pytest.raises(DataError, match="GB of memory"):
        survey(card(), data, tmp_path / "cache")


@pytest.mark.parametrize("dims", [2, 3])
def test_a_scan_that_is_marked_synthetic_is_left_out(dims: int, tmp_path: Path):
    data = msd_folder(tmp_path / "data", 3, dims=dims)
    image, _ = two_balls(1, (40, 44) if dims == 2 else (22, 24, 20))
    name = "images/case_01.png" if dims == 2 else "imagesTr/case_01.nii.gz"
    write_synthetic_image(data / name, (image + 50).clip(0, 255).astype("uint8"), np.eye(dims + 1))
    found = survey(card(dims), data, tmp_path / "cache")
    assert set(found.content) == {"case_00", "case_02"}
    assert "is marked synthetic, expected a real scan" in found.failed["case_01"]


def test_a_synthetic_set_is_no_data_set(tmp_path: Path):
    folder = synthetic_set(tmp_path / "set", 2)
    with pytest.raises(ConfigError, match=r"set \(card balls\): is a synthetic set"):
        survey(card(2), folder, tmp_path / "cache")
    (folder / "manifest.json").write_text("{}", encoding="utf-8")  # another program's: none of ours
    assert len(survey(card(2), folder, tmp_path / "cache").content) == 2
    with pytest.raises(ConfigError, match="balls_synthetic"):
        survey(card(2, name="balls_synthetic"), folder, tmp_path / "cache")

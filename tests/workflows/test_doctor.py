"""The doctor on whole folders, single files and configuration; its report, its copies, its memory."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from medunet.errors import ConfigError, DataError
from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.write import write_image
from medunet.workflows.doctor import Allowance, examine
from tests.phantoms import card, msd_folder, two_balls


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    """Eight cases, of which one is a double, one cut short, one lacks its mask; one mask has label 9."""
    root = msd_folder(tmp_path / "data", 8)
    shutil.copy(root / "imagesTr/case_00.nii.gz", root / "imagesTr/case_01.nii.gz")
    cut = root / "imagesTr/case_02.nii.gz"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (root / "labelsTr/case_03.nii.gz").unlink()
    mask = two_balls(4)[1]
    write_image(root / "labelsTr/case_04.nii.gz", np.where(mask == 2, 9, mask).astype(np.uint8), np.eye(4))
    return root


def statuses(root: Path, found: dict[Path, str]) -> dict[str, str]:
    return {str(path.relative_to(root)): status for path, status in found.items() if status != "ok"}


def test_every_planted_fault_is_found_and_nothing_else(dirty: Path) -> None:
    report = examine(dirty, card=card())
    assert {(f.kind, f.path.name) for f in report.findings} == {
        ("duplicate", "case_01.nii.gz"),
        ("unreadable", "case_02.nii.gz"),
        ("partner", "case_03.nii.gz"),
        ("mask", "case_04.nii.gz"),
    }
    assert statuses(dirty, report.files) == {
        "imagesTr/case_01.nii.gz": "warn",
        "imagesTr/case_02.nii.gz": "reject",
        "imagesTr/case_03.nii.gz": "warn",
        "labelsTr/case_04.nii.gz": "reject",
    }
    assert (report.status, report.exit_code, report.cases) == ("reject", 1, 8)


def test_one_worker_and_little_memory_find_the_same(dirty: Path) -> None:
    many, one = examine(dirty, card=card()), examine(dirty, card=card(), workers=1, memory_gb=1e-6)
    assert many.findings == one.findings
    assert many.files == one.files


def test_the_report_is_plain_json(dirty: Path) -> None:
    values = json.loads(json.dumps(examine(dirty, card=card()).as_json()))
    assert values["status"] == "reject"
    assert values["counts"]["reject"] == 2
    assert values["files"][str(dirty / "imagesTr/case_02.nii.gz")] == "reject"
    finding = next(f for f in values["findings"] if f["kind"] == "mask")
    assert set(finding) == {"path", "kind", "severity", "found", "expected", "remedy"}
    assert "9 (" in finding["found"]


def test_the_table_names_file_fault_and_remedy(dirty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examine(dirty, card=card())
    printed = capsys.readouterr().err
    assert "labelsTr/case_04.nii.gz: the mask holds values that are no label: 9" in printed
    assert "What to do: correct the mask" in printed
    assert "2 reject" in printed


def test_a_clean_folder_is_ok_with_and_without_its_card(tmp_path: Path) -> None:
    root = msd_folder(tmp_path, 3)
    for given in (card(), None):
        report = examine(root, card=given)
        assert (report.status, report.exit_code, report.findings) == ("ok", 0, [])
        assert len(report.files) == 6


def test_expectations_of_the_card_are_checked_with_numbers(tmp_path: Path) -> None:
    root = msd_folder(tmp_path, 2)
    report = examine(root, card=card(expect={"cases": 3, "spacing_min": [2, 2, 2]}))
    (finding,) = report.findings
    assert "found 2, expected 3" in finding.found
    assert "case_00: spacing (1.0, 1.0, 1.0), expected (2.0, 2.0, 2.0) to any" in finding.found


def test_labels_of_a_dataset_json_are_used_without_a_card(tmp_path: Path) -> None:
    root = msd_folder(tmp_path, 1)
    (root / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "bright"}}))
    (finding,) = examine(root).findings
    assert finding.kind == "mask"
    assert "2 (" in finding.found


def test_one_pair_is_checked_against_the_labels_of_a_card(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    write_image(tmp_path / "image.nii.gz", image, np.eye(4))
    write_image(tmp_path / "label.nii.gz", np.where(mask == 2, 9, mask), np.eye(4))
    assert [f.kind for f in examine(tmp_path, card=card()).findings] == ["mask"]
    assert [f.kind for f in examine(tmp_path).findings] == ["gap"]


def test_a_dicom_series_is_read_and_foreign_files_are_skipped(tmp_path: Path) -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (16, 16, 12)).astype(np.int16)
    write_ct_series(tmp_path / "ct", hu, np.diag([1.0, 1, 2, 1]), patient_id="P", description="x", seed=0)
    (tmp_path / "ct/README.txt").write_text("hello")
    report = examine(tmp_path)
    assert report.status == "ok"
    assert report.cases == 1
    assert report.files[tmp_path / "ct/README.txt"] == "skip"


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("scan.nii.gz", b"", "reject"),
        ("scan.nii.gz", b"<html>not found</html>", "reject"),
        ("weights.pt", b"PK\x03\x04....", "skip"),
        ("notes.txt", b"hello", "skip"),
        ("recipe.yaml", b"name: x\ncard: phantom_ct\n", "ok"),
        ("recipe.yaml", b"name: x\ncrad: phantom_ct\nfolds: 3\n", "reject"),
    ],
)
def test_single_files_get_the_right_status(tmp_path: Path, name: str, content: bytes, status: str) -> None:
    (tmp_path / name).write_bytes(content)
    report = examine(tmp_path / name)
    assert report.status == status
    assert report.findings or status == "ok"


def test_repaired_copies_keep_their_place_and_the_source_its_bytes(tmp_path: Path) -> None:
    root = msd_folder(tmp_path / "data", 2)
    image, _ = two_balls(0)
    image[0, 0, 0] = np.nan
    write_image(root / "imagesTr/case_00.nii.gz", image, np.eye(4))
    write_image(root / "labelsTr/case_01.nii.gz", two_balls(1)[1].astype(np.float32), np.eye(4))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*.gz")}
    report = examine(root, card=card(), fix=tmp_path / "fixed")
    assert {str(r.target.relative_to(tmp_path)) for r in report.repairs if r.target} == {
        "fixed/imagesTr/case_00.nii.gz",
        "fixed/labelsTr/case_01.nii.gz",
    }
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*.gz")} == before


@pytest.mark.parametrize("place", ["data", "data/fixed", "."])
def test_a_folder_for_copies_among_the_data_is_refused(tmp_path: Path, place: str) -> None:
    root = msd_folder(tmp_path / "data", 1)
    with pytest.raises(ConfigError, match="outside"):
        examine(root, card=card(), fix=tmp_path / place)
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(ConfigError, match="outside"):
        examine(root, card=card(), fix=tmp_path / "link/x")


def test_nothing_to_look_at_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        examine(tmp_path / "absent")
    with pytest.raises(DataError, match="no case; looked for"):
        examine(tmp_path, card=card())


def test_the_allowance_never_gives_more_than_it_has_and_lets_giants_run_alone() -> None:
    allowance = Allowance(100)
    running: list[float] = []
    peaks: list[float] = []
    lock = threading.Lock()

    def work(share: float) -> None:
        with allowance.taking(share):
            with lock:
                running.append(min(share, 100))
                peaks.append(sum(running))
            time.sleep(0.005)
            with lock:
                running.remove(min(share, 100))

    threads = [threading.Thread(target=work, args=(share,)) for share in (40, 40, 40, 1e9, 10, 60, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(peaks) == 7
    assert max(peaks) <= 100


def test_a_series_in_several_folders_is_one_case(tmp_path: Path) -> None:
    array = two_balls(0)[0].astype(np.int16)
    write_ct_series(tmp_path / "d/a", array, np.eye(4), patient_id="p", description="d", seed=0)
    (tmp_path / "d/b").mkdir()
    for file in sorted((tmp_path / "d/a").iterdir())[8:]:
        file.rename(tmp_path / "d/b" / file.name)
    report = examine(tmp_path / "d")
    assert (report.layout, report.cases) == ("loose images", 1)
    assert report.exit_code == 0

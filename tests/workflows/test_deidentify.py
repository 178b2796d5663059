from __future__ import annotations

import csv
import json
import os
import signal
import stat
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian
from typer.testing import CliRunner

from medunet import cli
from medunet.errors import ConfigError
from medunet.io.deid.keys import KEY_BYTES, write_private
from medunet.io.deid.one_file import Outcome
from medunet.io.dicom import file as dicom_file
from medunet.workflows import deidentify as module
from medunet.workflows.deidentify import REPORT, deidentify
from medunet.workflows.deidentify_tally import Tally
from tests.io.deid.objects import KINDS, NEEDLES, PLANTED, build, forms, read, written


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    """A folder of one patient: a CT of two slices, MR, enhanced CT, SEG, RTSTRUCT, and what lies about."""
    folder = tmp_path / "Zweistein_Albertine" / "1947-03-11"
    for kind in KINDS:
        for index in range(2 if kind == "ct" else 1):
            written(folder / kind / f"zweistein{index}", build(kind, index))
    (folder / "ct" / "README.txt").write_text("Zweistein", encoding="utf-8")
    return tmp_path / "Zweistein_Albertine"


def run(originals: Path, tmp_path: Path, out: str = "out", **how: object) -> dict:
    return deidentify([originals], tmp_path / out, key_file=tmp_path / "key", **how)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.dcm")}


def test_a_folder_in_and_a_clean_folder_out(originals: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    write_private(tmp_path / "key", bytes(range(KEY_BYTES)).hex())  # UIDs of a new key hold any four digits
    result = run(originals, tmp_path)
    assert result["counts"] == {"written": 6, "unchanged": 0, "quarantined": 0, "failed": 0, "skipped": 1}
    assert (result["patients"], result["studies"], result["series"]) == (1, 1, 5)
    assert result["labels"] == ["Liver", "removed"]
    found = files_of(tmp_path / "out")
    assert len(found) == 6
    told = capsys.readouterr()
    everything = [*found.values(), (tmp_path / "out" / REPORT).read_bytes(), "\n".join(found).encode()]
    everything += [json.dumps(result).encode(), told.out.encode(), told.err.encode()]
    for content in everything:
        lower = content.lower()
        assert [needle for needle in NEEDLES if any(form in lower for form in forms(needle))] == []
    for name in found:
        patient, study, series, file = name.split("/")
        assert patient.startswith("P-")
        assert len(study) == len(series) == 12
        assert file.endswith(".dcm")


def test_again_changes_nothing_and_an_interrupted_run_goes_on(originals: Path, tmp_path: Path):
    run(originals, tmp_path)
    first = files_of(tmp_path / "out")
    times = {name: (tmp_path / "out" / name).stat().st_size for name in first}
    assert run(originals, tmp_path)["counts"]["unchanged"] == 6
    gone = sorted(first)[:3]
    for name in gone:
        (tmp_path / "out" / name).unlink()
    counts = run(originals, tmp_path)["counts"]
    assert (counts["written"], counts["unchanged"]) == (3, 3)
    assert files_of(tmp_path / "out") == first
    assert {name: (tmp_path / "out" / name).stat().st_size for name in first} == times


def test_more_processes_write_the_same_bytes(originals: Path, tmp_path: Path):
    run(originals, tmp_path)
    counts = run(originals, tmp_path, "other", workers=2)["counts"]
    assert counts["written"] == 6
    assert files_of(tmp_path / "other") == files_of(tmp_path / "out")


def _end_the_process(path: Path) -> Outcome:
    if path.name == "zweistein1":
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome("written", name=path.name)


@pytest.mark.slow
def test_a_file_that_ends_its_process_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # its processes import this file
    files = [tmp_path / f"zweistein{number}" for number in range(4)]
    found = dict(module._outcomes(files, _end_the_process, 2))
    assert [found[file].state for file in files] == ["written", "failed", "written", "written"]
    assert "process that read it was ended" in found[files[1]].reason


DAMAGE = {
    "empty": b"",
    "text": b"Zweistein",
    "cut": None,
    "nothing after the preamble": b"\0" * 128 + b"DICM",
    "noise": b"\0" * 128 + b"DICM" + bytes(range(256)) * 4,
    "deep": b"\0" * 128
    + b"DICM"
    + b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 3000,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_costs_only_itself(kind: str, originals: Path, tmp_path: Path):
    content = DAMAGE[kind]
    whole = (originals / "1947-03-11" / "ct" / "zweistein0").read_bytes()
    bad = originals / "zweistein.dcm"
    bad.write_bytes(whole[: len(whole) - 60] if content is None else content)
    result = run(originals, tmp_path)
    assert result["counts"]["written"] == 6
    assert result["counts"]["failed"] == 1
    assert "zweistein" not in json.dumps(result).lower()
    assert len(files_of(tmp_path / "out")) == 6


def test_a_deflated_bomb_is_refused_and_the_batch_goes_on(
    originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dicom_file, "LARGEST_HEADER", 2**20)
    bomb = build("ct", 8)
    bomb.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    bomb.PixelData = bytes(2**22)
    written(originals / "bomb.dcm", bomb)
    result = run(originals, tmp_path)
    assert result["counts"]["written"] == 6
    assert "grows beyond the 2 MiB" in result["failed"][0]["reason"]


def test_a_folder_that_cannot_be_listed_is_a_failure(
    originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    listed = os.scandir

    def refuse(folder: str) -> object:
        if str(folder).endswith("mr"):
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    result = run(originals, tmp_path)
    assert result["counts"]["written"] == 5
    assert [entry["reason"] for entry in result["failed"]] == ["the folder cannot be listed"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_a_failure(originals: Path, tmp_path: Path):
    (originals / "1947-03-11" / "mr" / "zweistein0").chmod(0)
    result = run(originals, tmp_path)
    assert result["failed"][0]["reason"] == "the file cannot be read (Permission denied)"


def test_two_objects_of_one_uid_never_replace_each_other(originals: Path, tmp_path: Path):
    other = build("mr")
    other.PixelData = bytes(len(other.PixelData))
    written(originals / "copy", other)
    result = run(originals, tmp_path)
    assert result["counts"]["written"] == 6
    assert "same SOPInstanceUID, but other content" in result["failed"][0]["reason"]


@pytest.mark.parametrize(("digest", "state"), [("a", "unchanged"), ("b", "failed")])
def test_two_processes_that_write_one_name(digest: str, state: str):
    tally = Tally(bytes(32), keep_originals=False)
    tally.add(Path("1"), Outcome("written", name="p/s/e/1.dcm", sha256="a"))
    tally.add(Path("2"), Outcome("written", name="p/s/e/1.dcm", sha256=digest))
    assert tally.counts == {"written": 1, state: 1}


def test_quarantine_is_told_and_left_out(originals: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    shot = build("ct", 5)
    shot.ImageType = ["DERIVED", "SECONDARY", "SCREENSHOT"]
    written(originals / "shot", shot)
    result = run(originals, tmp_path)
    assert result["counts"]["quarantined"] == 1
    assert result["counts"]["failed"] == 0
    (entry,) = result["quarantined"]
    assert "SCREENSHOT" in entry["reason"]
    assert "quarantined: 1 x image type" in capsys.readouterr().err
    reviewed = tmp_path / "seen.txt"
    reviewed.write_text(f"{entry['file']}\n", encoding="utf-8")
    counts = run(originals, tmp_path, reviewed=reviewed)["counts"]
    assert (counts["written"], counts["unchanged"], counts["quarantined"]) == (1, 6, 0)


def test_a_face_is_warned_of(originals: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    head = build("mr", 3)
    head.BodyPartExamined = "HEAD"
    written(originals / "head", head)
    assert "1 series are of the head" in run(originals, tmp_path)["warnings"][0]
    assert "a face can be rebuilt" in capsys.readouterr().err


def test_the_table_is_private_complete_and_harmless(originals: Path, tmp_path: Path):
    evil = build("ct", 7, planted=False)
    evil.PatientID = '=HYPERLINK("http://x")'
    evil.StudyInstanceUID = "1.2.3"
    written(originals / "+evil", evil)
    table = tmp_path / "secret.csv"
    run(originals, tmp_path, mapping=table)
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["kind", "original", "new"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    patients = {original: new for kind, original, new in rows if kind == "patient"}
    assert set(patients) == {PLANTED["PatientID"], "'" + evil.PatientID}
    files = {original: new for kind, original, new in rows if kind == "file"}
    assert len(files) == 8
    scan = read(tmp_path / "out" / files[str(originals / "1947-03-11" / "ct" / "zweistein1")])
    uids = {original: new for kind, original, new in rows if kind == "instance"}
    assert scan.SOPInstanceUID == uids[str(build("ct", 1).SOPInstanceUID)]
    assert scan.PatientID == patients[PLANTED["PatientID"]]


def test_no_table_unless_asked_for(originals: Path, tmp_path: Path):
    run(originals, tmp_path)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".dcm", ".json", ".txt", ""}
    assert (tmp_path / "key").stat().st_size == 2 * KEY_BYTES + 1


def test_one_folder_has_one_key_and_one_set_of_options(originals: Path, tmp_path: Path):
    run(originals, tmp_path)
    with pytest.raises(ConfigError, match="begun with another key or other options"):
        deidentify([originals], tmp_path / "out", key_file=tmp_path / "second")
    with pytest.raises(ConfigError, match="begun with another key or other options"):
        run(originals, tmp_path, keep_characteristics=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{in}", "--out", "{in}/out", "--key", "{top}/key"], "lies in"),
        (["{in}/1947-03-11", "--out", "{in}", "--key", "{top}/key"], "or holds it"),
        (["{in}", "--out", "{top}/out", "--key", "{top}/out/key"], "lies inside"),
        (["{in}", "--out", "{top}/out", "--key", "{in}/key"], "lies inside"),
        (["{in}", "--out", "{top}/out", "--key", "{top}/key", "--mapping", "{top}/out/m.csv"], "--mapping"),
        (["{top}/nowhere", "--out", "{top}/out", "--key", "{top}/key"], "no such file or folder"),
        (
            ["{in}", "--out", "{top}/out", "--key", "{top}/key", "--keep-private", "x"],
            "CREATOR,GROUP,ELEMENT",
        ),
        (["{in}", "--out", "{top}/out", "--key", "{top}/key", "--keep-private", "A,0018,01"], "odd group"),
        (["{in}", "--out", "{top}/out", "--key", "{top}/key", "--reviewed", "{top}/no"], "no such file"),
    ],
)
def test_a_wrong_request_is_refused_in_words(words: list[str], said: str, originals: Path, tmp_path: Path):
    given = [word.format(**{"in": originals, "top": tmp_path}) for word in words]
    done = CliRunner().invoke(cli.app, ["deidentify", *given])
    assert isinstance(done.exception, ConfigError), done.exception
    assert said in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_0_or_1(originals: Path, tmp_path: Path):
    words = ["deidentify", str(originals), "--out", str(tmp_path / "out"), "--key", str(tmp_path / "key")]
    done = CliRunner().invoke(cli.app, [*words, "--json", str(tmp_path / "r.json")])
    assert done.exit_code == 0, done.exception
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["counts"]["written"] == 6
    (originals / "bad.dcm").write_bytes(b"not DICOM")
    assert CliRunner().invoke(cli.app, words).exit_code == 1

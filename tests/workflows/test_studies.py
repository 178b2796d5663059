"""`medunet studies` as a user gives it."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from medunet.cli import app
from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from medunet.io.write import write_image
from medunet.studies.engines import local
from medunet.workflows.predict import predict
from medunet.workflows.registered import local_run
from tests.phantoms import RAS_1MM, two_balls
from tests.studies.conftest import make_run
from tests.studies.stub_run import COMMAND
from tests.tasks.test_segment import run_folder


def studies(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["studies", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Two scans, a broken one and a note."""
    for number in range(2):
        write_image(tmp_path / f"drive/{number}/Smith.nii.gz", two_balls(number)[0], RAS_1MM)
    (tmp_path / "drive/broken.nii.gz").write_bytes(b"\x1f\x8b broken")
    (tmp_path / "drive/note.txt").write_text("hello")
    return tmp_path / "drive"


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_from_a_folder_to_masks_and_a_report(tmp_path: Path, drive: Path):
    run, out, own = tmp_path / "run", tmp_path / "out", ("--workspace", tmp_path)
    run.mkdir()
    run_folder(run)
    with pytest.raises(ConfigError, match="there is no ledger"):
        studies("status", *own)
    said = studies("add", drive, "--model", run, "--out", out, *own, code=1)
    told = load_text(said)
    assert (told["studies"], told["added"], len(told["refused"]), len(told["skipped"])) == (2, 2, 1, 1)
    assert load_text(studies("add", drive, "--model", run, "--out", out, *own, code=1))["known"] == 3

    studies("run", *own, "--device", "cpu", "--json", tmp_path / "r.json")
    result = load(tmp_path / "r.json")
    assert (result["done"], result["failed"], result["unfinished"]) == (2, 0, 0)
    (reason,) = result["reasons"].values()
    assert reason.startswith("refused: ")
    assert "broken.nii.gz" not in reason

    studies("report", *own, "--json", tmp_path / "report.json", "--csv", tmp_path / "report.csv", "--paths")
    rows = load(tmp_path / "report.json")["studies"]
    assert [row["state"] for row in rows] == ["done", "done", "refused"]
    table = (tmp_path / "report.csv").read_text(encoding="utf-8")
    assert len(list(csv.reader(StringIO(table)))) == 4
    for row in rows[:2]:
        (image,) = row["images"]
        expected = predict(RunFolder.open(run), [Path(image)], tmp_path / row["study"])
        mask = nib.load(tmp_path / row["study"] / expected["done"][0]["mask"])
        found = nib.load(out / row["study"] / "mask.nii.gz")
        assert np.array_equal(np.asarray(found.dataobj), np.asarray(mask.dataobj))
        assert np.array_equal(found.affine, mask.affine)
    assert "Smith" not in "".join(
        p.read_text(encoding="utf-8") for p in (tmp_path / "studies/logs").iterdir()
    )

    assert load_text(studies("retry", "--refused", *own)) == {"queued": 1}
    assert load_text(studies("status", *own))["counts"] == {"done": 2, "queued": 1}


def load_text(text: str) -> Any:
    return json.loads(text[text.index("{") :])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", "nowhere", "--model", "RUN", "--out", "o"), "nowhere: no such file or folder"),
        (("add", "DRIVE", "--model", "nowhere", "--out", "o"), "not a run"),
        (("add", "DRIVE", "--model", "RUN", "--out", "DRIVE"), "is the folder of the scans"),
        (("add", "DRIVE", "--model", "RUN", "--out", "o", "--fold", "3"), r"trained folds are \[0\]"),
        (
            ("add", "DRIVE", "--model", "RUN", "--out", "o", "--format", "gif"),
            "--format gif: expected one of",
        ),
        (("run", "--set", "read_gb=-1"), "read_gb"),
        (("run", "--set", "reed_gb=1"), "reed_gb: unknown key"),
        (("watch", "nowhere", "--model", "RUN", "--out", "o"), "nowhere: no such folder"),
        (("report",), "there is no ledger"),
    ],
)
def test_a_wrong_request_is_refused(tmp_path: Path, drive: Path, words: tuple[str, ...], message: str):
    make_run(tmp_path / "run")
    places = {"RUN": tmp_path / "run", "DRIVE": drive}
    with pytest.raises(ConfigError, match=message):
        studies(*(places.get(word, word) for word in words), "--workspace", tmp_path)


def test_an_empty_queue_is_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "COMMAND", COMMAND)
    told = load_text(studies("run", "--workspace", tmp_path))
    assert (told["done"], told["unfinished"]) == (0, 0)


def test_models_are_named_by_path_or_registered_name(tmp_path: Path):
    (tmp_path / "runs/a").mkdir(parents=True)
    assert local_run(str(tmp_path / "runs/a"), Path()) == tmp_path / "runs/a"
    assert local_run("runs/a", tmp_path) == tmp_path / "runs/a"
    with pytest.raises(ConfigError, match="cannot be fetched"):
        local_run("models:/nothing@best", tmp_path)

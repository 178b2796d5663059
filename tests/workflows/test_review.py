"""`medunet review` as a user gives it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from medunet.cli.review import app
from medunet.config.load import write_yaml
from medunet.errors import ConfigError
from medunet.review.cases import find_cases
from medunet.workflows import review as work
from tests.phantoms import card, msd_folder
from tests.review.sources import accept, room_in, study


def review(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Return a workspace with a room of three cases, one of which cannot be read."""
    msd_folder(tmp_path / "data", 3)
    (tmp_path / "data/imagesTr/case_02.nii.gz").write_bytes(b"no image")
    write_yaml(tmp_path / "balls.yaml", card().model_dump(mode="json"))
    words = ("add", tmp_path / "data", "--card", tmp_path / "balls.yaml", "--workspace", tmp_path)
    result = review(*words, "--json", tmp_path / "added.json")
    assert result.exit_code == 1  # some cases failed
    assert "added 2, known 0, refused 1" in result.output
    assert list(json.loads((tmp_path / "added.json").read_text())["refused"]) == ["case_02"]
    return tmp_path


def test_list_shows_no_name_unless_asked(filled):
    shown = review("list", "--workspace", filled).output
    assert shown.count("open") == 2
    assert "case_00" not in shown
    assert "case_00" in review("list", "--names", "--workspace", filled).output
    assert (
        "case_00" in review("list", "--names", "--sort", "added", "--limit", 1, "--workspace", filled).output
    )
    wrong = review("list", "--sort", "colour", "--workspace", filled)
    assert isinstance(wrong.exception, ConfigError)


def test_status_assign_export_and_audit(filled):
    with room_in(filled) as room:
        first, second = [case.id for case in find_cases(room, order="added")]
        accept(room, first)
    assert review("assign", "anna", first, second, "--workspace", filled).exit_code == 0
    status = json.loads(review("status", "--workspace", filled).output)
    assert status["by_reader"]["anna"] == {"accepted": 1, "open": 1}
    result = review("export", filled / "set", "--workspace", filled, "--json", filled / "out.json")
    assert result.exit_code == 0
    assert json.loads((filled / "out.json").read_text())["cases"] == 1
    assert (filled / "set/card.yaml").is_file()
    assert review("audit", "head", "--workspace", filled).exit_code == 0
    verified = review("audit", "verify", "--workspace", filled)
    assert verified.exit_code == 0
    assert "0 problems" in verified.output
    pushed = review("export", filled / "two", "--push", "x", "--workspace", filled)
    assert "--layout seg" in str(pushed.exception)
    none = review("export", filled / "three", "--source", "studies", "--workspace", filled)
    assert "no accepted case" in str(none.exception)


def test_users_come_and_go(tmp_path):
    (tmp_path / "secret").write_text("correct horse battery\n")
    words = ("--workspace", tmp_path)
    added = review(
        "user", "add", "anna", "--role", "adjudicator", "--password-file", tmp_path / "secret", *words
    )
    assert added.exit_code == 0, added.output
    assert "anna  adjudicator" in review("user", "list", *words).output
    assert review("user", "role", "anna", "viewer", *words).exit_code == 0
    assert review("user", "off", "anna", *words).exit_code == 0
    assert "anna  viewer  off" in review("user", "list", *words).output
    (tmp_path / "empty").write_text("")
    wrong = review("user", "password", "anna", "--password-file", tmp_path / "empty", *words)
    assert "is empty" in str(wrong.exception)


def test_the_ledger_tells_where_the_images_of_studies_lie(tmp_path):
    from medunet.studies.ledger import Ledger
    from medunet.studies.task import Image, Request

    study(tmp_path / "masks/s", tmp_path / "dicom/a")
    files = tuple(path.name for path in sorted((tmp_path / "dicom/a").iterdir()))
    image = Image(id="i1", folder=str(tmp_path / "dicom/a"), files=files, dicom=True)
    request = Request(
        study="s", content="c", images=(image,), model=str(tmp_path / "run"), model_sha256="2" * 64,
        writers=("nifti",), out=str(tmp_path / "masks"),
    )  # fmt: skip
    ledger = Ledger(str(tmp_path / "studies.db"))
    ledger.add([request])
    assert ledger.claim("me", 60.0) is not None
    result = json.loads((tmp_path / "masks/s/result.json").read_text()) | {"series": ["i1"]}
    ledger.finish(request.key, "me", "done", risk=0.4, result=result)
    ledger.close()
    (tmp_path / "masks/s").rename(tmp_path / "masks" / request.name)
    (entry,) = work.study_entries(str(tmp_path / "studies.db"))
    assert entry.channels[0].files == (tmp_path / "dicom/a",)
    write_yaml(tmp_path / "balls.yaml", card().model_dump(mode="json"))
    words = ("add", tmp_path / "masks", "--card", tmp_path / "balls.yaml", "--workspace", tmp_path)
    assert "added 1" in review(*words, "--ledger", tmp_path / "studies.db").output
    gone = review(*words, "--ledger", tmp_path / "nothere.db")
    assert "no such file" in str(gone.exception)


def test_without_a_command_the_room_is_served(tmp_path, monkeypatch):
    @dataclass
    class Settings:
        workspace: Path
        url: str | None
        host: str
        port: int
        single_user: bool
        names: tuple[str, ...]
        secure: bool
        oidc: Any

    asked = []

    def run(settings, started):
        asked.append(settings)
        started("http://127.0.0.1:1")

    fakes = {
        "dashboards.settings": {"ServerSettings": Settings, "Oidc": dict},
        "dashboards.server": {"run": run},
    }
    for name, values in fakes.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    assert review("--workspace", tmp_path, "--port", 0).exit_code == 0
    assert review("start", "--login", "--host", "0.0.0.0", "--workspace", tmp_path).exit_code == 0
    assert [(one.host, one.port, one.single_user) for one in asked] == [
        ("127.0.0.1", 0, True),
        ("0.0.0.0", 8501, False),
    ]
    proxied = review("--login", "--public", "https://Review.example.org", "--workspace", tmp_path)
    assert "https://Review.example.org" in proxied.output
    assert (asked[-1].names, asked[-1].secure) == (("review.example.org",), True)
    assert (asked[0].names, asked[0].secure) == ((), False)
    assert "add --login" in str(review("--public", "https://a.example.org").exception)
    assert "expected an address" in str(review("--login", "--public", "review.example.org").exception)
    (tmp_path / "oidc.yaml").write_text("issuer: https://sso\nclient_id: a\n")
    assert "client_secret: missing" in str(review("--oidc", tmp_path / "oidc.yaml").exception)

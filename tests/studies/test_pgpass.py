from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sql

from medunet.errors import ConfigError
from medunet.studies.pgpass import with_password

TEXT = r"""
# db:5432:x:anna:comment
db:5433:x:anna:other port
db:*:x:anna:se\:cr\\et
*:*:*:bert:any
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pgpass"
    path.write_text(TEXT)
    path.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(path))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    return path


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://anna@db/x", r"se:cr\et"),
        ("postgresql://anna@db:5433/x", "other port"),
        ("postgresql://anna:own@db/x", "own"),
        ("postgresql://bert@elsewhere:1/y", "any"),
        ("postgresql://carl@db/x", None),
        ("postgresql://anna@db/y", None),
    ],
)
def test_the_first_line_that_fits_counts(file: Path, url: str, password: str | None):
    assert with_password(sql.make_url(url)).password == password


def test_the_environment_goes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPASSWORD", "of the environment")
    assert with_password(sql.make_url("postgresql://anna@db/x")).password == "of the environment"


def test_a_file_that_others_may_read_is_refused(file: Path):
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        with_password(sql.make_url("postgresql://anna@db/x"))


def test_no_file_is_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    assert with_password(sql.make_url("postgresql://anna@db/x")).password is None

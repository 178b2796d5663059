from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from medunet.errors import ConfigError, DataError
from medunet.review import database
from medunet.review.room import Room
from medunet.review.tables import TABLES

if importlib.util.find_spec("medunet.review.tables_reading"):
    importlib.import_module("medunet.review.tables_reading")
ROOT = Path(__file__).parents[2]


def test_the_steps_make_what_the_tables_say(room: Room):
    with room.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "review_version"})
        assert compare_metadata(context, TABLES) == []


def test_a_room_can_be_opened_again_and_by_several_at_once(tmp_path: Path):
    code = "import sys; from pathlib import Path; from medunet.review.room import Room; "
    code += "sys.stdin.readline(); Room.open(Path(sys.argv[1])).close()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT) for _ in range(2)]
    for other in others:
        other.communicate(b"go\n")
    assert [other.returncode for other in others] == [0, 0]
    Room.open(tmp_path).close()
    assert (tmp_path / "review").stat().st_mode & 0o077 == 0


def test_a_room_of_a_newer_medunet_is_left_alone(file_room: Room, tmp_path: Path):
    with file_room.begin() as connection:
        connection.execute(sql.text("UPDATE review_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer medunet"):
        Room.open(tmp_path)


def test_what_fails_in_a_transaction_leaves_nothing(room: Room):
    with pytest.raises(ZeroDivisionError), room.begin() as connection:
        connection.execute(sql.text("UPDATE review_audit_head SET n = 1"))
        raise ZeroDivisionError
    with room.read() as connection:
        assert connection.scalar(sql.text("SELECT n FROM review_audit_head")) == 0


def test_sqlite_is_durable_and_checks_what_points_where(file_room: Room):
    with file_room.read() as connection:
        found = {
            name: connection.scalar(sql.text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")
        }
        assert found == {"journal_mode": "wal", "synchronous": 2}
        assert connection.scalar(sql.text("PRAGMA foreign_keys")) == 1


def test_urls_that_cannot_be_are_told_without_their_password(tmp_path: Path):
    for url in ("mysql://anna:secret@h/x", "postgresql://anna:secret@127.0.0.1:1/x"):
        with pytest.raises(ConfigError) as caught:
            Room.open(tmp_path, url)
        assert "secret" not in str(caught.value)


def test_no_sqlite_on_a_network_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "file_system_of", lambda folder: "nfs4")
    with pytest.raises(ConfigError, match="network drive"):
        Room.open(tmp_path)


def test_a_database_that_is_full_is_told(file_room: Room):
    with pytest.raises(DataError, match="does not answer"), file_room.begin() as connection:
        connection.execute(sql.text("SELECT * FROM not_there"))

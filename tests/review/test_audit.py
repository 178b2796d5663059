from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sql

from medunet.errors import DataError
from medunet.review import audit
from medunet.review.room import Room

ROWS = 12


@pytest.fixture
def long_room(room: Room) -> Room:
    with room.begin() as connection:
        for n in range(1, ROWS + 1):
            audit.record(connection, "anna", "tested", f"case{n}", {"n": n, "ü": [1.5, None, "\n"]})
    return room


@contextmanager
def without_triggers(room: Room) -> Iterator[sql.Connection]:
    """Give what an attacker has who can write to the file, or owns the tables."""
    with room.begin() as connection:
        if room.engine.dialect.name == "postgresql":
            for table in ("review_audit", "review_audit_head"):
                connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        else:
            names = connection.scalars(
                sql.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            ).all()
            for name in names:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        yield connection


def test_a_chain_that_was_left_alone_is_sound(long_room: Room):
    report = audit.verify(long_room)
    assert (report.rows, report.problems) == (ROWS, [])
    newest = audit.entries(long_room, limit=1)[0]
    assert (newest["n"], newest["digest"], newest["case_id"]) == (ROWS, report.digest, f"case{ROWS}")
    assert newest["body"] == {"n": ROWS, "ü": [1.5, None, "\n"]}
    assert [entry["n"] for entry in audit.entries(long_room, "case3")] == [3]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE review_audit SET body = '{}' WHERE n = 3",
        "DELETE FROM review_audit WHERE n = 12",
        "DELETE FROM review_audit_head",
        "UPDATE review_audit_head SET n = 3",
        "UPDATE review_audit_head SET id = 2, n = n + 1",
        'INSERT INTO review_audit SELECT n + 5, created, "user", action, case_id, body, digest '
        "FROM review_audit WHERE n = 12",
    ],
)
def test_the_database_refuses_what_is_no_new_row(long_room: Room, statement: str):
    with (
        pytest.raises(sql.exc.DBAPIError, match="append-only|at its end only"),
        long_room.engine.begin() as raw,
    ):
        raw.exec_driver_sql(statement)
    assert audit.verify(long_room).problems == []


CHANGES = {
    "changed body": "UPDATE review_audit SET body = '{}' WHERE n = 3",
    "changed user": "UPDATE review_audit SET \"user\" = 'ben' WHERE n = 3",
    "changed time": "UPDATE review_audit SET created = created + 0.001 WHERE n = 3",
    "changed action": "UPDATE review_audit SET action = 'x' WHERE n = 3",
    "changed case": "UPDATE review_audit SET case_id = NULL WHERE n = 3",
    "changed digest": "UPDATE review_audit SET digest = 'x' WHERE n = 3",
    "removed": "DELETE FROM review_audit WHERE n = 3",
    "removed first": "DELETE FROM review_audit WHERE n = 1",
    "removed and closed up": "DELETE FROM review_audit WHERE n = 3;"
    "UPDATE review_audit SET n = -n WHERE n > 3;UPDATE review_audit SET n = -n - 1 WHERE n < 0",
    "inserted": "UPDATE review_audit SET n = -n WHERE n > 3;UPDATE review_audit SET n = 1 - n WHERE n < 0;"
    'INSERT INTO review_audit SELECT 4, created, "user", action, case_id, body, digest '
    "FROM review_audit WHERE n = 3",
    "inserted before": 'INSERT INTO review_audit SELECT 0, created, "user", action, case_id, body, digest '
    "FROM review_audit WHERE n = 3",
    "reordered": "UPDATE review_audit SET n = 99 WHERE n = 3;UPDATE review_audit SET n = 3 WHERE n = 4;"
    "UPDATE review_audit SET n = 4 WHERE n = 99",
    "cut end": "DELETE FROM review_audit WHERE n > 10",
    "emptied": "DELETE FROM review_audit",
    "head removed": "DELETE FROM review_audit_head",
    "head set back": "UPDATE review_audit_head SET n = 11",
    "added behind": 'INSERT INTO review_audit SELECT 13, created, "user", action, case_id, body, digest '
    "FROM review_audit WHERE n = 12",
}


@pytest.mark.parametrize("kind", CHANGES)
def test_every_planted_change_is_found(long_room: Room, kind: str, monkeypatch: pytest.MonkeyPatch):
    with without_triggers(long_room) as connection:
        for statement in CHANGES[kind].split(";"):
            connection.exec_driver_sql(statement)
    found = audit.verify(long_room).problems
    assert found
    monkeypatch.setattr(audit, "ROWS_AT_ONCE", 3)  # and whichever rows are read together
    assert audit.verify(long_room).problems == found


@pytest.mark.parametrize("column", ["body", "created", "digest"])
def test_bytes_where_words_belong_are_found(file_room: Room, column: str):
    with file_room.begin() as connection:
        for _ in range(3):
            audit.record(connection, "anna", "tested", None, {})
    with without_triggers(file_room) as connection:
        connection.exec_driver_sql(f"UPDATE review_audit SET {column} = x'ff' WHERE n = 2")
    assert 2 in [n for n, _ in audit.verify(file_room).problems]


def test_a_digest_can_be_computed_by_others(room: Room):
    with room.begin() as connection:
        digest = audit.record(connection, "anna", "tested", None, {"b": 'ü"', "a": 1})
    row = audit.entries(room)[0]
    body = '{"a":1,"b":"ü\\""}'
    values = [1, row["created"], "anna", "tested", None, body]
    text = "0" * 64 + json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == digest


def test_one_change_in_the_middle_is_told_where_it_is(long_room: Room):
    with without_triggers(long_room) as connection:
        connection.exec_driver_sql(CHANGES["changed body"])
        connection.exec_driver_sql("DELETE FROM review_audit WHERE n IN (6, 7)")
    (first, changed), (second, removed) = audit.verify(long_room).problems
    assert (first, second) == (3, 8)
    assert "not what was written" in changed
    assert removed == "row 8 follows row 5"


def rewrite(room: Room, end: int) -> None:
    """Change a row and compute the whole chain anew, up to a row: what only a kept head can tell."""
    with without_triggers(room) as connection:
        rows = connection.execute(sql.text("SELECT * FROM review_audit ORDER BY n")).mappings().all()
        connection.exec_driver_sql("DELETE FROM review_audit")
        connection.exec_driver_sql(f"UPDATE review_audit_head SET n = 0, digest = '{audit.START}'")
        for row in rows[:end]:
            audit.record(connection, "ben", row["action"], row["case_id"], json.loads(row["body"]))


@pytest.mark.parametrize("end", [ROWS, 5])
def test_a_chain_computed_anew_is_found_by_a_head_kept_elsewhere(long_room: Room, tmp_path: Path, end: int):
    heads = audit.keep_head(long_room, tmp_path / "elsewhere")
    assert audit.verify(long_room, heads).problems == []
    rewrite(long_room, end)
    assert audit.verify(long_room).problems == []
    assert [n for n, _ in audit.verify(long_room, heads).problems] == [ROWS]


def test_the_head_in_the_room_is_looked_at_where_it_is(long_room: Room, tmp_path: Path):
    path = audit.keep_head(long_room)
    with long_room.begin() as connection:
        audit.record(connection, "anna", "more", None, {})
    assert audit.keep_head(long_room) == path
    assert len(path.read_text().splitlines()) == 2
    assert audit.verify(long_room).problems == []
    path.write_text(f"3 {'0' * 64}\n")
    assert [n for n, _ in audit.verify(long_room).problems] == [3]
    for text in ("no head", "1"):
        path.write_text(text)
        with pytest.raises(DataError, match="cannot be read"):
            audit.verify(long_room)
    with pytest.raises(DataError, match="cannot be read"):
        audit.verify(long_room, tmp_path / "not there")


def test_problems_are_told_up_to_a_hundred(file_room: Room, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit, "MAX_PROBLEMS", 3)
    with file_room.begin() as connection:
        for _ in range(9):
            audit.record(connection, "anna", "tested", None, {})
    with without_triggers(file_room) as connection:
        connection.exec_driver_sql("UPDATE review_audit SET action = 'x'")
    assert len(audit.verify(file_room).problems) == 3


def test_threads_write_one_chain(room: Room):
    def work() -> None:
        for _ in range(10):
            with room.begin() as connection:
                audit.record(connection, "anna", "tested", None, {})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = audit.verify(room)
    assert (report.rows, report.problems) == (40, [])


def test_what_has_no_place_in_json_is_not_recorded(file_room: Room):
    with pytest.raises(ValueError, match="JSON"), file_room.begin() as connection:
        audit.record(connection, "anna", "tested", None, {"x": float("nan")})
    assert audit.verify(file_room).rows == 0

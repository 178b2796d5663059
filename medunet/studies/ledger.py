"""The ledger: which study is queued, who works on it until when, and what came of it.

SQLite with a write-ahead log for one machine, PostgreSQL by URL for several. Every step is one statement, so
that a process may die between any two. Times are those of the database, so that clocks need not agree.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError

from medunet.errors import ConfigError
from medunet.studies.database import CURSORS, FACTS, TASKS, TIME, first_line, open_engine, public
from medunet.studies.task import OPEN, Request, State, Task

VERSION = "1"
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
MAX_ATTEMPTS = 3
ROWS_AT_ONCE = 50
INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
NO_LEASE = {"owner": None, "lease_until": None}


class Ledger:
    """See above; `place` is a file for SQLite, or a PostgreSQL URL. One per process, for all its threads."""

    def __init__(self, place: str, max_attempts: int = MAX_ATTEMPTS) -> None:
        """Open the ledger, and create it if it is not there."""
        self.place, self.max_attempts = place, max_attempts
        self._engine = open_engine(place)
        self._insert = INSERT[self._engine.dialect.name]
        found = self._fact("version", VERSION)
        if found != VERSION:
            raise ConfigError(f"the ledger has version {found}; expected {VERSION}. Use that medunet.")

    @property
    def is_server(self) -> bool:
        """Whether several machines may use it."""
        return self._engine.dialect.name == "postgresql"

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add(self, requests: Iterable[Request], priority: int = 0) -> list[str]:
        """Queue what is not known yet, or failed and is asked for otherwise; return the keys of these.

        A study that waits takes the new priority, and the new places of its files.
        """
        new: list[str] = []
        rows = {request.key: self._row(request, priority) for request in requests}
        waiting = list(rows.values())
        for start in range(0, len(waiting), ROWS_AT_ONCE):
            few = waiting[start : start + ROWS_AT_ONCE]
            query = sql.select(TASKS.c.key).where(
                TASKS.c.key.in_([row["key"] for row in few]), TASKS.c.state.in_(OPEN)
            )
            known = {row.key for row in self._run(query)}
            new += [row.key for row in self._run(self._upsert(few)) if row.key not in known]
        return new

    def _upsert(self, rows: list[dict[str, Any]]) -> Any:
        statement = self._insert(TASKS).values(rows)
        said = statement.excluded
        again = {"attempts": 0, "risk": None, "result": None, "started": None, "ended": None}
        fresh = ("request", "priority", "state", "reason", "added")
        return statement.on_conflict_do_update(
            index_elements=["key"],
            set_={name: said[name] for name in fresh} | again,
            where=sql.and_(
                TASKS.c.state.in_(("queued", "failed", "refused")),
                sql.or_(TASKS.c.request != said.request, TASKS.c.priority != said.priority),
            ),
        ).returning(TASKS.c.key)

    def claim(self, owner: str, lease_s: float) -> Task | None:
        """Lease the next study to `owner`: the highest priority, then the oldest; None if none is queued."""
        first = (
            sql.select(TASKS.c.id)
            .where(TASKS.c.state == "queued")
            .order_by(TASKS.c.priority.desc(), TASKS.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        statement = (
            sql.update(TASKS)
            .where(TASKS.c.id == first, TASKS.c.state == "queued")
            .values(
                state="running",
                owner=owner,
                attempts=TASKS.c.attempts + 1,
                lease_until=TIME + lease_s,
                heartbeat=TIME,
                started=TIME,
                ended=None,
                reason="",
            )
        )
        rows = self._run(statement.returning(TASKS.c.key, TASKS.c.attempts, TASKS.c.request))
        for row in rows:
            return Task(row.key, row.attempts, Request.model_validate_json(row.request))
        return None

    def expire(self) -> int:
        """Queue again what dead workers held; what has killed its worker too often is failed."""
        worn = TASKS.c.attempts >= self.max_attempts
        times = sql.cast(TASKS.c.attempts, sql.String)
        reason = sql.literal("the worker died ").concat(times).concat(" times")
        return self._change(
            sql.and_(TASKS.c.state == "running", TASKS.c.lease_until < TIME),
            state=sql.case((worn, "failed"), else_="queued"),
            reason=sql.case((worn, reason), else_=""),
            ended=sql.case((worn, TIME), else_=None),
            **NO_LEASE,
        )

    def renew(self, owner: str, lease_s: float, keys: Collection[str]) -> int:
        """Prolong the leases of `owner` on some studies that have not ended; return how many.

        A lease that `owner` does not know of, because the answer to `claim` was lost, ends by itself.
        """
        held = sql.and_(*self._held(owner), TASKS.c.key.in_(keys))
        return self._change(held, lease_until=TIME + lease_s, heartbeat=TIME)

    def finish(
        self,
        key: str,
        owner: str,
        state: State,
        *,
        reason: str = "",
        risk: float | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        """Close a study; False, and nothing changed, if `owner` does not hold it any more."""
        text = json.dumps(result) if result is not None else None
        values = {"state": state, "reason": reason, "risk": risk, "result": text, "ended": TIME}
        done = TASKS.c.completions + (1 if state == "done" else 0)
        held = sql.and_(TASKS.c.key == key, *self._held(owner))
        return bool(self._change(held, completions=done, **values, **NO_LEASE))

    def give_back(self, owner: str) -> int:
        """Queue again what `owner` holds and was not at fault for: the attempt does not count."""
        held = sql.and_(*self._held(owner))
        return self._change(held, state="queued", attempts=TASKS.c.attempts - 1, **NO_LEASE)

    def abandon(self, owner: str) -> int:
        """End all leases of a worker that is known to be dead; the attempt counts."""
        count = self._change(sql.and_(*self._held(owner)), lease_until=0.0)
        self.expire()
        return count

    def owners(self) -> set[str]:
        """Return who holds leases."""
        query = sql.select(TASKS.c.owner).where(TASKS.c.state == "running").distinct()
        return {row.owner for row in self._run(query)}

    def retry(self, states: Sequence[State] = ("failed",), names: Collection[str] | None = None) -> int:
        """Queue closed studies again, as if they were new; return how many."""
        chosen = [TASKS.c.state.in_(states)] + ([TASKS.c.name.in_(names)] if names is not None else [])
        fresh = {"state": "queued", "attempts": 0, "reason": "", "risk": None, "result": None}
        return self._change(sql.and_(*chosen), **fresh, started=None, ended=None)

    def counts(self) -> dict[str, int]:
        """Return how many studies are in each state."""
        query = sql.select(TASKS.c.state, sql.func.count()).group_by(TASKS.c.state)
        return {state: int(count) for state, count in self._run(query)}

    def unfinished(self) -> int:
        """Return how many studies are queued or running."""
        counts = self.counts()
        return sum(counts.get(state, 0) for state in OPEN)

    def rows(self, *, by: str = "id", state: State | None = None) -> Iterator[dict[str, Any]]:
        """Yield all studies in the order in which they were added, or `by` risk, the highest first."""
        query = sql.select(TASKS).order_by(TASKS.c.risk.desc().nulls_last() if by == "risk" else TASKS.c.id)
        for row in self._run(query.where(TASKS.c.state == state) if state else query):
            found = dict(row._mapping)
            found["request"] = json.loads(found["request"])
            found["result"] = json.loads(found["result"] or "{}")
            yield found

    def cursor(self, name: str) -> str | None:
        """Return how far a source of studies has been followed."""
        rows = self._run(sql.select(CURSORS.c.value).where(CURSORS.c.name == name))
        return str(rows[0].value) if rows else None

    def set_cursor(self, name: str, value: str) -> None:
        """Remember how far a source of studies has been followed."""
        statement = self._insert(CURSORS).values(name=name, value=value)
        self._run(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))

    def _fact(self, name: str, value: str) -> str:
        self._run(self._insert(FACTS).values(name=name, value=value).on_conflict_do_nothing())
        return str(self._run(sql.select(FACTS.c.value).where(FACTS.c.name == name))[0].value)

    @staticmethod
    def _row(request: Request, priority: int) -> dict[str, Any]:
        return {
            "key": request.key,
            "name": request.name,
            "study": request.study,
            "state": "refused" if request.refused else "queued",
            "reason": request.refused,
            "priority": priority,
            "request": request.model_dump_json(),
            "added": TIME,
        }

    @staticmethod
    def _held(owner: str) -> list[sql.ColumnElement[bool]]:
        return [TASKS.c.owner == owner, TASKS.c.state == "running", TASKS.c.lease_until >= TIME]

    def _change(self, where: sql.ColumnElement[bool], **values: Any) -> int:
        return len(self._run(sql.update(TASKS).where(where).values(**values).returning(TASKS.c.key)))

    def _run(self, statement: sql.Executable) -> list[Any]:
        """Run one statement; a database that is away is tried again for two minutes."""
        for pause_s in (*PAUSES_S, None):
            try:
                with self._engine.connect() as connection:
                    result = connection.execute(statement)
                    return list(result.fetchall()) if result.returns_rows else []
            except (OperationalError, InterfaceError) as error:
                if pause_s is None:
                    raise ConfigError(
                        f"the ledger {public(self.place)} is away: {first_line(error)}"
                    ) from None
                time.sleep(pause_s)
        raise AssertionError

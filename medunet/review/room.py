"""The open reading room: its folder, its database and its masks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy.exc import InterfaceError, OperationalError

from medunet.errors import DataError
from medunet.review.database import WRITES, open_engine
from medunet.review.migrate import migrate
from medunet.review.store import MaskStore
from medunet.studies.database import first_line


class Room:
    """What all of a reading room's functions take first; one per process, for all its threads."""

    def __init__(self, folder: Path, engine: sql.Engine) -> None:
        """Use `open`, which also makes the tables."""
        self.folder, self.engine = folder, engine
        self.masks = MaskStore(folder / "masks")
        # SQLite lets those who wait sleep longer and longer; threads of one process take turns here instead
        file = engine.dialect.name == "sqlite"
        self._turn: AbstractContextManager[object] = threading.Lock() if file else nullcontext()

    @classmethod
    def open(cls, workspace: Path, url: str | None = None) -> Room:
        """Open WORKSPACE/review, with its SQLite file or a PostgreSQL database; make what is not there.

        ConfigError where the database cannot be opened, or was made by a newer medunet.
        """
        folder = workspace / "review"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # names of patients lie in it
        room = cls(folder, open_engine(folder, url))
        try:
            migrate(room.engine)
        except BaseException:
            room.close()
            raise
        return room

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[sql.Connection]:
        """Give a connection in a transaction that writes: all of it is stored at the end, or nothing.

        Transactions that write come one after the other, in all threads and processes: keep them short.
        """
        with self._turn, self._told(), self.engine.connect() as raw:
            connection = raw.execution_options(**WRITES)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[sql.Connection]:
        """Give a connection to read with; it never waits for those who write."""
        with self._told(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise DataError(
                f"{self.folder}: the database of the reading room does not answer ({first_line(error)}). "
                "Nothing was stored; see that there is room on the disk and that the server is up"
            ) from error

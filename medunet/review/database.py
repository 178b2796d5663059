"""How the database of a reading room is opened: SQLite beside the masks, or PostgreSQL by URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError

from medunet.errors import ConfigError
from medunet.studies.database import NETWORK, file_system_of, public
from medunet.studies.pgpass import with_password

BUSY_S = 60.0  # one writer at a time: how long the others wait
WRITES = {"writes": True}  # execution option of a connection whose transactions write
LOCK = 0x6D656475  # advisory lock of PostgreSQL that all writers of a reading room take in turn
CONNECTIONS = 40  # at most, as many as the threads of a server


def open_engine(folder: Path, url: str | None) -> sql.Engine:
    """Return an engine on FOLDER/review.db, or on a PostgreSQL URL; ConfigError where there can be none."""
    if url is not None and not url.startswith(("postgresql://", "postgresql+")):
        raise ConfigError(f"--url {public(url)}: expected postgresql://USER:PASSWORD@HOST/DATABASE.")
    try:
        place = _file_url(folder / "review.db") if url is None else _server_url(url)
        engine = sql.create_engine(place, pool_pre_ping=url is not None, max_overflow=CONNECTIONS)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--url: needs the package {error.name}. For PostgreSQL: pip install 'medunet[postgres]'."
        ) from None
    if url is None:
        sql.event.listen(engine, "connect", _tune)
    sql.event.listen(engine, "begin", _begin)
    return engine


def _file_url(path: Path) -> sql.URL:
    """Return the URL of an SQLite file; ConfigError on a network drive, where its locks do not hold."""
    kind = file_system_of(path.parent)
    if any(word in kind.lower() for word in NETWORK):
        raise ConfigError(
            f"{path}: lies on a network drive ({kind}), where SQLite loses data if several processes write. "
            "Give --workspace a local folder, or --url postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    return sql.URL.create("sqlite", database=str(path.resolve()))


def _server_url(url: str) -> sql.URL:
    try:
        return with_password(sql.make_url(url.replace("postgresql://", "postgresql+pg8000://", 1)))
    except ArgumentError:
        raise ConfigError(
            f"--url {public(url)}: expected postgresql://USER@HOST/DATABASE; letters such as / and @ in a "
            "password are written as %2F and %40."
        ) from None


def _tune(connection: Any, _: object) -> None:
    """Set up a new SQLite connection: what is committed outlives a power cut, and readers never wait."""
    connection.isolation_level = None  # `_begin` opens transactions, not the driver
    pragmas = (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={int(BUSY_S * 1000)}",
    )
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sql.Connection) -> None:
    """Open a transaction; those that write come one after the other, on both kinds of database."""
    writes = connection.get_execution_options().get("writes", False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    elif writes:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")

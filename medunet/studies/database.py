"""The tables of the ledger, and how its database is opened."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from medunet.errors import ConfigError
from medunet.studies.pgpass import with_password

NETWORK = ("nfs", "cifs", "smb", "sshfs", "afs", "ceph", "gluster", "lustre", "gpfs", "beegfs", "9p", "pvfs")
BUSY_S = 60.0  # one writer at a time: how long the others wait

TABLES = sql.MetaData()
TASKS = sql.Table(
    "medunet_studies",
    TABLES,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("key", sql.String(64), nullable=False, unique=True),
    sql.Column("name", sql.String(64), nullable=False),
    sql.Column("study", sql.String(64), nullable=False),
    sql.Column("state", sql.String(16), nullable=False),  # queued running done failed refused
    sql.Column("reason", sql.Text, nullable=False, default=""),
    sql.Column("priority", sql.Integer, nullable=False, default=0),  # higher is sooner
    sql.Column("attempts", sql.Integer, nullable=False, default=0),
    sql.Column("completions", sql.Integer, nullable=False, default=0),  # how often it was done
    sql.Column("owner", sql.String(200)),
    sql.Column("lease_until", sql.Float(53)),  # seconds since 1970, as all times here
    sql.Column("heartbeat", sql.Float(53)),
    sql.Column("risk", sql.Float(53)),
    sql.Column("added", sql.Float(53)),
    sql.Column("started", sql.Float(53)),
    sql.Column("ended", sql.Float(53)),
    sql.Column("request", sql.Text, nullable=False),  # JSON of task.Request
    sql.Column("result", sql.Text),  # JSON
    sql.Index("medunet_studies_next", "state", sql.desc("priority"), "id"),
)
CURSORS = sql.Table(
    "medunet_cursors",
    TABLES,
    sql.Column("name", sql.String(200), primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)
FACTS = sql.Table(
    "medunet_ledger",
    TABLES,
    sql.Column("name", sql.String(64), primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)


class _Now(FunctionElement[float]):
    """The clock of the database, in seconds since 1970."""

    type = sql.Float(53)
    inherit_cache = True


@compiles(_Now, "sqlite")
def _sqlite_now(*_: object, **__: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(_Now, "postgresql")
def _postgresql_now(*_: object, **__: object) -> str:
    return "CAST(extract(epoch from clock_timestamp()) AS double precision)"


TIME = _Now()


def open_engine(place: str) -> sql.Engine:
    """Return an engine in which every statement is a transaction of its own; the tables are there."""
    server = "://" in place
    if server and not place.startswith(("postgresql://", "postgresql+")):
        raise ConfigError(
            f"--ledger {public(place)}: expected a file, or postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    try:
        url = _server_url(place) if server else _file_url(Path(place))
        engine = sql.create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=server)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--ledger: needs the package {error.name}. For PostgreSQL: pip install 'medunet[postgres]'."
        ) from None
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", _tune)
    try:
        _create(engine)
    except SQLAlchemyError as error:
        raise ConfigError(
            f"--ledger {public(place)}: cannot be opened ({first_line(error)}). Is the server up, and is "
            "the name right?"
        ) from None
    return engine


def public(place: str) -> str:
    """Return the place of a ledger without user and password.

    >>> public("postgresql://anna:se/cret@db/x")
    'postgresql://db/x'
    """
    return re.sub(r"://[^\s]+@", "://", place)


def _server_url(place: str) -> sql.URL:
    try:
        return with_password(sql.make_url(place.replace("postgresql://", "postgresql+pg8000://", 1)))
    except ArgumentError:
        raise ConfigError(
            f"--ledger {public(place)}: expected postgresql://USER@HOST/DATABASE; letters such as / and @ in "
            "a password are written as %2F and %40."
        ) from None


def _file_url(path: Path) -> str:
    """Return the URL of an SQLite file; ConfigError on a network drive, where its locks do not hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = file_system_of(path.parent)
    if any(word in kind.lower() for word in NETWORK):
        raise ConfigError(
            f"{path}: lies on a network drive ({kind}), where SQLite loses data if several processes write. "
            "Give --ledger a local file, or postgresql://USER:PASSWORD@HOST/DATABASE for several machines."
        )
    return f"sqlite:///{path.resolve()}"


def file_system_of(folder: Path) -> str:
    """Return the kind of file system that holds a folder, such as ext4 or nfs4; empty where not known."""
    place = folder.resolve()
    mounts = [m for m in psutil.disk_partitions(all=True) if place.is_relative_to(m.mountpoint)]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""


def _tune(connection: Any, _: object) -> None:
    """Set up a new SQLite connection: readers never wait, and a killed process loses nothing."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={int(BUSY_S * 1000)}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _create(engine: sql.Engine) -> None:
    """Create the tables; another process may do so at the same moment."""
    try:
        TABLES.create_all(engine)
    except (IntegrityError, OperationalError, ProgrammingError):
        TABLES.create_all(engine)


def first_line(error: SQLAlchemyError) -> str:
    """Return what a database says, in one line, without a password."""
    return public(str(getattr(error, "orig", None) or error).strip().splitlines()[0])

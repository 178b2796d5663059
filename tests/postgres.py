"""A PostgreSQL server for tests, where Debian's programs are there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of this session, on a socket of its own."""
    pytest.importorskip("pg8000", reason="PostgreSQL: pip install 'medunet[postgres]'")
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")), shutil.which("initdb")]
    tool = next((Path(str(place)) for place in reversed(places) if place), None)
    if tool is None:
        pytest.skip("no PostgreSQL server here (Debian: apt install postgresql)")
    yield from _server(tool.parent, tmp_path_factory.mktemp("pg"))


def _server(tools: Path, folder: Path) -> Iterator[str]:
    as_user: dict[str, object] = {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        folder = Path(tempfile.mkdtemp(prefix="medunet-pg-"))
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/", "check": True}
    subprocess.run([tools / "initdb", "-D", data, "-U", "medunet", "-A", "trust", "-N"], **quiet, **as_user)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    control = [tools / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", options, "start"], **quiet, **as_user)
    try:
        yield f"postgresql://medunet@/postgres?unix_sock={folder}/.s.PGSQL.5432"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet, **as_user)
        shutil.rmtree(folder, ignore_errors=True)

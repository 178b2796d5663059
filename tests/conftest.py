"""What holds for every test: two threads at most in all, an empty home, no tracking elsewhere, no network."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator

import pytest

# Before torch and numpy are imported: one thread per test process, since xdist runs one process per core.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
for name in (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
    "MEDUNET_WORKSPACE",
    "MAKEFLAGS",
):
    os.environ.pop(name, None)
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["HOME"] = tempfile.mkdtemp(prefix="medunet-home-")

LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", socket.gethostname())
attempts: list[str] = []


def _guard(event: str, args: tuple[object, ...]) -> None:
    """Refuse every connection and name look-up that leaves this machine, and remember it."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host is not None and host not in LOCAL:
        attempts.append(f"{event} {args[1:] if event == 'socket.getaddrinfo' else ''} {host}")
        raise OSError(f"tests have no network: {event} to {host!r}")


sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def no_network() -> Iterator[list[str]]:
    """Fail the test that tried to reach another machine, even where the code swallowed the error.

    A test that wants to see an attempt refused empties this list itself.
    """
    attempts.clear()
    yield attempts
    if attempts:
        pytest.fail(f"reached for the network: {'; '.join(attempts)}")

"""Who holds a lease: a process, told from every other one by machine, number and start."""

from __future__ import annotations

import socket

import psutil


def owner_of(pid: int) -> str:
    """Return the name of a process of this machine in the ledger."""
    return f"{socket.gethostname()}:{pid}:{psutil.Process(pid).create_time():.2f}"


def is_dead(owner: str) -> bool:
    """Say whether an owner was a process of this machine and is no more."""
    host, pid, _ = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        return owner_of(int(pid)) != owner or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True

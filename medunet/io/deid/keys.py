"""The secret key of a project gives every new UID, pseudonym and date shift; only it can repeat them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path

from medunet.errors import ConfigError

KEY_BYTES = 32
SHIFT_DAYS = (366, 3652)  # dates move back by so many days: at least a year, at most ten
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def pseudonym(key: bytes, patient_id: str) -> str:
    """Return the name that takes the place of a patient's name and number in de-identified data.

    >>> pseudonym(bytes(32), "4711")
    'P-E2896DCF5D40'
    >>> pseudonym(bytes(32), " 4711") == pseudonym(bytes(32), "4711")
    True
    """
    return f"P-{_digest(key, 'patient', patient_id)[:6].hex().upper()}"


def study_key(key: bytes, uid: str) -> str:
    """Return the short name of a study, series or other object with that UID; safe in a path.

    >>> study_key(bytes(32), "../../1.2.3")
    'c626ee2b2563'
    """
    return _digest(key, "name", uid)[:6].hex()


def new_uid(key: bytes, uid: str) -> str:
    """Return the UID that takes the place of `uid`: 2.25 and a UUID made by HMAC-SHA256 (PS3.5 B.2).

    >>> new_uid(bytes(32), "1.2.3")
    '2.25.234032717547690397412713252077312254305'
    """
    return f"2.25.{uuid.UUID(bytes=_digest(key, 'uid', uid)[:16], version=4).int}"


def shift_days(key: bytes, patient_id: str) -> int:
    """Return by how many days the dates of a patient move: the same number for all, below zero."""
    least, most = SHIFT_DAYS
    number = int.from_bytes(_digest(key, "shift", patient_id)[:8], "big")
    return -(least + number % (most - least + 1))


def open_key(path: Path, apart_from: Iterable[Path]) -> bytes:
    """Return the key in a file; a new one is made, readable by its owner only, where there is none.

    ConfigError if the file lies in one of the folders `apart_from`, or others may read it.
    """
    check_apart("--key", path, apart_from)
    if not path.exists():
        _make(path)
    if os.name == "posix" and path.stat().st_mode & _OTHERS:
        raise ConfigError(f"--key {path}: other users may read it. Run: chmod 600 {path}")
    text = path.read_bytes().strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"--key {path}: expected {2 * KEY_BYTES} hexadecimal digits, found {len(text)} bytes that are "
            "not. Name the right file, or one that does not exist: then a key is made."
        )
    return key


def check_apart(option: str, path: Path, folders: Iterable[Path]) -> None:
    """ConfigError if a secret file would lie where it is handed on together with the data."""
    for folder in folders:
        if path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"{option} {path}: lies inside {folder}; who gets the data would get it too. "
                "Give a path outside of the data."
            )


def write_private(path: Path, text: str) -> None:
    """Write a text that only its owner may read, whole or not at all."""
    temporary = _private_copy(path, text)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _make(path: Path) -> None:
    """Write a new key unless another process was faster: then that one's key stands."""
    temporary = _private_copy(path, secrets.token_hex(KEY_BYTES) + "\n")
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _private_copy(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)  # mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return Path(name)


def _digest(key: bytes, purpose: str, text: str) -> bytes:
    """Return HMAC-SHA256; `purpose` keeps names, UIDs and shifts independent of each other."""
    message = f"{purpose}\0{text.strip(' ' + chr(0))}".encode()
    return hmac.new(key, message, hashlib.sha256).digest()

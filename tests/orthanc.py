"""An Orthanc to test against, in a network of its own: version 1.10 listens on every interface it finds."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

PLUGINS = Path("/usr/share/orthanc/plugins")
HTTP_PORT, DICOM_PORT, RECEIVE_PORT = 18042, 14242, 11112
USER, PASSWORD = "tester", "word-of-the-test"
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def missing() -> str | None:
    """Return why no Orthanc can be started here; None where it can."""
    if shutil.which("Orthanc") is None or not (PLUGINS / "libOrthancDicomWeb.so").exists():
        return "Orthanc is not installed (apt-get install orthanc orthanc-dicomweb orthanc-gdcm)"
    if os.geteuid() != 0:
        return "a network of its own for Orthanc needs root"
    return None


@contextmanager
def own_network() -> Iterator[None]:
    """Move this thread, and what it starts, into a network with nothing but a loopback interface."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "no network namespace")
        try:
            with socket.socket() as any_socket:
                request = struct.pack("16sh", b"lo", 0)
                _, flags = struct.unpack("16sh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))
                fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)


class Orthanc:
    """A server with its data in a folder; call start and stop as often as wanted."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self._settings = folder / "orthanc.json"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        everything = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "Plugins": [str(PLUGINS / f"libOrthanc{name}.so") for name in ("DicomWeb", "Gdcm")],
            "HttpPort": HTTP_PORT,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomPort": DICOM_PORT,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "DicomModalities": {"medunet": ["MEDUNET", "127.0.0.1", RECEIVE_PORT]},
            "UnknownSopClassAccepted": True,
            "StableAge": 1,
            "OverwriteInstances": False,
            "ExecuteLuaEnabled": False,
            "RestApiWriteToFileSystemEnabled": False,
        }
        self._settings.write_text(json.dumps(everything | settings), encoding="utf-8")

    def start(self) -> Orthanc:
        log = self.folder / "orthanc.log"
        self._process = subprocess.Popen(
            ["Orthanc", f"--logfile={log}", str(self._settings)],
            env=os.environ | {"TCP_NODELAY": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(300):
            try:
                self.get("system")
                return self
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"Orthanc does not start; see {log}:\n{log.read_text(encoding='utf-8')[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None

    def cpu_s(self) -> float:
        """Return the CPU time that it has used."""
        assert self._process is not None
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def empty(self) -> None:
        """Delete every patient."""
        for patient in self.get("patients"):
            self.get(f"patients/{patient}", method="DELETE")

    def get(self, path: str, method: str = "GET") -> Any:
        manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        manager.add_password(None, f"http://127.0.0.1:{HTTP_PORT}/", USER, PASSWORD)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(manager)
        )
        request = urllib.request.Request(f"http://127.0.0.1:{HTTP_PORT}/{path}", method=method)
        with opener.open(request, timeout=30) as answer:
            return json.loads(answer.read())

    def netrc(self) -> Path:
        """Write the login where medunet looks for it; set NETRC to the path."""
        path = self.folder / "netrc"
        path.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n", encoding="utf-8")
        path.chmod(0o600)
        return path

"""A small DICOMweb server on loopback, which can misbehave; with the part of Orthanc that medunet asks."""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pydicom
from pydicom.dataset import Dataset

from tests.io.pacs.archive import Archive, orthanc_id


class Stub:
    """Serves an archive under /dicom-web; every request takes the next of `faults`."""

    def __init__(self, archive: Archive, tls: ssl.SSLContext | None = None) -> None:
        self.archive = archive
        self.faults: deque[str] = deque()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.stable = True
        self.last_update = "20260116T101500"  # UTC
        outer = self

        class Handler(_Handler):
            stub = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads, self._server.block_on_close = (
            True,
            False,
        )  # some connections are kept alive
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    stub: Stub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if not self._misbehaves():
            self._route()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._misbehaves():
            self._store(body)

    def _misbehaves(self) -> bool:
        parts = urlsplit(self.path)
        self.asked = dict(parse_qsl(parts.query))
        self.stub.requests.append(
            (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        )
        self.fault = self.stub.faults.popleft() if self.stub.faults else ""
        if self.fault.isdigit():
            self._answer(int(self.fault), b"the patient Planted^Name is not here", location="/elsewhere")
        elif self.fault in ("garbage", "deep", "wrong"):
            self._answer(
                200, {"garbage": b"<html>", "deep": b"[" * 100_000, "wrong": b'{"a": 1}'}[self.fault]
            )
        elif self.fault == "hang up":
            self.close_connection = True
        else:
            return False
        return True

    def _route(self) -> None:
        path = urlsplit(self.path).path.strip("/").split("/")
        archive = self.stub.archive
        match path:
            case ["dicom-web", "studies"]:
                self._page(archive.studies(self.asked))
            case ["dicom-web", "studies", study, "series"]:
                self._page(archive.series(study))
            case ["dicom-web", "studies", study, "series", series]:
                self._retrieve(archive.of(study, series))
            case ["changes"]:
                self._changes()
            case [("studies" | "series") as level, known]:
                self._resource(level, known)
            case _:
                self._answer(404, b"")

    def _page(self, answers: list[Dataset]) -> None:
        first = 0 if self.fault == "ignore offset" else int(self.asked.get("offset", 0))
        page = answers[
            first : first + min(2, int(self.asked.get("limit", 2)))
        ]  # less than asked for, as some do
        self._json([answer.to_json_dict() for answer in page])

    def _retrieve(self, uids: list[str]) -> None:
        if not uids:
            self._answer(404, b"")
            return
        files = [self.stub.archive.files[uid] for uid in uids]
        if self.fault == "fewer":
            files = files[:-1]
        if self.fault == "no dicom":
            files[-1] = b"<html>"
        content = (
            b"".join(b"--xx\r\nContent-Type: application/dicom\r\n\r\n" + f + b"\r\n" for f in files)
            + b"--xx--"
        )
        if self.fault == "cut":  # no length, so that only the missing boundary tells
            content = content[: len(content) // 2]
            self.close_connection = True
        kind = 'multipart/related; type="application/dicom"; boundary=xx'
        self._answer(200, content, kind, known_length=self.fault != "cut")

    def _store(self, body: bytes) -> None:
        boundary = self.headers["Content-Type"].rpartition("boundary=")[2].encode()
        stored, failed = [], []
        for part in body.split(b"--" + boundary)[1:-1]:
            content = part.partition(b"\r\n\r\n")[2][:-2]
            item = Dataset()
            item.ReferencedSOPInstanceUID = pydicom.filereader.dcmread(
                pydicom.filebase.DicomBytesIO(content), stop_before_pixels=True
            ).SOPInstanceUID
            if self.fault == "refuse" and not failed:
                item.FailureReason = 0xA900
                failed.append(item)
            elif self.stub.archive.add(content) == "already":
                item.FailureReason = 0x0111
                failed.append(item)
            else:
                stored.append(item)
        answer = Dataset()
        answer.ReferencedSOPSequence = stored
        answer.FailedSOPSequence = failed
        if self.fault == "forget":
            answer = Dataset()
        self._json(answer.to_json_dict(), 200 if not failed else 202 if stored else 409)

    def _changes(self) -> None:
        archive = self.stub.archive
        news = []
        for uid in archive.files:  # one NewSeries per series, as the first instance comes
            series = str(archive.heads[uid].SeriesInstanceUID)
            if ("NewSeries", series) not in news:
                news.append(("NewSeries", series))
        news += [(kind, uid) for kind, uid in archive.news if kind != "NewInstance"]
        first = int(self.asked.get("since", len(news) if "last" in self.path else 0))
        page = news[first : first + 2]
        changes = [
            {"ChangeType": kind, "ID": orthanc_id(uid), "Seq": first + at + 1}
            for at, (kind, uid) in enumerate(page)
        ]
        self._json({"Changes": changes, "Last": first + len(page), "Done": first + len(page) >= len(news)})

    def _resource(self, level: str, known: str) -> None:
        archive = self.stub.archive
        keyword = {"studies": "StudyInstanceUID", "series": "SeriesInstanceUID"}[level]
        heads = [head for head in archive.heads.values() if orthanc_id(str(head[keyword].value)) == known]
        if not heads:
            self._answer(404, b"")
            return
        tags = {
            "studies": ("StudyInstanceUID", "StudyDate", "StudyDescription", "AccessionNumber"),
            "series": ("SeriesInstanceUID", "Modality", "SeriesDescription", "Manufacturer"),
        }[level]
        self._json(
            {
                "MainDicomTags": {tag: str(heads[0].get(tag, "")) for tag in tags},
                "PatientMainDicomTags": {tag: str(heads[0].get(tag, "")) for tag in ("PatientID",)},
                "LastUpdate": self.stub.last_update,
                "ParentStudy": orthanc_id(str(heads[0].StudyInstanceUID)),
                "Series": sorted({orthanc_id(str(head.SeriesInstanceUID)) for head in heads}),
                "Instances": [str(head.SOPInstanceUID) for head in heads],
                "IsStable": self.stub.stable,
            }
        )

    def _json(self, answer: object, status: int = 200) -> None:
        self._answer(status, json.dumps(answer).encode(), "application/dicom+json; charset=utf-8")

    def _answer(
        self,
        status: int,
        content: bytes,
        kind: str = "text/plain",
        *,
        known_length: bool = True,
        location: str = "",
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if location:
            self.send_header("Location", location)
        if known_length:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

"""What a PACS for tests holds, and how it answers; shared by the DICOMweb stub and the DIMSE peer."""

from __future__ import annotations

import hashlib
import io
import threading
from fnmatch import fnmatchcase
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset


class Archive:
    """Instances by UID, as the bytes that came."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.heads: dict[str, Dataset] = {}
        self.news: list[tuple[str, str]] = []  # (kind of change, study or series UID), as Orthanc lists them
        self.ignores_keys = False  # answers everything, as some PACS do
        self.taken = 0  # instances offered, doubles included
        self._lock = threading.Lock()

    def add(self, content: bytes) -> str:
        """Keep an instance; returns stored or already."""
        head = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
        with self._lock:
            self.taken += 1
            uid = str(head.SOPInstanceUID)
            if uid in self.files:
                return "already"
            self.files[uid], self.heads[uid] = content, head
            self.news.append(("NewInstance", uid))
            return "stored"

    def fill(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            self.add(path.read_bytes())

    def of(self, study: str = "", series: str = "") -> list[str]:
        """Return the instances of a study or series."""
        return [
            uid
            for uid, head in self.heads.items()
            if study in ("", head.StudyInstanceUID) and series in ("", head.SeriesInstanceUID)
        ]

    def studies(self, asked: dict[str, str]) -> list[Dataset]:
        found = {}
        asked = {} if self.ignores_keys else asked
        for head in self.heads.values():
            study = self.of(str(head.StudyInstanceUID))
            modalities = {str(self.heads[uid].Modality) for uid in study}
            if self._matches(head, modalities, asked):
                answer = Dataset()
                answer.StudyInstanceUID = head.StudyInstanceUID
                for keyword in (
                    "PatientID",
                    "PatientName",
                    "AccessionNumber",
                    "StudyDescription",
                    "StudyDate",
                ):
                    setattr(answer, keyword, head.get(keyword, ""))
                answer.NumberOfStudyRelatedInstances = len(study)
                found[head.StudyInstanceUID] = answer
        return list(found.values())

    @staticmethod
    def _matches(head: Dataset, modalities: set[str], asked: dict[str, str]) -> bool:
        first, dash, last = asked.get("StudyDate", "").partition("-")
        day = str(head.StudyDate)
        if (first and day < first) or (dash and last and day > last) or (first and not dash and day != first):
            return False
        if asked.get("ModalitiesInStudy") and asked["ModalitiesInStudy"] not in modalities:
            return False
        plain = ("PatientID", "AccessionNumber", "StudyInstanceUID", "StudyDescription")
        return all(fnmatchcase(str(head.get(k, "")), asked[k]) for k in plain if asked.get(k))

    def series(self, study: str) -> list[Dataset]:
        found = {}
        for uid in self.of(study):
            head = self.heads[uid]
            answer = Dataset()
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "SeriesDescription"):
                setattr(answer, keyword, head.get(keyword, ""))
            answer.Manufacturer = head.get("Manufacturer", "")
            answer.NumberOfSeriesRelatedInstances = len(self.of(study, str(head.SeriesInstanceUID)))
            found[head.SeriesInstanceUID] = answer
        return list(found.values())


def orthanc_id(uid: str) -> str:
    """Return an identifier as Orthanc forms them."""
    text = hashlib.sha1(uid.encode()).hexdigest()
    return "-".join(text[at : at + 8] for at in range(0, 40, 8))

"""C-FIND (PS3.4 C.4.1): which studies and series a PACS holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pynetdicom.association import Association

from medunet.errors import StudyError
from medunet.io.pacs.address import PacsAddress
from medunet.io.pacs.associations import FIND, association, context
from medunet.io.pacs.records import Limits, Query, SeriesFacts, StudyFacts, is_uid
from medunet.io.pacs.retries import TransientError

PENDING = (0xFF00, 0xFF01)  # PS3.4 C.4.1.1.4


@contextmanager
def finder(address: PacsAddress, limits: Limits) -> Iterator[Finder]:
    """Open one association to ask several questions."""
    with association(address, [context(FIND)], limits) as opened:
        yield Finder(address, opened, limits)


class Finder:
    """The two questions of `arrivals.Lister` over an association."""

    def __init__(self, address: PacsAddress, opened: Association, limits: Limits) -> None:
        """Ask over an association that offers C-FIND."""
        self._address = address
        self._opened = opened
        self._limits = limits

    def studies(self, query: Query) -> list[StudyFacts]:
        """Return the studies that match, without their series."""
        answers = self._ask(
            {"QueryRetrieveLevel": "STUDY", **query.keys, "NumberOfStudyRelatedInstances": ""}
        )
        found = {
            uid: StudyFacts(uid, _number(answer, "NumberOfStudyRelatedInstances"))
            for answer in answers
            if is_uid(uid := _text(answer, "StudyInstanceUID"))
            and query.matches({keyword: _text(answer, keyword) for keyword in query.keys})
        }
        return list(found.values())

    def series(self, study: StudyFacts) -> tuple[SeriesFacts, ...]:
        """Return all series of a study."""
        answers = self._ask(
            {
                "QueryRetrieveLevel": "SERIES",
                "StudyInstanceUID": study.uid,
                "SeriesInstanceUID": "",
                "Modality": "",
                "SeriesDescription": "",
                "Manufacturer": "",
                "NumberOfSeriesRelatedInstances": "",
            }
        )
        return tuple(
            SeriesFacts(
                uid,
                _text(answer, "Modality"),
                _text(answer, "SeriesDescription"),
                _text(answer, "Manufacturer"),
                _number(answer, "NumberOfSeriesRelatedInstances"),
            )
            for answer in answers
            if is_uid(uid := _text(answer, "SeriesInstanceUID"))
        )

    def _ask(self, keys: Mapping[str, str]) -> Iterator[Dataset]:
        """Yield the matches; StudyError where the PACS fails or answers without end."""
        asked = Dataset()
        if not all(value.isascii() for value in keys.values()):
            asked.SpecificCharacterSet = "ISO_IR 192"
        for keyword, value in keys.items():
            setattr(asked, keyword, value)
        for number, (status, answer) in enumerate(self._opened.send_c_find(asked, FIND)):
            code = status.get("Status")  # pynetdicom gives an empty status where the connection was lost
            if code == 0:
                return
            if code is None:
                raise TransientError(f"{self._address}: the association broke off during a C-FIND")
            if code not in PENDING or answer is None:
                raise StudyError(
                    f"{self._address}: C-FIND failed with status 0x{code:04X} (PS3.4 Table C.4-1)"
                )
            if number == self._limits.studies:
                raise StudyError(
                    f"{self._address}: more than {number} answers to a query; narrow it, by date"
                )
            yield answer


def _text(answer: Dataset, keyword: str) -> str:
    """Return a value without pydicom's checks: their warnings would print what a patient is called."""
    element = answer.get_item(keyword)
    value = getattr(element, "value", None)
    if not isinstance(value, bytes):
        return ""
    names = answer.get_item("SpecificCharacterSet")
    name = getattr(names, "value", None) or b""
    codec = python_encoding.get(name.split(b"\\")[0].strip(b" \0").decode("ascii", "replace"), "latin-1")
    return value.decode(codec, "replace").strip(" \0")


def _number(answer: Dataset, keyword: str) -> int | None:
    try:
        return int(_text(answer, keyword))
    except ValueError:
        return None

"""A PACS: find studies, fetch them, send results back, and hear of new ones; over DICOMweb, DIMSE or Orthanc.

What arrives is hostile until the reader of `io` has checked it: here it is stored under hashed names, unread.
"""

from __future__ import annotations

from medunet.errors import ConfigError
from medunet.io.pacs.address import PacsAddress, is_address, parse_address, studies_chosen
from medunet.io.pacs.records import (
    Changes,
    Limits,
    Pacs,
    PushReport,
    Query,
    SeriesFacts,
    StudyFacts,
    Wanted,
)
from medunet.io.pacs.retries import TransientError

__all__ = [
    "Changes", "Limits", "Pacs", "PacsAddress", "PushReport", "Query", "SeriesFacts", "StudyFacts",
    "TransientError", "Wanted", "connect", "is_address", "open_pacs", "parse_address", "studies_chosen",
]  # fmt: skip


def open_pacs(text: str, limits: Limits = Limits()) -> tuple[Pacs, Query]:  # noqa: B008 - frozen
    """Return the PACS and the studies that a line of text names, as in docs/pacs.md; nothing is sent yet."""
    address, query = parse_address(text)
    return connect(address, limits), query


def connect(address: PacsAddress, limits: Limits = Limits()) -> Pacs:  # noqa: B008 - frozen
    """Return the PACS at an address; ConfigError where the packages of the extra `pacs` are missing."""
    try:
        if address.kind == "dimse":
            from medunet.io.pacs.dimse import DimsePacs

            return DimsePacs(address, limits)
        if address.kind == "orthanc":
            from medunet.io.pacs.orthanc import OrthancPacs

            return OrthancPacs(address, limits)
        from medunet.io.pacs.dicomweb import DicomWebPacs

        return DicomWebPacs(address, limits)
    except ModuleNotFoundError as error:
        if error.name not in ("pynetdicom", "urllib3"):
            raise
        raise ConfigError(
            f"{address}: speaking to a PACS needs the package {error.name}; pip install 'medunet[pacs]'"
        ) from None

"""A PACS as one line of text, such as dicomweb+https://host/dicom-web?modality=CT; see docs/pacs.md.

    dicomweb+http[s]://HOST[:PORT]/ROOT          orthanc+http[s]://HOST[:PORT][/ROOT]
    dimse[+tls]://OUR_AE_TITLE@HOST:PORT/ITS_AE_TITLE

Options follow a question mark: how to connect (`SETTINGS`), and which studies (`STUDIES`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from medunet.errors import ConfigError
from medunet.io.pacs.records import Query

SCHEMES = ("dicomweb+http", "dicomweb+https", "orthanc+http", "orthanc+https", "dimse", "dimse+tls")
SETTINGS = ("ca", "cert", "key", "connections", "plain_login", "retrieve", "receive")
STUDIES = ("patient", "accession", "study", "modality", "description", "date", "days", "own")
RETRIEVE = ("auto", "get", "move")
AE_TITLE = re.compile(r"[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?")  # PS3.5 6.2
DIMSE_PORT, RECEIVE_PORT = 104, 11112
MOST_CONNECTIONS = 16
EXAMPLE = "such as dicomweb+https://pacs.example/dicom-web or dimse://MEDUNET@pacs.example:104/ARCHIVE"


@dataclass(frozen=True)
class PacsAddress:
    """Where a PACS is and how to speak to it. Its text may be logged: it holds no login and no query."""

    kind: str  # dicomweb, orthanc or dimse
    tls: bool
    host: str
    port: int
    path: str = ""  # of the DICOMweb or Orthanc root
    our_title: str = ""
    its_title: str = ""
    ca: Path | None = None  # certificates to trust instead of the system's
    cert: Path | None = None  # our own certificate, and its key
    key: Path | None = None
    connections: int = 4
    plain_login: bool = False  # a login may travel without TLS
    retrieve: str = "auto"
    receive: tuple[str, int] = ("127.0.0.1", RECEIVE_PORT)  # where a C-MOVE is to arrive

    def __str__(self) -> str:
        """Return the address for logs and messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.kind == "dimse":
            return f"dimse{'+tls' * self.tls}://{self.our_title}@{host}:{self.port}/{self.its_title}"
        return f"{self.kind}+{self.url}"

    @property
    def url(self) -> str:
        """The root for HTTP, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' * self.tls}://{host}:{self.port}{self.path}"


def is_address(text: str) -> bool:
    """Tell whether text names a PACS rather than a path.

    >>> is_address("orthanc+http://127.0.0.1:8042"), is_address("scans/p1")
    (True, False)
    """
    return text.partition("://")[0] in SCHEMES and "://" in text


def studies_chosen(text: str) -> list[str]:
    """Return the names of the options of an address that say which studies.

    >>> studies_chosen("orthanc+http://127.0.0.1:8042?modality=CT&connections=2")
    ['modality']
    """
    return [name for name, _ in parse_qsl(urlsplit(text).query, keep_blank_values=True) if name in STUDIES]


def parse_address(text: str, *, today: date | None = None) -> tuple[PacsAddress, Query]:
    """Return the PACS and the studies that text names; the ConfigError for a wrong one repeats no secret."""
    scheme = text.partition("://")[0]
    if not is_address(text):
        raise ConfigError(f"PACS address: expected one of {', '.join(SCHEMES)} and ://, {EXAMPLE}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigError(f"PACS address ({scheme}): cannot be read; expected a text {EXAMPLE}") from None
    where = f"PACS address {scheme}://{host}"
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", host) or parts.fragment:
        raise ConfigError(f"{where}: expected a host name and no #, {EXAMPLE}")
    if unknown := sorted(options.keys() - {*SETTINGS, *STUDIES}):
        known = ", ".join([*SETTINGS, *STUDIES])
        raise ConfigError(f"{where}: {len(unknown)} unknown option(s); known are {known}")
    place = _dimse(parts, where) if scheme.startswith("dimse") else _web(parts, where)
    tls = scheme.endswith(("https", "+tls"))
    default = (443 if tls else 80) if "http" in scheme else DIMSE_PORT
    address = PacsAddress(
        scheme.partition("+")[0], tls, host, port or default, **place, **_settings(options, where, tls)
    )
    return address, _query(options, where, today or date.today())


def _web(parts: SplitResult, where: str) -> dict[str, Any]:
    if "@" in parts.netloc:
        raise ConfigError(
            f"{where}: a login does not belong in the address; put it in a netrc file (docs/pacs.md)"
        )
    path = parts.path.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9_~%-][A-Za-z0-9._~%-]*)*", path):
        raise ConfigError(f"{where}: expected a plain path, such as /dicom-web")
    return {"path": path}


def _dimse(parts: SplitResult, where: str) -> dict[str, Any]:
    titles = {"our_title": unquote(parts.username or ""), "its_title": unquote(parts.path[1:])}
    if parts.password is not None or not all(AE_TITLE.fullmatch(title) for title in titles.values()):
        raise ConfigError(
            f"{where}: expected dimse://OUR_AE_TITLE@HOST:PORT/ITS_AE_TITLE, titles of at most 16 characters"
        )
    return titles


def _settings(options: dict[str, str], where: str, tls: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        name: _file(options[name], name, where) for name in ("ca", "cert", "key") if name in options
    }
    if settings and not tls:
        raise ConfigError(
            f"{where}: certificates are given, but the address is one without TLS (https, +tls)"
        )
    if ("cert" in settings) != ("key" in settings):
        raise ConfigError(f"{where}: cert and key belong together; give both")
    if "connections" in options:
        settings["connections"] = _number(options["connections"], "connections", MOST_CONNECTIONS, where)
    if "plain_login" in options:
        settings["plain_login"] = _yes(options["plain_login"], "plain_login", where)
    if "retrieve" in options:
        if options["retrieve"] not in RETRIEVE:
            raise ConfigError(f"{where}: retrieve is one of {', '.join(RETRIEVE)}")
        settings["retrieve"] = options["retrieve"]
    if "receive" in options:
        host, _, port = options["receive"].rpartition(":")
        settings["receive"] = (host or "127.0.0.1", _number(port, "the port of receive", 65535, where))
    return settings


def _query(options: dict[str, str], where: str, today: date) -> Query:
    since, until = _dates(options.get("date", ""), where)
    days = _number(options["days"], "days", 36500, where) if "days" in options else None
    return Query(
        patient_id=options.get("patient", ""),
        accession=options.get("accession", ""),
        study_uid=options.get("study", ""),
        description=options.get("description", ""),
        modality=options.get("modality", "").upper(),
        since=since if days is None else today - timedelta(days=days),
        until=until,
        own=_yes(options.get("own", "no"), "own", where),
        days=days,
    )


def _dates(text: str, where: str) -> tuple[date | None, date | None]:
    first, dash, last = text.partition("-")
    try:
        since, until = (datetime.strptime(day, "%Y%m%d").date() if day else None for day in (first, last))
    except ValueError:
        raise ConfigError(f"{where}: date is 20260131, 20260101-20260131, 20260101- or -20260131") from None
    return since, until if dash else since


def _file(text: str, name: str, where: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise ConfigError(f"{where}: {name}={path} is no file; name a PEM file")
    return path


def _number(text: str, name: str, most: int, where: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise ConfigError(f"{where}: {name} is a whole number from 1 to {most}")
    return int(text)


def _yes(text: str, name: str, where: str) -> bool:
    if text not in ("yes", "no"):
        raise ConfigError(f"{where}: {name} is yes or no")
    return text == "yes"

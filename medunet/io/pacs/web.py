"""HTTP to one PACS: verified, bounded, repeated a few times, and silent about what was asked.

urllib3 itself rather than a DICOMweb library: instances must pass as they are, unparsed and never whole in
memory, a repeated upload must send its body again, and a transfer cut short must not pass as a scan.
"""

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import urlencode

import urllib3

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs.address import PacsAddress
from medunet.io.pacs.login import login_headers
from medunet.io.pacs.records import Limits
from medunet.io.pacs.retries import TransientError, retried

CONNECT_S, READ_S = 10.0, 120.0
CHUNK_BYTES = 2**20
PASSING = {408, 425, 429, 500, 502, 503, 504}  # statuses after which another try may succeed
Parameters = Sequence[tuple[str, str]]
JSON = "application/dicom+json, application/json"
_quiet = threading.local()


class _Discreet(logging.Filter):
    """Drops what urllib3 says of our requests: its lines show addresses, and these show patients."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the signature of logging
        return not getattr(_quiet, "now", False)


for _name in (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
):
    logging.getLogger(_name).addFilter(_Discreet())


class Web:
    """The HTTP side of one PACS; safe to use from several threads."""

    def __init__(self, address: PacsAddress, limits: Limits) -> None:
        """Nothing is sent yet; a wrong certificate file or login file is told at once."""
        self.address = address
        self._limits = limits
        self._login = login_headers(address)
        self._pool = urllib3.PoolManager(
            maxsize=address.connections, ssl_context=tls_context(address) if address.tls else None
        )

    def json(self, path: str, parameters: Parameters = (), *, missing_ok: bool = False) -> Any:
        """Return the JSON that GET path answers; None where there is none, and for 404 if missing_ok."""
        return retried(lambda: self._json(path, parameters, (200, 204, 404) if missing_ok else (200, 204)))

    def _json(self, path: str, parameters: Parameters, allowed: tuple[int, ...]) -> Any:
        with self.open("GET", path, parameters, accept=JSON, allowed=allowed) as answer:
            return self.read_json(answer) if answer.status == HTTPStatus.OK else None

    def read_json(self, answer: urllib3.BaseHTTPResponse) -> Any:
        """Return the content of an answer; StudyError where it is too long or no JSON."""
        content = bytearray()
        for chunk in chunks(answer, self.address):
            content += chunk
            if len(content) > self._limits.answer_bytes:
                most = self._limits.answer_bytes
                raise StudyError(
                    f"{self.address}: the answer has more than {most} bytes; ask for fewer studies"
                )
        try:
            return json.loads(content) if content else None
        except (ValueError, RecursionError):
            raise StudyError(
                f"{self.address}: the answer is no JSON; is this the root of the service?"
            ) from None

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        parameters: Parameters = (),
        *,
        accept: str,
        body: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        allowed: tuple[int, ...] = (200, 204),
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Open one answer for reading; TransientError where another try may help."""
        with _silence():
            try:
                answer = self._pool.request(
                    method,
                    f"{self.address.url}/{path}"
                    + ("?" + urlencode(parameters, safe="*?") if parameters else ""),
                    body=body,
                    headers={
                        "accept": accept,
                        "accept-encoding": "identity",
                        **self._login,
                        **(headers or {}),
                    },
                    timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
                    preload_content=False,
                    retries=False,
                    redirect=False,
                )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self._explain(error)
            try:
                if answer.status not in allowed:
                    self._refuse(answer.status)
                yield answer
            finally:
                answer.close()  # the connection too, unless all was read: then it waits for reuse already
                answer.release_conn()

    def _explain(self, error: Exception) -> NoReturn:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise ConfigError(
                f"{self.address}: its certificate is not trusted; name the hospital's with ca=FILE.pem"
            ) from None
        if isinstance(error, urllib3.exceptions.SSLError):
            raise ConfigError(f"{self.address}: no TLS connection; does this port speak TLS?") from None
        kind = type(error).__name__
        raise TransientError(
            f"{self.address}: cannot be reached ({kind}); check host and port, and that it runs"
        ) from None

    def _refuse(self, status: int) -> NoReturn:
        if status in (401, 403):
            raise ConfigError(
                f"{self.address}: HTTP {status}, it does not let us in; put a valid login into the netrc file"
            )
        if 300 <= status < 400:
            raise ConfigError(f"{self.address}: HTTP {status}, it sends us elsewhere; name the final address")
        kind = TransientError if status in PASSING else StudyError
        raise kind(f"{self.address}: HTTP {status} where success was expected; see the log of the PACS")


def chunks(answer: urllib3.BaseHTTPResponse, address: PacsAddress) -> Iterator[bytes]:
    """Yield the content of an answer; TransientError where it ends early."""
    try:
        yield from answer.stream(CHUNK_BYTES)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TransientError(f"{address}: the transfer broke off ({type(error).__name__})") from None


def tls_context(address: PacsAddress) -> ssl.SSLContext:
    """Return how we verify the PACS, and identify ourselves where `cert` is given."""
    try:
        context = ssl.create_default_context(cafile=address.ca)
        if address.cert:
            context.load_cert_chain(address.cert, address.key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"{address}: ca, cert or key cannot be used ({error}); expected PEM files"
        ) from None
    return context


@contextmanager
def _silence() -> Iterator[None]:
    before = getattr(_quiet, "now", False)
    _quiet.now = True
    try:
        yield
    finally:
        _quiet.now = before

"""DIMSE associations (PS3.8): without Nagle's delay, bounded while they receive, silent about what passes."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import config as pydicom_config
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from medunet.errors import ConfigError
from medunet.io.pacs.address import PacsAddress
from medunet.io.pacs.records import Limits
from medunet.io.pacs.retries import TransientError
from medunet.io.pacs.web import tls_context

ECHO = "1.2.840.10008.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # study root; so are the next two
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
OUR_PDU_BYTES = 2**18  # what we let a peer send at once; the default of 16 kB costs time
LARGEST_PDU_BYTES = 2**20  # refused before it is read: the length in its header may say 4 GB
ANSWER_S, RETRIEVE_S = 120.0, 600.0  # until the next answer; to retrieve, it may have to fetch from tape
NETWORK_S = 60.0  # a message that has begun must go on
REJECTED_TRANSIENT = 2  # PS3.8 9.3.4

# pynetdicom logs data sets and UIDs, and would decode a file to send it: we pass the bytes as they are.
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
_config.STORE_SEND_CHUNKED_DATASET = True
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE  # its warnings show the values

Handlers = Sequence[tuple[Any, ...]]


def entity(address: PacsAddress) -> AE:
    """Return our application entity, with its time limits."""
    ours = AE(ae_title=address.our_title)
    ours.maximum_pdu_size = OUR_PDU_BYTES
    ours.connection_timeout = ours.acse_timeout = 30
    ours.dimse_timeout, ours.network_timeout = ANSWER_S, RETRIEVE_S
    return ours


@contextmanager
def association(
    address: PacsAddress,
    contexts: Sequence[PresentationContext],
    limits: Limits,
    *,
    roles: Sequence[Any] = (),
    handlers: Handlers = (),
    excess: Callable[[], None] | None = None,
) -> Iterator[Association]:
    """Open an association; TransientError where there is none, ConfigError where we are not wanted."""
    tls = (tls_context(address), address.host) if address.tls else None
    try:
        opened = entity(address).associate(
            address.host,
            address.port,
            contexts=list(contexts),
            ae_title=address.its_title,
            max_pdu=OUR_PDU_BYTES,
            ext_neg=list(roles),
            tls_args=tls,
            evt_handlers=[*guards(limits, excess), *handlers],
        )
    except OSError as error:
        raise TransientError(
            f"{address}: the host is not found ({type(error).__name__}); check its name"
        ) from None
    if opened.is_rejected:
        _explain_rejection(address, opened)
    if not opened.is_established:
        tell = ", and that its certificate is trusted (ca=FILE.pem)" if address.tls else ""
        raise TransientError(
            f"{address}: no association; check host and port, that it runs and offers this{tell}"
        )
    try:
        yield opened
    except BaseException:
        opened.abort()
        raise
    if opened.is_established:
        opened.release()


def _explain_rejection(address: PacsAddress, rejected: Association) -> None:
    answer = rejected.acceptor.primitive
    kind = TransientError if answer and answer.result == REJECTED_TRANSIENT else ConfigError
    raise kind(
        f"{address}: the association is rejected ({answer.reason_str if answer else 'no reason given'}); "
        f"enter the AE title {address.our_title} at the PACS, and check {address.its_title}"
    )


def context(sop_class: str, *syntaxes: str) -> PresentationContext:
    """Return a presentation context to propose; without syntaxes, the two uncompressed little endian ones."""
    return build_context(
        sop_class, [UID(s) for s in syntaxes or ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")]
    )


def guards(limits: Limits, excess: Callable[[], None] | None = None) -> list[tuple[Any, ...]]:
    """Return the handlers that every association of ours needs, on either side.

    A message larger than an instance may be ends the connection, and calls excess first.
    """
    meters: dict[Any, _Meter] = {}

    def opened(event: evt.Event) -> None:
        link: Any = event.assoc.dul.socket
        link.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.socket.settimeout(NETWORK_S)
        meters[event.assoc] = link.recv = _Meter(link, limits.instance_bytes, excess)
        if event.assoc.is_requestor:
            _keep_answers(event.assoc.dimse)

    def message_complete(event: evt.Event) -> None:
        meters[event.assoc].held = 0

    def closed(event: evt.Event) -> None:
        meters.pop(event.assoc, None)

    return [
        (evt.EVT_CONN_OPEN, opened),
        (evt.EVT_DIMSE_RECV, message_complete),
        (evt.EVT_CONN_CLOSE, closed),
    ]


def _keep_answers(messages: Any) -> None:
    """Let only the caller who waits take an answer.

    The thread that pynetdicom runs beside looks for requests without waiting. On a busy machine it is not
    paused in time (3.0.4), takes the answer to our request and drops it as unexpected: we would wait in vain.
    """
    take = messages.get_msg
    messages.get_msg = lambda block=False: take(block=True) if block else (None, None)


class _Meter:
    """Reads from a link in place of its `recv`, which trusts any length and takes 4 kB at a time."""

    def __init__(self, link: Any, most: int, excess: Callable[[], None] | None) -> None:
        self._link = link
        self._most = most
        self._excess = excess
        self.held = 0  # bytes of the message that is arriving

    def __call__(self, size: int) -> bytearray:
        self.held += size
        if size > LARGEST_PDU_BYTES or self.held > self._most + LARGEST_PDU_BYTES:
            if self._excess:
                self._excess()
            raise OSError("more than is allowed")  # closes the connection
        content = bytearray(size)
        view = memoryview(content)
        got = 0
        while got < size:
            more = self._link.socket.recv_into(view[got:])
            if not more:
                break
            got += more
        view.release()
        del content[got:]
        return content


def server_tls(address: PacsAddress) -> ssl.SSLContext | None:
    """Return how the PACS must identify itself when it calls us; None without TLS."""
    if not address.tls:
        return None
    if not address.cert:
        raise ConfigError(
            f"{address}: receiving over TLS needs our certificate; give cert and key, or retrieve=get"
        )
    trusted = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=address.ca)
    trusted.load_cert_chain(address.cert, address.key)
    trusted.verify_mode = ssl.CERT_REQUIRED
    return trusted

"""DIMSE that goes wrong: lost answers, refusals, strangers, hostile messages, TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless
from pynetdicom import AE, build_context, evt
from pynetdicom.dimse import DIMSEServiceProvider

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs import Pacs, Query, SeriesFacts, associations, open_pacs, parse_address, retries
from medunet.io.pacs.landing import Landing
from medunet.io.pacs.receiver import CLASSES, receiving, storage_contexts, storage_roles
from medunet.io.pacs.records import Limits, hashed
from tests.io.pacs.archive import Archive
from tests.io.pacs.peer import Peer
from tests.io.pacs.test_contract import free_port
from tests.io.pacs.tls import certificates

# pynetdicom leaves the sockets of refused connections to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def pacs_at(peer: Peer, options: str = "") -> Pacs:
    return open_pacs(f"dimse://MEDUNET@127.0.0.1:{peer.port}/ARCHIVE?{options or 'connections=4'}")[0]


@pytest.mark.parametrize("faults", [["abort"], ["", "abort", "", "abort"], ["A700"], ["", "A701", "A702"]])
def test_an_answer_that_does_not_come_is_asked_for_again(
    faults: list[str], peer: Peer, archive: Archive, make_series: Callable
) -> None:
    files = sorted(make_series(slices=12).iterdir())
    peer.faults.extend(faults)
    report = pacs_at(peer).push(files)
    assert report.complete, report.failed
    assert sorted([*report.stored, *report.already]) == files
    assert len(archive.files) == 12


def test_an_instance_that_is_stored_before_the_connection_is_lost_counts_once(
    peer: Peer, archive: Archive, make_series: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The empty status of pynetdicom: the PACS has the instance, we do not know."""
    store = peer._store
    lost: list[str] = []

    def lose_one(event: evt.Event) -> int:
        status = store(event)
        if not lost:
            lost.append("once")
            event.assoc.abort()
        return status

    peer._server.bind(evt.EVT_C_STORE, lose_one)
    files = sorted(make_series().iterdir())
    report = pacs_at(peer, "connections=1").push(files)
    assert (len(report.stored), len(report.already), report.failed) == (4, 1, {})
    assert len(archive.files) == 5


def test_no_answer_is_taken_by_the_thread_that_waits_for_requests(
    peer: Peer, make_series: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race of pynetdicom made certain: its thread looks for messages all the time, never paused."""
    real = DIMSEServiceProvider.get_msg
    stop = threading.Event()
    thieves: list[threading.Thread] = []
    stolen: list[Any] = []

    def thief(messages: Any) -> None:
        while not stop.is_set():
            _, message = messages.get_msg(block=False)
            if message is not None:
                stolen.append(message)
            time.sleep(0)

    def opened(event: evt.Event) -> None:
        if event.assoc.is_requestor:
            thieves.append(threading.Thread(target=thief, args=(event.assoc.dimse,)))
            thieves[-1].start()

    monkeypatch.setattr(associations, "ANSWER_S", 3.0)
    guards = associations.guards
    monkeypatch.setattr(
        associations, "guards", lambda *given: [*guards(*given), (evt.EVT_ESTABLISHED, opened)]
    )
    try:
        report = pacs_at(peer, "connections=1").push(sorted(make_series().iterdir()))
    finally:
        stop.set()
        for each in thieves:
            each.join()
    assert thieves
    assert stolen == []
    assert len(report.stored) == 5
    assert DIMSEServiceProvider.get_msg is real


def test_a_pacs_with_room_for_one_association_gets_everything_over_it(
    peer: Peer, make_series: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "PAUSES_S", [0.5, 1.0, 1.0])  # a peer counts those it rejects for a moment
    peer.entity.maximum_associations = 1
    files = sorted(make_series(slices=8).iterdir())
    assert sorted(pacs_at(peer).push(files).stored) == files


def test_several_associations_share_the_work(peer: Peer, make_series: Callable) -> None:
    pacs_at(peer, "connections=3").push(sorted(make_series(slices=30).iterdir()))
    assert peer.opened["MEDUNET"] == 3


@pytest.mark.parametrize(("status", "why"), [("A900", "0xA900"), ("0124", "0x0124"), ("C123", "0xC123")])
def test_a_refusal_is_told_for_its_instance(status: str, why: str, peer: Peer, make_series: Callable) -> None:
    files = sorted(make_series().iterdir())
    peer.faults.append(status)
    report = pacs_at(peer, "connections=1").push(files)
    assert list(report.stored) == files[1:]
    assert why in report.failed[files[0]]


def test_what_the_pacs_does_not_take_is_told(peer: Peer, make_series: Callable, tmp_path: Path) -> None:
    files = sorted(make_series().iterdir())
    odd = tmp_path / "odd.dcm"
    dataset = pydicom.dcmread(files[0])
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.3.4"
    dataset.save_as(odd)
    report = pacs_at(peer).push([odd, *files])
    assert sorted(report.stored) == files
    assert "does not take this kind" in report.failed[odd]
    alone = pacs_at(peer).push([odd])
    assert list(alone.failed) == [odd]


def test_compressed_instances_pass_as_they_are(
    peer: Peer, archive: Archive, make_series: Callable, tmp_path: Path
) -> None:
    """Both in one study: neither way may convert, nor lose the syntax."""
    files = sorted(make_series(slices=4).iterdir())
    for path in files[:2]:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(path)
    assert pacs_at(peer).push(files).complete
    port = free_port()
    peer.receivers["MEDUNET"] = ("127.0.0.1", port)
    for retrieve in ("get", "move"):
        pacs = pacs_at(peer, f"retrieve={retrieve}&receive={port}")
        (study,) = pacs.find(Query())
        fetched = {path.stem: path for path in pacs.fetch(study, tmp_path / retrieve)}
        for path in files:
            sent = pydicom.dcmread(path)
            assert pydicom.dcmread(fetched[hashed(sent.SOPInstanceUID)]) == sent
            assert (
                pydicom.dcmread(fetched[hashed(sent.SOPInstanceUID)]).file_meta[2, 0x10]
                == sent.file_meta[2, 0x10]
            )


def test_every_socket_sends_at_once(
    peer: Peer, make_series: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    guards = associations.guards

    def look(event: evt.Event) -> None:
        seen.append(event.assoc.dul.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(associations, "guards", lambda *given: [*guards(*given), (evt.EVT_ESTABLISHED, look)])
    peer._server.bind(evt.EVT_ESTABLISHED, look)
    pacs_at(peer, "connections=1").push(list(make_series().iterdir()))
    assert len(seen) == 2
    assert all(seen)


def test_without_c_get_the_study_comes_by_c_move(
    archive: Archive, make_series: Callable, tmp_path: Path
) -> None:
    archive.fill(make_series())
    with closing(Peer(archive, get=False)) as peer:
        port = free_port()
        with pytest.raises(ConfigError, match="does not know our AE title MEDUNET"):
            pacs_at(peer, f"receive={port}").fetch(pacs_at(peer).find(Query())[0], tmp_path / "in")
        peer.receivers["MEDUNET"] = ("127.0.0.1", port)
        for fault in ("", "fails", "fewer", "lost"):  # what did not come is asked for again
            peer.moves.append(fault)
            pacs = pacs_at(peer, f"receive={port}")
            assert len(pacs.fetch(pacs.find(Query())[0], tmp_path / f"in{fault}")) == 5
        peer.moves.extend(["fails"] * 4)
        with pytest.raises(StudyError, match="1 instances missing"):
            pacs.fetch(pacs.find(Query())[0], tmp_path / "again")


def test_the_auto_way_opens_no_port_where_c_get_is_offered(
    peer: Peer, archive: Archive, make_series: Callable, tmp_path: Path
) -> None:
    archive.fill(make_series())
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        pacs = pacs_at(peer, f"receive={port}")
        (study,) = pacs.find(Query())
        assert len(pacs.fetch(study, tmp_path / "get")) == 5
        with pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1:{port}"):
            pacs_at(peer, f"receive={port}&retrieve=move").fetch(study, tmp_path / "move")


def test_a_c_get_needs_a_known_modality() -> None:
    pacs, _ = open_pacs("dimse://US@127.0.0.1:9/THEM?retrieve=get")
    with pytest.raises(StudyError, match="retrieve=move"):
        pacs._retrieval._ways([SeriesFacts("1.2", "XX")])  # type: ignore[attr-defined]


@pytest.mark.parametrize("modality", CLASSES)
def test_the_contexts_of_a_c_get_fit_into_an_association(modality: str) -> None:
    assert 0 < len(storage_contexts(modality)) < 128
    assert len(storage_roles(modality)) == len(CLASSES[modality])


def test_a_wrong_title_is_told(peer: Peer) -> None:
    pacs, _ = open_pacs(f"dimse://MEDUNET@127.0.0.1:{peer.port}/OTHER")
    with pytest.raises(ConfigError, match="rejected.*OTHER"):
        pacs.check()


@contextmanager
def listening(folder: Path, limits: Limits | None = None) -> Iterator[tuple[Landing, int]]:
    """A receiver for a C-MOVE of THEM, and the port that it listens at."""
    port = free_port()
    address, _ = parse_address(f"dimse://US@127.0.0.1:9/THEM?receive={port}")
    landing = Landing(folder, limits or Limits())
    with receiving(address, landing):
        yield landing, port


def call(port: int, calling: str = "THEM", called: str = "US", **options: Any) -> Any:
    ours = AE(ae_title=calling)
    return ours.associate(
        "127.0.0.1", port, [build_context(CTImageStorage, ExplicitVRLittleEndian)], ae_title=called, **options
    )


def test_only_the_pacs_may_call_the_receiver(tmp_path: Path, make_series: Callable) -> None:
    path = next(make_series().iterdir())
    with listening(tmp_path / "in") as (landing, port):
        assert call(port, calling="STRANGER").is_rejected
        assert call(port, called="SOMEONE").is_rejected
        friend = call(port)
        assert friend.send_c_store(path).Status == 0
        friend.release()
        assert len(landing.files) == 1
        listeners = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert f"0100007F:{port:04X}" in listeners  # 127.0.0.1
        assert f"00000000:{port:04X}" not in listeners
    assert not call(port).is_established


def test_a_hostile_uid_names_no_path_and_no_log_line(tmp_path: Path, make_series: Callable) -> None:
    path = tmp_path / "hostile.dcm"
    dataset = pydicom.dcmread(next(make_series().iterdir()))
    with listening(tmp_path / "in") as (landing, port):
        friend = call(port)
        for uid in ("../../SECRET", "1.02.3", "SECRET^NAME"):
            dataset.file_meta[2, 3]._value = dataset[8, 0x18]._value = pydicom.uid.UID(uid, 0)
            dataset.save_as(path)
            assert friend.send_c_store(path).Status == 0
        friend.release()
        assert [file.parent for file in landing.files] == [tmp_path / "in"] * 3
        assert {file.stem for file in landing.files} >= {hashed("../../SECRET"), hashed("1.02.3")}


def test_a_message_without_end_is_cut_off(tmp_path: Path) -> None:
    with listening(tmp_path / "in", Limits(instance_bytes=2**20)) as (landing, port):
        friend = call(port)
        raw = friend.dul.socket.socket
        context_id = friend.accepted_contexts[0].context_id
        piece = bytes(2**17)
        pdu = struct.pack(">BBII", 4, 0, len(piece) + 6, len(piece) + 2) + bytes([context_id, 0]) + piece
        with pytest.raises(OSError, match="reset|pipe|refused"):
            for _ in range(200):
                raw.sendall(pdu)
                time.sleep(0.01)
        assert "more than" in str(landing.refusal)
        friend.abort()


@pytest.mark.parametrize("length", [2**32 - 1, 2**25])
def test_a_message_that_says_it_is_huge_is_not_awaited(length: int, tmp_path: Path) -> None:
    with (
        listening(tmp_path / "in") as (landing, port),
        socket.create_connection(("127.0.0.1", port), 5) as raw,
    ):
        raw.sendall(struct.pack(">BBI", 1, 0, length) + bytes(100))
        raw.settimeout(10)  # far less than the receiver would wait for the rest
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(1000) == b""
        assert landing.files == []


def test_dimse_over_tls_is_verified_both_ways(
    archive: Archive, make_series: Callable, tmp_path: Path
) -> None:
    made = certificates(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.server, made.server_key)
    server.load_verify_locations(made.authority)
    server.verify_mode = ssl.CERT_REQUIRED
    with closing(Peer(archive, tls=server)) as peer:
        port = free_port()
        peer.receivers["MEDUNET"] = ("127.0.0.1", port)
        client = ssl.create_default_context(cafile=made.authority)
        client.load_cert_chain(made.client, made.client_key)
        client.check_hostname = False  # ours is no server's certificate
        peer.client_tls = (client, "127.0.0.1")
        base = f"dimse+tls://MEDUNET@127.0.0.1:{peer.port}/ARCHIVE?receive={port}&retrieve=move"
        ours = f"&ca={made.authority}&cert={made.client}&key={made.client_key}"
        pacs, _ = open_pacs(base + ours)
        files = sorted(make_series().iterdir())
        assert sorted(pacs.push(files).stored) == files
        (study,) = pacs.find(Query())
        assert len(pacs.fetch(study, tmp_path / "in")) == 5
        with pytest.raises(StudyError, match="trusted"):
            open_pacs(base)[0].check()  # its authority is not ours
        with pytest.raises(ConfigError, match="needs our certificate"):
            open_pacs(f"{base}&ca={made.authority}")[0].fetch(study, tmp_path / "other")

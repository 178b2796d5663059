from __future__ import annotations

import gc
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import SegmentationStorage, generate_uid

from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.pacs import retries
from tests.io.pacs.archive import Archive
from tests.io.pacs.peer import Peer
from tests.io.pacs.stub import Stub

PATIENT, NAME, ACCESSION = "SECRET 7/7^B", "Planted^Name", "ACC-4711"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A foreign server with a network of its own is started only where someone asks for it, never in CI."""
    if "orthanc" not in (config.option.markexpr or ""):
        skip = pytest.mark.skip(reason="starts a real Orthanc; run pytest -m orthanc")
        for item in items:
            if item.get_closest_marker("orthanc"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Try again at once, and know no login."""
    monkeypatch.setattr(retries, "PAUSES_S", [0.0, 0.0, 0.0])
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture(autouse=True)
def sockets_are_collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """pynetdicom leaves the sockets of refused connections to the garbage collector: not in the next test."""
    yield
    if "dimse" in request.node.nodeid:
        gc.collect()


@pytest.fixture(autouse=True)
def nobody_is_named(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail the test in which a log line, even of a library and at its most talkative, names the patient."""
    caplog.set_level(logging.DEBUG)
    yield
    lines = " ".join(record.getMessage() + str(record.exc_text) for record in caplog.get_records("call"))
    assert not [word for word in ("SECRET", "Planted", ACCESSION, "1.2.826") if word in lines]


@pytest.fixture
def make_series(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a CT series of some slices; one seed is one study of the patient."""

    def make(
        seed: int = 0, *, slices: int = 5, series: int = 1, day: str = "20260115", first: int = 0
    ) -> Path:
        drawn = tmp_path / f"drawn-{seed}-{series}-{slices}-{first}"
        hu = np.random.default_rng(seed).integers(-1000, 1000, (12, 8, slices + first)).astype(np.int16)
        write_ct_series(drawn, hu, np.eye(4), patient_id=PATIENT, description="phantom", seed=seed)
        folder = tmp_path / f"ct-{seed}-{series}-{slices}-{first}"
        folder.mkdir()
        for path in sorted(drawn.iterdir())[first:]:
            dataset = pydicom.dcmread(path)
            dataset.PatientName, dataset.AccessionNumber, dataset.StudyDate = NAME, ACCESSION, day
            dataset.StudyDescription, dataset.Manufacturer = "CT of the chest", "Maker"
            if series > 1:
                dataset.SeriesInstanceUID = generate_uid(
                    entropy_srcs=[dataset.SeriesInstanceUID, str(series)]
                )
                dataset.SOPInstanceUID = generate_uid(entropy_srcs=[dataset.SOPInstanceUID, str(series)])
                dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(folder / path.name)
        return folder

    return make


@pytest.fixture
def make_result(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that writes what medunet might send back about a study: a SEG by its headers."""

    def make(folder: Path) -> Path:
        dataset = pydicom.dcmread(next(folder.iterdir()))
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SegmentationStorage
        dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["seg", dataset.StudyInstanceUID])
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=["seg-1", dataset.StudyInstanceUID])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.Modality, dataset.Manufacturer, dataset.SeriesDescription = "SEG", "medunet", "medunet liver"
        path = tmp_path / f"result-{folder.name}.dcm"
        dataset.save_as(path)
        return path

    return make


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def stub(archive: Archive) -> Iterator[Stub]:
    server = Stub(archive)
    yield server
    server.close()


@pytest.fixture
def peer(archive: Archive) -> Iterator[Peer]:
    server = Peer(archive)
    yield server
    server.close()


def content(path: Path) -> bytes:
    """Return what must survive every way through a PACS: the data set without its file meta."""
    stream = io.BytesIO()
    dataset = pydicom.dcmread(path)
    pydicom.dcmwrite(stream, dataset, enforce_file_format=False)
    return stream.getvalue()

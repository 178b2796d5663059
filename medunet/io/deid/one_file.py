"""De-identify one file: gate, clean, write, verify; only a file without survivors gets its final name."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import config as pydicom_config
from pydicom.dataset import Dataset

from medunet.errors import DataError
from medunet.io.deid import keys
from medunet.io.deid.clean import Options, clean, identity_of
from medunet.io.deid.pixels import reason_to_quarantine, shows_a_head
from medunet.io.deid.profile import LABELS
from medunet.io.deid.verify import survivors
from medunet.io.dicom.file import PARSE_ERRORS, read_dataset
from medunet.io.sniff import kind_of
from medunet.io.write import write_atomic

MEANT = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class Outcome:
    """What became of one file; no field but `originals` tells whose it is."""

    state: str  # written | unchanged | quarantined | failed | skipped
    reason: str = ""
    name: str = ""  # of the output, relative to the folder
    patient: str = ""  # pseudonym
    series: str = ""  # its short name
    head: bool = False  # a face can be rebuilt from such scans
    sha256: str = ""  # of the output
    labels: tuple[str, ...] = ()  # names of structures that were kept: a person should look at them
    originals: tuple[tuple[str, str, str], ...] = ()  # (kind, old, new): secret


def deidentify_file(path: Path, out: Path, key: bytes, options: Options) -> Outcome:
    """Write the cleaned twin of a DICOM file below `out`; every reason is free of identity."""
    try:
        if path.is_dir():
            return Outcome("failed", "the folder cannot be listed")
        if not _is_dicom(path):
            meant = path.suffix.lower() in MEANT
            return Outcome("failed", "named like DICOM, but it is not") if meant else Outcome("skipped")
        with _silent():
            return _deidentify(path, out, key, options)
    except DataError as error:
        return Outcome("failed", str(error).replace(f"{path}: ", "").replace(str(path), "the file"))
    except OSError as error:
        return Outcome("failed", f"the file cannot be read ({error.strerror or 'cut short'})")
    except (*PARSE_ERRORS, LookupError, ArithmeticError, AssertionError, MemoryError) as error:
        return Outcome("failed", f"the DICOM file is damaged ({type(error).__name__}); fetch it again")


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what pydicom warns of and logs to itself: it quotes values."""
    before = pydicom_config.logger.disabled
    pydicom_config.logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        pydicom_config.logger.disabled = before


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.read(1)  # what cannot be read is a failure, not another kind of file
    try:
        return kind_of(path) == "dicom"
    except DataError:
        return False


def _deidentify(path: Path, out: Path, key: bytes, options: Options) -> Outcome:
    dataset = read_dataset(path)
    for word in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not str(dataset.get(word) or ""):
            raise DataError(f"the file names no {word}: where it belongs is not known; export it again")
    patient = keys.pseudonym(key, identity_of(dataset))
    head = shows_a_head(dataset)
    series = keys.study_key(key, str(dataset.SeriesInstanceUID))
    reviewed = options.reviewed & {series, keys.study_key(key, str(path.resolve()))}
    if not reviewed and (reason := reason_to_quarantine(dataset)):
        return Outcome("quarantined", reason, patient=patient, series=series)
    name, originals = _place(dataset, key), _originals(dataset, key)
    clean(dataset, key, options)
    state, digest = _write(dataset, path, out / name, options)
    labels = {str(e.value) for e in dataset.iterall() if e.tag in LABELS and not e.is_empty}
    return Outcome(state, "", name, patient, series, head, digest, tuple(sorted(labels)), originals)


def _place(dataset: Dataset, key: bytes) -> str:
    """Return PATIENT/STUDY/SERIES/NUMBER-OBJECT.dcm; all but the number are keyed hashes.

    The object's own hash is part of it, so that the name does not depend on the files around.
    """
    number = str(dataset.get("InstanceNumber") or "").strip()
    shown = int(number) if number.isdigit() and len(number) < 7 else 0
    study, series, instance = (
        keys.study_key(key, str(dataset[word].value))
        for word in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    return f"{keys.pseudonym(key, identity_of(dataset))}/{study}/{series}/{shown:04d}-{instance}.dcm"


def _originals(dataset: Dataset, key: bytes) -> tuple[tuple[str, str, str], ...]:
    patient = identity_of(dataset)
    words = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "instance": "SOPInstanceUID"}
    uids = {kind: str(dataset[word].value) for kind, word in words.items()}
    return (
        ("patient", patient, keys.pseudonym(key, patient)),
        ("days the dates moved", patient, str(keys.shift_days(key, patient))),
        *((kind, uid, keys.new_uid(key, uid)) for kind, uid in uids.items()),
    )


def _write(dataset: Dataset, source: Path, target: Path, options: Options) -> tuple[str, str]:
    """Write and verify; nothing is left under the final name, nor anywhere else, if something survived."""
    kept = {(tag.creator, tag.group, tag.element) for tag in options.keep_private}
    with write_atomic(target, source.stat().st_size) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
        dataset.pop("PixelData", None)  # room for the verifier's copies
        if left := survivors(source, temporary, kept):
            raise DataError(f"identity survived ({'; '.join(left[:5])}); the file is not exported")
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        if target.exists():
            if hashlib.sha256(target.read_bytes()).hexdigest() == digest:
                return "unchanged", digest
            raise DataError("another file with the same SOPInstanceUID, but other content, is there already")
    return "written", digest

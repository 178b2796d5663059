"""Signed records: what the gate said of a sample, and that nobody has changed a file since.

WORKSPACE/keys/admission.key   32 random bytes, made on first use, readable by its owner alone
SET/admission/gate.json        settings, yardsticks and the manifest's hash; its own hash is `Admission.gate`
SET/admission/CASE.json        a signed Admission
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medunet.config.base import Record, parse
from medunet.config.card import Card
from medunet.config.load import read_yaml
from medunet.config.samples import Admission, Manifest, Sample
from medunet.data.cases import Case, find_cases
from medunet.errors import ConfigError, DataError
from medunet.io.write import write_atomic

KEY_BYTES = 32
GATE, REVOKED = "gate.json", "revoked.jsonl"


@dataclass(frozen=True)
class Admitted:
    """A case that may be learnt from."""

    case: Case
    sample: Sample
    weights: Path | None  # 1 learn, 0 ignore; None: all voxels count
    admission: Admission


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file; DataError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Put the file back.") from error


def admission_key(workspace: Path) -> bytes:
    """Return the workspace's key, made now if there is none; ConfigError if it is damaged."""
    place = workspace / "keys" / "admission.key"
    if not place.is_file():
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent) as stream:  # 0600, as tempfile makes them
            stream.write(secrets.token_bytes(KEY_BYTES))
            stream.flush()
            with suppress(FileExistsError):  # another process was first: its key is the workspace's
                place.hardlink_to(stream.name)
    key = place.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{place}: found {len(key)} bytes, expected {KEY_BYTES}. Put the key back from a backup, or "
            "delete it and run `medunet admit` on every set again."
        )
    return key


def sign(record: Admission, key: bytes) -> Admission:
    """Return the record with its signature: HMAC-SHA256 (RFC 2104) over all its other fields."""
    return record.model_copy(update={"signature": _signature(record, key)})


def verify(record: Admission, key: bytes, files: Mapping[str, Path | None]) -> None:
    """Raise a DataError that names what differs: the signature, or a file that was changed since.

    files: `image`, `mask` and `weights` (None where there is none) of the case.
    """
    if not hmac.compare_digest(record.signature, _signature(record, key)):
        raise DataError(
            f"{record.case}: the signature of its admission does not fit: the record was changed, or signed "
            "with the key of another workspace. Run `medunet admit` on the set in this workspace."
        )
    for name, path in files.items():
        expected = getattr(record, f"{name}_sha256")
        found = None if path is None else file_sha256(path)
        if found != expected:
            raise DataError(
                f"{record.case}: its {name} is not the one that was admitted "
                f"({path or 'no file'}: found {_short(found)}, expected {_short(expected)}). "
                "Run `medunet admit` on the set again."
            )


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a synthetic set; ConfigError if the folder is none."""
    place = folder / "manifest.json"
    return parse(Manifest, _json(place), where=str(place))


def read_card(folder: Path) -> Card:
    """Return the card of a synthetic set."""
    place = folder / "card.yaml"
    return parse(Card, read_yaml(place), where=str(place))


def read_samples(folder: Path) -> dict[str, Sample]:
    """Return the samples of a synthetic set by case, in the order in which they were made."""
    place = folder / "samples.jsonl"
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{place}: cannot be read ({error.strerror}). Is this a synthetic set?") from None
    found = [_sample(line, f"{place}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    return {sample.case: sample for sample in sorted(found, key=lambda one: one.number)}


def read_revoked(folder: Path) -> frozenset[str]:
    """Return the cases that were taken back for a patient who left: they count as never admitted."""
    place = folder / REVOKED
    lines = place.read_text(encoding="utf-8").splitlines() if place.is_file() else []
    return frozenset(str(json.loads(line)["case"]) for line in lines)


def write_record(folder: Path, name: str, record: Record | Mapping[str, Any]) -> None:
    """Write SET/admission/NAME in the canonical form, whole or not at all."""
    with write_atomic(folder / "admission" / name) as temporary:
        temporary.write_text(canonical(record) + "\n", encoding="utf-8")


def read_admission(folder: Path, case: str) -> Admission | None:
    """Return the record of a case as it lies there, not verified; None if there is none."""
    place = folder / "admission" / f"{case}.json"
    return parse(Admission, _json(place), where=str(place)) if place.is_file() else None


def read_admitted(folder: Path, key: bytes) -> tuple[Admitted, ...]:
    """Return the cases of a synthetic set that may be learnt from, each verified.

    DataError: a case in images/ has no admitted record, a record or file was changed since, the manifest
    (whom the generator has learnt from) was changed, or there is no case.
    """
    gate = gate_hash(folder)
    card, samples, gone = read_card(folder), read_samples(folder), read_revoked(folder)
    out = []
    for case in find_cases(card, folder).cases:
        if case.id in gone:
            raise DataError(
                f"{case.images[0]}: was taken back for a patient who left (`medunet retire`). "
                "Delete this file and its mask."
            )
        record = read_admission(folder, case.id)
        if record is None or record.verdict != "admitted" or case.id not in samples:
            raise DataError(
                f"{case.images[0]}: synthetic, and not admitted; expected a signed record in "
                f"{folder / 'admission'}. Run `medunet admit {folder}`, which moves rejects away."
            )
        if record.case != case.id:
            raise DataError(
                f"{case.images[0]}: its record is that of {record.case}. Run `medunet admit {folder}` again."
            )
        if record.gate != gate:
            raise DataError(
                f"{case.id}: was admitted with other settings than {folder / 'admission' / GATE} holds: "
                "the last admission did not end. Run `medunet admit` on the set again."
            )
        weights = weights_of(folder, case) if record.weights_sha256 else None
        files = {"image": case.images[0], "mask": case.mask, "weights": weights}
        verify(record, key, files)
        out.append(Admitted(case, samples[case.id], weights, record))
    return tuple(out)


def weights_of(folder: Path, case: Case) -> Path:
    """Return where the voxel weights of a case lie, whether there are any or not."""
    mask = case.mask
    if mask is None:
        raise DataError(f"{case.id}: has no mask.")
    return folder / "weights" / mask.name


def gate_hash(folder: Path) -> str:
    """Return the hash of SET/admission/gate.json; DataError if it was made for another manifest."""
    place = folder / "admission" / GATE
    if not place.is_file():
        raise DataError(f"{folder}: was not admitted: no {place}. Run `medunet admit {folder}` first.")
    known = _json(place)
    for name in ("manifest.json", "samples.jsonl", "card.yaml"):
        if known.get(name) != file_sha256(folder / name):
            raise DataError(
                f"{folder / name}: was changed since the set was admitted. Run `medunet admit` again."
            )
    return hashlib.sha256(canonical(known).encode()).hexdigest()


def canonical(record: Record | Mapping[str, Any]) -> str:
    """Return a record as JSON that is the same for equal content: sorted keys, no spaces."""
    values = record.model_dump(mode="json") if isinstance(record, Record) else record
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _signature(record: Admission, key: bytes) -> str:
    text = canonical(record.model_copy(update={"signature": ""}))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _sample(line: str, where: str) -> Sample:
    try:
        return parse(Sample, json.loads(line), where=where)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}. Make the set again, or cut the line.") from None


def _json(place: Path) -> Any:
    try:
        return json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{place}: cannot be read: {error}. Is this a synthetic set?") from None


def _short(value: str | None) -> str:
    return "none" if value is None else value[:12]

"""A synthetic set on disk: made once, filled sample by sample, opened again after any interruption.

The layout is that of `medunet.config.samples`. A sample exists once its line is in samples.jsonl, which is
written after its files: files without a line are written again, a line that was cut off is dropped.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from medunet.config.attributes import Value
from medunet.config.base import parse
from medunet.config.card import SYNTHETIC_CARD, Card
from medunet.config.load import read_yaml, write_yaml
from medunet.config.samples import Manifest, Sample
from medunet.errors import ConfigError, DataError
from medunet.gate.record import read_revoked
from medunet.io.write import write_atomic
from medunet.workflows.synthetic_pair import Origin, append_line, case_name, check_pair, sha256_of, write_pair

MANIFEST, SAMPLES, CARD = "manifest.json", "samples.jsonl", "card.yaml"
PICTURE, PICTURE_MASK = "images/{case}.*", "masks/{case}.png"
VOLUME, VOLUME_MASK = "images/{case}.nii.gz", "masks/{case}.nii.gz"
Array = NDArray[Any]


@dataclass
class SyntheticSet:
    """An open synthetic set."""

    path: Path
    manifest: Manifest
    card: Card
    sha256: str  # of manifest.json
    _samples: dict[str, Sample] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> SyntheticSet:
        """Return the set at `path`, its last line mended; ConfigError if there is none."""
        missing = [name for name in (MANIFEST, CARD) if not (path / name).is_file()]
        if missing:
            raise ConfigError(
                f"{path}: no synthetic set: {', '.join(missing)} not found. Give the folder that "
                "`medunet sample` named."
            )
        text = (path / MANIFEST).read_bytes()
        try:
            manifest = parse(Manifest, json.loads(text), where=str(path / MANIFEST))
        except ValueError as error:
            raise ConfigError(f"{path / MANIFEST}: is not JSON: {error}. Make the set anew.") from None
        card = parse(Card, read_yaml(path / CARD), where=str(path / CARD))
        found = cls(path, manifest, card, hashlib.sha256(text).hexdigest())
        found._samples = found._read()
        return found

    def samples(self) -> dict[str, Sample]:
        """Return all samples ever made by case, ordered by number; also those rejected or revoked."""
        return dict(sorted(self._samples.items(), key=lambda item: item[1].number))

    def revoked(self) -> frozenset[str]:
        """Return the cases that were taken back for a patient who left: they count as never admitted."""
        return read_revoked(self.path)

    def check_whole(self) -> None:
        """Raise a ConfigError if samples were taken back: the generator knows the patient for good."""
        if gone := self.revoked():
            raise ConfigError(
                f"{self.path}: {len(gone)} samples were taken back for a patient who left (`retire`): "
                "none can be added. Train a generator without the patient and give another folder."
            )

    def image_path(self, case: str) -> Path:
        """Return the image of a case, also of one in quarantine; where it would lie if there is none."""
        endings = (".png", ".tif") if self.card.dims == 2 else (".nii.gz",)
        return self._found("images", [f"{case}{ending}" for ending in endings])

    def mask_path(self, case: str) -> Path:
        """Return the mask of a case, also of one in quarantine; where it would lie if there is none."""
        return self._found("masks", [f"{case}{'.png' if self.card.dims == 2 else '.nii.gz'}"])

    def _found(self, kind: str, names: Sequence[str]) -> Path:
        places = [folder / kind / name for folder in (self.path, self.path / "quarantine") for name in names]
        return next((place for place in places if place.is_file()), places[0])

    def add(
        self,
        number: int,
        image: Array,
        mask: Array,
        *,
        spacing_mm: Sequence[float],
        attributes: Mapping[str, Value] | None = None,
        parents: Sequence[str] = (),
        mask_facts: Mapping[str, Any] | None = None,
    ) -> Sample:
        """Write image (C, X, Y[, Z]) and mask (X, Y[, Z]) of the card's labels, then the sample's line.

        Whole numbers are kept in few bits (PNG, int16), others as float32: none is changed. DataError if the
        number is there already or the arrays do not fit the card. The same arrays give the same bytes.
        ConfigError if samples of the set were taken back.
        """
        self.check_whole()
        case = case_name(number)
        if case in self._samples:
            raise DataError(f"{self.path}: sample {number} is there already; give the next number.")
        check_pair(self.path / case, image, mask, self.card)
        image_file, mask_file = write_pair(self.path, self._origin(number), image, mask, spacing_mm)
        sample = Sample(
            case=case,
            number=number,
            attributes=dict(attributes or {}),
            parents=tuple(parents),
            mask_facts=dict(mask_facts or {}),
            image_sha256=sha256_of(image_file),
            mask_sha256=sha256_of(mask_file),
        )
        append_line(self.path / SAMPLES, sample.model_dump_json())
        self._samples[case] = sample
        return sample

    def same_bytes(
        self, case: str, again: tuple[Array, Array] | None = None, spacing_mm: Sequence[float] = ()
    ) -> bool:
        """Tell whether a case is, byte for byte, what its line says.

        Without more, its files are looked at. `again`, image and mask as they were made once more, are
        written beside the set instead, as `add` would, and compared. DataError: no such case.
        """
        if (known := self._samples.get(case)) is None:
            raise DataError(f"{self.path}: no case {case}; there are {len(self._samples)}.")
        if again is None:
            files = self.image_path(case), self.mask_path(case)
            return [sha256_of(file) for file in files] == [known.image_sha256, known.mask_sha256]
        with tempfile.TemporaryDirectory() as folder:
            files = write_pair(Path(folder), self._origin(known.number), *again, spacing_mm)
            return [sha256_of(file) for file in files] == [known.image_sha256, known.mask_sha256]

    def _origin(self, number: int) -> Origin:
        made = self.manifest
        unknown_pixels = self.card.dims == 2 and self.card.pixel_mm is None
        return Origin(number, self.sha256, made.generator_name, made.weights_sha256, unknown_pixels)

    def _read(self) -> dict[str, Sample]:
        """Return the samples by case; a last line that was cut off is taken off the file."""
        place = self.path / SAMPLES
        text = place.read_bytes() if place.is_file() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text) and os.access(place, os.W_OK):
            os.truncate(place, len(whole))
        found = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                sample = parse(Sample, json.loads(line), where=f"{place}, line {number}")
            except ValueError as error:
                raise ConfigError(
                    f"{place}, line {number}: is not JSON: {error}. Make the set anew."
                ) from None
            found[sample.case] = sample
        return found


def create(path: Path, manifest: Manifest, card: Card) -> SyntheticSet:
    """Return the synthetic set at `path` for scans like those of `card`: made now, or opened to go on.

    ConfigError if the folder holds a set of another manifest or one whose samples were taken back, or
    pictures whose channels no format holds.
    """
    if (path / MANIFEST).is_file():
        found = SyntheticSet.open(path)
        if found.manifest != manifest:
            raise ConfigError(f"{path}: {_difference(found.manifest, manifest)}. Give another folder.")
        found.check_whole()
        return found
    if card.dims == 2 and card.channels not in (1, 3):
        raise ConfigError(
            f"card {card.name}: pictures of {card.channels} channels; PNG and TIFF are read with 1 or 3."
        )
    if path.exists() and (not path.is_dir() or _foreign(path)):
        raise ConfigError(f"{path}: holds other files; give a new folder for a synthetic set.")
    for name in ("images", "masks"):
        (path / name).mkdir(parents=True, exist_ok=True)
    with write_atomic(path / CARD) as temporary:
        write_yaml(temporary, card_of_set(card).model_dump(mode="json", exclude_none=True))
    with write_atomic(path / MANIFEST) as temporary:  # last: a set with a manifest is complete
        temporary.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return SyntheticSet.open(path)


def _foreign(path: Path) -> bool:
    """Tell whether a folder holds more than a set that was begun and cut off before its manifest."""
    return any(p.name not in (CARD, "images", "masks") for p in path.iterdir() if p.name[0] != ".")


def card_of_set(card: Card) -> Card:
    """Return the card of a synthetic set like the data of `card`; each case counts as its own patient."""
    image, mask = (PICTURE, PICTURE_MASK) if card.dims == 2 else (VOLUME, VOLUME_MASK)
    kept = ("licence", "modality", "dims", "channels", "labels", "pixel_mm", "tolerance_mm")
    values = {key: value for key, value in card.model_dump(mode="json").items() if key in kept}
    values |= {
        "name": f"{card.name.removesuffix(SYNTHETIC_CARD)}{SYNTHETIC_CARD}",
        "title": f"Synthetic, like: {card.title}",
        "source": f"made by medunet; the generator has learnt from {card.name}",
        "layout": "folders",
        "files": {"image": image, "mask": mask},
        "patient": "(.+)",
    }
    return parse(Card, values, where=f"card of a synthetic set like {card.name}")


def hashed_patient(salt: str, patient: str) -> str:
    """Return what a manifest holds in place of a patient's name.

    It keeps names out of what is passed on; whoever knows the salt can still try all names there may be.
    """
    return hashlib.sha256((salt + patient).encode()).hexdigest()


def _difference(old: Manifest, new: Manifest) -> str:
    before, now = old.model_dump(), new.model_dump()
    differs = [key for key in before if before[key] != now[key]]
    key = differs[0]
    shown = "" if key in ("trained_on", "versions") else f" ({before[key]}, now {now[key]})"
    return f"holds a synthetic set that was made otherwise: {', '.join(differs)} differ{shown}"

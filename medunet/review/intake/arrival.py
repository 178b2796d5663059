"""What a source of cases says before anything is read: which image, which mask, what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medunet.config.card import Card, MaskRule

Kind = Literal["studies", "predictions", "synthetic", "folder"]
KINDS: tuple[Kind, ...] = ("studies", "predictions", "synthetic", "folder")
PLAIN_RULE = MaskRule()  # values are labels


@dataclass(frozen=True)
class Channel:
    """The files of one channel: a file, a folder that is a DICOM series, or the slices of one."""

    files: tuple[Path, ...]
    part: str = ""  # which volume of its files, where they hold several


@dataclass(frozen=True)
class Arrival:
    """One image that may become a case, with its mask where there is one."""

    name: str
    source: Kind
    channels: tuple[Channel, ...]
    mask: Path | None = None
    card: Card | None = None
    rule: MaskRule = PLAIN_RULE  # how the mask's values become labels
    patient: str | None = None
    risk: float | None = None
    flags: tuple[str, ...] = ()
    uncertainty_map: Path | None = None
    model: str | None = None
    input_sha256: tuple[str, ...] = ()  # of the image per channel, as whoever made the mask knew it
    mask_sha256: str = ""  # of the mask's file, likewise
    irregular: str = "error"  # what was made of uneven DICOM slices when the mask was drawn
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files of the image."""
        return tuple(path for channel in self.channels for path in channel.files)


@dataclass(frozen=True)
class Arrivals:
    """What was found in one place; refused: what cannot become a case, and why, by its name."""

    found: tuple[Arrival, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyEntry:
    """One finished study of a ledger."""

    folder: Path
    channels: tuple[Channel, ...]
    model: Path  # the run folder


@dataclass(frozen=True)
class Ask:
    """What the user says of a place besides its path."""

    card: Card | None = None
    model: str | None = None
    images: Path | None = None  # where the images lie, if not beside the masks
    studies: Sequence[StudyEntry] = ()  # of the ledger


def channel_of(files: Sequence[Path], part: str = "") -> Channel:
    """Return a channel; the slices of a series that has a folder of its own become that folder."""
    places = {file.parent.resolve() for file in files}
    if len(files) > 1 and not part and len(places) == 1:
        (folder,) = places
        there = {path.name for path in folder.iterdir() if not path.is_dir() and path.name[0] != "."}
        if there == {file.name for file in files}:
            return Channel((folder,))
    return Channel(tuple(file.resolve() for file in files), part)


def one_per_file(paths: Sequence[Path]) -> tuple[Channel, ...]:
    """Return one channel a path."""
    return tuple(Channel((path.resolve(),)) for path in paths)

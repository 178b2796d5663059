"""How a result becomes files: one function a format, all of one study or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from medunet.config.card import Card
from medunet.io.volume import Volume
from medunet.io.write import write_mask


@dataclass(frozen=True)
class Study:
    """What a writer may want to know besides volume and mask. `series` are the files that were read."""

    name: str  # hashed; the folder of the results
    identity: str  # hash of study, model and options: what UIDs of results follow from
    series: tuple[tuple[Path, ...], ...]  # per channel
    dicom: bool
    card: Card
    model: Mapping[str, Any]
    volume_ml: Mapping[str, float]  # per label name
    flags: Sequence[Mapping[str, Any]]


class Writer(Protocol):
    """Writes a result into a folder of its own; the same input must give the same bytes."""

    def __call__(self, volume: Volume, mask: NDArray[Any], study: Study, folder: Path) -> Sequence[Path]:
        """Return the files; StudyError or DataError if the study cannot be written this way."""
        ...


def write_nifti(volume: Volume, mask: NDArray[Any], study: Study, folder: Path) -> Sequence[Path]:
    """Write the mask on the scan's own grid: mask.nii.gz, of a picture mask.png."""
    path = folder / ("mask.nii.gz" if study.card.dims == 3 else "mask.png")
    write_mask(path, mask, volume)
    return [path]


WRITERS: dict[str, Writer] = {"nifti": write_nifti}

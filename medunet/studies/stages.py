"""What is done with one study: read it, predict, write. No threads, no ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medunet.config.versions import versions
from medunet.errors import StudyError
from medunet.geometry import voxel_volume_ml
from medunet.io.volume import Volume
from medunet.studies.choose import Candidate, Choice, choose
from medunet.studies.identity import without_identity
from medunet.studies.model import Model
from medunet.studies.publish import publish
from medunet.studies.qc import examine, risk_of
from medunet.studies.reader import Reader, ReadingDiedError
from medunet.studies.study import Study
from medunet.studies.task import Request
from medunet.studies.writers import Writer

BYTES_PER_VOXEL = 5  # float32 of each channel, and the mask


@dataclass(frozen=True)
class Loaded:
    """A study that was read."""

    request: Request
    model: Model
    volume: Volume
    choice: Choice
    input_sha256: tuple[str, ...]


@lru_cache(maxsize=8)
def model_of(run: str, folds: tuple[int, ...] | None, mirror: bool | None) -> Model:
    """Return the model of a request; its hashes are taken once."""
    return Model.open(Path(run), folds, mirror)


def checked_model(request: Request) -> Model:
    """Return the model of a request; StudyError if it is not the one that the study was queued for."""
    model = model_of(request.model, request.folds, request.mirror)
    if model.sha256 != request.model_sha256:
        raise StudyError(
            f"the run {model.run.path.name} has changed since the study was queued. Queue it again: "
            "medunet studies add."
        )
    return model


def choose_series(request: Request, model: Model, reader: Reader) -> tuple[Choice, int]:
    """Return the series to read and the bytes they will take; StudyError if none fits.

    A series that the reading process dies of costs only itself, unless no other fits: then ReadingDiedError.
    """
    candidates, died = [], False
    for image in request.images:
        try:
            candidates.append(Candidate(image, reader.facts(image)))
        except StudyError as error:
            candidates.append(Candidate(image, problem=str(error)))
        except ReadingDiedError as error:
            if reader.ended:
                raise
            died = True
            candidates.append(Candidate(image, problem=str(error)))
    try:
        choice = choose(candidates, model.run.card, model.training)
    except StudyError as error:
        raise ReadingDiedError(str(error)) if died else error from None
    chosen = {image.id for image in choice.images}
    shapes = [c.facts.shape for c in candidates if c.facts is not None and c.image.id in chosen]
    voxels = max((math.prod(shape) for shape in shapes), default=1)
    return choice, voxels * BYTES_PER_VOXEL * model.run.card.channels


def read(request: Request, model: Model, choice: Choice, reader: Reader) -> Loaded:
    """Return the study's volume, read in the limited process."""
    card = model.run.card
    volume, hashes = reader.read(choice.images, card.channels, card.pixel_mm)
    return Loaded(request, model, volume, choice, tuple(hashes))


def write(loaded: Loaded, mask: NDArray[Any], writers: Mapping[str, Writer]) -> dict[str, Any]:
    """Examine a mask and write the study's folder; return result.json."""
    request, model, volume, choice = loaded.request, loaded.model, loaded.volume, loaded.choice
    card = model.run.card
    flags = examine(volume, mask, card, model.training, choice.remarks)
    paths = list(request.all_paths())
    voxels = np.bincount(mask.ravel(), minlength=256)
    unit = voxel_volume_ml(volume.spacing_mm)
    volumes = {label.name: round(int(voxels[value]) * unit, 4) for value, label in card.labels.items()}
    result: dict[str, Any] = {
        "study": request.study,
        "content": request.content,
        "series": [image.id for image in choice.images],
        "series_not_taken": choice.left,
        "input_sha256": list(loaded.input_sha256),
        "model": model.facts,
        "model_sha256": model.sha256,
        "versions": versions(),
        "shape": list(volume.shape),
        "spacing_mm": list(volume.spacing_mm),
        "voxels": {label.name: int(voxels[value]) for value, label in card.labels.items()},
        "volume_ml": volumes,
        "flags": [vars(flag) for flag in flags],
        "risk": risk_of(flags),
        "warnings": [without_identity(warning, paths) for warning in volume.warnings],
    }
    study = Study(
        name=request.name,
        identity=request.identity,
        series=tuple(image.paths for image in choice.images),
        dicom=choice.images[0].dicom,
        card=card,
        model=model.facts,
        model_sha256=model.sha256,
        options=f"{request.folds}|{request.mirror}",
        volume_ml=volumes,
        flags=result["flags"],
    )

    def fill(folder: Path) -> dict[str, Any]:
        for name in request.writers:
            writers[name](volume, mask, study, folder)
        return result

    return publish(Path(request.out), request.name, request.identity, fill)

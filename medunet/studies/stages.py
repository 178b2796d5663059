"""What is done with one study: read it, predict, write. No threads, no ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from medunet.config.versions import versions
from medunet.data.pieces import label_sizes
from medunet.errors import StudyError
from medunet.io.volume import Volume
from medunet.studies.choose import Candidate, Choice, choose
from medunet.studies.identity import without_identity
from medunet.studies.model import Model, Predicted
from medunet.studies.publish import publish
from medunet.studies.qc import examine, risk_of
from medunet.studies.reader import Reader, ReadingDiedError
from medunet.studies.study import Study
from medunet.studies.task import Options, Request
from medunet.studies.writers import NEED_DICOM, Writer

BYTES_PER_VOXEL = 10  # of each channel: float32, the mask, and what examining it takes


@dataclass(frozen=True)
class Loaded:
    """A study that was read."""

    request: Request
    model: Model
    volume: Volume
    choice: Choice
    input_sha256: tuple[str, ...]


@lru_cache(maxsize=8)
def model_of(run: str, options: Options) -> Model:
    """Return the model of a request; its hashes are taken once."""
    return Model.open(Path(run), options)


def checked_model(request: Request) -> Model:
    """Return the model of a request; StudyError if it is not the one that the study was queued for."""
    model = model_of(request.model, request.options)
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
            candidates.append(Candidate(image, reader.facts(image, request.options.irregular)))
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
    if NEED_DICOM & set(request.writers) and not all(image.dicom for image in choice.images):
        raise StudyError("DICOM results need a DICOM scan; ask for --format nifti")
    volume, hashes = reader.read(choice.images, card.channels, card.pixel_mm, request.options.irregular)
    return Loaded(request, model, volume, choice, tuple(hashes))


def write(loaded: Loaded, predicted: Predicted, writers: Mapping[str, Writer]) -> dict[str, Any]:
    """Examine a mask and write the study's folder; return result.json."""
    mask, how = predicted
    request, model, volume, choice = loaded.request, loaded.model, loaded.volume, loaded.choice
    card = model.run.card
    flags = examine(volume, mask, card, model.training, choice.remarks)
    sizes = label_sizes(mask, volume, card)
    result: dict[str, Any] = {
        "study": request.study,
        "content": request.content,
        "series": [image.id for image in choice.images],
        "series_not_taken": choice.left,
        "input_sha256": list(loaded.input_sha256),
        "model": model.facts,
        "model_sha256": model.sha256,
        "options": request.options.model_dump(),
        "how": dict(how),
        "versions": versions(),
        "shape": list(volume.shape),
        "spacing_mm": list(volume.spacing_mm),
        **sizes,
        "flags": [vars(flag) for flag in flags],
        "risk": risk_of(flags),
    }
    study = Study(
        name=request.name,
        identity=request.identity,
        series=tuple(image.paths for image in choice.images),
        volume=volume,
        mask=mask,
        card=card,
        model=model.facts,
        model_sha256=model.sha256,
        options=f"{request.options.model_dump_json()}{sorted(how.items())}",
        flags=result["flags"],
    )

    def fill(folder: Path) -> dict[str, Any]:
        told = list(volume.warnings)
        for name, writer in writers.items():  # in their order: some use what another has made
            if name in request.writers:
                told += writer(study, folder)
        paths = list(request.all_paths())
        warnings = [without_identity(warning, paths) for warning in dict.fromkeys(told)]
        return result | {"warnings": warnings}

    return publish(Path(request.out), request.name, request.identity, fill)

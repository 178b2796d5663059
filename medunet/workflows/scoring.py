"""Score any predictor on labelled cases: the same reader, the same measures, the same table."""

from __future__ import annotations

import csv
import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import Card, MaskRule
from medunet.data.cases import Case
from medunet.data.fingerprint import read_pair
from medunet.errors import DataError, MedunetError
from medunet.io.check import same_grid
from medunet.io.read import read_mask
from medunet.io.volume import Volume
from medunet.io.write import write_atomic, write_mask
from medunet.metrics.score import CaseScore, names, score
from medunet.metrics.summary import summary
from medunet.workflows.progress import progress, say

Predict = Callable[[Volume], NDArray[Any]]
Line = dict[str, str]  # {"case": ..., "reason": ...}


@dataclass(frozen=True)
class Scored:
    """One case that was predicted and scored; its predicted mask is kept compressed."""

    case: Case
    score: CaseScore
    spacing_mm: tuple[float, ...]
    spacing_known: bool
    seconds: float  # of predicting
    shape: tuple[int, ...]
    packed: bytes

    @property
    def prediction(self) -> NDArray[np.uint8]:
        """The predicted mask (X, Y[, Z])."""
        return np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(self.shape)

    @property
    def mean_dice(self) -> float:
        """The mean Dice over the labels that this case has; NaN if it has none."""
        values = [label.values["dice"] for label in self.score.labels.values()]
        found = [value for value in values if not math.isnan(value)]
        return sum(found) / len(found) if found else math.nan


@dataclass(frozen=True)
class Evaluation:
    """The scores of a predictor on many cases."""

    card: Card
    scored: tuple[Scored, ...]
    failed: tuple[Line, ...]
    seconds: float

    @property
    def distance_unit(self) -> str:
        """`mm`, or `pixels` where a file does not know the size of its pixels."""
        return "mm" if all(one.spacing_known for one in self.scored) else "pixels"

    def result(self) -> dict[str, Any]:
        """Return the numbers as plain values for JSON: None, never NaN."""
        patients = [one.case.patient for one in self.scored]
        numbers = summary([one.score for one in self.scored], patients, self.card.label_names)
        return {
            **numbers,
            "cases": len(self.scored),
            "patients": len(set(patients)),
            "failed": list(self.failed),
            "tolerance_mm": self.card.tolerance_mm,
            "distance_unit": self.distance_unit,
            "size_unit": "ml" if self.card.dims == 3 else f"1000 {self.distance_unit}^2",
            "fov": self.card.places.fov,
            "seconds": round(self.seconds, 2),
        }


def evaluate_masks(
    predict: Predict,
    cases: Sequence[Case],
    card: Card,
    *,
    save_masks: Path | None = None,
    what: str = "Evaluating",
) -> Evaluation:
    """Predict and score cases; a case that cannot be read or predicted is recorded, the others go on.

    predict: image Volume -> mask of card label values (X, Y[, Z]) on the volume's RAS grid.
    save_masks: a folder for the predicted masks.
    """
    start = time.monotonic()
    scored: list[Scored] = []
    failed: list[Line] = []
    with progress(what, len(cases)) as bar:
        for case in cases:
            try:
                scored.append(_score_case(predict, case, card, save_masks))
                bar.note(f"{case.id} Dice {scored[-1].mean_dice:.3f}")
            except (MedunetError, OSError, MemoryError) as error:
                failed.append({"case": case.id, "reason": str(error) or type(error).__name__})
                say(f"failed: {case.id}: {failed[-1]['reason']}")
            bar.advance()
    return Evaluation(card, tuple(scored), tuple(failed), time.monotonic() - start)


def joined(parts: Sequence[Evaluation], failed: Sequence[Line]) -> Evaluation:
    """Return several evaluations with one card as one, cases in order of their names."""
    scored = sorted((one for part in parts for one in part.scored), key=lambda one: one.case.id)
    lines = (*failed, *(line for part in parts for line in part.failed))
    return Evaluation(parts[0].card, tuple(scored), lines, sum(part.seconds for part in parts))


def write_cases(path: Path, evaluation: Evaluation) -> None:
    """Write one line per case and label; nothing to score is an empty field."""
    columns = ["case", "patient", "label", *names(), "truth_voxels", "predicted_voxels"]
    columns += ["foreground_dice", "spacing_mm", "seconds"]
    with write_atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for one in evaluation.scored:
            writer.writerows(_lines(one))


def _lines(one: Scored) -> list[dict[str, Any]]:
    whole = {
        "case": one.case.id,
        "patient": one.case.patient,
        "foreground_dice": _plain(one.score.foreground_dice),
        "spacing_mm": "x".join(f"{edge:.6g}" for edge in one.spacing_mm) if one.spacing_known else "",
        "seconds": f"{one.seconds:.3f}",
    }
    return [
        whole
        | {"label": name, "truth_voxels": label.truth_voxels, "predicted_voxels": label.predicted_voxels}
        | {measure: _plain(value) for measure, value in label.values.items()}
        for name, label in one.score.labels.items()
    ]


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _score_case(predict: Predict, case: Case, card: Card, save_masks: Path | None) -> Scored:
    image, truth = read_pair(case, card)
    fov = _field_of_view(case, image)
    start = time.monotonic()
    prediction = predict(image)
    seconds = time.monotonic() - start
    if prediction.shape != image.shape:
        raise DataError(
            f"{case.id}: the predicted mask has {prediction.shape} voxels; expected {image.shape}, "
            f"the shape of {image.path}."
        )
    found = score(
        truth.array,
        prediction,
        dict(zip(card.labels, card.label_names, strict=True)),
        image.spacing_mm,
        tolerance_mm=card.tolerance_mm,
        fov=fov,
    )
    if save_masks:
        write_mask(save_masks / f"{case.id}{'.nii.gz' if card.dims == 3 else '.png'}", prediction, image)
    packed = zlib.compress(np.ascontiguousarray(prediction, np.uint8).tobytes(), 1)
    return Scored(case, found, image.spacing_mm, image.spacing_known, seconds, prediction.shape, packed)


def _field_of_view(case: Case, image: Volume) -> NDArray[np.uint8] | None:
    if case.fov is None:
        return None
    fov = read_mask(case.fov, rule=MaskRule(rule="instances"))
    if problem := same_grid(image, fov):
        raise DataError(problem)
    return fov.array

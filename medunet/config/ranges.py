"""What the training data were like: the yardstick for studies that a model has never seen."""

from __future__ import annotations

from medunet.config.base import Record

Span = tuple[float, float]  # lowest and highest


class LabelRange(Record):
    """One label over the training cases that hold it."""

    volume_ml: Span  # mm2 / 1000 in 2D
    always: bool  # every case holds it
    largest_piece: float  # lowest share of a case's voxels of this label in its largest connected piece
    at_border: bool  # some case's label ends at the border of the image


class Ranges(Record):
    """A training set; one span per axis of the RAS+ image, or per channel."""

    cases: int
    spacing_mm: tuple[Span, ...]
    extent_mm: tuple[Span, ...]
    intensity: tuple[Span, ...]  # the median inside labels, in the unit of the files
    labels: dict[int, LabelRange]  # by the card's values

"""The ranges of a training set, from the fingerprints of its cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from medunet.config.ranges import LabelRange, Ranges, Span
from medunet.data.fingerprint import Fingerprint
from medunet.geometry import voxel_volume_ml


def ranges_of(cases: Sequence[Fingerprint], labels: Iterable[int]) -> Ranges:
    """Return the lowest and highest of everything that QC compares a new study with."""
    spacing = np.array([case.spacing_mm for case in cases])
    extent = spacing * np.array([case.shape for case in cases])
    medians = np.array([np.median(np.asarray(case.samples), axis=0) for case in cases])
    return Ranges(
        cases=len(cases),
        spacing_mm=_spans(spacing),
        extent_mm=_spans(extent),
        intensity=_spans(medians),
        labels={label: found for label in labels if (found := _label(label, cases))},
    )


def _label(label: int, cases: Sequence[Fingerprint]) -> LabelRange | None:
    having = [case for case in cases if case.label_voxels.get(label)]
    if not having:
        return None
    volumes = [case.label_voxels[label] * voxel_volume_ml(case.spacing_mm) for case in having]
    return LabelRange(
        volume_ml=_span(volumes),
        always=len(having) == len(cases),
        largest_piece=min(case.largest_piece.get(label, 0.0) for case in having),
        at_border=any(label in case.at_border for case in having),
    )


def _spans(rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[Span, ...]:
    return tuple(_span(column) for column in rows.T)


def _span(values: Iterable[float]) -> Span:
    numbers = [float(value) for value in values]
    return float(f"{min(numbers):.6g}"), float(f"{max(numbers):.6g}")

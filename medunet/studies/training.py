"""What a model was trained on, as far as its run folder says: newer runs keep ranges, older ones a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medunet.config.ranges import LabelRange, Span
from medunet.config.run import RunFolder


@dataclass(frozen=True)
class Training:
    """Spans per RAS axis or channel; empty where the run does not say."""

    spacing_mm: tuple[Span, ...]
    extent_mm: tuple[Span, ...] = ()
    intensity: tuple[Span, ...] = ()
    labels: Mapping[int, LabelRange] | None = None  # None: not known

    @classmethod
    def of(cls, run: RunFolder) -> Training:
        """Return what the run folder says: its ranges, else the card's `expect:`, else the plan."""
        if run.ranges is not None:
            kept = run.ranges
            intensity = kept.intensity if run.plan.normalisation == "ct" else ()  # else they have no unit
            return cls(kept.spacing_mm, kept.extent_mm, intensity, kept.labels)
        expect, plan = run.card.expect, run.plan
        intensity = tuple((s.percentile_00_5, s.percentile_99_5) for s in plan.statistics)
        spacing = tuple(zip(plan.spacing_mm, plan.spacing_mm, strict=True))
        if expect.spacing_min and expect.spacing_max:
            spacing = tuple(zip(expect.spacing_min, expect.spacing_max, strict=True))
        extent: tuple[Span, ...] = ()
        if expect.shape_min and expect.shape_max:
            pairs = zip(expect.shape_min, expect.shape_max, spacing, strict=True)
            extent = tuple((low * s, high * e) for low, high, (s, e) in pairs)
        return cls(spacing, extent, intensity if plan.normalisation == "ct" else ())

"""A small plot of how values spread over cases, one row per label, as SVG for a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, RIGHT = 560, 26  # pixels: whole plot, right edge
LETTER = 7.4  # pixels, about, of the names
ROW, TOP, BOTTOM = 34, 6, 24
MOST_POINTS = 3000  # more dots than that say nothing and make the page slow
LONGEST_NAME = 22


@dataclass(frozen=True)
class Row:
    """The values of one label, each with the words shown when the mouse rests on it."""

    name: str
    values: Sequence[float]
    words: Sequence[str]
    mean: float | None
    ci95: Sequence[float] | None


def strip_plot(rows: Sequence[Row], *, low: float | None = None, high: float | None = None) -> str:
    """Return the SVG: a dot per case, a box from quartile to quartile, the mean with its interval.

    low, high: ends of the axis that values cannot pass, such as 0 and 1 for Dice.
    """
    values = [value for row in rows for value in row.values]
    if not values:
        return ""
    ticks = _ticks(min(values), max(values), low, high)
    span = ticks[-1] - ticks[0]
    names = [_short(row.name) for row in rows]
    left = 24 + LETTER * max(len(name) for name in names)

    def place(value: float) -> float:
        return left + (value - ticks[0]) / span * (WIDTH - left - RIGHT)

    height = TOP + ROW * len(rows) + BOTTOM
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">']
    for tick in ticks:
        x = place(tick)
        kind = "zero" if tick == 0 and ticks[0] < 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 8}">{_number(tick, ticks)}</text>')
    for index, (name, row) in enumerate(zip(names, rows, strict=True)):
        y = TOP + ROW * (index + 0.5)
        parts.append(f'<text class="name" x="{left - 12:.1f}" y="{y + 4:.1f}">{escape(name)}</text>')
        parts += _row(row, y, place, dots=len(values) <= MOST_POINTS) if row.values else []
    return "\n".join([*parts, "</svg>"])


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _row(row: Row, y: float, place: Callable[[float], float], *, dots: bool) -> list[str]:
    left, middle, right = (place(float(q)) for q in np.percentile(row.values, [25, 50, 75]))
    box = f'x="{left:.1f}" y="{y - 9:.1f}" width="{max(1, right - left):.1f}" height="18"'
    parts = [f'<rect class="box" {box}/>']
    parts.append(
        f'<line class="median" x1="{middle:.1f}" x2="{middle:.1f}" y1="{y - 9:.1f}" y2="{y + 9:.1f}"/>'
    )
    for index, (value, words) in enumerate(zip(row.values, row.words, strict=True) if dots else ()):
        offset = (index * 0.618034 % 1 - 0.5) * 16  # spread evenly, the same in every report
        dot = f'cx="{place(value):.1f}" cy="{y + offset:.1f}" r="2.8"'
        parts.append(f'<circle class="dot" {dot}><title>{escape(words)}</title></circle>')
    if row.ci95:
        a, b = (place(value) for value in row.ci95)
        parts.append(f'<line class="interval" x1="{a:.1f}" x2="{b:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
    if row.mean is not None:
        x = place(row.mean)
        diamond = f"{x - 5:.1f},{y:.1f} {x:.1f},{y - 6:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 6:.1f}"
        parts.append(f'<polygon class="mean" points="{diamond}"/>')
    return parts


def _ticks(least: float, most: float, low: float | None, high: float | None) -> list[float]:
    """Return round numbers that enclose the values, at most seven."""
    span = most - least or abs(most) or 1.0
    raw = span / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
    if last == first:
        last += 1
    ticks = [round(index * step, 10) for index in range(first, last + 1)]
    kept = [t for t in ticks if (low is None or t >= low) and (high is None or t <= high)]
    return kept if len(kept) > 1 else [t for t in (low, high) if t is not None] or ticks


def _number(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0]
    if step >= 1e4:
        return f"{value / 1000:g}k".replace("-", "\u2212")
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    places += 0 if math.isclose(step * 10**places, round(step * 10**places), abs_tol=1e-6) else 1
    return f"{value:.{places}f}".replace("-", "\u2212")

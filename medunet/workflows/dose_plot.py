"""The plot of a dose-response: Dice over ratio, one panel per number of patients, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

Row = Mapping[str, Any]
Key = tuple[int | None, str, float]  # patients, arm, ratio
COLOURS = {
    "none": "#8a8f98",
    "strong": "#1f2a44",
    "procedural": "#b26a00",
    "generated": "#8e44ad",
    "gated": "#0b7a5b",
}
PANEL, HEIGHT, LEFT, TOP, BOTTOM, GAP = 250, 230, 46, 34, 64, 30  # pixels
SMALLEST_SPAN = 0.02  # of the Dice axis


def plot(rows: Sequence[Row]) -> str:
    """Return the SVG: a panel per number of patients, Dice over ratio, a line per arm, bars over seeds.

    Arms without synthetic cases are level lines.
    """
    means = means_of(rows)
    panels = list(dict.fromkeys(row["patients"] for row in rows))
    values = [value for found in means.values() for value in found] or [0.0, 1.0]
    middle, half = (max(values) + min(values)) / 2, max(max(values) - min(values), SMALLEST_SPAN) * 0.55
    most = max((key[2] for key in means), default=0.0) or 1.0
    width = LEFT + len(panels) * (PANEL + GAP)
    parts = [
        f'<svg viewBox="0 0 {width} {TOP + HEIGHT + BOTTOM}" xmlns="http://www.w3.org/2000/svg" role="img" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for index, patients in enumerate(panels):
        panel = _Panel(LEFT + index * (PANEL + GAP), middle - half, middle + half, most)
        parts += panel.frame("all patients" if patients is None else f"{patients} patients")
        for (many, arm, ratio), found in means.items():
            if many == patients and not ratio:
                parts.append(panel.level(arm, float(np.mean(found))))
        for arm in COLOURS:
            dots = sorted(
                (r, found) for (many, name, r), found in means.items() if (many, name) == (patients, arm)
            )
            parts += panel.line(arm, [(ratio, found) for ratio, found in dots if ratio])
    return "\n".join([*parts, *_legend({key[1] for key in means}), "</svg>"]) + "\n"


def means_of(rows: Sequence[Row]) -> dict[Key, list[float]]:
    """Return the mean Dice of every seed, by patients, arm and ratio."""
    found: dict[Key, list[float]] = {}
    for row in rows:
        if row["run"] and row["mean_dice"] is not None:
            found.setdefault((row["patients"], row["arm"], row["ratio"]), []).append(row["mean_dice"])
    return found


class _Panel:
    """The axes of one panel."""

    def __init__(self, left: float, low: float, high: float, most: float) -> None:
        self.left, self.low, self.high, self.most = left, low, high, most

    def x(self, ratio: float) -> float:
        return self.left + 12 + ratio / self.most * (PANEL - 24)

    def y(self, dice: float) -> float:
        return TOP + (self.high - dice) / (self.high - self.low) * HEIGHT

    def frame(self, title: str) -> list[str]:
        box = f'x="{self.left}" y="{TOP}" width="{PANEL}" height="{HEIGHT}"'
        parts = [f'<text x="{self.left}" y="20" font-weight="bold">{escape(title)}</text>']
        parts.append(f'<rect {box} fill="none" stroke="#c8ccd2"/>')
        for dice in np.linspace(self.low, self.high, 5):
            y = self.y(float(dice))
            parts.append(f'<text x="{self.left - 4}" y="{y + 4:.1f}" text-anchor="end">{dice:.3f}</text>')
        for ratio in np.linspace(0, self.most, 4):
            x = self.x(float(ratio))
            parts.append(f'<text x="{x:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{ratio:g}</text>')
        return parts

    def level(self, arm: str, dice: float) -> str:
        y, right = self.y(dice), self.left + PANEL
        return (
            f'<line x1="{self.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{COLOURS[arm]}" '
            'stroke-width="2" stroke-dasharray="6 4"/>'
        )

    def line(self, arm: str, dots: Sequence[tuple[float, Sequence[float]]]) -> list[str]:
        colour = COLOURS[arm]
        places = [(self.x(ratio), self.y(float(np.mean(found)))) for ratio, found in dots]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
        for (x, y), (_, found) in zip(places, dots, strict=True):
            top, bottom = self.y(max(found)), self.y(min(found))
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" stroke="{colour}"/>'
            )
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        return parts if dots else []


def _legend(arms: set[str]) -> list[str]:
    y = TOP + HEIGHT + 38
    words = "synthetic cases per real one; mean Dice; bars: lowest to highest seed"
    parts = [f'<text x="{LEFT}" y="{y}">{words}</text>']
    for index, arm in enumerate(name for name in COLOURS if name in arms):
        x = LEFT + index * 100
        parts.append(f'<rect x="{x}" y="{y + 8}" width="10" height="10" fill="{COLOURS[arm]}"/>')
        parts.append(f'<text x="{x + 14}" y="{y + 17}">{arm}</text>')
    return parts

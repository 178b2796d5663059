"""What a generator is told about a scan besides its mask, and what it has seen of each."""

from __future__ import annotations

from medunet.config.base import Record

Value = str | float


class Attribute(Record):
    """One property over the training cases: a category (`values`) or a number (`low` to `high`)."""

    name: str
    values: tuple[str, ...] = ()  # categories that occurred, sorted; empty: a number
    mean: float = 0.0  # of a number, over the training cases
    std: float = 1.0
    low: float | None = None
    high: float | None = None

    def typed(self, value: Value) -> Value:
        """Return a value, as a person or a table wrote it, as the category or the number that it is."""
        return str(value) if self.values else float(value)

    def code(self, value: Value | None) -> float:
        """Return what the network is given: a category's index, a standardised number, or NaN: unknown."""
        if value is None or (self.values and str(value) not in self.values):
            return float("nan")
        return float(self.values.index(str(value))) if self.values else (float(value) - self.mean) / self.std

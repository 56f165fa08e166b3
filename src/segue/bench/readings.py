"""The measured figures with their spread, and the goals that they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit for the median."""

    limit: float
    at_least: bool = False  # otherwise at most

    def is_met(self, value: float) -> bool:
        """Whether the value meets it."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:,g}"


@dataclass(slots=True)
class Reading:
    """One figure on one database, with a value for each repetition."""

    work: str  # "chain"
    what: str  # "chain of 40, per step"
    unit: str
    database: str  # "SQLite", "PostgreSQL", or "" if it concerns no database
    values: list[float] = field(default_factory=list)
    goal: Goal | None = None

    @property
    def median(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def verdict(self) -> str:
        """Pass, miss, or empty without a goal."""
        if self.goal is None:
            return ""
        return "pass" if self.goal.is_met(self.median) else "miss"

    def spread(self) -> str:
        """Median and extremes, for people."""
        if len(self.values) == 1:
            return number(self.median)
        return f"{number(self.median)} ({number(min(self.values))}..{number(max(self.values))})"

    def as_json(self) -> dict[str, Any]:
        """Everything, for machines."""
        return {
            "work": self.work,
            "what": self.what,
            "unit": self.unit,
            "database": self.database,
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "values": self.values,
            "goal": str(self.goal) if self.goal else None,
            "verdict": self.verdict or None,
        }


def number(value: float) -> str:
    """The number with three significant digits and thousands separators."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    for digits, least in ((0, 100), (1, 10), (2, 1), (3, 0.1)):
        if size >= least:
            return f"{value:.{digits}f}"
    return f"{value:.4f}"


def rows_of(readings: Sequence[Reading]) -> list[list[Reading]]:
    """Group the readings of each figure, in the order in which figures first appeared."""
    rows: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        rows.setdefault((reading.work, reading.what), []).append(reading)
    return list(rows.values())

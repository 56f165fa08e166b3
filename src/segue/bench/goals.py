"""The goals that the figures are compared with: for a machine with 2 cores, not promises for every machine."""

from __future__ import annotations

from segue.bench.readings import Goal

FLAT = 1.3
"""The cost of a step counts as flat up to this ratio: the rest is noise, caches, and indexes that are one level
deeper."""

_SQLITE_CHAIN = Goal(0.45)
_POSTGRES_CHAIN = Goal(0.65)
_GOALS = {
    "task → 1,000 → join, to the end of the join": Goal(0.12),
    "task → 10,000 → join, to the end of the join": Goal(1.0),
    "500 diamonds, to the last end": Goal(1500, at_least=True),
    "drain of 5,000 tasks, first begin to last end": Goal(15_000, at_least=True),
    "delayed step, late, 95th percentile": Goal(25),
    "retry, late, 95th percentile": Goal(25),
    "idle worker": Goal(0.3),
    "idle database server": Goal(0.5),
    "import segue": Goal(60),
}


def goal_of(what: str, unit: str, database: str) -> Goal | None:
    """The goal for a figure, if its size has one."""
    if unit == "×":
        return Goal(FLAT)
    if what == "chain of 40, per step":
        return _SQLITE_CHAIN if database == "SQLite" else _POSTGRES_CHAIN
    return _GOALS.get(what)

"""The state of all limits at one moment, for people: their sizes, the places taken, and what waits. Reads only."""

from __future__ import annotations

from typing import NamedTuple

from segue.engine.limiting.limit_rows import LimitRow, count_taken, uses_or_none
from segue.engine.limiting.places import LimitKey
from segue.store.protocol import Transaction


class LimitsState(NamedTuple):
    """What is known of all limits, by their stored names."""

    limits: list[LimitRow]  # those that have a size, by name
    binding: set[str]  # those that apply to all steps of their queue or task
    taken: dict[LimitKey, int]  # places that steps hold
    waiting: list[tuple[set[LimitKey], int]]  # which limits steps wait for, and how many steps that are
    runs: dict[str, tuple[int, int, int]]  # of limits of workflows: runs that are admitted, that wait, keys


def read_state(tx: Transaction) -> LimitsState:
    """The state of all limits now."""
    sizes, places = tx.later("list_limits"), tx.later("places_of_all")
    limits = [LimitRow(*row) for row in sizes.rows()]
    binding = {limit.name for limit in limits if limit.binds_all}
    rows = places.rows()
    taken = count_taken(
        ((queue, task, lane, count) for what, queue, task, lane, count, _, _ in rows if what == "taken"), binding
    )
    waiting = [
        ({(use.limit, use.key) for use in uses_or_none(queue, None, lane, binding)}, count)
        for what, queue, _, lane, _, count, _ in rows if what == "waiting"
    ]  # fmt: skip
    runs = {name: (admitted, held, keys) for what, name, _, _, admitted, held, keys in rows if what == "runs"}
    return LimitsState(limits, binding, taken, waiting, runs)

"""Compositions of other libraries, which `segue.start`, `chain` and `group` accept like Segue's own.

Their packages register them when they are imported, so nothing of theirs is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_planners: list[tuple[Callable[[Any], bool], Callable[[Any], Any]]] = []


def register(predicate: Callable[[Any], bool], make: Callable[[Any], Any]) -> None:
    """See `segue.authoring.planning.register_planner`."""
    _planners.append((predicate, make))


def is_foreign(value: object) -> bool:
    """Whether a registered planner accepts this value."""
    return any(predicate(value) for predicate, _ in _planners)


def made_of(value: Any) -> Any:
    """What the first planner that accepts this value makes of it: an element or a plan. None if none accepts it."""
    for predicate, make in _planners:
        if predicate(value):
            return make(value)
    return None

"""Compositions of other libraries, which `segue.start`, `chain` and `group` accept like Segue's own.

Their packages register them when they are imported, so nothing of theirs is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class _Planner(NamedTuple):
    predicate: Callable[[Any], bool]
    make: Callable[[Any], Any]
    member: Callable[[Any], Any]
    is_returned_as_plan: Callable[[Any], bool]


_planners: list[_Planner] = []


def register(
    predicate: Callable[[Any], bool], make: Callable[[Any], Any], *, member: Callable[[Any], Any] | None = None,
    is_returned_as_plan: Callable[[Any], bool] | None = None,
) -> None:  # fmt: skip
    """See `segue.authoring.planning.register_planner`."""
    _planners.append(_Planner(predicate, make, member or make, is_returned_as_plan or predicate))


def is_returned_as_plan(value: object) -> bool:
    """Whether a task that returned this value is replaced by it."""
    return any(planner.is_returned_as_plan(value) for planner in _planners)


def made_of(value: Any) -> Any:
    """What the first planner that accepts this value makes of it: an element or a plan. None if none accepts it."""
    planner = _planner_of(value)
    return None if planner is None else planner.make(value)


def member_of(value: Any) -> Any:
    """The same, for a member of a chain or a group."""
    planner = _planner_of(value)
    return None if planner is None else planner.member(value)


def _planner_of(value: Any) -> _Planner | None:
    return next((planner for planner in _planners if planner.predicate(value)), None)

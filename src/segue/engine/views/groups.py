"""The steps of a run in groups: the items of a `map` are one group, any other step is one by itself. Reads only.

Promise: a group costs about the same however many steps it has to show; the database counts them, in one pass over the
rows of the run. A column that names the group of each step would make that pass a third shorter, and every start longer
(decision 0067).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import msgspec

from segue.engine.stored import length_of, moment_of, number_of
from segue.engine.views.look import StepInfo, step_of_row
from segue.errors import StepNotFoundError
from segue.jsonable import Jsonable
from segue.model import StepStatus
from segue.store.protocol import Transaction

MOST_ROWS = 5000
"""Groups times the statuses in each, at most. A run with more distinct names is shown without the rest."""


class StepGroup(Jsonable, msgspec.Struct, frozen=True):
    """The steps of a run that one name stands for: "price[*]" for the items of a `map`. Times are aware UTC."""

    name: str
    scope: int  # the step whose task returned the plan that they are of; -1: the run's own
    first: int  # the number of its first step, by which `Run.members` finds the group
    last: int
    count: int
    counts: dict[StepStatus, int]
    gates: dict[str, int]  # what holds back ready ones: timer, limit, event, paused ...
    started_at: datetime | None  # of the one that began first
    finished_at: datetime | None  # of the one that ended last, even if others have not ended
    longest_seconds: float | None  # how long the task of one step ran
    total_seconds: float | None

    shown_as: ClassVar[dict[str, Any]] = {"scope": int | None, "counts": dict[str, int]}

    def shown(self) -> dict[str, Any]:
        """Its fields as Python values: no scope for steps of the run itself."""
        return super().shown() | {"scope": None if self.scope < 0 else self.scope}


class StepGroups(Jsonable, msgspec.Struct, frozen=True):
    """The groups of a run, in the order of their first steps."""

    groups: tuple[StepGroup, ...]
    is_cut: bool = False  # there are more than are listed
    first_in: dict[StepStatus, int] = {}  # the number of the first step in each status


def groups_of_run(tx: Transaction, run_id: str, *, limit: int = MOST_ROWS) -> StepGroups:
    """The groups of the steps of a run, without joins, which no worker executes."""
    rows = tx.all("groups_of_run", run_id=run_id, limit=limit + 1)
    found: dict[tuple[int, str], list[_Part]] = {}
    first_in: dict[StepStatus, int] = {}
    for part in [_Part(*row) for row in rows[:limit]]:  # in the order of their first steps
        found.setdefault((number_of(part.scope), part.name), []).append(part)
        first_in.setdefault(StepStatus(part.status), part.first)
    return StepGroups(tuple(_group(tx, parts) for parts in found.values()), len(rows) > limit, first_in)


def members_of_group(
    tx: Transaction, run_id: str, first: int, *, status: str | None = None, after: int = -1, limit: int = 100
) -> list[StepInfo]:
    """The steps of the group of the step `first`, from there on, and after `after`. Raises StepNotFoundError."""
    return named_members(tx, run_id, first, status=status, after=after, limit=limit)[1]


def named_members(
    tx: Transaction, run_id: str, first: int, *, status: str | None = None, after: int = -1, limit: int = 100
) -> tuple[str, list[StepInfo]]:
    """The same, and the name of the step `first`."""
    found = tx.all("group_of_step", run_id=run_id, step=first)
    if not found:
        raise StepNotFoundError(f"Run {run_id} has no step with the number {first}.")
    [(scope, group, name)] = found
    return name, _members(tx, run_id, first, scope, group, status=status, after=after, limit=limit)


def members_of(tx: Transaction, run_id: str, group: StepGroup, *, limit: int) -> list[StepInfo]:
    """The first steps of a group that was read; none if they are not there any more."""
    name = group.name.removesuffix("*]") if group.name.endswith("[*]") else group.name
    return _members(tx, run_id, group.first, group.scope, name, status=None, after=-1, limit=limit)


def _members(
    tx: Transaction, run_id: str, first: int, scope: int, group: str, *, status: str | None, after: int, limit: int
) -> list[StepInfo]:  # fmt: skip
    rows = tx.all(
        "members_of_group", run_id=run_id, first=first, scope=scope, name=group, status=status, after=after, limit=limit
    )
    return [step_of_row(tx, row) for row in rows]


class _Part(NamedTuple):
    """The steps of a group that have one status and gate: a row of `groups_of_run`."""

    scope: int
    name: str
    status: str
    gate: str | None
    members: int
    first: int
    last: int
    started_at: Any
    finished_at: Any
    longest: Any
    total: Any


def _group(tx: Transaction, parts: list[_Part]) -> StepGroup:
    counts: dict[StepStatus, int] = {}
    gates: dict[str, int] = {}
    for part in parts:
        status = StepStatus(part.status)
        counts[status] = counts.get(status, 0) + part.members
        if part.gate is not None:
            gates[part.gate] = gates.get(part.gate, 0) + part.members
    begun = [at for part in parts if (at := moment_of(tx, part.started_at)) is not None]
    ended = [at for part in parts if (at := moment_of(tx, part.finished_at)) is not None]
    longest = [taken for part in parts if (taken := length_of(part.longest)) is not None]
    totals = [taken for part in parts if (taken := length_of(part.total)) is not None]
    name = parts[0].name
    return StepGroup(
        f"{name}*]" if name.endswith("[") else name, number_of(parts[0].scope), min(part.first for part in parts),
        max(part.last for part in parts), sum(counts.values()), counts, gates, min(begun, default=None),
        max(ended, default=None), max(longest, default=None), sum(totals) if totals else None,
    )  # fmt: skip

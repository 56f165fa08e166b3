"""The steps of a run as a list of rows that fits a page, however many there are: groups, some of them open.

Promise: a page has at most MOST_GROUPS groups and MOST_MEMBERS steps of open groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from segue.client.masked_views import without_secrets
from segue.client.views import StepGroup, StepGroups, StepInfo
from segue.engine.views.groups import members_of
from segue.store.protocol import Transaction
from segue.web.drawing.graph_svg import status_of

MOST_GROUPS = 80
MOST_MEMBERS = 60
MOST_DEPTH = 4


class StepRow(msgspec.Struct, frozen=True):
    """A row: a step that is alone, or a group of steps."""

    name: str
    first: int
    depth: int
    count: int
    counts: dict[str, int]
    gates: dict[str, int]
    status: str  # of a group: of the step that needs attention most
    seconds: float | None  # how long the task ran; of a group, the longest
    started_at: datetime | None
    finished_at: datetime | None
    is_open: bool = False
    members: tuple[StepInfo, ...] = ()
    more_after: int | None = None  # the last member that is shown, if there are more


def rows_of(
    tx: Transaction, run_id: str, groups: StepGroups, *, opened: Iterable[int], start: int
) -> tuple[list[StepRow], int | None]:  # fmt: skip
    """A page of rows from the group with this position on, and the position of the next page."""
    ordered = _nested(groups.groups)
    shown = ordered[start : start + MOST_GROUPS]
    wanted = set(opened)
    open_groups = [group.first for _, group in shown if group.count > 1 and group.first in wanted]
    share = max(MOST_MEMBERS // max(len(open_groups), 1), 5)
    left = MOST_MEMBERS
    rows = []
    for depth, group in shown:
        row = _row(depth, group)
        if group.first in open_groups and left >= 5:
            limit = min(share, left)
            members = members_of(tx, run_id, group, limit=limit + 1)
            left -= len(members[:limit])
            more = members[limit - 1].step if len(members) > limit else None
            row = msgspec.structs.replace(
                row, is_open=True, members=tuple(map(without_secrets, members[:limit])), more_after=more
            )
        rows.append(row)
    after = start + MOST_GROUPS
    return rows, after if after < len(ordered) else None


def _row(depth: int, group: StepGroup) -> StepRow:
    counts = {status.value: count for status, count in group.counts.items()}
    return StepRow(
        group.name, group.first, depth, group.count, counts, group.gates, status_of(counts), group.longest_seconds,
        group.started_at, group.finished_at,
    )  # fmt: skip


def _nested(groups: Iterable[StepGroup]) -> list[tuple[int, StepGroup]]:
    """The groups in order, those that a task returned below the group of its step."""
    everyone = list(groups)
    alone = {group.first: group for group in everyone if group.count == 1}
    many = [group for group in everyone if group.count > 1]
    below: dict[int, list[StepGroup]] = {}
    for group in everyone:
        below.setdefault(_owner(group, alone, many), []).append(group)
    found: list[tuple[int, StepGroup]] = []
    stack = [(0, group) for group in reversed(below.pop(-1, []))]
    while stack:
        depth, group = stack.pop()
        found.append((min(depth, MOST_DEPTH), group))
        stack += [(depth + 1, child) for child in reversed(below.pop(group.first, []))]
    return found + [(0, group) for rest in below.values() for group in rest]  # what belongs nowhere


def _owner(group: StepGroup, alone: dict[int, StepGroup], many: list[StepGroup]) -> int:
    if group.scope < 0:
        return -1
    if group.scope in alone:
        return group.scope
    around = [each for each in many if each.first <= group.scope <= each.last and each.first != group.first]
    return min(around, key=lambda each: each.last - each.first).first if around else -1

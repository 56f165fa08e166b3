"""The steps that a step waits for, and those that wait for it. Reads only."""

from __future__ import annotations

import msgspec

from segue.engine.views.look import StepInfo
from segue.jsonable import Jsonable
from segue.model import StepStatus
from segue.store.protocol import Transaction

MOST = 20
MOST_SEARCHED = 20_000
"""The parents of a step in a run with more steps are not looked for: that would read all edges of the run."""


class Neighbour(Jsonable, msgspec.Struct, frozen=True):
    """A step beside another."""

    step: int
    name: str
    status: StepStatus


class Neighbours(Jsonable, msgspec.Struct, frozen=True):
    """The first parents and children of a step."""

    parents: tuple[Neighbour, ...] | None  # None: the run is too large to look for them
    children: tuple[Neighbour, ...]
    is_cut: bool  # there are more than are listed


def neighbours_of(tx: Transaction, run_id: str, step: StepInfo, *, steps: int) -> Neighbours:
    """The parents and children of a step, in a run with so many steps."""
    finds_parents = steps <= MOST_SEARCHED
    below = sorted({child for child in step.children if child >= 0})
    rows = tx.all(
        "neighbours_of_step", run_id=run_id, step=step.step, steps=below[:MOST], finds_parents=finds_parents,
        limit=MOST + 1,
    )  # fmt: skip
    parents = [_neighbour(*row) for is_parent, *row in rows if is_parent]
    children = tuple(_neighbour(*row) for is_parent, *row in rows if not is_parent)
    return Neighbours(
        tuple(parents[:MOST]) if finds_parents else None, children, len(parents) > MOST or len(below) > MOST
    )  # fmt: skip


def _neighbour(step: int, name: str, status: str) -> Neighbour:
    return Neighbour(step, name, StepStatus(status))

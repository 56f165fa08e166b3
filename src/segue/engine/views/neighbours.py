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
    parents = None
    if steps <= MOST_SEARCHED:
        parents = tx.all("parents_of_step", run_id=run_id, step=step.step, limit=MOST + 1)
    below = sorted({child for child in step.children if child >= 0})
    children = tx.all("children_named", run_id=run_id, steps=below[:MOST]) if below else []
    return Neighbours(
        None if parents is None else tuple(_neighbour(*row) for row in parents[:MOST]),
        tuple(_neighbour(*row) for row in children), len(parents or ()) > MOST or len(below) > MOST,
    )  # fmt: skip


def _neighbour(step: int, name: str, status: str) -> Neighbour:
    return Neighbour(step, name, StepStatus(status))

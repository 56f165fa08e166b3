"""A plan: the nodes of a workflow and what each waits for, before it runs.

Invariant: nodes are in topological order (a node's parents have smaller numbers), so a cycle cannot be written here;
the authoring layer finds cycles while it sorts. `plan.check` finds everything else that may be wrong.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.model import DEFAULT_PRIORITY, DEFAULT_QUEUE, Expr, Hole, Hook, JoinRule, Policy

NO_ARGUMENTS = "[[],{}]"


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step as planned. `task` is None for a join: no worker runs it, its result is `result`."""

    name: str  # unique in the plan: "extract", "parse[3]"
    task: str | None
    args: str = NO_ARGUMENTS  # JSON [args, kwargs], null at the holes
    holes: tuple[Hole, ...] = ()
    parents: tuple[int, ...] = ()
    rule: JoinRule = JoinRule.ALL_SUCCEEDED
    when: Expr | None = None  # skipped when this turns out to be false (None, 0, "", [], {} and false)
    result: Expr | None = None  # of a join
    hook: Hook | None = None  # waits for the run's outcome, then for its parents
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY  # 0 to 9, 9 first
    delay: float | None = None  # seconds to wait once its parents allow it to start
    run_at: datetime | None = None  # aware; not before
    policy: Policy = Policy()


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workflow as data: what `segue.start` writes down, and what a task may return to be replaced by it."""

    name: str
    nodes: tuple[Node, ...]
    result: Expr | None = None  # of the whole; None gives null
    fail_fast: bool = False

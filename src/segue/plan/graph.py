"""A plan: the nodes of a workflow and what each waits for, before it runs.

Invariant: nodes are in topological order (a node's parents have smaller numbers), so a cycle cannot be written here;
the authoring layer finds cycles while it sorts. `plan.check` finds everything else that may be wrong.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.model import DEFAULT_PRIORITY, DEFAULT_QUEUE, Expr, Hole, Hook, JoinRule, Policy

NO_ARGUMENTS = "[[],{}]"


class LimitTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """How large a limit is: places that are taken at a time, starts in each period, or both."""

    name: str
    concurrency: int | None = None  # places; None: any number
    rate: float | None = None  # starts in each period; None: any number
    period: float = 1.0  # seconds
    burst: float | None = None  # tokens that may be saved up; None: what comes in a tenth of a second, at least 1


class LimitUse(msgspec.Struct, frozen=True, array_like=True):
    """A place of a limit that a step needs while it runs, or a run from its beginning to its end.

    A key that is known is a `Value` of text. One that depends on results is a `Gather`, whose parts are put together.
    """

    limit: str  # the limit's name
    key: Expr | None = None  # of what the limit is counted for each value; None: of all together
    cost: int = 1  # places, and tokens where the limit is a rate


class Turns(msgspec.Struct, frozen=True, array_like=True):
    """Whose turn a step uses on its queue: keys take turns, in proportion to their weights."""

    key: Expr  # as that of a LimitUse
    weight: float = 1.0
    weights: dict[str, float] = {}  # of some keys, where the key is not known yet


class Sla(msgspec.Struct, frozen=True, omit_defaults=True):
    """By when a run or step should have started and ended, in seconds since its rows were written."""

    start: float | None = None
    end: float | None = None


class RunTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of a run as a whole, besides its steps."""

    arguments: str | None = None  # JSON [args, kwargs] that the workflow was called with
    tags: tuple[str, ...] = ()
    metadata: str | None = None  # JSON object
    deadline: float | None = None  # seconds from its start until it is ended as failed
    sla: Sla | None = None
    limit: LimitUse | None = None  # its key is a Value: known at the start


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
    metadata: str | None = None  # JSON object
    uses: tuple[LimitUse, ...] = ()
    turns: Turns | None = None
    cost: int = 1  # how much of its turn, and of its queue's limit, it takes
    sla: Sla | None = None


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workflow as data: what `segue.start` writes down, and what a task may return to be replaced by it."""

    name: str
    nodes: tuple[Node, ...]
    result: Expr | None = None  # of the whole; None gives null
    fail_fast: bool = False
    terms: RunTerms | None = None  # of the run that is started with it; a plan that a task returns has none
    limits: tuple[LimitTerms, ...] = ()  # those that it uses, as far as the code says how large they are

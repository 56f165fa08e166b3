"""A plan: the nodes of a workflow and what each waits for, before it runs.

Invariant: nodes are in topological order (a node's parents have smaller numbers), so a plan cannot contain a cycle. The
authoring layer finds cycles while it sorts; `plan.check` finds all other problems.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.model import DEFAULT_PRIORITY, DEFAULT_QUEUE, Expr, Hole, Hook, JoinRule, Policy

NO_ARGUMENTS = "[[],{}]"


class LimitTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """The size of a limit: places occupied at a time, starts in each period, or both."""

    name: str
    concurrency: int | None = None  # places; None: any number
    rate: float | None = None  # starts in each period; None: any number
    period: float = 1.0  # seconds
    burst: float | None = None  # tokens that may accumulate; None: those of a tenth of a second, at least 1


class KeyPart(msgspec.Struct, frozen=True, array_like=True):
    """A part of a key: a text, an argument, or a field of an argument."""

    text: str = ""  # as written; '' for an argument
    places: tuple[tuple[str | int, ...], ...] = ()  # where it may be in `[args, kwargs]`; the first one given counts
    path: tuple[str, ...] = ()  # fields, from the outside in
    default: str | None = None  # the text if it is not given; None: there is none, or it is too long to be stored


KeySource = tuple[KeyPart, ...]
"""Which arguments of a step its key comes from. Stored, so that other arguments give another key."""


class LimitUse(msgspec.Struct, frozen=True, array_like=True):
    """A place of a limit that a step occupies while it runs, or a run from its beginning to its end.

    A known key is a `Value` of text. A key that depends on results is a `Gather`, whose parts are joined.
    """

    limit: str  # the limit's name
    key: Expr | None = None  # the limit counts each value of the key separately; None: counts all together
    cost: int = 1  # places, and tokens where the limit is a rate
    source: KeySource | None = None  # where among the arguments the key comes from; None: nowhere


class FairShare(msgspec.Struct, frozen=True, array_like=True):
    """The fair share of its queue that a step uses: keys are served in proportion to their weights."""

    key: Expr  # like the key of a LimitUse
    weight: float = 1.0
    weights: dict[str, float] = {}  # of some keys, if the key is not known yet
    source: KeySource | None = None  # like the source of a LimitUse


class Sla(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a run or step should have started and ended, in seconds since its rows were written."""

    start: float | None = None
    end: float | None = None


class RunTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """Properties of a run as a whole."""

    arguments: str | None = None  # JSON [args, kwargs] that the workflow was called with
    tags: tuple[str, ...] = ()
    metadata: str | None = None  # JSON object
    deadline: float | None = None  # seconds from its start until it is ended as failed
    sla: Sla | None = None
    limit: LimitUse | None = None  # its key is a Value: known at the start
    run_at: datetime | None = None  # aware; it begins then, and its steps know that, see `begun_at`


class Node(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One planned step. A join has the `task` None: no worker executes it, and its result is `result`."""

    name: str  # unique in the plan: "extract", "parse[3]"
    task: str | None
    args: str = NO_ARGUMENTS  # JSON [args, kwargs], null at the holes
    holes: tuple[Hole, ...] = ()
    parents: tuple[int, ...] = ()
    rule: JoinRule = JoinRule.ALL_SUCCEEDED
    when: Expr | None = None  # the step is skipped if this value is false (None, 0, "", [], {} or false)
    result: Expr | None = None  # of a join
    hook: Hook | None = None  # waits for the run's outcome, then for its parents
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY  # 0 to 9, 9 first
    delay: float | None = None  # seconds to wait after its parents allow it to start
    run_at: datetime | None = None  # aware; not before
    policy: Policy = Policy()
    metadata: str | None = None  # JSON object
    uses: tuple[LimitUse, ...] = ()
    share: FairShare | None = None
    cost: int = 1  # how much of its fair share, and of its queue's limit, it takes
    sla: Sla | None = None
    executor: str | None = None  # what runs it instead of Segue's workers; None: they do
    spec: str | None = None  # JSON: what the executor needs to know besides the arguments
    handle: str | None = None  # what the executor calls it from the beginning, if it has such a name


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workflow as data: `segue.start` stores it, and a task may return one to be replaced by it."""

    name: str
    nodes: tuple[Node, ...]
    result: Expr | None = None  # of the whole; None gives null
    fail_fast: bool = False
    terms: RunTerms | None = None  # of the run that is started with it; a plan that a task returns has none
    limits: tuple[LimitTerms, ...] = ()  # the limits that it uses, if the code gives their sizes

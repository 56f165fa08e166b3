"""The vocabulary of Segue as Python values: statuses, rules, policies, and what the engine and workers exchange.

This module does no I/O, uses no clock and does not log. Values on the hot path are `msgspec.Struct`s, because they are
built and encoded thousands of times a second; they are as frozen and slotted as dataclasses.

The life of a step::

    blocked ──release──▶ ready ──claim──▶ running ──complete──▶ succeeded
       │                  ▲ │               │ ├────fail───────▶ failed
       │                  │ │   retry, lost,│ ├────skip───────▶ skipped
       │                  └─┼───handed back─┘ └────cancel─────▶ cancelled
       └──skip, cancel──────┴──────────────────────────────────▶ skipped, cancelled

A step of an executor is *sent* between ready and running (engine/executing.py); engine/transitions.py has every arrow.
A running step whose task returns a plan goes back to *blocked*, as a join, until that plan has ended. If the plan is a
single call, and the step is the only one of its own plan, the step succeeds instead, and the call takes its place.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from segue.jsonable import Jsonable

RUN = -1
"""The number that stands for the run where a step number is expected (a child, a reference)."""

Attempt = tuple[str, int, int]
"""(run id, step, attempt): identifies one attempt at one step, and so the outcome of it."""

SHORT_ID_DIGITS = 8
"""The length of a short id. Among a million runs, one in 4,300 shares it with another."""


def short_id(run_id: str) -> str:
    """The end of a run's id, which distinguishes runs; the beginning is a time, the same for all runs of a minute."""
    return run_id[-SHORT_ID_DIGITS:]


DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5


class StepStatus(StrEnum):
    """The status of a step; four of these are final."""

    BLOCKED = "blocked"  # waits for its parents
    READY = "ready"  # may be claimed if no gate holds it back
    SENT = "sent"  # handed to an executor that has not begun it, as far as is known
    RUNNING = "running"  # claimed by a worker, which holds a lease
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True if only a person's `retry` can still change it."""
        return self in FINAL_STEP_STATUSES


FINAL_STEP_STATUSES = frozenset({StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED})


class RunStatus(StrEnum):
    """The status of a run; three of these are final."""

    PENDING = "pending"  # committed, and no step has begun
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True if every step of the run is final, hooks included."""
        return self in FINAL_RUN_STATUSES


FINAL_RUN_STATUSES = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})


class JoinRule(StrEnum):
    """When a step starts, depending on its parents. A step whose rule can no longer be satisfied is skipped."""

    ALL_SUCCEEDED = "all_succeeded"
    ALL_DONE = "all_done"  # final, with any status
    ANY_SUCCEEDED = "any_succeeded"  # as soon as one has, without waiting for the others
    ANY_FAILED = "any_failed"  # as soon as one has
    NONE_FAILED = "none_failed"  # all final, each succeeded or skipped
    SOME_FAILED = "some_failed"  # all final, at least one failed; the failure counts nevertheless


class Hook(StrEnum):
    """Hooks: steps of a run that wait for the outcome of all others."""

    ON_SUCCESS = "on_success"
    ON_FAILURE = "on_failure"
    FINALLY = "finally"


class Gate(StrEnum):
    """What holds back a ready step; without a gate any worker may claim it now."""

    TIMER = "timer"  # until `ready_at`
    PAUSED = "paused"  # until the run is resumed
    EVENT = "event"  # until the message that it waits for is sent to the run
    LIMIT = "limit"  # until its limits have a free place, and its fair share allows it
    ADMISSION = "admission"  # until its run is admitted by the limit of its workflow


WAIT_FOR = "segue.wait_for"
SLEEP = "segue.sleep"
ENGINE_TASKS = frozenset({WAIT_FOR, SLEEP})
"""Tasks that the engine itself begins when it passes joins: waiting needs no claim and no worker."""

OUTCOMES = "segue.outcomes"
"""The task whose steps take, of each step that they refer to, how it ended instead of its result."""

REFUSABLE_TASKS = {"shell": "segue.shell", "webhook": "segue.webhook", "notify": "segue.notify"}
"""Tasks that execute what the database contains, not the user's code; a worker can be started without them."""

MESSAGE_NAME_LENGTH = 200
"""The maximum number of characters in the name of a message."""


def is_message_name(name: str) -> bool:
    """Whether a message can have this name: it is not blank, not too long, and every database can store it."""
    if not name.strip() or len(name) > MESSAGE_NAME_LENGTH or "\0" in name:
        return False
    return name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name)


class Overlap(StrEnum):
    """What happens to a tick while a run of the same schedule has not ended."""

    SKIP = "skip"  # it starts nothing
    QUEUE_ONE = "queue_one"  # it starts when that run has ended; further ticks meanwhile start nothing
    QUEUE_ALL = "queue_all"  # it starts when all before it have ended
    CANCEL_RUNNING = "cancel_running"  # that run is cancelled, and it starts when it has ended
    ALLOW = "allow"  # it starts beside that run


class CatchUp(StrEnum):
    """What happens to ticks that passed while no process did the chores."""

    NONE = "none"  # they start nothing
    LATEST = "latest"  # the latest of them starts
    ALL = "all"  # each of them starts


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often, and for how long, a step is tried. Times are in seconds.

    Retry n waits `retry_delay * retry_factor ** (n - 1)`, at most `retry_max_delay`, minus a random part of up to
    `retry_jitter`.
    """

    retries: int = 0
    retry_delay: float = 1.0
    retry_factor: float = 2.0
    retry_max_delay: float = 600.0
    retry_jitter: float = 0.5
    timeout: float | None = None  # of one attempt
    lost_retries: int = 3  # how often it may lose its worker before it fails (`worker_lost`)
    may_fail: bool = False  # its failure does not fail the run
    schedule_to_start: float | None = None  # how long it may be ready without being claimed


class Ref(msgspec.Struct, frozen=True, tag="ref", array_like=True):
    """The result of a step, or the part of it at `path`."""

    step: int
    path: tuple[str | int, ...] = ()


class Span(msgspec.Struct, frozen=True, tag="span", array_like=True):
    """The results of the steps `first` to `last`, both included, as a list."""

    first: int
    last: int


class Value(msgspec.Struct, frozen=True, tag="value", array_like=True):
    """A value that is known when the plan is made."""

    json: msgspec.Raw


class Gather(msgspec.Struct, frozen=True, tag="gather", array_like=True):
    """A list of expressions."""

    items: tuple[Ref | Span | Value | Gather | Mapping | Concat, ...]


class Concat(msgspec.Struct, frozen=True, tag="concat", array_like=True):
    """The items of several lists, in one list: of one to which a running step adds (engine/extend.py)."""

    items: tuple[Ref | Span | Gather, ...]


class Mapping(msgspec.Struct, frozen=True, tag="mapping", array_like=True):
    """A JSON object: one expression for each key."""

    keys: tuple[str, ...]
    items: tuple[Ref | Span | Value | Gather | Mapping | Concat, ...]


Expr = Ref | Span | Value | Gather | Mapping | Concat
"""A value that may be known only after other steps have finished."""


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """A place in a step's arguments that an expression fills when the step is claimed.

    `where` is its path in the JSON `[args, kwargs]`: `(0, 2)` is the third positional argument, `(1, "day")` the
    keyword argument `day`. The template contains null in a hole.
    """

    where: tuple[str | int, ...]
    what: Expr


WORKER_LOST = "worker_lost"
"""The type of the error of an attempt whose worker was lost, or the process that supervised it."""

ERROR_TYPE_LENGTH = 500
"""The maximum number of characters in the type of an error; a longer one is cut."""


class ErrorInfo(Jsonable, msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as text, which outlives the process, the code and the class."""

    type: str
    message: str
    traceback: str = ""

    def __post_init__(self) -> None:
        # Runs can be searched by it, and an index limits the length and characters of a text.
        if len(self.type) > ERROR_TYPE_LENGTH or not self.type.isprintable():
            shown = "".join(char if char.isprintable() else "?" for char in self.type[:ERROR_TYPE_LENGTH])
            msgspec.structs.force_setattr(self, "type", shown)


class FailureInfo(Jsonable, msgspec.Struct, frozen=True):
    """The failure that decided how a run or a returned plan ended: the step, and its error without the traceback."""

    step: str
    type: str
    message: str


class Job(msgspec.Struct, array_like=True):
    """One attempt at a step, as a worker passes it to its pool. Everything is resolved: it needs no database."""

    run_id: str
    step: int
    attempt: int
    name: str
    task: str
    args: str  # JSON [args, kwargs], null at the holes
    holes: str | None  # JSON of a list of Hole
    values: dict[int, str]  # step → its result as JSON, for every step that a hole refers to
    timeout: float | None
    failures: int = 0  # tries that failed before this one
    when: str | None = None  # JSON of a condition that lies in a payload store; a false one skips the step
    queue: str = ""  # without its namespace
    waited: float = 0.0  # seconds from ready to claimed, if metrics or traces want to know
    trace: str | None = None  # the traceparent of its run, if it is traced


class Verdict(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"  # the task raised Skip
    CANCELLED = "cancelled"  # ended because the run was cancelled
    EXPANDED = "expanded"  # the task returned a plan
    LOST = "lost"  # its process was killed through no fault of the task: counted as a loss
    SUSPENDED = "suspended"  # its task sleeps, or waits for a message: it comes again, and this counted as no try
    RELEASED = "released"  # not begun, or ended by a shutdown: handed back, not counted as a try
    RECORDED = "recorded"  # a transactional task recorded its outcome itself; never in the database


class Detour(msgspec.Struct, frozen=True, array_like=True):
    """Steps below a step that its task wants left out. They wait for it, so none of them has begun."""

    skip: tuple[int, ...] = ()  # and what is below them
    pass_by: tuple[tuple[int, int], ...] = ()  # (step, parent): it does not run, and has its parent's result


class Outcome(msgspec.Struct, array_like=True):
    """The outcome of one attempt."""

    run_id: str
    step: int
    attempt: int
    verdict: str
    result: str | None = None  # JSON of the result (succeeded) or of the plan (expanded)
    error: ErrorInfo | None = None
    retryable: bool = True
    retry_after: float | None = None  # seconds, if the task chose them
    output: str = ""  # the tail of what it printed and logged
    seconds: float = 0.0
    detour: Detour | None = None  # also if it failed


class Progress(msgspec.Struct, array_like=True):
    """The progress that a running attempt reported."""

    run_id: str
    step: int
    attempt: int
    done: float
    total: float | None = None
    message: str = ""


class JoinVerdict(StrEnum):
    """What a join rule decides for a blocked step now."""

    WAIT = "wait"
    START = "start"
    SKIP = "skip"


def judge_join(rule: str, waiting_on: int, failed: int, skipped: int, succeeded: int) -> JoinVerdict:
    """Whether a blocked step may start, given the numbers of its parents that are not final, failed (or cancelled),
    skipped.

    `succeeded` only needs to be positive if a parent succeeded just now: an `any_succeeded` step starts then, so it is
    never still blocked later. PostgreSQL's `finish` contains the same logic in SQL; a property test compares the two.
    """
    if (rule == JoinRule.ANY_SUCCEEDED and succeeded) or (rule == JoinRule.ANY_FAILED and failed):
        return JoinVerdict.START
    if waiting_on > 0:
        return JoinVerdict.WAIT
    if rule in (JoinRule.ANY_SUCCEEDED, JoinRule.ANY_FAILED):
        return JoinVerdict.SKIP
    if rule == JoinRule.ALL_SUCCEEDED and (failed or skipped):
        return JoinVerdict.SKIP
    if rule == JoinRule.NONE_FAILED and failed:
        return JoinVerdict.SKIP
    if rule == JoinRule.SOME_FAILED and not failed:
        return JoinVerdict.SKIP
    return JoinVerdict.START

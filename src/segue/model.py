"""The words of Segue as Python values: statuses, rules, policies, and what passes between engine and workers.

Nothing here does I/O, knows a clock or logs. Values on the hot path are `msgspec.Struct`s, because they are built and
encoded thousands of times a second; they are as frozen and slotted as a dataclass.

The life of a step::

    blocked ──release──▶ ready ──claim──▶ running ──complete──▶ succeeded
       │                  ▲ │               │ ├────fail───────▶ failed
       │                  │ │   retry, lost,│ ├────skip───────▶ skipped
       │                  └─┼───handed back─┘ └────cancel─────▶ cancelled
       └──skip, cancel──────┴──────────────────────────────────▶ skipped, cancelled

A running step whose task returns a plan goes back to *blocked*, as a join, until that plan is done.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

RUN = -1
"""The number that stands for the run itself where a step's number is expected (a child, a reference)."""

DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5


class StepStatus(StrEnum):
    """Where a step is in its life; four of these are final."""

    BLOCKED = "blocked"  # waits for its parents
    READY = "ready"  # may be claimed, once nothing gates it
    SENT = "sent"  # handed to an executor that has not begun it
    RUNNING = "running"  # claimed by a worker, which holds a lease
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when nothing but a person's `retry` changes it any more."""
        return self in FINAL_STEP_STATUSES


FINAL_STEP_STATUSES = frozenset({StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED})


class RunStatus(StrEnum):
    """Where a run is in its life; three of these are final."""

    PENDING = "pending"  # committed, and no step has begun
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when every step of the run is final, finalizers too."""
        return self in FINAL_RUN_STATUSES


FINAL_RUN_STATUSES = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})


class JoinRule(StrEnum):
    """When a step starts, said of its parents. A step whose rule can no longer hold is skipped."""

    ALL_SUCCEEDED = "all_succeeded"
    ALL_DONE = "all_done"  # final, whatever the status
    ANY_SUCCEEDED = "any_succeeded"  # as soon as one has, without waiting for the others
    ANY_FAILED = "any_failed"  # as soon as one has
    NONE_FAILED = "none_failed"  # all final, each succeeded or skipped


class Hook(StrEnum):
    """Steps of a run that wait for the outcome of all others."""

    ON_SUCCESS = "on_success"
    ON_FAILURE = "on_failure"
    FINALLY = "finally"


class Gate(StrEnum):
    """What holds back a step that is ready; no gate means that any worker may claim it now."""

    TIMER = "timer"  # until `ready_at`
    PAUSED = "paused"  # until somebody resumes the run
    EVENT = "event"  # until what it waits for is sent to the run
    LIMIT = "limit"  # until its limits have a place and it is its lane's turn
    ADMISSION = "admission"  # until its run may begin beside others of its workflow


WAIT_FOR = "segue.wait_for"
SLEEP = "segue.sleep"
ENGINE_TASKS = frozenset({WAIT_FOR, SLEEP})
"""Tasks that the engine itself begins, as it passes joins: nobody need claim a step in order to wait."""

MESSAGE_NAME_LENGTH = 200
"""Most characters of the name of a message."""


def is_message_name(name: str) -> bool:
    """Whether a message can have this name: it says something, is not too long, and every database can hold it."""
    return bool(name.strip()) and len(name) <= MESSAGE_NAME_LENGTH and "\0" not in name


class Overlap(StrEnum):
    """What becomes of a tick while a run of the same schedule has not ended."""

    SKIP = "skip"  # it starts nothing
    QUEUE_ONE = "queue_one"  # it starts when that run has ended; further ticks meanwhile start nothing
    QUEUE_ALL = "queue_all"  # it starts when all before it have ended
    CANCEL_RUNNING = "cancel_running"  # that run is cancelled, and it starts when it has ended
    ALLOW = "allow"  # it starts beside it


class CatchUp(StrEnum):
    """What becomes of ticks that passed while nobody did the chores."""

    NONE = "none"  # they start nothing
    LATEST = "latest"  # the latest of them starts
    ALL = "all"  # each of them starts


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often and how long a step is tried. Times are in seconds.

    Retry n waits `retry_delay * retry_factor ** (n - 1)`, at most `retry_max_delay`, less up to `retry_jitter` of it.
    """

    retries: int = 0
    retry_delay: float = 1.0
    retry_factor: float = 2.0
    retry_max_delay: float = 600.0
    retry_jitter: float = 0.5
    timeout: float | None = None  # of one attempt
    lost_retries: int = 3  # how often it may lose its worker before it is parked as failed (`worker_lost`)
    may_fail: bool = False  # its failure does not fail the run
    schedule_to_start: float | None = None  # the longest that it may be ready without being claimed


class Ref(msgspec.Struct, frozen=True, tag="ref", array_like=True):
    """The result of a step, or what lies at `path` inside it."""

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

    items: tuple[Ref | Span | Value | Gather | Mapping, ...]


class Mapping(msgspec.Struct, frozen=True, tag="mapping", array_like=True):
    """A JSON object: one expression for each key."""

    keys: tuple[str, ...]
    items: tuple[Ref | Span | Value | Gather | Mapping, ...]


Expr = Ref | Span | Value | Gather | Mapping
"""A value that may be known only when other steps have finished."""


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """A place in a step's arguments that an expression fills when the step is claimed.

    `where` leads to it through the JSON `[args, kwargs]`: `(0, 2)` is the third positional argument,
    `(1, "day")` the keyword argument `day`. A hole in the template holds null.
    """

    where: tuple[str | int, ...]
    what: Expr


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as text, so that it outlives the process, the code and the class."""

    type: str
    message: str
    traceback: str = ""


class FailureInfo(msgspec.Struct, frozen=True):
    """The failure that decided how a run or a returned plan ended: which step, and its error without the traceback."""

    step: str
    type: str
    message: str


class Job(msgspec.Struct, array_like=True):
    """One attempt at a step, as a worker hands it to its pool. Everything is resolved; nothing needs the database."""

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


class Verdict(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"  # the task raised Skip
    CANCELLED = "cancelled"  # ended because the run was cancelled
    EXPANDED = "expanded"  # the task returned a plan
    RELEASED = "released"  # not begun, or ended by a shutdown: handed back, not counted as a try
    RECORDED = "recorded"  # the attempt wrote its own outcome down (a transactional task); never in the database


class Outcome(msgspec.Struct, array_like=True):
    """What came of one attempt."""

    run_id: str
    step: int
    attempt: int
    verdict: str
    result: str | None = None  # JSON of the result (succeeded) or of the plan (expanded)
    error: ErrorInfo | None = None
    retryable: bool = True
    retry_after: float | None = None  # seconds, when the task chose them
    output: str = ""  # the tail of what it printed and logged
    seconds: float = 0.0


class Progress(msgspec.Struct, array_like=True):
    """How far a running attempt says that it is."""

    run_id: str
    step: int
    attempt: int
    done: float
    total: float | None = None
    message: str = ""


class JoinVerdict(StrEnum):
    """What a join rule says about a blocked step now."""

    WAIT = "wait"
    START = "start"
    SKIP = "skip"


def judge_join(rule: str, waiting_on: int, failed: int, skipped: int, succeeded: int) -> JoinVerdict:
    """Whether a blocked step may start, given its parents that are not final, failed (or cancelled), skipped.

    `succeeded` is only asked to be more than zero when a parent succeeded just now: an `any_succeeded` step starts
    then, so it is never still blocked later. The SQL of PostgreSQL's `finish` says the same; a property test holds them
    together.
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
    return JoinVerdict.START

"""What a polled executor must be able to do. Each platform has its own, in `segue.executors`.

An executor knows nothing of runs and of the database. It gets pushes, whose names it gives to the platform, and says
what the platform says. It may be called by several processes at a time.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from segue.errors import SegueError
from segue.model import Attempt, Job, Outcome

NAME_PREFIX = "segue-"
_NAME = re.compile(rf"{NAME_PREFIX}([a-z2-7]{{26}})")


class RefusedError(SegueError, RuntimeError):
    """The platform will never take this push: the next try would be refused as well."""


class BusyError(SegueError, RuntimeError):
    """The platform does not take it now, and has nothing of it: a quota is used up, or it asks for patience."""

    def __init__(self, message: str, *, seconds: float = 10.0) -> None:
        super().__init__(message)
        self.seconds = seconds  # until the next try


class UnsureError(SegueError, RuntimeError):
    """It was sent, and no answer came: it may exist. It is searched for before it is submitted again."""


class BlindError(SegueError, RuntimeError):
    """The platform does not answer a question. Nothing is known, so nothing changes."""


class Pace(msgspec.Struct, frozen=True):
    """How an executor is treated. Times are in seconds."""

    look_seconds: float = 5.0  # between two looks at what is outside
    at_once: int = 200  # pushes in one search or cancel
    looks_at_once: int | None = None  # pushes in one look; None: `at_once`
    submits_at_once: int = 50  # before the next look; of an executor that takes batches, in one round of submissions
    side_by_side: int = 1  # so many calls that submit one push are made at a time
    call_seconds: float = 60.0  # a submission that has not returned by then has failed
    settle_seconds: float = 30.0  # after an unsure submission: the platform may show it only then
    gone_seconds: float = 30.0  # what the platform does not know for so long is gone
    cancel_seconds: float = 30.0  # between two requests to end; those after the first are urgent
    keep_seconds: float = 3600.0  # what an attempt left outside is removed after so long
    window: int = 1000  # about so many steps are outside and have not begun


class Mode(StrEnum):
    """How the processes of Python tasks get their arguments, and report how they ended."""

    DATABASE = "database"  # by themselves: `segue run-step --push`
    FILES = "files"  # through files that the executor writes and collects


def mode_of(executor: object) -> Mode:
    """The mode of an executor: what its attribute `mode` says, by default `Mode.DATABASE`."""
    return Mode(getattr(executor, "mode", Mode.DATABASE))


class Phase(StrEnum):
    """Where a push is, as the platform says."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    GONE = "gone"  # the platform does not know it, or not any more


class Cause(StrEnum):
    """Why a push ended."""

    EXIT = "exit"  # by itself, with `exit_code`
    SIGNAL = "signal"  # `exit_code` is minus the signal's number
    OUT_OF_MEMORY = "out of memory"
    TIMEOUT = "timeout"  # of the platform
    LOST = "lost"  # its machine failed, or it was preempted: not the task's fault
    CANCELLED = "cancelled"
    CONFIG = "config"  # it can never run as it was submitted


class Push(NamedTuple):
    """One attempt at a step, as it is named outside."""

    id: str
    attempt: Attempt  # (run id, number of the step, number of the attempt)
    external_id: str = ""  # what the platform calls it; "" while that is not known
    batch: str | None = None  # the id of the batch in which it is submitted, for as long as it lives
    place: int | None = None  # ... and its number there, from 0

    @property
    def name(self) -> str:
        """Its name outside: 32 small letters and digits, made of its id alone."""
        return name_of_id(self.id)


def name_of_id(id_: str) -> str:
    """The name outside of a push or of a batch."""
    return NAME_PREFIX + base64.b32encode(uuid.UUID(id_).bytes).decode().rstrip("=").lower()


def id_of_name(name: str) -> str | None:
    """The id of the push that has this name outside; None for a name that Segue did not give."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return str(uuid.UUID(bytes=base64.b32decode(found[1].upper() + "======")[:16]))


class Submission(NamedTuple):
    """A push with what it runs."""

    push: Push
    job: Job
    spec: str | None  # JSON: `segue.plan.pushed.PushSpec`
    out_of_memory: int = 0  # how many earlier attempts ran out of memory; 0 unless that gives this one more


class Sighting(NamedTuple):
    """What the platform says of a push."""

    push_id: str
    phase: Phase
    reason: str | None = None  # in the platform's words: why it waits, or how it ended
    host: str | None = None
    cause: Cause | None = None  # set when it has ended
    exit_code: int | None = None
    held_by: str | None = (
        None  # the id of another job of this push, which has begun the attempt: it is the one to follow
    )
    is_cut_off: bool = False  # lost with its machine, which only says nothing: its process may still run


class Collected(NamedTuple):
    """What an attempt left behind."""

    outcome: Outcome | None = None  # as the process wrote it; None if it died before, or is a command without Segue
    output: str = ""  # the end of what it printed
    result: bytes | None = None  # what a command wrote to the file that SEGUE_RESULT names


class Stray(NamedTuple):
    """A job that carries a name of Segue's and has not ended."""

    push_id: str  # or the id of its batch
    external_id: str
    place: int | None = None  # in the batch; None: it goes alone


class PolledExecutor(Protocol):
    """A platform that runs jobs and can be asked about them. Every call ends within `pace.call_seconds`.

    With `pace.side_by_side`, `submit` is called by several threads at a time.

    One whose processes do not reach the database has an attribute `mode = Mode.FILES`, and gets the values of jobs
    complete; for others, long values may be references into the payload store.

    Calls raise BlindError if the platform does not answer, except `submit`.
    """

    name: str
    pace: Pace

    def submit(self, submission: Submission) -> str:
        """Hand it to the platform under `push.name`; returns the platform's id.

        Raises RefusedError, BusyError or UnsureError. Any other exception counts as unsure.
        """

    def find(self, pushes: Sequence[Push]) -> Mapping[str, str]:
        """The platform's ids of those pushes that exist there, also of ended ones, by the id of the push."""

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """What is known of each of them. A push that is left out is as it was."""

    def collect(self, push: Push) -> Collected:
        """What an attempt left behind, once it has ended. It may be called again, and must give the same."""

    def cancel(self, pushes: Sequence[Push], *, hard: bool) -> None:
        """Ask the platform to end them, any number of times; one that has ended or is unknown is no error."""

    def read_output(self, push: Push) -> str:
        """The end of what it has printed so far, for people; '' if there is nothing yet."""

    def clean(self, pushes: Sequence[Push]) -> None:
        """Remove what is left of attempts whose ends are recorded."""

    def strays(self) -> Iterable[Stray]:
        """All jobs with names of Segue's that have not ended."""


@runtime_checkable
class BatchingExecutor(Protocol):
    """What a polled executor may do besides: take many pushes in one call, as an array of jobs.

    A push that is in a batch has `batch` and `place`, which never change: an array that arrives late is known by them.
    `submit` is called with such pushes, too, if only one of a batch is left.
    """

    def batch_limit(self) -> int:
        """How many pushes one batch may have. Raises BlindError."""

    def shape(self, submission: Submission) -> str | None:
        """Pushes of one shape may be submitted together; None: this one goes alone."""

    def submit_many(self, submissions: Sequence[Submission]) -> Sequence[str]:
        """Submit pushes of one batch and one shape; returns their ids in this order, and raises as `submit` does.

        If it raises RefusedError or BusyError, none of them exists.
        """

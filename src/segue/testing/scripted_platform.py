"""A platform without machines: jobs are entries in a list, and what happens to them is what a test says.

It is a `PolledExecutor`, so a `Dispatcher` works with it as with a real one. Nothing runs, nothing sleeps. It may be
shared by several dispatchers, and outlives those that die. A job that is deleted from `jobs` is unknown to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from segue.dispatcher.protocol import (
    BlindError,
    BusyError,
    Cause,
    Collected,
    Mode,
    Pace,
    Phase,
    Push,
    RefusedError,
    Sighting,
    Stray,
    Submission,
    UnsureError,
)
from segue.model import Attempt, Job, Outcome, Verdict

QUICK = Pace(call_seconds=5.0, settle_seconds=5.0, gone_seconds=20.0, cancel_seconds=10.0, keep_seconds=60.0)


class Answer(StrEnum):
    """What the platform does with a submission."""

    ACCEPTS = "accepts"
    REFUSES = "refuses"
    IS_BUSY = "is busy"
    LOSES_THE_REPLY = "loses the reply"  # the job exists, and no answer comes
    LOSES_THE_CALL = "loses the call"  # nothing exists, and no answer comes
    IS_SLOW = "is slow"  # no answer comes, and the job exists only after `arrive`


class FarJob(NamedTuple):
    """A job as the platform has it."""

    id: str
    push: Push
    job: Job
    spec: str | None
    phase: Phase = Phase.QUEUED
    reason: str | None = None
    cause: Cause | None = None
    exit_code: int | None = None
    held_by: str | None = None
    is_cut_off: bool = False  # as in `Sighting`
    out_of_memory: int = 0  # as in `Submission`


class ScriptedPlatform:
    """A polled executor of this name. `answers` are those to the next submissions; after them, all are accepted.

    Example::

        far = ScriptedPlatform("far")
        far.answers.append(Answer.LOSES_THE_REPLY)
        dispatcher.run_once()
        far.succeed(far.alive()[0], "42")
    """

    mode = Mode.FILES

    def __init__(self, name: str = "far", *, pace: Pace = QUICK) -> None:
        self.name = name
        self.pace = pace
        self.answers: deque[Answer] = deque()
        self.jobs: dict[str, FarJob] = {}
        self.is_away = False  # it answers nothing
        self.submitted: list[Attempt] = []  # every call, also those that were lost
        self.cancelled: list[tuple[str, bool]] = []  # (id, whether hard)
        self.cleaned: set[str] = set()
        self.on_call: Callable[[str], None] = _nothing  # called with "submit", "submitted", "find", "look" ...
        self._late: list[FarJob] = []
        self._outcomes: dict[str, Outcome] = {}  # by push, as a spool would have them
        self._count = 0

    # What a test lets happen ------------------------------------------------------------------------------------------

    def alive(self) -> list[FarJob]:
        """The jobs that have not ended, the oldest first."""
        return [job for job in self.jobs.values() if job.phase is not Phase.ENDED]

    def begin(self, far: FarJob) -> None:
        """It runs now."""
        self.set(far, phase=Phase.RUNNING, reason=None)

    def set(self, far: FarJob, **changes: Any) -> None:
        """Change what the platform says of it."""
        self.jobs[far.id] = self.jobs[far.id]._replace(**changes)

    def succeed(self, far: FarJob, result: str = "null") -> None:
        """Its task returned, and its process left the outcome."""
        self.leave(far, Outcome(*far.push.attempt, Verdict.SUCCEEDED, result))
        self.end(far, Cause.EXIT, exit_code=0)

    def leave(self, far: FarJob, outcome: Outcome) -> None:
        """Its process left this; of two jobs of one push, the first to do so counts, as in a spool."""
        self._outcomes.setdefault(far.push.id, outcome)

    def end(self, far: FarJob, cause: Cause, *, exit_code: int | None = None, reason: str | None = None) -> None:
        """The platform says that it ended."""
        self.set(far, phase=Phase.ENDED, cause=cause, exit_code=exit_code, reason=reason)

    def arrive(self) -> None:
        """Submissions that were slow arrive."""
        for job in self._late:
            self.jobs[job.id] = job
        self._late.clear()

    # The executor -----------------------------------------------------------------------------------------------------

    def submit(self, submission: Submission) -> str:
        """See `PolledExecutor`."""
        self.on_call("submit")
        self.submitted.append(submission.push.attempt)
        answer = self.answers.popleft() if self.answers else Answer.ACCEPTS
        if self.is_away or answer is Answer.LOSES_THE_CALL:
            raise UnsureError("no answer came")
        if answer is Answer.REFUSES:
            raise RefusedError("there is no such partition")
        if answer is Answer.IS_BUSY:
            raise BusyError("the quota is used up", seconds=10.0)
        self._count += 1
        far = FarJob(
            str(self._count), submission.push, submission.job, submission.spec, out_of_memory=submission.out_of_memory
        )  # fmt: skip
        if answer is Answer.IS_SLOW:
            self._late.append(far)
            raise UnsureError("no answer came in time")
        self.jobs[far.id] = far
        self.on_call("submitted")
        if answer is Answer.LOSES_THE_REPLY:
            raise UnsureError("the reply was lost")
        return far.id

    def find(self, pushes: Sequence[Push]) -> Mapping[str, str]:
        """See `PolledExecutor`."""
        self._ask("find")
        wanted = {push.id for push in pushes}
        found: dict[str, str] = {}
        for far in self.jobs.values():
            if far.push.id in wanted:
                found.setdefault(far.push.id, far.id)
        return found

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """See `PolledExecutor`."""
        self._ask("look")
        for push in pushes:
            far = self.jobs.get(push.external_id)
            if far is None:
                yield Sighting(push.id, Phase.GONE)
            elif far.held_by is not None:
                yield Sighting(push.id, Phase.QUEUED, held_by=far.held_by)
            else:
                yield Sighting(
                    push.id, far.phase, far.reason, f"node{far.id}", far.cause, far.exit_code, is_cut_off=far.is_cut_off
                )  # fmt: skip

    def collect(self, push: Push) -> Collected:
        """See `PolledExecutor`."""
        self._ask("collect")
        return Collected(self._outcomes.get(push.id), "the last line\n")

    def cancel(self, pushes: Sequence[Push], *, hard: bool) -> None:
        """See `PolledExecutor`. A job ends when the test says so; see `cancelled`."""
        self._ask("cancel")
        self.cancelled += [(push.external_id, hard) for push in pushes]

    def read_output(self, push: Push) -> str:
        """What a test said that it printed: nothing, unless it ended."""
        return self.collect(push).output

    def clean(self, pushes: Sequence[Push]) -> None:
        """See `PolledExecutor`."""
        self._ask("clean")
        self.cleaned |= {push.id for push in pushes}

    def strays(self) -> Iterable[Stray]:
        """See `PolledExecutor`."""
        self._ask("strays")
        return [Stray(far.push.batch or far.push.id, far.id, far.push.place) for far in self.alive()]

    def _id_of(self, push: Push) -> str:
        return str(self._count) if push.batch is None else f"{self._count}_{push.place}"

    def _ask(self, what: str) -> None:
        self.on_call(what)
        if self.is_away:
            raise BlindError("the platform does not answer")


class ScriptedArrays(ScriptedPlatform):
    """The same for a platform that takes arrays of up to `most` jobs. An answer is that to a whole array."""

    def __init__(self, name: str = "far", *, pace: Pace = QUICK, most: int = 100) -> None:
        super().__init__(name, pace=pace)
        self.most = most
        self.arrays: list[list[int]] = []  # the places of each array, also of those that were lost

    def batch_limit(self) -> int:
        """See `BatchingExecutor`."""
        return self.most

    def shape(self, submission: Submission) -> str | None:
        """What the steps of one array have in common; None for those whose spec says so."""
        spec = submission.spec or ""
        return None if "alone" in spec else spec

    def submit_many(self, submissions: Sequence[Submission]) -> Sequence[str]:
        """See `BatchingExecutor`."""
        self.on_call("submit")
        self.submitted += [submission.push.attempt for submission in submissions]
        self.arrays.append([submission.push.place or 0 for submission in submissions])
        if len(submissions) > self.most:
            raise BusyError("an array of so many jobs is not allowed", seconds=0.0)
        answer = self.answers.popleft() if self.answers else Answer.ACCEPTS
        if self.is_away or answer is Answer.LOSES_THE_CALL:
            raise UnsureError("no answer came")
        if answer is Answer.REFUSES:
            raise RefusedError("there is no such partition")
        if answer is Answer.IS_BUSY:
            raise BusyError("the quota is used up", seconds=10.0)
        self._count += 1
        made = [FarJob(self._id_of(one.push), one.push, one.job, one.spec) for one in submissions]
        if answer is Answer.IS_SLOW:
            self._late += made
            raise UnsureError("no answer came in time")
        self.jobs |= {far.id: far for far in made}
        self.on_call("submitted")
        if answer is Answer.LOSES_THE_REPLY:
            raise UnsureError("the reply was lost")
        return [far.id for far in made]


def _nothing(_call: str) -> None:
    pass

"""Submits planned pushes: each is said to exist perhaps, in the database, before the platform is called.

Pushes of one shape go together, if the platform takes batches. One that was in a batch stays in it, so that its name
outside stays the same. A batch for which the platform has no room is tried again with half of it. All others are calls
of their own, some of them side by side: only the calls are made by threads, the database hears of them from one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from segue.dispatcher.meaning import refused
from segue.dispatcher.protocol import (
    BatchingExecutor,
    BlindError,
    BusyError,
    Mode,
    PolledExecutor,
    Push,
    RefusedError,
    Submission,
    mode_of,
)
from segue.dispatcher.work import is_command, with_values
from segue.engine import pushing
from segue.engine.batching import accept_batch, note_batch_unsure, plan_batch_again, take_batch
from segue.engine.engine import Engine
from segue.engine.pushing import PushedJob, PushRow
from segue.errors import PayloadDamagedError, PayloadError, PayloadMissingError
from segue.model import Outcome
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.dispatcher")

PAYLOAD_SECONDS = 30.0  # until the payload store is asked again for the arguments of a step
Record = Callable[[Sequence[Outcome], Sequence[str]], object]


class Planned(NamedTuple):
    """A push that may be submitted now."""

    row: PushRow
    submission: Submission


def push_of_row(row: PushRow) -> Push:
    """A push as its executor gets it."""
    return Push(row.id, row.attempt, row.external_id or "", row.batch, row.place)


class Submitting:
    """What a dispatcher submits. `record` records outcomes, and closes their pushes."""

    def __init__(
        self, engine: Engine, executor: PolledExecutor, record: Record, *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._executor = executor
        self._batching = executor if isinstance(executor, BatchingExecutor) else None
        self._record = record
        self._pace = executor.pace
        self._monotonic = monotonic
        self._stored = engine.stored(executor.name)
        self.busy_since: float | None = None  # since when the platform takes nothing
        self.problem: str | None = None  # ... and what it said last

    @property
    def takes_batches(self) -> bool:
        """Whether the platform takes many pushes in one call."""
        return self._batching is not None

    def submit(self) -> int:
        """Submit what is due. Returns how many pushes moved. Raises BlindError if nothing can be submitted now."""
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            due = pushing.due_pushes(tx, self._stored, now, limit=self._pace.submits_at_once)
            work, unreadable = pushing.jobs_of(tx, due)
        moved, alone = 0, list[Planned]()
        for group in self._groups(work):
            if len(group) > 1:
                moved += self._submit_batch(group)
            else:
                alone += group
        size = max(self._pace.side_by_side, 1)
        moved += sum(self._submit_alone(alone[first : first + size]) for first in range(0, len(alone), size))
        if unreadable:
            by_attempt = {row.attempt: row.id for row in due}
            self._record(unreadable, [by_attempt[end.run_id, end.step, end.attempt] for end in unreadable])
        return moved + len(unreadable)

    def _groups(self, work: Sequence[PushedJob]) -> Iterator[list[Planned]]:
        """What is submitted in one call. What is odd goes alone, where its failure is its own."""
        planned = [
            Planned(found.push, Submission(push_of_row(found.push), found.job, found.spec, found.out_of_memory))
            for found in work
        ]  # fmt: skip
        if self._batching is None or len(planned) < 2:
            yield from ([one] for one in planned)
            return
        limit = max(self._batching.batch_limit(), 1)
        groups: dict[tuple[str | None, str], list[Planned]] = {}
        for one in planned:
            shape = self._shape(one) if one.row.batch is not None or one.row.tries == 0 else None
            if shape is None:
                yield [one]
            else:
                groups.setdefault((one.row.batch, shape), []).append(one)
        for group in groups.values():
            yield from (group[first : first + limit] for first in range(0, len(group), limit))

    def _shape(self, planned: Planned) -> str | None:
        assert self._batching is not None
        try:
            return self._batching.shape(self._with_values(planned.submission))
        except BlindError:
            raise
        except Exception:  # noqa: BLE001 - it is submitted alone, which says what is wrong with it
            return None

    # One by one -------------------------------------------------------------------------------------------------------

    def _submit_alone(self, some: Sequence[Planned]) -> int:
        by_id = {planned.row.id: planned.submission for planned in some}
        began = self._monotonic()
        rows = self._engine.act(pushing.take_all, [planned.row for planned in some], seconds=self._patience)
        if self._monotonic() - began < self._pace.settle_seconds:  # or this process stood still: they are searched
            self._submit_each([Planned(row, by_id[row.id]) for row in rows])
        return len(rows)

    def _submit_each(self, taken: Sequence[Planned]) -> None:
        if len(taken) == 1:
            self._note(taken[0], self._answer(taken[0]))
            return
        with ThreadPoolExecutor(max(len(taken), 1), thread_name_prefix=f"segue-{self._executor.name}") as threads:
            for planned, answer in zip(taken, threads.map(self._answer, taken), strict=True):
                self._note(planned, answer)

    def _answer(self, planned: Planned) -> str | Exception:
        """What the platform says: its id, or why there is none."""
        try:
            return self._executor.submit(self._with_values(planned.submission))
        except Exception as error:  # noqa: BLE001 - `_note` says what it means
            return error

    def _note(self, planned: Planned, answer: str | Exception) -> None:
        row = planned.row
        if isinstance(answer, str):  # if the push has another job by now, this one is a stray, and is found as such
            self.busy_since = None
            self._engine.act(pushing.accept, row, answer)
        elif isinstance(answer, (RefusedError, PayloadMissingError, PayloadDamagedError)):
            self._record([refused(planned.submission.push, str(answer))], [row.id])
        elif isinstance(answer, PayloadError):  # nothing was submitted
            self._engine.act(pushing.plan_again, row, seconds=PAYLOAD_SECONDS, reason=str(answer))
        elif isinstance(answer, BusyError):
            self._is_busy(answer)
            self._engine.act(pushing.plan_again, row, seconds=answer.seconds, reason=str(answer))
        else:  # whatever happened, the platform may have it
            name = planned.submission.push.name
            logger.warning("%s may have been submitted to %s: %s", name, self._executor.name, answer)
            self._engine.act(pushing.note_unsure, row, seconds=self._pace.settle_seconds, reason=str(answer))

    def _with_values(self, submission: Submission) -> Submission:
        """The submission, complete if its process cannot read through references. Raises PayloadError."""
        job = submission.job
        if mode_of(self._executor) is Mode.DATABASE and not is_command(job):
            return submission
        return submission._replace(job=with_values(job, self._engine.payloads))

    def _is_busy(self, error: BusyError) -> None:
        self.busy_since = self._monotonic() if self.busy_since is None else self.busy_since
        self.problem = str(error)

    @property
    def _patience(self) -> float:
        """Until a push is searched for of which nothing is heard."""
        return self._pace.call_seconds + self._pace.settle_seconds

    # Many -------------------------------------------------------------------------------------------------------------

    def _submit_batch(self, group: Sequence[Planned]) -> int:
        by_id = {planned.row.id: planned.submission for planned in group}
        began = self._monotonic()
        rows = self._engine.act(take_batch, [planned.row for planned in group], seconds=self._patience)
        if rows and self._monotonic() - began < self._pace.settle_seconds:
            taken = [Planned(row, by_id[row.id]._replace(push=push_of_row(row))) for row in rows]
            self._submit_together(taken)
        return len(rows)

    def _submit_together(self, taken: Sequence[Planned]) -> None:
        assert self._batching is not None
        rows = [planned.row for planned in taken]
        if len(rows) == 1:
            self._submit_each(taken)
            return
        try:
            submissions = [self._with_values(planned.submission) for planned in taken]
            external_ids = self._batching.submit_many(submissions)
        except RefusedError as error:  # they have one shape: each of them would be refused
            outcomes = [refused(planned.submission.push, str(error)) for planned in taken]
            self._record(outcomes, [row.id for row in rows])
        except PayloadError as error:
            self._engine.act(plan_batch_again, rows, seconds=PAYLOAD_SECONDS, reason=str(error))
        except BusyError as error:
            self._is_busy(error)
            half = len(taken) // 2
            self._engine.act(plan_batch_again, rows[half:], seconds=error.seconds, reason=str(error))
            self._submit_together(taken[:half])
        except Exception as error:  # noqa: BLE001 - whatever happened, the platform may have them
            logger.warning("%d jobs may have been submitted to %s: %s", len(rows), self._executor.name, error)
            self._engine.act(note_batch_unsure, rows, seconds=self._pace.settle_seconds, reason=str(error))
        else:
            self.busy_since = None
            self._engine.act(accept_batch, list(zip(rows, external_ids, strict=True)))

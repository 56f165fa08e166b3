"""Finds the outcome or progress that made the database refuse a turn.

Promises: a success stays a success, however long another transaction holds its run or the database is away; only an
outcome that the database can never store is recorded as a failure, of that attempt alone; if not even that can be
written, its run ends as failed. Each cause is logged once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.engine.stored import storable
from segue.engine.turn_request import TurnRequest
from segue.errors import PASSING_ERRORS, SchemaError, StoreError, StoreUnavailableError
from segue.model import ErrorInfo, Outcome, Progress, Verdict
from segue.observing.harmless_log import get_logger
from segue.observing.once import Once
from segue.worker.aside import Aside, Group

MOST_REFUSALS = 3
"""After the database has refused an outcome by itself this often, the refusal is final."""

logger = get_logger("segue.worker")


class Sifting:
    """Reports the outcomes that a worker has kept aside, group by group."""

    def __init__(self, engine: Engine, aside: Aside, once: Once) -> None:
        self._engine = engine
        self._aside = aside
        self._once = once

    def say(self, worker: WorkerIdentity) -> bool:
        """Try the group that is due. True if some of it was recorded. Raises StoreUnavailableError, SchemaError."""
        group = self._aside.take()
        if group is None:
            return False
        try:
            result = self._engine.turn(worker, TurnRequest(outcomes=group.outcomes, alone=True))
        except (SchemaError, StoreUnavailableError):
            self._aside.later(group)
            raise
        except PASSING_ERRORS as error:
            self._waits_for_others(group, error)
            return False
        except Exception as error:  # noqa: BLE001 - any error that one of these outcomes causes
            self._is_refused(group, error)
            return False
        if result.refused:
            logger.warning("%d outcomes came too late and were refused", result.refused)
        if result.left:
            self._aside.later(group, result.left)
            self._tell_held(result.left)
        return True

    def say_progress(self, worker: WorkerIdentity, progress: Iterable[Progress]) -> None:
        """Report each one separately. Progress is a hint: one that cannot be written is dropped."""
        for each in progress:
            try:
                self._engine.turn(worker, TurnRequest(progress=[each]))
            except Exception as error:  # noqa: BLE001
                if self._once.is_news(("progress", each.run_id, each.step)):
                    logger.warning("progress of step %d of run %s is lost: %s", each.step, each.run_id, error)

    def _waits_for_others(self, group: Group, error: StoreError) -> None:
        if len(group.outcomes) > 1:
            self._aside.halve(group, at_once=False)
            return
        self._aside.later(group)
        self._tell_held(group.outcomes, error)

    def _is_refused(self, group: Group, error: Exception) -> None:
        """One of these outcomes cannot be written. Once it is found, its step fails, or if necessary its run."""
        if len(group.outcomes) > 1:
            self._aside.halve(group, at_once=True)
            return
        [outcome] = group.outcomes
        group.refusals += 1
        if isinstance(error, StoreError) and group.refusals < MOST_REFUSALS:
            self._aside.later(group)  # errors of the database itself may pass
            return
        if not group.is_rewritten:
            group.refusals = 0
            logger.error("the outcome of step %d of run %s cannot be written: %s", outcome.step, outcome.run_id, error)
            group.outcomes, group.is_rewritten = [_unwritable(outcome, error)], True
            self._aside.again(group)
            return
        try:
            is_broken = self._engine.break_run(outcome.run_id, outcome.step, outcome.error or _error_of(outcome, error))
        except Exception as why:  # noqa: BLE001 - kept until a person repairs the rows
            self._aside.later(group)
            if self._once.is_news(("broken", outcome.run_id)):
                logger.error("run %s cannot even be ended, its rows are damaged or held: %s", outcome.run_id, why)
            return
        if is_broken:
            logger.error("run %s was ended as failed, because its rows cannot be processed: %s", outcome.run_id, error)

    def _tell_held(self, outcomes: Sequence[Outcome], error: StoreError | None = None) -> None:
        """Another transaction holds rows that these outcomes need. Log it once for each run, with the holder."""
        for run_id in sorted({outcome.run_id for outcome in outcomes}):
            if self._once.is_news(("held", run_id)):
                who = self._engine.holders(run_id) or (error and str(error)) or "an unknown session"
                logger.warning("outcomes of run %s are kept, because its rows are held by %s", run_id, who)


def _unwritable(outcome: Outcome, error: Exception) -> Outcome:
    info = _error_of(outcome, error)
    return Outcome(outcome.run_id, outcome.step, outcome.attempt, Verdict.FAILED, error=info, retryable=False)


def _error_of(outcome: Outcome, error: Exception) -> ErrorInfo:
    text = f"its outcome ({outcome.verdict}) could not be recorded: {type(error).__name__}: {error}"
    return ErrorInfo(type(error).__name__, storable(text))

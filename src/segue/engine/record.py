"""Recording outcomes: what came of attempts is written down, and everything that follows from it.

Plain successes, nearly all of them, go through one set-based `finish`. The others are looked at one by one: `decide`
says what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from segue.engine.attempts import record_attempts
from segue.engine.ending import fail_fast
from segue.engine.expand import expand
from segue.engine.happenings import note_finishes, note_retry
from segue.engine.locking import unusual_runs
from segue.engine.pausing import hold_paused
from segue.engine.rows import decode_policy
from segue.engine.settle import Settler
from segue.engine.transitions import Change, Ended, Facts, decide
from segue.model import ErrorInfo, Outcome, StepStatus, Verdict
from segue.store.protocol import Finish, Finished, Later, LaterFinished, Store, Transaction

_encode = msgspec.json.Encoder().encode


class Recording:
    """The outcomes of one turn: `send` what needs no look, then `settle` all of them."""

    def __init__(self, store: Store, tx: Transaction, worker: str, outcomes: Sequence[Outcome], now: datetime) -> None:
        self._store = store
        self._tx = tx
        self._worker = worker
        self._now = now
        self._plain = [outcome for outcome in outcomes if outcome.verdict == Verdict.SUCCEEDED]
        # Once each: the same said twice in one turn is looked at before the first is written.
        others: dict[tuple[str, int, int], Outcome] = {}
        for outcome in outcomes:
            if outcome.verdict != Verdict.SUCCEEDED:
                others.setdefault((outcome.run_id, outcome.step, outcome.attempt), outcome)
        self._others = list(others.values())
        self._repeated = len(outcomes) - len(self._plain) - len(others)
        self._run_ids = sorted({outcome.run_id for outcome in outcomes})
        self._locked: Later | None = None
        self._batch: list[Finish] = []
        self._sent: LaterFinished | None = None
        self._failing_fast: set[str] = set()  # runs that end at the first failure
        self._ending: set[str] = set()  # runs that are failing fast or being cancelled
        self._limited: set[str] = set()  # runs that have a place of a limit
        self.refused = 0
        self.ended: list[str] = []
        self.started = 0  # steps that became claimable
        self.started_late = 0  # ... after the first round, and so unseen by a claim sent behind it
        self.results: dict[tuple[str, int], str] = {}  # what was recorded, for the claim that follows

    def send(self) -> None:
        """Lock the runs and record the successes, without waiting for the answers."""
        self._locked = self._tx.later("lock_runs", ids=self._run_ids)
        if self._plain:
            self._batch = [
                Finish(o.run_id, o.step, o.attempt, "running", "succeeded", o.result, None, o.seconds)
                for o in self._plain
            ]  # fmt: skip
            self._sent = self._tx.finish(self._batch, self._now)

    @property
    def is_plain(self) -> bool:
        """True when no outcome needs a look, so that settling them waits for no step that another turn may hold."""
        return not self._others

    @property
    def ended_limited(self) -> list[str]:
        """The runs that ended and gave back a place of their limit."""
        return [run_id for run_id in self.ended if run_id in self._limited] if self._limited else []

    @property
    def locked(self) -> set[str]:
        """The runs whose lock this transaction holds."""
        return set(self._run_ids)

    def settle(self) -> None:
        """Deal with what came of it, and with the outcomes that are not plain successes."""
        if self._locked is None:
            return
        rows = self._locked.rows()
        unusual = unusual_runs(rows)
        self.refused = self._repeated
        settler = Settler(self._store, self._tx, self._now)
        if self._sent is not None:
            self._settle_plain(settler, self._sent.result())
        if unusual or self._others:
            self._failing_fast = {row[0] for row in rows if row[4]}
            self._ending = {run.id for run in unusual if run.is_ending}
            self._limited = {run.id for run in unusual if run.limit_name is not None}
            finishes = [finish for outcome in self._others for finish in self._decide(settler, outcome)]
            settler.settle(finishes, ending=sorted(self._ending))
            hold_paused(self._tx, unusual)
        self.ended = settler.ended
        self.started_late = settler.started - self.started
        self.started = settler.started

    def _settle_plain(self, settler: Settler, first: Finished) -> None:
        """Deal with what came of the successes."""
        if self._tx.journal is not None:
            note_finishes(self._tx, self._batch, first.recorded, self._now)
        if first.recorded == len(self._plain):
            self.results = {(o.run_id, o.step): o.result or "null" for o in self._plain}
        else:
            self.refused += len(self._plain) - first.recorded
        settler.settle((), first=first)
        self.started = first.started
        with_output = [outcome for outcome in self._plain if outcome.output]
        if with_output:
            record_attempts(self._tx, self._now, self._worker, with_output)

    def _decide(self, settler: Settler, outcome: Outcome) -> list[Finish]:
        """Write down what an outcome means; returns what is to be finished."""
        rows = self._tx.all("step_state", run_id=outcome.run_id, step=outcome.step)
        if not rows:
            self.refused += 1
            return []
        status, attempt, failures, losses, policy, hook, name, may_fail, rule, is_asked_to_end, lane = rows[0]
        facts = Facts(
            StepStatus(status), attempt, failures, losses, decode_policy(policy),
            seed=f"{outcome.run_id}:{outcome.step}",
        )  # fmt: skip
        verdict = Verdict(outcome.verdict)
        if outcome.run_id in self._ending:
            verdict = _while_ending(verdict)
        elif is_asked_to_end and verdict in (Verdict.CANCELLED, Verdict.FAILED):
            # Its run was paused, and it was asked to end. Nobody can tell whether it failed for that: it starts again
            # with the run, and that was no try.
            verdict = Verdict.RELEASED
            outcome = msgspec.structs.replace(outcome, verdict=verdict)
        change = decide(facts, Ended(outcome.attempt, verdict, outcome.retryable, outcome.retry_after))
        if not isinstance(change, Change):
            self.refused += 1
            return []
        record_attempts(self._tx, self._now, self._worker, [outcome])
        if verdict is Verdict.EXPANDED:
            return expand(self._store, self._tx, settler, outcome, rule=rule, lane=lane, now=self._now)
        if change.status is StepStatus.READY:
            self._requeue(settler, outcome, change)
            return []
        if change.status is StepStatus.FAILED:
            self._tx.later(
                "count_tries", run_id=outcome.run_id, step=outcome.step, failures=change.failures, losses=change.losses
            )  # fmt: skip
            if hook is None and not may_fail:
                self._fail_fast(outcome.run_id, name, outcome.error)
        error = _json(outcome.error)
        return [
            Finish(
                outcome.run_id, outcome.step, outcome.attempt, "running", change.status, None, error, outcome.seconds
            )
        ]  # fmt: skip

    def _requeue(self, settler: Settler, outcome: Outcome, change: Change) -> None:
        due = self._now + timedelta(seconds=change.after_seconds)
        self._tx.later(
            "requeue", run_id=outcome.run_id, step=outcome.step, attempt=outcome.attempt,
            gate="timer" if due > self._now else None, ready_at=due,
            failures=change.failures, losses=change.losses,
            error=None if change.cause == "released" else _json(outcome.error),
        )  # fmt: skip
        if change.cause != "released":
            note_retry(
                self._tx, outcome.run_id, outcome.step, outcome.attempt, _json(outcome.error), change.after_seconds
            )
        settler.note_started(1)

    def _fail_fast(self, run_id: str, name: str, error: ErrorInfo | None) -> None:
        """Bring the whole run to an end, if it was planned so."""
        if run_id not in self._failing_fast or run_id in self._ending:
            return
        if fail_fast(self._tx, run_id, name, error, self._now):
            self._ending.add(run_id)


def _json(error: ErrorInfo | None) -> str | None:
    return None if error is None else _encode(error).decode()


def _while_ending(verdict: Verdict) -> Verdict:
    """A run that is being ended starts nothing more: a try that failed, was handed back or grew is its last."""
    return Verdict.CANCELLED if verdict in (Verdict.RELEASED, Verdict.EXPANDED, Verdict.FAILED) else verdict

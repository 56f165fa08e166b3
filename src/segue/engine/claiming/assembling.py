"""Turns claimed rows into jobs: replaces references by the results of other steps, and evaluates conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segue.engine.claiming.claimed import ClaimedRow
from segue.engine.resolve import Values, ends, hook_value, load, truth_of, value_of
from segue.engine.rows import decode_policy
from segue.errors import SerializationError
from segue.model import OUTCOMES, RUN, ErrorInfo, Job, Outcome, Verdict
from segue.plan.codec import decode_expr, decode_holes, steps_in
from segue.plan.frames import unknown_kind
from segue.plan.indexed import SEPARATOR
from segue.plan.namespaces import bare
from segue.store.protocol import Transaction

StepKey = tuple[str, int]  # a run and the number of a step of it

_NOTHING: dict[int, str] = {}


class Assembly:
    """Makes jobs of claimed rows. `known` has the results that were recorded just before the claim.

    `waited` tells how long ago a time was, as the database stores it; without it, jobs do not say how long they waited.
    """

    def __init__(
        self, rows: Sequence[ClaimedRow], known: Mapping[StepKey, str], *, waited: Callable[[Any], float] | None = None
    ) -> None:
        self._waited = waited
        self._rows = rows
        self._known = known
        self._bad: dict[StepKey, SerializationError] = {}  # steps whose arguments cannot be read, and why
        self._of_ends = {(row.run_id, row.step) for row in rows if row.task == OUTCOMES}
        self._wanted = self._references()

    @property
    def needs_database(self) -> bool:
        """Whether a step refers to a result, or an end, that must be read from the database."""
        known = self._known
        return bool(self._of_ends) or any(
            (run_id, needed) not in known for (run_id, _), steps in self._wanted.items() for needed in steps
        )

    def jobs(self, tx: Transaction | None) -> tuple[list[Job], list[Outcome]]:
        """The jobs for the pool, and the outcomes of steps that need not run.

        A step is skipped if its `when=` is false, and fails if its arguments or its condition cannot be read. `tx` may
        be None if `needs_database` is false.
        """
        rows, values, bad = self._rows, self._values(tx), self._bad
        jobs: list[Job] = []
        outcomes: list[Outcome] = []
        for run_id, step, attempt, name, task, args, holes, when_expr, policy, failures, _, ready_at, queue, *_ in rows:
            if bad and (run_id, step) in bad:
                outcomes.append(_failed(run_id, step, attempt, bad[run_id, step]))
                continue
            mine = values.get((run_id, step), _NOTHING)
            unread = None
            if when_expr is not None:
                outcome, unread = _unless_when(run_id, step, attempt, when_expr, mine)
                if outcome is not None:
                    outcomes.append(outcome)
                    continue
            try:
                timeout = decode_policy(policy).timeout
            except SerializationError as error:
                outcomes.append(_failed(run_id, step, attempt, error))
                continue
            waited = 0.0 if self._waited is None else self._waited(ready_at)
            on_queue = bare(queue) if SEPARATOR in queue else queue
            jobs.append(
                Job(run_id, step, attempt, name, task, args, holes, mine, timeout, failures, unread, on_queue, waited)
            )
        return jobs, outcomes

    def _references(self) -> dict[StepKey, set[int]]:
        """For each claimed step that has references: the steps to which it refers."""
        wanted: dict[StepKey, set[int]] = {}
        for row in self._rows:
            if row.holes is None and row.when_expr is None:
                continue
            try:
                steps = {step for hole in decode_holes(row.holes) for step in steps_in(hole.what)}
                if row.when_expr is not None:
                    steps |= set(steps_in(decode_expr(row.when_expr)))
            except SerializationError as error:
                self._bad[row.run_id, row.step] = error
                continue
            wanted[row.run_id, row.step] = steps
        return wanted

    def _values(self, tx: Transaction | None) -> dict[StepKey, dict[int, str]]:
        """For each claimed step that has references: the results of those steps."""
        if not self._wanted:
            return {}
        by_run: dict[str, set[int]] = {}
        for (run_id, _), steps in self._wanted.items():
            by_run.setdefault(run_id, set()).update(steps)
        found = {run_id: self._load(tx, run_id, steps - {RUN}) for run_id, steps in by_run.items()}
        values = {}
        for (run_id, step), steps in self._wanted.items():
            try:
                mine = found[run_id].of(n for n in steps if n != RUN)
                if (run_id, step) in self._of_ends:
                    mine = ends(_given(tx), run_id, mine, found[run_id])
                if RUN in steps:
                    mine[RUN] = hook_value(_given(tx), run_id, step)
                values[run_id, step] = mine
            except SerializationError as error:
                self._bad[run_id, step] = error
        return values

    def _load(self, tx: Transaction | None, run_id: str, steps: set[int]) -> Values:
        known = self._known
        here = {step: known[run_id, step] for step in steps if (run_id, step) in known}
        return Values(here) if len(here) == len(steps) else load(_given(tx), run_id, steps, here)


def without_unread(jobs: list[Job]) -> tuple[list[Job], list[Outcome]]:
    """For executors, which judge no conditions: the jobs without those whose condition lies in a payload store."""
    outcomes = [
        _failed(job.run_id, job.step, job.attempt, unknown_kind(job.when)) for job in jobs if job.when is not None
    ]  # fmt: skip
    return ([job for job in jobs if job.when is None] if outcomes else jobs), outcomes


def _given(tx: Transaction | None) -> Transaction:
    assert tx is not None, "these steps need the database"
    return tx


def _failed(run_id: str, step: int, attempt: int, error: SerializationError) -> Outcome:
    """The outcome of a step whose arguments cannot be read. It is not retried: the next attempt would fail as well."""
    info = ErrorInfo(type(error).__name__, str(error))
    return Outcome(run_id, step, attempt, Verdict.FAILED, error=info, retryable=False)


def _unless_when(
    run_id: str, step: int, attempt: int, when_expr: str, known: dict[int, str]
) -> tuple[Outcome | None, str | None]:
    """The outcome of a step whose condition is false or cannot be evaluated; None if the step must run.

    Also the condition itself if it lies in a payload store: then the process that runs the step decides.
    """
    try:
        text = value_of(decode_expr(when_expr), known)
        truth = truth_of(text)
    except SerializationError as error:
        return _failed(run_id, step, attempt, SerializationError(f"when= cannot be evaluated: {error}")), None
    if truth is None:
        return None, text
    return (None if truth else Outcome(run_id, step, attempt, Verdict.SKIPPED)), None

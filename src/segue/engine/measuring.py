"""What metrics, traces and reports hear from the engine: a turn with a stopwatch, and the ends of attempts and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

from segue.engine.stored import failure_of, known_moment
from segue.engine.turn_request import TurnRequest, TurnResult
from segue.errors import StoreBusyError, StoreConflictError, StoreError, StoreUnavailableError
from segue.model import Job, Outcome
from segue.observing.extensions import EndedRun, extensions
from segue.observing.metrics import registry
from segue.observing.metrics.meter import EndedAttempt, metering
from segue.observing.tracing.switch import tracing
from segue.plan.namespaces import bare
from segue.store.protocol import Store

_KINDS = ((StoreUnavailableError, "unavailable"), (StoreBusyError, "busy"), (StoreConflictError, "conflict"))


def measured_turn(take: Callable[[], TurnResult], request: TurnRequest) -> TurnResult:
    """Take the turn, and count how long it took and what it brought, or the error of the database that it raised."""
    began = perf_counter()
    try:
        result = take()
    except StoreError as error:
        metering.add(registry.STORE_ERRORS, next((word for kind, word in _KINDS if isinstance(error, kind)), "other"))
        raise
    metering.observe(registry.TURN_SECONDS, amount=perf_counter() - began)
    metering.observe(registry.TURN_STEPS, amount=len(request.outcomes) + len(result.jobs))
    return result


def count_ended(outcomes: Sequence[Outcome]) -> None:
    """Count attempts that this process did not get through a claim; their tasks are looked up later."""
    if metering.listener is not None and outcomes:
        metering.attempts_ended([EndedAttempt(o.run_id, o.step, str(o.verdict), o.seconds) for o in outcomes])


def runs_ended(store: Store, run_ids: Sequence[str]) -> None:
    """Let metrics, traces and reports look up these runs, whose end is committed."""
    if not run_ids:
        return
    metering.runs_ended(run_ids)
    if extensions.ended:
        extensions.runs_ended(run_ids, partial(ended_runs, store))


def ended_runs(store: Store, run_ids: Sequence[str]) -> list[EndedRun]:
    """Those of these runs that have ended."""
    with store.reading() as tx:
        found = []
        for run_id, workflow, status, _, finished_at, created_at, key, steps, error, trace, schedule in tx.all(
            "ends_of_runs", ids=sorted(set(run_ids))
        ):
            failure = failure_of(error)
            found.append(
                EndedRun(
                    str(run_id), bare(workflow), key, status, steps, None if failure is None else failure.type,
                    known_moment(tx, created_at), known_moment(tx, finished_at), trace,
                    None if schedule is None else bare(schedule),
                )
            )  # fmt: skip
        return found


def add_traces(store: Store, jobs: Sequence[Job]) -> None:
    """Give these jobs the traces of their runs, if their spans belong to those that were current at the starts."""
    if tracing.spans is None or not tracing.spans.reads_traces or not jobs:
        return
    with store.reading() as tx:
        traces = {
            str(run_id): trace for run_id, trace in tx.all("traces_of_runs", ids=sorted({j.run_id for j in jobs}))
        }
    for job in jobs:
        job.trace = traces.get(job.run_id)

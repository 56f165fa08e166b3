"""What metrics hear from the engine: a turn with a stopwatch, and the ends of attempts at executors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from segue.engine.turn_request import TurnRequest, TurnResult
from segue.errors import StoreBusyError, StoreConflictError, StoreError, StoreUnavailableError
from segue.model import Outcome
from segue.observing.metrics import registry
from segue.observing.metrics.meter import EndedAttempt, metering

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

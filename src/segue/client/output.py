"""What attempts have printed, while they run and afterwards, wherever they run.

The output of an ended attempt is in the database. While an attempt runs on a worker, the worker writes the end of it as
long as it is read here; while it is outside, its platform is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import msgspec

from segue.dispatcher.protocol import Push
from segue.dispatcher.registry import executors
from segue.engine.engine import Engine
from segue.engine.pushing import PushRow, push_of
from segue.engine.reopening.run_graph import find_step
from segue.engine.views import look
from segue.engine.views.look import StepInfo
from segue.engine.watching import LiveOutput, live_output, watch_run
from segue.errors import StepNotFoundError, StoreReadOnlyError
from segue.jsonable import Jsonable
from segue.model import StepStatus

FIRST_OUTPUT_SECONDS = 4.0
"""How long the first reader waits for the worker, which looks about once a second whether its output is read."""

_LOOK_SECONDS = 0.1
_NOT_SAID = "its worker has not said yet what it prints; a worker of an older version, or segue.run, never does"


class OutputInfo(Jsonable, msgspec.Struct, frozen=True):
    """What an attempt has printed: the end of it."""

    attempt: int
    text: str
    is_over: bool  # it prints nothing more
    step_is_over: bool  # and no other attempt follows
    problem: str | None = None  # why the output of a running attempt cannot be read here


def output_of(
    engine: Engine, run_id: str, step: str | int, *, attempt: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> OutputInfo:  # fmt: skip
    """What an attempt at a step has printed, the latest by default.

    Raises RunNotFoundError, StepNotFoundError, and BlindError if a platform does not answer.
    """
    with engine.reading() as tx:
        number = find_step(tx, run_id, step)
        [info] = look.list_steps(tx, run_id, after=number - 1, limit=1)
        wanted = info.attempt if attempt is None else attempt
        pushed = push_of(tx, (run_id, number, wanted))
        recorded = {found.attempt: found.output or "" for found in look.list_attempts(tx, run_id, step=number)}
    if not 1 <= wanted <= info.attempt:
        tries = f"it has had {info.attempt}" if info.attempt else "it has not been tried yet"
        raise StepNotFoundError(f"Step {info.name} of run {run_id} has no attempt {wanted}; {tries}.")
    is_live = wanted == info.attempt and info.status in (StepStatus.SENT, StepStatus.RUNNING)
    if not is_live:
        return OutputInfo(wanted, recorded.get(wanted, ""), True, info.status.is_final)
    if pushed is not None:
        return _outside(info, wanted, pushed[0])
    if info.executor is not None or info.status is StepStatus.SENT:
        return _unread(wanted, f"it runs at {info.executor}, whose output is kept when it has ended, if at all")
    return _on_a_worker(engine, run_id, number, wanted, sleep)


def _on_a_worker(
    engine: Engine, run_id: str, step: int, attempt: int, sleep: Callable[[float], None]
) -> OutputInfo:  # fmt: skip
    began = engine.store.now()
    try:
        is_first = engine.act(watch_run, run_id)
    except StoreReadOnlyError:
        return _unread(attempt, "this database is read-only here, so its worker cannot be asked")
    until = time.monotonic() + FIRST_OUTPUT_SECONDS
    while True:
        with engine.reading() as tx:
            found = live_output(tx, run_id, step)
            rows = look.list_steps(tx, run_id, after=step - 1, limit=1)
        info = rows[0] if rows else None
        if info is None or info.attempt != attempt or info.status is not StepStatus.RUNNING:
            return output_of(engine, run_id, step, attempt=attempt, sleep=sleep)  # it has ended meanwhile
        if _is_of(found, attempt, since=began if is_first else None):
            assert found is not None
            return OutputInfo(attempt, found.text, False, False)
        if not is_first or time.monotonic() >= until:
            return _unread(attempt, _NOT_SAID) if found is None else OutputInfo(attempt, found.text, False, False)
        sleep(_LOOK_SECONDS)


def _is_of(found: LiveOutput | None, attempt: int, *, since: datetime | None) -> bool:
    if found is None or found.attempt != attempt:
        return False
    return since is None or (found.updated_at is not None and found.updated_at >= since)


def _outside(info: StepInfo, attempt: int, push: PushRow) -> OutputInfo:
    executor = executors.get(info.executor or "")
    if executor is None:
        return _unread(attempt, f"the executor {info.executor!r} is not imported: name it by -A")
    if push.external_id is None:
        return OutputInfo(attempt, "", False, False)
    outside = Push(push.id, push.attempt, push.external_id, push.batch, push.place)
    return OutputInfo(attempt, executor.read_output(outside), False, False)


def _unread(attempt: int, problem: str) -> OutputInfo:
    return OutputInfo(attempt, "", False, False, problem)

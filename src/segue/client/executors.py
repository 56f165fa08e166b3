"""Executors that are polled, as users look at them: how their platforms are, and what their jobs print."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from segue.client.given import guarded
from segue.dispatcher.protocol import Push
from segue.dispatcher.registry import executors
from segue.engine.engine import Engine
from segue.engine.platforms import ExecutorInfo, list_executors
from segue.engine.pushing import push_of
from segue.engine.reopening.run_graph import find_step
from segue.engine.views import look
from segue.errors import StepNotFoundError
from segue.jsonable import Jsonable
from segue.model import StepStatus


class OutputInfo(Jsonable, msgspec.Struct, frozen=True):
    """What an attempt has printed: the end of it."""

    attempt: int
    text: str
    is_over: bool  # it prints nothing more
    step_is_over: bool  # and no other attempt follows
    problem: str | None = None  # why the output of a running attempt cannot be read here


@guarded
class Executors:
    """The executors of a database that are polled. `Segue.executors` is one.

    Example::

        for executor in segue.executors.list():
            print(executor.name, executor.open, executor.blind_since)
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> Sequence[ExecutorInfo]:
        """Those that a dispatcher has served, or that have open pushes."""
        with self._engine.reading() as tx:
            return list_executors(tx, prefix=self._engine.prefix)

    def output(self, run_id: str, step: str | int, *, attempt: int | None = None) -> OutputInfo:
        """What an attempt at a step has printed, the latest by default.

        While it is outside, its platform is asked, if this process has imported its executor. Raises RunNotFoundError,
        StepNotFoundError, and BlindError if the platform does not answer.
        """
        with self._engine.reading() as tx:
            number = find_step(tx, run_id, step)
            [info] = look.list_steps(tx, run_id, after=number - 1, limit=1)
            wanted = info.attempt if attempt is None else attempt
            pushed = push_of(tx, (run_id, number, wanted))
            recorded = {found.attempt: found.output or "" for found in look.list_attempts(tx, run_id, step=number)}
        if not 1 <= wanted <= info.attempt:
            tries = f"it has had {info.attempt}" if info.attempt else "it has not been tried yet"
            raise StepNotFoundError(f"Step {info.name} of run {run_id} has no attempt {wanted}; {tries}.")
        step_is_over = info.status.is_final
        is_live = wanted == info.attempt and info.status in (StepStatus.SENT, StepStatus.RUNNING)
        if not is_live:
            return OutputInfo(wanted, recorded.get(wanted, ""), True, step_is_over)
        if pushed is None:
            return OutputInfo(wanted, "", False, False, "it runs on a worker, whose output is kept when it has ended")
        push, _ = pushed
        executor = executors.get(info.executor or "")
        if executor is None:
            return OutputInfo(
                wanted, "", False, False, f"the executor {info.executor!r} is not imported: name it by -A"
            )
        if push.external_id is None:
            return OutputInfo(wanted, "", False, False)
        outside = Push(push.id, push.attempt, push.external_id, push.batch, push.place)
        return OutputInfo(wanted, executor.read_output(outside), False, False)

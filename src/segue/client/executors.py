"""Executors that are polled, as users look at them: how their platforms are, and what their jobs print."""

from __future__ import annotations

from collections.abc import Sequence

from segue.client.given import guarded
from segue.client.output import OutputInfo, output_of
from segue.engine.engine import Engine
from segue.engine.platforms import ExecutorInfo, list_executors


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

        While it is outside, its platform is asked, if this process has imported its executor; while it runs on a
        worker, the worker is. Raises RunNotFoundError, StepNotFoundError, and BlindError if a platform does not answer.
        """
        return output_of(self._engine, run_id, step, attempt=attempt)

"""`Workbench`: workflows in a test, in a database of its own, whose time moves only when the test says so.

Nothing here is a mock: the engine, the database and the tasks are the real ones. Only the clock is in the test's hand,
and the tasks run in the test's own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from segue.authoring import Task, declared
from segue.authoring.declared import declared_limits, find_task
from segue.client import Run, Segue
from segue.clock import ManualClock
from segue.errors import SegueError
from segue.model import Job
from segue.plan.pushed import queue_of
from segue.scheduler.chores import do_chores, next_moment
from segue.worker.options import WorkerOptions
from segue.worker.pool.inline import InlinePool
from segue.worker.worker import Worker

_MOST_MOMENTS = 100_000
_LONGEST_RUN = timedelta(days=3650)


class WorkbenchError(SegueError, AssertionError):
    """A run is not as the test expects; the message says why it is as it is."""


class Workbench:
    """A `Segue` in a database whose clock stands still, and what works on its runs.

    `url` names an empty database; `start` is the time at which the clock begins (2026-01-01 UTC when left out). Close
    it, or use it as a context manager: tasks that were replaced are then as before.

    Example::

        with Workbench("sqlite:////tmp/test.db") as bench:
            run = bench.segue.start(order, 7)
            bench.work()                     # everything that is due now
            bench.advance(days=1)            # what happens in a day, in its order: retries, sleeps, timeouts, schedules
            bench.check(run, "failed", steps={"approve": "failed"})

    Tasks run in the calling thread, one after another, so the `timeout` of a task does not end it. Steps of executors
    are not run.
    """

    def __init__(self, url: str, *, start: datetime | None = None, **settings: Any) -> None:
        self.clock = ManualClock(start)
        self.segue = self.open(url, self.clock, **settings)
        self.segue.upgrade()
        self._replaced: dict[str, tuple[Task[..., Any], Callable[..., Any], bool]] = {}

    def open(self, url: str, clock: ManualClock, **settings: Any) -> Segue:
        """The database, with this clock; for subclasses that know a better one than the URL says."""
        return Segue(url, clock=clock, **settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database, and let all tasks be as before."""
        self.restore()
        self.segue.close()

    # Time and work ----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time in the database."""
        return self.clock.now()

    def work(self) -> None:
        """Run everything that is due at this moment: steps, and what follows from them; schedules; alarms."""
        while do_chores(self.segue.engine) + self._work_once():
            pass

    def advance(self, by: timedelta | None = None, /, **parts: float) -> None:
        """Let time pass, and do all that happens meanwhile, each thing at its time: `advance(hours=2)`.

        `parts` are those of `timedelta`. Raises ValueError for a time in the past.
        """
        span = (by or timedelta()) + timedelta(**parts)
        if span < timedelta():
            raise ValueError(f"the clock cannot go back by {-span}")
        self._advance_to(self.now + span, lambda: False)

    def run(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Start a run, let as much time pass as it needs, and return its result.

        Raises RunFailedError, and WorkbenchError if it waits for something that time does not bring, such as a message.
        """
        run = self.segue.start(work, *args, **kwargs)
        self.finish(run)
        return run.result()

    def finish(self, run: Run) -> Run:
        """Let as much time pass as the run needs to end. Raises WorkbenchError if it waits for something else."""
        self._advance_to(self.now + _LONGEST_RUN, lambda: run.status.is_final, stays=True)
        if not run.status.is_final:
            raise WorkbenchError(self._told(run, "does not end by itself, however much time passes"))
        return run

    # Tasks ------------------------------------------------------------------------------------------------------------

    def stub(self, task: Task[..., Any] | str, result: Any = None, *, calls: Callable[..., Any] | None = None) -> None:
        """Let a task return this result, or what `calls` returns for its arguments, instead of running."""
        self._replace(task, calls or (lambda *_args, **_kwargs: result))

    def fail(self, task: Task[..., Any] | str, error: BaseException, *, times: int | None = 1) -> None:
        """Let the next `times` calls of a task raise this error, all of them if it is None; then it runs as before."""
        found = self._found(task)
        left = [float("inf") if times is None else times]
        original, was_async = found.fn, found.is_async

        def failing(*args: Any, **kwargs: Any) -> Any:
            if left[0] <= 0:
                return original(*args, **kwargs)
            left[0] -= 1
            raise error

        async def failing_async(*args: Any, **kwargs: Any) -> Any:
            result = failing(*args, **kwargs)
            return await result

        self._replace(found, failing_async if was_async else failing, is_async=was_async)

    def restore(self) -> None:
        """Let all tasks be as before."""
        for task, function, is_async in self._replaced.values():
            task.fn, task.is_async = function, is_async
        self._replaced.clear()

    # What came of it --------------------------------------------------------------------------------------------------

    def check(
        self, run: Run, status: str | None = None, *, steps: Mapping[str, str] | None = None, result: Any = ...
    ) -> None:
        """Compare a run with what is expected. Raises WorkbenchError, which says why it is as it is.

        `steps` are statuses by the names of steps; steps that are not named may have any.
        """
        wrong = []
        if status is not None and run.status != status:
            wrong.append(f"is {run.status} and not {status}")
        known = {step.name: str(step.status) for step in run.steps()}
        for name, wanted in (steps or {}).items():
            found = known.get(name)
            if found is None:
                wrong.append(f"has no step {name!r}; it has {', '.join(known)}")
            elif found != wanted:
                wrong.append(f"has a step {name!r} that is {found} and not {wanted}")
        if not wrong and result is not ... and (given := run.result()) != result:
            wrong.append(f"has the result {given!r} and not {result!r}")
        if wrong:
            raise WorkbenchError(self._told(run, "; ".join(wrong)))

    # ------------------------------------------------------------------------------------------------------------------

    def _advance_to(self, end: datetime, is_done: Callable[[], bool], *, stays: bool = False) -> None:
        """Do what happens until `end`; with `stays`, the clock stands at the last thing that happened."""
        for _ in range(_MOST_MOMENTS):
            self.work()
            if is_done():
                return
            upcoming = next_moment(self.segue.engine)
            if upcoming is None or upcoming > end:
                break
            self._set(max(upcoming, self.now + timedelta(milliseconds=1)))
        else:
            raise WorkbenchError(
                f"more than {_MOST_MOMENTS:,} things happen until {end:%Y-%m-%d %H:%M}; advance by less, or pause the "
                "schedule that is due so often"
            )
        if not stays:
            self._set(end)
            self.work()

    def _set(self, moment: datetime) -> None:
        passed = (moment - self.now).total_seconds()
        if passed > 0:
            self.clock.advance(seconds=passed)

    def _work_once(self) -> int:
        """Run what is ready, and what follows from it now; returns how many attempts there were."""
        engine = self.segue.engine
        with engine.reading() as tx:
            queues = tuple(
                str(queue) for (queue,) in tx.all("queues_of_steps") if not str(queue).startswith(queue_of(""))
            )
        options = WorkerOptions(
            queues=queues or ("default",), concurrency=1, pool="inline", burst=True, awaits_timers=False
        )
        pool = _Counting(store=engine.store, payloads=engine.payloads)
        Worker(engine, pool, tasks=sorted(declared.tasks), options=options, limits=declared_limits()).run()
        return pool.count

    def _found(self, task: Task[..., Any] | str) -> Task[..., Any]:
        return find_task(task) if isinstance(task, str) else task

    def _replace(self, task: Task[..., Any] | str, function: Callable[..., Any], *, is_async: bool = False) -> None:
        found = self._found(task)
        self._replaced.setdefault(found.name, (found, found.fn, found.is_async))
        found.fn, found.is_async = function, is_async

    def _told(self, run: Run, what: str) -> str:
        reasons = [
            f"  {each.step}: is ready; work() runs it" if each.code == "no_worker" else f"  {each}"
            for each in run.explain()
        ]
        statuses = [
            f"  {step.name}: {step.status}" + (f", {step.error.type}: {step.error.message}" if step.error else "")
            for step in run.steps()
        ]
        return "\n".join([f"run {run.id} {what}", *reasons, "its steps:", *statuses])


class _Counting(InlinePool):
    """The inline pool, which also knows how many attempts it was given."""

    count = 0

    def submit(self, jobs: Sequence[Job]) -> None:
        """Keep these jobs, and count them."""
        self.count += len(jobs)
        super().submit(jobs)

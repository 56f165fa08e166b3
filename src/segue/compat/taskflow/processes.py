"""`Scheduler`, `Pusher` and `Worker`: Taskflow's processes, as Segue does their work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, NoReturn

from segue.authoring import declared
from segue.authoring.declared import declared_limits
from segue.client import Segue
from segue.compat.refusing import not_translated
from segue.compat.taskflow.definitions import Task, Workflow
from segue.compat.taskflow.options import AWS_BATCH
from segue.compat.taskflow.project import Taskflow
from segue.compat.taskflow.translating import PREFIX
from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.protocol import PolledExecutor
from segue.dispatcher.registry import executors
from segue.dispatcher.service import Dispatchers
from segue.errors import ConfigError, ScheduleNotFoundError
from segue.given import shown
from segue.scheduler.chores import Chores
from segue.worker.launch import described_code, make_pool, stopping_on_signals
from segue.worker.options import WorkerOptions
from segue.worker.worker import Worker as SegueWorker

HEARTBEAT_SECONDS = 60.0
_INSIDE = {
    "now": "The database's clock decides.",
    "queue_task": "Call task.get_new_instance(...).start(segue).",
    "queue_workflow": "Call workflow.get_new_instance(...).start(segue).",
    "queue_workflow_task": "The engine starts the tasks of a workflow.",
    "queue_workflow_tasks": "The engine starts the tasks of a workflow.",
    "schedule_recurring": "Call run(segue).",
    "advance_workflows_forward": "The engine starts the tasks of a workflow.",
    "fail_timedout_task_instances": "Workers end what is over its timeout.",
    "sync_task_states": "Call run(segue).",
    "push_queued_task_instances": "Call run(segue).",
    "get_push_destination": "Look into segue.dispatcher.registry.executors.",
}


class Scheduler:
    """Starts what is due, for a while or in one round. Several may run: a tick starts one run."""

    def __init__(self, taskflow: Taskflow, dry_run: bool = False, now_override: datetime | None = None) -> None:
        if now_override is not None:
            not_translated(
                "now_override", "The database's clock decides. To start ticks that are past: segue schedules backfill."
            )
        self.taskflow = taskflow
        self.dry_run = dry_run

    def __getattr__(self, name: str) -> NoReturn:
        _refuse(self, name)

    def run(self, segue: Any) -> list[str]:
        """One round: start what is due. With `dry_run` it starts nothing, and returns a line for each next tick."""
        _check(segue, "Scheduler(taskflow).run")
        if self.dry_run:
            return self.upcoming(segue)
        Chores(segue.engine).do_round()
        if self.taskflow.monitoring is not None:
            self.taskflow.monitoring.heartbeat_scheduler(None)
        return []

    def upcoming(self, segue: Segue) -> list[str]:
        """When each schedule of this taskflow starts something next."""
        lines = []
        defined: list[Workflow | Task] = [*self.taskflow.get_workflows(), *self.taskflow.get_tasks()]
        for each in defined:
            if each.schedule is None:
                continue
            try:
                info = segue.schedules.get(each.work.name)
            except ScheduleNotFoundError:
                lines.append(f"{each.name}: {each.schedule}, not stored yet: run a scheduler once")
                continue
            when = info.next_tick.isoformat() if info.next_tick is not None else "never"
            lines.append(f"{each.name}: {when if info.is_active else 'not active'}")
        return lines

    @contextmanager
    def working(self, segue: Segue) -> Iterator[None]:
        """While the block runs, start what is due, and take steps to the executors."""
        is_over = threading.Event()
        beats = threading.Thread(target=self._beat, args=(is_over,), name="taskflow-heartbeat", daemon=True)
        with ExitStack() as beside:
            beside.enter_context(Chores(segue.engine))
            found = destinations(self.taskflow)
            if found:
                beside.enter_context(Dispatchers(segue.engine, found))
            if self.taskflow.monitoring is not None:
                beats.start()
            try:
                yield
            finally:
                is_over.set()

    def _beat(self, is_over: threading.Event) -> None:
        while self.taskflow.monitoring is not None:
            self.taskflow.monitoring.heartbeat_scheduler(None)
            if is_over.wait(HEARTBEAT_SECONDS):
                return


class Pusher:
    """Takes steps to their push destinations, in one round."""

    def __init__(self, taskflow: Taskflow, dry_run: bool = False, now_override: datetime | None = None) -> None:
        if now_override is not None or dry_run:
            not_translated("dry_run and now_override of Pusher", "`segue explain RUN` says what waits.")
        self.taskflow = taskflow

    def __getattr__(self, name: str) -> NoReturn:
        _refuse(self, name)

    def run(self, segue: Any) -> int:
        """One round for each destination. Returns how many steps moved."""
        _check(segue, "Pusher(taskflow).run")
        return sum(Dispatcher(segue.engine, executor).run_once() for executor in destinations(self.taskflow))


class Worker:
    """Pulls tasks and runs them, one at a time, in a child process."""

    def __init__(self, taskflow: Taskflow) -> None:
        self.taskflow = taskflow

    def work(
        self, segue: Segue, *, seconds: float | None, task_names: Sequence[str] = (),
        until: Callable[[SegueWorker], object] | None = None, run_id: str | None = None,
    ) -> None:  # fmt: skip
        """Work for so long once it is ready, or until a signal; a running task may finish. Raises ConfigError."""
        modules = self.taskflow.modules
        pool = make_pool("process", 1, modules=modules, store=segue.engine.store, payloads=segue.engine.payloads)
        worker = SegueWorker(
            segue.engine, pool, tasks=self._stored(task_names), options=WorkerOptions(concurrency=1, run_id=run_id),
            limits=declared_limits(), code=described_code(),
        )  # fmt: skip
        if until is not None:
            until(worker)
        timer = threading.Timer(threading.TIMEOUT_MAX if seconds is None else seconds, worker.stop)
        timer.daemon = True
        with stopping_on_signals(worker):
            try:
                worker.run(on_ready=timer.start)
            finally:
                timer.cancel()

    def execute(self, session: Any, task_instance: Any) -> None:
        """Not here: a task instance is run by a worker, which has the right to it."""
        not_translated("Worker.execute", "Use `run_task ID`, or `segue worker -A module`.")

    def _stored(self, task_names: Sequence[str]) -> list[str]:
        """The names of tasks as Segue knows them. Without names, all that the code defines, also Segue's own."""
        unknown = [name for name in task_names if self.taskflow.get_task(name) is None]
        if unknown:
            there_are = ", ".join(sorted(task.name for task in self.taskflow.get_tasks())) or "none"
            raise ConfigError(f"There is no task {', '.join(map(repr, unknown))}. There are: {there_are}.")
        return sorted(PREFIX + name for name in task_names) if task_names else sorted(declared.tasks)


def destinations(taskflow: Taskflow) -> list[PolledExecutor]:
    """The executors that the tasks name, or that the code made. Raises ConfigError for one that is missing."""
    for task in taskflow.get_tasks():
        if task.push_destination is not None and task.push_destination not in executors:
            made = 'AWSBatch("aws_batch", ...)' if task.push_destination == AWS_BATCH else "docs/executors.md"
            raise ConfigError(
                f"{task} is pushed to {task.push_destination!r}, and no executor has that name. Make one in a module "
                f"that defines the tasks; see {made}."
            )
    return list(executors.values())


def wait(seconds: float | None, is_over: threading.Event) -> None:
    """Wait for the end of the time, or for a signal."""
    end = None if seconds is None else time.monotonic() + seconds
    while not is_over.wait(1.0 if end is None else max(0.0, min(1.0, end - time.monotonic()))):
        if end is not None and time.monotonic() >= end:
            return


def _refuse(of: object, name: str) -> NoReturn:
    kind = type(of).__name__
    if name in _INSIDE:
        not_translated(f"{kind}.{name}", _INSIDE[name])
    raise AttributeError(f"{kind!r} object has no attribute {name!r}")


def _check(segue: object, what: str) -> None:
    if not isinstance(segue, Segue):
        not_translated(f"{what}({shown(segue)})", f"Give a Segue: {what}(Segue(url)). It needs no session.")

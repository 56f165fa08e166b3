"""Why a step of an executor does not move: where its message is, since when, and who could take it.

Steps of executors whose own processes report (Celery) wait on queues such as `@celery:emails`: the executor, then the
broker's queue. Each such process is a worker whose pool is the name of the executor. Steps that are pushed to a polled
executor wait on `@hpc`, and no process has to be alive for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from segue.engine.views.look import StepInfo, WorkerInfo
from segue.engine.views.reason import Reason
from segue.model import RunStatus
from segue.times import duration, since


def alive_of(workers: Sequence[WorkerInfo], now: datetime) -> list[WorkerInfo]:
    """The workers that renew their leases and are not stopping."""
    return [worker for worker in workers if worker.lease_until >= now and worker.status == "running"]


def is_of_node(step: StepInfo) -> bool:
    """Whether processes of an executor send this step, run it, and report how it ended."""
    return step.executor is not None and step.queue.startswith(f"@{step.executor}:")


def why_sent(status: RunStatus, step: StepInfo, workers: Sequence[WorkerInfo], now: datetime) -> list[Reason]:
    """Where the message of a sent step is, when it will be looked for, and whether a process is there to take it."""
    text = f"attempt {step.attempt} was sent to {_where(step)} {since(step.sent_at, now)} ago, and has not begun"
    looked_for = "it is sent again" if is_of_node(step) else "its message is checked"
    if status is RunStatus.PAUSED:
        text += "; if it asks to begin while the run is paused, it is refused, and sent again after: segue resume RUN"
    elif step.cancel_requested:
        text += "; it was asked to end, and its executor has not reported that it did"
    elif step.sent_until is not None and step.sent_until <= now:
        text += f"; it is overdue by {since(step.sent_until, now)}: its message may be lost, and will be checked"
    elif step.sent_until is not None:
        text += f"; if it has not begun in {duration((step.sent_until - now).total_seconds())}, {looked_for}"
    if not is_of_node(step):
        return [Reason("sent", step.name, text)]
    alive = _nodes(step, workers, now)
    if alive:
        return [Reason("sent", step.name, f"{text}; {_alive(step, alive)}")]
    return [Reason("sent", step.name, text), _nobody(step, "was sent")]


def without_node(step: StepInfo, workers: Sequence[WorkerInfo], now: datetime) -> list[Reason]:
    """A reason if nothing is there to send this ready step."""
    return [] if _nodes(step, workers, now) else [_nobody(step, "is to be sent")]


def why_unsent(step: StepInfo, workers: Sequence[WorkerInfo], now: datetime, *, sent: int) -> Reason:
    """That a ready step which nothing holds back is about to be sent. `sent`: how many of its queue already were."""
    text = f"has been ready for {since(step.ready_at, now)}; it is to be sent to {_where(step)}"
    if sent:
        others = (
            "1 step of this queue was sent and has" if sent == 1 else f"{sent} steps of this queue were sent and have"
        )
        text += f" {others} not begun, and further ones follow when some of them have"
    return Reason("to_be_sent", step.name, f"{text}; {_alive(step, _nodes(step, workers, now))}")


def _where(step: StepInfo) -> str:
    where = step.executor or "an unknown executor"
    if is_of_node(step):
        where += f", queue {_queue(step)!r},"
    return f"{where} as {step.handle}" if step.handle else where


def _queue(step: StepInfo) -> str:
    """The broker's name of the queue."""
    return step.queue.partition(":")[2]


def _nodes(step: StepInfo, workers: Sequence[WorkerInfo], now: datetime) -> list[WorkerInfo]:
    return [worker for worker in alive_of(workers, now) if worker.pool == step.executor]


def _alive(step: StepInfo, alive: Sequence[WorkerInfo]) -> str:
    places = sum(worker.concurrency for worker in alive)
    if places == 0:  # its workers do not reach the database
        return f"a process that follows the tasks of {step.executor} is alive; check that a worker consumes this queue"
    who = "1 worker" if len(alive) == 1 else f"{len(alive)} workers"
    at_once = "1 task" if places == 1 else f"{places} tasks"
    verb = "is" if len(alive) == 1 else "are"
    return f"{who} of {step.executor} {verb} alive, for {at_once} at once; check that one consumes this queue"


def _nobody(step: StepInfo, what: str) -> Reason:
    text = f"{what} to {step.executor}, queue {_queue(step)!r}, but no worker of {step.executor} is alive"
    return Reason("no_worker", step.name, f"{text}; start one that consumes this queue")

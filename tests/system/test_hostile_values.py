"""Whatever a task hands over, in whichever pool: its own run ends, and the worker and the runs beside it go on."""

from __future__ import annotations

import random
import threading

import pytest

from segue import Segue
from segue.authoring import Task
from segue.model import RunStatus
from segue.worker.launch import known_tasks, make_pool
from segue.worker.worker import Worker, WorkerOptions
from tests.system import hostile_tasks
from tests.system.hostile_tasks import PLAIN, VALUES, WAYS, exception_kinds, fine, strike, strike_async

PATIENCE_SECONDS = 60.0
EXCEPTIONS_AT_ONCE = 120
VALUES_AT_ONCE = 120
MUST_FAIL = ("raise", "retry", "late retry", "reason")


def blows(pool: str, seed: str) -> list[tuple[Task[..., object], str, str]]:
    """What is tried in one test: each plain exception, and of the rest others in each test."""
    chance = random.Random(f"{pool} {seed}")
    looks = [kind for kind in exception_kinds() if kind not in PLAIN]
    tried = [("raise", kind) for kind in [*PLAIN, *chance.sample(looks, EXCEPTIONS_AT_ONCE)]]
    tried += chance.sample([(way, kind) for way in WAYS for kind in VALUES], VALUES_AT_ONCE)
    if pool == "inline":  # where a task that raises KeyboardInterrupt is taken for a person who does
        tried = [(way, kind) for way, kind in tried if not is_interrupt(way, kind)]
    return [(chance.choice((strike, strike_async)), way, kind) for way, kind in tried]


def is_interrupt(way: str, kind: str) -> bool:
    """Whether the task itself raises KeyboardInterrupt, and not only what it hands over."""
    is_raised = (
        way != "raise" or kind == "KeyboardInterrupt" or "/__setattr__/" in kind or "/__subclasscheck__/" in kind
    )
    return is_raised and "KeyboardInterrupt" in kind


def work(segue: Segue, pool: str) -> None:
    """A worker that works until nothing is left; fails when it ends otherwise, or does not end."""
    options = WorkerOptions(pool=pool, concurrency=4, burst=True)
    made = make_pool(pool, 4, modules=[hostile_tasks.__name__] if pool == "process" else (), store=segue.engine.store)
    worker = Worker(segue.engine, made, tasks=known_tasks(), options=options)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as exc:  # noqa: BLE001 - told to the test
            raised.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    still_works = thread.is_alive()
    worker.stop()
    worker.stop()
    for exc in raised:
        raise exc
    assert not still_works, [run.id for status in ("pending", "running") for run in segue.runs(status=status, limit=5)]


@pytest.mark.parametrize("pool", ["process", "thread", "async", "inline"])
def test_what_a_task_hands_over_costs_its_own_run_at_most(segue: Segue, pool: str) -> None:
    tried = blows(pool, segue.engine.store.dialect)
    runs = [(segue.start(target, way, kind), target, way, kind) for target, way, kind in tried]
    beside = [segue.start(fine) for _ in range(20)]
    work(segue, pool)
    assert {run.status for run in beside} == {RunStatus.SUCCEEDED}
    problems = []
    for run, target, way, kind in runs:
        status = run.status
        wanted = {RunStatus.FAILED}
        if way not in MUST_FAIL or "Skip" in kind:
            wanted.add(RunStatus.SUCCEEDED)
        if status not in wanted:
            problems.append((target.short_name, way, kind, status))
    assert not problems

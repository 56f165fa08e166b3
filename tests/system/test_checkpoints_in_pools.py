"""Checkpoints, sleeps and waits inside tasks, in every pool and on both databases."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from segue import Run, Segue
from segue.errors import RunFailedError
from segue.model import Gate, RunStatus
from segue.worker.launch import make_worker
from segue.worker.worker import WorkerOptions
from tests.contract.stage import connect
from tests.system import checkpoint_tasks
from tests.system.checkpoint_tasks import called

POOLS = ["process", "thread", "async", "inline"]


def work(segue: Segue, pool: str, *, run: Run | None = None) -> None:
    options = WorkerOptions(pool=pool, concurrency=2, burst=run is None, run_id=None if run is None else run.id)
    make_worker(segue.engine, options, modules=[checkpoint_tasks.__name__]).run()


def make_table(segue: Segue) -> None:
    segue.upgrade()
    with connect(segue.url) as connection:
        connection.execute("CREATE TABLE payments (number integer)")
        connection.commit()


def payments(segue: Segue) -> list[int]:
    with connect(segue.url) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM payments").fetchall()]


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_goes_on_where_it_was(segue: Segue, tmp_path: Path, pool: str) -> None:
    make_table(segue)
    path = str(tmp_path / "called")
    run = segue.start(checkpoint_tasks.trip, path)
    work(segue, pool)  # until it waits for a message, which is nothing to do
    [step] = run.steps()
    assert (step.status, step.gate, step.event, step.failures) == ("ready", Gate.TIMER, "approved", 1)
    [wait] = segue.approvals.list(name="approved")
    assert (wait.run_id, wait.step, wait.until) == (run.id, 0, None)
    assert [reason.code for reason in run.explain()] == ["waiting_for_event"]
    assert segue.engine.broken_invariants() == []
    assert run.send("approved", {"by": "ann"}).step == step.name
    assert segue.approvals.list() == []
    work(segue, pool)
    assert run.result() == ["b0", "b1", "b2", 7, "ann", "a", 1]
    assert (called(path), payments(segue)) == (["b0", "b1", "b2", "a"], [7])
    assert [(record.kind, record.name) for record in run.step(0).checkpoints()] == [
        ("checkpoint", "before 0"), ("checkpoint", "before 1"), ("checkpoint", "before 2"), ("sleep", ""),
        ("checkpoint", "paid"), ("wait", "approved"), ("checkpoint", "after"),
    ]  # fmt: skip
    assert [attempt.status for attempt in run.attempts()] == ["failed"]  # what was suspended is none
    assert segue.engine.broken_invariants() == []


@pytest.mark.parametrize("pool", ["async", "process", "inline"])
def test_async_functions_are_awaited(segue: Segue, tmp_path: Path, pool: str) -> None:
    path = str(tmp_path / "called")
    run = segue.start(checkpoint_tasks.trip_async, path)
    run.send("approved", {"by": "bob"})  # before it waits
    work(segue, pool, run=run)
    assert run.result() == ["b0", "b1", "b2", "bob", "a", 1]
    assert called(path) == ["b0", "b1", "b2", "a"]


def test_a_killed_process_repeats_nothing_that_was_recorded(segue: Segue, tmp_path: Path) -> None:
    make_table(segue)
    path = str(tmp_path / "called")
    run = segue.start(checkpoint_tasks.killed.options(retries=4, retry_delay=0.0).s(path))
    work(segue, "process", run=run)
    assert run.status is RunStatus.SUCCEEDED, [str(reason) for reason in run.explain()]
    assert run.result() == ["first", "second", 7]
    assert (called(path), payments(segue)) == (["first", "second", "second"], [7])
    assert run.steps()[0].failures == 4


def test_a_transactional_task_is_refused_by_name(segue: Segue) -> None:
    with pytest.raises(
        RunFailedError, match=r"checkpoint\('part'\) was called in .*all_in_one, which is transactional"
    ):
        segue.run(checkpoint_tasks.all_in_one)


def test_a_message_wakes_a_worker_that_sleeps(segue: Segue, tmp_path: Path) -> None:
    """A worker that runs meanwhile claims the step when the message is sent."""
    run = segue.start(checkpoint_tasks.trip_async, str(tmp_path / "called"))
    thread = threading.Thread(target=work, args=(segue, "inline"), kwargs={"run": run})
    thread.start()
    end = time.monotonic() + 30
    while not segue.approvals.list() and time.monotonic() < end:
        time.sleep(0.02)
    run.send("approved", {"by": "eve"})
    thread.join(30)
    assert run.result()[3] == "eve"

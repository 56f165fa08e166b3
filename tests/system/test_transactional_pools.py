"""Transactional tasks in every pool, on both databases: each row is there once, and agrees with what the run says."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from segue import Segue
from segue.model import RunStatus
from segue.worker import worker as worker_module
from segue.worker.launch import make_worker
from segue.worker.worker import WorkerOptions
from tests.contract.stage import connect
from tests.crash.worker_processes import eventually
from tests.system import payment_tasks

POOLS = ["process", "thread", "async", "inline"]


Payments = Callable[[], list[int]]


def open_till(segue: Segue) -> Payments:
    """A table for the tasks; what is committed in it."""
    segue.upgrade()
    with connect(segue.url) as connection:
        connection.execute("CREATE TABLE payments (number integer)")
        connection.commit()

    def committed() -> list[int]:
        with connect(segue.url) as connection:
            return sorted(row[0] for row in connection.execute("SELECT number FROM payments").fetchall())

    return committed


@pytest.fixture
def payments(segue: Segue) -> Payments:
    return open_till(segue)


def work(segue: Segue, pool: str) -> None:
    options = WorkerOptions(pool=pool, concurrency=2, burst=True)
    make_worker(segue.engine, options, modules=["tests.system.payment_tasks"]).run()


@pytest.mark.parametrize("pool", POOLS)
def test_everything_is_paid_once(segue: Segue, payments: Payments, pool: str) -> None:
    run = segue.start(payment_tasks.day)
    work(segue, pool)
    assert run.status is RunStatus.SUCCEEDED, [str(reason) for reason in run.explain()]
    assert (payments(), run.result()) == (payment_tasks.PAID, payment_tasks.RESULT)
    assert {step.name: str(step.status) for step in run.steps()}["change_mind"] == "skipped"
    on_record = {(attempt.status, (attempt.output or "").strip()) for attempt in run.attempts()}
    assert {("succeeded", "paid 7"), ("failed", ""), ("skipped", "")} <= on_record
    assert segue.engine.broken_invariants() == []


def test_a_run_in_this_process(segue: Segue, payments: Payments) -> None:
    assert segue.run(payment_tasks.day) == payment_tasks.RESULT
    assert payments() == payment_tasks.PAID


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_what_timed_out_was_never_written(
    segue: Segue, payments: Payments, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the task cannot be ended: its transaction is, and the next try can write at once."""
    monkeypatch.setattr(worker_module, "LOCK_SECONDS", 0.1)
    payment_tasks.let_go.clear()
    before = set(threading.enumerate())
    run = segue.start(payment_tasks.hang, 7)
    work(segue, pool)
    assert run.status is RunStatus.SUCCEEDED, [str(reason) for reason in run.explain()]
    assert [attempt.error and attempt.error.type for attempt in run.attempts()] == ["TimeoutError"]
    payment_tasks.let_go.set()
    eventually(lambda: not any(t.name == "segue-attempt" for t in set(threading.enumerate()) - before))
    assert (payments(), run.result()) == ([7], 7)


def test_what_was_cancelled_was_never_written(postgres_url: str) -> None:
    """Not on SQLite: who asks for it must wait for the lock that the task holds."""
    with Segue(postgres_url) as segue:
        payments = open_till(segue)
        run = segue.start(payment_tasks.pay_slowly, 7)
        options = WorkerOptions(pool="process", concurrency=1)
        worker = make_worker(segue.engine, options, modules=["tests.system.payment_tasks"])
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            eventually(lambda: run.status is RunStatus.RUNNING)
            run.cancel()
            run.wait(30)
        finally:
            worker.stop()
            worker.stop()
            thread.join()
        assert run.status is RunStatus.CANCELLED
        assert payments() == []

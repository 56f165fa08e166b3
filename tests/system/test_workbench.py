"""What an author of workflows does in tests of their own: time is moved by hand, tasks fail when they are told to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segue import group, shell, sleep, task, wait_for, workflow
from segue.errors import RunFailedError
from segue.testing import Workbench, WorkbenchError

CALLS: list[Any] = []


@task(name="bench.charge", retries=3, retry_delay=600, retry_jitter=0.0)
def charge(amount: int) -> str:
    CALLS.append(amount)
    return f"paid {amount}"


@task(name="bench.slow", queue="elsewhere")
async def slow(word: str) -> str:
    return word.upper()


@task(name="bench.ship")
def ship(*words: Any) -> str:
    return " and ".join(str(word) for word in words)


@workflow(name="bench.order")
def order(amount: int) -> Any:
    paid = charge(amount)
    approved = wait_for("approval", timeout=86_400).after(paid)
    return ship(paid, approved)


@workflow(name="bench.later")
def later() -> Any:
    return ship(slow("a").after(sleep(30 * 86_400)), slow("b"))


@workflow(name="bench.patient")
def patient() -> Any:
    return ship(wait_for("word"))


@pytest.fixture
def bench(database_url: str) -> Iterator[Workbench]:
    CALLS.clear()
    with Workbench(database_url) as bench:
        yield bench


def test_nobody_approves_for_a_day_in_milliseconds(bench: Workbench) -> None:
    run = bench.segue.start(order, 7)
    bench.work()
    bench.check(run, "running", steps={"charge": "succeeded"})
    bench.advance(hours=23)
    bench.check(run, "running")
    bench.advance(hours=2)
    bench.check(run, "failed")
    assert run.info().finished_at == datetime(2026, 1, 2, tzinfo=UTC)


def test_an_approval_in_time(bench: Workbench) -> None:
    run = bench.segue.start(order, 7)
    bench.advance(hours=5)
    run.send("approval", "yes")
    bench.work()
    bench.check(run, "succeeded", result="paid 7 and yes")
    assert run.info().finished_at == datetime(2026, 1, 1, 5, tzinfo=UTC)


def test_a_task_that_fails_twice_is_tried_again_at_its_times(bench: Workbench) -> None:
    bench.fail(charge, OSError("the bank is away"), times=2)
    assert bench.run(charge, 5) == "paid 5"
    assert bench.now - datetime(2026, 1, 1, tzinfo=UTC) >= timedelta(seconds=1200)
    assert CALLS == [5]
    bench.fail("bench.charge", OSError("for ever"), times=None)
    with pytest.raises(RunFailedError, match="for ever"):
        bench.run(charge, 6)
    bench.restore()
    assert bench.run(charge, 7) == "paid 7"


def test_stubs_async_tasks_and_other_queues(bench: Workbench) -> None:
    bench.stub(slow, calls=lambda word: f"<{word}>")
    began = bench.now
    assert bench.run(later) == "<a> and <b>"
    assert bench.now - began == timedelta(days=30)
    bench.restore()
    bench.fail(slow, OSError("once"))
    assert bench.run(group(slow.options(retries=1).s("x"), shell.s("echo {}", "hi")))[0] == "X"


def test_what_never_ends_by_itself_says_why(bench: Workbench) -> None:
    run = bench.segue.start(patient)
    with pytest.raises(WorkbenchError, match=r"however much time passes[\s\S]*segue send"):
        bench.finish(run)
    run.send("word", "at last")
    bench.check(bench.finish(run), "succeeded", result="at last")


def test_a_wrong_expectation_says_what_is_there(bench: Workbench) -> None:
    bench.fail(charge, ValueError("no such card"), times=None)
    run = bench.segue.start(order, 7)
    bench.advance(hours=1)
    with pytest.raises(WorkbenchError, match="no such card"):
        bench.check(run, "succeeded")
    with pytest.raises(WorkbenchError, match="has no step 'pay'; it has"):
        bench.check(run, steps={"pay": "failed"})
    with pytest.raises(ValueError, match="cannot go back"):
        bench.advance(hours=-1)


def test_schedules_tick_at_their_times(bench: Workbench) -> None:
    bench.segue.schedules.create("nightly", charge, 1, schedule="0 3 * * *")
    bench.advance(days=3)
    found = sorted(run.created_at for run in bench.segue.runs())
    assert [moment.hour for moment in found] == [3, 3, 3]
    assert CALLS == [1, 1, 1]


def test_it_is_quick(bench: Workbench) -> None:
    began = time.monotonic()
    for _ in range(5):
        bench.run(later)
    assert time.monotonic() - began < 30  # five times thirty days

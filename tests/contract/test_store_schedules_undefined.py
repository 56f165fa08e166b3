"""Schedules of what no live process defines: they say so, and their runs do not pile up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.engine.definitions import LIVE_FOR, write_code_version
from segue.engine.identity import WorkerIdentity
from segue.model import Overlap
from segue.plan.code_version import CodeVersion
from segue.scheduler import undefined
from segue.scheduler.ticking import TICKS_AT_ONCE
from segue.scheduler.undefined import RESTART
from tests.contract.scheduling import NAME, Clockwork
from tests.contract.stage import LEASE_SECONDS, TASK, Stage, connect, node, plan, succeeded
from tests.contract.test_store_definitions import defined


@pytest.fixture
def clockwork(one_stage: Stage) -> Iterator[Clockwork]:
    one_stage.renew()
    yield Clockwork(one_stage)
    assert one_stage.engine.broken_invariants() == []


def minute(clockwork: Clockwork, *workers: WorkerIdentity) -> None:
    """One more minute, in which these workers renew their leases."""
    for _ in range(6):
        clockwork.stage.advance(10)
        for worker in workers:
            clockwork.stage.turn(by=worker, heartbeat="running")
    clockwork.decide()


def problem(clockwork: Clockwork) -> str | None:
    return clockwork.schedules.get(NAME).problem


def hire(clockwork: Clockwork, *tasks: str) -> WorkerIdentity:
    return clockwork.stage.hire("worker", tasks=tasks)


@pytest.mark.parametrize("overlap", Overlap)
def test_at_most_one_run_waits_for_a_task_that_no_live_worker_defines(clockwork: Clockwork, overlap: Overlap) -> None:
    other = hire(clockwork, "app.other")
    clockwork.create(overlap=overlap)
    for _ in range(6):
        minute(clockwork, other)
    assert sum(not run.status.is_final for run in clockwork.runs()) == 1
    if overlap in (Overlap.ALLOW, Overlap.QUEUE_ALL):
        [first, *later] = clockwork.ticks()
        assert first.status == "started"
        expected = f"run {first.run_id} waits for the task {TASK}, which no live worker defines"
        assert {(tick.status, tick.reason) for tick in later} == {("skipped", expected)}


def test_of_ticks_that_are_caught_up_at_once_one_starts(clockwork: Clockwork) -> None:
    clockwork.create(overlap="allow", catch_up="all")
    clockwork.stage.advance(10 * 60)
    hire(clockwork, "app.other")
    clockwork.decide()
    assert [tick.status for tick in clockwork.ticks()] == ["started", *["skipped"] * 9]


def test_ticks_start_again_once_a_worker_defines_the_task(clockwork: Clockwork) -> None:
    other = hire(clockwork, "app.other")
    clockwork.create(overlap="allow")
    for _ in range(3):
        minute(clockwork, other)
    hire(clockwork, TASK)
    clockwork.tick()
    assert [tick.status for tick in clockwork.ticks()] == ["started", "skipped", "skipped", "started"]
    clockwork.schedules.backfill(NAME, clockwork.at(1), clockwork.at(3), overlap="allow")
    assert [tick.status for tick in clockwork.ticks()] == ["started"] * 4


def test_a_task_further_on_in_the_plan_counts_too(clockwork: Clockwork) -> None:
    """The first step runs, and then the run waits for the second."""
    work = plan(node("a"), node("b", 0, task="app.gone"))
    worker = hire(clockwork, TASK)
    clockwork.create(work=work, overlap="allow")
    for _ in range(4):
        minute(clockwork, worker)
        for job in clockwork.stage.claim(by=worker):
            clockwork.stage.turn(succeeded(job), by=worker)
    assert len(clockwork.runs()) == 1
    assert "which no live worker defines" in str(clockwork.ticks()[-1].reason)


def test_a_restart_of_the_worker_loses_no_tick(clockwork: Clockwork) -> None:
    """Others live meanwhile."""
    other, gone = hire(clockwork, "app.other"), hire(clockwork, TASK)
    clockwork.create(overlap="allow")
    minute(clockwork, other, gone)
    clockwork.stage.engine.unregister(gone)
    minutes = int(RESTART.total_seconds() // 60)
    for _ in range(minutes + 5):
        minute(clockwork, other)
    started = [tick.status for tick in clockwork.ticks()].count("started")
    assert minutes <= started <= minutes + 2
    assert clockwork.ticks()[-1].status == "skipped"


def test_while_no_worker_lives_runs_wait_up_to_a_bound(clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at once for each batch of ticks that are caught up."""
    monkeypatch.setattr(undefined, "MOST_WAITING", 2 * TICKS_AT_ONCE)
    clockwork.create(overlap="allow", catch_up="all")
    clockwork.stage.advance(60 * (2 * TICKS_AT_ONCE + 50))
    clockwork.decide()
    ticks = clockwork.ticks()
    assert [tick.status for tick in ticks] == ["started"] * 2 * TICKS_AT_ONCE + ["skipped"] * 50
    assert ticks[-1].reason == f"200 runs wait, the oldest is {ticks[0].run_id}, and no worker is running"


def test_runs_that_only_wait_for_a_place_are_not_bounded(clockwork: Clockwork) -> None:
    busy = hire(clockwork, TASK)
    clockwork.create(overlap="allow")
    for _ in range(5):
        minute(clockwork, busy)
    assert [tick.status for tick in clockwork.ticks()] == ["started"] * 5


# What the list says --------------------------------------------------------------------------------------------------


def test_a_schedule_of_a_task_that_no_live_worker_defines_says_so(clockwork: Clockwork) -> None:
    clockwork.create()
    assert problem(clockwork) is None  # no worker lives, which is said elsewhere
    hire(clockwork, "app.other")
    assert problem(clockwork) == (
        f"undefined: no live worker defines the task {TASK}, so its runs wait; was it renamed? Start a worker with -A "
        "naming its module, or remove the schedule"
    )
    assert [each.problem for each in clockwork.schedules.list()] == [problem(clockwork)]
    hire(clockwork, TASK)
    assert problem(clockwork) is None


def test_a_schedule_that_is_switched_off_says_nothing(clockwork: Clockwork) -> None:
    hire(clockwork, "app.other")
    clockwork.create(active=False)
    assert problem(clockwork) is None


def test_what_the_engine_does_itself_needs_no_worker(clockwork: Clockwork) -> None:
    hire(clockwork, TASK)
    clockwork.create(work=plan(node("a"), node("b", 0, task="segue.sleep")))
    assert problem(clockwork) is None


def test_a_schedule_of_a_workflow_that_no_live_code_defines_says_so(clockwork: Clockwork) -> None:
    stage = clockwork.stage
    clockwork.create()
    with connect(stage.store.url) as connection:  # as a process that knew the workflow made it
        connection.execute("UPDATE segue_schedules SET plan = NULL, workflow = 'app.nightly'")
        connection.commit()
    code = CodeVersion("1" * 16, (defined("app.other", kind="workflow"),))
    identity = stage.hire("of unknown code")
    assert problem(clockwork) is None  # it may define the workflow
    stage.engine.unregister(identity)
    _hire_with(stage, code)
    stage.engine.act(write_code_version, code)
    assert str(problem(clockwork)).startswith(
        "undefined: no live worker or scheduler defines the workflow app.nightly; was it renamed?"
    )
    scheduler = CodeVersion("2" * 16, (defined("app.nightly", kind="workflow"),))
    stage.engine.act(write_code_version, scheduler)
    assert problem(clockwork) is None  # a process that does the chores knows it
    for _ in range(int(LIVE_FOR.total_seconds() // 60) + 1):
        minute(clockwork)
    _hire_with(stage, code)
    assert "app.nightly" in str(problem(clockwork))


def _hire_with(stage: Stage, code: CodeVersion) -> None:
    identity = WorkerIdentity(stage.engine.new_id(), "worker", ("default",), (TASK,), LEASE_SECONDS)
    stage.engine.register(identity, pool="thread", concurrency=1, version="0", code_version=code.version)

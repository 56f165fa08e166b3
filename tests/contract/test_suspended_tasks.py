"""Sleeps and waits inside tasks, and what people do to steps whose tasks have recorded something."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from segue import Skip, checkpoint, current, group, sleep, task, wait_for, workflow
from segue.cli.root import segue as command
from segue.engine.chores import delete_runs
from segue.errors import WaitTimeoutError
from segue.testing import Workbench
from tests.contract.recording import (
    BODY,
    CALLS,
    alone,
    call,
    scripted,
    start,
    two,
)
from tests.contract.stage import connect
from tests.crash.working import let_leases_run_out

# Sleeps and waits -----------------------------------------------------------------------------------------------------


def test_a_sleep_gives_the_worker_back_and_is_no_try(bench: Workbench) -> None:
    @task(name="checkpoints.sleeper", retries=0)
    def sleeper() -> int:
        for _ in range(3):
            CALLS.append(current().attempt)
            sleep(timedelta(hours=1))
        sleep(until=datetime(2026, 1, 1, tzinfo=UTC))
        return current().failures

    run = bench.segue.start(sleeper)
    bench.work()
    [step] = run.steps()
    assert (step.status, step.gate, step.ready_at) == ("ready", "timer", bench.now + timedelta(hours=1))
    assert "sleeps until" in str(run.explain()[0])
    bench.advance(minutes=59)
    assert CALLS == [1]
    bench.finish(run)
    assert (run.result(), CALLS) == (0, [1, 2, 2, 3, 3, 3, 4, 4, 4])
    assert run.attempts() == []


def test_a_task_that_sleeps_well_forgets_the_workers_that_it_lost(bench: Workbench) -> None:
    def body() -> int:
        for number in range(3):
            sleep(10)
            if number not in CALLS:  # its worker is lost here, once
                CALLS.append(number)
                let_leases_run_out(bench.segue.url)
                bench.segue.engine.rescue()
        return 1

    run = start(bench, body, scripted.options(lost_retries=1).s())
    bench.finish(run)
    assert (run.status, CALLS) == ("succeeded", [0, 1, 2])
    assert [attempt.status for attempt in run.attempts()] == ["lost"] * 3


def test_a_message_and_a_timeout(bench: Workbench) -> None:
    def body() -> list[Any]:
        first = wait_for("word", timeout=60)
        try:
            wait_for("word", timeout=60)
        except WaitTimeoutError:
            CALLS.append("late")
        return [first, wait_for("word", timeout=60, default=None), wait_for("word")]

    run = start(bench, body)
    bench.advance(seconds=59)
    assert run.send("word", 1).step == run.steps()[0].name
    bench.work()
    bench.advance(seconds=60)  # the second gives up, and the third begins
    bench.advance(seconds=60)
    [wait] = bench.segue.approvals.list()
    assert (wait.name, wait.until) == ("word", None)
    bench.advance(days=3000)
    assert not run.status.is_final
    run.send("word", 4)
    bench.work()
    assert (run.result(), set(CALLS)) == ([1, None, 4], {"late"})


def test_a_message_goes_to_whoever_has_waited_longest(bench: Workbench) -> None:
    BODY[:] = [lambda: wait_for("vote")]

    @workflow(name="checkpoints.votes")
    def votes() -> Any:
        return group(scripted.options(name="inside").s(), wait_for.options(after=[sleep(10)], name="step").s("vote"))()

    run = bench.segue.start(votes)
    bench.work()
    bench.advance(seconds=20)
    assert [run.send("vote", number).step for number in range(3)] == ["inside", "step", None]
    bench.work()
    assert run.result() == [0, 1]


def test_a_message_to_a_paused_run_is_kept_for_its_task(bench: Workbench) -> None:
    run = start(bench, lambda: wait_for("go"))
    run.pause()
    run.send("go", 5)
    bench.work()
    assert run.status == "paused"
    run.resume()
    bench.work()
    assert run.result() == 5


def test_a_message_that_came_between_the_record_and_the_suspension(bench: Workbench) -> None:
    def body() -> Any:
        try:
            return wait_for("go")
        finally:
            if current().attempt == 1:  # the wait is recorded; the attempt has not ended yet
                CALLS.append(bench.segue.get(current().run_id).send("go", 1).step)

    run = start(bench, body)
    assert (run.result(), CALLS) == (1, [run.steps()[0].name])


def test_whoever_catches_the_suspension_changes_nothing(bench: Workbench) -> None:
    def body() -> str:
        try:
            sleep(60)
        except BaseException:  # noqa: BLE001 - as careless code does
            CALLS.append("caught")
            return "too early"
        return "awake"

    run = start(bench, body)
    assert not run.status.is_final
    bench.advance(seconds=60)
    assert (run.result(), CALLS) == ("awake", ["caught"])


def test_a_sleeping_task_holds_no_place_of_a_limit(bench: Workbench) -> None:
    run = bench.segue.start(group(alone.s("sleeper"), alone.s("other")))
    bench.work()
    assert CALLS == ["sleeper", "other"]
    bench.finish(run)
    assert run.result() == ["sleeper", "other"]


def test_a_cancelled_run_does_not_wake_its_tasks(bench: Workbench) -> None:
    run = start(bench, lambda: call("again") and sleep(60))
    run.cancel()
    bench.advance(seconds=100)
    assert (run.status, CALLS) == ("cancelled", ["again"])


# What people do -------------------------------------------------------------------------------------------------------


def twice_broken() -> Any:
    found = checkpoint("part", call, 1)
    if not CALLS.count("mended"):
        raise Skip if CALLS.count("skip") else OSError
    return found


def test_a_retry_goes_on_and_a_fresh_one_does_not(bench: Workbench) -> None:
    run = start(bench, twice_broken, two)
    assert (run.status, CALLS) == ("failed", [1])
    copy, edited = run.fork("scripted"), run.fork("scripted", kwargs={})
    CALLS.append("mended")
    run.retry()
    bench.work()
    assert (run.result(), copy.result(), edited.result(), CALLS) == (1, 1, 1, [1, "mended"])
    run.retry("scripted")  # it had succeeded: all is done again
    bench.work()
    assert (run.result(), CALLS) == (1, [1, "mended", 1])
    assert [record.attempt for record in copy.step("scripted").checkpoints()] == [0]


def test_fresh_forgets_what_a_failed_step_recorded(bench: Workbench) -> None:
    run = start(bench, twice_broken, two)
    CALLS.append("mended")
    run.retry(fresh=True)
    bench.work()
    assert (run.result(), CALLS) == (1, [1, "mended", 1])


def test_the_command_line_shows_what_was_recorded(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> Any:
        checkpoint("part", call, "x" * 200)
        return wait_for("go")

    run = start(bench, body)
    monkeypatch.setenv("SEGUE_DATABASE_URL", bench.segue.url)
    shown = CliRunner().invoke(command, ["show", run.id, "--step", "scripted"], catch_exceptions=False).output
    assert "waits for 'go' inside its task" in shown
    assert "9999" not in shown
    [first, second] = [line.split() for line in shown.splitlines() if line.strip()[:2] in ("1 ", "2 ")]
    assert (first[1], first[2], first[-1][-1]) == ("part", "1", "…")
    assert (second[1:4], second[-1]) == (["wait", "go", "1"], "waits")
    told = json.loads(CliRunner().invoke(command, ["show", run.id, "--step", "scripted", "--json"]).output)
    assert [(each["number"], each["kind"], each["attempt"]) for each in told["checkpoints"]] == [
        (1, "checkpoint", 1), (2, "wait", 1),
    ]  # fmt: skip


def test_pruned_runs_take_their_checkpoints_with_them(bench: Workbench) -> None:
    run = start(bench, lambda: checkpoint("part", call, 1))
    assert bench.segue.engine.act(lambda act: delete_runs(act.tx, [run.id])) == 1
    with connect(bench.segue.url) as connection:
        assert connection.execute("SELECT count(*) FROM segue_checkpoints").fetchone()[0] == 0

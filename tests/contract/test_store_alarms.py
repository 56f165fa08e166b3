"""Alarms: deadlines, SLAs, schedule_to_start, timeouts of waits. Late, twice, by two at once: exactly one effect."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from segue.engine import alarms
from segue.engine.alarms import ring_alarms
from segue.engine.pausing import pause_run, resume_run
from segue.model import Gate, Hole, Ref, RunStatus
from segue.plan.graph import LimitTerms, LimitUse, Plan, RunTerms, Sla
from tests.contract.by_hand import retry
from tests.contract.stage import LEASE_SECONDS, TASK, Stage, connect, expanded, failed, node, plan, succeeded
from tests.contract.test_store_lock_order import at_once
from tests.contract.test_store_waits import results, send, sleep, wait


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def ring(stage: Stage) -> int:
    return stage.engine.act(ring_alarms)


def ring_after(stage: Stage, seconds: float) -> None:
    """Let time pass, and ring what has come due by then."""
    stage.advance(seconds)
    while ring(stage):
        pass


def events(stage: Stage, run_id: str) -> list[tuple[str, str | None]]:
    """The kinds of what was written down about a run, each with the name of its step."""
    with connect(stage.store.url) as connection:
        rows = connection.execute(
            "SELECT e.kind, s.name FROM segue_events e "
            "LEFT JOIN segue_steps s ON s.run_id = e.run_id AND s.step = e.step "
            f"WHERE e.run_id = '{run_id}' ORDER BY e.id"
        ).fetchall()
    return [(kind, name) for kind, name in rows]


def alarms_left(stage: Stage) -> list[tuple[int, str]]:
    """Those that will still ring."""
    sql = "SELECT step, kind FROM segue_alarms WHERE due_at < '9000-01-01 00:00:00' ORDER BY step, kind"
    with connect(stage.store.url) as connection:
        return [tuple(row) for row in connection.execute(sql)]


def rows_of_alarms(stage: Stage) -> int:
    with connect(stage.store.url) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM segue_alarms").fetchall()
    return int(count)


def on_terms(*nodes: Any, **terms: Any) -> Plan:
    fields = {key: terms.pop(key) for key in ("fail_fast", "result") if key in terms}
    return plan(*nodes, terms=RunTerms(**terms), **fields)


# Waits ----------------------------------------------------------------------------------------------------------------


def test_a_wait_that_takes_too_long_fails(stage: Stage) -> None:
    run_id = stage.start(plan(wait("approved", timeout=60), node("b", 0)))
    ring_after(stage, 59)
    assert stage.statuses(run_id)["approved"] == "ready"
    ring_after(stage, 1)
    assert stage.statuses(run_id) == {"approved": "failed", "b": "skipped"}
    error = stage.run(run_id).error
    assert error is not None
    assert (error.type, error.message) == ("WaitTimeout", "'approved' was not sent within 60 s")
    assert alarms_left(stage) == []


@pytest.mark.parametrize("default", [None, {"ok": False}, [1, 2]])
def test_a_wait_with_a_default_takes_that_instead(stage: Stage, default: object) -> None:
    run_id = stage.start(plan(wait("approved", timeout=60, default=default), node("b", 0), result=Ref(0)))
    ring_after(stage, 60)
    assert stage.statuses(run_id) == {"approved": "succeeded", "b": "ready"}
    stage.work()
    assert stage.result(run_id) == default


def test_a_default_may_be_the_result_of_another_step(stage: Stage) -> None:
    holes = (Hole((1, "default"), Ref(0)), Hole((1, "timeout"), Ref(0, ("seconds",))))
    asked = node("w", 0, task="segue.wait_for", args='[["x"],{"timeout":null,"default":null}]', holes=holes)
    run_id = stage.start(plan(node("a"), asked))
    stage.turn(succeeded(*stage.claim(), {"seconds": 5}))
    ring_after(stage, 5)
    assert results(stage, run_id)["w"] == {"seconds": 5}


def test_a_message_in_time_takes_the_alarm_away(stage: Stage) -> None:
    run_id = stage.start(plan(wait("approved", timeout=60)))
    send(stage, run_id, "approved", 1)
    assert alarms_left(stage) == []
    ring_after(stage, 100)
    assert stage.run(run_id).status == "succeeded"


def test_a_message_that_comes_after_the_time_but_before_the_ringing_counts(stage: Stage) -> None:
    run_id = stage.start(plan(wait("approved", timeout=60)))
    stage.advance(61)
    send(stage, run_id, "approved", 1)
    ring_after(stage, 0)
    assert results(stage, run_id)["approved"] == 1


def test_a_wait_that_fails_ends_a_run_that_fails_fast(stage: Stage) -> None:
    run_id = stage.start(plan(wait("approved", timeout=60), node("other"), node("h", hook="finally"), fail_fast=True))
    ring_after(stage, 60)
    assert stage.statuses(run_id) == {"approved": "failed", "other": "cancelled", "h": "ready"}
    stage.work()
    assert stage.run(run_id).status == "failed"


def test_a_wait_in_a_paused_run_times_out_and_nothing_starts(stage: Stage) -> None:
    nap = sleep("nap", 0, seconds=9)
    run_id = stage.start(plan(wait("approved", timeout=60, default=1), node("b", 0), nap))
    stage.engine.act(pause_run, run_id)
    ring_after(stage, 60)
    assert [step.gate for step in stage.steps(run_id)] == [None, Gate.PAUSED, Gate.PAUSED]


def test_an_alarm_of_an_earlier_wait_does_not_end_a_later_one(stage: Stage) -> None:
    run_id = stage.start(plan(wait("approved", timeout=60)))
    with stage.store.transaction() as tx:
        early = (run_id, 0, "wait", tx.time(stage.clock.now() + timedelta(seconds=10)), 10.0)
        tx.each("put_alarms", [early])
    ring_after(stage, 59)
    assert stage.statuses(run_id) == {"approved": "ready"}
    ring_after(stage, 1)
    assert stage.statuses(run_id) == {"approved": "failed"}


def test_a_cancelled_wait_leaves_nothing_to_ring(stage: Stage) -> None:
    run_id = stage.start(plan(wait("approved", timeout=60)))
    stage.cancel(run_id)
    ring_after(stage, 60)
    assert stage.statuses(run_id) == {"approved": "cancelled"}
    assert alarms_left(stage) == []


# The deadline of a run ------------------------------------------------------------------------------------------------


def test_a_run_that_has_not_ended_at_its_deadline_fails_and_is_finalised(stage: Stage) -> None:
    nodes = (node("a"), node("b", 0), wait("w"), node("h", hook="finally"), node("bad", hook="on_failure"))
    run_id = stage.start(on_terms(*nodes, deadline=60.0))
    [a] = stage.claim()
    ring_after(stage, 60)
    assert stage.run(run_id).ending == "failed"
    assert stage.turn(cancels=True).cancels == [(run_id, 0, 1)]
    stage.work({})
    stage.turn(failed(a))
    stage.work()
    run = stage.run(run_id)
    assert run.error is not None
    assert (run.status, run.error.type) == ("failed", "DeadlineExceeded")
    assert run.error.message == "it had not ended 60 s after its start"
    assert stage.statuses(run_id) == {
        "a": "cancelled", "b": "cancelled", "w": "cancelled", "h": "succeeded", "bad": "succeeded"
    }  # fmt: skip
    assert events(stage, run_id) == [("run.deadline", None)]


def test_a_deadline_means_nothing_to_a_run_that_ended_or_ends_already(stage: Stage) -> None:
    done = stage.start(on_terms(node("a"), deadline=60.0))
    stage.work()
    ending = stage.start(on_terms(node("a"), node("h", hook="finally"), deadline=60.0))
    stage.work({"h": lambda job: failed(job, retryable=False)})
    hooked = stage.start(on_terms(node("a"), wait("w", hook="finally"), deadline=60.0))
    stage.work()
    ring_after(stage, 60)
    assert [stage.run(run_id).status for run_id in (done, ending, hooked)] == ["succeeded", "failed", "running"]
    assert [events(stage, run_id) for run_id in (done, ending, hooked)] == [[], [], []]
    assert alarms_left(stage) == []


def test_a_paused_run_ends_at_its_deadline_with_its_finalizers(stage: Stage) -> None:
    run_id = stage.start(on_terms(node("a"), node("h", hook="finally"), deadline=60.0))
    stage.engine.act(pause_run, run_id)
    ring_after(stage, 60)
    assert stage.statuses(run_id) == {"a": "cancelled", "h": "ready"}
    stage.work()
    assert stage.run(run_id).status == RunStatus.FAILED


def test_a_start_that_finds_its_key_taken_sets_no_alarm(stage: Stage) -> None:
    for _ in range(2):
        stage.start(on_terms(node("a"), deadline=60.0), key="k")
    assert len(alarms_left(stage)) == 1


# Alerts ---------------------------------------------------------------------------------------------------------------


def test_a_run_that_is_late_is_told_of_once(stage: Stage) -> None:
    run_id = stage.start(on_terms(node("a"), sla=Sla(start=10.0, end=30.0)))
    ring_after(stage, 10)
    assert events(stage, run_id) == [("run.late_start", None)]
    stage.claim()
    ring_after(stage, 20)
    ring_after(stage, 100)
    assert events(stage, run_id) == [("run.late_start", None), ("run.late_end", None)]
    assert stage.run(run_id).status == "running"


def test_what_is_in_time_is_not_told_of(stage: Stage) -> None:
    run_id = stage.start(on_terms(node("a", sla=Sla(start=10.0, end=30.0)), sla=Sla(start=10.0, end=30.0)))
    stage.advance(10)
    stage.work()
    ring_after(stage, 100)
    assert events(stage, run_id) == []
    assert alarms_left(stage) == []


def test_what_counts_is_the_time_and_not_when_somebody_looked(stage: Stage) -> None:
    late = stage.start(on_terms(node("a", sla=Sla(end=10.0)), sla=Sla(start=10.0)))
    stage.advance(11)
    stage.work()
    ring_after(stage, 3600)
    assert events(stage, late) == [("run.late_start", None), ("step.late_end", "a")]


def test_steps_are_told_of_with_their_names(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0, sla=Sla(start=10.0, end=20.0)), node("c", sla=Sla(end=20.0))))
    ring_after(stage, 20)
    assert sorted(events(stage, run_id)) == [("step.late_end", "b"), ("step.late_end", "c"), ("step.late_start", "b")]


def test_a_step_that_is_tried_again_began_with_its_first_try(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1, sla=Sla(start=10.0))))
    stage.advance(5)
    stage.turn(failed(*stage.claim()))
    stage.advance(6)
    stage.claim()
    ring_after(stage, 1)
    assert events(stage, run_id) == []


def test_a_run_that_was_cancelled_before_it_was_late_is_not_late(stage: Stage) -> None:
    run_id = stage.start(on_terms(node("a", sla=Sla(start=10.0)), sla=Sla(start=10.0, end=10.0)))
    stage.advance(5)
    stage.cancel(run_id)
    ring_after(stage, 10)
    assert [kind for kind, _ in events(stage, run_id) if "late" in kind] == []


def test_steps_of_a_returned_plan_count_from_when_they_were_added(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.advance(100)
    inner = plan(node("x", sla=Sla(start=10.0)), node("y", 0, schedule_to_start=5.0), wait("w", timeout=7))
    stage.turn(expanded(*stage.claim(), inner))
    ring_after(stage, 9)
    assert stage.statuses(run_id) == {"a": "blocked", "x": "ready", "y": "blocked", "w": "failed"}
    assert events(stage, run_id) == []
    ring_after(stage, 1)
    assert events(stage, run_id) == [("step.late_start", "x")]


# schedule_to_start ----------------------------------------------------------------------------------------------------


def test_a_step_that_nobody_claims_in_time_fails_without_another_try(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", schedule_to_start=60.0, retries=5), node("b", 0)))
    ring_after(stage, 59)
    assert stage.statuses(run_id)["a"] == "ready"
    ring_after(stage, 1)
    assert stage.statuses(run_id) == {"a": "failed", "b": "skipped"}
    error = stage.run(run_id).error
    assert error is not None
    assert error.type == "ScheduleToStartTimeout"
    assert "within 60 s of its being ready on queue 'default'" in error.message
    assert events(stage, run_id) == [("step.schedule_to_start", "a")]
    assert alarms_left(stage) == []


def test_the_time_begins_when_the_step_is_ready(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0, schedule_to_start=60.0)))
    ring_after(stage, 50)
    stage.turn(succeeded(*stage.claim()))
    ring_after(stage, 10)
    ring_after(stage, 49)
    assert stage.statuses(run_id)["b"] == "ready"
    ring_after(stage, 1)
    assert stage.statuses(run_id)["b"] == "failed"


def test_the_time_begins_anew_with_every_try(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", schedule_to_start=60.0, retries=3, retry_delay=100.0, retry_jitter=0.0)))
    ring_after(stage, 30)
    [job] = stage.claim()
    ring_after(stage, 60)
    stage.turn(failed(job))  # tried again at 190
    ring_after(stage, 60)
    ring_after(stage, 90)
    assert stage.turn(timers=True)
    assert stage.step(run_id, "a").gate is None
    ring_after(stage, 9)
    assert stage.statuses(run_id)["a"] == "ready"
    ring_after(stage, 1)
    assert stage.statuses(run_id)["a"] == "failed"


def test_a_step_that_runs_or_has_run_is_left_alone(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", schedule_to_start=60.0), node("b", schedule_to_start=60.0)))
    a, _ = stage.claim_named("a", "b")
    stage.turn(succeeded(a))
    ring_after(stage, 1000)
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "running"}


def test_paused_time_does_not_count(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", schedule_to_start=60.0)))
    stage.advance(10)
    stage.engine.act(pause_run, run_id)
    ring_after(stage, 90)
    stage.engine.act(resume_run, run_id)
    ring_after(stage, 59)
    assert stage.statuses(run_id)["a"] == "ready"
    ring_after(stage, 1)
    assert stage.statuses(run_id)["a"] == "failed"


def test_a_failure_by_schedule_to_start_ends_a_run_that_fails_fast(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", schedule_to_start=60.0), node("b"), fail_fast=True))
    [b] = [job for job in stage.claim(want=2) if job.name == "b"]
    stage.turn(*[msgspec.structs.replace(succeeded(b), verdict="released")])
    stage.advance(LEASE_SECONDS + 1)
    stage.engine.rescue()
    ring_after(stage, 60)
    assert stage.run(run_id).status == "running" or stage.statuses(run_id)["a"] == "failed"
    ring_after(stage, 60)
    assert stage.statuses(run_id) == {"a": "failed", "b": "cancelled"}


def test_a_claim_and_a_ringing_at_once_are_one_of_both(stage: Stage) -> None:
    worker = stage.hire("worker")
    outcomes = set()
    for number in range(20):
        run_id = stage.start(plan(node("a", schedule_to_start=1.0)))
        stage.advance(1)
        at_once(lambda: ring(stage), lambda: stage.turn(by=worker, want=5))
        status = stage.statuses(run_id)["a"]
        told = ("step.schedule_to_start", "a") in events(stage, run_id)
        assert (status, told) in (("failed", True), ("running", False)), number
        outcomes.add(status)
        stage.cancel(run_id)
    stage.advance(LEASE_SECONDS + 1)
    stage.engine.rescue()
    assert outcomes


# Ringing --------------------------------------------------------------------------------------------------------------


def test_two_who_ring_at_once_do_it_once(stage: Stage) -> None:
    for _ in range(8):
        nodes = (wait("w", timeout=10, default=1), node("b", 0), node("c", schedule_to_start=10.0, sla=Sla(start=9.0)))
        runs = stage.engine.start([(on_terms(*nodes, sla=Sla(start=5.0, end=10.0)), None)] * 5)
        runs += stage.engine.start([(on_terms(node("a"), node("h", hook="finally"), deadline=10.0), None)] * 5)
        stage.advance(10)
        at_once(lambda: ring(stage), lambda: ring(stage), lambda: ring(stage))
        while ring(stage):
            pass
        for run_id in runs[:5]:
            assert stage.statuses(run_id) == {"w": "succeeded", "b": "ready", "c": "failed"}
            assert sorted(events(stage, run_id)) == [
                ("run.late_end", None), ("step.late_start", "c"), ("step.schedule_to_start", "c")
            ]  # fmt: skip
        for run_id in runs[5:]:
            assert events(stage, run_id) == [("run.deadline", None)]
        assert alarms_left(stage) == []
        for run_id in runs:
            stage.cancel(run_id)


def test_ringing_against_sends_turns_and_cancels(stage: Stage) -> None:
    worker = stage.hire("worker")
    for _ in range(10):
        nodes = (node("a"), wait("w", timeout=5, default=1), node("b", 0, 1), wait("x", 2, timeout=5))
        runs = stage.engine.start([(on_terms(*nodes, deadline=6.0), None)] * 6)
        jobs = stage.claim(worker)
        stage.advance(6)
        at_once(
            lambda: ring(stage),
            lambda jobs=jobs, worker=worker: stage.turn(*map(succeeded, jobs), by=worker, timers=True, want=20),
            lambda runs=runs: [stage.cancel(run_id) for run_id in runs[::-2]],
        )
        stage.advance(LEASE_SECONDS + 1)
        stage.engine.rescue()
        worker = stage.hire("worker")
        ring_after(stage, 0)
        for run_id in runs:
            stage.cancel(run_id)
        assert all(stage.run(run_id).status.is_final for run_id in runs)


def test_batches_are_rung_until_nothing_is_due(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "ALARMS_AT_ONCE", 3)
    runs = stage.engine.start([(plan(wait("w", timeout=number + 1.0)), None) for number in range(10)])
    stage.advance(8)
    assert [ring(stage) for _ in range(4)] == [3, 3, 2, 0]
    assert [str(stage.run(run_id).status) for run_id in runs] == ["failed"] * 8 + ["running"] * 2


def test_alarms_of_runs_and_steps_that_are_gone_are_taken_away(stage: Stage) -> None:
    run_id = stage.start(on_terms(node("a"), sla=Sla(end=5.0)))
    with connect(stage.store.url) as connection:
        connection.execute("INSERT INTO segue_alarms (run_id, step, kind, due_at) "
                           f"VALUES ('{run_id}', 7, 'late_end', '2026-01-01 00:00:00'), "
                           "('00000000-0000-7000-8000-000000000000', 0, 'wait', '2026-01-01 00:00:00'), "
                           f"('{run_id}', 0, 'of_a_newer_version', '2026-01-01 00:00:00')")  # fmt: skip
        connection.commit()
    stage.advance(1)
    assert ring(stage) == 2
    assert rows_of_alarms(stage) == 2
    assert alarms_left(stage) == [(-1, "late_end"), (0, "of_a_newer_version")]


def test_nothing_is_written_where_nothing_was_asked_for(stage: Stage) -> None:
    stage.start(plan(node("a"), wait("w"), sleep("s", seconds=5), node("t", timeout=5.0, task=TASK)))
    assert alarms_left(stage) == []
    assert ring(stage) == 0


def test_an_alert_is_told_once_though_its_alarm_comes_back(stage: Stage) -> None:
    """As after a start whose answer was lost for longer than the time that it allows."""
    run_id = stage.start(on_terms(node("a"), sla=Sla(start=5.0)))
    due = stage.clock.now() + timedelta(seconds=5)
    ring_after(stage, 5)
    with stage.store.transaction() as tx:
        row = (run_id, -1, "late_start", tx.time(due), 5.0)
        tx.each("put_alarms", [row])
    ring_after(stage, 5)
    assert events(stage, run_id) == [("run.late_start", None)]


def test_a_run_that_waits_for_its_place_ends_at_its_deadline_with_its_finalizers(stage: Stage) -> None:
    terms = RunTerms(limit=LimitUse("flow"), deadline=10.0)
    limits = (LimitTerms("flow", concurrency=1),)
    first = stage.start(Plan("flow", (wait("w"),), terms=RunTerms(limit=LimitUse("flow")), limits=limits))
    second = stage.start(Plan("flow", (wait("w"), node("h", hook="finally")), terms=terms, limits=limits))
    ring_after(stage, 10)
    assert stage.statuses(second) == {"w": "cancelled", "h": "ready"}
    stage.work()
    assert [stage.run(run_id).status for run_id in (first, second)] == ["running", "failed"]


# Again ----------------------------------------------------------------------------------------------------------------


def test_a_retry_sets_the_clocks_of_the_run_and_of_its_steps_anew(stage: Stage) -> None:
    nodes = (node("a", schedule_to_start=10.0, sla=Sla(start=5.0)), wait("w", timeout=10))
    run_id = stage.start(on_terms(*nodes, deadline=20.0, sla=Sla(end=5.0)))
    ring_after(stage, 10)
    assert stage.statuses(run_id) == {"a": "failed", "w": "failed"}
    ring_after(stage, 1000)
    assert alarms_left(stage) == []
    retry(stage, run_id)
    assert stage.statuses(run_id) == {"a": "ready", "w": "ready"}
    ring_after(stage, 9)
    assert stage.statuses(run_id) == {"a": "ready", "w": "ready"}
    stage.claim()
    ring_after(stage, 1)
    assert stage.statuses(run_id) == {"a": "running", "w": "failed"}
    ring_after(stage, 10)
    assert stage.run(run_id).ending == "failed"
    told = [kind for kind, _ in events(stage, run_id)]
    assert told.count("run.deadline") == told.count("run.late_end") == told.count("step.late_start") == 1


def test_a_wait_that_is_retried_takes_what_was_sent_meanwhile(stage: Stage) -> None:
    run_id = stage.start(plan(wait("approved", timeout=10), node("b", rule="all_done"), node("c", 0)))
    ring_after(stage, 10)
    send(stage, run_id, "approved", "late")
    stage.work()
    assert stage.run(run_id).status == "failed"
    retry(stage, run_id)
    assert results(stage, run_id)["approved"] == "late"
    assert stage.statuses(run_id) == {"approved": "succeeded", "b": "succeeded", "c": "ready"}

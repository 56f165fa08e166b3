"""Schedules under what goes wrong: a process that is late, a schedule nobody can decide, history that is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from segue import workflow
from segue.client.retention import Retention
from segue.engine.reopening.retry import retry_run
from segue.errors import ConfigError
from segue.scheduler.editing import delete_schedule
from segue.scheduler.firing import _fire, fire_due
from tests.contract.scheduling import NAME, Clockwork
from tests.contract.stage import Stage, connect, failed
from tests.contract.test_store_lock_order import at_once

ONE_DAY = 24 * 3600


@workflow
def ends_it() -> None:
    raise SystemExit(2)


@pytest.fixture
def clockwork(one_stage: Stage) -> Iterator[Clockwork]:
    one_stage.renew()
    yield Clockwork(one_stage)
    assert one_stage.engine.broken_invariants() == []


def test_one_that_comes_late_does_not_cancel_the_run_of_the_tick_it_came_for(clockwork: Clockwork) -> None:
    """It read that the tick was due, was stopped for a while, and meanwhile another one started it."""
    clockwork.create(overlap="cancel_running")
    clockwork.stage.advance(60)
    seen, now = clockwork.row(), clockwork.stage.store.now()
    clockwork.decide()
    assert _fire(clockwork.stage.engine, seen, now) == 0
    assert [(run.status, run.ending) for run in clockwork.runs()] == [("pending", None)]


@pytest.mark.parametrize("becomes", ["inactive", "deleted"])
def test_one_that_comes_late_cancels_nothing_of_a_schedule_that_was_switched_off(
    clockwork: Clockwork, becomes: str
) -> None:
    clockwork.create(overlap="cancel_running")
    clockwork.tick()
    clockwork.stage.advance(60)
    seen, now = clockwork.row(), clockwork.stage.store.now()
    if becomes == "inactive":
        clockwork.schedules.deactivate(NAME)
    else:
        clockwork.stage.engine.act(delete_schedule, NAME)
    assert _fire(clockwork.stage.engine, seen, now) == 0
    assert [(run.status, run.ending) for run in clockwork.runs()] == [("pending", None)]


def test_a_schedule_that_cannot_be_decided_holds_up_no_other(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    """What another version wrote, which this one does not take."""
    clockwork.create("broken", catch_up="all")
    clockwork.create("whole")
    with connect(clockwork.stage.store.url) as connection:
        connection.execute("UPDATE segue_schedules SET tags = '{' WHERE name = 'broken'")
        connection.commit()
    clockwork.tick()
    assert clockwork.fates("whole") == {1: "started"}
    assert "broken" in caplog.text
    with connect(clockwork.stage.store.url) as connection:
        connection.execute("UPDATE segue_schedules SET tags = NULL WHERE name = 'broken'")
        connection.commit()
    clockwork.tick(1)
    assert clockwork.fates("broken") == {1: "started"}


@pytest.mark.parametrize("days", [36_526, 999_999_999])
@pytest.mark.parametrize("option", ["catch_up_window", "jitter"])
def test_a_length_of_time_that_no_clock_reaches_is_refused(clockwork: Clockwork, option: str, days: int) -> None:
    with pytest.raises(ConfigError, match=f"^{option}=.*is longer than 36,525 days. Give less, or leave it out"):
        clockwork.create(catch_up="all", **{option: timedelta(days=days)})
    clockwork.create(catch_up="all", **{option: timedelta(days=36_525)})
    clockwork.tick(2 * 60)
    assert clockwork.fates()[1] == "started"


def test_a_workflow_that_wants_to_end_the_process_skips_its_tick(clockwork: Clockwork) -> None:
    clockwork.create(work=ends_it)
    clockwork.tick()
    [tick] = clockwork.ticks()
    assert (tick.status, tick.reason) == ("skipped", "SystemExit: 2")


def test_what_was_backfilled_of_long_ago_is_known_as_long_as_what_is_decided_now(clockwork: Clockwork) -> None:
    """Else a backfill that is said again, because it broke off, would start again what it started before."""
    clockwork.create(schedule="every 1d", overlap="allow")
    clockwork.schedules.deactivate(NAME)
    clockwork.tick(100 * ONE_DAY)
    since, until = clockwork.at(0), clockwork.at(3 * 24 * 60)
    rules = Retention(clockwork.stage.engine)
    clockwork.schedules.backfill(NAME, since, until)
    count = len(clockwork.runs())
    assert count >= 3
    clockwork.finish(count)
    assert rules.sweep() == 2  # the events of 100 days ago: that it was created, and switched off
    clockwork.schedules.backfill(NAME, since, until)
    assert len(clockwork.runs()) == count
    clockwork.tick(31 * ONE_DAY)
    rules.sweep()
    assert len(clockwork.ticks()) == 1


@pytest.mark.parametrize("seconds", [100 * 366 * ONE_DAY, 1e12, 1e300])
def test_a_rule_may_keep_runs_for_longer_than_there_has_been_time(clockwork: Clockwork, seconds: float) -> None:
    rules = Retention(clockwork.stage.engine)
    rules.set(max_age=seconds)
    rules.set("flow", max_age=0)
    clockwork.create(overlap="allow")
    clockwork.tick()
    clockwork.finish()
    clockwork.tick()
    assert rules.sweep() == 1
    assert len(clockwork.ticks()) == 2


def test_a_run_that_is_retried_while_a_tick_is_decided_counts_as_running(clockwork: Clockwork) -> None:
    """The invariants say so at the end: the tick of a run that has not ended is open."""
    stage = clockwork.stage
    clockwork.create(overlap="allow")
    rival = type(stage.engine)(stage.store)
    for _ in range(25):
        clockwork.tick()
        stage.work({"a": failed})
        run = clockwork.runs()[-1]
        stage.advance(60)
        at_once(
            lambda run=run: stage.engine.act(retry_run, run.id),
            lambda: fire_due(rival),
        )
        assert stage.engine.broken_invariants() == []
        stage.work()


def test_two_who_change_different_things_of_a_schedule_both_have_their_way(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second had read the schedule before the first changed it."""
    clockwork.create()
    act: Any = clockwork.stage.engine.act
    calls: list[int] = []

    def slow(verb: Any, *args: Any, **fields: Any) -> Any:
        if not calls:
            calls.append(1)
            clockwork.schedules.update(NAME, jitter=5)
        return act(verb, *args, **fields)

    monkeypatch.setattr(clockwork.stage.engine, "act", slow)
    clockwork.schedules.update(NAME, overlap="allow")
    info = clockwork.schedules.get(NAME)
    assert (info.jitter, info.overlap) == (5.0, "allow")

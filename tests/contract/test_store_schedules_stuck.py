"""Schedules that cannot be decided: they step back, so that the others go on, and come back when mended."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segue import workflow
from segue.engine import debounce
from segue.engine.debounce import DebounceTerms, Keep, NewStart
from segue.engine.engine import Engine
from segue.engine.subscriptions import put_subscription
from segue.engine.views import waiting
from segue.errors import ConfigError, StoreError
from segue.plan.graph import Plan
from segue.scheduler import debouncing, deciding, firing, user_calls
from segue.scheduler.chores import CHORES, Chores, parameters_of
from segue.scheduler.debouncing import start_due_debounces
from segue.scheduler.firing import fire_due
from segue.scheduler.stuck import LONGEST_SECONDS, Work, stuck_of
from tests.contract.scheduling import NAME, Clockwork
from tests.contract.stage import Stage, connect, node, plan
from tests.contract.test_store_schedules import note
from tests.crash.worker_processes import eventually

MANY = 101  # more than are looked at at once


@pytest.fixture
def clockwork(one_stage: Stage) -> Iterator[Clockwork]:
    one_stage.renew()
    yield Clockwork(one_stage)
    assert one_stage.engine.broken_invariants() == []


def sql(clockwork: Clockwork, statement: str) -> None:
    with connect(clockwork.stage.store.url) as connection:
        connection.execute(statement)
        connection.commit()


def spoil(clockwork: Clockwork, where: str = "name LIKE 'broken%'") -> None:
    """Write what no version can read."""
    sql(clockwork, f"UPDATE segue_schedules SET tags = '{{' WHERE {where}")


def mend(clockwork: Clockwork) -> None:
    sql(clockwork, "UPDATE segue_schedules SET tags = NULL")


def alerts(clockwork: Clockwork) -> list[waiting.EventInfo]:
    with clockwork.stage.engine.reading() as tx:
        return waiting.list_events(tx, kinds=["schedule.stuck"])


class Hanging:
    """A workflow that does not return until it is let go."""

    def __init__(self, name: str = "tests.stuck.hanging") -> None:
        self.calls = 0
        self.may_return = threading.Event()

        def hang(day: Any) -> str:
            self.calls += 1
            self.may_return.wait(30)
            return note(str(day))

        self.workflow = workflow(name=name)(hang)

    def hold(self) -> None:
        self.may_return.clear()

    def let_go(self) -> None:
        self.may_return.set()
        for call in list(user_calls._unanswered):
            assert call.wait(10)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    monkeypatch.setattr(firing, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(debouncing, "PATIENCE_SECONDS", 0.05)
    made = Hanging()
    yield made
    made.let_go()


# Cannot be decided ----------------------------------------------------------------------------------------------------


def test_many_schedules_that_cannot_be_decided_do_not_starve_the_others(clockwork: Clockwork) -> None:
    for number in range(MANY):
        clockwork.create(f"broken-{number}")
    clockwork.stage.advance(1)  # so that what is whole is due after all that is not
    clockwork.create("whole", schedule=60, starts_at=clockwork.at(1.5))
    spoil(clockwork)
    clockwork.tick(90)
    assert clockwork.fates("whole") == {1.5: "started"}


def test_many_zones_that_this_machine_does_not_know_do_not_starve_the_others(clockwork: Clockwork) -> None:
    for number in range(MANY):
        clockwork.create(f"broken-{number}")
    clockwork.create("whole", schedule=60, starts_at=clockwork.at(1.5))
    sql(clockwork, "UPDATE segue_schedules SET timezone = 'Europe/Atlantis' WHERE name LIKE 'broken%'")
    clockwork.tick(90)
    assert clockwork.fates("whole") == {1.5: "started"}


def test_many_queues_that_cannot_be_decided_do_not_starve_the_others(clockwork: Clockwork) -> None:
    for name in [*(f"broken-{number}" for number in range(MANY)), "whole"]:
        clockwork.create(name, schedule="@daily", active=False)
    clockwork.stage.advance(2 * 24 * 3600)
    for info in clockwork.schedules.list():
        clockwork.schedules.backfill(info.name, clockwork.at(1), clockwork.at(24 * 60))
    spoil(clockwork)
    clockwork.decide()
    assert [info.status for info in clockwork.ticks("whole")] == ["started"]


def test_those_that_step_back_leave_the_next_tick_of_the_others_to_be_seen(clockwork: Clockwork) -> None:
    """Else the leader would look once a second whatever is due, and the others would be late."""
    clockwork.create("broken")
    clockwork.create("whole", schedule="every hour")
    spoil(clockwork)
    clockwork.tick()
    with clockwork.stage.store.reading() as tx:
        now = clockwork.stage.store.now()
        [[due]] = tx.all("next_schedule", **parameters_of(clockwork.stage.engine, CHORES[0], now))
    assert tx.datetime(due) == clockwork.at(60)


def test_what_was_missed_is_caught_up_when_it_is_mended(clockwork: Clockwork) -> None:
    clockwork.create("broken-all", catch_up="all", overlap="allow")
    clockwork.create("broken-latest", overlap="allow")
    spoil(clockwork)
    for _ in range(10):
        clockwork.tick()
    assert clockwork.runs() == []
    mend(clockwork)
    clockwork.tick(LONGEST_SECONDS)  # until then it looks again
    assert clockwork.fates("broken-all") == dict.fromkeys(range(1, 16), "started")
    assert clockwork.fates("broken-latest") == {1: "skipped", 15: "started"}
    clockwork.tick()
    assert clockwork.fates("broken-latest")[16] == "started"  # as any other


def test_it_looks_less_and_less_often(clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    clockwork.create("broken")
    spoil(clockwork)
    looks: list[float] = []
    read = firing.read_schedule

    def counted(*args: Any) -> Any:
        looks.append((clockwork.stage.clock.now() - clockwork.at(1)).total_seconds())
        return read(*args)

    monkeypatch.setattr(firing, "read_schedule", counted)
    clockwork.stage.advance(59)
    for _ in range(1000):
        clockwork.tick(1)
    assert looks == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811]


def test_a_change_by_a_person_counts_at_once(clockwork: Clockwork) -> None:
    clockwork.create("broken", overlap="allow")
    sql(clockwork, "UPDATE segue_schedules SET timezone = 'Europe/Atlantis'")
    for _ in range(3):
        clockwork.tick()
    assert clockwork.ticks("broken") == []
    clockwork.schedules.update("broken", timezone="Europe/Paris")
    clockwork.tick()
    assert clockwork.fates("broken") == {4: "started"}


def test_it_is_told_once_and_seen_until_it_is_mended(clockwork: Clockwork, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "segue.chores")
    clockwork.create("broken", overlap="allow")
    sql(clockwork, "UPDATE segue_schedules SET timezone = 'Europe/Atlantis'")
    clockwork.tick()
    assert alerts(clockwork) == []  # another process may understand it
    for _ in range(60):
        clockwork.tick(10)
    [alert] = alerts(clockwork)
    assert (alert.run_id, alert.detail["schedule"]) == (None, "broken")
    assert "Europe/Atlantis" in str(alert.detail["problem"])
    [info] = clockwork.schedules.list()
    assert "Europe/Atlantis" in str(info.problem)
    assert sum("broken" in record.getMessage() for record in caplog.records) == 2  # when it began, and when it was told
    sql(clockwork, "UPDATE segue_schedules SET timezone = 'UTC'")
    clockwork.tick(LONGEST_SECONDS)
    assert clockwork.schedules.get("broken").problem is None
    assert "broken" in caplog.records[-1].getMessage()
    assert len(alerts(clockwork)) == 1


def test_who_subscribes_to_it_is_told_by_a_run(clockwork: Clockwork) -> None:
    target = Plan("segue.notification", (node("tell"),))
    clockwork.stage.engine.act(put_subscription, "on-call", events=["schedule.stuck"], workflow=None, target=target)
    clockwork.stage.engine.watch.forget()
    clockwork.create("broken", overlap="allow")
    spoil(clockwork)
    for _ in range(10):
        clockwork.tick()
    [run] = clockwork.runs()
    assert run.workflow == "segue.notification"


def test_what_another_process_can_decide_is_not_told(clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader's machine lacks the zone; one that helps out has it, and starts each tick three seconds late."""
    clockwork.create("zoned", overlap="allow")
    helper = Engine(clockwork.stage.store, ids=clockwork.stage.engine.ids)
    leader = clockwork.stage.engine
    for minute in range(1, 20):
        clockwork.stage.advance(60 if minute == 1 else 57)
        sql(clockwork, "UPDATE segue_schedules SET timezone = 'Europe/Atlantis'")
        fire_due(leader)
        sql(clockwork, "UPDATE segue_schedules SET timezone = 'UTC'")
        clockwork.stage.advance(3)
        assert fire_due(helper, late_seconds=3) == 1
    assert set(clockwork.fates("zoned").values()) == {"started"}
    assert alerts(clockwork) == []


@pytest.mark.parametrize("queued", [False, True])
def test_an_error_that_no_database_can_hold_skips_its_tick(clockwork: Clockwork, queued: bool) -> None:
    class RudeError(Exception):
        def __str__(self) -> str:
            raise ValueError("rude")

    def nul(day: str) -> str:
        raise ValueError("no\0good \ud800")

    def rude(day: str) -> str:
        raise RudeError

    for fn in (nul, rude):
        made = workflow(name=f"tests.stuck.{fn.__name__}")(fn)
        clockwork.create(fn.__name__, made, overlap="queue_all")
        if queued:
            clockwork.stage.advance(0.5)
    if queued:
        for name in ("nul", "rude"):
            clockwork.schedules.deactivate(name)
        clockwork.stage.advance(100)
        for name in ("nul", "rude"):
            clockwork.schedules.backfill(name, clockwork.at(1), clockwork.at(1))
        clockwork.decide()
    else:
        clockwork.tick()
    assert [tick.status for name in ("nul", "rude") for tick in clockwork.ticks(name)] == ["skipped", "skipped"]
    assert clockwork.ticks("nul")[0].reason == "ValueError: no\\x00good \\ud800"
    assert "RudeError" in str(clockwork.ticks("rude")[0].reason)


# Refused by the engine ------------------------------------------------------------------------------------------------


def test_of_ticks_that_are_caught_up_only_the_one_whose_plan_is_refused_is_skipped(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, ConfigError("never on a third"), {clockwork.at(3), clockwork.at(5)})
    clockwork.create(catch_up="all", overlap="allow")
    clockwork.tick(6 * 60)
    fates = {1: "started", 2: "started", 3: "skipped", 4: "started", 5: "skipped", 6: "started"}
    assert clockwork.fates() == fates
    assert clockwork.ticks()[2].reason == "ConfigError: never on a third"
    assert [run.metadata["tick"] for run in clockwork.runs()] == [
        info.tick.isoformat() for info in clockwork.ticks() if info.status == "started"
    ]
    clockwork.tick()
    assert clockwork.fates() == fates | {7: "started"}


def test_what_the_database_refuses_stops_there_and_goes_on_there(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be mended without a change of the code, so nothing is given up for it."""
    with monkeypatch.context() as patch:
        refusing(patch, StoreError("not today"), {clockwork.at(3)})
        clockwork.create(catch_up="all", overlap="allow")
        clockwork.tick(5 * 60)
        assert clockwork.fates() == {1: "started", 2: "started"}
    clockwork.tick(LONGEST_SECONDS)
    assert clockwork.fates() == dict.fromkeys(range(1, 11), "started")


def refusing(patch: pytest.MonkeyPatch, error: Exception, ticks: set[Any]) -> None:
    """Let the engine refuse the runs of these ticks."""
    start: Callable[..., Any] = deciding.start_runs

    def picky(act, runs: Any) -> Any:
        for run in runs:
            if any(tick.isoformat() in run.plan.terms.metadata for tick in ticks):
                raise error
        return start(act, runs)

    patch.setattr(deciding, "start_runs", picky)


# Does not return ------------------------------------------------------------------------------------------------------


def test_a_workflow_that_does_not_return_holds_up_no_other_schedule(clockwork: Clockwork, hanging: Hanging) -> None:
    clockwork.create("hanging", hanging.workflow)
    clockwork.create("whole", overlap="allow")
    for _ in range(3):
        clockwork.tick()
    assert clockwork.fates("whole") == {1: "started", 2: "started", 3: "started"}
    assert clockwork.ticks("hanging") == []
    assert hanging.calls == 1
    [alert] = alerts(clockwork)
    assert alert.detail["schedule"] == "hanging"
    assert "has not returned" in str(clockwork.schedules.get("hanging").problem)


def test_a_workflow_that_is_slow_starts_the_tick_that_it_was_called_for(clockwork: Clockwork, hanging: Hanging) -> None:
    clockwork.create("slow", hanging.workflow)
    clockwork.create("queued", hanging.workflow, overlap="queue_all", active=False)
    clockwork.stage.advance(60)
    clockwork.schedules.backfill("queued", clockwork.at(1), clockwork.at(1))
    clockwork.decide()
    clockwork.stage.advance(150)
    hanging.let_go()
    clockwork.decide()
    assert clockwork.fates("slow") == {1: "started", 2: "skipped", 3: "skipped"}  # the third finds the first
    assert clockwork.fates("queued") == {1: "started"}
    assert hanging.calls == 2 + 1
    assert clockwork.schedules.get("slow").problem is None


def test_a_schedule_that_is_given_something_else_does_not_wait_for_what_does_not_return(
    clockwork: Clockwork, hanging: Hanging
) -> None:
    clockwork.create("hanging", hanging.workflow)
    clockwork.tick()
    clockwork.schedules.update("hanging", work=note)
    clockwork.decide()
    assert clockwork.fates("hanging") == {1: "started"}


def test_calls_that_do_not_return_are_few(clockwork: Clockwork, hanging: Hanging) -> None:
    other = Hanging("tests.stuck.other")
    other.may_return.set()
    for number in range(user_calls.MOST_OF_ONE + 3):
        clockwork.create(f"hanging-{number}", hanging.workflow)
    clockwork.create("other", other.workflow, schedule=60, starts_at=clockwork.at(1.5))
    for _ in range(5):
        clockwork.tick(90)
    assert hanging.calls == user_calls.MOST_OF_ONE
    assert "started" in clockwork.fates("other").values()
    hanging.let_go()
    clockwork.tick(LONGEST_SECONDS)
    assert len({run.metadata["schedule"] for run in clockwork.runs()}) == user_calls.MOST_OF_ONE + 4


def test_the_leader_goes_on_leading_and_opening_timers(clockwork: Clockwork, hanging: Hanging) -> None:
    """Schedules come first among the chores, timers last."""
    for number in range(3):
        clockwork.create(f"hanging-{number}", hanging.workflow)
    run_id = clockwork.stage.start(plan(node("late", delay=1.0)))
    clockwork.stage.advance(60)
    with Chores(clockwork.stage.engine, table=CHORES, lease_seconds=1.0) as chores:
        eventually(lambda: hanging.calls == 3)
        eventually(lambda: clockwork.stage.step(run_id, "late").gate is None)
        assert chores.is_leading


def test_a_debounce_whose_workflow_does_not_return_holds_up_no_other(clockwork: Clockwork, hanging: Hanging) -> None:
    stage = clockwork.stage

    def begin(name: str, *, needs_code: bool) -> str:
        made = Plan(name, (node("a", args='[["x"],{}]'),))
        new = NewStart(stage.engine.new_id(), made, '[["x"],{}]', needs_code=needs_code)
        terms = DebounceTerms("k", 5.0, Keep.ALL)
        return stage.engine.act(debounce.add_start, new, terms)

    stuck = begin(hanging.workflow.name, needs_code=True)
    whole = begin("whole", needs_code=False)
    stage.advance(5)
    for _ in range(3):
        start_due_debounces(stage.engine)
    assert (stage.run(stuck).steps, stage.run(whole).steps) == (0, 1)
    assert hanging.calls == 1
    hanging.let_go()
    start_due_debounces(stage.engine)
    assert stage.run(stuck).steps == 1
    assert hanging.calls == 1


def test_a_schedule_that_is_whole_is_not_slower_for_those_that_are_not(clockwork: Clockwork) -> None:
    """One that stepped back and was removed is forgotten."""
    clockwork.create("broken")
    spoil(clockwork)
    clockwork.tick()
    clockwork.stage.engine.act(lambda act: act.tx.all("delete_schedule", name="broken"))
    clockwork.create(NAME)
    clockwork.tick(2 * LONGEST_SECONDS)
    assert all(stuck_of(clockwork.stage.engine, work)._cases == {} for work in Work)


def test_what_no_handler_catches_is_not_remembered(clockwork: Clockwork) -> None:
    calls = []

    @workflow(name="tests.stuck.cancels_itself")
    def cancels_itself(day: Any) -> str:
        calls.append(day)
        if len(calls) == 1:
            raise asyncio.CancelledError
        return note(day)

    clockwork.create("odd", cancels_itself)
    clockwork.tick()
    assert clockwork.ticks("odd") == []
    clockwork.tick(2)
    assert clockwork.fates("odd") == {1: "started"}


def test_a_queue_goes_on_while_ticks_join_it(clockwork: Clockwork, hanging: Hanging) -> None:
    """A tick that is decided meanwhile takes nothing of what the queue waits for."""

    def decide_after(seconds: float) -> None:
        clockwork.stage.advance(seconds)
        clockwork.decide()

    clockwork.create("slow", hanging.workflow, overlap="queue_all")
    for minute in (1, 2):  # the first starts, the second is queued
        hanging.hold()
        decide_after(60 if minute == 1 else 58)
        hanging.let_go()
        decide_after(2)
    clockwork.stage.cancel(str(clockwork.ticks("slow")[0].run_id))
    hanging.hold()
    decide_after(0)  # calls it for the queue
    decide_after(58)  # ... and for the third tick
    assert hanging.calls == 4
    hanging.let_go()
    decide_after(4)
    assert clockwork.fates("slow") == {1: "started", 2: "started", 3: "queued"}
    assert hanging.calls == 4
    assert alerts(clockwork) == []

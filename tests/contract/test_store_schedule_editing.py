"""What people and code do to schedules: make, change, switch, delete, run now, backfill, declare."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segue import workflow
from segue.authoring import declared
from segue.authoring.schedule import Schedule
from segue.errors import ConfigError, DefinitionError, ScheduleNotFoundError
from segue.scheduler.declared import declare_schedules
from tests.contract.scheduling import NAME, PLAN, Clockwork
from tests.contract.stage import Stage
from tests.contract.test_store_schedules import broken, nightly, note


@pytest.fixture
def clockwork(one_stage: Stage) -> Iterator[Clockwork]:
    one_stage.renew()
    yield Clockwork(one_stage)
    assert one_stage.engine.broken_invariants() == []


def test_a_schedule_tells_what_it_is(clockwork: Clockwork) -> None:
    clockwork.create(
        "reports", nightly.s("north"), schedule="0 2 * * MON-FRI", timezone="Europe/Paris", jitter=timedelta(minutes=5),
        overlap="queue_one", catch_up="all", catch_up_window=timedelta(hours=6), tags=["a"],
    )  # fmt: skip
    info = clockwork.schedules.get("reports")
    assert (info.workflow, info.arguments) == (nightly.name, [["north"], {}])
    assert (info.expression, info.timezone, info.jitter) == ("0 2 * * MON-FRI", "Europe/Paris", 300.0)
    assert (info.overlap, info.catch_up, info.catch_up_window, info.tags) == ("queue_one", "all", 21600.0, ("a",))
    assert (info.source, info.is_active, info.last, info.problem) == ("api", True, None, None)
    assert "02:00" in info.description
    assert info.next_tick == datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert clockwork.schedules.list() == [info]
    assert clockwork.schedules.list(workflow=note.name) == []
    assert clockwork.schedules.next("reports", 2) == [info.next_tick, datetime(2026, 1, 2, 1, tzinfo=UTC)]
    clockwork.tick(3600 + 300)
    assert clockwork.schedules.get("reports").last == clockwork.ticks("reports")[0]


@pytest.mark.parametrize(
    "options, error",
    [
        ({"schedule": "every full moon"}, "full moon"),
        ({"timezone": "Europe/Pariss"}, "Europe/Paris"),
        ({"overlap": "never"}, "skip, queue_one"),
        ({"catch_up": "some"}, "none, latest, all"),
        ({"jitter": -1}, "is not a duration"),
        ({"ends_at": datetime(2025, 1, 1, tzinfo=UTC)}, "no tick after now"),
    ],
)
def test_what_makes_no_sense_is_refused(clockwork: Clockwork, options: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        clockwork.create(**options)
    assert clockwork.schedules.list() == []


def test_names_are_given_once_and_must_be_known(clockwork: Clockwork) -> None:
    clockwork.create()
    clockwork.stage.advance(1)
    with pytest.raises(ConfigError, match="There is a schedule every-minute already"):
        clockwork.create()
    with pytest.raises(ConfigError, match="is not a name for a schedule"):
        clockwork.create(" ")
    schedules = clockwork.schedules
    for verb in (schedules.get, schedules.activate, schedules.deactivate, schedules.remove, schedules.run_now,
                 schedules.next, schedules.ticks, schedules.update):  # fmt: skip
        with pytest.raises(ScheduleNotFoundError, match="no schedule 'other'"):
            verb("other")


@pytest.mark.parametrize("name", ["no\0good", "no\ud800good", "no\ngood"])
def test_names_that_no_database_can_hold_are_refused_and_known_to_be_nobodys(clockwork: Clockwork, name: str) -> None:
    schedules = clockwork.schedules
    with pytest.raises(ConfigError, match="printable characters"):
        clockwork.create(name)
    for verb in (schedules.get, schedules.activate, schedules.deactivate, schedules.remove, schedules.run_now,
                 schedules.next, schedules.ticks, schedules.update):  # fmt: skip
        with pytest.raises(ScheduleNotFoundError, match="no schedule 'no"):
            verb(name)
    assert schedules.list(workflow=name) == []
    with pytest.raises(ConfigError, match="printable characters"):
        clockwork.create(tags=[name])


@pytest.mark.parametrize("limit", [-1, 0, 2**40, 2**70])
def test_a_number_of_ticks_that_makes_no_sense_is_refused(clockwork: Clockwork, limit: int) -> None:
    clockwork.create()
    with pytest.raises(ConfigError, match=f"limit={limit} is not a number of ticks. Give 1 to 100,000"):
        clockwork.schedules.ticks(NAME, limit=limit)
    with pytest.raises(ConfigError, match="no time zone"):
        clockwork.schedules.ticks(NAME, before=datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_schedule_that_has_no_tick_any_more_says_that_it_ended(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    clockwork.create(overlap="allow")
    clockwork.tick()
    assert clockwork.schedules.get(NAME).state == "active"
    info = clockwork.schedules.update(NAME, ends_at=clockwork.at(0))
    assert (info.state, info.is_active, info.next_tick, info.due_at) == ("ended", True, None, None)
    assert clockwork.schedules.next(NAME) == []
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"schedule {NAME} has ended by this change" in record.getMessage()
    clockwork.tick(600)
    assert clockwork.fates() == {1: "started"}
    assert clockwork.schedules.deactivate(NAME).state == "inactive"
    assert clockwork.schedules.activate(NAME).state == "ended"
    assert clockwork.schedules.update(NAME, ends_at=None).state == "active"
    clockwork.tick()
    assert clockwork.fates() == {1: "started", 12: "started"}


def test_a_schedule_whose_last_tick_is_decided_says_that_it_ended(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "segue.chores")
    clockwork.create(ends_at=clockwork.at(1))
    clockwork.tick()
    info = clockwork.schedules.get(NAME)
    assert (info.state, info.next_tick) == ("ended", None)
    assert f"schedule {NAME} has ended" in caplog.text


def test_changing_when_it_ticks_makes_it_go_on_from_now(clockwork: Clockwork) -> None:
    clockwork.create(schedule="every hour")
    clockwork.stage.advance(90 * 60)  # a tick is due that nobody decided
    clockwork.schedules.update(NAME, schedule="every 10 minutes", tags=["new"])
    assert clockwork.schedules.get(NAME).next_tick == clockwork.at(100)
    clockwork.tick(600)
    assert clockwork.fates() == {100: "started"}
    assert clockwork.runs()[0].tags == ("new",)


def test_changing_something_else_leaves_the_ticks_that_are_due(clockwork: Clockwork) -> None:
    clockwork.create(schedule="every hour", overlap="allow")
    clockwork.stage.advance(3 * 3600)
    clockwork.schedules.update(NAME, catch_up="all", work=note.s("other"))
    clockwork.decide()
    assert clockwork.fates() == {60: "started", 120: "started", 180: "started"}
    assert {run.workflow for run in clockwork.runs()} == {note.name}
    with pytest.raises(ConfigError, match="into Schedule"):
        clockwork.schedules.update(NAME, schedule=Schedule("@daily"), jitter=5)
    assert clockwork.schedules.update(NAME, schedule=Schedule("@daily", jitter=5)).jitter == 5


def test_what_passes_while_it_is_inactive_is_not_caught_up(clockwork: Clockwork) -> None:
    clockwork.create(catch_up="all", overlap="allow")
    clockwork.tick()
    clockwork.schedules.deactivate(NAME)
    assert clockwork.schedules.deactivate(NAME).next_tick is None
    assert clockwork.schedules.next(NAME) == []
    clockwork.tick(600)
    assert clockwork.schedules.get(NAME).problem is None
    assert clockwork.schedules.activate(NAME).next_tick == clockwork.at(12)
    clockwork.tick()
    assert clockwork.fates() == {1: "started", 12: "started"}


def test_deactivating_and_deleting_empty_the_queue(clockwork: Clockwork) -> None:
    for name in ("one", "other"):
        clockwork.create(name, overlap="queue_all")
    for _ in range(3):
        clockwork.tick()
    clockwork.schedules.deactivate("one")
    clockwork.schedules.remove("other")
    clockwork.finish(2)
    clockwork.tick()
    assert [info.reason for info in clockwork.ticks("one")[1:]] == ["the schedule was deactivated"] * 2
    assert len(clockwork.runs()) == 2
    assert [info.name for info in clockwork.schedules.list()] == ["one"]


def test_run_now_starts_one_at_once_beside_others(clockwork: Clockwork) -> None:
    clockwork.create("reports", nightly.s("north"), schedule="@yearly", tags=["mine"])
    clockwork.stage.advance(100)
    runs = [clockwork.schedules.run_now("reports") for _ in range(2)]
    assert [run.id for run in runs] == [run.id for run in clockwork.runs()][:1] * 2  # the same moment, the same tick
    clockwork.stage.advance(1)
    second = clockwork.schedules.run_now("reports")
    assert second.id != runs[0].id
    assert second.info().tags == ("own", "mine")
    assert [info.reason for info in clockwork.ticks("reports")] == ["started by hand"] * 2


def test_a_run_by_hand_with_a_key_starts_once(clockwork: Clockwork) -> None:
    clockwork.create("reports", nightly.s("north"), schedule="@yearly")
    clockwork.create("others", nightly.s("south"), schedule="@yearly")
    seen = []
    for name in ("reports", "reports", "others"):  # a key is that of a workflow, as for other starts
        clockwork.stage.advance(1)
        seen.append(clockwork.schedules.run_now(name, key="today"))
    assert len({run.id for run in seen}) == len(clockwork.runs()) == 1
    assert [run.is_new for run in seen] == [True, False, False]
    assert len(clockwork.ticks("reports")) == 1
    assert clockwork.ticks("others") == []
    with pytest.raises(ConfigError, match="key"):
        clockwork.schedules.run_now("reports", key="")


def test_a_run_by_hand_counts_as_running(clockwork: Clockwork) -> None:
    clockwork.create()
    clockwork.schedules.run_now(NAME)
    clockwork.tick()
    assert list(clockwork.fates().values()) == ["started", "skipped"]


# Backfill -------------------------------------------------------------------------------------------------------------


def test_a_backfill_starts_what_started_nothing_one_after_another(clockwork: Clockwork) -> None:
    clockwork.create()
    clockwork.tick(10 * 60)
    assert clockwork.fates() == {1: "skipped", 10: "started"}
    planned = clockwork.schedules.backfill(NAME, clockwork.at(1), clockwork.at(10), dry_run=True)
    assert [info.status for info in planned] == [*["planned"] * 9, "started"]
    assert clockwork.fates() == {1: "skipped", 10: "started"}
    told = clockwork.schedules.backfill(NAME, clockwork.at(0.5), clockwork.at(10))
    assert [info.status for info in told] == [*["queued"] * 9, "started"]
    for _ in range(10):
        clockwork.decide()
        assert sum(not run.status.is_final for run in clockwork.runs()) == 1
        clockwork.finish()
    clockwork.decide()
    assert clockwork.fates() == dict.fromkeys(range(1, 11), "started")
    assert len(clockwork.runs()) == 10


def test_a_backfill_may_start_all_at_once_and_again_nothing(clockwork: Clockwork) -> None:
    clockwork.create(overlap="skip", active=False)
    clockwork.stage.advance(250 * 60)
    for _ in range(2):
        told = clockwork.schedules.backfill(NAME, clockwork.at(1), clockwork.at(250), overlap="allow")
        assert [info.status for info in told] == ["started"] * 250
        assert [info.run_id for info in told] == [run.id for run in clockwork.runs()]


def test_a_backfill_of_what_the_schedule_will_start_itself_starts_it_once(clockwork: Clockwork) -> None:
    clockwork.create(overlap="allow", catch_up="all")
    clockwork.stage.advance(3 * 60)
    clockwork.schedules.backfill(NAME, clockwork.at(2), clockwork.at(2))
    clockwork.decide()
    assert clockwork.fates() == {1: "started", 2: "started", 3: "started"}
    assert len(clockwork.runs()) == 3


def test_a_backfill_that_makes_no_sense_is_refused(clockwork: Clockwork) -> None:
    clockwork.create(schedule="every second")
    clockwork.create("broken", broken)
    clockwork.stage.advance(24 * 3600)
    backfill = clockwork.schedules.backfill
    with pytest.raises(ConfigError, match="is not past"):
        backfill(NAME, clockwork.at(0), clockwork.at(24 * 60 + 1))
    with pytest.raises(ConfigError, match="more than 10,000 ticks"):
        backfill(NAME, clockwork.at(0), clockwork.at(24 * 60))
    with pytest.raises(ConfigError, match="no time zone"):
        backfill(NAME, datetime(2026, 1, 1), clockwork.at(1))  # noqa: DTZ001
    with pytest.raises(ConfigError, match="would skip most"):
        backfill(NAME, clockwork.at(0), clockwork.at(1), overlap="skip")
    with pytest.raises(ValueError, match="no 2026-01-01"):
        backfill("broken", clockwork.at(0), clockwork.at(1), overlap="allow")
    assert clockwork.runs() == []


# Declared in the code -------------------------------------------------------------------------------------------------


@pytest.fixture
def declare(clockwork: Clockwork) -> Any:
    """Define a workflow whose schedule is this (or none), as a process with that code does at its start."""

    def declare(schedule: Any, **options: Any) -> int:
        def hourly(day: str) -> str:
            return note(day)

        workflow(name="tests.declared.hourly", schedule=schedule, **options)(hourly)
        return declare_schedules(clockwork.stage.engine)

    yield declare
    declared.workflows.pop("tests.declared.hourly", None)


DECLARED = "tests.declared.hourly"


def test_what_the_code_declares_is_written_down_once_and_when_it_changes(clockwork: Clockwork, declare: Any) -> None:
    assert [declare("@hourly") for _ in range(3)] == [1, 0, 0]
    [info] = clockwork.schedules.list()
    assert (info.name, info.workflow, info.source, info.expression) == (DECLARED, DECLARED, "code", "0 * * * *")
    clockwork.tick(3600)
    assert clockwork.fates(DECLARED) == {60: "started"}
    assert declare(Schedule("@daily", timezone="Europe/Paris", jitter=5)) == 1
    [info] = clockwork.schedules.list()
    assert (info.expression, info.timezone, info.jitter) == ("0 0 * * *", "Europe/Paris", 5.0)


def test_what_the_code_no_longer_declares_is_deleted_by_who_knows_the_workflow(
    clockwork: Clockwork, declare: Any
) -> None:
    declare("@hourly")
    found = declared.workflows.pop(DECLARED)
    assert declare_schedules(clockwork.stage.engine) == 0
    assert len(clockwork.schedules.list()) == 1
    declared.workflows[DECLARED] = found
    assert declare(None) == 1
    assert clockwork.schedules.list() == []


def test_what_was_switched_off_by_hand_stays_off(clockwork: Clockwork, declare: Any) -> None:
    declare("@hourly")
    clockwork.schedules.deactivate(DECLARED)
    declare("@hourly")
    declare("@daily")
    assert not clockwork.schedules.get(DECLARED).is_active


def test_what_is_declared_inactive_starts_when_a_person_switches_it_on(clockwork: Clockwork, declare: Any) -> None:
    declare(Schedule("@hourly", active=False))
    clockwork.tick(7200)
    info = clockwork.schedules.get(DECLARED)
    assert (info.is_active, info.next_tick, clockwork.fates(DECLARED)) == (False, None, {})
    clockwork.schedules.activate(DECLARED)
    for schedule in (Schedule("@hourly", active=False), Schedule("@daily", active=False)):
        declare(schedule)
        assert clockwork.schedules.get(DECLARED).is_active
    clockwork.create(active=False)
    assert not clockwork.schedules.get(NAME).is_active
    with pytest.raises(ConfigError, match="deactivate"):
        clockwork.schedules.update(NAME, schedule=Schedule("@daily", active=False))
    with pytest.raises(ConfigError, match="declared in the code"):
        clockwork.schedules.update(DECLARED, schedule="@weekly")
    assert clockwork.schedules.activate(DECLARED).is_active


def test_what_a_person_made_is_never_touched(
    clockwork: Clockwork, declare: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clockwork.create(DECLARED)
    assert [declare("@hourly"), declare(None)] == [0, 0]
    assert clockwork.schedules.get(DECLARED).source == "api"
    assert "left out" in caplog.text


def test_a_declaration_that_cannot_be_is_logged_and_holds_up_no_other(
    clockwork: Clockwork, declare: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):

        @workflow(name="tests.declared.impossible", schedule="@daily")
        def impossible(one: str, two: str) -> str:
            return note(one + two)

        assert declare("@hourly") == 1
    assert "has no value for one, two" in caplog.text
    assert [info.name for info in clockwork.schedules.list()] == [DECLARED]


def test_a_schedule_in_the_code_is_checked_when_it_is_defined() -> None:
    for options in (
        {"schedule": "@never"},
        {"timezone": "Europe/Paris"},
        {"schedule": Schedule("@daily"), "timezone": "UTC"},
    ):
        with pytest.raises(DefinitionError, match="@workflow"):
            workflow(name="tests.declared.wrong", **options)(lambda_like)  # type: ignore[call-overload]


def lambda_like() -> None:
    """Something to decorate."""


def test_the_plan_of_a_schedule_is_one_that_can_run(clockwork: Clockwork) -> None:
    clockwork.create("noted", note.s("x").options(queue="slow"))
    clockwork.tick()
    [run] = clockwork.runs()
    assert clockwork.stage.steps(run.id)[0].queue == "slow"
    assert PLAN.name not in {found.workflow for found in clockwork.runs()}

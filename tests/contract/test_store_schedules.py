"""What becomes of the ticks of a schedule: one run each, catching up, overlap, jitter, queues."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from segue import task, workflow
from segue.authoring import declared
from segue.engine.act import Act
from segue.engine.reopening.retry import retry_run
from segue.errors import DefinitionError, SerializationError
from segue.model import RunStatus, Verdict
from segue.scheduler.deciding import Plans, decide, start_queued_tick
from segue.scheduler.firing import _fire, fire_due, start_queued
from segue.scheduler.ticking import TICKS_AT_ONCE
from tests.contract.scheduling import NAME, PLAN, Clockwork
from tests.contract.stage import Stage, connect, ended, failed

ONE_DAY = 24 * 3600


@pytest.fixture
def clockwork(one_stage: Stage) -> Iterator[Clockwork]:
    one_stage.renew()
    yield Clockwork(one_stage)
    assert one_stage.engine.broken_invariants() == []


# Ticks --------------------------------------------------------------------------------------------------------------


def test_each_tick_starts_one_run(clockwork: Clockwork) -> None:
    clockwork.create(overlap="allow")
    clockwork.tick(59)
    assert clockwork.runs() == []
    for _ in range(3):
        clockwork.tick()
        clockwork.decide()
    assert clockwork.fates() == {1: "started", 2: "started", 3: "started"}
    assert len(clockwork.runs()) == 3
    assert [info.run_id for info in clockwork.ticks()] == [run.id for run in clockwork.runs()]


def test_a_run_says_which_tick_it_is_of(clockwork: Clockwork) -> None:
    clockwork.create(tags=["nightly"])
    clockwork.tick()
    [run] = clockwork.runs()
    assert run.metadata == {"schedule": NAME, "tick": clockwork.at(1).isoformat()}
    assert run.tags == ("nightly",)


def test_two_that_decide_the_same_tick_start_one_run(clockwork: Clockwork) -> None:
    """The second saw the schedule before the first moved it on."""
    clockwork.create(overlap="allow")
    clockwork.stage.advance(60)
    store, engine, seen = clockwork.stage.store, clockwork.stage.engine, clockwork.row()
    assert [_fire(engine, seen, store.now()) for _ in range(2)] == [1, 0]
    assert len(clockwork.runs()) == 1


def test_a_schedule_that_is_changed_while_it_is_decided_is_decided_anew(clockwork: Clockwork) -> None:
    clockwork.create()
    clockwork.stage.advance(60)
    seen = clockwork.row()
    clockwork.stage.advance(1)
    clockwork.schedules.update(NAME, schedule="every hour")
    assert _fire(clockwork.stage.engine, seen, clockwork.stage.store.now()) == 0
    assert clockwork.runs() == []


def test_local_time_decides_where_clocks_are_changed(clockwork: Clockwork) -> None:
    clockwork.create(schedule="30 2 * * *", timezone="Europe/Paris", overlap="allow", catch_up="all")
    clockwork.stage.advance((datetime(2026, 3, 28, tzinfo=UTC) - clockwork.begun_at).total_seconds())
    clockwork.decide()
    before = len(clockwork.runs())
    for _ in range(3):
        clockwork.tick(ONE_DAY)
    moments = [info.tick for info in clockwork.ticks()][before:]
    assert moments == [
        datetime(2026, 3, 28, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # 02:30 is skipped; its tick is at the end of the gap
        datetime(2026, 3, 30, 0, 30, tzinfo=UTC),
    ]


def test_bounds_are_kept_and_the_last_tick_is_the_last(clockwork: Clockwork) -> None:
    clockwork.create(starts_at=clockwork.at(2), ends_at=clockwork.at(3), overlap="allow")
    for _ in range(5):
        clockwork.tick()
    assert clockwork.fates() == {2: "started", 3: "started"}
    assert clockwork.schedules.get(NAME).next_tick is None


def test_many_schedules_at_once(clockwork: Clockwork) -> None:
    for number in range(120):
        clockwork.create(f"schedule-{number}")
    clockwork.tick()
    assert len(clockwork.runs()) == 120


# Jitter -------------------------------------------------------------------------------------------------------------


def test_jitter_delays_a_tick_by_the_same_each_time_and_never_beyond_the_next(clockwork: Clockwork) -> None:
    for name, jitter in (("short", 20.0), ("long", 3600.0)):
        clockwork.create(name, jitter=jitter, overlap="allow")
    dues = {}
    for name in ("short", "long"):
        info = clockwork.schedules.get(name)
        assert info.next_tick == clockwork.at(1)
        assert info.due_at is not None
        dues[name] = (info.due_at - info.next_tick).total_seconds()
    assert 0 <= dues["short"] < 20
    assert 0 <= dues["long"] < 60
    clockwork.tick(60 + dues["short"] - 0.001)
    assert "short" not in {run.metadata["schedule"] for run in clockwork.runs()}
    clockwork.tick(0.002)
    assert clockwork.fates("short") == {1: "started"}
    for _ in range(60 * 10):
        clockwork.tick(1)
    assert clockwork.fates("long") == dict.fromkeys(range(1, len(clockwork.fates("long")) + 1), "started")
    assert len(clockwork.fates("long")) >= 9


# Catching up ----------------------------------------------------------------------------------------------------------


def test_of_missed_ticks_the_latest_is_caught_up(clockwork: Clockwork) -> None:
    clockwork.create()
    clockwork.tick(10 * 60 + 30)
    first, last = clockwork.ticks()
    assert (clockwork.minute(first.tick), first.status) == (1, "skipped")
    assert first.reason == f"missed: only the latest is caught up; so are those up to {clockwork.at(9).isoformat()}"
    assert (clockwork.minute(last.tick), last.status) == (10, "started")
    clockwork.tick(30)
    assert clockwork.fates()[11] == "skipped"  # the one that was caught up still runs


def test_a_schedule_of_every_second_that_slept_for_a_year_is_dealt_with_at_once(clockwork: Clockwork) -> None:
    clockwork.create(schedule="every second")
    clockwork.tick(365 * ONE_DAY)
    assert len(clockwork.ticks()) == 2
    assert len(clockwork.runs()) == 1


def test_without_catching_up_only_a_tick_of_the_last_minute_starts(clockwork: Clockwork) -> None:
    clockwork.create(schedule="every 10 minutes", catch_up="none")
    clockwork.tick(10 * 60 + 59)
    assert clockwork.fates() == {10: "started"}
    clockwork.finish()
    clockwork.tick(20 * 60 + 2)
    assert clockwork.fates() == {10: "started", 20: "skipped"}
    assert "no process did the chores" in str(clockwork.ticks()[-1].reason)
    clockwork.tick(9 * 60)
    assert clockwork.fates() == {10: "started", 20: "skipped", 40: "started"}


def test_all_missed_ticks_are_caught_up_in_order(clockwork: Clockwork) -> None:
    clockwork.create(catch_up="all", overlap="allow")
    count = 2 * TICKS_AT_ONCE + 50
    clockwork.tick(count * 60 + 1)
    assert clockwork.fates() == dict.fromkeys(range(1, count + 1), "started")
    assert [run.metadata["tick"] for run in clockwork.runs()] == [info.tick.isoformat() for info in clockwork.ticks()]


@pytest.mark.parametrize("catch_up", ["all", "latest"])
def test_what_is_older_than_the_window_is_not_caught_up(clockwork: Clockwork, catch_up: str) -> None:
    clockwork.create(schedule="every 10 minutes", catch_up=catch_up, catch_up_window=1500, overlap="allow")
    clockwork.tick(61 * 60)
    if catch_up == "all":
        assert clockwork.fates() == {10: "skipped", 40: "started", 50: "started", 60: "started"}
        assert "longer ago than the catch-up window" in str(clockwork.ticks()[0].reason)
    else:
        assert clockwork.fates() == {10: "skipped", 60: "started"}


def test_the_latest_is_not_caught_up_either_when_it_is_older_than_the_window(clockwork: Clockwork) -> None:
    clockwork.create(schedule="every hour", catch_up_window=60)
    clockwork.tick(90 * 60)
    assert clockwork.fates() == {60: "skipped"}
    clockwork.tick(30 * 60)
    assert clockwork.fates() == {60: "skipped", 120: "started"}


# Overlap --------------------------------------------------------------------------------------------------------------


def test_skip_starts_nothing_while_a_run_has_not_ended(clockwork: Clockwork) -> None:
    clockwork.create(overlap="skip")
    for _ in range(3):
        clockwork.tick()
    clockwork.finish()
    clockwork.tick()
    assert clockwork.fates() == {1: "started", 2: "skipped", 3: "skipped", 4: "started"}
    assert clockwork.ticks()[1].reason == f"run {clockwork.runs()[0].id} has not ended"


def test_queue_one_keeps_one_tick_for_later(clockwork: Clockwork) -> None:
    clockwork.create(overlap="queue_one")
    for _ in range(4):
        clockwork.tick()
    assert clockwork.fates() == {1: "started", 2: "queued", 3: "skipped", 4: "skipped"}
    clockwork.finish()
    clockwork.decide()
    assert clockwork.fates()[2] == "started"
    assert clockwork.runs()[1].metadata["tick"] == clockwork.at(2).isoformat()
    clockwork.finish()
    clockwork.tick()
    assert clockwork.fates()[5] == "started"


def test_queue_all_starts_one_after_another(clockwork: Clockwork) -> None:
    clockwork.create(overlap="queue_all")
    for _ in range(4):
        clockwork.tick()
    assert clockwork.fates() == {1: "started", 2: "queued", 3: "queued", 4: "queued"}
    for started in range(2, 5):
        clockwork.finish()
        clockwork.decide()
        assert [info.status for info in clockwork.ticks()].count("started") == started
    clockwork.finish()
    clockwork.tick()
    assert clockwork.fates() == dict.fromkeys(range(1, 6), "started")


def test_a_queue_moves_only_when_the_run_before_has_ended(clockwork: Clockwork) -> None:
    clockwork.create(overlap="queue_all")
    for _ in range(3):
        clockwork.tick()
    assert start_queued(clockwork.stage.engine) == 0
    clockwork.finish()
    assert start_queued(clockwork.stage.engine) == 1
    assert start_queued(clockwork.stage.engine) == 0


def test_cancel_running_cancels_and_starts_when_that_has_ended(clockwork: Clockwork) -> None:
    clockwork.create(overlap="cancel_running")
    clockwork.tick()
    [busy] = clockwork.stage.claim()
    for _ in range(2):
        clockwork.tick()
    assert clockwork.fates() == {1: "started", 2: "skipped", 3: "queued"}
    assert clockwork.ticks()[1].reason == f"overtaken by the tick {clockwork.at(3).isoformat()}"
    first = clockwork.runs()[0]
    assert first.ending == RunStatus.CANCELLED
    clockwork.stage.turn(ended(busy, Verdict.CANCELLED))
    clockwork.decide()
    assert [run.status for run in clockwork.runs()] == ["cancelled", "pending"]
    assert clockwork.fates()[3] == "started"


def test_cancel_running_starts_at_once_when_nothing_has_begun(clockwork: Clockwork) -> None:
    clockwork.create(overlap="cancel_running")
    for _ in range(3):
        clockwork.tick()
    assert [run.status for run in clockwork.runs()] == ["cancelled", "cancelled", "pending"]
    assert clockwork.fates() == dict.fromkeys((1, 2, 3), "started")


def test_a_run_that_began_meanwhile_is_cancelled_first(clockwork: Clockwork) -> None:
    """Between the look at what runs and the decision somebody else started one."""
    clockwork.create(overlap="cancel_running")
    clockwork.schedules.run_now(NAME)
    clockwork.stage.advance(60)
    seen = clockwork.row()
    batch = seen.ticking().batch(clockwork.at(1), clockwork.stage.store.now())
    plans: Plans = dict.fromkeys(batch.ticks, PLAN)
    assert clockwork.stage.engine.act(decide, seen, batch, plans, set()) == 0
    assert clockwork.row().next_tick == clockwork.at(1)
    clockwork.decide()
    assert [run.status for run in clockwork.runs()] == ["cancelled", "pending"]


def test_a_queued_tick_waits_for_a_run_that_began_meanwhile(clockwork: Clockwork) -> None:
    clockwork.create(overlap="queue_all")
    clockwork.tick()
    clockwork.tick()
    row = clockwork.row()
    assert clockwork.stage.engine.act(start_queued_tick, row, clockwork.at(2), PLAN) == 0
    clockwork.finish()
    assert clockwork.stage.engine.act(start_queued_tick, row, clockwork.at(3), PLAN) == 0
    assert clockwork.stage.engine.act(start_queued_tick, row, clockwork.at(2), PLAN) == 1


def test_what_is_open_are_the_few_ticks_that_matter(clockwork: Clockwork) -> None:
    clockwork.create(overlap="allow")
    for _ in range(10):
        clockwork.tick()
        clockwork.finish()
    with connect(clockwork.stage.store.url) as connection:
        assert connection.execute("SELECT count(*) FROM segue_ticks WHERE is_open").fetchone()[0] == 1


def test_allow_starts_beside_what_runs(clockwork: Clockwork) -> None:
    clockwork.create(overlap="allow")
    for _ in range(3):
        clockwork.tick()
    assert [run.status for run in clockwork.runs()] == ["pending"] * 3


def test_overlap_holds_among_ticks_that_are_caught_up(clockwork: Clockwork) -> None:
    fates = {
        "skip": ["started", "skipped", "skipped"],
        "queue_one": ["started", "queued", "skipped"],
        "queue_all": ["started", "queued", "queued"],
        "cancel_running": ["skipped", "skipped", "started"],
        "allow": ["started", "started", "started"],
    }
    for overlap in fates:
        clockwork.create(overlap, catch_up="all", overlap=overlap)
    clockwork.tick(3 * 60)
    assert {overlap: [info.status for info in clockwork.ticks(overlap)] for overlap in fates} == fates


def test_a_run_that_is_retried_counts_as_running_again(clockwork: Clockwork) -> None:
    clockwork.create()
    clockwork.tick()
    clockwork.stage.work({"a": failed})
    clockwork.tick()
    clockwork.finish()
    first = clockwork.runs()[0]
    clockwork.decide()
    clockwork.tick(30)
    with clockwork.stage.store.transaction() as tx:
        retry_run(Act(tx, clockwork.stage.store.now()), first.id)
    clockwork.tick(30)
    assert clockwork.fates() == {1: "started", 2: "started", 3: "skipped"}
    assert clockwork.ticks()[-1].reason == f"run {first.id} has not ended"


def test_runs_of_other_schedules_do_not_count(clockwork: Clockwork) -> None:
    clockwork.create("one")
    clockwork.create("other")
    clockwork.stage.start(PLAN)
    clockwork.tick()
    assert len(clockwork.runs()) == 3


# What is started ------------------------------------------------------------------------------------------------------


@task(name="tests.schedules.note")
def note(day: str, *, where: str = "here") -> str:
    return f"{day} {where}"


@task(name="tests.schedules.note_date")
def note_date(day: date) -> str:
    return day.isoformat()


@task(name="tests.schedules.note_moment")
def note_moment(moment: datetime | None) -> str:
    return str(moment)


@workflow(name="tests.schedules.nightly", tags=["own"])
def nightly(region: str, day: str) -> str:
    return note(f"{region} {day}")


@workflow(name="tests.schedules.dated")
def dated(day: date) -> str:
    assert type(day) is date
    return note((day + timedelta(days=1)).isoformat())


@workflow(name="tests.schedules.timed")
def timed(moment: datetime) -> str:
    return note(moment.strftime("%H:%M %Z"))


@workflow(name="tests.schedules.broken")
def broken(day: str) -> str:
    raise ValueError(f"no {day}")


def test_the_parameter_that_nobody_gave_receives_the_tick(clockwork: Clockwork) -> None:
    expected = [
        (nightly.s("north"), [["north 2026-01-02"], {}]),
        (nightly.s(day="a day", region="south"), [["south a day"], {}]),
        (dated, [["2026-01-03"], {}]),
        (timed, [["01:00 CET"], {}]),
        (note, [[], {"day": "2026-01-02"}]),
        (note.s(where="there").options(retries=3), [[], {"where": "there", "day": "2026-01-02"}]),
        (note_date, [[], {"day": "2026-01-02"}]),
        (note_moment, [[], {"moment": "2026-01-02T01:00:00+01:00"}]),
        (note.s("fixed"), [["fixed"], {}]),
    ]
    for number, (work, _) in enumerate(expected):
        clockwork.create(str(number), work, schedule="0 1 * * *", timezone="Europe/Paris")
    clockwork.tick(ONE_DAY)
    jobs = clockwork.stage.claim(clockwork.stage.hire("any", tasks=[note.name, note_date.name, note_moment.name]))
    given = {job.run_id: msgspec.json.decode(job.args) for job in jobs}
    found = [given[clockwork.ticks(str(number))[0].run_id or ""] for number in range(len(expected))]
    assert found == [arguments for _, arguments in expected]


def test_the_tags_of_the_workflow_and_of_the_schedule_are_the_runs(clockwork: Clockwork) -> None:
    clockwork.create("nightly", nightly.s("north"), tags=["mine", "own"])
    clockwork.tick()
    [run] = clockwork.runs()
    assert run.tags == ("own", "mine")
    assert run.arguments == [["north"], {"day": "2026-01-01"}]


def test_more_than_one_parameter_that_nobody_gave_is_refused(clockwork: Clockwork) -> None:
    with pytest.raises(DefinitionError, match="it has no value for region, day"):
        clockwork.create("nightly", nightly)
    with pytest.raises(DefinitionError, match="takes"):
        clockwork.create("nightly", note.s(1, 2, 3))
    with pytest.raises(SerializationError):
        clockwork.create("nightly", nightly.s(object()))


def test_a_workflow_that_raises_skips_its_tick_and_the_next_ticks_go_on(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    clockwork.create("broken", broken)
    clockwork.create(overlap="allow")
    clockwork.tick()
    clockwork.tick()
    assert clockwork.fates("broken") == {1: "skipped", 2: "skipped"}
    assert clockwork.ticks("broken")[0].reason == "ValueError: no 2026-01-01"
    assert "Traceback" in caplog.text
    assert clockwork.fates() == {1: "started", 2: "started"}


def test_a_workflow_that_raises_from_the_queue_skips_its_tick(clockwork: Clockwork) -> None:
    clockwork.create("broken", broken, overlap="queue_all")
    clockwork.stage.advance(600)
    clockwork.schedules.backfill("broken", clockwork.at(1), clockwork.at(3))
    clockwork.decide()
    assert clockwork.fates("broken") == {1: "skipped", 2: "skipped", 3: "skipped", 10: "skipped"}


def test_a_workflow_that_nobody_here_knows_is_left_to_others(clockwork: Clockwork) -> None:
    clockwork.create("nightly", nightly.s("north"))
    known = declared.workflows.pop(nightly.name)
    try:
        clockwork.tick()
        assert clockwork.ticks("nightly") == []
        info = clockwork.schedules.get("nightly")
        assert info.problem is None
        clockwork.tick(30)
        assert "no process does the chores" in str(clockwork.schedules.get("nightly").problem)
    finally:
        declared.workflows[nightly.name] = known
    assert fire_due(clockwork.stage.engine, late_seconds=3) == 1
    assert clockwork.fates("nightly") == {1: "started"}
    assert clockwork.schedules.get("nightly").problem is None


def test_a_plan_is_started_by_those_who_have_no_code(clockwork: Clockwork) -> None:
    clockwork.create("noted", note)
    known = declared.tasks.pop(note.name)
    try:
        clockwork.tick()
        assert clockwork.fates("noted") == {1: "started"}
    finally:
        declared.tasks[note.name] = known

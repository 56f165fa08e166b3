"""Entries of Celery beat as schedules: their ticks are those that Celery computes, and what cannot be one is named."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain
from celery.schedules import crontab, schedule, solar
from hypothesis import given
from hypothesis import strategies as st

from segue import Segue, sleep
from segue.errors import ConfigError, ScheduleNotFoundError
from segue.executors.celery import adopt_beat, install
from segue.executors.celery.beat import _cron
from segue.timetable import parse_timetable

NOW = datetime(2026, 2, 20, 12, 30, 30, tzinfo=UTC)


@pytest.fixture
def segue(tmp_path: Path) -> Iterator[Segue]:
    with Segue(f"sqlite:///{tmp_path}/segue.db") as segue:
        segue.upgrade()
        yield segue


@pytest.fixture
def app(segue: Segue) -> Celery:
    app = Celery("beaten", broker="memory://", backend="cache+memory://", set_as_current=False)
    install(app, segue)

    @app.task(name="report", shared=False)
    def report(day: Any = None) -> Any:
        return day

    return app


def entry(when: Any, **more: Any) -> dict[str, Any]:
    return {"task": "report", "schedule": when, **more}


def times_of_celery(when: crontab, count: int) -> list[datetime]:
    """The times at which beat would start it, by Celery's own arithmetic."""
    when.tz = UTC
    found, last = [], NOW
    for _ in range(count):
        when.nowfun = lambda last=last: last  # Celery 5.3 reckons otherwise when it is another day by now
        last_run, delta, _ = when.remaining_delta(last)
        last = last_run + delta
        found.append(last)
    return found


def ticks(expression: str, count: int) -> list[datetime]:
    timetable, tick, found = parse_timetable(expression), NOW, []
    for _ in range(count):
        following = timetable.next_after(tick)
        assert following is not None
        tick = following
        found.append(tick)
    return found


@pytest.mark.parametrize(
    "when",
    [
        crontab(), crontab(minute=0, hour=2), crontab(minute="*/15"), crontab(minute="0,30", hour="9-11"),
        crontab(minute=0, hour=0, day_of_week="mon-fri"), crontab(minute=0, hour=0, day_of_week="sun"),
        crontab(minute=5, hour=4, day_of_month="1,15", month_of_year="*/3"), crontab(minute=[1, 2], hour={3}),
        crontab(minute="*/7", hour="*/5", day_of_month="*/3"),
        crontab(minute=0, hour=8, day_of_month="1-7", day_of_week="mon"),
        crontab(minute=0, hour=8, day_of_month="8-14", day_of_week="sun,tue"),
        crontab(minute=0, hour=8, day_of_month="*/2", day_of_week="tue"),
    ],
    ids=str,
)  # fmt: skip
def test_a_crontab_has_the_ticks_that_celery_computes(when: crontab) -> None:
    assert ticks(_cron("it", when), 12) == times_of_celery(when, 12)


fields = {
    "minute": st.sets(st.integers(0, 59), min_size=1, max_size=4),
    "hour": st.sets(st.integers(0, 23), min_size=1, max_size=4),
    "month_of_year": st.sets(st.integers(1, 12), min_size=1),
}
days = st.sets(st.integers(1, 28), min_size=1)
weekdays = st.sets(st.integers(0, 6), min_size=1)


@given(
    st.fixed_dictionaries(fields),
    st.one_of(
        st.fixed_dictionaries({"day_of_month": days}),
        st.fixed_dictionaries({"day_of_week": weekdays}),
        st.fixed_dictionaries({"day_of_month": days.map(lambda some: some | {1}), "day_of_week": weekdays}),
        st.fixed_dictionaries({"day_of_month": days, "day_of_week": weekdays.map(lambda some: some | {0})}),
    ),
)
def test_any_crontab_has_the_ticks_that_celery_computes(common: dict[str, Any], chosen: dict[str, Any]) -> None:
    when = crontab(**common, **chosen)
    assert ticks(_cron("it", when), 5) == times_of_celery(when, 5)


@pytest.mark.parametrize(
    "when,expression",
    [
        (timedelta(minutes=15), "every 15 minutes"), (30, "every 30 seconds"), (1.5, "every 1.5 seconds"),
        (schedule(timedelta(hours=2)), "every 2 hours"), (crontab(minute="*/5"), "*/5 * * * *"),
    ],
    ids=str,
)  # fmt: skip
def test_an_entry_becomes_a_schedule_of_its_name(app: Celery, segue: Segue, when: Any, expression: str) -> None:
    app.conf.beat_schedule = {"reports": entry(when, kwargs={"day": "monday"}, options={"queue": "slow"})}
    assert adopt_beat(app, segue) == ["reports"]
    info = segue.schedules.get("reports")
    assert parse_timetable(info.expression) == parse_timetable(expression)
    assert (info.overlap, info.catch_up, info.timezone, info.workflow) == ("allow", "latest", "UTC", "report")


def test_adopting_again_changes_what_changed_and_removes_what_is_gone(app: Celery, segue: Segue) -> None:
    segue.schedules.create("own", sleep.s(1), schedule="@daily")
    app.conf.beat_schedule = {"one": entry(3600), "two": entry(3600)}
    adopt_beat(app, segue)
    segue.schedules.deactivate("one")
    before = {name: segue.schedules.get(name).next_tick for name in ("one", "two")}
    assert adopt_beat(app, segue) == ["one", "two"]
    assert {name: segue.schedules.get(name).next_tick for name in ("one", "two")} == before
    assert not segue.schedules.get("one").is_active
    app.conf.beat_schedule = {"two": entry(crontab(minute=7))}
    assert adopt_beat(app, segue) == ["two"]
    assert segue.schedules.get("two").expression == "7 * * * *"
    with pytest.raises(ScheduleNotFoundError):
        segue.schedules.get("one")
    assert [info.name for info in segue.schedules.list()] == ["own", "two"]


def test_entries_that_code_adds_are_adopted(app: Celery, segue: Segue) -> None:
    app.add_periodic_task(60.0, app.tasks["report"].s("today"), name="added")
    assert adopt_beat(app, segue) == ["added"]


def test_each_run_of_a_schedule_has_task_ids_of_its_own(app: Celery, segue: Segue) -> None:
    report = app.tasks["report"]
    failed = chain(report.s(1), report.s().on_error(report.s()))
    segue.schedules.create("twice", failed, schedule="@daily")
    runs = [segue.schedules.run_now("twice") for _ in range(2)]
    first, second = ({step.handle for step in run.steps() if step.handle} for run in runs)
    assert len(first) == len(second) == 2
    assert not first & second
    for run, own in zip(runs, (first, second), strict=True):
        numbers = [step.step for step in run.steps()]
        with run._look() as tx:
            written = [tx.all("step_arguments", run_id=run.id, step=number)[0][4] for number in numbers]
        assert any(handle in written[-1] for handle in own)  # the error callback gets the id of this run's task


@pytest.mark.parametrize(
    "when,why",
    [
        (solar("sunset", -37.81, 144.96), "sun"),
        (crontab(minute=0, hour=0, day_of_month=13, day_of_week="fri"), "at once"),
        (0.2, "1 second"),
        ("@daily", "crontab, a timedelta"),
    ],
    ids=["solar", "both days", "too short", "text"],
)
def test_an_entry_that_cannot_be_a_schedule_is_named_and_nothing_is_written(
    app: Celery, segue: Segue, when: Any, why: str
) -> None:  # fmt: skip
    app.conf.beat_schedule = {"fine": entry(60), "odd-one": entry(when)}
    with pytest.raises(ConfigError, match=rf"odd-one.*{why}"):
        adopt_beat(app, segue)
    assert segue.schedules.list() == []


def test_a_name_that_is_taken_is_not_taken_over(app: Celery, segue: Segue) -> None:
    segue.schedules.create("reports", sleep.s(1), schedule="@daily")
    app.conf.beat_schedule = {"reports": entry(60)}
    with pytest.raises(ConfigError, match=r"reports.*another schedule"):
        adopt_beat(app, segue)


def test_times_of_the_machine_are_refused(app: Celery, segue: Segue) -> None:
    app.conf.update(beat_schedule={"reports": entry(60)}, enable_utc=False)
    with pytest.raises(ConfigError, match="timezone"):
        adopt_beat(app, segue)
    app.conf.timezone = "Europe/Paris"
    adopt_beat(app, segue)
    assert segue.schedules.get("reports").timezone == "Europe/Paris"


def test_processes_may_adopt_at_the_same_time(app: Celery, segue: Segue) -> None:
    app.conf.beat_schedule = {f"entry-{number}": entry(3600) for number in range(10)}
    with ThreadPoolExecutor(4) as threads:
        adopted = list(threads.map(lambda _: adopt_beat(app, segue), range(8)))
    assert adopted == [adopted[0]] * 8
    assert len(segue.schedules.list()) == 10

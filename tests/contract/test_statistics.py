"""Statistics of attempts: what workers count, what is written when, and how it is added up. On both stores."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from segue import Segue
from segue.engine.engine import Engine
from segue.engine.statistics import add_up_statistics
from segue.engine.tally import MOST_CELLS
from segue.engine.views.statistics import Series, Statistics, statistics
from segue.errors import ConfigError
from segue.model import ErrorInfo, Job, Outcome, Verdict
from tests.contract.stage import TASK, Stage, connect, failed, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    renewed_stage.clock.set(renewed_stage.clock.now().replace(second=5, microsecond=0))
    return renewed_stage


def looked(stage: Stage, age: timedelta = timedelta(minutes=30), **asked: Any) -> Statistics:
    with stage.store.reading() as tx:
        return statistics(tx, stage.store.now(), age=age, **asked)


def only(found: Statistics) -> Series:
    [series] = found.series
    return series


def rows(stage: Stage) -> list[tuple[Any, ...]]:
    with connect(stage.store.url) as connection:
        return sorted(connection.execute("SELECT span, process <> '', task, attempts FROM segue_statistics").fetchall())


def beat(stage: Stage) -> None:
    stage.turn(heartbeat="running")


def work(stage: Stage, count: int = 1, *, seconds: float = 0.5, task: str = TASK) -> list[Job]:
    """Runs of one step each, that wait for 2 s and succeed."""
    worker = stage.hire("many", tasks=[task]) if task != TASK else stage.worker
    for _ in range(count):
        stage.start(plan(node("a", task=task)))
    stage.advance(2)
    jobs = stage.claim(worker)
    stage.turn(*(succeeded(job, seconds=seconds) for job in jobs), by=worker)
    return jobs


def test_attempts_are_counted_and_written_with_a_heartbeat(stage: Stage) -> None:
    work(stage, 3)
    beat(stage)  # the first is not due
    assert rows(stage) == []
    stage.advance(11)
    beat(stage)
    series = only(looked(stage))
    assert (series.attempts, series.failed, series.failure_ratio) == (3, 0, 0.0)
    assert series.p50_seconds == pytest.approx(0.5, rel=0.3)
    assert series.mean_seconds == pytest.approx(0.5)
    assert series.mean_waited == pytest.approx(2.0)
    assert series.p95_waited == pytest.approx(2.0, rel=0.3)
    assert sum(series.attempts_over_time) == 3
    assert len(series.attempts_over_time) == 30
    work(stage, 2)
    stage.advance(11)
    beat(stage)
    assert only(looked(stage)).attempts == 5
    assert [row[3] for row in rows(stage)] == [5]


def test_failures_are_counted_and_what_comes_again_is_not(stage: Stage) -> None:
    for _ in range(4):
        stage.start(plan(node("a")))
    first, second, third, fourth = stage.claim()
    stage.turn(
        failed(first, seconds=1.0), Outcome(second.run_id, second.step, second.attempt, Verdict.RELEASED),
        Outcome(third.run_id, third.step, third.attempt, Verdict.LOST, error=ErrorInfo("Lost", "killed")),
        succeeded(fourth),
    )  # fmt: skip
    stage.turn(succeeded(fourth))  # said again
    beat(stage)
    stage.advance(11)
    beat(stage)
    series = only(looked(stage))
    assert (series.attempts, series.failed) == (3, 2)
    assert sum(series.failed_over_time) == 2


def test_steps_that_need_not_run_and_odd_durations(stage: Stage) -> None:
    for _ in range(4):
        stage.start(plan(node("a")))
    skipped, nothing, forever, never = stage.claim()
    stage.turn(
        Outcome(skipped.run_id, skipped.step, skipped.attempt, Verdict.SKIPPED), succeeded(nothing, seconds=-1.0),
        succeeded(forever, seconds=float("inf")), succeeded(never, seconds=float("nan")),
    )  # fmt: skip
    beat(stage)
    stage.advance(11)
    beat(stage)
    series = only(looked(stage))
    assert (series.attempts, series.mean_seconds) == (3, 0.0)


def test_nothing_is_written_while_nothing_ends(stage: Stage) -> None:
    work(stage)
    beat(stage)
    stage.advance(11)
    beat(stage)
    assert rows(stage)
    with connect(stage.store.url) as connection:
        connection.execute("DELETE FROM segue_statistics")
        connection.commit()
    for _ in range(3):
        stage.advance(11)
        beat(stage)
    assert rows(stage) == []


def test_by_queue_and_by_task(stage: Stage) -> None:
    work(stage, 2)
    work(stage, 1, task="app.other")
    beat(stage)
    stage.advance(11)
    beat(stage)
    assert {series.name: series.attempts for series in looked(stage, by="task").series} == {TASK: 2, "app.other": 1}
    assert {series.name: series.attempts for series in looked(stage, by="queue").series} == {"default": 3}
    assert only(looked(stage, task=TASK)).attempts == 2
    assert only(looked(stage, queue="mail")).attempts == 0
    assert looked(stage, prefix="north\x1f", by="queue").series == ()


def test_too_many_tasks_are_counted_together(stage: Stage) -> None:
    worker = stage.hire("all", tasks=[f"app.t{number}" for number in range(MOST_CELLS + 20)])
    for number in range(MOST_CELLS + 20):
        stage.start(plan(node("a", task=f"app.t{number}")))
    jobs = stage.claim(worker, want=1000)
    stage.turn(*(succeeded(job) for job in jobs), by=worker)
    beat(stage)
    stage.advance(11)
    beat(stage)
    found = looked(stage, by="task").series
    assert len(found) == MOST_CELLS + 1
    assert found[0].name == ""
    assert found[0].attempts == 20


def test_the_leader_adds_up_minutes_and_then_hours(stage: Stage) -> None:
    engines = [stage.engine, Engine(stage.store)]
    for engine in engines:
        stage.engine = engine
        work(stage, 2)
        beat(stage)
        stage.advance(11)
        beat(stage)
    stage.engine = engines[0]
    assert [row[3] for row in rows(stage)] == [2, 2]
    assert stage.engine.act(add_up_statistics) == 0
    stage.advance(700)
    assert stage.engine.act(add_up_statistics) == 1
    assert rows(stage) == [(60, False, TASK, 4)]
    assert stage.engine.act(add_up_statistics) == 0
    assert only(looked(stage)).p95_seconds == pytest.approx(0.5, rel=0.4)
    stage.advance(2 * 86400)
    assert only(looked(stage, timedelta(days=2, hours=1))).attempts == 4
    assert stage.engine.act(add_up_statistics) == 1
    assert rows(stage) == [(3600, False, TASK, 4)]
    assert only(looked(stage, timedelta(days=4))).attempts == 4
    stage.advance(91 * 86400)
    assert stage.engine.act(add_up_statistics) == 0
    assert rows(stage) == []


def test_what_comes_late_is_added_to_what_was_added_up(stage: Stage) -> None:
    work(stage, 2)
    beat(stage)
    other, slow = Engine(stage.store), stage.engine
    stage.engine = other
    work(stage, 1)
    beat(stage)
    stage.advance(700)
    beat(stage)
    assert other.act(add_up_statistics) == 1
    stage.engine = slow
    beat(stage)  # it writes only now what it had counted
    assert rows(stage) == [(60, False, TASK, 1), (60, True, TASK, 2)]
    assert other.act(add_up_statistics) == 1
    assert rows(stage) == [(60, False, TASK, 3)]


def test_a_worker_that_ends_writes_the_rest(stage: Stage) -> None:
    work(stage, 2)
    stage.engine.unregister(stage.worker)
    assert [row[3] for row in rows(stage)] == [2]


def test_statistics_that_cannot_be_written_hinder_nothing(stage: Stage) -> None:
    work(stage, 2)
    beat(stage)
    stage.advance(11)
    stage.engine.tally._cells[0, "\0", "x"] = next(iter(stage.engine.tally._cells.values()))  # no database stores it
    for _ in range(2):
        try:
            beat(stage)
        except Exception:  # noqa: BLE001 - whatever the database says
            continue
    assert work(stage, 1)
    beat(stage)


def test_damaged_rows_hide_nothing(stage: Stage) -> None:
    work(stage, 2)
    stage.engine.unregister(stage.worker)
    with connect(stage.store.url) as connection:
        connection.execute("UPDATE segue_statistics SET took = 'nonsense'")
        connection.commit()
    series = only(looked(stage))
    assert (series.attempts, series.p50_seconds) == (2, None)


def test_executors_are_counted_as_a_queue(stage: Stage) -> None:
    work(stage)
    job = Job("r", 0, 1, "a", TASK, "[[],{}]", None, {}, None)
    stage.engine.count_outside([succeeded(job, seconds=0.2)], "@celery:")
    stage.advance(11)
    stage.engine.count_outside([failed(job)], "@celery:")
    found = {
        series.name: (series.attempts, series.failed, series.p50_waited) for series in looked(stage, by="queue").series
    }
    assert found["@celery:"] == (2, 1, None)


def test_what_is_asked_for_is_checked(segue: Segue) -> None:
    assert segue.statistics().series[0].attempts == 0
    assert segue.statistics(since=timedelta(days=90), by="task").series == ()
    for asked in ({"since": timedelta(0)}, {"since": timedelta(days=91)}, {"by": "colour"}):
        with pytest.raises(ConfigError, match="statistics"):
            segue.statistics(**asked)

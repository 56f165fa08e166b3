"""Runs that begin later, and keys that are free again when their run has ended."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from segue import Segue, group, task, wait_for, workflow
from segue.engine.reopening.retry import retry_run
from segue.engine.start import NewRun, start_runs
from segue.errors import ConfigError, PlanError
from segue.model import SLEEP
from segue.plan.beginning import begun_at
from segue.plan.graph import Node, Plan, RunTerms, Sla
from tests.contract.limiting import define, use
from tests.contract.stage import Stage, connect, node, plan, succeeded

FLOW = "workflow:flow"


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def later(stage: Stage, seconds: float, *nodes: Node, **terms: Any) -> Plan:
    made = plan(*(nodes or (node("a"), node("b", 0))), terms=RunTerms(**terms))
    return begun_at(made, stage.clock.now() + timedelta(seconds=seconds))


def begun(stage: Stage) -> list[str]:
    stage.turn(timers=True, heartbeat="running")
    return [job.name for job in stage.claim()]


def test_its_first_steps_wait_and_their_delays_count_from_then(stage: Stage) -> None:
    nodes = (node("a", delay=5.0), Node("all", None), node("c", 1), node("d", 2), Node("nap", SLEEP, delay=20.0))
    run_id = stage.start(later(stage, 60, *nodes))
    stage.advance(59)
    assert begun(stage) == []
    assert {reason.code for reason in stage.explain(run_id)} >= {"delayed"}
    stage.advance(2)
    assert begun(stage) == ["c"]
    stage.advance(5)
    assert begun(stage) == ["a"]
    starts = {step.name: step.ready_at for step in stage.steps(run_id)}
    assert starts["nap"] == starts["a"] + timedelta(seconds=15)


def test_until_then_it_takes_no_place_of_its_limit(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    first = stage.start(later(stage, 60, limit=use(FLOW)))
    assert "begins at" in stage.explain(first)[0].text
    second = stage.start(plan(node("other"), terms=RunTerms(limit=use(FLOW))))
    [job] = stage.claim()
    assert job.run_id == second
    stage.turn(succeeded(job))
    with stage.engine.reading() as tx:  # the chore sleeps until then
        assert tx.datetime(tx.all("next_admission", now=stage.clock.now())[0][0]) == stage.clock.now() + timedelta(
            seconds=60
        )
    stage.engine.admit_waiting()
    assert begun(stage) == []
    stage.advance(61)
    stage.engine.admit_waiting()
    assert begun(stage) == ["a"]


def test_its_deadline_and_sla_count_from_then(stage: Stage) -> None:
    run_id = stage.start(later(stage, 60, deadline=30.0, sla=Sla(start=10.0)))
    stage.advance(65)
    stage.engine.ring_alarms()
    assert stage.run(run_id).status == "pending"
    stage.advance(30)
    stage.engine.ring_alarms()
    assert stage.run(run_id).status == "failed"
    with connect(stage.store.url) as connection:
        kinds = {row[0] for row in connection.execute("SELECT kind FROM segue_events").fetchall()}
    assert {"run.late_start", "run.deadline"} <= kinds


def reusing(stage: Stage, *, id_: str | None = None) -> str:
    run = NewRun(id_ or stage.engine.new_id(), plan(node("a")), "k", reuses_key=True)
    return stage.engine.act(start_runs, [run])[0]


def work(stage: Stage) -> None:
    stage.turn(*[succeeded(job) for job in stage.claim()])


def keys(stage: Stage) -> list[tuple[str, str | None]]:
    with connect(stage.store.url) as connection:
        taken = connection.execute("SELECT key, run_id FROM segue_keys").fetchall()
        of_runs = connection.execute("SELECT key, id FROM segue_runs WHERE key IS NOT NULL").fetchall()
    assert sorted(map(str, taken)) == sorted(map(str, of_runs))
    return [(key, str(run_id)) for key, run_id in taken]


def test_a_key_is_free_again_when_its_run_has_ended(stage: Stage) -> None:
    first = reusing(stage)
    assert reusing(stage) == first
    work(stage)
    assert stage.start(plan(node("a")), key="k") == first  # an ordinary start finds it still
    assert reusing(stage, id_=first) == first  # a repetition of the first start, whose answer was lost
    second = reusing(stage)
    assert second != first
    assert keys(stage) == [("k", second)]
    stage.engine.act(retry_run, first)
    assert reusing(stage) == second


def test_of_many_that_reuse_a_key_at_once_one_starts(stage: Stage) -> None:
    first = reusing(stage)
    work(stage)
    together = Barrier(6)

    def start(_: int) -> str:
        together.wait()
        return reusing(stage)

    with ThreadPoolExecutor(6) as threads:
        found = set(threads.map(start, range(6)))
    assert len(found) == 1
    assert found != {first}
    assert keys(stage) == [("k", found.pop())]


@task
def note() -> str:
    return "done"


@workflow
def noting() -> Any:
    return note()


@workflow
def asking() -> Any:
    return wait_for("go")


@pytest.fixture
def segue(database_url: str) -> Iterator[Segue]:
    with Segue(database_url) as made:
        yield made


def test_what_users_call(segue: Segue) -> None:
    when = datetime.now(UTC) + timedelta(hours=1)
    for work_of in (note, noting, group(note.s(), note.s())):
        run = segue.start(work_of, run_at=when, deadline=60)
        assert run.explain()[0].code == "delayed"
        assert all(step.ready_at == when for step in run.steps(status="ready"))
    assert segue.start(noting, run_at=when - timedelta(days=1)).steps()[0].ready_at < when
    first = segue.start(noting, key="k", reuse_key=True)
    assert segue.start(noting, key="k", reuse_key=True).is_new is False
    first.cancel()
    assert segue.start(noting, key="k", reuse_key=True).is_new


def test_what_cannot_begin_later_says_so(segue: Segue) -> None:
    when = datetime.now(UTC) + timedelta(hours=1)
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"run_at": datetime(2030, 1, 1)}, ConfigError, "time zone"),  # noqa: DTZ001 - that is the mistake
        ({"run_at": 60}, ConfigError, "is not a datetime"),
        ({"run_at": datetime(2999, 12, 31, tzinfo=UTC)}, ConfigError, "36,525 days"),
        ({"reuse_key": True}, ConfigError, "about a key"),
        ({"reuse_key": 1, "key": "k"}, ConfigError, "reuse_key=1"),
    ]
    for options, error, why in wrong:
        with pytest.raises(error, match=why):
            segue.start(noting, **options)
    with pytest.raises(PlanError, match="waits for a message"):
        segue.start(asking, run_at=when)


def test_a_run_in_the_callers_transaction_begins_later_too(segue: Segue) -> None:
    with connect(segue.url) as connection:
        when = datetime.now(UTC) + timedelta(hours=1)
        run = segue.start(noting, run_at=when, connection=connection)
        connection.commit()
    assert run.steps()[0].ready_at == when

"""Rows that another session of the server holds, and nobody gives back: everybody goes round them.

A person forgot a `BEGIN` in psql, or the machine that held them is gone. What waits is only what belongs to that run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import psycopg
import pytest

from segue.engine.reopening import run_graph
from segue.engine.turn_request import TurnRequest
from segue.plan.graph import RunTerms
from segue.scheduler.chores import CHORES
from tests.contract import by_hand
from tests.contract.stage import LEASE_SECONDS, Stage, node, plan, succeeded

RUN, STEPS = (
    "SELECT 1 FROM segue_runs WHERE id = %s FOR UPDATE",
    "SELECT 1 FROM segue_steps WHERE run_id = %s FOR UPDATE",
)


@pytest.fixture
def stage(postgres_url: str) -> Iterator[Stage]:
    """A stage on which nothing waits for long: a test that waits for a lock fails by its error."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET lock_timeout = 1500')  # type: ignore[call-overload]
    found = Stage(postgres_url)
    yield found
    found.store.close()


@contextmanager
def held(stage: Stage, run_id: str, what: str = RUN) -> Iterator[int]:
    """Somebody holds rows of this run, in a transaction that he forgot; the number of his session."""
    with psycopg.connect(stage.store.url, application_name="psql") as connection:
        connection.execute(what, [run_id])  # type: ignore[arg-type]
        yield connection.info.backend_pid
        connection.rollback()


def test_outcomes_of_a_held_run_are_left_and_the_others_recorded(stage: Stage) -> None:
    mine, other = stage.start(plan(node("a"), node("b", 0))), stage.start(plan(node("a"), node("b", 0)))
    jobs = stage.claim()
    outcomes = [succeeded(job, 1) for job in jobs]
    with held(stage, mine):
        result = stage.engine.turn(stage.worker, TurnRequest(outcomes=outcomes, alone=True, want=10))
        assert [outcome.run_id for outcome in result.left] == [mine]
        assert stage.statuses(other) == {"a": "succeeded", "b": "ready"} or result.jobs
        assert stage.statuses(mine)["a"] == "running"
    left = stage.engine.turn(stage.worker, TurnRequest(outcomes=result.left, alone=True))
    assert left.left == []
    assert stage.statuses(mine)["a"] == "succeeded"


def test_lost_steps_of_other_runs_are_rescued(stage: Stage) -> None:
    mine, other = stage.start(plan(node("a"))), stage.start(plan(node("a")))
    stage.claim()
    stage.advance(LEASE_SECONDS + 1)
    with held(stage, mine):
        assert stage.engine.rescue() == 1
        assert (stage.statuses(mine), stage.statuses(other)) == ({"a": "running"}, {"a": "ready"})
    assert stage.engine.rescue() == 1
    assert stage.statuses(mine) == {"a": "ready"}


def test_more_lost_steps_than_a_rescue_takes_hide_no_others(stage: Stage) -> None:
    mine = stage.start(plan(*[node(f"s{number}") for number in range(1100)]))
    other = stage.start(plan(node("a")))
    stage.claim(want=2000)
    stage.advance(LEASE_SECONDS + 1)
    with held(stage, mine):
        assert stage.engine.rescue() == 1
        assert stage.statuses(other) == {"a": "ready"}


def test_deadlines_of_other_runs_are_kept(stage: Stage) -> None:
    late = partial(plan, terms=RunTerms(deadline=5.0))
    mine, other = stage.start(late(node("a"))), stage.start(late(node("a")))
    stage.advance(6)
    with held(stage, mine):
        assert stage.engine.ring_alarms() == 1
        assert stage.run(other).status == "failed"
        assert not stage.run(mine).status.is_final
    assert stage.engine.ring_alarms() == 1
    assert stage.run(mine).status == "failed"


def test_a_held_worker_keeps_no_other_from_being_declared_lost(stage: Stage) -> None:
    stage.start(plan(node("a")))
    first, second = stage.hire("held"), stage.hire("dead")
    stage.claim(by=second)
    stage.advance(LEASE_SECONDS + 1)
    with held(stage, first.id, "SELECT 1 FROM segue_workers WHERE id = %s FOR UPDATE"):
        assert stage.engine.rescue() == 1


def test_old_runs_are_deleted_round_a_held_one(stage: Stage) -> None:
    ids = [stage.start(plan(node("a"))) for _ in range(2)]
    stage.work({})
    stage.advance(10)
    with held(stage, ids[0]):
        assert stage.engine.prune(older_than=timedelta(seconds=1)) == 1
    assert stage.engine.prune(older_than=timedelta(seconds=1)) == 1


@pytest.mark.parametrize("what", [RUN, STEPS], ids=["run", "steps"])
def test_explain_names_the_session_that_holds_a_run(stage: Stage, what: str) -> None:
    run_id = stage.start(plan(node("a")))
    with held(stage, run_id, what) as pid, psycopg.connect(stage.store.url) as connection:
        connection.execute("SELECT pg_sleep(1.1)")  # shorter holds are turns, and not told
        [reason] = [reason for reason in stage.explain(run_id) if reason.code == "held"]
        assert str(pid) in reason.text
        assert "psql" in reason.text
    assert not [reason for reason in stage.explain(run_id) if reason.code == "held"]


def test_a_run_whose_claim_met_a_lock_knows_nevertheless_when_it_began(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    with held(stage, run_id):
        [job] = stage.claim()
    begun = stage.clock.now()
    stage.advance(5)
    stage.turn(succeeded(job))
    run = stage.run(run_id)
    assert run.status == "succeeded"
    assert run.started_at == begun


@pytest.mark.parametrize("what", [RUN, STEPS], ids=["run", "steps"])
def test_no_chore_raises_because_somebody_holds_a_run(stage: Stage, what: str) -> None:
    """And what it was to do for another run is done."""
    late = partial(plan, terms=RunTerms(deadline=5.0))
    mine, other = stage.start(late(node("a"), node("b", 0))), stage.start(late(node("a"), node("b", 0)))
    stage.claim()
    stage.advance(LEASE_SECONDS + 1)
    with held(stage, mine, what):
        for chore in CHORES:
            chore.act(stage.engine)
        assert stage.run(other).status == "failed"
        assert not stage.run(mine).status.is_final


def test_a_large_run_is_forked_while_another_session_holds_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_graph, "LARGE_RUN", 0)
    mine = stage.start(plan(node("a"), node("b", 0)))
    stage.turn(*[succeeded(job, 1) for job in stage.claim()])
    with held(stage, mine, "SELECT 1 FROM segue_runs WHERE id = %s FOR NO KEY UPDATE"):  # as a turn does
        forked = by_hand.fork(stage, mine, "b")
    assert stage.statuses(forked) == {"a": "succeeded", "b": "ready"}

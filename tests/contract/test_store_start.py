"""Promises 1, 2 and 12: what a start commits is there, whole, and once for each key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.engine.start import NewRun, start_runs
from segue.model import Gather, Hook, JoinRule, Ref
from segue.store.sqlite_wide import WIDTH
from tests.contract.stage import Stage, connect, node, plan, value
from tests.crash.faults import FaultyStore

CHAIN = plan(node("a"), node("b", 0), result=Ref(1))


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def test_a_started_run_is_there_with_its_steps(stage: Stage) -> None:
    run_id = stage.start(CHAIN)
    run = stage.run(run_id)
    assert (run.workflow, run.status, run.steps, run.key) == ("flow", "pending", 2, None)
    assert run.created_at == stage.clock.now()
    assert stage.statuses(run_id) == {"a": "ready", "b": "blocked"}


def test_a_key_starts_one_run_for_each_workflow(stage: Stage) -> None:
    first = stage.start(CHAIN, key="monday")
    assert stage.start(CHAIN, key="monday") == first
    assert stage.start(CHAIN, key="tuesday") != first
    assert stage.start(plan(node("a"), name="other"), key="monday") != first


def test_a_key_stays_taken_when_its_run_has_ended(stage: Stage) -> None:
    run_id = stage.start(CHAIN, key="monday")
    stage.work()
    assert stage.run(run_id).status == "succeeded"
    assert stage.start(CHAIN, key="monday") == run_id
    assert stage.claim() == []


def test_a_key_twice_in_one_batch_is_one_run(stage: Stage) -> None:
    first, second, other = stage.engine.start([(CHAIN, "k"), (CHAIN, "k"), (CHAIN, None)])
    assert first == second != other
    assert len(stage.steps(first)) == 2


def test_concurrent_starts_under_one_key_start_one_run(stage: Stage) -> None:
    stage.start(plan(node("x"), name="warm"))
    together = Barrier(8)

    def start(_: int) -> list[str]:
        together.wait()
        return stage.engine.start([(CHAIN, f"k{number}") for number in range(5)])

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(start, range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert all(len(stage.steps(run_id)) == 2 for run_id in answers[0])


def test_keys_in_opposite_orders_do_not_lock_each_other_out(stage: Stage) -> None:
    stage.start(plan(node("x"), name="warm"))
    keys = [f"k{number:03}" for number in range(200)]
    together = Barrier(2)

    def start(names: list[str]) -> dict[str, str]:
        together.wait()
        return dict(zip(names, stage.engine.start([(CHAIN, name) for name in names]), strict=True))

    with ThreadPoolExecutor(2) as threads:
        forward, backward = threads.map(start, [keys, keys[::-1]])
    assert forward == backward


def test_many_runs_are_started_in_batches(stage: Stage) -> None:
    ids = stage.engine.start([(plan(node("a")), None)] * 2100)
    assert len(set(ids)) == 2100
    assert ids == sorted(ids)
    with stage.engine.reading() as tx:
        assert tx.all("count_runs") == [("pending", 2100)]


def test_a_start_that_is_repeated_under_its_id_happens_once(stage: Stage) -> None:
    """As when the answer to the commit was lost."""
    joined = plan(node("none", task=None, result=value(1)), node("a", 0))
    runs = [
        NewRun("019b7701-17d8-7125-b7a7-fa6e8e8c256b", joined, "k"),
        NewRun("019b7701-17d8-7125-b7a7-fa6e8e8c256c", plan()),
    ]
    for _ in range(2):
        with stage.store.transaction() as tx:
            assert start_runs(Act(tx, stage.store.now()), runs) == [run.id for run in runs]
    assert stage.statuses(runs[0].id) == {"none": "succeeded", "a": "ready"}
    assert stage.run(runs[1].id).status == "succeeded"


def test_an_empty_plan_has_succeeded_at_once(stage: Stage) -> None:
    run_id = stage.start(plan(result=value([1, 2])))
    assert stage.run(run_id).status == "succeeded"
    assert stage.result(run_id) == [1, 2]


def test_a_plan_of_joins_needs_no_worker(stage: Stage) -> None:
    nodes = (
        node("one", task=None, result=value(1)), node("two", task=None, result=value(2)),
        node("both", 0, 1, task=None, result=Gather((Ref(0), Ref(1)))),
    )  # fmt: skip
    run_id = stage.start(plan(*nodes, result=Ref(2)))
    assert stage.run(run_id).status == "succeeded"
    assert stage.result(run_id) == [1, 2]


def test_a_plan_of_hooks_only_runs_those_for_success(stage: Stage) -> None:
    run_id = stage.start(plan(node("good", hook=Hook.ON_SUCCESS), node("bad", hook=Hook.ON_FAILURE)))
    stage.claim_named("good")
    assert stage.statuses(run_id) == {"good": "running", "bad": "skipped"}


def test_steps_may_be_delayed_or_wait_for_a_time(stage: Stage) -> None:
    at = stage.clock.now() + timedelta(seconds=30)
    run_id = stage.start(
        plan(node("late", delay=5.0), node("then", run_at=at), node("past", run_at=at - timedelta(days=1)))
    )
    assert {step.name: step.gate for step in stage.steps(run_id)} == {"late": "timer", "then": "timer", "past": None}
    stage.claim_named("past")


def test_times_in_the_hour_that_comes_twice_are_told_apart(stage: Stage) -> None:
    """They are equal, and not the same."""
    early = datetime(2027, 10, 31, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    late = early.replace(fold=1)
    assert early == late
    for run_at in (early, late):
        run_id = stage.start(plan(node("a", run_at=run_at)))
        assert stage.step(run_id, "a").ready_at == run_at.astimezone(UTC)


def test_a_huge_group_is_one_start(stage: Stage) -> None:
    members = [node(f"m{number}") for number in range(3000)]
    join = node("all", *range(3000), rule=JoinRule.ALL_DONE, task=None)
    run_id = stage.start(plan(*members, join))
    assert stage.run(run_id).steps == 3001


@pytest.mark.parametrize("count", [1, WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH, 2 * WIDTH + 3])
def test_rows_are_inserted_whatever_their_number(stage: Stage, count: int) -> None:
    """Each with its own values, also where many go in at once and one of them is there already."""
    ids = stage.engine.start([(plan(*[node(f"n{at}") for at in range(count)]), f"k{at}") for at in range(count)])
    again = stage.engine.start([(plan(node("x")), f"k{at}") for at in range(count + 1)])
    assert again[:-1] == ids
    for at, run_id in enumerate(ids):
        assert stage.run(run_id).key == f"k{at}"
        assert list(stage.statuses(run_id)) == [f"n{number}" for number in range(count)]


def test_nothing_is_left_of_a_start_whose_transaction_fails(stage: Stage) -> None:
    run = NewRun("019b7701-17d8-7125-b7a7-fa6e8e8c256b", CHAIN, "k")

    def start_and_break() -> None:
        with stage.store.transaction() as tx:
            start_runs(Act(tx, stage.store.now()), [run])
            raise RuntimeError("the process thinks better of it")

    with pytest.raises(RuntimeError, match="thinks better"):
        start_and_break()
    with connect(stage.store.url) as connection:
        assert connection.execute("SELECT count(*) FROM segue_runs").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM segue_steps").fetchall() == [(0,)]


def test_a_start_under_the_key_of_a_run_that_is_deleted_just_then_is_a_new_run(stage: Stage) -> None:
    older = stage.start(CHAIN, key="monday")

    def prune(tx: Any) -> None:
        tx.all("prune_steps", ids=[older])
        tx.all("prune_runs", ids=[older])

    faulty = FaultyStore(stage.store, prune, "run_of_key")  # between the insertion and the look
    [newer] = Engine(faulty, ids=stage.engine.ids).start([(CHAIN, "monday")])
    assert newer != older
    assert faulty.has_struck
    assert stage.run(newer).steps == 2
    assert stage.start(CHAIN, key="monday") == newer
    assert stage.is_sound()

"""A fork of a large run: copied at one moment, what begins anew worked out without a lock, written in parts.

Here every run counts as large, and the parts are as small as can be. All that a fork promises holds (the tests of
`test_fork`, once more), also when others come between two parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from threading import Thread
from typing import Any

import pytest

from segue.engine import engine, propagate
from segue.engine.engine import Engine
from segue.engine.pausing import pause_run
from segue.engine.reopening import ahead, run_graph
from segue.engine.reopening import fork as forking
from segue.engine.reopening.fork import fork_run
from segue.model import Ref
from segue.plan.graph import LimitTerms, LimitUse, RunTerms, Sla
from tests.contract import by_hand
from tests.contract.stage import Stage, connect, expanded, failed, node, plan, succeeded
from tests.contract.test_fork import *  # noqa: F403 - its tests, once more, and its fixture

LARGE = run_graph.LARGE_RUN


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagate, "PART", 1)
    monkeypatch.setattr(ahead, "AT_ONCE", 2)
    monkeypatch.setattr(run_graph, "LARGE_RUN", 0)
    monkeypatch.setattr(engine, "CARRY_SECONDS", 600.0)


def source(stage: Stage) -> str:
    """It goes on: one step succeeded, some run, one is ready, one failed, plans are done and half done."""
    terms = RunTerms(deadline=1000.0)
    run_id = stage.start(
        plan(
            node("a"), node("grown", 0), node("half", 0), node("bad", 0, may_fail=True),
            node("runs", 0, sla=Sla(end=60.0)), node("free", 0),
            node("join", 1, 2, task=None, rule="all_done"), node("last", 3, 4, 5, 6),
            node("hook", hook="finally"), result=Ref(7), terms=terms,
        )
    )  # fmt: skip
    stage.turn(*[succeeded(job) for job in stage.claim()])
    grown, half, bad, _, _ = stage.claim_named("grown", "half", "bad", "runs", "free")
    stage.turn(
        expanded(grown, plan(node("x"), node("y", 0), result=Ref(1))),
        expanded(half, plan(node("p"), node("q", 0), node("end", hook="finally"))),
        failed(bad, retryable=False),
    )
    x, p = stage.claim_named("x", "p")
    stage.turn(succeeded(x))
    [y] = stage.claim_named("y")
    stage.turn(succeeded(y), succeeded(p))
    return run_id


def rows(stage: Stage, run_id: str) -> list[Any]:
    """All of a run, but for its id."""
    with connect(stage.store.url) as connection:
        found = []
        for table, key in (("runs", "id"), ("steps", "run_id"), ("labels", "run_id"), ("alarms", "run_id")):
            cursor = connection.execute(f"SELECT * FROM segue_{table}")
            at = [column[0] for column in cursor.description].index(key)
            rows = [tuple(row) for row in cursor.fetchall()]
            found.append(sorted(repr(row[:at] + row[at + 1 :]) for row in rows if str(row[at]) == run_id))
        return found


def half_fork(stage: Stage, run_id: str, step: str) -> str:
    """Only copied, as when the process died then."""
    id_ = stage.engine.new_id()
    verb = partial(fork_run, run_id=run_id, new_id=id_, step=step, parameters=by_hand.unknown)
    stage.engine._act(verb, [])
    return id_


def parts_of(stage: Stage, run_id: str) -> Iterator[None]:
    yield
    while True:
        part = stage.engine._do_part(run_id)
        if part is None or not part.is_left:
            return
        yield


@pytest.mark.parametrize("step", ["a", "grown", "q", "free", "join", "hook"])
def test_it_comes_to_the_same_as_one_transaction(stage: Stage, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = source(stage)
    before = rows(stage, run_id)
    in_parts = by_hand.fork(stage, run_id, step)
    monkeypatch.setattr(run_graph, "LARGE_RUN", LARGE)
    at_once = by_hand.fork(stage, run_id, step)
    assert rows(stage, in_parts) == rows(stage, at_once)
    assert rows(stage, run_id) == before
    stage.work()
    assert stage.run(in_parts).status == stage.run(at_once).status == "succeeded"


def test_nothing_starts_or_rings_before_all_is_written(stage: Stage) -> None:
    run_id = source(stage)
    forked = half_fork(stage, run_id, "a")
    stage.turn(*[succeeded(job) for job in stage.claim()])
    for at, _ in enumerate(parts_of(stage, forked)):
        assert stage.is_sound()
        assert stage.run(forked).status == "pending"
        if at < 3:
            assert forked not in {job.run_id for job in stage.claim()}
            assert stage.engine.ring_alarms() == 0
            assert stage.engine.rescue_steps() == stage.engine.admit_waiting() == 0
            assert "unfinished" in stage.codes(forked)
    assert "a" in {job.name for job in stage.claim() if job.run_id == forked}


@pytest.mark.parametrize("verb", ["cancel", "pause", "edit", "retry", "skip", "fork"])
def test_a_verb_between_two_parts_counts(stage: Stage, verb: str) -> None:
    for at in count():
        stage.renew()
        forked = half_fork(stage, source(stage), "free")
        parts = parts_of(stage, forked)
        is_through = [next(parts, "through") for _ in range(at + 1)][-1] == "through"
        match verb:
            case "cancel":
                assert stage.cancel(forked) == "cancelled" or stage.statuses(forked)["hook"] == "ready"
                assert stage.statuses(forked)["free"] == "cancelled"
            case "pause":
                by_hand.say(stage, pause_run, forked)
                stage.engine.carry_on(seconds=600.0)
                assert stage.run(forked).status == "paused"
                assert not {job.run_id for job in stage.claim()} & {forked}
                return
            case "edit":
                by_hand.edit(stage, forked, "free", 7)
                [job] = [job for job in stage.claim() if (job.run_id, job.name) == (forked, "free")]
                assert job.args == "[[7],{}]"
                return
            case "retry":
                by_hand.retry(stage, forked, "a")
                assert stage.statuses(forked)["a"] == "ready"
            case "skip":
                by_hand.skip(stage, forked, "free")
                assert stage.statuses(forked)["free"] == "skipped"
            case "fork":
                again = by_hand.fork(stage, forked, "free")
                assert stage.statuses(again) == stage.statuses(forked)
        assert stage.is_sound()
        stage.work()
        assert stage.run(forked).status.is_final
        if is_through:
            return


def test_two_processes_work_it_out_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = source(stage)
    forked, wanted = half_fork(stage, run_id, "free"), by_hand.fork(stage, run_id, "free")
    real, times = engine.work_out_fork, count()

    def and_another_is_quicker(*said: Any) -> None:
        real(*said)
        if next(times) == 0:
            other = Thread(target=Engine(stage.store).finish, args=[forked])
            other.start()
            other.join()

    monkeypatch.setattr(engine, "work_out_fork", and_another_is_quicker)
    stage.engine.finish(forked)
    assert next(times) == 2
    assert rows(stage, forked) == rows(stage, wanted)


def test_it_is_looked_at_again_when_it_was_changed_meanwhile(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    forked = half_fork(stage, source(stage), "free")
    real, times = engine.work_out_fork, count()

    def and_its_stamp_is_another(*said: Any) -> None:
        real(*said)
        if next(times) == 0:
            said[0].tx.stamp = ("another",)

    monkeypatch.setattr(engine, "work_out_fork", and_its_stamp_is_another)
    stage.engine.finish(forked)
    assert next(times) == 2
    assert stage.statuses(forked)["free"] == "ready"


def test_a_step_that_was_thrown_away_before_the_copy(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is not locked between the look for its step and its copy."""
    run_id = source(stage)
    real, times = forking.find_step, count()

    def and_it_is_gone(tx: Any, of_run: str, step: Any) -> int:
        found = real(tx, of_run, step)
        if next(times) == 0:
            tx.all("discard_steps", run_id=of_run, steps=[found])  # as a retry from its scope does
        return found

    monkeypatch.setattr(forking, "find_step", and_it_is_gone)
    monkeypatch.setattr(engine.time, "sleep", lambda _: None)
    forked = by_hand.fork(stage, run_id, "q")
    assert next(times) >= 2
    assert stage.statuses(forked)["q"] == "ready"


def test_its_limit_is_said_when_it_is_written(stage: Stage) -> None:
    limit = LimitUse("flows", None)
    terms = RunTerms(limit=limit)
    run_id = stage.start(plan(node("a"), node("b", 0), terms=terms, limits=(LimitTerms("flows", concurrency=1),)))
    stage.work()
    forked = half_fork(stage, run_id, "a")
    stage.engine.admit_waiting()
    assert stage.run(forked).limit_name is None
    stage.engine.finish(forked)
    stage.work()
    assert stage.run(forked).status == "succeeded"
    assert stage.run(forked).limit_name == "flows"

"""What is done in parts is finished by others, whichever statement or commit its process died at.

Promises 1 and 7: after a death at any point, the chores bring the run where it would have come without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from segue.engine import chores, engine, ids, propagate
from segue.engine.engine import Engine
from segue.engine.reopening import ahead, alike, run_graph
from segue.engine.reopening.edit import NewArguments
from segue.engine.reopening.fork import fork_run
from segue.engine.reopening.manual import skip_step
from segue.engine.reopening.retry import retry_from
from segue.engine.turn_request import TurnRequest
from segue.engine.views import look
from segue.engine.views.select import RunFilter
from segue.errors import StoreError
from segue.model import Gather, Outcome, Ref
from tests.contract.by_hand import unknown
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded
from tests.crash.faults import Died, FaultyStore, die, lose
from tests.crash.test_points import sampled

LENGTH = 3
FORK = "019b76da-a800-7fff-8000-000000000000"
ACT = "019b76da-a800-7ffe-8000-000000000000"
Verb = Callable[..., Any]


@pytest.fixture
def stage(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(ids, "os", SimpleNamespace(urandom=bytes))  # ids are the same each time
    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic))
    monkeypatch.setattr(propagate, "PART", 1)
    monkeypatch.setattr(propagate, "AT_ONCE", 1)
    monkeypatch.setattr(chores, "STEPS_AT_ONCE", 2)
    for seconds in ("TURN_SECONDS", "CARRY_SECONDS"):
        monkeypatch.setattr(engine, seconds, 600.0)
    stage = Stage(database_url)
    yield stage
    stage.close()


def a_failure_skips_a_chain(stage: Stage) -> Outcome:
    stage.start(
        plan(*(node(f"s{at}", *([at - 1] if at else [])) for at in range(LENGTH)), node("hook", hook="finally"))
    )
    [job] = stage.claim()
    return failed(job, retryable=False)


def plans_in_plans_are_done(stage: Stage) -> Outcome:
    stage.start(plan(node("outer"), node("after", 0, task=None, result=Ref(0)), result=Ref(1)))
    [job] = stage.claim()
    for _ in range(LENGTH):
        stage.turn(expanded(job, plan(node("inner"), result=Gather((Ref(0),)))))
        [job] = stage.claim()
    return succeeded(job, 7)


@pytest.mark.parametrize("set_up", [a_failure_skips_a_chain, plans_in_plans_are_done])
def test_an_end_that_is_done_in_parts(stage: Stage, set_up: Callable[[Stage], Outcome]) -> None:
    stage.renew()
    outcome = set_up(stage)
    watched = FaultyStore(stage.store)
    say(Engine(watched), stage, outcome)
    wanted = steps(stage)
    assert watched.transactions > LENGTH
    for strike in (lose, die):
        for number in sampled(watched.points, stride=9):
            stage.renew()
            outcome = set_up(stage)
            faulty = FaultyStore(stage.store, strike, number)
            try:
                say(Engine(faulty), stage, outcome)
            except (Died, StoreError):
                assert stage.is_sound(), f"it is unsound after {faulty.points[-1]}"
                say(stage.engine, stage, outcome)  # as a worker would, that does not know whether it was recorded
            after = Engine(stage.store)
            while after.carry_on():
                pass
            assert faulty.has_struck
            assert steps(stage) == wanted, f"something is left undone after {faulty.points[-1]}"
            assert stage.is_sound()


def test_a_large_run_is_pruned_in_parts(stage: Stage) -> None:
    watched = FaultyStore(stage.store)
    ended_run(stage)
    prune(Engine(watched))
    assert steps(stage) == []
    for strike in (lose, die):
        for number in sampled(watched.points, stride=9):
            ended_run(stage)
            try:
                prune(Engine(FaultyStore(stage.store, strike, number)))
            except (Died, StoreError):
                assert stage.is_sound()
                prune(stage.engine)
            assert steps(stage) == []
            assert stage.is_sound()


@pytest.mark.parametrize("verb", [partial(retry_from, step="s0", act_id=ACT), partial(skip_step, step="s0")])
def test_a_large_run_is_reopened_in_parts(stage: Stage, verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_graph, "LARGE_RUN", 0)
    monkeypatch.setattr(ahead, "AT_ONCE", 2)
    before, run_id = failed_run(stage)
    watched = FaultyStore(stage.store)
    reopen(Engine(watched), verb, run_id)
    wanted = steps(stage)
    assert wanted != before
    assert watched.transactions > LENGTH
    for faulty, run_id in struck(stage, failed_run, before, watched):
        try:
            reopen(Engine(faulty), verb, run_id)
        except (Died, StoreError):
            assert stage.is_sound(), f"it is unsound after {faulty.points[-1]}"
            Engine(stage.store).carry_on()
            assert steps(stage) in (before, wanted), f"it is half done after {faulty.points[-1]}"
            if steps(stage) == before:
                reopen(stage.engine, verb, run_id)
        assert steps(stage) == wanted
        assert stage.is_sound()
    stage.work()
    assert stage.is_sound()


@pytest.mark.parametrize("spans, named", [(8, "span"), (0, "alike")])
def test_a_large_run_that_goes_on_is_reopened_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, spans: int, named: str
) -> None:
    """It is worked out without its lock, and written in one transaction: all of it, or nothing."""
    monkeypatch.setattr(run_graph, "LARGE_RUN", 0)
    monkeypatch.setattr(alike, "ALIKE", 1)
    monkeypatch.setattr(alike, "MOST_SPANS", spans)
    verb = partial(retry_from, step="s0", act_id=ACT)
    before, run_id = going_run(stage)
    watched = FaultyStore(stage.store)
    reopen(Engine(watched), verb, run_id)
    wanted = steps(stage)
    assert wanted != before
    assert {f"reset_{named}", f"reset_ready_{named}"} <= set(watched.points)
    for faulty, run_id in struck(stage, going_run, before, watched):
        try:
            reopen(Engine(faulty), verb, run_id)
        except (Died, StoreError):
            assert stage.is_sound(), f"it is unsound after {faulty.points[-1]}"
            assert steps(stage) in (before, wanted), f"it is half done after {faulty.points[-1]}"
            reopen(stage.engine, verb, run_id)
        assert faulty.has_struck
        assert steps(stage) == wanted
        assert stage.is_sound()
    stage.work()
    assert stage.is_sound()


def going_run(stage: Stage) -> tuple[list[str], str]:
    """One step succeeded, those below it are ready or wait, one beside them runs."""
    stage.renew()
    run_id = stage.start(plan(node("s0"), node("other"), node("a", 0), node("b", 0), node("last", 1, 2, 3)))
    s0, _ = stage.claim_named("s0", "other")
    stage.turn(succeeded(s0))
    return steps(stage), run_id


def test_a_large_run_is_forked_in_parts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_graph, "LARGE_RUN", 0)
    monkeypatch.setattr(ahead, "AT_ONCE", 2)
    verb = partial(
        fork_run, new_id=FORK, step="s1", key="again", tags=["t"], new=NewArguments(["2"]), parameters=unknown
    )
    before, run_id = failed_run(stage)
    watched = FaultyStore(stage.store)
    reopen(Engine(watched), verb, run_id)
    wanted = steps(stage)
    assert wanted != before
    assert watched.transactions > LENGTH
    for faulty, run_id in struck(stage, failed_run, before, watched):
        try:
            reopen(Engine(faulty), verb, run_id)
        except (Died, StoreError):
            assert stage.is_sound(), f"it is unsound after {faulty.points[-1]}"
            Engine(stage.store).carry_on()
            assert steps(stage) in (before, wanted), f"it is half done after {faulty.points[-1]}"
        reopen(stage.engine, verb, run_id)  # the same key, the same run
        stage.engine.finish(FORK)
        assert steps(stage) == wanted
        assert stage.is_sound()
    stage.work()
    assert stage.is_sound()


def struck(
    stage: Stage, make: Callable[[Stage], tuple[list[str], str]], before: list[str], watched: FaultyStore
) -> Iterator[tuple[FaultyStore, str]]:
    """A new run for each strike at a point that was watched, and the store that strikes there."""
    for strike in (lose, die):
        for number in sampled(watched.points, stride=9):
            again, run_id = make(stage)
            assert again == before
            yield FaultyStore(stage.store, strike, number), run_id


def failed_run(stage: Stage) -> tuple[list[str], str]:
    stage.renew()
    stage.turn(a_failure_skips_a_chain(stage))
    stage.work()
    [run] = runs(stage)
    return steps(stage), run


def reopen(by: Engine, verb: Verb, run_id: str) -> None:
    by.act(verb, run_id)


def runs(stage: Stage) -> list[str]:
    with stage.engine.reading() as tx:
        return [run.id for run in look.list_runs(tx, RunFilter(), limit=10)]


def ended_run(stage: Stage) -> None:
    stage.renew()
    stage.start(plan(*(node(f"s{at}") for at in range(LENGTH))))
    stage.work()
    stage.advance(10)


def prune(by: Engine) -> None:
    by.prune(older_than=timedelta(seconds=1))


def say(by: Engine, stage: Stage, outcome: Outcome) -> None:
    by.turn(stage.worker, TurnRequest(outcomes=[outcome]))


def steps(stage: Stage) -> list[str]:
    """How all runs and steps stand."""
    runs = stage.read("SELECT id, status, waiting_on FROM segue_runs")
    found = stage.read(
        "SELECT run_id, step, status, waiting_on, failed_above, skipped_above, result_expr FROM segue_steps"
    )
    return sorted(map(repr, [*runs, *found]))

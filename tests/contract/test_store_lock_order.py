"""Runs are locked first, in the order of their ids, then steps: nobody waits for somebody who waits for him."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from segue.engine import propagate
from segue.engine.control import cancel_run
from segue.engine.engine import Engine
from segue.engine.turn import Turn
from segue.engine.turn_memory import TurnMemory
from segue.engine.turn_request import TurnRequest
from segue.model import Job, Outcome
from tests.contract.stage import Stage, failed, node, plan, succeeded

ROUNDS = 15


def at_once(*acts: Callable[[], object]) -> None:
    """Do all of them at the same time; what one raises is raised here."""
    together = Barrier(len(acts))

    def act(what: Callable[[], object]) -> None:
        together.wait()
        what()

    with ThreadPoolExecutor(len(acts)) as threads:
        for done in [threads.submit(act, what) for what in acts]:
            done.result()


def test_turns_that_say_the_same_in_opposite_orders(stage: Stage) -> None:
    workers = [stage.hire("one"), stage.hire("two")]
    for _ in range(ROUNDS):
        runs = stage.engine.start([(plan(node("a"), node("b"), node("c", 0, 1)), None)] * 20)
        mine = [stage.claim(worker, want=20) for worker in workers]
        outcomes = [[succeeded(job) for job in jobs] for jobs in mine]
        at_once(
            lambda outcomes=outcomes: stage.turn(*outcomes[0], by=workers[0], want=20),
            lambda outcomes=outcomes: stage.turn(*outcomes[1][::-1], by=workers[1], want=20),
        )
        assert all(stage.statuses(run_id)["a"] == "succeeded" for run_id in runs)
        for run_id in runs:
            stage.cancel(run_id)


def test_runs_that_fail_fast_while_their_steps_are_claimed(stage: Stage) -> None:
    """Each turn ends one run, whose waiting steps the other may just be claiming."""
    workers = [stage.hire("one"), stage.hire("two")]
    doomed = plan(node("bad", priority=9), *[node(f"s{number}") for number in range(30)], fail_fast=True)
    for _ in range(ROUNDS):
        for _ in workers:
            stage.start(doomed)
        bad = [stage.claim(worker, want=1) for worker in workers]
        at_once(*[
            lambda job=jobs[0], worker=worker: stage.turn(failed(job), by=worker, want=20, timers=True)
            for jobs, worker in zip(bad, workers, strict=True)
        ])  # fmt: skip
        stage.advance(100)
        stage.engine.rescue()
        workers = [stage.hire("one"), stage.hire("two")]


def test_cancels_against_timers_claims_and_outcomes(stage: Stage) -> None:
    worker, other = stage.hire("one"), stage.hire("two")
    for _ in range(ROUNDS):
        steps = [node("a", priority=9), *[node(f"late{number}", delay=1.0) for number in range(10)]]
        runs = stage.engine.start([(plan(*steps, node("b", 0)), None)] * 6)
        jobs: list[Job] = stage.claim(worker, want=6)
        stage.advance(1)
        outcomes: list[Outcome] = [succeeded(job) for job in jobs]
        turn = TurnRequest(outcomes=outcomes, want=10, timers=True)
        at_once(
            lambda worker=worker, turn=turn: stage.engine.turn(worker, turn),
            lambda other=other: stage.turn(by=other, want=10, timers=True),
            lambda runs=runs: [stage.cancel(run_id) for run_id in runs[::-1]],
        )
        stage.advance(100)
        stage.engine.rescue()
        worker, other = stage.hire("one"), stage.hire("two")
        assert {str(stage.run(run_id).status) for run_id in runs} == {"cancelled"}


def test_conditions_that_skip_in_runs_that_others_hold(stage: Stage) -> None:
    from segue.model import Ref

    worker, other = stage.hire("one"), stage.hire("two")
    gated = plan(node("a"), node("b", 0, when=Ref(0)), node("x", priority=9), node("y", 2, 1))
    for _ in range(ROUNDS):
        runs = stage.engine.start([(gated, None)] * 10)
        first = stage.claim(worker, want=10)
        second = stage.claim(other, want=10)
        at_once(
            lambda first=first: stage.claim_after([succeeded(job, 0) for job in first], worker),
            lambda second=second: stage.claim_after([succeeded(job, 0) for job in second[::-1]], other),
        )
        assert {status for run_id in runs for status in stage.statuses(run_id).values()} == {"succeeded", "skipped"}


def test_several_who_go_on_with_the_same_runs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left to do of runs is done by whoever comes, while others claim, report and cancel."""
    monkeypatch.setattr(propagate, "PART", 1)
    monkeypatch.setattr(propagate, "AT_ONCE", 1)
    chain = [node(f"s{at}", *([at - 1] if at else [])) for at in range(6)]
    runs = stage.engine.start([(plan(*chain, node("beside")), None)] * 6)
    jobs = stage.claim(want=100)
    bad = [failed(job, retryable=False) for job in jobs if job.name == "s0"]
    Turn(stage.store, stage.worker, TurnRequest(outcomes=bad), TurnMemory(), stage.engine.watch).take()
    at_once(
        Engine(stage.store).carry_on,
        Engine(stage.store).carry_on,
        lambda: stage.turn(*[succeeded(job) for job in jobs if job.name == "beside"][::-1]),
        lambda: [Engine(stage.store).act(cancel_run, run_id) for run_id in runs[::-2]],
    )
    while stage.engine.carry_on():
        pass
    assert all(stage.run(run_id).status.is_final for run_id in runs)
    assert stage.is_sound()

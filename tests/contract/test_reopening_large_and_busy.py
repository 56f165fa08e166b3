"""Reopening large runs, runs that workers are busy with, and the same run by two people at once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from segue.engine.engine import Engine
from segue.errors import RunStateError
from segue.model import Gather, Job, Outcome, Span
from tests.contract import by_hand
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded
from tests.contract.test_store_lock_order import at_once
from tests.crash.faults import FaultyStore

MEMBERS = 10_000
MOST_SECONDS = 10.0  # it takes a twentieth of it on two quiet cores
MOST_STATEMENTS = 60


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def timed(stage: Stage, act: Callable[[Stage], object]) -> None:
    """It takes a bounded time, and as few statements as for a small run."""
    watched = FaultyStore(stage.store)
    before, stage.store, stage.engine = stage.store, watched, Engine(watched)
    began = time.monotonic()
    try:
        act(stage)
    finally:
        stage.store, stage.engine = before, Engine(before)
    assert time.monotonic() - began < MOST_SECONDS
    assert len(watched.points) < MOST_STATEMENTS, watched.points


def test_a_group_of_ten_thousand(stage: Stage) -> None:
    first = node("first")
    members = [node(f"m{number}", 0) for number in range(MEMBERS)]
    join = node("join", *range(1, MEMBERS + 1), task=None, result=Gather((Span(1, MEMBERS),)))
    run_id = stage.start(plan(first, *members, join, node("last", MEMBERS + 1)))
    stage.turn(*[succeeded(job) for job in stage.claim()])
    jobs = stage.claim(want=MEMBERS)
    half = [failed(job, retryable=False) if job.step % 2 else succeeded(job) for job in jobs]
    stage.turn(*half)
    assert stage.run(run_id).status == "failed"
    timed(stage, lambda s: by_hand.retry(s, run_id))
    jobs = stage.claim(want=MEMBERS)
    assert len(jobs) == MEMBERS // 2
    stage.turn(*[succeeded(job) for job in jobs])
    stage.turn(*[succeeded(job) for job in stage.claim()])
    assert stage.run(run_id).status == "succeeded"
    timed(stage, lambda s: by_hand.fork(s, run_id, "last"))
    timed(stage, lambda s: by_hand.retry(s, run_id, "first"))
    timed(stage, lambda s: by_hand.skip(s, run_id, "m7"))
    timed(stage, lambda s: by_hand.edit(s, run_id, "m8", 1))


def test_plans_in_plans_a_thousand_deep(stage: Stage) -> None:
    run_id = stage.start(plan(node("d0"), node("end", 0)))
    for depth in range(1000):
        [job] = stage.claim()
        stage.turn(expanded(job, plan(node(f"d{depth + 1}"), result=Span(0, 0))))
    [job] = stage.claim()
    stage.turn(failed(job, retryable=False))
    while stage.engine.carry_on():  # on a busy machine some of it is left
        pass
    assert stage.run(run_id).status == "failed"
    by_hand.retry(stage, run_id)
    [job] = stage.claim_named("d1000")
    stage.turn(failed(job, retryable=False))
    by_hand.mark(stage, run_id, "d1000", 1)
    assert [job.name for job in stage.claim()] == ["end"]
    by_hand.fork(stage, run_id, "d998")
    assert [job.name for job in stage.claim()] == ["d998"]


# Busy -----------------------------------------------------------------------------------------------------------------


class Crew:
    """Two workers that claim and report as they please, and a person who reopens; all at once, round after round."""

    def __init__(self, stage: Stage, run_id: str, seed: int) -> None:
        self.stage = stage
        self.run_id = run_id
        self.chance = random.Random(seed)
        self.workers = [stage.hire("one"), stage.hire("two")]
        self.held: list[list[Job]] = [[], []]
        self.refused = 0

    def work(self, number: int) -> None:
        jobs, self.held[number] = self.held[number], []
        outcomes = [self.end(job) for job in jobs]
        self.held[number] = self.stage.claim_after(outcomes, self.workers[number], want=5)

    def end(self, job: Job) -> Outcome:
        match self.chance.randrange(8):
            case 0 | 1:
                return failed(job, retryable=False)
            case 2 if job.step < 40:
                return expanded(job, plan(node(f"x{job.step}.{job.attempt}"), node(f"y{job.step}.{job.attempt}", 0)))
            case _:
                return succeeded(job)

    def say(self) -> None:
        steps = self.stage.steps(self.run_id)
        step = self.chance.choice(steps).step
        verbs: list[Callable[[], Any]] = [
            partial(by_hand.retry, self.stage, self.run_id), partial(by_hand.retry, self.stage, self.run_id, step),
            partial(by_hand.skip, self.stage, self.run_id, step), partial(by_hand.fork, self.stage, self.run_id, step),
            partial(by_hand.mark, self.stage, self.run_id, step, 1),
        ]  # fmt: skip
        try:
            self.chance.choice(verbs)()
        except (RunStateError, LookupError):  # it runs, succeeded, or was thrown away since we looked
            self.refused += 1

    def finish(self) -> None:
        for number in (0, 1):
            self.stage.turn(*[succeeded(job) for job in self.held[number]], by=self.workers[number])
        self.stage.work(turns=500)


@pytest.mark.parametrize("seed", range(3))
def test_people_reopen_what_workers_are_busy_with(stage: Stage, seed: int) -> None:
    steps = [node(f"a{number}") for number in range(12)]
    steps += [node(f"b{number}", number, rule="all_done" if number % 3 else "all_succeeded") for number in range(12)]
    steps += [node(f"c{number}", number, number + 12, rule="any_succeeded") for number in range(12)]
    steps += [node("end", *range(12, 36), rule="all_done"), node("hook", hook="finally")]
    run_id = stage.start(plan(*steps))
    crew = Crew(stage, run_id, seed)
    for _ in range(25):
        at_once(partial(crew.work, 0), partial(crew.work, 1), crew.say)
    crew.finish()
    with stage.engine.reading() as tx:
        assert {status for status, _ in tx.all("count_runs")} <= {"succeeded", "failed"}
    assert crew.refused < 25


def test_two_people_say_the_same_at_once(stage: Stage) -> None:
    for _ in range(5):
        run_id = stage.start(plan(node("a"), node("b", 0), node("c", 1)))
        stage.work(by_hand.fails("b"))
        at_once(lambda r=run_id: by_hand.retry(stage, r), lambda r=run_id: by_hand.retry(stage, r))
        assert stage.statuses(run_id) == {"a": "succeeded", "b": "ready", "c": "blocked"}
        at_once(lambda r=run_id: by_hand.mark(stage, r, "b"), lambda r=run_id: by_hand.mark(stage, r, "b"))
        id_ = stage.engine.new_id()
        twice = partial(by_hand.say, stage, by_hand.fork_run, run_id, new_id=id_, step="b", parameters=by_hand.unknown)
        at_once(twice, twice)
        by_key = partial(by_hand.fork, stage, run_id, "c", key=f"one of {run_id}")
        at_once(by_key, by_key)
        stage.work()
    with stage.engine.reading() as tx:
        assert sum(row[1] for row in tx.all("count_runs")) == 15

"""Limits, rates and fair shares keep steps of an executor inside, and hand them out as a claim does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from segue.engine.control import cancel_run
from segue.engine.dispatch import Dispatch, Exchanged, SentStep
from segue.engine.executing import Executor, begin_steps, recall_steps, retry_steps
from segue.engine.pausing import pause_run, resume_run
from segue.model import Attempt, ErrorInfo, Outcome, Verdict
from segue.plan.graph import FairShare, Node
from segue.store import open_store
from tests.contract.limiting import define, limited, undefine, use, weigh
from tests.contract.stage import LEASE_SECONDS, Stage, node, plan, succeeded, value

FREE, FENCED = Executor("door", is_fenced=False), Executor("door")
TASK = "door:work"
BINDING_SECONDS = 1.1


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def far(name: str, *uses: Any, **fields: Any) -> Node:
    """A step of the executor, with limits."""
    return limited(name, *uses, executor="door", task=TASK, **{"queue": "@door:a", **fields})


def fair_far(name: str, key: str, **fields: Any) -> Node:
    share = FairShare(value(key), 1.0)
    return node(name, executor="door", task=TASK, share=share, **{"queue": "@door:a", **fields})


def exchange(stage: Stage, *ended: Outcome, freed: int = 0, to: Executor = FREE, **fields: Any) -> Exchanged:
    dispatch = Dispatch(to, "@door:", **fields)
    return stage.engine.exchange(list(ended), dispatch=dispatch, by="a node", freed=freed)


def take(stage: Stage, *ended: SentStep, **fields: Any) -> list[SentStep]:
    """Say that these succeeded, and take what there is, until nothing more comes."""
    outcomes, freed = [succeeded(step.job) for step in ended], sum(step.holds_places for step in ended)
    taken = exchange(stage, *outcomes, freed=freed, **fields)
    sent = list(taken.sent)
    while taken.is_full:
        taken = exchange(stage, **fields)
        sent += taken.sent
    return sent


def names(sent: list[SentStep]) -> list[str]:
    return [step.job.name for step in sent]


def attempt_of(step: SentStep) -> Attempt:
    return step.job.run_id, step.job.step, step.job.attempt


# Places --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [FREE, FENCED])
def test_no_more_is_sent_than_there_are_places(stage: Stage, to: Executor) -> None:
    define(stage, "api", concurrency=2)
    stage.start(plan(*[far(f"s{number}", "api") for number in range(5)], far("free")))
    first = take(stage, to=to)
    assert sorted(names(first)) == ["free", "s0", "s1"]
    assert [step.holds_places for step in sorted(first, key=lambda step: step.job.name)] == [False, True, True]
    assert take(stage, to=to) == []


def test_a_place_that_comes_free_is_taken_in_the_same_exchange(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(*[far(f"s{number}", "api") for number in range(3)]))
    [first] = take(stage)
    taken = exchange(stage, succeeded(first.job), freed=1)
    assert names(taken.sent) == ["s1"]


def test_a_chain_of_limited_steps_needs_one_exchange_for_each(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(far("a", "api"), far("b", "api", parents=[0]), far("c", "api", parents=[1])))
    [step] = take(stage)
    for name in "bc":
        [step] = exchange(stage, succeeded(step.job), freed=1).sent
        assert step.job.name == name


def test_a_plain_step_lets_a_limited_one_go_at_once(stage: Stage) -> None:
    stage.start(plan(far("a"), far("b", "api", parents=[0]), far("c", parents=[1])))
    define(stage, "api", concurrency=1)
    [a] = take(stage)
    [b] = take(stage, a)
    assert (b.job.name, b.holds_places) == ("b", True)
    assert names(take(stage, b)) == ["c"]


def test_places_are_shared_with_workers(stage: Stage) -> None:
    define(stage, "api", concurrency=2)
    stage.start(plan(limited("near", "api"), far("far", "api"), far("waits", "api"), limited("waits too", "api")))
    [near] = stage.claim(want=1)
    [sent] = take(stage)
    assert (near.name, sent.job.name) == ("near", "far")
    assert stage.claim() == []
    assert take(stage) == []
    assert [job.name for job in stage.claim_after([succeeded(near)])] == ["waits too"]
    assert names(take(stage, sent)) == ["waits"]


def test_a_limit_of_the_queue_bounds_what_is_outside(stage: Stage) -> None:
    define(stage, "queue:@door:a", concurrency=2)
    stage.start(plan(*[far(f"a{number}") for number in range(4)], *[far(f"b{n}", queue="@door:b") for n in range(3)]))
    first = take(stage)
    assert sorted(names(first)) == ["a0", "a1", "b0", "b1", "b2"]
    a0 = next(step for step in first if step.job.name == "a0")
    assert names(take(stage, a0)) == ["a2"]
    undefine(stage, "queue:@door:a")
    stage.advance(BINDING_SECONDS)
    assert names(take(stage)) == ["a3"]


def test_a_limit_of_a_task_hides_no_other_task(stage: Stage) -> None:
    define(stage, f"task:{TASK}", concurrency=1)
    other = {"task": "door:other"}
    stage.start(plan(*[far(f"a{number}") for number in range(3)], node("b", executor="door", queue="@door:a", **other)))
    first = take(stage)
    assert sorted(names(first)) == ["a0", "b"]
    assert names(take(stage, *[step for step in first if step.job.name == "a0"])) == ["a1"]


def test_limits_of_two_tasks_of_a_queue_are_kept_apart(stage: Stage) -> None:
    define(stage, f"task:{TASK}", concurrency=1)
    define(stage, "task:door:other", concurrency=1)
    others = [node(f"b{n}", executor="door", queue="@door:a", task="door:other", priority=9) for n in range(3)]
    run_id = stage.start(plan(*[far(f"a{number}") for number in range(3)], *others))
    sent = take(stage)
    assert sorted(names(sent)) == ["a0", "b0"]
    assert sorted(names(take(stage, *sent))) == ["a1", "b1"]
    assert sorted(stage.statuses(run_id).values()) == ["ready"] * 2 + ["sent"] * 2 + ["succeeded"] * 2


def test_workers_are_told_of_places_that_an_executor_gives_back(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(far("far", "api", priority=9), limited("near", "api")))
    [sent] = take(stage)
    assert stage.claim() == []
    stage.turn(by=stage.worker, heartbeat="running", sleeping=True)
    other = open_store(stage.store.url)
    waker = other.waker()
    waker.woken()
    take(stage, sent)
    end = time.monotonic() + 20
    while not waker.woken():
        assert time.monotonic() < end
        time.sleep(0.01)
    waker.close()
    other.close()
    assert [job.name for job in stage.claim()] == ["near"]


def test_a_limit_that_comes_later_counts_what_is_outside_already(stage: Stage) -> None:
    stage.start(plan(*[far(f"s{number}") for number in range(3)]))
    first = take(stage)
    assert len(first) == 3
    define(stage, "queue:@door:a", concurrency=2)
    stage.advance(BINDING_SECONDS)
    stage.start(plan(far("late")))
    assert take(stage) == []
    assert take(stage, first[0]) == []
    assert names(take(stage, first[1])) == ["late"]


def test_limits_of_other_queues_and_tasks_bind_nothing(stage: Stage) -> None:
    define(stage, "queue:default", concurrency=0)
    define(stage, "queue:@doors:a", concurrency=0)
    define(stage, "task:app.work", concurrency=0)
    stage.start(plan(far("s")))
    assert names(take(stage)) == ["s"]


@pytest.mark.parametrize("how", ["failed", "lost", "recalled", "cancelled", "retried", "rescued"])
def test_places_come_back_however_an_attempt_ends(stage: Stage, how: str) -> None:
    define(stage, "api", concurrency=1)
    run_id = stage.start(plan(far("first", "api", lost_retries=0)))
    [first] = take(stage)
    stage.start(plan(far("next", "api", priority=9)))
    assert take(stage) == []
    attempt = attempt_of(first)
    if how == "failed":
        error = ErrorInfo("Boom", "broke")
        assert names(exchange(stage, Outcome(*attempt, Verdict.FAILED, error=error), freed=1).sent) == ["next"]
        return
    if how == "lost":
        assert names(exchange(stage, Outcome(*attempt, Verdict.LOST), freed=1).sent) == ["next"]
        return
    if how == "recalled":
        stage.engine.act(recall_steps, [attempt])
    elif how == "cancelled":
        stage.engine.act(cancel_run, run_id)
        exchange(stage, Outcome(*attempt, Verdict.FAILED))
    elif how == "retried":
        stage.engine.act(retry_steps, [Outcome(*attempt, Verdict.FAILED)], by="a node", after_seconds=100.0)
    else:
        process = stage.hire("a node")
        stage.engine.act(begin_steps, [attempt], worker_id=process.id)
        stage.advance(LEASE_SECONDS + 1)
        stage.engine.rescue()
    stage.advance(BINDING_SECONDS)
    assert names(take(stage))[0] == "next"


def test_a_paused_run_gets_no_places(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    first = stage.start(plan(far("a", "api"), far("b", "api")))
    [a] = take(stage)
    stage.engine.act(pause_run, first)
    stage.start(plan(far("c", "api")))
    [c] = take(stage, a)
    assert c.job.name == "c"
    stage.engine.act(resume_run, first)
    assert names(take(stage, c)) == ["b"]


def test_keys_and_costs_count(stage: Stage) -> None:
    define(stage, "api", concurrency=3)
    define(stage, "customer", concurrency=1)
    customer = use("customer", "x")
    stage.start(plan(
        far("s0", use("api", cost=2), customer, priority=9), far("s1", use("api"), customer, priority=8),
        far("s2", use("api", cost=2), priority=7), far("s3", use("api"), priority=6),
    ))  # fmt: skip
    first = take(stage)
    assert names(first) == ["s0", "s3"]
    assert names(take(stage, first[0])) == ["s1"]


def test_lanes_without_an_end_are_all_looked_at(stage: Stage) -> None:
    define(stage, "customer", concurrency=1)
    stage.start(plan(*[far(f"s{n}", use("customer", f"k{n:04}"), queue=f"@door:{n % 3}") for n in range(700)]))
    assert len(take(stage, limit=100)) == 700


# Rates ---------------------------------------------------------------------------------------------------------------


def test_a_rate_lets_one_after_the_other_go_and_says_when(stage: Stage) -> None:
    define(stage, "api", rate=1.0, period=2.0)
    stage.start(plan(*[far(f"s{number}", "api") for number in range(3)]))
    taken = exchange(stage, timers=True)
    assert names(taken.sent) == ["s0"]
    for name in ("s1", "s2"):
        taken = exchange(stage, timers=True)
        assert taken.sent == []
        assert taken.timer_seconds == pytest.approx(2.0, abs=0.01)
        stage.advance(2.0)
        assert names(exchange(stage, timers=True).sent) == [name]


def test_a_rate_of_a_queue_paces_plain_steps(stage: Stage) -> None:
    define(stage, "queue:@door:a", rate=2.0, period=1.0)
    stage.start(plan(*[far(f"s{number}") for number in range(2)]))
    assert names(exchange(stage, timers=True).sent) == ["s0"]
    taken = exchange(stage, timers=True)
    assert taken.sent == []
    assert taken.timer_seconds == pytest.approx(0.5, abs=0.01)


def test_a_timer_that_is_due_earlier_counts(stage: Stage) -> None:
    define(stage, "api", rate=1.0, period=10.0)
    stage.start(plan(far("s0", "api"), far("s1", "api"), far("late", delay=3.0)))
    exchange(stage, timers=True)
    assert exchange(stage, timers=True).timer_seconds == pytest.approx(3.0, abs=0.01)


# Order ---------------------------------------------------------------------------------------------------------------


def test_what_a_queue_may_have_outside_is_shared_fairly(stage: Stage) -> None:
    define(stage, "queue:@door:a", concurrency=1)
    many = [fair_far(f"many{number}", "many") for number in range(20)]
    stage.start(plan(*many, *[fair_far(f"few{number}", "few") for number in range(3)]))
    order: list[str] = []
    sent = take(stage)
    while sent:
        order += names(sent)
        sent = take(stage, *sent)
    assert len(order) == 23
    assert {name.rstrip("0123456789") for name in order[:2]} == {"many", "few"}
    assert sum(name.startswith("few") for name in order[:7]) == 3


def test_weights_count(stage: Stage) -> None:
    define(stage, "queue:@door:a", concurrency=1)
    weigh(stage, "gold", 3.0, queue="@door:a")
    nodes = [fair_far(f"{key}{number}", key) for key in ("gold", "iron") for number in range(30)]
    stage.start(plan(*nodes))
    order: list[str] = []
    sent = take(stage)
    while len(order) < 20:
        order += names(sent)
        sent = take(stage, *sent)
    assert 14 <= sum(name.startswith("gold") for name in order) <= 16


def test_higher_priorities_go_first_in_lanes_and_beside_them(stage: Stage) -> None:
    define(stage, "queue:@door:a", concurrency=1)
    define(stage, "api", concurrency=1)
    stage.start(plan(far("low", "api", priority=2), far("plain", priority=5), far("high", "api", priority=8)))
    order: list[str] = []
    sent = take(stage)
    while sent:
        order += names(sent)
        sent = take(stage, *sent)
    assert order == ["high", "plain", "low"]


# Several processes ---------------------------------------------------------------------------------------------------


def test_processes_that_race_exceed_no_limit(stage: Stage) -> None:
    define(stage, "api", concurrency=3)
    define(stage, "queue:@door:a", concurrency=5)
    count, processes = 120, 4
    run_id = stage.start(plan(*[far(f"s{n}", *(["api"] if n % 2 else [])) for n in range(count)]))
    together = Barrier(processes)
    seen: list[tuple[int, int]] = []

    def act() -> None:
        together.wait()
        mine: list[SentStep] = []
        for _ in range(2000):
            ended, mine = mine[:1], mine[1:]
            outcomes, freed = [succeeded(step.job) for step in ended], sum(step.holds_places for step in ended)
            mine += exchange(stage, *outcomes, freed=freed).sent
            with stage.engine.reading() as tx:
                held = [row[2] is not None for row in tx.all("taken_by_all") for _ in range(row[3])]
            seen.append((len(held), sum(held)))
            if not mine and stage.run(run_id).finished_at is not None:
                return
            if not mine:
                stage.clock.advance(seconds=0.01)

    with ThreadPoolExecutor(processes) as threads:
        for each in [threads.submit(act) for _ in range(processes)]:
            each.result()
    assert max(total for total, _ in seen) <= 5
    assert max(limited for _, limited in seen) <= 3
    assert stage.run(run_id).status == "succeeded"
    assert stage.clock.now() - stage.run(run_id).created_at < timedelta(hours=1)

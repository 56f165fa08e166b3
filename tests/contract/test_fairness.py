"""Fair sharing: keys share a queue by their weights, and none waits for the whole backlog of another."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.contract.limiting import define, fair, kinds, limited, names, use, weigh
from tests.contract.stage import Stage, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def backlog(stage: Stage, key: str, count: int, weight: float = 1.0, **fields: object) -> None:
    stage.start(plan(*[fair(f"{key}{number}", key, weight, **fields) for number in range(count)]))


def shares(stage: Stage, turns: int, want: int = 8) -> Counter[str]:
    """Who gets how many of the places, in turns that record everything and take as many again."""
    total: Counter[str] = Counter()
    jobs = stage.claim(want=want)
    for _ in range(turns):
        total.update(kinds(jobs))
        jobs = stage.claim_after([succeeded(job) for job in jobs], want=want)
    stage.turn(*[succeeded(job) for job in jobs])
    return total


def test_a_few_steps_do_not_wait_for_the_backlog_of_another(stage: Stage) -> None:
    backlog(stage, "big", 3000)
    jobs = stage.claim(want=8)
    for _ in range(5):
        jobs = stage.claim_after([succeeded(job) for job in jobs], want=8)
    backlog(stage, "small", 10)
    seen = turns = 0
    while seen < 10 and turns < 10:
        jobs = stage.claim_after([succeeded(job) for job in jobs], want=8)
        seen += kinds(jobs).get("small", 0)
        turns += 1
    assert (seen, turns <= 3) == (10, True)


def test_keys_share_evenly(stage: Stage) -> None:
    for key, count in (("a", 300), ("b", 200), ("c", 200)):
        backlog(stage, key, count)
    total = shares(stage, 30)
    assert sum(total.values()) == 240
    assert all(abs(total[key] - 80) <= 2 for key in "abc")


@pytest.mark.parametrize("by_hand", [False, True])
def test_weights_are_shares(stage: Stage, by_hand: bool) -> None:
    if by_hand:
        weigh(stage, "gold", 3.0)
    backlog(stage, "gold", 300, 1.0 if by_hand else 3.0)
    backlog(stage, "plain", 300)
    total = shares(stage, 20)
    assert total["gold"] == pytest.approx(120, abs=3)
    assert total["plain"] == pytest.approx(40, abs=3)


def test_costs_count(stage: Stage) -> None:
    backlog(stage, "heavy", 200, cost=3)
    backlog(stage, "light", 300)
    total = shares(stage, 20)
    assert total["light"] == pytest.approx(120, abs=3)


def test_who_was_idle_saved_nothing_up(stage: Stage) -> None:
    backlog(stage, "early", 1)
    shares(stage, 1)
    backlog(stage, "busy", 600)
    shares(stage, 30)
    backlog(stage, "early", 300)
    total = shares(stage, 10)
    assert total["early"] == pytest.approx(40, abs=5)


def test_who_is_new_need_not_catch_up_either_with_a_new_worker(stage: Stage) -> None:
    backlog(stage, "early", 1)
    shares(stage, 1)
    backlog(stage, "busy", 600)
    shares(stage, 30)
    backlog(stage, "early", 300)
    stage._worker = None
    stage.engine = type(stage.engine)(stage.store)  # which remembers nothing
    total = shares(stage, 10)
    assert total["early"] == pytest.approx(40, abs=5)


def test_priorities_come_before_turns(stage: Stage) -> None:
    backlog(stage, "a", 20)
    backlog(stage, "b", 6, priority=7)
    assert kinds(stage.claim(want=8)) == {"b": 6, "a": 2}


def test_plain_steps_and_lanes_take_turns_at_the_same_priority(stage: Stage) -> None:
    backlog(stage, "a", 100)
    stage.start(plan(*[node(f"plain{number}") for number in range(100)]))
    stage.turn(want=1)
    total: Counter[str] = Counter()
    for _ in range(10):
        total.update(kinds(stage.turn(want=4).jobs))
    assert total == {"a": 20, "plain": 20}
    total.clear()
    for _ in range(20):
        total.update(kinds(stage.turn(want=1).jobs))
    assert total == {"a": 10, "plain": 10}


def test_plain_steps_of_higher_priority_go_first_and_lanes_likewise(stage: Stage) -> None:
    backlog(stage, "a", 10)
    assert len(stage.turn(want=1).jobs) == 1
    stage.start(plan(*[node(f"plain{number}", priority=8) for number in range(3)]))
    backlog(stage, "b", 3, priority=9)
    assert kinds(stage.turn(want=8).jobs) == {"b": 3, "plain": 3, "a": 2}


def test_each_queue_has_turns_of_its_own(stage: Stage) -> None:
    worker = stage.hire("both", queues=("one", "two"))
    for queue in ("one", "two"):
        backlog(stage, "a", 100, queue=queue)
    backlog(stage, "b", 4, queue="two")
    assert kinds(stage.claim(worker, want=100)) == {"a": 100}
    assert kinds(stage.claim(worker, want=8)) == {"a": 4, "b": 4}


def test_turns_and_limits_together(stage: Stage) -> None:
    define(stage, "api", concurrency=4)
    steps = [limited(f"{key}{n}", "api", share=fair("x", key).share) for key in "ab" for n in range(20)]
    stage.start(plan(*steps))
    assert kinds(stage.claim(want=8)) == {"a": 2, "b": 2}


def test_whom_a_limit_holds_back_does_not_hold_back_others(stage: Stage) -> None:
    define(stage, "narrow", concurrency=1)
    steps = [limited(f"a{n}", "narrow", share=fair("x", "a").share) for n in range(20)]
    stage.start(plan(*steps))
    backlog(stage, "b", 20)
    assert kinds(stage.claim(want=8)) == {"a": 1, "b": 7}


def test_more_keys_than_one_look_sees(stage: Stage) -> None:
    """Whoever can start is found, wherever he stands."""
    define(stage, "one", concurrency=1)
    stage.start(plan(*[limited(f"k{n}", use("one", f"{n % 450:04}")) for n in range(500)]))
    started: set[str] = set()
    for _ in range(40):
        jobs = stage.claim(want=20)
        started.update(names(jobs))
        if len(started) == 500:
            break
        stage.turn(*[succeeded(job) for job in jobs])
    assert len(started) == 500


def test_steps_that_a_task_returned_use_the_turn_of_the_step(stage: Stage) -> None:
    from tests.contract.stage import expanded

    stage.start(plan(fair("grow", "tenant")))
    [grow] = stage.claim()
    stage.turn(expanded(grow, plan(*[node(f"s{n}") for n in range(20)])))
    backlog(stage, "other", 20)
    assert kinds(stage.claim(want=8)) == {"s": 3, "other": 5}  # it had one already

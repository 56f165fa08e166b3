"""Rates: no more starts than tokens, however many ask; evenly by default, in bursts where that is wanted."""

from __future__ import annotations

import pytest

from segue.model import Verdict
from tests.contract.limiting import define, limited, names, use
from tests.contract.stage import Stage, ended, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def start(stage: Stage, count: int, *uses: object, **fields: object) -> None:
    stage.start(plan(*[limited(f"s{number}", *uses, **fields) for number in range(count)]))


def tick(stage: Stage, seconds: float) -> None:
    stage.advance(seconds)
    stage.turn(heartbeat="running")


def test_starts_are_spread_evenly(stage: Stage) -> None:
    define(stage, "mail", rate=60.0, period=60.0)
    start(stage, 5, "mail")
    assert len(stage.claim()) == 1
    assert stage.claim() == []
    tick(stage, 0.9)
    assert stage.claim() == []
    tick(stage, 0.1)
    assert len(stage.claim()) == 1
    tick(stage, 100)
    assert len(stage.claim()) == 1  # what was not used is not saved up


def test_a_burst_may_be_saved_up(stage: Stage) -> None:
    define(stage, "mail", rate=10.0, period=10.0, burst=3.0)
    start(stage, 20, "mail")
    assert len(stage.claim()) == 3
    tick(stage, 2)
    assert len(stage.claim()) == 2
    tick(stage, 60)
    assert len(stage.claim()) == 3


def test_high_rates_save_up_what_comes_in_a_tenth_of_a_second(stage: Stage) -> None:
    define(stage, "mail", rate=1000.0)
    start(stage, 300, "mail")
    assert len(stage.claim(want=300)) == 100
    tick(stage, 0.05)
    assert len(stage.claim(want=300)) == 50


def test_the_worker_is_told_when_to_look_again(stage: Stage) -> None:
    define(stage, "mail", rate=1.0, period=4.0)
    start(stage, 2, "mail")
    assert len(stage.turn(want=1).jobs) == 1
    result = stage.turn(want=1)
    assert result.jobs == []
    assert result.look_seconds == pytest.approx(4.0)
    tick(stage, 3)
    assert stage.turn(want=1).look_seconds == pytest.approx(1.0)
    tick(stage, 1)
    assert len(stage.turn(want=1).jobs) == 1


def test_every_key_has_a_bucket_of_its_own(stage: Stage) -> None:
    define(stage, "mail", rate=1.0, period=1.0)
    stage.start(plan(*[limited(f"{key}{n}", use("mail", key)) for n in range(3) for key in "ab"]))
    assert names(stage.claim()) == ["a0", "b0"]
    tick(stage, 1)
    assert names(stage.claim()) == ["a1", "b1"]


def test_costs_take_several_tokens(stage: Stage) -> None:
    define(stage, "mail", rate=1.0, period=1.0, burst=4.0)
    start(stage, 5, use("mail", cost=2))
    assert len(stage.claim()) == 2
    tick(stage, 1)
    assert stage.claim() == []
    tick(stage, 1)
    assert len(stage.claim()) == 1


def test_a_cost_larger_than_the_bucket_is_paid_off(stage: Stage) -> None:
    define(stage, "mail", rate=1.0, period=1.0)
    start(stage, 3, use("mail", cost=5))
    assert len(stage.claim()) == 1
    tick(stage, 4.9)
    assert stage.claim() == []
    tick(stage, 0.1)
    assert len(stage.claim()) == 1


def test_tokens_and_places_may_both_be_needed(stage: Stage) -> None:
    define(stage, "api", rate=1.0, period=1.0, burst=2.0, concurrency=1)
    start(stage, 4, "api")
    [job] = stage.claim()
    [job] = stage.claim_after([succeeded(job)])
    assert stage.claim_after([succeeded(job)]) == []
    tick(stage, 1)
    assert len(stage.claim()) == 1


def test_every_try_takes_a_token(stage: Stage) -> None:
    define(stage, "mail", rate=1.0, period=10.0)
    start(stage, 1, "mail")
    [job] = stage.claim()
    assert stage.claim_after([ended(job, Verdict.RELEASED)]) == []
    tick(stage, 10)
    assert len(stage.claim()) == 1


def test_a_rate_of_zero_lets_nothing_start(stage: Stage) -> None:
    define(stage, "mail", rate=0.0)
    start(stage, 1, "mail")
    result = stage.turn(want=1)
    assert (result.jobs, result.look_seconds) == ([], None)
    tick(stage, 1e5)
    assert stage.claim() == []


def test_a_rate_of_a_queue_binds_all_of_its_steps(stage: Stage) -> None:
    define(stage, "queue:default", rate=2.0, period=2.0)
    stage.start(plan(*[node(f"s{number}") for number in range(5)]))
    assert len(stage.claim()) == 1
    result = stage.turn(want=3)
    assert (result.jobs, result.look_seconds) == ([], pytest.approx(1.0))
    tick(stage, 1)
    assert len(stage.claim()) == 1


def test_many_small_steps_come_to_the_rate_exactly(stage: Stage) -> None:
    define(stage, "mail", rate=3.0, period=1.0, burst=1.5)
    start(stage, 60, "mail")
    started = 0
    for _ in range(100):
        started += len(stage.turn(want=5).jobs)
        stage.advance(0.15)
    assert started == 1 + 45  # what was saved up, and three in each second


def test_a_clock_that_was_ahead_holds_back_no_start_for_longer_than_the_rate(stage: Stage) -> None:
    define(stage, "mail", rate=10.0, period=10.0, burst=3.0)
    run_id = stage.start(plan(*[limited(f"s{number}", "mail") for number in range(20)]))
    stage.advance(3600)
    assert len(stage.claim()) == 3
    tick(stage, -3600)  # as with the clock of another server
    assert "in 1.0 s" in stage.explain(run_id, "s5")[-1].text
    assert stage.claim() == []
    tick(stage, 1)
    assert len(stage.claim()) == 1
    tick(stage, 3)
    assert len(stage.claim()) == 3

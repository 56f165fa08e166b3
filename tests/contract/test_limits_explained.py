"""`explain` names the limit that holds something back, how large it is, who has its places, and when it goes on."""

from __future__ import annotations

import pytest

from segue.engine.limiting.limits import list_limits, prune_limits
from segue.plan.graph import RunTerms
from tests.contract.limiting import define, fair, limited, use, weigh
from tests.contract.stage import Stage, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def texts(stage: Stage, run_id: str, step: str | None = None) -> str:
    return "\n".join(str(reason) for reason in stage.explain(run_id, step))


def test_a_full_limit_is_named_with_who_has_its_places(stage: Stage) -> None:
    define(stage, "api", concurrency=2)
    first = stage.start(plan(*[limited(f"s{n}", use("api", "x")) for n in range(2)]))
    stage.claim()
    late = stage.start(plan(*[limited(f"t{n}", use("api", "x")) for n in range(3)]))
    [reason] = stage.explain(late)
    assert reason.code == "limited"
    assert reason.step == "t0 (3 such steps)"
    assert reason.text == (
        "waits for a place of the limit 'api' for 'x': 2 of 2 are taken, "
        f"by s0 of run {first} on first, s1 of run {first} on first"
    )
    define(stage, "api", concurrency=0)
    assert "which has none: it is closed" in texts(stage, late, "t1")


def test_a_rate_says_when_the_next_start_is(stage: Stage) -> None:
    define(stage, "mail", rate=6.0, period=60.0)
    run_id = stage.start(plan(*[limited(f"s{n}", "mail") for n in range(2)]))
    stage.claim()
    [reason] = stage.explain(run_id, "s1")
    assert reason.code == "rate_limited"
    assert reason.text == (
        "waits for the rate of the limit 'mail' (6 in 60 s): the next start is at 00:00:10 UTC (in 10.0 s)"
    )
    define(stage, "mail", rate=0.0)
    assert "which lets nothing start" in texts(stage, run_id, "s1")


def test_a_turn_names_with_whom_it_is_shared(stage: Stage) -> None:
    _ = stage.worker
    run_id = stage.start(plan(fair("mine", "a")))
    assert stage.codes(run_id) == ["waiting_for_place"]
    stage.start(plan(fair("theirs", "b"), fair("others", "c")))
    [reason] = stage.explain(run_id)
    assert (reason.code, reason.text) == (
        "waiting_for_share", "waits for its fair share of queue 'default': 2 other keys wait there, besides its key 'a'"
    )  # fmt: skip


def test_limits_of_queues_and_tasks_are_named_too(stage: Stage) -> None:
    define(stage, "queue:default", concurrency=1)
    run_id = stage.start(plan(node("a"), node("b")))
    stage.claim()
    assert "waits for a place of the limit 'queue:default': 1 of 1 are taken, by a of run" in texts(stage, run_id, "b")


def test_who_has_no_worker_hears_that_too(stage: Stage) -> None:
    define(stage, "api", concurrency=0)
    run_id = stage.start(plan(limited("s", "api", queue="far")))
    _ = stage.worker
    assert stage.codes(run_id) == ["no_worker_on_queue", "limited"]


def test_an_admission_says_who_has_the_places_and_who_comes_before(stage: Stage) -> None:
    define(stage, "workflow:flow", concurrency=1)
    _ = stage.worker
    runs = [stage.start(plan(node("a"), terms=RunTerms(limit=use("workflow:flow", "x")))) for _ in range(3)]
    [reason, held] = stage.explain(runs[2])
    assert (reason.code, held.code) == ("waiting_for_admission", "waiting_for_admission")
    assert reason.text == (
        "waits to be admitted: 1 of 1 places of the limit 'workflow:flow' for 'x' are taken, "
        f"by run {runs[0]} (pending) since 00:00:00 UTC; 1 run before it waits"
    )
    assert "waiting_for_admission" not in stage.codes(runs[0])
    define(stage, "workflow:flow", concurrency=5)
    assert "which has a free place" in texts(stage, runs[1])


def test_a_step_whose_key_is_not_known_yet_waits_for_its_parents(stage: Stage) -> None:
    from tests.contract.limiting import use_by_result

    run_id = stage.start(plan(node("find"), limited("s", use_by_result("api", 0), parents=[0])))
    [reason] = stage.explain(run_id, "s")
    assert (reason.code, reason.text) == ("blocked", "waits for find (ready)")


def test_limits_are_listed_with_what_is_taken_and_what_waits(stage: Stage) -> None:
    define(stage, "api", concurrency=3)
    define(stage, "queue:default", concurrency=100)
    define(stage, "workflow:flow", concurrency=1)
    stage.start(plan(*[limited(f"s{n}", use("api", f"{n % 2}", cost=2)) for n in range(6)], node("free")))
    for _ in range(2):
        stage.start(plan(node("a"), terms=RunTerms(limit=use("workflow:flow"))))
    stage.claim()
    with stage.engine.reading() as tx:
        found = {limit.name: (limit.used, limit.waiting, limit.keys) for limit in list_limits(tx)}
    assert found == {"api": (4, 4, 2), "queue:default": (4, 4, 1), "workflow:flow": (1, 1, 1)}


def test_what_nobody_uses_any_more_is_forgotten(stage: Stage) -> None:
    define(stage, "mail", rate=1.0, period=10.0)
    stage.start(plan(*[limited(f"s{n}", use("mail", f"{n}"), share=fair("x", f"t{n}").share) for n in range(5)]))
    weigh(stage, "gold", 2.0)
    stage.turn(*[succeeded(job) for job in stage.claim()])
    prune = lambda: stage.engine.act(prune_limits)  # noqa: E731
    assert prune() == 0
    stage.advance(11)
    assert prune() == 5
    stage.advance(3600)
    assert prune() == 5
    assert prune() == 0
    with stage.engine.reading() as tx:
        assert [row[1] for row in tx.all("list_shares", limit=10, prefix=None)] == ["gold"]

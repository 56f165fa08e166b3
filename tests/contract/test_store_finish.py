"""Finishing: compare-and-set, what children hear, how runs end. Promises 3, 4, 5 and 6."""

from __future__ import annotations

from datetime import timedelta

import pytest

from segue.model import JoinRule, Outcome, Ref, Span, Verdict
from segue.store.protocol import Finish
from segue.store.sqlite_wide import WIDTH
from tests.contract.stage import Stage, connect, ended, expanded, failed, node, plan, succeeded, value

S, F, K = "succeeded", "failed", "skipped"


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def end(how: str) -> object:
    verdicts = {S: lambda job: succeeded(job, 1), F: failed, K: lambda job: ended(job, Verdict.SKIPPED)}
    return verdicts[how]


@pytest.mark.parametrize("rule, parents, becomes", [
    ("all_succeeded", (S, S), S), ("all_succeeded", (S, F), K), ("all_succeeded", (S, K), K),
    ("all_succeeded", (F, F), K), ("all_succeeded", (F, S), K), ("all_succeeded", (K, S), K),
    ("all_done", (S, F), S), ("all_done", (F, K), S), ("all_done", (K, K), S),
    ("any_succeeded", (S, F), S), ("any_succeeded", (F, S), S), ("any_succeeded", (F, K), K),
    ("any_succeeded", (K, S), S),
    ("any_failed", (S, F), S), ("any_failed", (F, S), S), ("any_failed", (S, S), K), ("any_failed", (K, S), K),
    ("none_failed", (S, S), S), ("none_failed", (S, K), S), ("none_failed", (K, K), S), ("none_failed", (S, F), K),
    ("none_failed", (F, S), K),
])  # fmt: skip
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("is_join", [True, False])
def test_join_rules(
    stage: Stage, rule: str, parents: tuple[str, str], becomes: str, together: bool, is_join: bool
) -> None:
    child = node("child", 0, 1, rule=JoinRule(rule), **({"task": None} if is_join else {}))
    run_id = stage.start(plan(node("p0"), node("p1"), child))
    jobs = stage.claim_named("p0", "p1")
    outcomes = [end(how)(job) for how, job in zip(parents, jobs, strict=True)]
    if together:
        stage.turn(*outcomes)
    else:
        for outcome in outcomes:
            stage.turn(outcome)
    stage.work()
    assert stage.statuses(run_id)["child"] == becomes
    assert stage.run(run_id).status.is_final


@pytest.mark.parametrize("rule, first", [("any_succeeded", S), ("any_failed", F)])
def test_early_rules_do_not_wait_for_the_others(stage: Stage, rule: str, first: str) -> None:
    run_id = stage.start(plan(node("p0"), node("p1"), node("child", 0, 1, rule=JoinRule(rule))))
    p0, p1 = stage.claim_named("p0", "p1")
    stage.turn(end(first)(p0))
    [child] = stage.claim_named("child")
    stage.turn(succeeded(child))
    assert not stage.run(run_id).status.is_final
    stage.turn(succeeded(p1))
    assert stage.run(run_id).status == "succeeded"


def test_an_outcome_of_an_older_attempt_changes_nothing(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1), node("b", 0)))
    [first] = stage.claim()
    stage.turn(failed(first))
    [second] = stage.claim()
    for verdict in Verdict:
        stale = Outcome(run_id, 0, first.attempt, verdict, result="1")
        assert stage.turn(stale).refused == 1
        ahead = Outcome(run_id, 0, second.attempt + 1, verdict, result="1")
        assert stage.turn(ahead).refused == 1
    assert stage.statuses(run_id) == {"a": "running", "b": "blocked"}


def test_a_final_status_is_final(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c", 0)))
    [a] = stage.claim()
    stage.turn(succeeded(a, "kept"))
    for verdict in Verdict:
        assert stage.turn(Outcome(run_id, 0, 1, verdict, result='"other"')).refused == 1
    assert stage.statuses(run_id) == {"a": S, "b": "ready", "c": "ready"}
    with stage.engine.reading() as tx:
        assert tx.all("load_results", run_id=run_id, steps=[0])[0][2] == '"kept"'


def test_an_outcome_said_twice_in_one_turn_counts_once(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1), node("b"), node("c", 1)))
    a, b = stage.claim_named("a", "b")
    assert stage.turn(failed(a), failed(a), succeeded(b), succeeded(b)).refused == 2
    assert stage.step(run_id, "a").failures == 1
    assert stage.statuses(run_id) == {"a": "ready", "b": S, "c": "ready"}


def test_outcomes_of_steps_and_runs_that_are_not_there_are_refused(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    for verdict in (Verdict.SUCCEEDED, Verdict.FAILED):
        assert stage.turn(Outcome(run_id, 7, 1, verdict)).refused == 1
        assert stage.turn(Outcome("019b7701-17d8-7125-b7a7-fa6e8e8c256b", 0, 1, verdict)).refused == 1
        assert stage.turn(Outcome(run_id, 0, 0, verdict)).refused == 1
    assert stage.statuses(run_id) == {"a": "ready"}


def test_a_finish_needs_its_status_and_attempt(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b")))
    stage.claim()
    now = stage.store.now()
    with stage.store.transaction() as tx:
        tx.all("lock_runs", ids=[run_id])
        wrong = [
            Finish(run_id, 0, 1, "blocked", S),
            Finish(run_id, 0, 2, "running", S),
            Finish(run_id, 9, 1, "running", S),
        ]
        assert tx.finish(wrong, now).result().recorded == 0
        assert tx.finish([Finish(run_id, 0, 1, "running", S)], now).result().recorded == 1
        assert tx.finish([Finish(run_id, 0, 1, "running", F)], now).result().recorded == 0
    assert stage.statuses(run_id) == {"a": S, "b": "running"}
    assert stage.step(run_id, "a").finished_at == now


@pytest.mark.parametrize("count", [WIDTH - 1, WIDTH, 2 * WIDTH + 5])
def test_many_finishes_at_once_are_each_held_to_their_status_and_attempt(stage: Stage, count: int) -> None:
    members = [node(f"n{number}") for number in range(2 * count)]
    run_id = stage.start(plan(*members, node("last", *range(count), rule=JoinRule.ALL_DONE)))
    stage.claim(want=2 * count)
    right = [
        Finish(run_id, number, 1, "running", (S, F)[number % 2], str(number), seconds=float(number))
        for number in range(count)
    ]
    wrong = [Finish(run_id, count + number, 1, "blocked", S) for number in range(count // 2)]
    wrong += [Finish(run_id, count + number, 2, "running", S) for number in range(count // 2, count)]
    with stage.store.transaction() as tx:
        tx.all("lock_runs", ids=[run_id])
        done = tx.finish(
            [finish for pair in zip(right, wrong, strict=True) for finish in pair], stage.store.now()
        ).result()
    assert (done.recorded, done.started) == (count, 1)
    for number in range(count):
        step = stage.step(run_id, f"n{number}")
        assert (step.status, step.seconds) == ((S, F)[number % 2], float(number))
        assert stage.step(run_id, f"n{count + number}").status == "running"
    with connect(stage.store.url) as connection:
        found = connection.execute("SELECT result FROM segue_steps WHERE result IS NOT NULL ORDER BY step").fetchall()
    assert [row[0] for row in found] == [str(number) for number in range(count)]


def test_many_outcomes_of_which_one_is_said_twice(stage: Stage) -> None:
    run_id = stage.start(plan(*[node(f"n{number}") for number in range(2 * WIDTH)]))
    jobs = stage.claim(want=2 * WIDTH)
    assert stage.turn(*[succeeded(job) for job in jobs], succeeded(jobs[3])).refused == 1
    assert stage.run(run_id).status == "succeeded"


def test_many_children_wait_for_all_of_their_parents(stage: Stage) -> None:
    """Those that are plain, and in between some that are not."""
    count = 2 * WIDTH + 1
    children = [
        node(f"c{at}", 0, 1, **({"rule": JoinRule.ALL_DONE} if at % 5 == 0 else {"delay": 60.0} if at == 1 else {}))
        for at in range(count)
    ]
    run_id = stage.start(plan(node("a"), node("b"), *children))
    a, b = stage.claim_named("a", "b")
    assert stage.turn(succeeded(a), want=count).jobs == []
    assert {status for name, status in stage.statuses(run_id).items() if name[0] == "c"} == {"blocked"}
    stage.turn(succeeded(b))
    assert len(stage.claim()) == count - 1
    assert stage.statuses(run_id)["c1"] == "ready"


def test_attempts_never_exceed_the_policy(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=2)))
    for left in (2, 1, 0):
        [job] = stage.claim()
        stage.turn(failed(job, f"left {left}"))
    assert stage.claim() == []
    step = stage.step(run_id, "a")
    assert (step.status, step.attempt, step.failures) == (F, 3, 3)
    assert step.error is not None
    assert (step.error.type, step.error.message) == ("Boom", "left 0")
    error = stage.run(run_id).error
    assert error is not None
    assert (error.step, error.type, error.message) == ("a", "Boom", "left 0")


def test_a_failure_that_is_not_to_be_retried_is_final(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=5)))
    [job] = stage.claim()
    assert stage.turn(failed(job, retryable=False)).ended == [run_id]
    assert stage.statuses(run_id) == {"a": F}


def test_retries_wait_and_come_due(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=2, retry_delay=4.0, retry_factor=2.0, retry_jitter=0.0)))
    for wait in (4, 8):
        [job] = stage.claim()
        stage.turn(failed(job))
        assert stage.step(run_id, "a").gate == "timer"
        assert stage.turn(timers=True).timer_seconds == wait
        stage.advance(wait - 0.5)
        stage.turn(timers=True)
        assert stage.claim() == []
        stage.advance(0.5)
        assert stage.turn(timers=True).timer_seconds is None
    [job] = stage.claim()
    assert job.attempt == 3


def test_a_task_may_choose_when_it_is_tried_again(stage: Stage) -> None:
    stage.start(plan(node("a", retries=1, retry_delay=4.0)))
    [job] = stage.claim()
    stage.turn(failed(job, retry_after=55.0))
    assert stage.turn(timers=True).timer_seconds == 55


def test_a_turn_that_sets_a_timer_says_when_it_comes_due(stage: Stage) -> None:
    """Or its worker would find out with its next look, when it sleeps a second later."""
    stage.start(plan(node("a"), node("b", 0, delay=7.0)))
    stage.start(plan(node("c", retries=1, retry_delay=4.0, retry_jitter=0.0)))
    first, second = stage.claim()
    assert not stage.turn(want=5).knows_timers
    told = stage.turn(succeeded(first), want=5)
    assert (told.knows_timers, told.timer_seconds) == (True, 7)
    told = stage.turn(failed(second), want=5)
    assert (told.knows_timers, told.timer_seconds) == (True, 4)


def test_a_delay_counts_from_the_end_of_the_parents(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0, delay=7.0)))
    [a] = stage.claim()
    stage.advance(3)
    stage.turn(succeeded(a))
    assert stage.step(run_id, "b").gate == "timer"
    assert stage.turn(timers=True).timer_seconds == 7
    assert stage.claim() == []
    stage.advance(7)
    stage.turn(timers=True)
    stage.claim_named("b")


def test_a_step_that_has_a_time_waits_for_it_when_its_parents_have_ended(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0, run_at=stage.clock.now() + timedelta(seconds=30))))
    [a] = stage.claim()
    stage.turn(succeeded(a))
    assert stage.step(run_id, "b").gate == "timer"
    assert stage.claim() == []
    stage.advance(30)
    stage.turn(timers=True)
    stage.claim_named("b")


@pytest.mark.parametrize("how", [S, F, K])
def test_a_run_ends_with_its_last_step(stage: Stage, how: str) -> None:
    run_id = stage.start(plan(node("a"), node("b")))
    a, b = stage.claim_named("a", "b")
    assert stage.turn(end(how)(a)).ended == []
    stage.advance(1)
    assert stage.turn(succeeded(b)).ended == [run_id]
    run = stage.run(run_id)
    assert run.status == (F if how == F else S)
    assert run.finished_at == stage.clock.now()


def test_a_failure_skips_what_depends_on_it_while_the_rest_goes_on(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c", 1), node("x"), node("y", 3)))
    stage.work({"a": failed})
    assert stage.statuses(run_id) == {"a": F, "b": K, "c": K, "x": S, "y": S}
    assert stage.run(run_id).status == F


def test_a_step_that_may_fail_does_not_fail_the_run(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", may_fail=True), node("b", 0), node("c", 0, rule=JoinRule.ALL_DONE)))
    stage.work({"a": failed})
    assert stage.statuses(run_id) == {"a": F, "b": K, "c": S}
    assert stage.run(run_id).status == S


@pytest.mark.parametrize("rule", ["any_failed", "any_succeeded"])
def test_a_handler_that_succeeds_takes_the_failure_on(stage: Stage, rule: str) -> None:
    run_id = stage.start(plan(node("a"), node("b"), node("handler", 0, 1, rule=JoinRule(rule))))
    stage.work({"a": failed})
    assert stage.statuses(run_id) == {"a": F, "b": S, "handler": S}
    assert stage.run(run_id).status == S


def test_a_handler_that_fails_does_not(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("handler", 0, rule=JoinRule.ANY_FAILED)))
    stage.work({"a": failed, "handler": failed})
    run = stage.run(run_id)
    assert run.status == F
    assert run.error is not None
    assert run.error.step == "a"


def test_fail_fast_ends_the_run_at_once(stage: Stage) -> None:
    nodes = (node("a"), node("b"), node("c", 0, 1), node("late", delay=99.0), node("fin", hook="finally"))
    run_id = stage.start(plan(*nodes, fail_fast=True))
    a, b = stage.claim_named("a", "b")
    stage.turn(failed(a))
    assert stage.statuses(run_id) == {"a": F, "b": "running", "c": "cancelled", "late": "cancelled", "fin": "blocked"}
    assert stage.turn(cancels=True).cancels == [(run_id, 1, 1)]
    assert stage.run(run_id).ending == "failed"
    stage.turn(ended(b, Verdict.CANCELLED))
    stage.work()
    assert stage.statuses(run_id)["fin"] == S
    run = stage.run(run_id)
    assert run.status == F
    assert run.error is not None
    assert run.error.step == "a"


@pytest.mark.parametrize("verdict", [Verdict.RELEASED, Verdict.FAILED, Verdict.EXPANDED])
def test_a_run_that_fails_fast_starts_nothing_more(stage: Stage, verdict: Verdict) -> None:
    """The other outcome comes in the same turn as the failure that ends the run."""
    run_id = stage.start(plan(node("a"), node("b", retries=3), fail_fast=True))
    a, b = stage.claim_named("a", "b")
    grown = '{"name":"x","nodes":[{"name":"n","task":"app.work"}]}'
    result = stage.turn(failed(a), Outcome(run_id, 1, b.attempt, verdict, result=grown))
    assert result.ended == [run_id]
    assert stage.statuses(run_id) == {"a": F, "b": "cancelled"}


def test_steps_that_may_fail_do_not_fail_fast(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", may_fail=True), node("b"), fail_fast=True))
    stage.work({"a": failed})
    assert stage.statuses(run_id) == {"a": F, "b": S}
    assert stage.run(run_id).status == S


def test_groups_of_none_one_and_many_give_lists(stage: Stage) -> None:
    for count in (0, 1, 3):
        members = [node(f"m{number}") for number in range(count)]
        join = node("join", *range(count), task=None, result=Span(0, count - 1))
        run_id = stage.start(plan(*members, join, result=Ref(count)))
        stage.work({f"m{number}": lambda job: succeeded(job, job.step) for number in range(count)})
        assert stage.run(run_id).status == S
        assert stage.result(run_id) == list(range(count))


def test_results_keep_their_shape(stage: Stage) -> None:
    shapes = [None, 0, "", "null", "\u2028 é 🎵", [], {}, {"a": [1, {"b": None}]}, 1e300, -0.0, 2**53 + 1, [[[]]]]
    for shape in shapes:
        run_id = stage.start(plan(node("a"), result=Ref(0)))
        stage.work({"a": lambda job, shape=shape: succeeded(job, shape)})
        assert stage.result(run_id) == shape


def test_a_diamond_of_joins_passes_in_one_turn(stage: Stage) -> None:
    nodes = [node("a"), *[node(f"j{n}", n - 1, task=None, result=Ref(n - 1)) for n in range(1, 40)]]
    run_id = stage.start(plan(*nodes, result=Ref(39)))
    [a] = stage.claim()
    assert stage.turn(succeeded(a, "deep")).ended == [run_id]
    assert stage.result(run_id) == "deep"


def test_a_constant_result_needs_no_step(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), result=value({"k": 1})))
    stage.work()
    assert stage.result(run_id) == {"k": 1}


def test_a_failure_that_ends_the_run_cancels_what_a_plan_of_the_same_turn_added(stage: Stage) -> None:
    run_id = stage.start(plan(node("grows"), node("fails"), fail_fast=True))
    grows, fails = stage.claim_named("grows", "fails")
    stage.turn(expanded(grows, plan(node("a"), node("b"))), failed(fails, retryable=False))
    assert stage.claim() == []
    assert stage.statuses(run_id) == {"grows": "cancelled", "fails": "failed", "a": "cancelled", "b": "cancelled"}
    assert stage.run(run_id).status == "failed"
    assert stage.is_sound()

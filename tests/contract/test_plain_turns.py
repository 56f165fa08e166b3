"""Turns whose commit travels with what they say: what they record, what they leave alone, and what they cost.

On SQLite there is no server, so all turns are ordinary ones. What comes of them is the same.
"""

from __future__ import annotations

from typing import Any

import pytest

from segue.engine.control import cancel_run
from segue.engine.engine import Engine
from segue.engine.pausing import pause_run
from segue.engine.turn_memory import TurnMemory
from segue.engine.turn_request import TurnRequest
from segue.errors import StoreUnavailableError
from segue.model import Gather, Hole, Job, JoinRule, Outcome, Ref, Verdict
from segue.plan.graph import Plan
from segue.store.postgres_transaction import PostgresTransaction
from segue.store.postgres_wire import Wire
from segue.store.sqlite_transaction import SqliteTransaction
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded
from tests.crash.faults import FaultyStore, lose


@pytest.fixture(autouse=True, params=["children are remembered", "children are not remembered"])
def warmed(stage: Stage, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker has taken a turn: it has read what is read now and then, so the turns that follow may be plain."""
    stage.claim()
    if request.param == "children are not remembered":
        monkeypatch.setattr(TurnMemory, "take_only_child", lambda _memory, _outcomes: None)


@pytest.fixture
def exchanges(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every exchange with a server."""
    seen: list[int] = []
    flush = Wire.flush

    def counted(wire: Wire) -> None:
        if wire._sent:
            seen.append(len(wire._sent))
        flush(wire)

    monkeypatch.setattr(Wire, "flush", counted)
    return seen


def chain(length: int) -> Plan:
    return plan(*(node(f"s{at}", *((at - 1,) if at else ())) for at in range(length)))


def warm(stage: Stage, exchanges: list[int], what: Plan) -> Job:
    """The first step of a run that has begun, as the worker knows."""
    stage.start(what)
    [job] = stage.claim(want=1)
    exchanges.clear()
    return job


def needs(stage: Stage, most: int, exchanges: list[int]) -> bool:
    return len(exchanges) <= most if stage.store.dialect == "postgres" else exchanges == []


def test_a_step_of_a_chain_is_recorded_and_the_next_one_claimed_in_one_exchange(
    stage: Stage, exchanges: list[int]
) -> None:
    job = warm(stage, exchanges, chain(4))
    for name in ("s1", "s2", "s3"):
        [job] = stage.turn(succeeded(job), want=1).jobs
        assert (job.name, job.attempt) == (name, 1)
    assert needs(stage, 3, exchanges)
    exchanges.clear()
    result = stage.turn(succeeded(job))
    assert result.ended == [job.run_id]
    assert needs(stage, 1, exchanges)
    assert stage.run(job.run_id).status == "succeeded"


def test_a_result_is_handed_on_in_the_same_exchange(stage: Stage, exchanges: list[int]) -> None:
    holes = (Hole((0, 0), Ref(0)),)
    job = warm(stage, exchanges, plan(node("first"), node("then", 0, args="[[null],{}]", holes=holes)))
    [then] = stage.turn(succeeded(job, {"n": 1}), want=1).jobs
    assert then.values == {0: '{"n":1}'}
    assert needs(stage, 1, exchanges)


def test_the_results_of_earlier_turns_take_a_second_exchange(stage: Stage, exchanges: list[int]) -> None:
    holes = (Hole((0, 0), Gather((Ref(0), Ref(1)))),)
    stage.start(plan(node("a"), node("b"), node("both", 0, 1, args="[[null],{}]", holes=holes)))
    a, b = stage.claim_named("a", "b")
    stage.turn(succeeded(a, 1))
    exchanges.clear()
    [both] = stage.turn(succeeded(b, 2), want=1).jobs
    assert both.values == {0: "1", 1: "2"}
    assert needs(stage, 3, exchanges)


def test_many_steps_are_recorded_in_one_exchange(stage: Stage, exchanges: list[int]) -> None:
    run_ids = [stage.start(chain(2)) for _ in range(20)]
    jobs = stage.claim(want=20)
    stage.turn(succeeded(jobs[0]))  # one of them is known to have begun
    exchanges.clear()
    result = stage.turn(*map(succeeded, jobs[1:]))
    assert (result.refused, result.outcomes) == (0, [])
    assert needs(stage, 2, exchanges)  # the second wakes the others
    stage.work()
    assert {stage.run(run_id).status for run_id in run_ids} == {"succeeded"}


def test_a_call_takes_two_exchanges(stage: Stage, exchanges: list[int]) -> None:
    job = warm(stage, exchanges, plan(node("first"), result=Ref(0)))
    call = plan(node("again"), result=Ref(0))
    for _ in range(3):  # the first call makes a scope
        exchanges.clear()
        [job] = stage.turn(expanded(job, call), want=1).jobs
    assert needs(stage, 2, exchanges)
    stage.turn(succeeded(job, 7))
    assert stage.result(job.run_id) == 7


def test_plans_of_many_runs_are_inserted_in_few_exchanges(stage: Stage, exchanges: list[int]) -> None:
    for _ in range(20):
        stage.start(plan(node("first"), result=Ref(0)))
    jobs = stage.claim(want=20)
    exchanges.clear()
    stage.turn(*[expanded(job, plan(node("x"), node("y"))) for job in jobs])
    assert needs(stage, 3, exchanges)
    exchanges.clear()
    inner = stage.claim(want=40)
    exchanges.clear()
    stage.turn(*map(succeeded, inner))
    assert needs(stage, 8, exchanges)  # whatever the number of runs
    assert {step.status for job in jobs for step in stage.steps(job.run_id)} == {"succeeded"}


ODD: dict[str, tuple[Plan, dict[str, str]]] = {
    "a join": (
        plan(node("a"), node("join", 0, task=None, result=Gather((Ref(0),))), node("b", 1)),
        {"a": "succeeded", "join": "succeeded", "b": "running"},
    ),
    "a rule that skips": (
        plan(node("a"), node("b", 0, rule=JoinRule.ANY_FAILED)), {"a": "succeeded", "b": "skipped"},
    ),
    "a rule that starts early": (
        plan(node("a"), node("z", delay=60.0), node("b", 0, 1, rule=JoinRule.ANY_SUCCEEDED)),
        {"a": "succeeded", "z": "ready", "b": "running"},
    ),
    "a delay": (plan(node("a"), node("b", 0, delay=60.0)), {"a": "succeeded", "b": "ready"}),
    "a hook": (plan(node("a"), node("b", hook="finally")), {"a": "succeeded", "b": "running"}),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_what_is_not_plain_follows_in_the_same_turn(stage: Stage, what: str) -> None:
    flow, statuses = ODD[what]
    run_id = stage.start(flow)
    [job] = stage.claim_named("a")
    result = stage.turn(succeeded(job), want=5)
    jobs = result.jobs + (stage.claim() if result.again else [])
    assert stage.statuses(run_id) == statuses
    assert {job.name for job in jobs} == {name for name, status in statuses.items() if status == "running"}
    assert stage.is_sound()


def test_a_paused_run_stays_paused(stage: Stage) -> None:
    run_id = stage.start(chain(2))
    [job] = stage.claim()
    stage.engine.act(pause_run, run_id)
    result = stage.turn(succeeded(job), want=5)
    assert (result.jobs, stage.statuses(run_id)) == ([], {"s0": "succeeded", "s1": "ready"})


def test_a_run_that_is_being_cancelled_ends_with_its_last_step(stage: Stage) -> None:
    run_id = stage.start(chain(2))
    [job] = stage.claim()
    stage.engine.act(cancel_run, run_id)
    result = stage.turn(succeeded(job), want=5)
    assert (result.jobs, result.ended) == ([], [run_id])
    assert stage.run(run_id).status == "cancelled"


def test_a_failure_elsewhere_in_the_run_is_not_overlooked_at_its_end(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b")))
    a, b = stage.claim_named("a", "b")
    stage.turn(failed(a, retryable=False))
    assert stage.turn(succeeded(b), want=5).ended == [run_id]
    assert stage.run(run_id).status == "failed"


def test_only_what_came_too_late_is_refused(stage: Stage) -> None:
    stage.start(plan(node("a"), node("b"), node("c")))
    a, b, c = stage.claim_named("a", "b", "c")
    stage.turn(succeeded(b))
    stale = succeeded(c)
    stale.attempt += 1
    result = stage.turn(succeeded(a), succeeded(b), stale, want=5)
    assert (result.refused, result.outcomes) == (2, [])
    assert stage.turn(stale, want=5).refused == 1
    assert stage.turn(succeeded(c)).ended == [c.run_id]


def test_plans_of_one_run_in_one_report_are_numbered_one_after_the_other(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b"), node("c", 0, 1)))
    jobs = stage.claim_named("a", "b")
    stage.turn(*[expanded(job, plan(node(f"in {job.name}"))) for job in jobs])
    stage.work()
    assert set(stage.statuses(run_id)) == {"a", "b", "c", "in a", "in b"}
    assert set(stage.statuses(run_id).values()) == {"succeeded"}


def test_an_older_attempt_changes_nothing(stage: Stage) -> None:
    run_id = stage.start(chain(2))
    [job] = stage.claim()
    elsewhere = Engine(stage.store, ids=stage.engine.ids, monotonic=stage.clock.monotonic)
    released = Outcome(job.run_id, job.step, job.attempt, Verdict.RELEASED)
    elsewhere.turn(stage.worker, TurnRequest(outcomes=[released]))
    [again] = elsewhere.turn(stage.worker, TurnRequest(want=1)).jobs
    assert again.attempt == 2
    assert stage.turn(succeeded(job), want=5).refused == 1
    assert stage.statuses(run_id) == {"s0": "running", "s1": "blocked"}


def test_a_child_that_no_longer_waits_for_the_step_is_left_alone(stage: Stage) -> None:
    """It started with the first parent, and waits for the plan that its task returned."""
    run_id = stage.start(plan(node("a"), node("b"), node("c", 0, 1, rule="any_succeeded")))
    a, b = [stage.claim(want=1)[0] for _ in range(2)]
    [c] = stage.turn(succeeded(a), want=1).jobs
    stage.turn(expanded(c, plan(node("x"), node("y"))))
    stage.turn(succeeded(b))
    x, y = stage.claim_named("x", "y")
    stage.turn(succeeded(x))
    assert stage.statuses(run_id)["c"] == "blocked"
    assert stage.turn(succeeded(y)).ended == [run_id]


def test_the_same_step_twice_in_one_report_counts_down_once(stage: Stage) -> None:
    stage.start(plan(node("a"), node("b"), node("c", 0, 1)))
    a, b = stage.claim_named("a", "b")
    assert stage.turn(succeeded(a), succeeded(a), want=5).jobs == []
    [c] = stage.turn(succeeded(b), want=5).jobs
    assert c.name == "c"


def test_one_run_that_is_not_plain_holds_up_no_other(stage: Stage, exchanges: list[int]) -> None:
    flow, statuses = ODD["a rule that skips"]
    odd, even = stage.start(flow), stage.start(chain(2))
    jobs = stage.claim(want=2)
    result = stage.turn(*map(succeeded, jobs), want=5)
    assert [job.name for job in result.jobs] == ["s1"]
    assert stage.statuses(odd) == statuses
    assert stage.statuses(even) == {"s0": "succeeded", "s1": "running"}
    assert result.ended == [odd]


def broken(stage: Stage, *at: int | str) -> Engine:
    """An engine whose connection breaks at this point, once it has been used."""
    faulty: Any = FaultyStore(stage.store, lose, *at)
    engine = Engine(faulty, ids=stage.engine.ids, monotonic=stage.clock.monotonic)
    engine.turn(stage.worker, TurnRequest(want=1))
    return engine


def test_steps_that_were_claimed_are_looked_at_once_more_when_their_values_could_not_be_read(stage: Stage) -> None:
    holes = (Hole((0, 0), Gather((Ref(0), Ref(1)))),)
    stage.start(plan(node("a"), node("b"), node("both", 0, 1, args="[[null],{}]", holes=holes)))
    a, b = stage.claim_named("a", "b")
    stage.turn(succeeded(a, 1))
    engine = broken(stage, "load_results")
    request = TurnRequest(outcomes=[succeeded(b, 2)], want=1)
    if stage.store.dialect == "sqlite":
        with pytest.raises(StoreUnavailableError):
            engine.turn(stage.worker, request)
        return
    [both] = engine.turn(stage.worker, request).jobs
    assert both.values == {0: "1", 1: "2"}


def test_what_was_claimed_is_kept_when_the_rest_of_a_turn_cannot_be_done(stage: Stage) -> None:
    flow, statuses = ODD["a rule that skips"]
    odd, even = stage.start(flow), stage.start(chain(2))
    outcomes = [succeeded(job) for job in stage.claim(want=2)]
    engine = broken(stage, "finish")
    request = TurnRequest(outcomes=outcomes, want=1)
    if stage.store.dialect == "sqlite":
        with pytest.raises(StoreUnavailableError):
            engine.turn(stage.worker, request)
        return
    result = engine.turn(stage.worker, request)
    assert [job.name for job in result.jobs] == ["s1"]
    left: list[Outcome] = result.outcomes
    assert (len(left), left[0].run_id, result.again) == (1, odd, True)
    with pytest.raises(StoreUnavailableError):  # it is said why when nothing else comes of a turn
        engine.turn(stage.worker, TurnRequest(outcomes=left))
    assert stage.turn(*left).refused == 0
    assert stage.statuses(odd) == statuses
    assert stage.statuses(even)["s1"] == "running"


def test_a_worker_that_comes_back_says_with_its_next_turn_that_a_run_has_begun(stage: Stage) -> None:
    run_id = stage.start(chain(3))
    begun = stage.store.now()
    result = stage.turn(want=1, comes_back=True)
    [job] = result.jobs
    status = stage.run(run_id).status
    assert (status, result.unsaid) == (("pending", True) if stage.store.dialect == "postgres" else ("running", False))
    stage.advance(0.01)
    stage.turn(succeeded(job), want=1, comes_back=True)
    assert (stage.run(run_id).status, stage.run(run_id).started_at) == ("running", begun)


def test_a_worker_with_nothing_else_to_say_says_it_too(stage: Stage) -> None:
    run_id = stage.start(chain(1))
    stage.turn(want=1, comes_back=True)
    assert stage.turn(comes_back=True).unsaid is False
    assert stage.run(run_id).status == "running"


def test_a_run_that_has_ended_meanwhile_began_with_its_step(stage: Stage) -> None:
    run_id = stage.start(chain(1))
    begun = stage.store.now()
    [job] = stage.turn(want=1, comes_back=True).jobs
    stage.advance(0.01)
    assert stage.turn(succeeded(job), comes_back=True).ended == [run_id]
    run = stage.run(run_id)
    assert (run.status, run.started_at, run.finished_at) == ("succeeded", begun, stage.store.now())


def test_what_was_left_unsaid_is_not_forgotten_when_a_turn_breaks_off(stage: Stage) -> None:
    engine = broken(stage, "finish" if stage.store.dialect == "sqlite" else "runs_begin")
    run_id = stage.start(chain(3))
    [job] = engine.turn(stage.worker, TurnRequest(want=1, comes_back=True)).jobs
    with pytest.raises(StoreUnavailableError):
        engine.turn(stage.worker, TurnRequest(outcomes=[succeeded(job)], want=1, comes_back=True))
    assert list(engine._memory.unsaid) == ([run_id] if stage.store.dialect == "postgres" else [])


def test_others_are_woken_when_more_became_ready_than_was_claimed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notification is no part of the exchange; it follows at once."""
    sent: list[str] = []
    kind: Any = SqliteTransaction if stage.store.dialect == "sqlite" else PostgresTransaction
    later = kind.later

    def heard(tx: Any, statement: str, **parameters: Any) -> Any:
        sent.append(statement)
        return later(tx, statement, **parameters)

    monkeypatch.setattr(kind, "later", heard)
    stage.start(plan(node("a"), node("b", 0), node("c", 0)))
    [job] = stage.claim()
    sent.clear()
    stage.turn(succeeded(job), want=1)
    assert "wake" in sent

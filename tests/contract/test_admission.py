"""Admission: so many runs of a workflow at once, the oldest first; nothing of the others happens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest

from segue.engine import engine
from segue.engine.debounce import DebounceTerms, NewStart, add_start, close_debounce, start_debounce
from segue.engine.limiting import admission
from segue.engine.pausing import pause_run, resume_run
from segue.engine.reopening.fork import fork_run
from segue.engine.reopening.manual import skip_step
from segue.engine.reopening.retry import retry_run
from segue.engine.sending import send_message
from segue.model import WAIT_FOR, Hook, Span, Verdict
from segue.plan.graph import Node, Plan, RunTerms
from tests.contract.limiting import define, limited, names, undefine, use
from tests.contract.stage import Stage, connect, ended, failed, node, plan, succeeded

FLOW = "workflow:flow"


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def flow(*nodes: Node, key: str | None = None, **fields: Any) -> Plan:
    return plan(*(nodes or (node("a"), node("b", 0))), terms=RunTerms(limit=use(FLOW, key)), **fields)


def live(stage: Stage, runs: list[str]) -> list[str]:
    """The runs whose steps may start."""
    return [run_id for run_id in runs if not any(step.gate == "admission" for step in stage.steps(run_id))]


def act(stage: Stage, verb: Callable[..., object], run_id: str) -> None:
    stage.engine.act(verb, run_id)


def finish(stage: Stage, run_id: str) -> None:
    """Work a run to its end."""
    worker = stage.of_run(run_id)
    jobs = stage.claim(worker)
    while jobs:
        jobs = stage.claim_after([succeeded(job) for job in jobs], worker)


def test_so_many_runs_at_once_the_oldest_first(stage: Stage) -> None:
    define(stage, FLOW, concurrency=2)
    runs = [stage.start(flow()) for _ in range(5)]
    assert live(stage, runs) == runs[:2]
    assert {str(stage.run(run_id).status) for run_id in runs} == {"pending"}
    assert {job.run_id for job in stage.claim()} == set(runs[:2])
    finish(stage, runs[3])  # which may not begin
    assert stage.run(runs[3]).status == "pending"


def test_the_end_of_a_run_admits_the_next_in_the_same_turn(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow(node("a"))) for _ in range(3)]
    [job] = stage.claim()
    assert job.run_id == runs[0]
    result = stage.turn(succeeded(job), want=1)
    job = (result.jobs or stage.turn(want=1).jobs)[0]
    assert job.run_id == runs[1]
    [job] = stage.claim_after([failed(job)])
    assert job.run_id == runs[2]


def test_each_key_has_places_of_its_own(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow(node("a"), key=key)) for key in "abab"]
    assert live(stage, runs) == runs[:2]
    [a, _] = stage.claim()
    [job] = stage.claim_after([succeeded(a)])
    assert job.run_id == runs[2]


def test_many_runs_started_together(stage: Stage) -> None:
    define(stage, FLOW, concurrency=3)
    runs = stage.engine.start([(flow(), None)] * 10)
    assert live(stage, runs) == runs[:3]


def test_a_start_said_twice_is_one_run(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    first, second = stage.start(flow(), key="k"), stage.start(flow(), key="k")
    assert first == second
    assert len(stage.claim()) == 1


def test_a_limit_that_is_not_defined_lets_all_runs_begin(stage: Stage) -> None:
    runs = [stage.start(flow()) for _ in range(3)]
    assert live(stage, runs) == runs


def test_what_a_start_could_not_admit_is_found_by_the_chore(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow(node("a"), key=f"{number:03}")) for number in range(4) for _ in range(2)]
    assert len(live(stage, runs)) == 4
    define(stage, FLOW, concurrency=2)
    assert stage.engine.admit_waiting() == 4
    assert live(stage, runs) == runs
    assert stage.engine.admit_waiting() == 0
    undefine(stage, FLOW)
    more = [stage.start(flow(node("a"))) for _ in range(3)]
    assert live(stage, more) == more


def test_joins_and_timers_wait_for_the_admission(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    join = node("join", task=None, result=Span(0, 0))
    [first, second] = [
        stage.start(flow(join, node("a", 0), node("late", delay=10.0), limited("l", "api"))) for _ in range(2)
    ]
    assert stage.statuses(second) == {"join": "blocked", "a": "blocked", "late": "ready", "l": "ready"}
    assert stage.is_sound()
    finish(stage, first)
    stage.advance(10)
    stage.turn(timers=True, heartbeat="running")
    finish(stage, first)
    assert stage.run(first).status == "succeeded"
    assert stage.statuses(second) == {"join": "succeeded", "a": "ready", "late": "ready", "l": "ready"}
    assert {step.name: step.gate for step in stage.steps(second)} == {
        "join": None, "a": None, "late": None, "l": "limit"
    }  # fmt: skip


def test_a_run_that_has_nothing_to_do_gives_its_place_to_the_next(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    first = stage.start(flow(node("a")))
    joins = [stage.start(flow(node("join", task=None, result=Span(0, 0)))) for _ in range(3)]
    last = stage.start(flow(node("a")))
    finish(stage, first)
    stage.engine.admit_waiting()
    assert [str(stage.run(run_id).status) for run_id in joins] == ["succeeded"] * 3
    assert live(stage, [last]) == [last]


def test_a_run_that_waits_may_be_cancelled(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    hook = node("cleanup", hook=Hook.FINALLY)
    runs = [stage.start(flow()), stage.start(flow()), stage.start(flow(node("a"), hook)), stage.start(flow())]
    assert stage.cancel(runs[1]) == "cancelled"
    assert stage.cancel(runs[2]) == "pending"
    jobs = stage.claim()
    assert sorted(names(jobs)) == ["a", "cleanup"]
    stage.turn(*[succeeded(job) for job in jobs])
    assert stage.run(runs[2]).status == "cancelled"
    finish(stage, runs[0])
    assert live(stage, runs[3:]) == runs[3:]


def test_a_cancel_gives_the_place_to_the_next(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow()) for _ in range(3)]
    stage.cancel(runs[0])
    assert live(stage, runs[1:]) == [runs[1]]
    [job] = stage.claim()
    stage.cancel(runs[1])
    assert live(stage, runs[2:]) == []  # it runs until it has ended
    stage.turn(ended(job, Verdict.CANCELLED))
    assert live(stage, runs[2:]) == [runs[2]]


def test_a_paused_run_keeps_its_place_and_a_waiting_one_is_passed_over(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow(node("a"))) for _ in range(3)]
    act(stage, pause_run, runs[0])
    act(stage, pause_run, runs[1])
    assert stage.claim() == []
    act(stage, resume_run, runs[0])
    [job] = stage.claim()
    [job] = stage.claim_after([succeeded(job)])
    assert job.run_id == runs[2]
    act(stage, resume_run, runs[1])
    assert stage.claim() == []
    [job] = stage.claim_after([succeeded(job)])
    assert job.run_id == runs[1]


def test_a_resume_admits_when_there_is_a_place(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow(node("a"))) for _ in range(2)]
    act(stage, pause_run, runs[1])
    finish(stage, runs[0])
    assert live(stage, runs[1:]) == []
    act(stage, resume_run, runs[1])
    assert live(stage, runs[1:]) == runs[1:]


def test_a_rescue_that_ends_a_run_admits_the_next(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow(node("a", lost_retries=0))) for _ in range(2)]
    assert len(stage.claim(stage.hire("lost"))) == 1
    stage.advance(100)
    stage.engine.rescue()
    assert stage.run(runs[0]).status == "failed"
    assert live(stage, runs) == runs


def test_a_start_in_a_transaction_of_its_callers_is_admitted_later(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    with connect(stage.store.url) as connection:
        [run_id] = stage.engine.start([(flow(node("a")), None)], connection=connection)
        connection.commit()
    assert live(stage, [run_id]) == []
    assert stage.engine.admit_waiting() == 1
    assert names(stage.claim()) == ["a"]


def test_never_more_than_there_are_places_however_many_start_and_end_at_once(stage: Stage) -> None:
    define(stage, FLOW, concurrency=2)
    workers = [stage.hire(f"w{number}") for number in range(3)]
    together = Barrier(6)
    runs: list[str] = []

    def start() -> None:
        together.wait()
        for number in range(6):
            runs.append(stage.start(flow(node("a"), key=f"{number % 2}")))

    def work(number: int) -> None:
        together.wait()
        for _ in range(25):
            jobs = stage.turn(by=workers[number], want=2).jobs
            counts = partial(stage.engine.act, lambda act: [
                act.tx.all("count_admitted", name=FLOW, key=key)[0][0] for key in "01"
            ])  # fmt: skip
            assert max(counts()) <= 2
            stage.turn(*[succeeded(job) for job in jobs], by=workers[number])

    with ThreadPoolExecutor(6) as threads:
        acts = [threads.submit(start) for _ in range(3)] + [threads.submit(work, number) for number in range(3)]
        for done in acts:
            done.result()
    stage.engine.admit_waiting()
    for _ in range(40):
        stage.turn(*[succeeded(job) for job in stage.claim()])
        stage.engine.admit_waiting()
    assert {str(stage.run(run_id).status) for run_id in runs} == {"succeeded"}


# Runs that were changed by hand ---------------------------------------------------------------------------------------


def test_a_run_that_is_retried_waits_for_a_place_again(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow(node("a"), limited("b", "api", parents=[0]))) for _ in range(2)]
    [job] = stage.claim()
    stage.turn(failed(job))
    assert live(stage, runs) == runs
    act(stage, retry_run, runs[0])
    assert live(stage, runs) == [runs[1]]
    assert stage.is_sound()
    finish(stage, runs[1])
    assert live(stage, runs) == runs
    finish(stage, runs[0])
    assert stage.run(runs[0]).status == "succeeded"


def test_a_fork_waits_for_a_place(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    first = stage.start(flow())
    finish(stage, first)
    second = stage.start(flow())
    fork = stage.engine.new_id()
    stage.engine.act(fork_run, first, new_id=fork, step="b", parameters=lambda _: None)
    assert live(stage, [fork]) == []
    finish(stage, second)
    assert live(stage, [fork]) == [fork]


def test_what_is_skipped_by_hand_in_a_run_that_waits_sets_nothing_off(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow(node("a"), node("b", 0, rule="all_done"))) for _ in range(2)]
    act(stage, partial(skip_step, step="a"), runs[1])
    assert stage.statuses(runs[1]) == {"a": "skipped", "b": "ready"}
    assert stage.step(runs[1], "b").gate == "admission"
    assert stage.is_sound()


def test_a_message_to_a_run_that_waits_again_sets_nothing_off(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    waits = node("wait", task=WAIT_FOR, args='[["ok"],{}]')
    runs = [stage.start(flow(waits, node("b", 0))), stage.start(flow(node("a")))]
    stage.cancel(runs[0])
    act(stage, retry_run, runs[0])
    assert live(stage, runs) == runs  # nothing of the first is ready; it waits for a place, and for its message
    act(stage, partial(send_message, name="ok", value="1", key="k"), runs[0])
    assert stage.step(runs[0], "b").gate == "admission"
    finish(stage, runs[1])
    finish(stage, runs[0])
    assert stage.run(runs[0]).status == "succeeded"


def test_a_debounced_run_waits_for_a_place_when_it_gets_its_steps(stage: Stage) -> None:
    define(stage, FLOW, concurrency=1)
    first = stage.start(flow(node("a"), key="x"))
    new = NewStart(stage.engine.new_id(), flow(node("a"), key="x"), "[[],{}]", False)
    terms = DebounceTerms("k", 5.0)
    late = stage.engine.act(add_start, new, terms)
    stage.advance(5)
    assert stage.engine.admit_waiting() == 0
    debounce = stage.engine.act(close_debounce, late)
    assert debounce is not None
    stage.engine.act(start_debounce, debounce, new.plan)
    assert live(stage, [late]) == []
    finish(stage, first)
    assert live(stage, [late]) == [late]
    assert names(stage.claim()) == ["a"]


def test_a_look_at_very_many_keys_takes_a_moment_and_the_next_one_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "LOOKED_AT_ONCE", 2)
    monkeypatch.setattr(engine, "_ADMISSION_MOMENT_SECONDS", 0.0)
    define(stage, FLOW, concurrency=1)
    runs = [stage.start(flow(key=f"c{number}")) for number in range(5) for _ in range(2)]
    assert live(stage, runs) == runs[::2]
    define(stage, FLOW, concurrency=2)  # nothing tells the runs that wait
    assert [stage.engine.admit_waiting() for _ in range(4)] == [2, 2, 1, 0]
    assert live(stage, runs) == runs
    assert stage.is_sound()

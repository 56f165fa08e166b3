"""Steps that wait for a message or a time: sent before, after, meanwhile; once, in order, in runs of any state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from segue.engine.sending import Sent, send_message
from segue.errors import RunNotFoundError, RunStateError
from segue.model import RUN, SLEEP, WAIT_FOR, Gate, Gather, Hole, Ref, RunStatus, Span
from segue.plan.graph import LimitTerms, LimitUse, Node, RunTerms
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded
from tests.contract.test_store_lock_order import at_once

WORKERS_TASKS = ("app.work", SLEEP)


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def wait(name: str, *parents: int, event: str = "", timeout: float | None = None, **fields: Any) -> Node:
    """A step that waits for `event` (or for its own name), with a `default=` if one is given."""
    named = {} if timeout is None else {"timeout": timeout}
    if "default" in fields:
        named["default"] = fields.pop("default")
    args = msgspec.json.encode([[event or name], named]).decode()
    return node(name, *parents, **{"task": WAIT_FOR, "args": args} | fields)


def sleep(name: str, *parents: int, seconds: float | None = None, until: str | None = None, **fields: Any) -> Node:
    args = [[], {"until": until}] if until is not None else [[seconds], {}]
    return node(name, *parents, **{"task": SLEEP, "args": msgspec.json.encode(args).decode()} | fields)


def send(stage: Stage, run_id: str, name: str, value: Any = None, *, key: str | None = None) -> Sent:
    text = msgspec.json.encode(value).decode()
    stage.sent = getattr(stage, "sent", 0) + 1
    key = key or f"the {stage.sent}th"
    return stage.engine.act(
        send_message, run_id, name=name, value=text, key=key
    )  # fmt: skip


def results(stage: Stage, run_id: str) -> dict[str, Any]:
    steps = stage.steps(run_id)
    with stage.engine.reading() as tx:
        rows = tx.all("load_results", run_id=run_id, steps=[step.step for step in steps])
    values = {number: result for number, _, result, _, _ in rows}
    return {step.name: msgspec.json.decode(values[step.step] or "null") for step in steps}


# A message and a step ------------------------------------------------------------------------------------------------


def test_a_step_waits_for_its_message_and_takes_its_value(stage: Stage) -> None:
    run_id = stage.start(plan(wait("approved"), node("b", 0), result=Ref(0)))
    step = stage.step(run_id, "approved")
    assert (step.status, step.gate, step.is_join, step.attempt) == ("ready", Gate.EVENT, False, 0)
    assert stage.run(run_id).status == RunStatus.RUNNING
    assert stage.claim() == []
    sent = send(stage, run_id, "approved", {"by": "ann"})
    assert (sent.step, sent.is_new) == ("approved", True)
    assert stage.statuses(run_id) == {"approved": "succeeded", "b": "ready"}
    stage.work()
    assert stage.result(run_id) == {"by": "ann"}


def test_a_message_that_came_before_is_taken_at_once(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), wait("approved", 0), node("b", 1)))
    assert send(stage, run_id, "approved", 1).step is None
    stage.turn(succeeded(*stage.claim()))
    assert stage.statuses(run_id) == {"a": "succeeded", "approved": "succeeded", "b": "ready"}
    assert results(stage, run_id)["approved"] == 1


def test_a_message_of_another_name_or_run_is_not_taken(stage: Stage) -> None:
    run_id, other = stage.start(plan(wait("approved"))), stage.start(plan(wait("approved")))
    send(stage, run_id, "refused")
    send(stage, other, "approved")
    assert stage.statuses(run_id) == {"approved": "ready"}
    assert stage.run(other).status == "succeeded"


def test_messages_are_taken_in_the_order_of_sending_by_the_step_that_waited_longest(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), wait("young", 0, event="go"), wait("old", event="go"), result=Span(1, 2)))
    stage.advance(1)
    stage.turn(succeeded(*stage.claim()))
    assert [send(stage, run_id, "go", number).step for number in range(2)] == ["old", "young"]
    assert stage.result(run_id) == [1, 0]
    run_id = stage.start(
        plan(node("a"), *[wait(f"w{number}", 0, event="go") for number in range(3)], result=Span(1, 3))
    )
    for number in range(3):
        send(stage, run_id, "go", number)
    stage.turn(succeeded(*stage.claim()))
    assert stage.result(run_id) == [0, 1, 2]


def test_a_message_is_taken_once_by_steps_that_begin_one_after_another(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b"), wait("first", 1, event="go"), wait("then", 0, event="go")))
    send(stage, run_id, "go", 1)
    a, b = stage.claim_named("a", "b")
    stage.turn(succeeded(b))
    stage.turn(succeeded(a))
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "succeeded", "first": "succeeded", "then": "ready"}


def test_the_same_key_is_one_message_also_when_it_was_taken_and_the_run_ended(stage: Stage) -> None:
    run_id = stage.start(plan(wait("first", event="go"), wait("second", event="go"), result=Span(0, 1)))
    assert send(stage, run_id, "go", 1, key="k").is_new
    assert send(stage, run_id, "go", 2, key="k") == Sent(run_id, "go", "first", is_new=False)
    assert stage.statuses(run_id) == {"first": "succeeded", "second": "ready"}
    send(stage, run_id, "go", 3, key="other")
    assert stage.result(run_id) == [1, 3]
    assert send(stage, run_id, "go", 4, key="k").is_new is False


def test_a_run_that_is_over_takes_no_message(stage: Stage) -> None:
    run_id = stage.start(plan(wait("approved")))
    stage.cancel(run_id)
    assert stage.statuses(run_id) == {"approved": "cancelled"}
    with pytest.raises(RunStateError, match="which cancelled"):
        send(stage, run_id, "approved")
    with pytest.raises(RunNotFoundError):
        send(stage, "019b7701-17d8-7125-b7a7-fa6e8e8c256b", "approved")


def test_two_who_send_at_once_and_a_step_that_begins_to_wait(stage: Stage) -> None:
    worker = stage.hire("worker")
    for _ in range(15):
        run_id = stage.start(plan(node("a"), wait("one", 0, event="go"), wait("two", event="go")))
        [job] = stage.claim(worker)
        at_once(
            lambda run_id=run_id: send(stage, run_id, "go", 1),
            lambda run_id=run_id: send(stage, run_id, "go", 1, key="k"),
            lambda run_id=run_id: send(stage, run_id, "go", 1, key="k"),
            lambda job=job: stage.turn(succeeded(job), by=worker),
        )
        assert stage.run(run_id).status == "succeeded"
        assert results(stage, run_id) == {"a": None, "one": 1, "two": 1}


# What a wait is told -------------------------------------------------------------------------------------------------


def test_name_and_timeout_may_be_results_of_other_steps(stage: Stage) -> None:
    holes = (Hole((0, 0), Ref(0, ("name",))), Hole((1, "default", "to"), Ref(0, ("name",))))
    asked = node("w", 0, task=WAIT_FOR, args='[[null],{"timeout":5,"default":{"to":null}}]', holes=holes)
    run_id = stage.start(plan(node("a"), asked))
    stage.turn(succeeded(*stage.claim(), {"name": "reply"}))
    assert stage.step(run_id, "w").gate == Gate.EVENT
    send(stage, run_id, "reply", "yes")
    assert results(stage, run_id)["w"] == "yes"


@pytest.mark.parametrize(
    "args, what",
    [
        ("[[7],{}]", "given the name 7"),
        ('[[""],{}]', "given the name ''"),
        ('[["a\\u0000b"],{}]', r"given the name 'a\x00b'"),  # PostgreSQL could not write it down
        ('[["x"],{"timeout":"soon"}]', "given timeout None"),
        ('[["x"],{"timeout":-1}]', "given timeout -1"),
    ],
)
def test_arguments_that_make_no_sense_fail_the_step(stage: Stage, args: str, what: str) -> None:
    run_id = stage.start(plan(node("w", task=WAIT_FOR, args=args), node("b", 0)))
    assert stage.statuses(run_id) == {"w": "failed", "b": "skipped"}
    error = stage.run(run_id).error
    assert error is not None
    assert (error.type, what in error.message) == ("SerializationError", True)


def test_a_wait_that_fails_ends_a_run_that_fails_fast(stage: Stage) -> None:
    bad = node("w", task=WAIT_FOR, args="[[7],{}]")
    run_id = stage.start(plan(bad, node("other"), node("last", hook="finally"), fail_fast=True))
    assert stage.statuses(run_id) == {"w": "failed", "other": "cancelled", "last": "ready"}
    run_id = stage.start(plan(node("w", task=WAIT_FOR, args="[[7],{}]", may_fail=True), node("other"), fail_fast=True))
    assert stage.statuses(run_id) == {"w": "failed", "other": "ready"}


def test_a_condition_is_judged_when_the_wait_would_begin(stage: Stage) -> None:
    nodes = [node("a"), wait("no", 0, when=Ref(0)), node("b", 1), wait("yes", 0, when=Ref(0, ("x",)), rule="all_done")]
    run_id = stage.start(plan(*nodes[:3]))
    stage.turn(succeeded(*stage.claim(), []))
    assert stage.statuses(run_id) == {"a": "succeeded", "no": "skipped", "b": "skipped"}
    run_id = stage.start(plan(nodes[0], wait("yes", 0, when=Ref(0))))
    stage.turn(succeeded(*stage.claim(), 1))
    assert stage.step(run_id, "yes").gate == Gate.EVENT


def test_join_rules_are_judged_as_for_any_step(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b"), wait("any", 0, 1, rule="any_failed"), wait("all", 0, 1)))
    jobs = {job.name: job for job in stage.claim()}
    stage.turn(failed(jobs["a"]))
    assert stage.statuses(run_id)["any"] == "ready"
    stage.turn(succeeded(jobs["b"]))
    assert stage.statuses(run_id) == {"a": "failed", "b": "succeeded", "any": "ready", "all": "skipped"}
    assert stage.step(run_id, "any").gate == Gate.EVENT


def test_hooks_and_returned_plans_may_wait(stage: Stage) -> None:
    told = node("told", hook="on_success", task=WAIT_FOR, args="[[null],{}]", holes=(Hole((0, 0), Ref(RUN)),))
    run_id = stage.start(plan(node("a"), told, result=Ref(0)))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(wait("inner"), result=Ref(0))))
    assert stage.step(run_id, "inner").gate == Gate.EVENT
    send(stage, run_id, "inner", "the name")
    assert stage.step(run_id, "told").gate == Gate.EVENT
    assert stage.run(run_id).ending == "succeeded"
    send(stage, run_id, "the name")
    assert stage.run(run_id).status == "succeeded"


def test_waits_that_begin_together_are_begun_together(stage: Stage) -> None:
    count = 300
    run_id = stage.start(plan(*[wait(f"w{number}") for number in range(count)], node("all", *range(count))))
    assert {step.gate for step in stage.steps(run_id)[:count]} == {Gate.EVENT}
    for number in range(count):
        assert send(stage, run_id, f"w{number}").step == f"w{number}"
    assert stage.statuses(run_id)["all"] == "ready"


# Paused, cancelled, failed fast ---------------------------------------------------------------------------------------


def test_a_message_to_a_paused_run_is_taken_and_nothing_starts(stage: Stage) -> None:
    from segue.engine.pausing import pause_run, resume_run

    nap = sleep("nap", 0, seconds=10)
    run_id = stage.start(plan(wait("approved"), node("b", 0), nap, node("late", 2)))
    stage.engine.act(pause_run, run_id)
    assert stage.step(run_id, "approved").gate == Gate.EVENT
    send(stage, run_id, "approved")
    assert {step.name: step.gate for step in stage.steps(run_id)} == {
        "approved": None, "b": Gate.PAUSED, "nap": Gate.PAUSED, "late": None
    }  # fmt: skip
    assert stage.claim() == []
    stage.engine.act(resume_run, run_id)
    assert (stage.step(run_id, "b").gate, stage.step(run_id, "nap").gate) == (None, Gate.TIMER)


def test_a_run_that_fails_fast_cancels_what_waits(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), wait("approved"), fail_fast=True))
    stage.turn(failed(*stage.claim()))
    assert stage.statuses(run_id) == {"a": "failed", "approved": "cancelled"}
    assert stage.run(run_id).status == "failed"


# Sleeping -------------------------------------------------------------------------------------------------------------


def test_a_sleep_lets_its_time_pass_and_is_then_claimed(stage: Stage) -> None:
    worker = stage.hire("sleeper", tasks=WORKERS_TASKS)
    run_id = stage.start(plan(node("a"), sleep("nap", 0, seconds=60), node("b", 1), result=Ref(1)))
    stage.turn(succeeded(*stage.claim()))
    step = stage.step(run_id, "nap")
    assert (step.status, step.gate) == ("ready", Gate.TIMER)
    stage.advance(59)
    assert stage.turn(by=worker, want=5, timers=True).timer_seconds == 1.0
    stage.advance(1)
    [nap] = stage.turn(by=worker, want=5, timers=True).jobs or stage.claim(worker)
    assert (nap.task, nap.attempt) == (SLEEP, 1)
    stage.turn(succeeded(nap), by=worker)
    assert stage.statuses(run_id) == {"a": "succeeded", "nap": "succeeded", "b": "ready"}


def test_a_sleep_whose_worker_is_lost_sleeps_no_second_time(stage: Stage) -> None:
    worker = stage.hire("sleeper", tasks=WORKERS_TASKS)
    run_id = stage.start(plan(sleep("nap", seconds=5)))
    stage.advance(5)
    stage.turn(by=worker, timers=True)
    assert len(stage.claim(worker)) == 1
    stage.advance(100)
    assert stage.engine.rescue() == 1
    assert stage.step(run_id, "nap").gate is None


@pytest.mark.parametrize("until", ["2026-01-01T00:01:00Z", "2026-01-01T02:01:00+02:00"])
def test_a_sleep_until_a_moment(stage: Stage, until: str) -> None:
    run_id = stage.start(plan(sleep("nap", until=until)))
    ready_at = stage.step(run_id, "nap").ready_at
    assert ready_at is not None
    assert ready_at.isoformat() == "2026-01-01T00:01:00+00:00"


def test_a_sleep_that_is_over_needs_no_worker(stage: Stage) -> None:
    past, none = sleep("past", until="2025-01-01T00:00:00Z"), sleep("none", 0, seconds=0)
    run_id = stage.start(plan(past, none, result=Gather((Ref(0), Ref(1)))))
    assert stage.run(run_id).status == "succeeded"
    assert stage.result(run_id) == [None, None]


@pytest.mark.parametrize(
    "args, what", [('[["x"],{}]', "given seconds None"), ('[[],{"until":"2026-01-01"}]', "given until '2026-01-01'"),
                   ('[[],{"until":"9999-12-31T23:59:59-05:00"}]', "out of range"),
                   ("[[-1],{}]", "given seconds -1"), ('[[],{"until":"2026-01-01T00:00:00"}]', "given until")],
)  # fmt: skip
def test_a_sleep_of_no_time_fails(stage: Stage, args: str, what: str) -> None:
    run_id = stage.start(plan(node("nap", task=SLEEP, args=args)))
    error = stage.run(run_id).error
    assert error is not None
    assert what in error.message


def test_a_length_that_another_step_returned_as_text(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), sleep("nap", 0, holes=(Hole((0, 0), Ref(0)),))))
    stage.turn(succeeded(*stage.claim(), "PT90S"))
    ready_at = stage.step(run_id, "nap").ready_at
    assert ready_at is not None
    assert (ready_at - stage.clock.now()).total_seconds() == 90


def test_a_sleep_with_a_delay_sleeps_behind_it(stage: Stage) -> None:
    run_id = stage.start(plan(sleep("nap", seconds=10, delay=5.0)))
    ready_at = stage.step(run_id, "nap").ready_at
    assert ready_at is not None
    assert (ready_at - stage.clock.now()).total_seconds() == 15


# Ends of runs ---------------------------------------------------------------------------------------------------------


def test_what_was_sent_goes_with_its_run(stage: Stage) -> None:
    from datetime import timedelta

    run_id = stage.start(plan(wait("approved", timeout=5)))
    send(stage, run_id, "approved")
    send_to = stage.start(plan(wait("approved", timeout=5)))
    stage.cancel(send_to)
    stage.advance(10)
    assert stage.engine.prune(older_than=timedelta(seconds=1)) == 2
    with stage.engine.reading() as tx:
        assert tx.all("next_alarm")[0][0] is None
        assert tx.all("find_message", run_id=run_id, name="approved", key="the 1th") == []


def test_runs_that_wait_for_their_place_take_what_was_sent_once_they_have_it(stage: Stage) -> None:
    one_at_a_time = plan(
        wait("go"), terms=RunTerms(limit=LimitUse("flow")), limits=(LimitTerms("flow", concurrency=1),), result=Ref(0)
    )
    first, second, third = (stage.start(one_at_a_time) for _ in range(3))
    assert [stage.statuses(run_id)["go"] for run_id in (first, second, third)] == ["ready", "blocked", "blocked"]
    assert send(stage, second, "go", 2).step is None
    send(stage, first, "go", 1)
    assert [stage.run(run_id).status for run_id in (first, second)] == ["succeeded", "succeeded"]
    assert stage.result(second) == 2
    assert stage.step(third, "go").gate == Gate.EVENT

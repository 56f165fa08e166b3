"""Steps at an executor that is polled: what the dispatcher does, whatever the platform does, on a scripted one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from segue.dispatcher.dispatcher import CHORES_SECONDS, Dispatcher
from segue.dispatcher.protocol import Cause, Phase, Push, Submission, id_of_name
from segue.dispatcher.service import Dispatchers
from segue.engine import pushing
from segue.engine.control import cancel_run
from segue.engine.limiting.limits import set_limit
from segue.engine.pausing import pause_run, resume_run
from segue.engine.platforms import list_executors
from segue.engine.reopening.retry import retry_run
from segue.engine.views.explain import explain
from segue.engine.views.look import list_steps, run_info
from segue.engine.views.why_pushed import hint_of, why_blind
from segue.model import ErrorInfo, Gather, Hole, Hook, Outcome, Policy, Ref, Value, Verdict
from segue.payloads.files import FilePayloads
from segue.payloads.keeping import Payloads
from segue.plan.graph import LimitTerms, Node, Plan
from segue.testing import Answer, ScriptedPlatform
from segue.testing.scripted_platform import QUICK
from tests.contract.stage import TASK, Stage


@pytest.fixture
def stage(renewed_stage: Stage) -> Iterator[Stage]:
    yield renewed_stage
    assert renewed_stage.engine.broken_invariants() == []


@pytest.fixture
def far() -> ScriptedPlatform:
    return ScriptedPlatform("far")


def pushed(name: str, *parents: int, **fields: Any) -> Node:
    return Node(name, "work", queue="@far", executor="far", parents=parents, **fields)


def flow(*nodes: Node) -> Plan:
    return Plan("flow", nodes or (pushed("a"),))


def dispatcher_of(stage: Stage, far: ScriptedPlatform) -> Dispatcher:
    return Dispatcher(stage.engine, far, monotonic=stage.clock.monotonic)


def settle(stage: Stage, dispatcher: Dispatcher, *, seconds: float = 0.0) -> None:
    """Rounds until nothing moves; then let time pass, and once more."""
    for _ in range(20):
        if not dispatcher.run_once():
            break
    if seconds:
        stage.advance(seconds)
        settle(stage, dispatcher)


def test_a_step_is_submitted_followed_and_recorded(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a", spec='{"options":{"partition":"short"}}')))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    assert (job.push.attempt, job.spec) == ((run_id, 0, 1), '{"options":{"partition":"short"}}')
    assert (stage.step(run_id, "a").status, stage.step(run_id, "a").handle) == ("sent", job.id)
    far.begin(job)
    settle(stage, dispatcher)
    assert (stage.step(run_id, "a").status, stage.step(run_id, "a").worker_id) == ("running", None)
    far.succeed(job, "42")
    settle(stage, dispatcher)
    assert (stage.step(run_id, "a").status, stage.run(run_id).status) == ("succeeded", "succeeded")
    assert far.submitted == [(run_id, 0, 1)]


def test_a_job_has_the_results_of_earlier_steps(stage: Stage, far: ScriptedPlatform) -> None:
    holes = (Hole((0, 0), Gather((Ref(0), Ref(1)))),)
    run_id = stage.start(flow(pushed("a"), pushed("b"), pushed("c", 0, 1, args="[[null],{}]", holes=holes)))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    for job in far.alive():
        far.succeed(job, f'"{job.job.name}"')
    settle(stage, dispatcher)
    [last] = far.alive()
    assert last.job.values == {0: '"a"', 1: '"b"'}
    far.succeed(last)
    settle(stage, dispatcher)
    assert stage.run(run_id).status == "succeeded"


def test_own_steps_and_pushed_ones_alternate(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(Node("own", TASK), pushed("a", 0), Node("then", TASK, parents=(1,))))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    assert far.jobs == {}
    [own] = stage.claim()
    stage.turn(Outcome(run_id, own.step, own.attempt, Verdict.SUCCEEDED, "1"))
    assert stage.claim() == []
    settle(stage, dispatcher)
    far.succeed(far.alive()[0])
    settle(stage, dispatcher)
    assert [job.name for job in stage.claim()] == ["then"]


@pytest.mark.parametrize(
    "answer, calls",
    [(Answer.LOSES_THE_REPLY, 1), (Answer.LOSES_THE_CALL, 2), (Answer.IS_BUSY, 2)],
)
def test_a_submission_that_fails_is_made_good(stage: Stage, far: ScriptedPlatform, answer: Answer, calls: int) -> None:
    far.answers.append(answer)
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    settle(stage, dispatcher, seconds=11)
    assert (len(far.submitted), len(far.alive())) == (calls, 1)
    far.succeed(far.alive()[0])
    settle(stage, dispatcher)
    assert (stage.run(run_id).status, stage.step(run_id, "a").attempt) == ("succeeded", 1)


def test_nothing_is_submitted_again_before_it_was_searched_for(stage: Stage, far: ScriptedPlatform) -> None:
    far.answers.append(Answer.LOSES_THE_REPLY)
    stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    far.is_away = True
    settle(stage, dispatcher, seconds=1000)
    assert len(far.submitted) == 1
    far.is_away = False
    settle(stage, dispatcher, seconds=1000)
    assert (len(far.submitted), len(far.alive())) == (1, 1)


def test_a_refused_push_fails_the_step_at_once(stage: Stage, far: ScriptedPlatform) -> None:
    far.answers.append(Answer.REFUSES)
    run_id = stage.start(flow(pushed("a", policy=Policy(retries=3))))
    settle(stage, dispatcher_of(stage, far))
    step = stage.step(run_id, "a")
    assert (step.status, step.error.type, step.failures) == ("failed", "PushRefusedError", 1)
    assert "no such partition" in step.error.message


def test_a_job_that_arrives_late_is_ended_as_a_stray(stage: Stage, far: ScriptedPlatform) -> None:
    far.answers.append(Answer.IS_SLOW)
    stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    settle(stage, dispatcher, seconds=11)
    [accepted] = far.alive()
    far.arrive()
    settle(stage, dispatcher, seconds=CHORES_SECONDS + 1)
    [stray] = [job for job in far.alive() if job.id != accepted.id]
    assert far.cancelled == [(stray.id, True)]


def test_of_two_jobs_the_one_that_began_is_followed(stage: Stage, far: ScriptedPlatform) -> None:
    far.answers.append(Answer.IS_SLOW)
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    settle(stage, dispatcher, seconds=11)
    [second] = far.alive()
    far.arrive()
    [first] = [job for job in far.alive() if job.id != second.id]
    far.begin(first)
    far.set(second, phase=Phase.ENDED, held_by=first.id)
    settle(stage, dispatcher, seconds=CHORES_SECONDS + 1)
    assert (stage.step(run_id, "a").handle, far.cancelled) == (first.id, [])
    far.succeed(first)
    settle(stage, dispatcher)
    assert (stage.run(run_id).status, stage.step(run_id, "a").attempt) == ("succeeded", 1)


def test_jobs_of_another_database_are_no_strays(stage: Stage, far: ScriptedPlatform) -> None:
    stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    other = job._replace(id="77", push=Push(stage.engine.new_id(), ("x", 0, 1)))
    far.jobs[other.id] = other
    settle(stage, dispatcher, seconds=CHORES_SECONDS + 1)
    assert far.cancelled == []


@pytest.mark.parametrize(
    "cause, kind, loses",
    [
        (Cause.OUT_OF_MEMORY, "OutOfMemoryError", False),
        (Cause.TIMEOUT, "TimeoutError", False),
        (Cause.SIGNAL, "ProcessDiedError", False),
        (Cause.EXIT, "ProcessDiedError", False),
        (Cause.CONFIG, "PushRefusedError", False),
        (Cause.LOST, "worker_lost", True),
        (Cause.CANCELLED, "worker_lost", True),
    ],
)
def test_a_job_that_ended_without_an_outcome(
    stage: Stage, far: ScriptedPlatform, cause: Cause, kind: str, loses: bool
) -> None:
    run_id = stage.start(flow(pushed("a", policy=Policy(lost_retries=1))))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    for _ in range(2 if loses else 1):
        far.end(far.alive()[0], cause, exit_code=-9, reason="WHY")
        settle(stage, dispatcher)
    step = stage.step(run_id, "a")
    assert (step.status, step.error.type, step.losses) == ("failed", kind, 2 if loses else 0)
    assert "WHY" in step.error.message


def test_what_the_process_wrote_counts_before_what_the_platform_says(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    far.leave(job, Outcome(*job.push.attempt, Verdict.FAILED, error=ErrorInfo("ValueError", "of the task")))
    far.end(job, Cause.EXIT, exit_code=1)
    settle(stage, dispatcher)
    assert stage.step(run_id, "a").error.type == "ValueError"


def test_an_outcome_of_another_attempt_is_recorded_for_its_own(stage: Stage, far: ScriptedPlatform) -> None:
    """Whatever the file in a spool says about itself, the push decides whose outcome it is."""
    run_id, other = stage.start(flow()), stage.start(flow(Node("own", TASK)))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    far.leave(job, Outcome(other, 0, 1, Verdict.SUCCEEDED, "1"))
    far.end(job, Cause.EXIT, exit_code=0)
    settle(stage, dispatcher)
    assert (stage.run(run_id).status, stage.step(other, "own").status) == ("succeeded", "ready")


def test_tries_are_counted_by_segue(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a", policy=Policy(retries=1, retry_delay=1.0, retry_jitter=0.0))))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    far.end(far.alive()[0], Cause.EXIT, exit_code=3)
    settle(stage, dispatcher)
    assert far.alive() == []
    settle(stage, dispatcher, seconds=2)
    [again] = far.alive()
    assert again.push.attempt == (run_id, 0, 2)
    far.succeed(again)
    settle(stage, dispatcher)
    assert stage.run(run_id).status == "succeeded"


def test_a_job_that_the_platform_forgot_is_lost_only_after_a_while(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    del far.jobs[job.id]
    settle(stage, dispatcher, seconds=10)
    assert stage.step(run_id, "a").status == "sent"
    settle(stage, dispatcher, seconds=30)
    assert (stage.step(run_id, "a").losses, len(far.submitted)) == (1, 2)


def test_a_job_that_the_platform_forgot_and_showed_again_goes_on(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    for _ in range(3):
        del far.jobs[job.id]
        settle(stage, dispatcher, seconds=15)
        far.jobs[job.id] = job
        settle(stage, dispatcher, seconds=15)
    assert (stage.step(run_id, "a").losses, far.submitted) == (0, [(run_id, 0, 1)])


def test_a_job_that_the_platform_forgot_may_have_left_its_outcome(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    far.succeed(job)
    del far.jobs[job.id]
    settle(stage, dispatcher)
    assert stage.run(run_id).status == "succeeded"


def test_an_outcome_may_be_seen_later_than_the_end(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    far.end(job, Cause.EXIT, exit_code=0)
    settle(stage, dispatcher, seconds=10)
    assert "its outcome was not there yet" in explained(stage, run_id)["sent"]
    far.leave(job, Outcome(*job.push.attempt, Verdict.SUCCEEDED, "1"))
    settle(stage, dispatcher)
    assert stage.run(run_id).status == "succeeded"


def test_an_outcome_that_never_comes_is_missed_after_a_while(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    far.end(far.alive()[0], Cause.EXIT, exit_code=0)
    settle(stage, dispatcher, seconds=21)
    settle(stage, dispatcher)
    assert stage.step(run_id, "a").error.type == "ProcessDiedError"


def test_a_limit_of_the_queue_bounds_what_is_outside(stage: Stage, far: ScriptedPlatform) -> None:
    stage.engine.act(set_limit, terms=LimitTerms("queue:@far", concurrency=2))
    run_id = stage.start(flow(*(pushed(f"s{number}") for number in range(5))))
    dispatcher = dispatcher_of(stage, far)
    most = 0
    for _ in range(30):
        settle(stage, dispatcher)
        most = max(most, len(far.alive()))
        for job in far.alive():
            far.succeed(job)
        stage.advance(1)
        if stage.run(run_id).status.is_final:
            break
    assert (stage.run(run_id).status, most) == ("succeeded", 2)


def test_nothing_changes_while_the_platform_does_not_answer(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    far.is_away = True
    settle(stage, dispatcher, seconds=10_000)
    assert dispatcher.blind_since is not None
    assert (stage.step(run_id, "a").status, stage.step(run_id, "a").attempt) == ("sent", 1)
    far.is_away = False
    far.succeed(far.alive()[0])
    settle(stage, dispatcher)
    assert (stage.run(run_id).status, dispatcher.blind_since) == ("succeeded", None)


# Commands, and what they get ------------------------------------------------------------------------------------------


def test_a_command_that_was_seen_running_is_judged_by_its_exit_code(stage: Stage, far: ScriptedPlatform) -> None:
    args = '[[],{"command":"exit 3","values":{},"result":"exit","check":false}]'
    command = Node("a", "segue.shell", queue="@far", executor="far", args=args)
    run_id = stage.start(Plan("flow", (command,), result=Ref(0)))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    far.begin(job)
    settle(stage, dispatcher)
    far.end(job, Cause.EXIT, exit_code=3)
    settle(stage, dispatcher)
    assert stage.run(run_id).status == "succeeded"
    assert stage.result(run_id) == {"exit_code": 3, "output": "the last line\n"}


@pytest.mark.parametrize("spec, counted", [('{"resources":{"memory":"1GiB","memory_factor":2.0}}', 2), ("{}", 0)])
def test_earlier_attempts_that_ran_out_of_memory_are_counted(
    stage: Stage, far: ScriptedPlatform, spec: str, counted: int
) -> None:
    stage.start(flow(pushed("a", spec=spec, policy=Policy(retries=5, retry_delay=0.0))))
    dispatcher = dispatcher_of(stage, far)
    for cause in (Cause.OUT_OF_MEMORY, Cause.SIGNAL, Cause.OUT_OF_MEMORY):
        settle(stage, dispatcher)
        far.end(far.alive()[0], cause, exit_code=-9)
    settle(stage, dispatcher)
    assert far.alive()[0].out_of_memory == counted


def test_values_in_a_payload_store_go_along_complete(stage: Stage, far: ScriptedPlatform, tmp_path: Path) -> None:
    """And while the store is away, the step waits."""
    store = FilePayloads(str(tmp_path / "store"))
    payloads = Payloads(store)
    holes = (Hole((0, 0), Ref(0)),)
    run_id = stage.start(flow(Node("own", TASK), pushed("a", 0, args="[[null],{}]", holes=holes)))
    [own] = stage.claim()
    stage.turn(Outcome(run_id, own.step, own.attempt, Verdict.SUCCEEDED, payloads.keep('"long"')))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    assert (far.jobs, "no payload store" in explained(stage, run_id)["sent"]) == ({}, True)
    stage.engine.payloads = payloads
    settle(stage, dispatcher, seconds=31)
    stage.engine.payloads = None
    assert far.alive()[0].job.values == {0: '"long"'}


# What other processes hear of the platform ----------------------------------------------------------------------------


def test_other_processes_hear_that_the_platform_is_silent_or_busy(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    far.answers.append(Answer.IS_BUSY)
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    with stage.engine.reading() as tx:
        assert "taken nothing" in why(tx, stage, run_id)["executor_busy"]
    settle(stage, dispatcher, seconds=11)
    far.is_away = True
    settle(stage, dispatcher, seconds=300)
    with stage.engine.reading() as tx:
        [found] = list_executors(tx, prefix=stage.engine.prefix)
    assert (found.name, found.kind, found.open, found.busy_since) == ("far", "ScriptedPlatform", {"queued": 1}, None)
    assert found.blind_since is not None
    stage.advance(1200)
    with stage.engine.reading() as tx:
        assert (
            "has not answered for 25 min 00 s (the platform does not answer)"
            in why(tx, stage, run_id)["executor_blind"]
        )
    far.is_away = False
    settle(stage, dispatcher)
    with stage.engine.reading() as tx:
        [found] = list_executors(tx, prefix=stage.engine.prefix)
    assert (found.blind_since, found.problem, found.looked_at) == (None, None, stage.clock.now())


@pytest.mark.parametrize(
    "reason, hint",
    [
        ("ImagePullBackOff: Back-off pulling image", "its image cannot be fetched"),
        ("Unschedulable: 0/3 nodes are available: insufficient cpu", "ask for less"),
        ("AssocMaxJobsLimit", "quota"),
        ("Priority", ""),
        (None, ""),
    ],
)
def test_hints(reason: str | None, hint: str) -> None:
    assert hint in hint_of(reason)
    assert bool(hint) == bool(hint_of(reason))


# Cancel and pause -----------------------------------------------------------------------------------------------------


def test_a_cancel_asks_until_the_platform_says_that_it_ended(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    far.begin(job)
    settle(stage, dispatcher)
    stage.cancel(run_id)
    settle(stage, dispatcher)
    assert (stage.step(run_id, "a").status, far.cancelled) == ("running", [(job.id, False)])
    settle(stage, dispatcher, seconds=11)
    assert far.cancelled == [(job.id, False), (job.id, True)]
    far.end(job, Cause.CANCELLED)
    settle(stage, dispatcher)
    assert (stage.step(run_id, "a").status, stage.run(run_id).status) == ("cancelled", "cancelled")


def test_a_task_that_completes_in_spite_of_a_cancel_has_succeeded(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    stage.cancel(run_id)
    settle(stage, dispatcher)
    far.succeed(far.alive()[0])
    settle(stage, dispatcher)
    assert stage.step(run_id, "a").status == "succeeded"


def test_what_has_not_left_is_cancelled_without_the_platform(stage: Stage, far: ScriptedPlatform) -> None:
    far.answers += [Answer.IS_BUSY] * 2
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    stage.cancel(run_id)
    settle(stage, dispatcher)
    assert (stage.run(run_id).status, far.jobs, far.cancelled) == ("cancelled", {}, [])


def test_a_push_that_may_exist_is_searched_for_before_its_cancel_ends(stage: Stage, far: ScriptedPlatform) -> None:
    far.answers.append(Answer.LOSES_THE_REPLY)
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    stage.cancel(run_id)
    settle(stage, dispatcher)
    assert stage.step(run_id, "a").status == "sent"
    settle(stage, dispatcher, seconds=11)
    [job] = far.alive()
    assert far.cancelled == [(job.id, False)]
    far.end(job, Cause.CANCELLED)
    settle(stage, dispatcher)
    assert stage.run(run_id).status == "cancelled"


def test_in_a_paused_run_nothing_leaves_and_what_is_outside_goes_on(stage: Stage, far: ScriptedPlatform) -> None:
    far.answers += [Answer.ACCEPTS, Answer.IS_BUSY]
    run_id = stage.start(flow(pushed("a"), pushed("b"), pushed("c", 0)))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    stage.engine.act(pause_run, run_id)
    settle(stage, dispatcher, seconds=60)
    [job] = far.alive()
    far.begin(job)
    far.succeed(job)
    settle(stage, dispatcher, seconds=60)
    assert [stage.step(run_id, name).status for name in "abc"] == ["succeeded", "ready", "ready"]
    assert len(far.jobs) == 1
    stage.engine.act(resume_run, run_id)
    settle(stage, dispatcher)
    for left in far.alive():
        far.succeed(left)
    settle(stage, dispatcher)
    assert stage.run(run_id).status == "succeeded"


def test_finalizers_of_a_cancelled_run_are_pushed(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a"), Node("end", "work", queue="@far", executor="far", hook=Hook.FINALLY)))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    stage.engine.act(cancel_run, run_id)
    settle(stage, dispatcher)
    far.end(far.alive()[0], Cause.CANCELLED)
    settle(stage, dispatcher)
    [last] = far.alive()
    assert last.job.name == "end"
    far.succeed(last)
    settle(stage, dispatcher)
    assert stage.run(run_id).status == "cancelled"


# Several, and none ----------------------------------------------------------------------------------------------------


def test_two_dispatchers_submit_each_step_once(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(*(pushed(f"s{number}") for number in range(20))))
    first, second = dispatcher_of(stage, far), dispatcher_of(stage, far)
    for _ in range(3):
        first.run_once()
        second.run_once()
    assert sorted(far.submitted) == [(run_id, number, 1) for number in range(20)]
    for job in far.alive():
        far.succeed(job)
    for _ in range(3):
        second.run_once()
        first.run_once()
    assert stage.run(run_id).status == "succeeded"


def test_only_one_of_two_dispatchers_may_submit(stage: Stage, far: ScriptedPlatform) -> None:
    """Both have read that a push is due; and what is searched for is searched for by one."""
    stage.start(flow())
    dispatcher_of(stage, far)._record([], [])
    act, now = stage.engine.act, stage.clock.now
    with stage.engine.reading() as tx:
        [push] = pushing.due_pushes(tx, "far", now())
    assert [act(pushing.take, push, seconds=5) is None for _ in range(2)] == [False, True]
    stage.advance(6)
    with stage.engine.reading() as tx:
        unsure = pushing.unsure_pushes(tx, "far", now())
    assert [len(act(pushing.search, unsure, seconds=5)) for _ in range(2)] == [1, 0]
    taken = unsure[0]
    assert [act(pushing.accept, taken, id_) for id_ in ("7", "8")] == [True, False]
    assert not act(pushing.plan_again, taken, seconds=0)
    assert [len(act(pushing.note_cancel, [taken], seconds=5)) for _ in range(2)] == [1, 0]


def test_jobs_that_ended_while_no_dispatcher_was_there_are_recorded(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(*(pushed(f"s{number}") for number in range(50))))
    settle(stage, dispatcher_of(stage, far))
    for job in far.alive():
        far.succeed(job)
    stage.advance(600)
    stage.engine.rescue()
    assert stage.step(run_id, "s0").status == "sent"
    settle(stage, dispatcher_of(stage, far))
    assert stage.run(run_id).status == "succeeded"


def test_no_worker_and_no_rescue_touches_what_is_outside(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    far.begin(far.alive()[0])
    settle(stage, dispatcher)
    stage.advance(100_000)
    stage.engine.rescue()
    assert stage.claim() == []
    assert (stage.step(run_id, "a").status, stage.step(run_id, "a").losses) == ("running", 0)


def test_the_window_bounds_what_is_outside(stage: Stage) -> None:
    far = ScriptedPlatform("far", pace=replace(QUICK, window=50))
    run_id = stage.start(flow(*(pushed(f"s{number}") for number in range(300))))
    dispatcher = dispatcher_of(stage, far)
    for _ in range(10):
        dispatcher._record([], [])
        stage.advance(1)
    assert 0 < sum(step.status == "sent" for step in stage.steps(run_id)) <= 150


def test_another_executor_whose_name_goes_on_gets_its_own_steps_only(stage: Stage, far: ScriptedPlatform) -> None:
    stage.start(flow(pushed("a"), Node("b", "work", queue="@far2", executor="far2")))
    settle(stage, dispatcher_of(stage, far))
    assert [job.job.name for job in far.alive()] == ["a"]


def test_a_step_whose_condition_is_false_is_skipped_without_a_push(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a", when=Value(msgspec.Raw(b"false"))), pushed("b", 0)))
    settle(stage, dispatcher_of(stage, far))
    assert (stage.step(run_id, "a").status, far.jobs) == ("skipped", {})


def test_what_a_dispatcher_forgot_to_skip_is_found_by_the_next(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a", when=Value(msgspec.Raw(b"false")))))
    dispatcher = dispatcher_of(stage, far)
    dispatcher._record([], [])  # and it dies
    assert stage.step(run_id, "a").status == "sent"
    stage.advance(301)
    settle(stage, dispatcher_of(stage, far))
    assert stage.step(run_id, "a").status == "skipped"


def test_what_is_left_outside_is_removed_after_a_while(stage: Stage, far: ScriptedPlatform) -> None:
    stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    far.succeed(job)
    settle(stage, dispatcher)
    assert far.cleaned == set()
    settle(stage, dispatcher, seconds=2 * CHORES_SECONDS)
    assert far.cleaned == {job.push.id}


def test_a_retried_run_is_pushed_again(stage: Stage, far: ScriptedPlatform) -> None:
    far.answers.append(Answer.REFUSES)
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    assert stage.run(run_id).status == "failed"
    stage.engine.act(retry_run, run_id)
    settle(stage, dispatcher)
    far.succeed(far.alive()[0])
    settle(stage, dispatcher)
    assert (stage.run(run_id).status, stage.step(run_id, "a").attempt) == ("succeeded", 2)


# Explained ------------------------------------------------------------------------------------------------------------


def why(tx: Any, stage: Stage, run_id: str) -> dict[str, str]:
    """With a live dispatcher, as far as the database knows."""
    [step] = list_steps(tx, run_id)
    return {reason.code: reason.text for reason in why_blind(tx, run_info(tx, run_id), step, stage.clock.now())}


def explained(stage: Stage, run_id: str) -> dict[str, str]:
    with stage.engine.reading() as tx:
        return {reason.code: reason.text for reason in explain(tx, run_id, stage.clock.now())}


def test_each_wait_has_a_sentence(stage: Stage, far: ScriptedPlatform) -> None:
    far.answers += [Answer.IS_BUSY, Answer.LOSES_THE_REPLY]
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    assert "segue dispatcher" in explained(stage, run_id)["no_dispatcher"]
    settle(stage, dispatcher)
    assert "was not taken by 'far' yet: the quota is used up" in explained(stage, run_id)["sent"]
    settle(stage, dispatcher, seconds=10)
    assert "no answer came: the reply was lost" in explained(stage, run_id)["sent"]
    settle(stage, dispatcher, seconds=11)
    [job] = far.alive()
    far.set(job, reason="Priority")
    settle(stage, dispatcher)
    assert "waits as job 1 of 'far'" in explained(stage, run_id)["sent"]
    assert ": Priority" in explained(stage, run_id)["sent"]
    far.begin(job)
    settle(stage, dispatcher)
    assert "has run as job 1 of 'far' on node1" in explained(stage, run_id)["running"]
    stage.cancel(run_id)
    assert "asked to end" in explained(stage, run_id)["running"]
    del far.jobs[job.id]
    settle(stage, dispatcher)
    assert "has not known" in explained(stage, run_id)["running"]


def test_a_live_dispatcher_is_named_by_its_absence_alone(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    identity = stage.hire("dispatcher", queues=("@far",))
    stage.engine.unregister(identity)
    assert "no_dispatcher" in explained(stage, run_id)
    service = Dispatchers(stage.engine, [far])
    service._say_alive()
    assert "no_dispatcher" not in explained(stage, run_id)
    assert "next round" in explained(stage, run_id)["to_be_sent"]


def test_names_outside_are_made_of_ids_alone() -> None:
    push = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", ("r", 0, 1))
    assert (len(push.name), push.name.islower(), push.name.replace("-", "").isalnum()) == (32, True, True)
    assert id_of_name(push.name) == push.id
    assert id_of_name("segue-of-somebody-else") is None


class Slow(ScriptedPlatform):
    """One whose submissions return only when three of them are under way."""

    def __init__(self) -> None:
        super().__init__("far", pace=replace(QUICK, side_by_side=3))
        self.together = threading.Barrier(3, timeout=20)
        self.lock = threading.Lock()

    def submit(self, submission: Submission) -> str:
        self.together.wait()
        with self.lock:
            return super().submit(submission)


def test_submissions_go_side_by_side_and_each_has_its_own_answer(stage: Stage) -> None:
    far = Slow()
    far.answers.extend([Answer.IS_BUSY, Answer.LOSES_THE_REPLY, Answer.ACCEPTS])
    run_id = stage.start(flow(*(pushed(f"s{number}") for number in range(6))))
    dispatcher_of(stage, far).run_once()
    assert len(far.jobs) == 5
    with stage.engine.reading() as tx:
        states = sorted(state for _, state in filter(None, (pushing.push_of(tx, (run_id, n, 1)) for n in range(6))))
    assert states == ["accepted"] * 4 + ["planned", "unsure"]

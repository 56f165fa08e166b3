"""Pushes that are submitted together, on a scripted platform with arrays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.dispatcher.dispatcher import CHORES_SECONDS, Dispatcher
from segue.dispatcher.protocol import Phase, Push, id_of_name, name_of_id
from segue.engine.control import cancel_run
from segue.engine.pausing import pause_run, resume_run
from segue.model import ErrorInfo, Outcome, Policy, Verdict
from segue.plan.graph import Node, Plan
from segue.testing import Answer, ScriptedArrays
from tests.contract.stage import Stage


@pytest.fixture
def stage(renewed_stage: Stage) -> Iterator[Stage]:
    yield renewed_stage
    assert renewed_stage.engine.broken_invariants() == []


@pytest.fixture
def far() -> ScriptedArrays:
    return ScriptedArrays("far")


def flow(steps: int, spec: str | None = None, **fields: object) -> Plan:
    nodes = tuple(Node(f"n{number}", "work", queue="@far", executor="far", spec=spec, **fields)  # type: ignore[arg-type]
                  for number in range(steps))  # fmt: skip
    return Plan("flow", nodes)


def dispatcher_of(stage: Stage, far: ScriptedArrays) -> Dispatcher:
    return Dispatcher(stage.engine, far, monotonic=stage.clock.monotonic)


def settle(stage: Stage, dispatcher: Dispatcher, *, seconds: float = 0.0) -> None:
    for _ in range(20):
        if not dispatcher.run_once():
            break
    if seconds:
        stage.advance(seconds)
        settle(stage, dispatcher)


def succeed_all(far: ScriptedArrays) -> None:
    for job in far.alive():
        far.succeed(job, str(job.push.attempt[1]))


def statuses(stage: Stage, run_id: str) -> set[tuple[str, int, int]]:
    return {(str(step.status), step.attempt, step.losses) for step in stage.steps(run_id)}


def test_steps_of_one_shape_are_one_array(stage: Stage, far: ScriptedArrays) -> None:
    runs = [stage.start(flow(3)), stage.start(flow(3, '{"options":{"partition":"long"}}')), stage.start(flow(2))]
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    assert sorted(far.arrays) == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert [stage.step(runs[1], f"n{number}").handle for number in range(3)] == [
        job.id for job in sorted(far.alive(), key=lambda job: job.push.attempt) if job.push.attempt[0] == runs[1]
    ]
    for job in far.alive():
        far.begin(job)
    settle(stage, dispatcher)
    assert statuses(stage, runs[0]) == {("running", 1, 0)}
    succeed_all(far)
    settle(stage, dispatcher)
    assert {str(stage.run(run_id).status) for run_id in runs} == {"succeeded"}


def test_what_has_no_shape_and_what_is_left_over_goes_alone(stage: Stage, far: ScriptedArrays) -> None:
    stage.start(flow(2, '{"options":{"alone":1}}'))
    stage.start(flow(1))
    settle(stage, dispatcher_of(stage, far))
    assert (far.arrays, len(far.alive()), {job.push.batch for job in far.alive()}) == ([], 3, {None})


def test_an_array_is_as_large_as_the_platform_allows(stage: Stage, far: ScriptedArrays) -> None:
    far.most = 4
    stage.start(flow(10))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    assert [len(places) for places in far.arrays] == [4, 4, 2]
    assert len({job.push.batch for job in far.alive()}) == 3


@pytest.mark.parametrize("answer, calls", [(Answer.LOSES_THE_REPLY, 1), (Answer.LOSES_THE_CALL, 2)])
def test_an_array_whose_answer_was_lost(stage: Stage, far: ScriptedArrays, answer: Answer, calls: int) -> None:
    far.answers.append(answer)
    run_id = stage.start(flow(5))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    settle(stage, dispatcher, seconds=11)
    assert far.arrays == [[0, 1, 2, 3, 4]] * calls
    assert len({job.push.batch for job in far.alive()}) == 1
    succeed_all(far)
    settle(stage, dispatcher)
    assert statuses(stage, run_id) == {("succeeded", 1, 0)}


def test_an_array_that_arrives_late_is_known_by_its_name_and_ended(stage: Stage, far: ScriptedArrays) -> None:
    """The second one has the same batch and places, so the first is found to be one too many."""
    far.answers.append(Answer.IS_SLOW)
    run_id = stage.start(flow(3))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    settle(stage, dispatcher, seconds=11)
    second = {job.id for job in far.alive()}
    far.arrive()
    first = {job.id for job in far.alive()} - second
    settle(stage, dispatcher, seconds=CHORES_SECONDS + 1)
    assert sorted(far.cancelled) == sorted((job_id, True) for job_id in first)
    assert len(first) == 3
    for job_id in first:
        far.set(far.jobs[job_id], phase=Phase.ENDED)
    succeed_all(far)
    settle(stage, dispatcher)
    assert statuses(stage, run_id) == {("succeeded", 1, 0)}


def test_arrays_of_another_database_are_no_strays(stage: Stage, far: ScriptedArrays) -> None:
    stage.start(flow(2))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    other = Push(stage.engine.new_id(), ("x", 0, 1), "9_0", stage.engine.new_id(), 0)
    far.jobs["9_0"] = far.alive()[0]._replace(id="9_0", push=other)
    settle(stage, dispatcher, seconds=CHORES_SECONDS + 1)
    assert far.cancelled == []


def test_a_platform_without_room_gets_half(stage: Stage, far: ScriptedArrays) -> None:
    far.answers += [Answer.IS_BUSY, Answer.ACCEPTS]
    run_id = stage.start(flow(8))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    assert far.arrays == [list(range(8)), list(range(4))]
    settle(stage, dispatcher, seconds=11)
    assert far.arrays[2:] == [[4, 5, 6, 7]]
    assert len({job.push.batch for job in far.alive()}) == 1
    assert statuses(stage, run_id) == {("sent", 1, 0)}


def test_an_array_that_is_too_large_by_now_ends_as_jobs_alone(stage: Stage, far: ScriptedArrays) -> None:
    """Even if the platform takes no arrays any more."""
    stage.start(flow(4))
    dispatcher = dispatcher_of(stage, far)
    far.on_call = lambda _: setattr(far, "most", 1)
    settle(stage, dispatcher)
    settle(stage, dispatcher, seconds=1)
    assert sorted(job.push.place or 0 for job in far.alive()) == [0, 1, 2, 3]
    assert len({job.push.batch for job in far.alive()}) == 1


def test_a_refused_array_fails_all_of_its_steps(stage: Stage, far: ScriptedArrays) -> None:
    far.answers.append(Answer.REFUSES)
    run_id = stage.start(flow(3, policy=Policy(retries=2)))
    settle(stage, dispatcher_of(stage, far))
    assert {(step.error.type, step.failures) for step in stage.steps(run_id)} == {("PushRefusedError", 1)}


def test_steps_that_are_paused_before_they_leave_are_left_out(stage: Stage, far: ScriptedArrays) -> None:
    paused, other = stage.start(flow(2)), stage.start(flow(2))
    dispatcher = dispatcher_of(stage, far)
    dispatcher._record([], [])  # planned, and not submitted
    stage.engine.act(pause_run, paused)
    settle(stage, dispatcher)
    assert {job.push.attempt[0] for job in far.alive()} == {other}
    stage.engine.act(resume_run, paused)
    settle(stage, dispatcher)
    assert len(far.alive()) == 4


def test_one_of_an_array_is_cancelled_and_one_fails(stage: Stage, far: ScriptedArrays) -> None:
    runs = [stage.start(flow(1, policy=Policy(retries=1, retry_delay=0.0, retry_jitter=0.0))) for _ in range(3)]
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    by_run = {job.push.attempt[0]: job for job in far.alive()}
    stage.engine.act(cancel_run, runs[0])
    settle(stage, dispatcher)
    assert far.cancelled == [(by_run[runs[0]].id, False)]
    far.set(by_run[runs[0]], phase=Phase.ENDED)
    failed = Outcome(runs[1], 0, 1, Verdict.FAILED, error=ErrorInfo("ValueError", "no"))
    far.leave(by_run[runs[1]], failed)
    far.set(by_run[runs[1]], phase=Phase.ENDED, exit_code=0)
    settle(stage, dispatcher, seconds=1)
    again = [job for job in far.alive() if job.push.attempt == (runs[1], 0, 2)]
    assert (len(again), again[0].push.batch) == (1, None)
    succeed_all(far)
    settle(stage, dispatcher)
    assert [str(stage.run(run_id).status) for run_id in runs] == ["cancelled", "succeeded", "succeeded"]


def test_what_an_array_left_is_removed_when_all_of_it_has_ended(stage: Stage, far: ScriptedArrays) -> None:
    stage.start(flow(3))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [first, *others] = far.alive()
    far.succeed(first)
    settle(stage, dispatcher, seconds=200)
    assert far.cleaned == set()
    for job in others:
        far.succeed(job)
    settle(stage, dispatcher)
    settle(stage, dispatcher, seconds=200)
    assert far.cleaned == {job.push.id for job in [first, *others]}


def test_two_dispatchers_submit_each_step_once(stage: Stage, far: ScriptedArrays) -> None:
    run_id = stage.start(flow(6))
    first, second = dispatcher_of(stage, far), dispatcher_of(stage, far)
    first._record([], [])
    far.on_call = lambda what: second.run_once() and None if what == "submit" else None
    first.run_once()
    far.on_call = lambda _: None
    assert sorted(far.submitted) == [(run_id, number, 1) for number in range(6)]
    succeed_all(far)
    settle(stage, first)
    assert statuses(stage, run_id) == {("succeeded", 1, 0)}


def test_the_name_of_a_batch_leads_back_to_it() -> None:
    id_ = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
    assert id_of_name(name_of_id(id_)) == id_

"""A dispatcher dies at every point of everything that it does, and the next one continues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import product

import pytest

from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.protocol import Phase
from segue.engine.engine import Engine
from segue.errors import StoreError
from segue.plan.graph import Node, Plan
from segue.testing import ScriptedArrays, ScriptedPlatform
from tests.contract.stage import Stage
from tests.crash.faults import COMMITTED, Died, FaultyStore, die, lose
from tests.thorough import IS_THOROUGH

STRIDE = 15
MOST_ROUNDS = 200
CALLS = ("submit", "submitted", "find", "look", "collect", "cancel")


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def node(name: str, *parents: int) -> Node:
    return Node(name, "work", queue="@far", executor="far", parents=parents)


FLOW = Plan("flow", (node("a"), node("b"), node("c", 0, 1)))


def play(far: ScriptedPlatform) -> None:
    """Each job goes one step further."""
    for job in far.alive():
        if job.phase is Phase.QUEUED:
            far.begin(job)
        else:
            far.succeed(job, "1")


def drive(stage: Stage, store: object, far: ScriptedPlatform, run_id: str) -> None:
    """A dispatcher that works until the run is over, or it dies."""
    engine = Engine(store, monotonic=stage.clock.monotonic)  # type: ignore[arg-type]
    dispatcher = Dispatcher(engine, far, monotonic=stage.clock.monotonic)
    for _ in range(MOST_ROUNDS):
        if stage.run(run_id).status.is_final:
            return
        dispatcher.run_once()
        play(far)
        stage.advance(1)
    raise AssertionError("the run does not end")


def finish_and_check(stage: Stage, far: ScriptedPlatform, run_id: str) -> None:
    """The next dispatcher ends the run; no job exists twice, and no try was counted that was none."""
    drive(stage, stage.store, far, run_id)
    steps = stage.steps(run_id)
    assert [(step.status, step.attempt, step.losses, step.failures) for step in steps] == [("succeeded", 1, 0, 0)] * 3
    assert sorted(job.push.attempt for job in far.jobs.values()) == [(run_id, number, 1) for number in range(3)]
    assert stage.engine.broken_invariants() == []


def points(stage: Stage, make: type[ScriptedPlatform] = ScriptedPlatform) -> list[str]:
    counting = FaultyStore(stage.store)
    run_id = stage.start(FLOW)
    drive(stage, counting, make(), run_id)
    assert counting.points.count(COMMITTED) > 10
    return counting.points


@pytest.mark.parametrize("strike", [die, lose])
def test_a_dispatcher_dies_or_loses_the_database_at_any_point(stage: Stage, strike: object) -> None:
    found = points(stage)
    for number, point in enumerate(found, 1):
        if not (IS_THOROUGH or point == COMMITTED or number % STRIDE == 0):
            continue
        far = ScriptedPlatform()
        run_id = stage.start(FLOW)
        with suppress(Died, StoreError):
            drive(stage, FaultyStore(stage.store, strike, number), far, run_id)  # type: ignore[arg-type]
        finish_and_check(stage, far, run_id)


def test_a_dispatcher_of_arrays_dies_after_any_commit(stage: Stage) -> None:
    found = points(stage, ScriptedArrays)
    for number, point in enumerate(found, 1):
        if not (IS_THOROUGH or point == COMMITTED):
            continue
        far = ScriptedArrays()
        run_id = stage.start(FLOW)
        with suppress(Died):
            drive(stage, FaultyStore(stage.store, die, number), far, run_id)
        finish_and_check(stage, far, run_id)


@pytest.mark.parametrize("call", CALLS)
def test_a_dispatcher_dies_in_any_call_of_the_platform(stage: Stage, call: str) -> None:
    for number, make in product((1, 2, 3), (ScriptedPlatform, ScriptedArrays)):
        far = make()
        run_id = stage.start(FLOW)
        left = [number]

        def strike(what: str, left: list[int] = left) -> None:
            left[0] -= what == call
            if what == call and left[0] == 0:
                raise Died

        far.on_call = strike
        try:
            drive(stage, stage.store, far, run_id)
        except Died:
            far.on_call = lambda _: None
        finish_and_check(stage, far, run_id)

"""A process dies, or loses its connection, at every point of what it does while a subscription waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segue.engine.control import cancel_run
from segue.engine.engine import Engine
from segue.engine.subscriptions import NOTIFICATION, put_subscription
from segue.engine.turn_request import TurnRequest
from segue.errors import StoreError
from segue.model import RUN, Hole, Job, Ref
from segue.plan.graph import Node, Plan
from tests.contract.stage import TASK, Stage, connect, failed, node, plan, succeeded
from tests.crash.faults import Died, FaultyStore, die, lose

TARGET = Plan(NOTIFICATION, (Node("tell", TASK, args="[[null],{}]", holes=(Hole((0, 0), Ref(RUN)),)),), Ref(0))


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    stage = Stage(database_url)
    stage.engine.act(
        put_subscription, "sub", events=["run.*", "step.failed"], workflow=None, target=TARGET
    )  # fmt: skip
    stage.engine.watch.forget()
    yield stage
    assert stage.is_sound()
    stage.close()


def told(stage: Stage, run_id: str, kind: str) -> int:
    """How many notifications of this event there are."""
    with connect(stage.store.url) as connection:
        return int(
            connection.execute(
                f"SELECT count(*) FROM segue_steps WHERE name = 'tell' AND args LIKE '%\"{kind}\"%{run_id}%'"
            ).fetchone()[0]
        )


def every_point(
    stage: Stage, act: Callable[[Engine, str, Job], object], happened: Callable[[str], bool], kind: str
) -> Iterator[str]:
    """Have `act` struck at each of its points; what happened is told, what did not is not, and once when said again."""
    for strike in (lose, die):
        number = 0
        while True:
            number += 1
            run_id = stage.start(plan(node("a"), node("b")))
            job = next(job for job in stage.claim() if job.run_id == run_id and job.name == "a")
            faulty = FaultyStore(stage.store, strike, number)
            stage.advance(1)
            try:
                act(Engine(faulty, ids=stage.engine.ids), run_id, job)
            except (Died, StoreError):
                assert told(stage, run_id, kind) == happened(run_id)
                stage.advance(1)
                act(stage.engine, run_id, job)
            assert told(stage, run_id, kind) == 1
            yield run_id
            if not faulty.has_struck:
                assert number > 3
                break


@pytest.mark.parametrize("outcome", [succeeded, failed])
def test_the_end_of_a_run_and_its_notification_are_there_together(stage: Stage, outcome: Callable[[Job], Any]) -> None:
    def end(engine: Engine, run_id: str, job: Job) -> None:
        other = Job(run_id, 1, 1, "b", TASK, "", None, {}, None)
        engine.turn(stage.worker, TurnRequest(outcomes=[succeeded(other), outcome(job)], want=3))

    def has_ended(run_id: str) -> bool:
        return stage.run(run_id).status.is_final

    kind = "run.succeeded" if outcome is succeeded else "run.failed"
    for run_id in every_point(stage, end, has_ended, kind):
        assert told(stage, run_id, "step.failed") == (outcome is failed)


def test_what_a_person_did_and_its_notification_are_there_together(stage: Stage) -> None:
    def cancel(engine: Engine, run_id: str, _: Job) -> None:
        engine.act(cancel_run, run_id)

    def is_ending(run_id: str) -> bool:
        return stage.run(run_id).ending is not None

    for run_id in every_point(stage, cancel, is_ending, "run.cancel_requested"):
        assert told(stage, run_id, "run.cancelled") == 0

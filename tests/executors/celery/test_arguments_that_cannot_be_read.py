"""A step whose arguments no message can carry fails, in words, and holds up no other message."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import redis
from celery import chain

from segue.executors.celery import plan_of
from segue.executors.celery.door import door_of
from segue.executors.celery.repairing import repair
from segue.model import Hole, Ref, RunStatus, StepStatus
from segue.plan.frames import framed
from segue.plan.graph import Plan
from tests.executors.celery.conftest import Project, Staged

SECONDS = 60
SEALED = framed("sealed", "[1]")
VALUE = {"$segue.sealed": [{"$segue.x": 1, "\\u0024segue.y": '{"\\u0024segue.z":1}'}]}


def with_first(plan: Plan, **changes: Any) -> Plan:
    """The plan with changes to its first step."""
    return msgspec.structs.replace(plan, nodes=(msgspec.structs.replace(plan.nodes[0], **changes), *plan.nodes[1:]))


def test_a_message_carries_the_users_value(project: Project) -> None:
    same = project.app.tasks["same"]
    run = project.segue.start(chain(same.s(VALUE), same.s(), same.s()))
    assert run.wait(timeout=SECONDS).result() == VALUE
    run = project.segue.start(chain(same.si(value=[VALUE]), same.s()))
    assert run.wait(timeout=SECONDS).result() == [VALUE]


def test_a_step_that_no_message_can_carry_fails_and_holds_up_no_other(staged: Staged) -> None:
    project = staged.project
    engine, same = project.segue.engine, project.app.tasks["same"]
    framed_argument = with_first(plan_of(chain(same.s(1), same.s())), args=f"[[{SEALED}],{{}}]")
    lost_path = with_first(plan_of(same.s(1)), holes=(Hole((0, 0), Ref(0, ("gone",))),))
    sound = plan_of(same.s(1))
    ids = engine.start([(plan, None) for plan in (framed_argument, lost_path, sound)])
    door_of(project.app).exchange([])
    runs = [project.segue.get(id_) for id_ in ids]
    assert [run.status for run in runs] == [RunStatus.FAILED, RunStatus.FAILED, RunStatus.PENDING]
    for run, said in zip(runs, ("newer version", "gone"), strict=False):
        step = run.steps()[0]
        assert step.status is StepStatus.FAILED
        assert step.error is not None
        assert step.error.type == "SerializationError"
        assert said in step.error.message
    assert redis.Redis.from_url(f"{staged.broker}/0").llen("celery") == 1
    staged.worker()
    assert runs[2].wait(timeout=SECONDS).result() == 1


@pytest.mark.parametrize("spec", ['{"error":', "{", "[1]", '"is_inline"', '{"is_generated"}'])
def test_a_step_whose_options_are_damaged_fails_and_holds_up_no_other(staged: Staged, spec: str) -> None:
    project, same = staged.project, staged.project.app.tasks["same"]
    broker = redis.Redis.from_url(f"{staged.broker}/0")
    runs = [project.segue.start(chain(same.si(number), same.s())) for number in range(3)]
    broker.delete("celery")
    with project.segue.engine.store.transaction() as tx:
        tx.all("change_step", run_id=runs[1].id, step=0, args="[[1],{}]", spec=spec)
        late = project.segue.engine.store.now() - timedelta(hours=1)
        for run in runs:
            tx.all("renew_sent", run_id=run.id, step=0, attempt=1, sent_until=late)
    assert repair(door_of(project.app)) == 3
    assert [run.status for run in runs] == [RunStatus.PENDING, RunStatus.FAILED, RunStatus.PENDING]
    assert broker.llen("celery") == 2

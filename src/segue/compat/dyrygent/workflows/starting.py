"""From a workflow to a run: one step for each node, and the task "workflow-processor" when all of them have ended."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature
from msgspec import structs

from segue.compat.dyrygent.workflows.ticks import RUN_NAME
from segue.executors.celery.door import door_of
from segue.executors.celery.graphs import Placed, plan_of_graph
from segue.model import Hook
from segue.plan.graph import RunTerms

if TYPE_CHECKING:
    from segue.compat.dyrygent.workflows.node import WorkflowNode
    from segue.compat.dyrygent.workflows.workflow import Workflow

_AT_THE_BEGINNING = ("after_active_tick", "on_state_change")


def start(workflow: Workflow, processor: Signature) -> str:
    """Start the workflow, once under its id, and return the id of its run."""
    door = door_of(processor.app)
    nodes = [node for node in workflow.in_order() if not workflow.finished.get(str(node.id))]
    numbers: dict[str, int] = {}
    calls: list[Placed] = []
    first: tuple[int, ...] = ()
    if any(workflow.hooks[name] for name in _AT_THE_BEGINNING):
        first = (0,)
        begin = processor.clone().set(task_id=None, **workflow.workflow_options)
        calls.append(Placed(begin.apply_async))
    for node in nodes:
        parents = tuple(numbers[id_] for id_ in node.dependencies if id_ in numbers)
        numbers[str(node.id)] = len(calls)
        calls.append(Placed(_call(node, workflow), parents or first, metadata=node.custom_payload))
    calls.append(Placed(partial(processor.apply_async, **workflow.workflow_options), hook=Hook.FINALLY))
    plan = plan_of_graph(door, RUN_NAME, calls)
    terms = RunTerms(deadline=float(workflow.max_processing_time))
    [run_id] = door.engine.start([(structs.replace(plan, terms=terms), str(workflow.id))])
    return run_id


def _call(node: WorkflowNode, workflow: Workflow) -> Any:
    return partial(node.signature.apply_async, **workflow.tasks_options)

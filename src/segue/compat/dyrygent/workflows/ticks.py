"""The signal `after_active_tick`: a task has succeeded, and others were sent because of it.

Nothing ticks here. The process that records the success looks whether it let something begin. It observes, so a signal
may be lost when that process dies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segue.engine.views import look
from segue.executors.celery.codec import loads
from segue.executors.celery.door import door_of
from segue.model import StepStatus
from segue.observing.observers import Event, on
from segue.store.protocol import Transaction

if TYPE_CHECKING:
    from segue.compat.dyrygent.workflows.workflow import Workflow

RUN_NAME = "dyrygent"
_BEGUN = frozenset({StepStatus.READY, StepStatus.SENT, StepStatus.RUNNING, StepStatus.SUCCEEDED, StepStatus.FAILED})
_PAGE = 1000
_watched: set[type] = set()


def watch_ticks(kind: type[Workflow]) -> None:
    """Emit the signal of this class in this process from now on; once."""
    if kind in _watched:
        return
    _watched.add(kind)

    def ticked(event: Event) -> None:
        task = kind.workflow_processor_task
        if event.workflow != RUN_NAME or task is None or event.run_id is None or event.step is None:
            return
        with door_of(task.app).engine.reading() as tx:
            workflow = _workflow(tx, kind, event.run_id, str(event.key), task.name)
            is_active = workflow is not None and _let_begin(tx, event.run_id, event.step, workflow)
        if workflow is not None and is_active:
            workflow.state = "RUNNING"
            workflow.emit("after_active_tick")

    on("step.succeeded")(ticked)


def note_finished(tx: Transaction, run_id: str, workflow: Workflow) -> None:
    """Write into the object which of its tasks have ended, and how."""
    after = -1
    while steps := look.list_steps(tx, run_id, after=after, limit=_PAGE):
        for step in steps:
            if step.handle in workflow.nodes and step.status in (StepStatus.SUCCEEDED, StepStatus.FAILED):
                workflow.finished[step.handle] = step.status is StepStatus.SUCCEEDED
        after = steps[-1].step


def _workflow(tx: Transaction, kind: type[Workflow], run_id: str, id_: str, task: str) -> Workflow | None:
    """The workflow of a run, which the step that ends it has among its arguments."""
    for name in (task, f"{task}[1]"):
        for step in look.list_steps(tx, run_id, name=name):
            if step.handle == id_:
                arguments: Any = loads(tx.all("step_arguments", run_id=run_id, step=step.step)[0][4])
                workflow = kind.from_dict(arguments[1]["workflow_dict"])
                note_finished(tx, run_id, workflow)
                return workflow
    return None


def _let_begin(tx: Transaction, run_id: str, number: int, workflow: Workflow) -> bool:
    [step] = look.list_steps(tx, run_id, after=number - 1, limit=1)
    if step.handle not in workflow.nodes:
        return False
    below = [look.list_steps(tx, run_id, after=child - 1, limit=1)[0] for child in step.children if child >= 0]
    return any(each.handle in workflow.nodes and each.status in _BEGUN for each in below)

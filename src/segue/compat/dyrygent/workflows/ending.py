"""What the task "workflow-processor" does at the beginning and at the end: it calls the handlers of signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segue.compat.dyrygent.workflows.ticks import note_finished
from segue.engine.alarms import DEADLINE_EXCEEDED
from segue.engine.views import look
from segue.executors.celery.door import door_of
from segue.executors.celery.publish import header_of

if TYPE_CHECKING:
    from segue.compat.dyrygent.workflows.workflow import Workflow


def begun(workflow: Workflow) -> None:
    """The first tasks are about to be sent."""
    workflow.set_state("RUNNING")
    workflow.emit("after_active_tick")


def ended(workflow: Workflow, request: Any) -> bool:
    """Everything has ended. Returns False if that was because its time was over."""
    workflow.state = "RUNNING"
    header = header_of(vars(request))
    if header is None:  # applied by hand
        return True
    engine = door_of(workflow.workflow_processor_task.app).engine
    with engine.reading() as tx:
        info = look.run_info(tx, header.attempt[0])
        note_finished(tx, info.id, workflow)
    is_late = info.error is not None and info.error.type == DEADLINE_EXCEEDED
    workflow.set_state("ERROR" if is_late else "SUCCESS" if workflow.is_success() else "FAILURE")
    workflow.emit("on_finish")
    return not is_late

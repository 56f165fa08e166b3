"""`register_workflow_processor`: the task that ends a workflow, and tells its state to handlers of signals."""

from __future__ import annotations

from typing import Any

from celery import Celery

from segue.compat.dyrygent.workflows import Workflow, WorkflowException
from segue.compat.dyrygent.workflows.ending import begun, ended

NAME = "workflow-processor"


def register_workflow_processor(app: Celery, **decorator_kws: Any) -> Any:
    """Register the task "workflow-processor" with the app, and return it. Keywords are options of a Celery task.

    Call it where the app is made, and connect the app to a database there::

        app = Celery("shop", broker="redis://localhost")
        install(app, Segue("postgresql://localhost/shop"))
        register_workflow_processor(app)
    """
    options = {"name": NAME, "max_retries": 1, "shared": False, **decorator_kws, "bind": True}
    task = app.task(**options)(workflow_processor)
    Workflow.set_workflow_processor_task(task)
    return task


def workflow_processor(self: Any, workflow_dict: dict[str, Any]) -> None:
    """The first and the last step of a workflow. Raises WorkflowException when its time is over."""
    workflow = Workflow.from_dict(workflow_dict)
    if self.request.id != workflow.id:
        begun(workflow)
    elif not ended(workflow, self.request):
        raise WorkflowException("Workflow is processed for too long")

"""`Workflow`, `WorkflowNode`, `WorkflowException`."""

from segue.compat.dyrygent.workflows.node import WorkflowException, WorkflowNode
from segue.compat.dyrygent.workflows.workflow import Workflow, WorkflowState

__all__ = ["Workflow", "WorkflowException", "WorkflowNode", "WorkflowState"]

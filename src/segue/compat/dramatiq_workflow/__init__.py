"""dramatiq-workflow's names on Segue: chains and groups of messages, without barriers and without the rest of the graph
in every message.

from segue.compat.dramatiq_workflow import Chain, Group, WithDelay, Workflow, WorkflowMiddleware

A workflow becomes a run. The next message is sent by the process that recorded the end of the one before; a group is
counted in the database, so it may take days.
"""

from segue.compat.dramatiq_workflow._barrier import AtMostOnceBarrier
from segue.compat.dramatiq_workflow._base import Workflow
from segue.compat.dramatiq_workflow._middleware import WorkflowMiddleware
from segue.compat.dramatiq_workflow._models import (
    Chain,
    Group,
    LazyWorkflow,
    Message,
    SerializedCompletionCallback,
    SerializedCompletionCallbacks,
    WithDelay,
    WorkflowType,
    walk_messages,
)
from segue.compat.dramatiq_workflow._storage import (
    CallbackStorage,
    DedupWorkflowCallbackStorage,
    InlineCallbackStorage,
)

__all__ = [
    "AtMostOnceBarrier",
    "CallbackStorage",
    "Chain",
    "DedupWorkflowCallbackStorage",
    "Group",
    "InlineCallbackStorage",
    "LazyWorkflow",
    "Message",
    "SerializedCompletionCallback",
    "SerializedCompletionCallbacks",
    "WithDelay",
    "Workflow",
    "WorkflowMiddleware",
    "WorkflowType",
    "walk_messages",
]

"""How work is written: tasks, workflows, chains, groups, and what a running task may ask.

Everything here describes. Importing a module full of tasks connects to nothing and starts nothing.
"""

from segue.authoring import builtin as _builtin  # noqa: F401 - registers the tasks that every worker knows
from segue.authoring.command import ShellError, shell
from segue.authoring.compose import Chain, Element, Group, Signature, chain, group
from segue.authoring.context import Cancelled, Context, NoStepError, current, progress, use
from segue.authoring.handle import Handle
from segue.authoring.limits import Limit
from segue.authoring.notify import notify
from segue.authoring.registry import find_task, find_workflow, tasks, workflows
from segue.authoring.schedule import Schedule
from segue.authoring.task import Task, is_retryable, task
from segue.authoring.values import decode, decode_arguments, decode_result, encode
from segue.authoring.waiting import sleep, wait_for
from segue.authoring.webhook import webhook
from segue.authoring.workflow import Workflow, WorkflowSignature, is_plan, to_plan, workflow

__all__ = [
    "Cancelled",
    "Chain",
    "Context",
    "Element",
    "Group",
    "Handle",
    "Limit",
    "NoStepError",
    "Schedule",
    "ShellError",
    "Signature",
    "Task",
    "Workflow",
    "WorkflowSignature",
    "chain",
    "current",
    "decode",
    "decode_arguments",
    "decode_result",
    "encode",
    "find_task",
    "find_workflow",
    "group",
    "is_plan",
    "is_retryable",
    "notify",
    "progress",
    "shell",
    "sleep",
    "task",
    "tasks",
    "to_plan",
    "use",
    "wait_for",
    "webhook",
    "workflow",
    "workflows",
]

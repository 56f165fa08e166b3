"""How users write work: tasks, workflows, chains, groups, and the functions that a running task may call.

Everything here only describes. Importing a module full of tasks connects to nothing and starts nothing.
"""

from segue.authoring import builtin as _builtin  # noqa: F401 - registers the tasks that every worker knows
from segue.authoring import bulk as _bulk  # noqa: F401 - the same
from segue.authoring.checkpoint import checkpoint
from segue.authoring.command import ShellError, shell
from segue.authoring.compose import Chain, Element, Group, Signature, chain, group
from segue.authoring.container import ContainerError, container
from segue.authoring.context import Cancelled, Context, NoStepError, current, progress, use
from segue.authoring.declared import declared_limits, find_task, find_workflow, tasks, workflows
from segue.authoring.definition import Composition
from segue.authoring.handle import Handle
from segue.authoring.limits import Limit
from segue.authoring.notify import notify
from segue.authoring.outcome import Outcome, OutcomeError
from segue.authoring.planning import is_plan, register_planner, to_plan
from segue.authoring.run_outcome import RunOutcome
from segue.authoring.schedule import Schedule
from segue.authoring.secret import Secret
from segue.authoring.task import Task, is_retryable, task
from segue.authoring.values import decode, decode_arguments, decode_result, encode
from segue.authoring.waiting import sleep, wait_for
from segue.authoring.webhook import webhook
from segue.authoring.workflow import Workflow, WorkflowSignature, workflow

__all__ = [
    "Cancelled",
    "Chain",
    "Composition",
    "ContainerError",
    "Context",
    "Element",
    "Group",
    "Handle",
    "Limit",
    "NoStepError",
    "Outcome",
    "OutcomeError",
    "RunOutcome",
    "Schedule",
    "Secret",
    "ShellError",
    "Signature",
    "Task",
    "Workflow",
    "WorkflowSignature",
    "chain",
    "checkpoint",
    "container",
    "current",
    "declared_limits",
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
    "register_planner",
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

"""What a workflow is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dramatiq

from segue.executors.dramatiq import Chain, Group, WithDelay

Message = dramatiq.Message
WorkflowType = Message | Chain | Group | WithDelay

LazyWorkflow = Callable[[], dict[str, Any]]
SerializedCompletionCallback = tuple[str, dict[str, Any] | LazyWorkflow | None, bool]
SerializedCompletionCallbacks = list[SerializedCompletionCallback]


def walk_messages(workflow: Any) -> Iterator[Any]:
    """The messages of a workflow, as they are written. Raises TypeError for anything else in it."""
    if isinstance(workflow, Message):
        yield workflow
    elif isinstance(workflow, WithDelay):
        yield from walk_messages(workflow.task)
    elif isinstance(workflow, (Chain, Group)):
        for task in workflow.tasks:
            yield from walk_messages(task)
    else:
        raise unsupported(workflow)


def unsupported(workflow: object) -> TypeError:
    """The error for what no workflow is made of."""
    return TypeError(f"Unsupported workflow type: {type(workflow)}")


__all__ = [
    "Chain",
    "Group",
    "LazyWorkflow",
    "Message",
    "SerializedCompletionCallback",
    "SerializedCompletionCallbacks",
    "WithDelay",
    "WorkflowType",
    "unsupported",
    "walk_messages",
]

"""Workflows as dicts, and back."""

from __future__ import annotations

from typing import Any

from segue.compat.dramatiq_workflow._models import Chain, Group, Message, WithDelay, unsupported


def serialize_workflow(workflow: Any) -> dict[str, Any] | None:
    """A workflow as a dict that JSON can hold, if its arguments are JSON. None for None."""
    if workflow is None:
        return None
    if isinstance(workflow, Message):
        return {"__type__": "message", **workflow.asdict()}
    if isinstance(workflow, WithDelay):
        return {"__type__": "with_delay", "delay": workflow.delay, "task": serialize_workflow(workflow.task)}
    if isinstance(workflow, (Chain, Group)):
        kind = "chain" if isinstance(workflow, Chain) else "group"
        return {"__type__": kind, "children": [serialize_workflow(task) for task in workflow.tasks]}
    raise unsupported(workflow)


def unserialize_workflow(workflow: Any) -> Any:
    """The workflow of such a dict, or of a function that returns one. Raises ValueError for None."""
    found = unserialize_workflow_or_none(workflow)
    if found is None:
        raise ValueError("Cannot unserialize a workflow that resolves to None")
    return found


def unserialize_workflow_or_none(workflow: Any) -> Any:
    """The same; None for None."""
    found = workflow() if callable(workflow) else workflow
    if found is None:
        return None
    if not isinstance(found, dict):
        raise TypeError(f"Unsupported data type: {type(found)}")
    fields = dict(found)
    kind = fields.pop("__type__", None)
    match kind:
        case "message":
            return Message(**fields)
        case "chain" | "group":
            tasks = [unserialize_workflow(child) for child in fields["children"]]
            return Chain(*tasks) if kind == "chain" else Group(*tasks)
        case "with_delay":
            return WithDelay(unserialize_workflow(fields["task"]), delay=fields["delay"])
    raise TypeError(f"Unsupported workflow type: {kind}")

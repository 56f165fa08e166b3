"""Segue: durable workflows of background tasks, all state in one SQL database.

Example::

    from segue import Segue, task, workflow

    @task(retries=3)
    def count(path: str) -> int: ...

    @task
    def total(counts: list[int]) -> int: ...

    @workflow
    def census(paths: list[str]) -> int:
        return total(count.map(paths))

    print(Segue("sqlite:///segue.db").run(census, ["a.txt", "b.txt"]))
"""

from segue import errors
from segue.authoring import (
    Context,
    Handle,
    Limit,
    Schedule,
    Signature,
    Task,
    Workflow,
    chain,
    current,
    group,
    notify,
    progress,
    shell,
    sleep,
    task,
    wait_for,
    webhook,
    workflow,
)
from segue.client import Debounce, Run, Segue, StepHandle
from segue.errors import Abort, Retry, Skip
from segue.observing.observers import Event, on
from segue.version import __version__

__all__ = [
    "Abort",
    "Context",
    "Debounce",
    "Event",
    "Handle",
    "Limit",
    "Retry",
    "Run",
    "Schedule",
    "Segue",
    "Signature",
    "Skip",
    "StepHandle",
    "Task",
    "Workflow",
    "__version__",
    "chain",
    "current",
    "errors",
    "group",
    "notify",
    "on",
    "progress",
    "shell",
    "sleep",
    "task",
    "wait_for",
    "webhook",
    "workflow",
]

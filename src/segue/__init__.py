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
    Signature,
    Task,
    Workflow,
    chain,
    current,
    group,
    progress,
    shell,
    task,
    workflow,
)
from segue.client import Run, Segue
from segue.errors import Abort, Retry, Skip
from segue.version import __version__

__all__ = [
    "Abort",
    "Context",
    "Handle",
    "Retry",
    "Run",
    "Segue",
    "Signature",
    "Skip",
    "Task",
    "Workflow",
    "__version__",
    "chain",
    "current",
    "errors",
    "group",
    "progress",
    "shell",
    "task",
    "workflow",
]

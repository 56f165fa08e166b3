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

Modules that only define tasks never pay for the engine: what is in `segue.client` is imported when it is first used.
"""

from typing import TYPE_CHECKING

from segue import errors
from segue.authoring import (
    Context,
    Handle,
    Limit,
    Outcome,
    RunOutcome,
    Schedule,
    Secret,
    Signature,
    Task,
    Workflow,
    chain,
    checkpoint,
    container,
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
from segue.authoring.elsewhere import unknown as _unknown
from segue.authoring.middleware import Ended, Middleware, add_middleware
from segue.errors import Abort, Retry, Skip
from segue.observing.observers import Event, on
from segue.plan.pushed import Resources
from segue.version import __version__

if TYPE_CHECKING:
    from segue.client import Debounce, Run, Segue, StepHandle
    from segue.client.asynchronous import AsyncRun, AsyncSegue

__all__ = [
    "Abort",
    "AsyncRun",
    "AsyncSegue",
    "Context",
    "Debounce",
    "Ended",
    "Event",
    "Handle",
    "Limit",
    "Middleware",
    "Outcome",
    "Resources",
    "Retry",
    "Run",
    "RunOutcome",
    "Schedule",
    "Secret",
    "Segue",
    "Signature",
    "Skip",
    "StepHandle",
    "Task",
    "Workflow",
    "__version__",
    "add_middleware",
    "chain",
    "checkpoint",
    "container",
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

_OF_THE_CLIENT = ("Debounce", "Run", "Segue", "StepHandle")
_ASYNCHRONOUS = ("AsyncRun", "AsyncSegue")

if not TYPE_CHECKING:  # a type checker would take any name for one of this module's

    def __getattr__(name):
        if name in _ASYNCHRONOUS:
            from segue.client import asynchronous  # noqa: PLC0415 - needs asyncio, which takes milliseconds

            return getattr(asynchronous, name)
        if name not in _OF_THE_CLIENT:
            raise _unknown(name, __all__)
        from segue import client  # noqa: PLC0415 - takes half of the time that `import segue` would

        globals().update({known: getattr(client, known) for known in _OF_THE_CLIENT})
        return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_OF_THE_CLIENT, *_ASYNCHRONOUS})

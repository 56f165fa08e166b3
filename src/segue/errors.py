"""Every error that Segue raises, in one tree under `SegueError`.

Each also inherits the builtin that a caller would expect, and its message says what was asked, what was found and what
to do. `Retry`, `Skip` and `Abort` are not errors: a task raises them to say how its attempt ends.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class SegueError(Exception):
    """The root of all errors of Segue."""


class ConfigError(SegueError, ValueError):
    """A setting (URL, option, environment variable) is missing or makes no sense."""


class DefinitionError(SegueError, TypeError):
    """A task or workflow is written in a way that cannot work."""


class UnknownTaskError(SegueError, LookupError):
    """A task or workflow name that no imported module defines."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a plan: where, what, and how to mend it."""

    node: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.node}: {self.what}. {self.remedy}"


class PlanError(SegueError, ValueError):
    """A plan cannot be run. `problems` lists everything that is wrong with it at once."""

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        self.name = name
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{name} cannot be run, {count} problem{'s' if count != 1 else ''}:\n{lines}")


class SerializationError(SegueError, TypeError):
    """A value cannot be written as JSON, or read back as the type that an annotation names."""


class ResultTooLargeError(SegueError, ValueError):
    """A result is larger than the limit; store it elsewhere and return where it is."""


class RunNotFoundError(SegueError, LookupError):
    """No run has this id."""


class StepNotFoundError(SegueError, LookupError):
    """The run has no step of this name or number."""


class SubscriptionNotFoundError(SegueError, LookupError):
    """No subscription has this name."""


class ScheduleNotFoundError(SegueError, LookupError):
    """There is no schedule of this name."""


class NotFinishedError(SegueError, RuntimeError):
    """The run has no result yet."""


class RunFailedError(SegueError, RuntimeError):
    """The run failed or was cancelled, so it has no result; the message names the step and its error."""


class RunStateError(SegueError, RuntimeError):
    """What was asked cannot be done to a run, or a step, that is in this state."""


class WaitTimeoutError(SegueError, TimeoutError):
    """The run did not end within the time given."""


class DeliveryError(SegueError, RuntimeError):
    """A webhook or notification was not delivered; the step that sends it is tried again."""


class StoreError(SegueError):
    """The database refused or could not do what was asked."""


class StoreUnavailableError(StoreError, ConnectionError):
    """The database cannot be reached, or the connection broke; what was not committed is not there."""


class StoreBusyError(StoreError, TimeoutError):
    """Another process held the database's lock for too long; nothing was written, try again."""


class StoreConflictError(StoreError):
    """The database ended this transaction in favour of another one (deadlock, serialisation); it may be tried again."""


class StoreReadOnlyError(StoreError, PermissionError):
    """The database, its file or its folder may not be written."""


class StoreFullError(StoreError, OSError):
    """The disk or the database's quota is full; nothing was written."""


class SchemaError(StoreError, RuntimeError):
    """The tables are older or newer than this version of Segue, or changed by hand."""


PASSING_ERRORS = (StoreUnavailableError, StoreConflictError, StoreBusyError, StoreFullError, StoreReadOnlyError)
"""The database cannot take anything now. That may pass, so nothing is given up for it."""


class WorkerError(SegueError, RuntimeError):
    """A worker cannot start or go on."""


class Retry(Exception):  # noqa: N818 - a control-flow signal, not an error
    """Raised by a task: this attempt failed, try again (within the step's `retries`), `after` seconds from now.

    Example::

        raise Retry("rate limited", after=30)
    """

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        super().__init__(reason or "the task asked to be tried again")
        self.after = after


class Skip(Exception):  # noqa: N818 - a control-flow signal, not an error
    """Raised by a task: there is nothing to do; the step becomes `skipped`, and what needs its result too."""


class Abort(Exception):  # noqa: N818 - a control-flow signal, not an error
    """Raised by a task: this can never work; the step fails at once, whatever its `retries`."""

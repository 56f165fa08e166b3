"""Every error that Segue raises, in one tree under `SegueError`.

Each also inherits the builtin that a caller would expect. Its message says what was requested, what was found and what
to do. `Retry`, `Skip` and `Abort` are not errors: a task raises them to choose how its attempt ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import msgspec

from segue.given import finite, is_a, shown

LONGEST_SECONDS = 1e10
"""The limit for a time that a task asks for, some 317 years."""


class SegueError(Exception):
    """The base of all errors of Segue."""

    segue_retryable: bool | None = None
    """Whether an attempt that ended with it may be retried; None leaves that to the task's options."""


class ConfigError(SegueError, ValueError):
    """A setting (URL, option, environment variable) is missing or invalid."""


class DefinitionError(SegueError, TypeError):
    """A task or workflow is written in a way that cannot work."""


class UnknownTaskError(SegueError, LookupError):
    """No imported module defines a task or workflow of this name."""


class Problem(msgspec.Struct, frozen=True):
    """One problem of a plan: where it is, what it is, and how to correct it."""

    node: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.node}: {self.what}. {self.remedy}"


class PlanError(SegueError, ValueError):
    """A plan cannot be run. `problems` lists all its problems."""

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        self.name = name
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{name} cannot be run, {count} problem{'s' if count != 1 else ''}:\n{lines}")


class SerializationError(SegueError, TypeError):
    """A value cannot be written as JSON, or read back as the annotated type."""


class ResultTooLargeError(SegueError, ValueError):
    """A result is larger than the limit for values in the database."""


class CheckpointError(SegueError, RuntimeError):
    """The calls of a task differ from those that an earlier attempt recorded, or cannot be recorded."""

    segue_retryable = False


class PayloadError(SerializationError):
    """A value that lies in a payload store cannot be read, or a value cannot be put there."""


class PayloadMissingError(PayloadError, LookupError):
    """Nothing lies in the payload store where a value should be; the message names the reference."""


class PayloadDamagedError(PayloadError):
    """What lies in the payload store is not what was put there; the message names the reference."""


class PayloadUnavailableError(PayloadError, ConnectionError):
    """The payload store cannot be reached, or refused the operation; that may pass."""

    segue_retryable = True


class RunNotFoundError(SegueError, LookupError):
    """No run has this id."""


class StepNotFoundError(SegueError, LookupError):
    """The run has no step of this name or number."""


class FingerprintNotFoundError(SegueError, LookupError):
    """No failed attempt has an error with this fingerprint."""


class PushNotFoundError(SegueError, LookupError):
    """No push has this id: nothing was submitted under it from this database, or its run was deleted."""


class SubscriptionNotFoundError(SegueError, LookupError):
    """No subscription has this name."""


class ScheduleNotFoundError(SegueError, LookupError):
    """No schedule has this name."""


class NotFinishedError(SegueError, RuntimeError):
    """The run has no result yet."""


class RunFailedError(SegueError, RuntimeError):
    """The run failed or was cancelled, so it has no result; the message names the step and its error."""


class RunStateError(SegueError, RuntimeError):
    """The run or step is in a state that does not allow this."""


class WaitTimeoutError(SegueError, TimeoutError):
    """The run did not end within the time given, a message did not come, or a worker of Celery confirmed no pause."""


class DeliveryError(SegueError, RuntimeError):
    """A webhook or notification was not delivered; the step that sends it is retried."""


class StoreError(SegueError):
    """The database refused the operation or could not do it."""


class StoreUnavailableError(StoreError, ConnectionError):
    """The database cannot be reached, or the connection broke; uncommitted changes are lost."""


class StoreBusyError(StoreError, TimeoutError):
    """A lock was held, or a statement ran, for too long; nothing was written, try again."""


class StoreConflictError(StoreError):
    """The database ended this transaction in favour of another (deadlock, serialisation); it can be retried."""


class StoreInterruptedError(StoreError):
    """The database interrupted a statement for an internal reason (memory, a defect, an operator); try again."""


class StoreReadOnlyError(StoreError, PermissionError):
    """The database, its file or its folder is read-only."""


class StoreFullError(StoreError, OSError):
    """The disk or the database's quota is full; nothing was written."""


class SchemaError(StoreError, RuntimeError):
    """The tables are older or newer than this version of Segue, or were changed by hand."""


PASSING_ERRORS = (
    StoreUnavailableError,
    StoreConflictError,
    StoreBusyError,
    StoreInterruptedError,
    StoreFullError,
    StoreReadOnlyError,
)
"""The database cannot accept anything now. That may pass, so no work is given up for it."""


class WorkerError(SegueError, RuntimeError):
    """A worker cannot start or continue."""


class Retry(Exception):  # noqa: N818 - a control-flow signal, not an error
    """Raised by a task: this attempt failed, retry it (within the step's `retries`), `after` seconds from now.

    `after` is a number of seconds or a timedelta; a negative one means now. Raises DefinitionError for any other value.
    The attempt then fails, and is retried according to the step's `retry_delay`.

    Example::

        raise Retry("rate limited", after=30)
    """

    def __init__(self, reason: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(reason or "the task asked to be tried again")
        self.after = seconds_after(after)


def seconds_after(after: object) -> float | None:
    """The seconds of `Retry(after=...)`. Raises DefinitionError for a time that a step cannot wait."""
    if after is None:
        return None
    seconds = finite(timedelta.total_seconds(after) if is_a(after, timedelta) else after)  # type: ignore[arg-type]
    if seconds is not None and seconds < LONGEST_SECONDS:
        return max(seconds, 0.0)
    error = DefinitionError(
        f"Retry(after={shown(after)}) was raised, but a step cannot wait for that; "
        f"give seconds as a number below {LONGEST_SECONDS:.0e}, or a timedelta"
    )
    error.segue_retryable = True  # the task asked for another try
    raise error


class Skip(Exception):  # noqa: N818 - a control-flow signal, not an error
    """Raised by a task: it has nothing to do. The step becomes `skipped`, and so do steps that need its result."""


class Abort(Exception):  # noqa: N818 - a control-flow signal, not an error
    """Raised by a task: this can never work. The step fails immediately, regardless of its `retries`."""

"""How a step ended, as a value that other tasks can take: what `task.map(items, errors=True)` gives for each item."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from segue.model import StepStatus

R = TypeVar("R")


class OutcomeError(msgspec.Struct, frozen=True):
    """The error of a step that failed: the name of the exception's class, and its message."""

    type: str
    message: str


class Outcome(msgspec.Struct, Generic[R], frozen=True):
    """How one step of a fan-out ended. `value` is its result, and None if it has none.

    `status` is `succeeded`, `failed`, `skipped` or `cancelled`, `step` the step's name, as `segue show` prints it.
    `error` is None unless the step failed.

    Example::

        @task
        def report(pages: list[Outcome[str]]) -> list[str]:
            return [f"{page.step}: {page.error.message}" for page in pages if page.error]

        report(fetch.map(urls, errors=True))
    """

    step: str
    status: StepStatus
    value: R | None = None
    error: OutcomeError | None = None

    @property
    def ok(self) -> bool:
        """Whether the step succeeded."""
        return self.status is StepStatus.SUCCEEDED

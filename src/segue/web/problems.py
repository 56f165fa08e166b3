"""What goes wrong in a request, as HTTP says it: RFC 9457, `application/problem+json`."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import ClientDisconnect

from segue.errors import (
    ConfigError,
    DefinitionError,
    FingerprintNotFoundError,
    NotFinishedError,
    PayloadMissingError,
    PayloadUnavailableError,
    PlanError,
    PushNotFoundError,
    ResultTooLargeError,
    RunFailedError,
    RunNotFoundError,
    RunStateError,
    ScheduleNotFoundError,
    SegueError,
    SerializationError,
    StepNotFoundError,
    StoreConflictError,
    StoreError,
    SubscriptionNotFoundError,
    UnknownTaskError,
    WaitTimeoutError,
)

DOCUMENTED = "https://segue.readthedocs.io/errors/"


class ProblemError(Exception):
    """An answer that is an error. Anything may raise it."""

    def __init__(self, status: int, code: str, detail: str, **others: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.others = status, code, detail, others

    @property
    def headers(self) -> dict[str, str]:
        """The headers that its answer has: when to ask again, and that the connection is of no more use."""
        return {408: {"connection": "close"}, 503: {"retry-after": "2"}}.get(self.status, {})

    def to_dict(self) -> dict[str, Any]:
        """The problem as a JSON object."""
        return {
            "type": f"{DOCUMENTED}#{self.code.lower()}",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.others,
        }


TITLES = {
    400: "The request is not valid",
    401: "Log in first",
    403: "Not allowed",
    404: "Not found",
    405: "This method is not offered here",
    408: "Too slow",
    409: "Not possible in this state",
    412: "It has changed in the meantime",
    413: "Too large",
    415: "This kind of content is not accepted",
    422: "It cannot be understood",
    429: "Too many requests",
    500: "Internal error",
    503: "The database does not answer now",
}

_STATUSES: tuple[tuple[type[Exception], int], ...] = (  # the first that fits
    (RunNotFoundError, 404),
    (StepNotFoundError, 404),
    (ScheduleNotFoundError, 404),
    (SubscriptionNotFoundError, 404),
    (FingerprintNotFoundError, 404),
    (PushNotFoundError, 404),
    (UnknownTaskError, 404),
    (PayloadMissingError, 404),
    (PayloadUnavailableError, 503),
    (RunStateError, 409),
    (NotFinishedError, 409),
    (RunFailedError, 409),
    (StoreConflictError, 409),
    (ResultTooLargeError, 413),
    (PlanError, 422),
    (DefinitionError, 422),
    (SerializationError, 422),
    (ConfigError, 400),
    (StoreError, 503),
    (WaitTimeoutError, 503),
    (SegueError, 500),  # its sentence is ours, and may be shown
)


def problem_of(error: Exception) -> ProblemError | None:
    """The problem that an error of Segue is. None: it is a fault of ours, about which a caller learns nothing."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, ClientDisconnect):
        return ProblemError(408, "Incomplete", "The connection ended before the whole request was there.")
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            others: dict[str, Any] = {}
            if isinstance(error, PlanError):
                others["problems"] = [msgspec.structs.asdict(problem) for problem in error.problems]
            return ProblemError(status, type(error).__name__, str(error), **others)
    return None

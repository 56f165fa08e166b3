"""The span of an attempt, current in a `with` block."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Token
from types import TracebackType
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from segue.given import described
from segue.masking import masked_text, without_secrets

NO_ERRORS = frozenset({"Skip", "Cancelled", "Suspended"})
"""What a task of Segue raises although nothing went wrong."""


class AttemptSpan:
    """A class, because the context manager of a generator sets attributes of an exception that passes it."""

    __slots__ = ("_begin", "_begin_late", "_begun_at", "_harmless", "_is_quiet", "_secrets", "_span", "_token")

    def __init__(
        self, begin: Callable[[], tuple[Span, bool]], begin_late: Callable[[], Span], secrets: Callable[[], list[str]],
        harmless: Callable[[], AbstractContextManager[Any]],
    ) -> None:  # fmt: skip
        self._begin = begin
        self._begin_late = begin_late
        self._secrets = secrets
        self._harmless = harmless
        self._span: Span | None = None
        self._token: Token[Context] | None = None
        self._is_quiet = False
        self._begun_at = 0

    def __enter__(self) -> None:
        with self._harmless():
            self._begun_at = time.time_ns()
            self._span, self._is_quiet = self._begin()
            self._token = attach(set_span_in_context(self._span))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._harmless():
            if self._token is not None:
                detach(self._token)
            if self._span is None:
                return
            is_error = error is not None and not _is_no_error(error)
            if self._is_quiet:
                if not is_error:
                    return
                self._span = self._begin_late()
            if error is not None and is_error:
                self._say(self._span, error)
            elif error is not None:
                self._span.set_attribute("segue.outcome", type(error).__name__.lower())
            self._span.end()

    def _say(self, span: Span, error: BaseException) -> None:
        """Name the error, without the secrets that its text may have."""
        info, secrets = described(error), self._secrets()
        span.add_event(
            "exception",
            {
                "exception.type": info.type,
                "exception.message": _clean(info.message, secrets),
                "exception.stacktrace": _clean(info.traceback, secrets),
            },
        )
        span.set_attribute("error.type", info.type)
        span.set_status(Status(StatusCode.ERROR, info.type))


def _clean(text: str, secrets: list[str]) -> str:
    return masked_text(without_secrets(text, secrets) if secrets else text)


def _is_no_error(error: BaseException) -> bool:
    kind = type(error)
    return kind.__name__ in NO_ERRORS and kind.__module__.startswith("segue.")

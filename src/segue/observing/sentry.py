"""Reports to Sentry: errors where they are raised, with the attempt as tags, and check-ins of schedules.

The only module that imports sentry_sdk. The program itself calls `sentry_sdk.init`. Promises: no error of Sentry's
reaches the work; a report has no secrets, and no variables of a task that has some; an attempt is one report.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from segue.errors import ConfigError
from segue.masking import masked_text, without_secrets
from segue.observing.extensions import AttemptFacts, EndedRun, LostAttempt, Tick, extensions

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

NAME = "sentry"
NO_ERRORS = frozenset({"Skip", "Retry", "Cancelled", "Suspended"})
"""What a task of Segue raises although nothing went wrong."""

FLUSH_SECONDS = 1.5
LONGEST_SLUG = 50
SAID_ELSEWHERE = ("segue.attempts", "segue.runs")
"""Loggers that say what is reported already."""

_FIELDS_OF_CRON = 5
_CHECKED = {"succeeded": "ok", "failed": "error", "cancelled": "error"}


def install(*, errors: bool = True, check_ins: bool = True) -> None:
    """Report to Sentry from this process and from the children of its pools.

    Call it after `sentry_sdk.init`, in the module of your tasks. `errors`: each attempt that failed, is grouped as
    Sentry does, and by task. `check_ins`: each run of a schedule, under the schedule's name. Calling it again replaces
    what was there. Raises ConfigError if sentry_sdk is not installed. Example::

        sentry_sdk.init(dsn=os.environ["SENTRY_DSN"])
        sentry.install()
    """
    try:
        from sentry_sdk.integrations.logging import ignore_logger  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise ConfigError("Reports to Sentry need sentry_sdk. Install it: pip install 'segue[sentry]'.") from error
    uninstall()
    for name in SAID_ELSEWHERE:
        ignore_logger(name)
    if errors:
        extensions.around[NAME] = _Reporting
        extensions.lost[NAME] = _report_lost
    if check_ins:
        extensions.ticks[NAME] = _tick_starts
        extensions.ended[NAME] = _run_ended
    extensions.flushes[NAME] = _flush


def uninstall() -> None:
    """Report no more from this process."""
    extensions.detach(NAME)


class _Reporting:
    """Gives Sentry the attempt while a block runs, and the exception that leaves it."""

    __slots__ = ("_facts", "_scope")

    def __init__(self, facts: AttemptFacts) -> None:
        self._facts = facts
        self._scope: AbstractContextManager[Any] | None = None

    def __enter__(self) -> None:
        import sentry_sdk  # noqa: PLC0415 - an optional library

        facts = self._facts
        with suppress(Exception):
            manager = sentry_sdk.isolation_scope()
            scope = manager.__enter__()
            self._scope = manager
            _describe(scope, facts.run_id, facts.name, facts.attempt, facts.task, facts.queue)
            scope.add_event_processor(_without_secrets(facts.secrets))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        import sentry_sdk  # noqa: PLC0415 - an optional library

        with suppress(Exception):
            if error is not None and not _is_no_error(error):
                sentry_sdk.capture_exception(error)
        with suppress(Exception):
            if self._scope is not None:
                self._scope.__exit__(None, None, None)


def _describe(scope: Any, run_id: str, step: str, attempt: int, task: str, queue: str) -> None:
    scope.set_transaction_name(task)
    for name, value in (("run", run_id), ("step", step), ("task", task), ("queue", queue), ("attempt", str(attempt))):
        scope.set_tag(f"segue.{name}", value)
    scope.fingerprint = ["{{ default }}", task]


def _report_lost(lost: LostAttempt) -> None:
    """A timeout, or the death of a process: there is no exception."""
    import sentry_sdk  # noqa: PLC0415 - an optional library

    with suppress(Exception), sentry_sdk.new_scope() as scope:
        _describe(scope, lost.run_id, lost.step, lost.attempt, lost.task, lost.queue)
        scope.fingerprint = [lost.task, lost.error_type]
        sentry_sdk.capture_message(f"{lost.error_type}: {masked_text(lost.message)}", level="error")


def _without_secrets(secrets: Callable[[], list[str]]) -> Callable[[Event, Hint], Event]:
    def process(event: Event, _hint: Hint) -> Event:
        known = secrets()
        for value in (event.get("exception") or {}).get("values", ()):
            if isinstance(value.get("value"), str):
                value["value"] = masked_text(without_secrets(value["value"], known))
            for frame in ((value.get("stacktrace") or {}).get("frames") or ()) if known else ():
                frame.pop("vars", None)
        return event

    return process


def _tick_starts(tick: Tick) -> None:
    _check_in(tick.schedule, tick.run_id, "in_progress", config=_monitor(tick))


def _run_ended(run: EndedRun) -> None:
    if run.schedule is not None:
        seconds = (run.finished_at - run.created_at).total_seconds()
        _check_in(run.schedule, run.run_id, _CHECKED.get(run.status, "error"), seconds=seconds)


def _check_in(
    schedule: str, run_id: str, status: str, *, seconds: float | None = None, config: Any = None
) -> None:  # fmt: skip
    from sentry_sdk.crons import capture_checkin  # noqa: PLC0415 - an optional library

    with suppress(Exception):
        slug = re.sub(r"[^a-z0-9_-]+", "-", schedule.lower()).strip("-")[:LONGEST_SLUG]
        capture_checkin(slug, run_id.replace("-", ""), status, seconds, config)


def _monitor(tick: Tick) -> dict[str, Any] | None:
    """The monitor of a schedule with an expression of cron, which Sentry makes if it is not there."""
    if len(tick.expression.split()) != _FIELDS_OF_CRON:
        return None
    return {"schedule": {"type": "crontab", "value": tick.expression}, "timezone": tick.timezone}


def _flush() -> None:
    import sentry_sdk  # noqa: PLC0415 - an optional library

    with suppress(Exception):
        sentry_sdk.flush(FLUSH_SECONDS)


def _is_no_error(error: BaseException) -> bool:
    kind = type(error)
    return kind.__name__ in NO_ERRORS and kind.__module__.startswith("segue.")

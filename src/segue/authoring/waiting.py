"""`wait_for` and `sleep`: steps that wait for a message or for a time, without a worker.

They are only described here; `segue.engine.waits` begins and ends them. They take their arguments as any step does, so
a name or a time may be the result of another step.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Unpack

from segue.authoring.checkpoint import journal_of
from segue.authoring.compose import Signature
from segue.authoring.context import Context, running
from segue.authoring.handle import Handle
from segue.authoring.options import Placement, Seconds, StepOptions, placed, seconds_of
from segue.authoring.task import task
from segue.authoring.trace import current_trace
from segue.authoring.values import encode
from segue.errors import DefinitionError
from segue.given import shown
from segue.model import MESSAGE_NAME_LENGTH, SLEEP, WAIT_FOR, is_message_name

_NOTHING: Final[Any] = object()
_ABOUT_WORK = frozenset(
    {
        "retries", "retry_delay", "retry_factor", "retry_max_delay", "retry_jitter", "lost_retries", "timeout",
        "schedule_to_start", "limits", "cost",
    }
)  # fmt: skip


@task(name=WAIT_FOR)
def wait_step(name: Any, /, *, timeout: Any = None, default: Any = None) -> Any:
    """Never called: the engine begins and ends these steps itself."""
    raise DefinitionError(f"{WAIT_FOR} ({name!r}) was called; the engine executes it, not a worker")


@task(name=SLEEP)
def sleep_step(seconds: Any = None, /, *, until: Any = None) -> None:
    """The step of a sleep that has ended."""


class WaitFor:
    """The type of `segue.wait_for`: call it for a step, `wait_for.s` for a signature."""

    __slots__ = ("_placement",)

    def __init__(self, placement: Placement | None = None) -> None:
        self._placement = placement or Placement()

    def __call__(self, name: str, /, *, timeout: Seconds | None = None, default: Any = _NOTHING) -> Any:
        """Wait until `name` is sent to the run (`run.send(name, value)`, `segue send`); the result is the value sent.

        It occupies no worker and survives every restart. Messages that were sent earlier count, too: each message is
        taken by one step, in the order in which they were sent. After `timeout` (seconds, or a timedelta) the step
        fails with `WaitTimeout`, or takes `default` if one is given. Name, timeout and default may be results of other
        steps. Inside a workflow it is added as a step. Inside a task, the task itself waits: it gives its worker back,
        runs again from its beginning when the message has come, and gets the value here; after `timeout` without a
        default, WaitTimeoutError. Elsewhere this is a signature.

        Example::

            answer = wait_for("approved", timeout=timedelta(days=2), default={"ok": False})
            publish.options(when=answer["ok"])(draft)
        """
        inside = _task_inside()
        if inside is not None:
            check_name("wait_for", name)
            seconds = None if timeout is None else seconds_of("wait_for", "timeout", timeout, above_zero=True)
            text = None if default is _NOTHING else encode(default, f"default of wait_for({name!r})")
            journal = journal_of(inside, f"wait_for({name!r})", "wait_for")
            return journal.wait_for(name, timeout=seconds, default=text)
        made = self.s(name, timeout=timeout, default=default)
        return made if current_trace.get() is None else made()

    def s(self, name: str = _NOTHING, /, *, timeout: Seconds | None = None, default: Any = _NOTHING) -> Signature[Any]:
        """The wait as a signature, for chain and group. Its name is the previous result unless one is given here.

        Example::

            chain(draft.s(), wait_for.s("approved"), publish.s())
        """
        kwargs: dict[str, Any] = {}
        if timeout is not None:
            kwargs["timeout"] = _time("wait_for", "timeout", timeout, above_zero=True)
        if default is not _NOTHING:
            kwargs["default"] = default
        if name is _NOTHING:
            return Signature(wait_step, (), kwargs, self._placement, False)
        return Signature(wait_step, (_name(name),), kwargs, _named(self._placement, name), True)

    si = s

    def options(self, **changes: Unpack[StepOptions]) -> WaitFor:
        """A copy whose steps have another name, rule, condition, order or queue; not more tries.

        Example::

            wait_for.options(after=[mail], rule="all_done", name="approval")("approved")
        """
        refused = changes.keys() & (_ABOUT_WORK | {"delay", "run_at"})
        _refuse("wait_for", refused, "a wait has no attempts, and its timeout is an argument of wait_for")
        return WaitFor(placed(self._placement, changes, of="wait_for"))

    def __repr__(self) -> str:
        return "<segue.wait_for>"


class Sleep:
    """The type of `segue.sleep`: call it for a step, `sleep.s` for a signature."""

    __slots__ = ("_placement",)

    def __init__(self, placement: Placement | None = None) -> None:
        self._placement = placement or Placement()

    def __call__(self, seconds: Seconds = _NOTHING, /, *, until: datetime | None = None) -> Any:
        """Sleep for some seconds (or a timedelta) from the time at which the step could begin, or `until` a datetime.

        It occupies no worker and survives every restart; the result is None. Both arguments may be results of other
        steps. Inside a workflow it is added as a step. Inside a task, the task itself sleeps: it gives its worker
        back, runs again from its beginning when the time is over, and goes on here. Elsewhere this is a signature.

        Example::

            remind.options(after=sleep(timedelta(days=3)))("first")
            sleep(until=datetime(2027, 1, 1, tzinfo=UTC))
        """
        if seconds is _NOTHING and until is None:
            raise DefinitionError("sleep() has no time; write sleep(60) or sleep(until=...)")
        made = self.s(seconds, until=until)  # checks the time
        inside = _task_inside()
        if inside is not None:
            wait = None if until is not None else seconds_of("sleep", "seconds", seconds, above_zero=False)
            return journal_of(inside, "sleep()", "sleep").sleep(seconds=wait, until=until)
        return made if current_trace.get() is None else made()

    def s(self, seconds: Seconds = _NOTHING, /, *, until: datetime | None = None) -> Signature[None]:
        """The sleep as a signature, for chain and group. Its time is the previous result unless one is given here.

        Example::

            chain(order.s(7), sleep.s(3600), remind.si(7))
        """
        if seconds is not _NOTHING and until is not None:
            raise DefinitionError(f"sleep was given {shown(seconds)} and until={shown(until)}; give one of them")
        if until is not None:
            return Signature(sleep_step, (), {"until": _moment(until)}, self._placement, True)
        if seconds is _NOTHING:
            return Signature(sleep_step, (), {}, self._placement, False)
        return Signature(sleep_step, (_time("sleep", "seconds", seconds),), {}, self._placement, True)

    si = s

    def options(self, **changes: Unpack[StepOptions]) -> Sleep:
        """A copy whose steps have another name, rule, condition, order or queue."""
        _refuse("sleep", changes.keys() & _ABOUT_WORK, "a sleep has no attempts")
        return Sleep(placed(self._placement, changes, of="sleep"))

    def __repr__(self) -> str:
        return "<segue.sleep>"


WaitFor.__doc__ = WaitFor.__call__.__doc__  # what help(segue.wait_for) shows
wait_for = WaitFor()
"""A step that waits for a message; see `WaitFor.__call__`."""

Sleep.__doc__ = Sleep.__call__.__doc__  # what help(segue.sleep) shows
sleep = Sleep()
"""A step that waits for a time; see `Sleep.__call__`."""


def _task_inside() -> Context | None:
    """The attempt whose task makes this call; None in a workflow, and outside of a step."""
    return running() if current_trace.get() is None else None


def check_name(of: str, name: object) -> str:
    """The name of a message. Raises `DefinitionError` for an invalid name."""
    if not isinstance(name, str) or not is_message_name(name):
        raise DefinitionError(
            f"{of} was given the name {shown(name)}; give a text of 1 to {MESSAGE_NAME_LENGTH} letters, as in "
            "'approved'"
        )
    return name


def _name(name: object) -> object:
    return name if isinstance(name, Handle) else check_name("wait_for", name)


def _named(placement: Placement, name: object) -> Placement:
    """The step is named after the message that it waits for, unless it has a name."""
    if placement.name is not None or not isinstance(name, str):
        return placement
    return placed(placement, {"name": name}, of="wait_for")


def _time(of: str, key: str, value: Any, *, above_zero: bool = False) -> Any:
    return value if isinstance(value, Handle) else seconds_of(of, key, value, above_zero=above_zero)


def _moment(value: Any) -> Any:
    if isinstance(value, Handle):
        return value
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise DefinitionError(
            f"sleep was given until={shown(value)}; give a datetime that has a time zone (tzinfo=UTC)"
        )
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise DefinitionError(f"sleep was given until={shown(value)}, which is out of range in UTC") from None
    return value


def _refuse(of: str, options: set[str], why: str) -> None:
    if options:
        raise DefinitionError(f"{of}.options({', '.join(sorted(options))}) has no effect: {why}; leave it out")

"""What runs wait for from outside: messages, and until when they may run; and what was written down about them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from segue.authoring import encode
from segue.engine import waiting
from segue.engine.engine import Engine
from segue.engine.ids import new_id
from segue.engine.sending import Sent, send_message
from segue.engine.waiting import EventInfo, WaitInfo
from segue.errors import ConfigError, ResultTooLargeError
from segue.model import MESSAGE_NAME_LENGTH, is_message_name
from segue.observing.kinds import expand

MESSAGE_LIMIT_BYTES = 16 * 2**20


def send(engine: Engine, run_id: str, name: str, value: Any, key: str | None) -> Sent:
    """Send a message to a run; see `Run.send`."""
    if not is_message_name(name):
        raise ConfigError(f"A message was named {name!r}. Give a text of 1 to {MESSAGE_NAME_LENGTH} characters.")
    if key == "":
        raise ConfigError(f"key={key!r} cannot tell one message from another. Give a text that is not empty.")
    text = encode(value)
    if len(text) > MESSAGE_LIMIT_BYTES:
        raise ResultTooLargeError(
            f"The message {name!r} is {len(text):,} bytes of JSON, more than the limit of {MESSAGE_LIMIT_BYTES:,}; "
            "store the value elsewhere and send where it is."
        )
    told_by = key or new_id(engine.store.now())  # so that a sending whose answer was lost is repeated, not done twice
    return engine.act(
        lambda tx, now: send_message(
            engine.store, tx, run_id, now, name=name, value=text, key=told_by, shows_key=key is not None
        )
    )  # fmt: skip


def seconds_until(deadline: float | timedelta | datetime, now: datetime) -> float:
    """A deadline in seconds from now; raises ConfigError for what is none, or has passed."""
    seconds: object = deadline
    if isinstance(deadline, datetime):
        if deadline.tzinfo is None:
            raise ConfigError(f"deadline={deadline!r} has no time zone. Add one, for example tzinfo=UTC.")
        seconds = (deadline - now).total_seconds()
    elif isinstance(deadline, timedelta):
        seconds = deadline.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 1e10:
        raise ConfigError(
            f"deadline={deadline!r} is no time to come. Give seconds, a timedelta, or a datetime that has a time zone."
        )
    return float(seconds)


class Approvals:
    """The steps that wait for a message, as `segue.wait_for` makes them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, *, workflow: str | None = None, name: str | None = None, limit: int = 1000) -> list[WaitInfo]:
        """Those of a workflow (its full name), or that wait for a name; of the oldest runs first.

        Example::

            for wait in segue.approvals.list(name="approved"):
                segue.send(wait.run_id, wait.name, ask_somebody(wait))
        """
        with self._engine.reading() as tx:
            return waiting.list_waits(self._engine.store, tx, workflow=workflow, name=name, limit=limit)


class Events:
    """What was written down: what people did to runs, and alerts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(
        self, run_id: str | None = None, *, kinds: Iterable[str] = (), before: str | None = None, limit: int = 50
    ) -> list[EventInfo]:
        """The newest first, of one run or all; for the next page give the last id of this one as `before`.

        `kinds` are names, or patterns of them: "run.*", "*.late_end".

        Example::

            segue.events.list(kinds=["*.late_*", "run.deadline"])
        """
        wanted = sorted(expand(kinds))
        with self._engine.reading() as tx:
            return waiting.list_events(
                self._engine.store, tx, run_id=run_id, kinds=wanted, before=before, limit=limit
            )  # fmt: skip

"""What comes to runs from outside: messages, deadlines, times to begin. Also lists waiting steps and events."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from segue.authoring import encode
from segue.client.following import EventFollower
from segue.client.given import checked, guarded
from segue.client.progress import DATABASE_AWAY_SECONDS, pause_of
from segue.engine.engine import Engine
from segue.engine.patience import Patience
from segue.engine.sending import Sent, send_message
from segue.engine.views import waiting
from segue.engine.views.waiting import EventInfo, WaitInfo
from segue.errors import ConfigError, ResultTooLargeError
from segue.given import shown
from segue.model import MESSAGE_NAME_LENGTH, is_message_name
from segue.observing.kinds import expand
from segue.payloads.keeping import Payloads
from segue.plan.indexed import check_key

MESSAGE_LIMIT_BYTES = 16 * 2**20
_LONGEST = timedelta(days=36_525)  # a hundred years


def send(engine: Engine, run_id: str, name: str, value: Any, key: str | None) -> Sent:
    """Send a message to a run; see `Run.send`."""
    if not is_message_name(checked("send", "name", name)):
        raise ConfigError(f"{shown(name)} is not a message's name. Give 1 to {MESSAGE_NAME_LENGTH} characters.")
    check_key("key", key, tells_apart="one message from another")
    text = encode(value, f"value of the message {name!r}")
    if len(text) > MESSAGE_LIMIT_BYTES:
        raise ResultTooLargeError(
            f"The message {name!r} is {len(text):,} bytes of JSON, more than the limit of {MESSAGE_LIMIT_BYTES:,}; "
            "store the value elsewhere and send where it is."
        )
    text = short(text, engine.payloads)
    told_by = key or engine.new_id()  # so that a sending whose answer was lost is repeated, not done twice
    return engine.act(send_message, run_id, name=name, value=text, key=told_by, shows_key=key is not None)


def short(text: str, payloads: Payloads | None) -> str:
    """A value that a person gives, as JSON, or the reference to it if it is long and there is a payload store."""
    return text if payloads is None else payloads.kept(text, most_inline=MESSAGE_LIMIT_BYTES)


def seconds_until(deadline: float | timedelta | datetime, now: datetime) -> float:
    """A deadline in seconds from now. Raises ConfigError for an invalid or past one."""
    seconds: object = deadline
    if isinstance(deadline, datetime):
        if deadline.tzinfo is None:
            raise ConfigError(f"deadline={shown(deadline)} has no time zone. Add one, for example tzinfo=UTC.")
        seconds = (deadline - now).total_seconds()
    elif isinstance(deadline, timedelta):
        seconds = deadline.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 1e10:
        raise ConfigError(
            f"deadline={shown(deadline)} is not in the future. Give seconds, a timedelta, or a datetime with a "
            "time zone."
        )
    return float(seconds)


def checked_run_at(run_at: datetime, now: datetime) -> datetime | None:
    """When a run begins, in UTC; None for now or before. Raises ConfigError for an invalid time."""
    if run_at.tzinfo is None:
        raise ConfigError(f"run_at={shown(run_at)} has no time zone. Add one, for example tzinfo=UTC.")
    begins = run_at.astimezone(UTC)
    if begins - now > _LONGEST:
        raise ConfigError(f"run_at={shown(run_at)} is more than {_LONGEST.days:,} days from now. Give an earlier time.")
    return begins if begins > now else None


@guarded
class Approvals:
    """The steps that wait for a message, as `segue.wait_for` makes them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, *, workflow: str | None = None, name: str | None = None, limit: int = 1000) -> list[WaitInfo]:
        """Those of a workflow (its full name), or those that wait for a name; the steps of the oldest runs first.

        Example::

            for wait in segue.approvals.list(name="approved"):
                segue.send(wait.run_id, wait.name, ask_a_person(wait))
        """
        with self._engine.reading() as tx:
            of = None if workflow is None else self._engine.stored(workflow)
            return waiting.list_waits(tx, workflow=of, name=name, limit=limit, prefix=self._engine.prefix)

    def page(
        self, *, after: WaitInfo | tuple[str, int] | None = None, workflow: str | None = None,
        name: str | None = None, limit: int = 50,
    ) -> builtins.list[WaitInfo]:  # fmt: skip
        """A page of them, those of the oldest runs first. For the next page give the last one, or the id of its run
        and the number of its step, as `after`.

        Example::

            page = segue.approvals.page()
            more = segue.approvals.page(after=page[-1])
        """
        with self._engine.reading() as tx:
            of = None if workflow is None else self._engine.stored(workflow)
            place = (after.run_id, after.step) if isinstance(after, WaitInfo) else after
            return waiting.waits_after(tx, after=place, workflow=of, name=name, limit=limit, prefix=self._engine.prefix)


@guarded
class Events:
    """The events that were recorded: what people did to runs, schedules, limits and other things, and alerts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(
        self, run_id: str | None = None, *, kinds: Iterable[str] = (), actor: str | None = None,
        before: str | None = None, limit: int = 50,
    ) -> list[EventInfo]:  # fmt: skip
        """The newest first, of one run or all. For the next page give the last id of this one as `before`.

        `kinds` are names, or patterns of them: "run.*", "*.late_end". `actor` is the one who did it.

        Example::

            segue.events.list(kinds=["*.late_*", "run.deadline"])
        """
        wanted = sorted(expand(kinds))
        with self._engine.reading() as tx:
            return waiting.list_events(
                tx, run_id=run_id, kinds=wanted, actor=actor, before=before, limit=limit, prefix=self._engine.prefix
            )  # fmt: skip

    def follow(
        self, run_id: str | None = None, *, kinds: Iterable[str] = (), after: str | None = None,
        every: float | None = None,
    ) -> Iterator[EventInfo]:  # fmt: skip
        """Each event that is recorded from now on, the oldest first; it ends only when you leave the loop.

        With `after`, the id of an event, it begins with those that followed it, so a program that remembers the last id
        can go on where it ended. `run_id` and `kinds` are those of `list`. It reads every half second, or at intervals
        of `every` seconds. A database that does not answer is waited for, half a minute at most.

        Example::

            for event in segue.events.follow(kinds=["*.late_*"], after=last_id):
                tell(event)
        """
        pause = pause_of(every)
        follower = self._follower(run_id, kinds, after)
        return self._following(follower, follower.look(), pause)

    def _following(self, follower: EventFollower, found: Sequence[EventInfo], pause: float) -> Iterator[EventInfo]:
        patience = Patience(DATABASE_AWAY_SECONDS)
        while True:
            yield from found
            time.sleep(pause)
            found = patience.ask(follower.look, otherwise=[])

    def _follower(self, run_id: str | None, kinds: Iterable[str], after: str | None) -> EventFollower:
        wanted = tuple(kinds)
        expand(wanted)  # raises for a kind that does not exist, before the first look
        return EventFollower(partial(self.list, run_id, kinds=wanted), after=after)

"""Messages that may be lost: their steps are sent, and have not begun in time.

They are sent again, unless the broker still has them: behind slow tasks, a message may wait for hours, and copies of
it would pile up. The broker can only say how many messages a queue has, not whose they are: it is believed for a while.
What a worker has received and not begun is not late: its node says so now and then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual

from segue.engine.dispatch import resend
from segue.engine.executing import Overdue, overdue, renew_all
from segue.model import Attempt
from segue.observing.harmless_log import get_logger
from segue.plan.namespaces import bare

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")

AT_ONCE = 500
RESENT_AT_ONCE = 100  # in one transaction, which locks their runs
SENT_WITHIN = timedelta(seconds=1)
BELIEVED_LEASES = 12
"""For so many leases a step is not sent again, if the broker may have its message."""


def repair(door: Door) -> int:
    """Send messages again that may be lost; returns how many."""
    engine = door.engine
    with engine.reading() as tx:
        found = overdue(tx, door.name, engine.store.now(), prefix=door.of_namespace, limit=AT_ONCE)
    if not found:
        return 0
    waiting = set(_that_wait(door, found))
    if waiting:
        renew(door, waiting)
    lost = [late.attempt for late in found if late.attempt not in waiting]
    for first in range(0, len(lost), RESENT_AT_ONCE):
        taken = engine.act(resend, lost[first : first + RESENT_AT_ONCE], wait_seconds=door.lease_seconds)
        left = taken.left + door.send(taken.sent)
        if left:
            door.exchange(left)
    return len(lost)


def renew(door: Door, attempts: Iterable[Attempt]) -> None:
    """Let attempts be late only when another lease has passed."""
    until = door.engine.store.now() + timedelta(seconds=door.lease_seconds)
    door.engine.act(renew_all, sorted(attempts), until=until)


def _that_wait(door: Door, found: Sequence[Overdue]) -> Iterator[Attempt]:
    """Those whose messages may wait in the broker.

    A queue gives out the oldest first, so what it has are the messages that were sent last, within the time that a
    process may take between its commit and its message.
    """
    believed = door.engine.store.now() - timedelta(seconds=BELIEVED_LEASES * door.lease_seconds)
    by_queue: dict[str, list[Overdue]] = defaultdict(list)
    for late in found:
        if late.sent_at is not None and late.sent_at > believed:
            by_queue[late.queue].append(late)
    for queue, depth in _depths(door, list(by_queue)).items():
        with door.engine.reading() as tx:
            rows = tx.all("sent_last", executor=door.name, queue=queue, before=depth - 1)
            oldest = tx.datetime(rows[0][0]) if rows else None  # fewer were sent than wait there
        for late in by_queue[queue]:
            if oldest is None or (late.sent_at is not None and late.sent_at >= oldest - SENT_WITHIN):
                yield late.attempt


def _depths(door: Door, queues: Sequence[str]) -> dict[str, int]:
    """How many messages the broker has in each of these queues that has some, if it can say that."""
    found: dict[str, int] = {}
    if not queues:
        return found
    try:
        with door.app.connection_for_write() as connection:
            for queue in queues:
                name = _name_at_broker(door, bare(queue).removeprefix(f"@{door.name}:"))
                try:
                    with connection.channel() as channel:  # of its own: an error ends it
                        found[queue] = _depth(channel, name)
                except (ChannelError, *connection.channel_errors) as error:
                    logger.debug("The broker has no queue %s, or does not count: %s", name, error)
    except Exception as error:  # noqa: BLE001 - the broker is away
        logger.debug("The broker does not say how many messages wait: %s", error)
    return {queue: depth for queue, depth in found.items() if depth > 0}


def _depth(channel: Any, name: str) -> int:
    """How many messages a queue has. kombu's own transports know that of themselves: on Redis, with a prefix for all
    keys, they do not find queues that exist.
    """
    if isinstance(channel, virtual.Channel):
        return int(channel._size(name))
    return int(channel.queue_declare(name, passive=True).message_count)


def _name_at_broker(door: Door, name: str) -> str:
    """The name of a queue that a step may know by its alias."""
    aliased = door.app.amqp.queues.aliases.get(name)
    return name if aliased is None else str(aliased.name)

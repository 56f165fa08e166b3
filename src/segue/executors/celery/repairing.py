"""Messages that may be lost: their steps are sent, and have not begun in time.

They are sent again, unless the broker still has them (executors/lateness.py). What a worker has received and not begun
is not late: its node says so now and then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual

from segue.engine.dispatch import resend
from segue.executors.lateness import Lateness
from segue.model import Attempt
from segue.observing.harmless_log import get_logger
from segue.plan.namespaces import bare

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")


def repair(door: Door) -> int:
    """Send messages again that may be lost; returns how many."""
    count = 0
    for attempts in _lateness(door).lost(door.engine):
        taken = door.engine.act(resend, attempts, wait_seconds=door.lease_seconds)
        left = taken.left + door.send(taken.sent)
        if left:
            door.exchange(left)
        count += len(attempts)
    return count


def renew(door: Door, attempts: Iterable[Attempt]) -> None:
    """Let attempts be late only when another lease has passed."""
    _lateness(door).renew(door.engine, attempts)


def _lateness(door: Door) -> Lateness:
    return Lateness(door.name, door.of_namespace, door.lease_seconds, partial(_depths, door))


def _depths(door: Door, queues: Sequence[str]) -> dict[str, int]:
    """How many messages the broker has in each of these queues that has some, if it can say that."""
    found: dict[str, int] = {}
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

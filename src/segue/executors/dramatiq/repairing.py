"""Messages that may be lost: their steps are sent, and have not begun in time.

They are sent again as the next attempt, unless the broker still has them, or this process has received them. A broker
can only say how many messages a queue has, so it is believed for a while only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from segue.engine.dispatch import SentStep, resend
from segue.engine.executing import Overdue, overdue, renew_all
from segue.model import Attempt
from segue.observing.harmless_log import get_logger
from segue.plan.namespaces import bare

if TYPE_CHECKING:
    from segue.executors.dramatiq.door import Door

logger = get_logger("segue.dramatiq")

AT_ONCE = 500
RESENT_AT_ONCE = 100  # in one transaction, which locks their runs
BELIEVED_LEASES = 12
"""For so many leases a step is not sent again, if the broker may have its message."""


def repair(door: Door, held: Sequence[Attempt]) -> list[SentStep]:
    """Take what is to be sent again. `held` are attempts whose messages this process has received and not begun."""
    engine = door.engine
    if held:
        renew(door, held)
    with engine.reading() as tx:
        found = overdue(tx, door.name, engine.store.now(), limit=AT_ONCE)
    if not found:
        return []
    waiting = set(_that_wait(door, found))
    if waiting:
        renew(door, waiting)
    lost = [late.attempt for late in found if late.attempt not in waiting]
    again: list[SentStep] = []
    for first in range(0, len(lost), RESENT_AT_ONCE):
        taken = engine.act(resend, lost[first : first + RESENT_AT_ONCE], wait_seconds=door.lease_seconds)
        again += taken.sent
        while taken.left:
            taken = door.exchange(taken.left)
            again += taken.sent
    return again


def renew(door: Door, attempts: Iterable[Attempt]) -> None:
    """Let attempts be late only when another lease has passed."""
    until = door.engine.store.now() + timedelta(seconds=door.lease_seconds)
    door.engine.act(renew_all, sorted(attempts), until=until)


def _that_wait(door: Door, found: Sequence[Overdue]) -> Iterator[Attempt]:
    """Those whose messages may wait in the broker. A queue gives out the oldest first."""
    believed = door.engine.store.now() - timedelta(seconds=BELIEVED_LEASES * door.lease_seconds)
    by_queue: dict[str, list[Overdue]] = defaultdict(list)
    for late in found:
        if late.sent_at is not None and late.sent_at > believed:
            by_queue[late.queue].append(late)
    for queue, late_ones in by_queue.items():
        depth = depth_of(door.broker, bare(queue).removeprefix(f"@{door.name}:"))
        if not depth:
            continue
        with door.engine.reading() as tx:
            rows = tx.all("sent_last", executor=door.name, queue=queue, before=depth - 1)
            oldest = tx.datetime(rows[0][0]) if rows else None  # fewer were sent than wait there
        for late in late_ones:
            if oldest is None or (late.sent_at is not None and late.sent_at >= oldest):
                yield late.attempt


def depth_of(broker: Any, queue: str) -> int:
    """How many messages a queue of the broker has; 0 if it cannot say that.

    On Redis, that includes those that workers have received.
    """
    try:
        if hasattr(broker, "get_queue_message_counts"):  # RabbitMQ
            return int(broker.get_queue_message_counts(queue)[0])
        if hasattr(broker, "client"):  # Redis
            return int(broker.client.hlen(f"{broker.namespace}:{queue}.msgs"))
        return int(broker.queues[queue].qsize())
    except Exception as error:  # noqa: BLE001 - the broker is away, has no such queue, or is of another kind
        logger.debug("The broker does not say how many messages wait in %s: %s", queue, error)
        return 0

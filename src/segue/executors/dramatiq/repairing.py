"""Messages that may be lost: their steps are sent, and have not begun in time.

They are sent again as the next attempt, unless the broker still has them (executors/lateness.py), or this process has
received them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from segue.engine.dispatch import SentStep, resend
from segue.executors.lateness import Lateness
from segue.model import Attempt
from segue.observing.harmless_log import get_logger
from segue.plan.namespaces import bare, stored

if TYPE_CHECKING:
    from segue.executors.dramatiq.door import Door

logger = get_logger("segue.dramatiq")


def repair(door: Door, held: Sequence[Attempt]) -> list[SentStep]:
    """Take what is to be sent again. `held` are attempts whose messages this process has received and not begun."""
    engine = door.engine
    if held:
        renew(door, held)
    again: list[SentStep] = []
    for attempts in _lateness(door).lost(engine):
        taken = engine.act(resend, attempts, wait_seconds=door.lease_seconds)
        again += taken.sent
        while taken.left:
            taken = door.exchange(taken.left)
            again += taken.sent
    return again


def renew(door: Door, attempts: Iterable[Attempt]) -> None:
    """Let attempts be late only when another lease has passed."""
    _lateness(door).renew(door.engine, attempts)


def _lateness(door: Door) -> Lateness:
    prefix = stored(door.namespace, f"@{door.name}")
    return Lateness(door.name, prefix, door.lease_seconds, partial(_depths, door))


def _depths(door: Door, queues: Sequence[str]) -> dict[str, int]:
    """How many messages the broker has in each of these queues that has some."""
    found = {queue: depth_of(door.broker, bare(queue).removeprefix(f"@{door.name}:")) for queue in queues}
    return {queue: depth for queue, depth in found.items() if depth > 0}


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

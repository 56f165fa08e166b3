"""Later steps first: messages of steps further down in their run overtake others, so that runs end before more begin.

Brokers count in opposite directions. With RabbitMQ 9 is the most urgent, in queues with `x-max-priority`. With kombu's
Redis 0 is, and only some numbers differ: those of the transport option `priority_steps`, 0, 3, 6 and 9 by default.
Priorities that the project sets itself are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from msgspec import structs

from segue.errors import ConfigError
from segue.executors.celery.codec import dumps
from segue.executors.celery.spec import options_of
from segue.plan.graph import Node

HIGHEST = 9
REDIS_STEPS = (0, 3, 6, 9)


def later_first(app: Celery, nodes: Sequence[Node]) -> list[Node]:
    """The steps with priorities by their position: 1 for those that begin a run, and at most 9."""
    found = []
    for node, position in zip(nodes, _positions(nodes), strict=True):
        options = options_of(node.spec)
        options.setdefault("priority", message_priority(app, position))
        spec = dumps(options, f"an option of {node.name}")
        found.append(structs.replace(node, priority=min(position, HIGHEST), spec=spec))
    return found


def _positions(nodes: Sequence[Node]) -> list[int]:
    """For each step the number of steps on the longest way to it, itself included."""
    positions = [1] * len(nodes)
    children: list[list[int]] = [[] for _ in nodes]
    left = [len(set(node.parents)) for node in nodes]
    for number, node in enumerate(nodes):
        for parent in set(node.parents):
            children[parent].append(number)
    free = [number for number, count in enumerate(left) if not count]
    while free:
        number = free.pop()
        for child in children[number]:
            positions[child] = max(positions[child], positions[number] + 1)
            left[child] -= 1
            if not left[child]:
                free.append(child)
    return positions


def message_priority(app: Celery, position: int) -> int:
    """What the app's broker calls the priority of a step at this position. Raises ConfigError if it has none."""
    kind = app.connection_for_write().transport.driver_type
    if kind == "redis":
        steps = sorted(app.conf.broker_transport_options.get("priority_steps") or REDIS_STEPS, reverse=True)
        found: int = steps[min(position, len(steps)) - 1]
        return found
    if kind != "amqp":
        raise ConfigError(
            f"install(priority='later_first') needs Redis or RabbitMQ as the broker. The app's is {kind!r}, whose "
            "messages have no priorities, or none whose order is known. Leave it out."
        )
    return min(position, HIGHEST)

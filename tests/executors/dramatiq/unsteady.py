"""Deliveries that are unsteady: each message of a step comes never, once, twice or three times, as a seed says.

Copies go back to the broker, for any worker. A message that never comes is gone, as after a crash of the broker. Copies
are not copied again.
"""

from __future__ import annotations

import random
from typing import Any

from dramatiq import Broker

TIMES, WEIGHTS = (0, 1, 2, 3), (20, 40, 20, 20)
COPIED = "copied_by_the_test"


def install_unsteady(broker: Broker, seed: str) -> None:
    """Let deliveries to this process be unsteady."""
    consume = broker.consume

    def unsteadily(queue_name: str, *args: Any, **kwargs: Any) -> Any:
        return _Unsteady(broker, consume(queue_name, *args, **kwargs), seed)

    broker.consume = unsteadily  # type: ignore[method-assign]


class _Unsteady:
    """A consumer whose messages come as often as the seed says."""

    def __init__(self, broker: Broker, consumer: Any, seed: str) -> None:
        self._broker, self._consumer, self._seed = broker, consumer, seed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def __iter__(self) -> _Unsteady:
        return self

    def __next__(self) -> Any:
        message = next(self._consumer)
        if message is None or "segue" not in message.options or COPIED in message.options:
            return message
        chance = random.Random(f"{self._seed} {message.args} {message.options['segue']}")
        [times] = chance.choices(TIMES, WEIGHTS)
        for _ in range(times - 1):
            self._broker.enqueue(message.copy(options={COPIED: True}))
        if times:
            return message
        self._consumer.ack(message)
        return None

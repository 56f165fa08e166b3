"""Lets Dramatiq's Redis consumers look for the next message soon, while messages of steps come and go.

A consumer that finds nothing sleeps 5 to 10 ms, then twice as long, and so on, which is longer than a step of a chain
takes. What it counts is set back, so that it looks a few times more before it sleeps. Other brokers push
messages to their consumers, which have no such counter.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

_MORE_LOOKS = -5


def hasten(workers: Iterable[Any], queue: str) -> None:
    """Let the consumers of a queue look soon."""
    for worker in workers:
        with suppress(Exception):  # only the speed is at stake
            consumer = worker.consumers[queue].consumer
            if type(consumer.misses) is int and consumer.misses > _MORE_LOOKS:
                consumer.misses = _MORE_LOOKS

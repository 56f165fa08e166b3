"""Deliveries that are unsteady: each message of a step comes never, once, twice or three times, as a seed says.

It stands between the broker and the worker's main process, at the one place where kombu hands over what it has read.
Copies come at once, to the same worker, or go back to the broker, for any worker; half of them say that they were
delivered before. A message that never comes is gone, as after a crash of the broker. Copies are not copied again.
"""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable
from typing import Any

from kombu.transport.virtual import Transport

HEADER, COPIED = "segue", "copied_by_the_test"
TIMES = (0, 1, 2, 3)
WEIGHTS = (20, 40, 20, 20)


def times_of(seed: str, message: Any) -> tuple[int, random.Random]:
    """How often a message comes, and the chance for all else; the same for the same seed, call and attempt."""
    headers = message.get("headers") or {}
    attempt = headers[HEADER][2]
    chance = random.Random(f"{seed} {headers.get('task')} {headers.get('argsrepr')} {attempt}")
    [times] = chance.choices(TIMES, WEIGHTS)
    return times, chance


def install_unsteady(seed: str) -> None:
    """Let deliveries to this process be unsteady. Only for brokers of kombu's own kind, such as Redis."""
    plain: Callable[..., Any] = Transport._deliver

    def deliver(self: Any, message: Any, queue: Any) -> Any:
        headers = message.get("headers") or {}
        if HEADER not in headers or COPIED in headers:
            return plain(self, message, queue)
        times, chance = times_of(seed, message)
        copies = [_copy(message, chance) for _ in range(times - 1)]
        come_first = [each for each in copies if chance.random() < 0.5]
        for each in copies:
            if each not in come_first:
                next(channel for channel in self.channels if channel)._put(queue, each)
        for each in ([message] if times else []) + come_first:
            plain(self, each, queue)
        return None

    Transport._deliver = deliver


def _copy(message: Any, chance: random.Random) -> Any:
    again = copy.deepcopy(message)
    again["headers"][COPIED] = True
    again["properties"]["delivery_tag"] = str(uuid.uuid4())
    if chance.random() < 0.5:
        again["headers"]["redelivered"] = True
        again["properties"]["delivery_info"]["redelivered"] = True
    return again

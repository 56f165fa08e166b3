"""A Dramatiq project: its broker and actors, as a user's module has them.

`python -m dramatiq tests.executors.dramatiq.project:broker` reads where things are from PROJECT_*.
"""

from __future__ import annotations

import os
from typing import Any

from dramatiq import Broker, set_broker
from dramatiq.middleware import AsyncIO, CurrentMessage
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend, StubBackend

from segue import Segue
from segue.executors.dramatiq import SegueMiddleware
from tests.executors.dramatiq.actors import SkipsSome, declare_actors


def make_broker(url: str, segue: Segue, **options: Any) -> Broker:
    """A broker with its actors, connected to a database. `url` is of Redis or RabbitMQ; "stub": in this process."""
    broker: Any
    if url == "stub":
        from dramatiq.brokers.stub import StubBroker

        broker = StubBroker()
        broker.add_middleware(Results(backend=StubBackend()))
    elif url.startswith("redis"):
        from dramatiq.brokers.redis import RedisBroker

        broker = RedisBroker(url=url)
        broker.add_middleware(Results(backend=RedisBackend(url=url)))
    else:
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        broker = RabbitmqBroker(url=url)
        broker.add_middleware(Results(backend=StubBackend()))  # which only that process can read
    broker.add_middleware(CurrentMessage())
    broker.add_middleware(AsyncIO())
    broker.add_middleware(SkipsSome())
    broker.add_middleware(SegueMiddleware(segue, **options))
    declare_actors(broker)
    return broker  # type: ignore[no-any-return]


if "PROJECT_BROKER" in os.environ:
    broker = make_broker(
        os.environ["PROJECT_BROKER"], Segue(os.environ["PROJECT_DATABASE"]),
        lease_seconds=float(os.environ.get("PROJECT_LEASE_SECONDS", "60")),
    )  # fmt: skip
    set_broker(broker)

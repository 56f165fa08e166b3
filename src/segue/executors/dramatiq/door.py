"""The door: what one broker of Dramatiq and one Segue database have to do with each other, in this process."""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import dramatiq.broker
from dramatiq import Broker

from segue.engine.act import Act
from segue.engine.dispatch import Dispatch, Exchanged, Sender, SentStep
from segue.engine.engine import Engine
from segue.engine.executing import Executor
from segue.errors import ConfigError
from segue.executors.dramatiq.fetching import Fetcher
from segue.executors.dramatiq.publish import Publisher
from segue.executors.long_values import LongValues
from segue.model import Outcome
from segue.observing.harmless_log import get_logger
from segue.plan.namespaces import stored
from segue.store import open_store

logger = get_logger("segue.dramatiq")

AT_ONCE = 500

_doors: weakref.WeakSet[Door] = weakref.WeakSet()


class Door:
    """Made by `SegueMiddleware`. It may be used by any thread, and by processes that were forked."""

    def __init__(self, engine: Engine, *, name: str, lease_seconds: float, window: int) -> None:
        self.name = name
        self.executor = Executor(name, is_fenced=True)
        self.lease_seconds = lease_seconds
        self.window = window
        self.broker: Broker | None = None  # known when it declares its first actor or queue
        self.publisher = Publisher(self)
        self.fetcher: Fetcher | None = None  # while this process has a worker
        self._url, self.namespace = engine.store.url, engine.namespace
        self.values = LongValues(name, engine.payloads)
        self._engines = {os.getpid(): engine}
        engine.payload_executors.add(name)  # the messages of its steps carry what rows refer to
        engine.senders[name] = Sender(self.dispatch, self.deliver)
        _doors.add(self)

    @property
    def engine(self) -> Engine:
        """The engine of this process: one that was forked gets its own, with its own connections."""
        pid = os.getpid()
        found = self._engines.get(pid)
        if found is None:
            found = Engine(open_store(self._url), namespace=self.namespace, payloads=self.values.payloads)
            found.senders[self.name] = Sender(self.dispatch, self.deliver)
            self._engines = {pid: found}
        return found

    @property
    def host(self) -> str:
        """How this process is called in the records of attempts."""
        return f"{socket.gethostname()}:{os.getpid()}"

    @property
    def actors(self) -> Mapping[str, Any]:
        """The actors of the broker, by name."""
        return {} if self.broker is None else self.broker.actors

    def dispatch(self) -> Dispatch:
        """What this process may send: nothing, as long as its broker is not known."""
        prefix = stored(self.namespace, f"@{self.name}:")
        limit = 0 if self.broker is None else AT_ONCE
        return Dispatch(
            self.executor, prefix, limit=limit, wait_seconds=self.lease_seconds, window=self.window
        )  # fmt: skip

    def exchange(
        self, outcomes: list[Outcome], *, freed: int = 0, timers: bool = False, takes: bool = True,
        also: Callable[[Act], object] | None = None,
    ) -> Exchanged:  # fmt: skip
        """Report outcomes, and take what may be sent now, or nothing. The caller sends it. Raises StoreError.

        `also` is done in the same transaction.
        """
        dispatch = self.dispatch()._replace(timers=timers)
        if not takes:
            dispatch = dispatch._replace(limit=0)
        return self.engine.exchange(outcomes, dispatch=dispatch, by=self.host, freed=freed, also=also)

    def deliver(self, taken: Exchanged) -> None:
        """Send what was taken, and what may be sent after that."""
        while True:
            left = taken.left + self.publish(taken.sent)
            if not left and (self.broker is None or not taken.is_full):
                return
            taken = self.exchange(left, freed=len(left))

    def publish(self, steps: list[SentStep]) -> list[Outcome]:
        """Send messages. Returns the outcomes of those that can never be sent.

        If the broker is away, they are sent again later.
        """
        if not steps:
            return []
        refused, fetcher = self.publisher.send(steps), self.fetcher
        if fetcher is not None:
            fetcher.sent({self.queue_of(step) for step in steps})
        return refused

    def queue_of(self, step: SentStep) -> str:
        """The queue of the broker to which a step is sent."""
        return step.queue.removeprefix(f"@{self.name}:")


def door_for(actor: str | None, broker: Any = None) -> Door:
    """The door of a broker; without one, the door of the only broker, or of the one that knows the actor.

    Raises ConfigError when there is none.
    """
    doors = list(_doors)
    if broker is not None:
        found = [door for door in doors if _is_of(door, broker)]
        if found:
            found[0].broker = broker
            return found[0]
        raise ConfigError(f"{broker!r} is not connected to Segue. Call broker.add_middleware(SegueMiddleware(segue)).")
    knowing = [door for door in doors if actor in door.actors]
    if len(knowing) == 1:
        return knowing[0]
    globally = dramatiq.broker.global_broker  # not `get_broker`, which would make one
    among = [door for door in (knowing or doors) if globally is not None and _is_of(door, globally)]
    if len(among) == 1:
        among[0].broker = globally
        return among[0]
    if len(doors) == 1:
        return doors[0]
    if not doors:
        raise ConfigError(
            f"{actor or 'A delay'} cannot be started, because no broker is connected to Segue. "
            "Call broker.add_middleware(SegueMiddleware(segue))."
        )
    raise ConfigError(
        f"{actor or 'A delay'} may be of several brokers that are connected to Segue. Call dramatiq.set_broker(broker)"
        ", or give the broker: pipeline([...], broker=broker)."
    )


def _is_of(door: Door, broker: Any) -> bool:
    if door.broker is broker:
        return True
    return any(getattr(middleware, "door", None) is door for middleware in broker.middleware)

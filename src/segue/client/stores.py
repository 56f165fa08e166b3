"""The stores of this process: objects for the same database share one.

Promises: the connections, threads and descriptors of a store are released when the last object that uses it is closed
or garbage-collected; closing one object does not disturb another; a fork shares nothing with its parent.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import suppress

from segue.clock import Clock
from segue.engine.engine import Engine
from segue.payloads.keeping import Payloads
from segue.store import open_store
from segue.store.protocol import Store

_Key = tuple[object, ...]


class _Shared:
    """A store, and the number of its users."""

    def __init__(self, key: _Key, store: Store) -> None:
        self.key = key
        self.store = store
        self.users: set[int] = set()
        self.pid = os.getpid()


class StoreUse:
    """The use of a store by one object, until the object gives it back."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared

    def give_back(self) -> None:
        """Close the store if no other object uses it. Calling it again closes connections opened in the meantime."""
        shared = self._shared
        with _lock:
            shared.users.discard(id(self))
            is_last = not shared.users
            if is_last and _open.get(shared.key) is shared:
                del _open[shared.key]
        if is_last or shared.pid != os.getpid():
            shared.store.close()

    def forget(self) -> None:
        """The same for an object that was garbage-collected. A fork does not close what it inherited."""
        if self._shared.pid == os.getpid():
            with suppress(RuntimeError):  # the collector may run in one of the pool's threads, which cannot join itself
                self.give_back()


_open: dict[_Key, _Shared] = {}
_lock = threading.RLock()  # reentrant: the garbage collector may give a store back while this thread takes one


def shared_engine(
    url: str, namespace: str = "", payloads: Payloads | None = None, *, clock: Clock | None = None
) -> tuple[Engine, StoreUse]:
    """A new engine on this process's store for `url`. Raises ConfigError.

    The store is given back when the engine, and every object made from it, is garbage-collected. Those with a `clock`
    of their own share a store only with those that have the same.
    """
    fresh = open_store(url) if clock is None else open_store(url, clock=clock)
    key = (os.getpid(), fresh.url, clock, *_surroundings(fresh))
    with _lock:
        shared = _open.get(key)
        if shared is None or (shared.store.file is not None and shared.store.file.is_lost):
            shared = _open[key] = _Shared(key, fresh)
        use = StoreUse(shared)
        shared.users.add(id(use))
    monotonic = time.monotonic if clock is None else clock.monotonic
    engine = Engine(shared.store, namespace=namespace, payloads=payloads, monotonic=monotonic)
    weakref.finalize(engine, use.forget)
    return engine, use


def _surroundings(store: Store) -> tuple[tuple[str, str], ...]:
    """The rest of a database's address: libpq takes the parts that a URL leaves out from the environment."""
    if store.dialect == "sqlite":
        return ()
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("PG")))


def _reset_after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread may have held it when the process was forked


os.register_at_fork(after_in_child=_reset_after_fork)

"""The connections that a SQLite store keeps: one for each thread that uses it, for as long as the thread lives.

Promises: a connection is closed when its thread has ended, or when the store is closed or forgotten, but never while a
thread uses it. A fork does not touch inherited connections. One connection of an ended thread is kept for the next
thread: opening one is expensive, and closing the last one even more so.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

from segue.errors import StoreError
from segue.store.sqlite_file import Beside, Folder, Identity

_inherited: list[Any] = []  # a fork must not even close what it inherited: that would affect the locks of the parent


LOOK_BESIDE_SECONDS = 0.05
"""Time between two checks of the timestamps of the log and the shared memory."""


_gate = threading.RLock()  # closed before a fork: no thread takes a connection, or opens one, meanwhile
_every: weakref.WeakSet[HeldConnection] = weakref.WeakSet()


def close_gate(seconds: float) -> bool:
    """Before a fork, wait until no other thread of this process uses SQLite, at most so long.

    SQLite counts the locks of all connections of a process in its memory. A child that is forked while a thread holds
    one finds it taken, and no thread of its own will ever give it back: it would wait for the file without end.
    Returns whether the gate is closed; `open_gate` opens it again.
    """
    end = time.monotonic() + seconds
    if not _gate.acquire(timeout=seconds):
        return False
    me = threading.get_ident()
    while any(held.is_used_but_by(me) for held in list(_every)) and time.monotonic() < end:
        time.sleep(0.0005)
    return True


def open_gate() -> None:
    """Let threads use SQLite again."""
    _gate.release()


def opening() -> AbstractContextManager[bool]:
    """A connection is opened inside this block."""
    return _gate


def _renew_gate() -> None:
    global _gate
    _gate = threading.RLock()


os.register_at_fork(after_in_child=_renew_gate)


class HeldConnection:
    """A connection of one thread; used between `take` and `give_back`. Only its own thread may close it in between."""

    def __init__(self, connection: sqlite3.Connection, identity: Identity, beside: Beside) -> None:
        self.connection = connection
        self.identity = identity
        self.beside = beside
        self.is_doomed = False
        self.quiet_folder: Folder | None = None  # the file's folder when everything was last in order
        self.spare: Spare | None = None  # gets the connection when the thread has ended
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._look_at = 0.0
        self._user = 0  # the thread that uses it
        _every.add(self)

    def is_used_but_by(self, thread: int) -> bool:
        """Whether another thread than this one uses it."""
        return self._lock.locked() and self._user != thread

    def wants_a_look_beside(self) -> bool:
        """True now and then: reading the log's times makes the next commit write them, which takes longer."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_BESIDE_SECONDS
        return True

    def take(self) -> bool:
        """Begin to use it. Returns False if it is closed, or about to be.

        Raises StoreError if its thread has a transaction open on it.
        """
        with _gate:
            is_mine = self._lock.acquire(blocking=False)
            self._user = threading.get_ident()
        if self.is_doomed:
            if is_mine:
                self._lock.release()
            return False
        if not is_mine and self.connection.in_transaction:
            raise StoreError("This thread has a transaction of this store open. End it before you begin another.")
        return True  # an interrupt came between taking it and returning it

    def give_back(self) -> None:
        """Stop using it."""
        with suppress(RuntimeError):  # see the interrupt above
            self._lock.release()
        if self.is_doomed:
            self._close_unless_used()

    def doom(self) -> None:
        """Close it now, or as soon as its thread returns it."""
        self.is_doomed = True
        self._close_unless_used()

    def _close_unless_used(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                if self._pid == os.getpid():
                    self.connection.close()
            except sqlite3.Error:
                pass  # it is no longer of use, and uncommitted changes must not be committed
            finally:
                self._lock.release()

    def __del__(self) -> None:
        if self._pid != os.getpid():
            _inherited.append(self.connection)
            return
        with suppress(sqlite3.Error):
            if self.spare is None or self.is_doomed or not self.spare.takes(self):
                self.connection.close()


class Spare:
    """A connection whose thread has ended, for the next thread. Has no lock: finalizers may run at any moment."""

    def __init__(self) -> None:
        self._kept: list[tuple[sqlite3.Connection, Identity, Beside]] = []
        self._is_over = False

    def takes(self, held: HeldConnection) -> bool:
        """Keep the connection of a thread that ends, unless another is kept."""
        if self._is_over or self._kept or held.connection.in_transaction:
            return False
        self._kept.append((held.connection, held.identity, held.beside))
        return True

    def handed_out(self, identity: Identity | None) -> HeldConnection | None:
        """Return the kept connection if it is open on this file."""
        try:
            connection, its_identity, beside = self._kept.pop()
        except IndexError:
            return None
        if its_identity == identity:
            return HeldConnection(connection, its_identity, beside)
        connection.close()
        return None

    def end(self) -> None:
        """Close the kept connection, and keep none from now on."""
        self._is_over = True
        while self._kept:
            with suppress(sqlite3.Error, IndexError):
                self._kept.pop()[0].close()


class HeldConnections:
    """The connections of all threads of this process."""

    _spare: Spare

    def __init__(self) -> None:
        self._begin()

    def mine(self) -> HeldConnection | None:
        """Take this thread's connection; None if it has no usable one."""
        if self._pid != os.getpid():
            _inherited.extend((self._spare, *self._all))
            self._begin()
        held: HeldConnection | None = getattr(self._local, "held", None)
        return held if held is not None and held.take() else None

    def spared(self, identity: Identity | None) -> HeldConnection | None:
        """Return the connection of an ended thread, if one is open on this file; pass it to `keep`."""
        return self._spare.handed_out(identity)

    def keep(self, held: HeldConnection) -> HeldConnection:
        """Make it this thread's connection, and take it."""
        held.take()
        held.spare = self._spare
        self._local.held = held  # the only strong reference: it disappears with the thread
        with self._lock:
            self._all.add(held)
        return held

    def close(self, *, but: Identity | None = None) -> None:
        """Close all connections; with `but`, only those that opened another file."""
        if self._pid != os.getpid():
            return
        with self._lock:
            doomed = [held for held in self._all if held.identity != but]
        for held in doomed:
            held.doom()
        self._spare.end()
        self._spare = Spare()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._all: weakref.WeakSet[HeldConnection] = weakref.WeakSet()
        self._spare = Spare()

    def __del__(self, *, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_ending():
            return  # the modules are emptied, so nothing can be called; the process closes its files
        if self._pid == os.getpid():
            self._spare.end()
        else:
            _inherited.append(self._spare)

"""The sessions of one store in one process, shared by its threads.

Promises: threads that wait for a session get one in the order in which they asked, and share the existing ones if the
server gives no more. A session that the server ended while it was idle is not handed out. A session belongs to one
process: a fork makes its own pool.

Nothing runs in the background: the thread that needs a session opens it, and gets the error if that fails.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import psycopg

from segue.errors import StoreBusyError
from segue.store.postgres_address import Address
from segue.store.postgres_errors import LOST_STATEMENTS, is_full
from segue.store.postgres_session import Session, open_session

CONNECT_PATIENCE_SECONDS = 5.0  # for a server that was there before and does not answer now
CONNECT_PAUSE_SECONDS = 0.2
TURN_SECONDS = 30.0  # how long to wait for a session that others use
IDLE_SECONDS = 60.0
LIFE_SECONDS = 3600.0


class _Waiter:
    """A waiting thread. Without a session it may open one when its turn comes."""

    __slots__ = ("has_come", "session")

    def __init__(self) -> None:
        self.has_come = threading.Event()
        self.session: Session | None = None


class Pool:
    """A pool of up to `most` sessions. The session used last is handed out first."""

    def __init__(self, address: Address, most: int) -> None:
        self.checking = threading.Lock()
        self.is_checked = False  # the tables exist, and their version is right
        self.schema: str | None = None  # found by the first session, used by all
        self.database = ""
        self.is_pooled = False  # a pooler is between these sessions and the server
        self._address = address
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._waiting: deque[_Waiter] = deque()
        self._size = 0
        self._generation = 0
        self._was_connected = False
        self._is_closed = False

    def get(self) -> Session:
        """Return a session that seems sound. Raises psycopg's errors, and StoreBusyError after TURN_SECONDS."""
        may_open = True
        while True:
            session = self._sound(self._offered(may_open=may_open))
            if session is not None:
                return session
            try:
                return self._connected()
            except BaseException as error:
                may_open = not self._can_do_with_less(error)
                if may_open:
                    self._give_up_place()
                    raise

    def put(self, session: Session) -> None:
        """Give a session back. A session that is closed, too old or in a transaction is not used again."""
        if self._is_worn(session):
            session.close()
            self._give_up_place()
            return
        now = session.idle_since = time.monotonic()
        old = None
        with self._lock:
            if self._waiting:
                waiter = self._waiting.popleft()
                waiter.session = session
                waiter.has_come.set()
                return
            self._idle.append(session)
            if len(self._idle) > 1 and now - self._idle[0].idle_since > IDLE_SECONDS:
                old = self._idle.pop(0)
                self._size -= 1
        if old is not None:
            old.close()

    def renew(self) -> None:
        """Stop using the present sessions: their server has changed."""
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
            self._size -= len(idle)
        for session in idle:
            session.close()

    def close(self) -> None:
        """Close idle sessions now, and the others when they are given back."""
        self._is_closed = True
        self.renew()

    def _is_worn(self, session: Session) -> bool:
        return (
            session.closed
            or self._is_closed
            or session.generation != self._generation
            or session.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE
            or time.monotonic() - session.made_at > LIFE_SECONDS
        )

    def _turn(self, waiter: _Waiter) -> Session | None:
        try:
            has_come = waiter.has_come.wait(TURN_SECONDS)
        except BaseException:  # Ctrl-C
            if not self._leave_queue(waiter):
                self._pass_on(waiter)
            raise
        if not has_come and self._leave_queue(waiter):
            raise StoreBusyError(
                f"All {self._size} connections of this process to {self._address.place} were in use for "
                f"{TURN_SECONDS:g} s, and {len(self._waiting)} more threads are waiting. "
                "Use fewer threads at once, or find out what makes transactions slow."
            )
        return waiter.session

    def _pass_on(self, waiter: _Waiter) -> None:
        if waiter.session is None:
            self._give_up_place()
        else:
            self.put(waiter.session)

    def _leave_queue(self, waiter: _Waiter) -> bool:
        """False if the turn came after all: the waiter then has a session, or permission to open one."""
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                return True
        return False

    def _give_up_place(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().has_come.set()
            else:
                self._size -= 1

    def _offered(self, *, may_open: bool) -> Session | None:
        """Return a session, or None as permission to open one. Waits for either."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self._size < (self._most if may_open else 1):
                self._size += 1
                return None
            waiter = _Waiter()
            self._waiting.append(waiter)
        return self._turn(waiter)

    def _sound(self, session: Session | None) -> Session | None:
        """Return it, or another idle session, if it is sound; None is permission to open a new one."""
        try:
            while session is not None and not (session.generation == self._generation and session.is_sound()):
                session.close()
                with self._lock:  # finds the others that broke with it here, not one at each use
                    session = self._idle.pop() if self._idle else None
                    if session is not None:
                        self._size -= 1
        except BaseException:
            if session is not None:
                session.close()
            self._give_up_place()
            raise
        return session

    def _can_do_with_less(self, error: BaseException) -> bool:
        """Give the permission up, to no other thread, if the server refuses a further session and others exist here."""
        if not isinstance(error, psycopg.OperationalError) or not is_full(error):
            return False
        with self._lock:
            if self._size == 1:
                return False
            self._size -= 1
        return True

    def _connected(self) -> Session:
        """Open a session. A server that was there before may be restarting: keep trying for some seconds."""
        deadline = time.monotonic() + CONNECT_PATIENCE_SECONDS
        generation = self._generation
        while True:
            try:
                session = open_session(self._address, self.schema)
            except psycopg.OperationalError as error:
                if not self._was_connected or error.sqlstate in LOST_STATEMENTS or time.monotonic() >= deadline:
                    raise
                if is_full(error) and self._size > 1:
                    raise
                time.sleep(CONNECT_PAUSE_SECONDS)
                continue
            session.generation = generation
            self.schema, self.database, self.is_pooled = session.schema, session.database, session.is_pooled
            self._was_connected = True
            return session

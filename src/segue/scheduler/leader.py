"""Who does the chores: one process of those that could, as long as it renews a lease.

Promises: at most one process believes that it leads, but for one that was stopped in the middle of something (so the
chores are made to bear two); when the leader dies another one leads after the lease at the latest; one that ends in
order is succeeded at once. The database's clock decides.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from segue.engine.engine import Engine
from segue.engine.ids import new_id
from segue.store.protocol import Store, Transaction

CHORES = "chores"
LEASE_SECONDS = 6.0
LOOK_SECONDS = 2.0  # how often those who do not lead look whether somebody does


class LeaderInfo(msgspec.Struct, frozen=True):
    """Who leads, or was the last to."""

    holder: str
    host: str  # host:pid
    term: int  # how many leaders there have been
    since: datetime
    lease_until: datetime


def leader_info(store: Store, tx: Transaction) -> LeaderInfo | None:
    """Who has the lease or had it last; None when nobody ever had. Compare `lease_until` with the database's clock."""
    rows = tx.all("leader_row", name=CHORES)
    if not rows:
        return None
    holder, host, term, since, until = rows[0]
    return LeaderInfo(str(holder), host, term, _time(store, since), _time(store, until))


class Lead:
    """This process's claim to lead."""

    def __init__(self, engine: Engine, *, monotonic: Callable[[], float], lease_seconds: float = LEASE_SECONDS) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._lease_seconds = lease_seconds
        self._holder = ""
        self._host = f"{socket.gethostname()}:{os.getpid()}"
        self._until = 0.0  # of the stopwatch: when the lease has run out for certain
        self._ask_at = monotonic()
        self.term = 0

    @property
    def is_mine(self) -> bool:
        """Whether this process leads, as far as it can know without asking."""
        return self.term > 0 and self._monotonic() < self._until

    @property
    def wait_seconds(self) -> float:
        """How long until the database must be asked again."""
        return max(self._ask_at - self._monotonic(), 0.0)

    def ask(self) -> bool:
        """Renew the lease, or take it when nobody has it; True when this process leads now."""
        begun = self._monotonic()
        store = self._engine.store
        if self.term == 0:
            now = store.now()
            with store.reading() as tx:
                info = leader_info(store, tx)
            if info is not None and info.lease_until > now:
                left = (info.lease_until - now).total_seconds() + 0.01
                self._ask_at = begun + min(left, LOOK_SECONDS, self._lease_seconds / 3)
                return False
        self.term = self._engine.act(self._take)
        if self.term:
            self._until = begun + self._lease_seconds
        self._ask_at = begun + min(LOOK_SECONDS, self._lease_seconds / 3)
        return self.is_mine

    def give_up(self) -> None:
        """Let somebody else lead at once."""
        if self.term:
            self.term = 0
            self._engine.act(lambda tx, now: tx.all("give_up_lead", name=CHORES, holder=self._holder, now=now))

    def _take(self, tx: Transaction, now: datetime) -> int:
        self._holder = self._holder or new_id(now)
        until = now + timedelta(seconds=self._lease_seconds)
        rows = tx.all(
            "take_lead", name=CHORES, holder=self._holder, host=self._host, now=now, lease_until=until
        )  # fmt: skip
        return int(rows[0][0]) if rows else 0


def _time(store: Store, value: object) -> datetime:
    moment = store.datetime(value)
    assert moment is not None
    return moment

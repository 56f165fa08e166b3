"""Elects the process that does the chores: one process of a namespace, as long as it renews a lease.

Promises: at most one process believes that it leads, except one that was stopped in the middle of its work (so the
chores tolerate two); when the leader dies another one leads after the lease at the latest; a leader that ends in order
is succeeded immediately. The database's clock decides.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.engine.stored import known_moment
from segue.jsonable import Jsonable
from segue.plan.namespaces import DEFAULT, stored
from segue.store.protocol import Transaction

CHORES = "chores"
LEASE_SECONDS = 6.0
LOOK_SECONDS = 2.0  # how often the other processes check whether there is a leader


class LeaderInfo(Jsonable, msgspec.Struct, frozen=True):
    """The current leader, or the last one."""

    holder: str
    host: str  # host:pid
    term: int  # the number of leaders so far
    since: datetime
    lease_until: datetime


def lead_of(namespace: str) -> str:
    """The name of the lead for which the processes of a namespace contend."""
    return stored(namespace, CHORES)


def leader_info(tx: Transaction, namespace: str = DEFAULT) -> LeaderInfo | None:
    """The process of a namespace that has the lease or had it last; None if there was never one.

    Compare `lease_until` with the database's clock.
    """
    rows = tx.all("leader_row", name=lead_of(namespace))
    if not rows:
        return None
    holder, host, term, since, until = rows[0]  # with a damaged end there is no leader, and the next to ask becomes it
    return LeaderInfo(str(holder), host, term, known_moment(tx, since), known_moment(tx, until))


class Lead:
    """This process's claim to lead."""

    def __init__(self, engine: Engine, *, monotonic: Callable[[], float], lease_seconds: float = LEASE_SECONDS) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._lease_seconds = lease_seconds
        self._holder = ""
        self._name = lead_of(engine.namespace)
        self._host = f"{socket.gethostname()}:{os.getpid()}"
        self._until = 0.0  # on the monotonic clock: when the lease has certainly expired
        self._ask_at = monotonic()
        self.term = 0

    @property
    def is_mine(self) -> bool:
        """Whether this process leads, as far as it can know without asking."""
        return self.term > 0 and self._monotonic() < self._until

    @property
    def wait_seconds(self) -> float:
        """The seconds until the database must be asked again."""
        return max(self._ask_at - self._monotonic(), 0.0)

    def ask(self) -> bool:
        """Renew the lease, or take it if it is free. True if this process leads now."""
        begun = self._monotonic()
        store = self._engine.store
        if self.term == 0:
            now = store.now()
            with store.reading() as tx:
                info = leader_info(tx, self._engine.namespace)
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
        """Let another process lead immediately."""
        if self.term:
            self.term = 0
            self._engine.act(lambda act: act.tx.all("give_up_lead", name=self._name, holder=self._holder, now=act.now))

    def _take(self, act: Act) -> int:
        self._holder = self._holder or act.new_id()
        until = act.now + timedelta(seconds=self._lease_seconds)
        rows = act.tx.all(
            "take_lead", name=self._name, holder=self._holder, host=self._host, now=act.now, lease_until=until
        )  # fmt: skip
        return int(rows[0][0]) if rows else 0

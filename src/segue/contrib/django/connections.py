"""Middleware that cares for Django's database connections around attempts, as Django does around requests.

Promises: an attempt never gets a connection that the server has closed meanwhile, or that an earlier attempt left in
an open transaction or with an error. CONN_MAX_AGE and CONN_HEALTH_CHECKS mean what they mean in requests. A connection
that was open before a fork is not used in the child, and not closed there either, because its parent still uses it.
"""

from __future__ import annotations

import os
import select
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connections, reset_queries

from segue.authoring.context import Context
from segue.authoring.middleware import Middleware

_inherited: list[object] = []
"""What was open when this process was forked. Kept, because what is collected is closed, with the parent's session."""


class DjangoConnections(Middleware):
    """Closes connections that are old, broken or left in a transaction, before and after each attempt."""

    def process_started(self) -> None:
        """In a fork, forget what was inherited."""
        leave_to_parent()

    @contextmanager
    def around_attempt(self, context: Context) -> Iterator[None]:
        """For the thread of the task."""
        close_unusable()
        try:
            with ExitStack() as stack:
                for connection in connections.all(initialized_only=True):
                    if connection.in_atomic_block:
                        stack.enter_context(keeping_usable(connection))
                yield
        finally:
            close_unusable()

    @asynccontextmanager
    async def around_coroutine(self, context: Context) -> AsyncIterator[None]:
        """For the thread in which Django runs the queries of coroutines."""
        await sync_to_async(close_unusable)()
        try:
            yield
        finally:
            await sync_to_async(close_unusable)()


def close_unusable() -> None:
    """Close this thread's connections as Django does between requests, and those that the server has closed."""
    reset_queries()
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:  # of a caller of `segue.run`, or of a test
            continue
        connection.close_if_unusable_or_obsolete()
        if _has_something_to_say(connection) and not connection.is_usable():
            connection.close()


@contextmanager
def keeping_usable(connection: Any) -> Iterator[None]:
    """For a task in a transaction of the caller, as in a test: an error of the database spoils only the task's part.

    What the task wrote before an error of another kind stays, as it would on a worker.
    """
    savepoint = connection.savepoint()
    try:
        yield
    finally:
        try:
            connection.savepoint_commit(savepoint)
        except DatabaseError:  # the transaction is aborted
            connection.savepoint_rollback(savepoint)
            connection.needs_rollback = False


def _has_something_to_say(connection: Any) -> bool:
    """Whether the server has sent something unasked, such as the end of the session. Costs a system call."""
    fileno = getattr(connection.connection, "fileno", None)
    if fileno is None:
        return False
    try:
        poll = select.poll()
        poll.register(fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except Exception:  # noqa: BLE001 - it is closed already; the driver's own error, whichever driver it is
        return True


def leave_to_parent() -> None:
    """Forget, without closing, what was open when this process was forked, unless it was renewed."""
    for connection in connections.all(initialized_only=True):
        raw = connection.connection
        if raw is not None and _is_inherited(raw) and not _is_in_memory(connection):
            connection.connection = None
        pools = _pools_of(connection)
        for alias in [alias for alias, pool in pools.items() if _is_inherited(pool)]:
            del pools[alias]


def note_inherited() -> None:
    """Called in a fork, before anything else can connect."""
    if not settings.configured:
        return
    for connection in connections.all(initialized_only=True):
        _inherited.append(connection.connection)
        _inherited.extend(_pools_of(connection).values())


def _is_in_memory(connection: Any) -> bool:
    """Whether its database was copied by the fork, as Django's parallel tests do it on purpose."""
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


def _pools_of(connection: Any) -> dict[str, object]:
    """The pools of psycopg, since Django 5.1; their threads do not survive a fork."""
    pools: dict[str, object] = getattr(type(connection), "_connection_pools", {})
    return pools


def _is_inherited(found: object) -> bool:
    return any(found is each for each in _inherited)


os.register_at_fork(after_in_child=note_inherited)

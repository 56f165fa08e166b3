"""Middleware that cares for Django's database connections around attempts, as Django does around requests.

Promises: an attempt never gets a connection that the server has closed meanwhile, or that an earlier attempt left in
an open transaction or with an error. CONN_MAX_AGE and CONN_HEALTH_CHECKS mean what they mean in requests. A connection
that was open before a fork is not used in the child, and not closed there either, because its parent still uses it.
"""

from __future__ import annotations

import os
import select
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections, reset_queries

from segue.authoring.context import Context
from segue.authoring.middleware import Middleware

_inherited: list[object] = []  # kept: what is collected is closed, and the parent's session with it


class DjangoConnections(Middleware):
    """Closes connections that are old, broken or left in a transaction, before and after each attempt."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def process_started(self) -> None:
        """In a fork, forget what was inherited."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            leave_to_parent()

    @contextmanager
    def around_attempt(self, context: Context) -> Iterator[None]:
        """For the thread of the task."""
        close_unusable()
        try:
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
    """Forget, without closing, the connections that were open when this process was forked."""
    for connection in connections.all(initialized_only=True):
        _inherited.append(connection.connection)
        connection.connection = None
        pools = getattr(type(connection), "_connection_pools", {})  # of psycopg, since Django 5.1: its threads are gone
        _inherited.extend(pools.values())
        pools.clear()

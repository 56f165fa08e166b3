"""A time limit for answers that never come.

A network that drops packets, or a proxy that hangs, closes nothing: the driver would wait for minutes. But a server
that is still working must be waited for, however long it takes. So after some seconds of silence a second connection
asks the server whether it is working on the request. If it is, the wait continues. If it is not, or does not answer,
the first connection is given up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

SILENCE_SECONDS = 5.0
LONGEST_SECONDS = 180.0  # the longest wait in any case: a server whose process is frozen seems to work forever
LAST_CHANCE_SECONDS = 1.0  # the answer may have arrived while we asked
ASK_SECONDS = 3

_IS_WORKING = (
    "SELECT state = 'active' AND coalesce(wait_event, '') NOT IN ('ClientRead', 'ClientWrite') "
    "FROM pg_stat_activity WHERE pid = %s"
)


class _Asker(psycopg.Connection[Any]):
    """A connection that waits only for a moment."""

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        deadline = time.monotonic() + ASK_SECONDS

        def look() -> None:
            if time.monotonic() > deadline:
                raise psycopg.OperationalError(f"no answer within {ASK_SECONDS} s")

        return super().wait(_looking(gen, look), *args, **kwargs)


def bounded(gen: Any, is_working: Callable[[], bool], *, has_limit: bool = True) -> Any:
    """Run psycopg's waiting generator `gen`, and raise OperationalError if the server is not working on the answer.

    Without `has_limit` the wait lasts as long as the server reports that it is working.
    """
    silent_since: float | None = None
    began = 0.0
    limit = SILENCE_SECONDS

    def look() -> None:
        nonlocal silent_since, limit, began
        now = time.monotonic()
        if silent_since is None:
            silent_since, limit, began = now, SILENCE_SECONDS, now
        elif now - silent_since > limit:
            if limit == LAST_CHANCE_SECONDS or (has_limit and now - began > LONGEST_SECONDS):
                raise psycopg.OperationalError(
                    f"no answer for {now - began:.0f} s, and the server is not working on the request. "
                    "Check whether something between this machine and the server drops packets."
                )
            silent_since, limit = now, SILENCE_SECONDS if is_working() else LAST_CHANCE_SECONDS

    def heard() -> None:
        nonlocal silent_since
        silent_since = None

    return _looking(gen, look, heard)


def is_working(conninfo: str, pid: int) -> bool:
    """Whether the server at `conninfo` is working for the session with this `pid`."""
    try:
        asked = make_conninfo(conninfo, connect_timeout=ASK_SECONDS)
        connection = _Asker.connect(asked, autocommit=True, prepare_threshold=None)
        try:
            row = connection.execute(_IS_WORKING, [pid]).fetchone()
        finally:
            connection.close()
    except psycopg.Error as error:
        return error.sqlstate is not None or "FATAL" in str(error)  # it answered, even if only that it is too busy
    return row is not None and bool(row[0])


def _looking(gen: Any, look: Callable[[], None], heard: Callable[[], None] = lambda: None) -> Generator[Any, Any, Any]:
    """Run `gen`, and call `look` whenever a short wait brought nothing."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                heard()
            else:
                look()
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value

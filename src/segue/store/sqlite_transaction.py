"""Statements on SQLite inside an open transaction, and how values stand in its rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from segue.store import named
from segue.store.protocol import Row
from segue.store.sqlite_claim import claim_first
from segue.store.sqlite_errors import refuse_value
from segue.store.sqlite_finish import finish, release_more
from segue.store.sqlite_joined import PlainConnection
from segue.store.sqlite_wide import WIDTH, is_insertion, parameters, slim, wide
from segue.store.stretches import LONG, stretches

_TEXT_LENGTH = len("2026-01-31 12:34:56.123456")
_ADAPTED_BOOLEANS = (bool, sqlite3.PrepareProtocol)

_encode = msgspec.json.Encoder().encode
_decode_integers = msgspec.json.Decoder(list[int]).decode


class _Rows:
    __slots__ = ("_rows",)

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def rows(self) -> list[Row]:
        return self._rows


_NONE = _Rows([])


class SqliteConversions:
    """Times and arrays, which are stored as text."""

    def time(self, moment: datetime) -> str:
        """Fixed-width text, so that it sorts as time does."""
        return utc_text(moment)

    def datetime(self, value: Any) -> datetime | None:
        """Read the text."""
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)

    def array(self, numbers: Iterable[int]) -> str:
        """A JSON list."""
        return _encode(list(numbers)).decode()

    def integers(self, value: Any) -> list[int]:
        """Read the JSON list."""
        return _decode_integers(value)


class SqliteTransaction(SqliteConversions):
    """Statements on one connection inside an open transaction. Everything runs at once, `later` too."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection | PlainConnection) -> None:
        self._connection = connection
        self._statements = named.load("sqlite")

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Run a named statement and return its rows."""
        if statement == "claim":
            claimed = self._claim_first(**parameters)
            if claimed is not None:
                return claimed
        for name, value in parameters.items():
            kind = type(value)
            if kind is list:
                parameters[name] = _encode(value).decode()
            elif kind is tuple:
                parameters[name] = _fixed_array(value)
            elif kind is datetime:
                parameters[name] = utc_text(value)
            elif kind is bool:
                parameters[name] = int(value)
        try:
            return self._connection.execute(self._statements[statement].sql, parameters).fetchall()
        except (OverflowError, UnicodeError) as error:
            refuse_value(error)

    def _claim_first(
        self, *, queue: str, tasks: Sequence[str], limit: int, worker_id: str, now: datetime, **_: Any
    ) -> list[Row] | None:
        return claim_first(self._connection, self._statements, queue, tasks, limit, worker_id, utc_text(now))

    def later(self, statement: str, **parameters: Any) -> _Rows:
        """Run a named statement now; its rows wait until they are fetched."""
        if statement == "wake":  # every commit wakes the others: see `waker`
            return _NONE
        return _Rows(self.all(statement, **parameters))

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        """Run a batch statement for each row; its parameters are `?1`, `?2` ... in the order of its columns."""
        text = self._statements[statement].sql
        if _ADAPTED_BOOLEANS in sqlite3.adapters:  # registered by the program, for all connections
            rows = [tuple(int(value) if value is True or value is False else value for value in row) for row in rows]
        if len(rows) >= LONG and self._each_of_long(text, rows):
            return
        many = wide(text) if len(rows) >= WIDTH else None
        whole = len(rows) - len(rows) % WIDTH if many else 0
        try:
            for first in range(0, whole, WIDTH):
                self._connection.execute(many or text, parameters(rows[first : first + WIDTH]))
            self._connection.executemany(text, rows[whole:])
        except (OverflowError, UnicodeError) as error:
            refuse_value(error)

    def _each_of_long(self, text: str, rows: Sequence[Row]) -> bool:
        """The same for a long batch of rows to be inserted; False for another statement."""
        if not is_insertion(text):
            return False
        try:
            for stretch in stretches(rows):
                for many, bound in slim(text, stretch):
                    self._connection.execute(many, bound)
        except (OverflowError, UnicodeError) as error:
            refuse_value(error)
        return True

    def finish(self, batch: Sequence[Any], now: datetime) -> Any:
        """Write final statuses and update the children, row by row (`sqlite_finish`)."""
        try:
            return finish(self._connection, self._statements, batch, now, utc_text)
        except (OverflowError, UnicodeError) as error:
            refuse_value(error)

    def finish_plain(self, batch: Sequence[Any], now: datetime, *, only_child: int | None = None) -> Any:
        """Is not used: there is no server to send a commit along to."""
        raise AssertionError("SQLite finishes steps with `finish`")

    def release_more(self, run_id: str, step: int, released: int, now: datetime) -> Any:
        """Update further children of an ended step."""
        return release_more(self._connection, self._statements, (run_id, step), released, now, utc_text)


@lru_cache(maxsize=256)  # a worker sends its tasks with every claim
def _fixed_array(values: tuple[Any, ...]) -> str:
    return _encode(values).decode()


def utc_text(moment: datetime) -> str:
    """A moment as it stands in a row: fixed-width, so that it sorts as time does."""
    return _text_of_utc(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


@lru_cache(maxsize=64)  # a batch repeats the same time; in different time zones two times may be equal
def _text_of_utc(moment: datetime) -> str:
    return moment.isoformat(" ", "microseconds")[:_TEXT_LENGTH]  # strftime takes twice as long

"""Statements on one psycopg connection, as cheap as libpq, without cursors.

A turn is a handful of statements, and on a fast network a cursor's bookkeeping costs as much as the statements. This
module uses the layer below, which psycopg documents for this purpose (`psycopg.pq`, `psycopg.generators`). Every
statement is prepared once, sent in pipeline mode, and waited for only at `flush`. Only the few types that Segue binds
are supported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from psycopg import Connection, DataError, errors, generators, postgres, pq
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap, Buffer, Loader, Transformer
from psycopg.types import array

from segue.store.protocol import Row

_TIMESTAMPTZ, _FLOAT8, _BOOL, _INT4, _INT8, _INFERRED = 1184, 701, 16, 23, 20, 0
_INT4_LIMIT = 2**31
_BAD = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED)


class _UuidText(Loader):
    """Ids are strings everywhere in Segue."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class Pristine:
    """psycopg's default adapters, without those that this process or the caller registered.

    Times are read as ISO and texts as UTF-8, whatever the connection reports: Segue sets both when it reads.
    """

    adapters = AdaptersMap(types=postgres.types)
    connection = None


postgres.register_default_adapters(Pristine.adapters)
array.register_all_arrays(Pristine())
Pristine.adapters.register_loader("uuid", _UuidText)


class Pending:
    """The result of a statement that was sent."""

    __slots__ = ("_wire", "result")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.result: Any = None

    def rows(self) -> list[Row]:
        """Return its rows; waits for them if necessary."""
        if self.result is None:
            self._wire.flush()
        return self._wire.read(self.result)


class Wire:
    """A connection of the pool during a transaction."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._transformer = Transformer(Pristine())
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._sent: list[tuple[Pending, tuple[str, tuple[int, ...]] | None]] = []
        self.at_first_answer: Callable[[], None] | None = None
        """A hook that is called once, with the next answers; its error is raised by the call that waited for them."""

    @property
    def prepared(self) -> set[str]:
        """The names of the session's prepared statements."""
        return {name.decode() for name in self._prepared.values()}

    def move(self, connection: Connection[Any]) -> None:
        """Continue with another object for the same session."""
        self._connection, self._pgconn = connection, connection.pgconn

    def open(self) -> None:
        """Enter pipeline mode and begin a transaction."""
        self.join()
        self.send("BEGIN", ())

    def join(self) -> None:
        """Enter pipeline mode in a transaction that is already open."""
        self._pgconn.enter_pipeline_mode()

    def forget(self) -> None:
        """Forget prepared statements: the session no longer has any."""
        self._prepared.clear()

    def send(self, text: str, values: Sequence[Any]) -> Pending:
        """Send a statement with its parameters (`$1`, `$2` ...), without waiting."""
        try:
            kinds, literals = _bound(values)
        except UnicodeEncodeError as error:
            raise DataError(f"a text contains half of a surrogate pair, which is not a character ({error})") from error
        name = self._prepared.get((text, kinds))
        if name is None:
            name = self._prepare(text, kinds)
        pending = Pending(self)
        self._pgconn.send_query_prepared(name, literals)
        self._sent.append((pending, None))
        return pending

    def flush(self) -> None:
        """Wait for the results of all statements sent so far; raises the first error."""
        if not self._sent:
            return
        sent, self._sent = self._sent, []
        self._pgconn.pipeline_sync()
        results = self._connection.wait(_fetch(self._pgconn, len(sent) + 1))
        error: Any = None
        for (pending, prepared), result in zip(sent, results, strict=False):
            pending.result = result
            if result.status in _BAD:
                if prepared is not None:
                    self._prepared.pop(prepared, None)
                if error is None or error.status == pq.ExecStatus.PIPELINE_ABORTED:
                    error = result
        if error is not None:
            self.at_first_answer = None
            raise errors.error_from_result(error)
        if self.at_first_answer is not None:
            call, self.at_first_answer = self.at_first_answer, None
            call()

    def commit(self) -> None:
        """Commit, and leave pipeline mode."""
        self.send("COMMIT", ())
        self.flush()
        self._pgconn.exit_pipeline_mode()

    def rollback(self) -> None:
        """Roll back, and leave pipeline mode; raises if the connection is no longer sound."""
        if self._sent:
            self.at_first_answer = None
            try:
                self.flush()
            except errors.Error:
                if self._connection.closed:
                    raise
        self.send("ROLLBACK", ())
        self.flush()
        self._pgconn.exit_pipeline_mode()

    def read(self, result: Any) -> list[Row]:
        """The rows of a result as Python values."""
        count = result.ntuples
        if not count:
            return []
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, count, tuple)

    def _prepare(self, text: str, kinds: tuple[int, ...]) -> bytes:
        key = (text, kinds)
        name = b"segue_%d" % len(self._prepared)
        while name in self._prepared.values():
            name += b"_"  # a statement was dropped because its preparation failed
        self._prepared[key] = name
        self._pgconn.send_prepare(name, text.encode(), kinds)
        self._sent.append((Pending(self), key))
        return name


def _fetch(pgconn: Any, count: int) -> PQGen[list[Any]]:
    """A generator for `Connection.wait`: the last result of each of `count` commands."""
    yield from generators.send(pgconn)
    results: list[Any] = []
    for _ in range(count):
        found = yield from generators.fetch_many(pgconn)
        results.append(found[-1])
    return results


def _bound(values: Sequence[Any]) -> tuple[tuple[int, ...], list[bytes | None]]:
    """The types and literals of parameters, computed in one pass: a turn has dozens."""
    kinds: list[int] = []
    literals: list[bytes | None] = []
    for value in values:
        kind = type(value)
        oid, literal = _INFERRED, None
        if kind is str:
            literal = value.encode()
            if "\0" in value:  # checked as text: in bytes it takes ten times as long
                raise _has_nul(value)
        elif value is None:
            pass
        elif kind is int:
            oid, literal = _INT4 if -_INT4_LIMIT <= value < _INT4_LIMIT else _INT8, b"%d" % value
        elif kind is datetime:
            oid, literal = _TIMESTAMPTZ, _moment(value if value.tzinfo is UTC else value.astimezone(UTC))
        elif kind is float:
            oid, literal = _FLOAT8, repr(value).encode()
        elif kind is list:
            text = _array(value)
            literal = text.encode()
            if "\0" in text:
                raise _has_nul(text)
        elif kind is tuple:
            literal = _fixed_array(value)
        elif kind is bool:
            oid, literal = _BOOL, b"t" if value else b"f"
        else:
            text = str(value)  # StrEnum, and anything else that is text
            literal = text.encode()
            if "\0" in text:
                raise _has_nul(text)
        kinds.append(oid)
        literals.append(literal)
    return tuple(kinds), literals


def _has_nul(text: str) -> DataError:
    """Refuse a NUL: libpq would send only the text before it, and texts that differ after it would become equal."""
    start = max(text.index("\0") - 20, 0)
    return DataError(f"a text contains a NUL character, which PostgreSQL cannot store: {text[start : start + 40]!r}")


@lru_cache(maxsize=64)  # all statements of a turn use the same time; in different time zones two times may be equal
def _moment(value: datetime) -> bytes:
    return value.isoformat().encode()


@lru_cache(maxsize=256)  # a worker sends its tasks with every claim
def _fixed_array(values: tuple[Any, ...]) -> bytes:
    text = _array(values)
    if "\0" in text:
        raise _has_nul(text)
    return text.encode()


def _array(values: Sequence[Any]) -> str:
    """An array literal. Text is always quoted, numbers never; items of a column have one type, apart from NULLs."""
    sample = next((value for value in values if value is not None), None)
    if sample is None:
        return "{" + ",".join(["NULL"] * len(values)) + "}"
    if isinstance(sample, bool):
        return "{" + ",".join(["NULL" if v is None else "t" if v else "f" for v in values]) + "}"
    if isinstance(sample, (int, float)):
        return "{" + ",".join(["NULL" if v is None else repr(v) for v in values]) + "}"
    if isinstance(sample, datetime):
        return "{" + ",".join(["NULL" if v is None else f'"{v.isoformat()}"' for v in values]) + "}"
    quoted = [
        "NULL" if v is None else f'"{v}"' if '"' not in v and "\\" not in v else _quoted(v) for v in values
    ]  # fmt: skip
    return "{" + ",".join(quoted) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

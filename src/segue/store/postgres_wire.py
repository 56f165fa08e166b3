"""Statements on one psycopg connection, at the cost of libpq rather than of cursors.

A turn is a handful of statements, and on a fast network a cursor's bookkeeping costs as much as the statements do. This
module uses the layer beneath, which psycopg documents for such uses (`psycopg.pq`, `psycopg.generators`): everything is
prepared once, sent in pipeline mode, and waited for only at `flush`. It knows the few types that Segue binds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import Connection, errors, generators, pq
from psycopg.abc import PQGen
from psycopg.adapt import Buffer, Loader, Transformer

from segue.store.protocol import Row

_TIMESTAMPTZ, _FLOAT8, _BOOL, _INT4, _INT8, _INFERRED = 1184, 701, 16, 23, 20, 0
_INT4_LIMIT = 2**31
_BAD = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED)


class _UuidText(Loader):
    """Ids are strings everywhere in Segue."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class Pending:
    """The result of a statement that was sent."""

    __slots__ = ("_wire", "result")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.result: Any = None

    def rows(self) -> list[Row]:
        """Its rows, waiting for them when need be."""
        if self.result is None:
            self._wire.flush()
        return self._wire.read(self.result)


class Wire:
    """A connection of the pool while a transaction has it."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        reader = connection.cursor()  # has adapters of its own: the connection may be somebody else's
        reader.adapters.register_loader("uuid", _UuidText)
        self._transformer = Transformer(reader)
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._sent: list[tuple[Pending, tuple[str, tuple[int, ...]] | None]] = []

    def open(self) -> None:
        """Enter pipeline mode, and a transaction."""
        self.join()
        self.send("BEGIN", ())

    def join(self) -> None:
        """Enter pipeline mode in a transaction that is open already."""
        self._pgconn.enter_pipeline_mode()

    def forget(self) -> None:
        """Somebody deallocated what was prepared: prepare it anew."""
        self._prepared.clear()

    def send(self, text: str, values: Sequence[Any]) -> Pending:
        """Send a statement with its parameters (`$1`, `$2` ...), without waiting."""
        kinds, literals = _bound(values)
        name = self._prepared.get((text, kinds))
        if name is None:
            name = self._prepare(text, kinds)
        pending = Pending(self)
        self._pgconn.send_query_prepared(name, literals)
        self._sent.append((pending, None))
        return pending

    def flush(self) -> None:
        """Wait for the results of everything that was sent; raises the first error."""
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
            raise errors.error_from_result(error)

    def commit(self) -> None:
        """Make it durable, and leave pipeline mode."""
        self.send("COMMIT", ())
        self.flush()
        self._pgconn.exit_pipeline_mode()

    def rollback(self) -> None:
        """Undo it, and leave pipeline mode; raises when the connection is no longer sound."""
        if self._sent:
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
            name += b"_"  # one was forgotten because its preparation failed
        self._prepared[key] = name
        self._pgconn.send_prepare(name, text.encode(), kinds)
        self._sent.append((Pending(self), key))
        return name


_wires: WeakKeyDictionary[Connection[Any], Wire] = WeakKeyDictionary()


def wire_of(connection: Connection[Any]) -> Wire:
    """The wire of a connection, which remembers what was prepared on it."""
    wire = _wires.get(connection)
    if wire is None:
        wire = _wires[connection] = Wire(connection)
    return wire


def _fetch(pgconn: Any, count: int) -> PQGen[list[Any]]:
    """A generator for `Connection.wait`: the last result of each of `count` commands."""
    yield from generators.send(pgconn)
    results: list[Any] = []
    for _ in range(count):
        found = yield from generators.fetch_many(pgconn)
        results.append(found[-1])
    return results


def _bound(values: Sequence[Any]) -> tuple[tuple[int, ...], list[bytes | None]]:
    """The types and the literals of parameters, in one pass: a turn has dozens."""
    kinds: list[int] = []
    literals: list[bytes | None] = []
    for value in values:
        kind = type(value)
        oid, literal = _INFERRED, None
        if kind is str:
            literal = value.encode()
        elif value is None:
            pass
        elif kind is int:
            oid, literal = _INT4 if -_INT4_LIMIT <= value < _INT4_LIMIT else _INT8, b"%d" % value
        elif kind is datetime:
            oid, literal = _TIMESTAMPTZ, _moment(value if value.tzinfo is UTC else value.astimezone(UTC))
        elif kind is float:
            oid, literal = _FLOAT8, repr(value).encode()
        elif kind is list:
            literal = _array(value).encode()
        elif kind is tuple:
            literal = _fixed_array(value)
        elif kind is bool:
            oid, literal = _BOOL, b"t" if value else b"f"
        else:
            literal = str(value).encode()  # StrEnum, and whatever else is text
        kinds.append(oid)
        literals.append(literal)
    return tuple(kinds), literals


@lru_cache(maxsize=64)  # all statements of a turn say the same moment; in other zones two moments may be equal
def _moment(value: datetime) -> bytes:
    return value.isoformat().encode()


@lru_cache(maxsize=256)  # a worker says its tasks with every claim
def _fixed_array(values: tuple[Any, ...]) -> bytes:
    return _array(values).encode()


def _array(values: Sequence[Any]) -> str:
    """An array literal. Text is quoted always, numbers never; all items of a column are alike but for NULLs."""
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

"""The engine's interface to an open transaction on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from segue.store.postgres_sql import Compiled, compiled, for_one_row
from segue.store.postgres_wire import Wire
from segue.store.protocol import Finish, Finished, Follow, Later, Row
from segue.store.stretches import LONG, stretches


class _Finished:
    __slots__ = ("_pending",)

    def __init__(self, pending: Later) -> None:
        self._pending = pending

    def result(self) -> Finished:
        rows = self._pending.rows()
        _, recorded, started, _ = rows[0]
        return Finished(recorded, started, [Follow(*row) for row in rows[1:]])


class PostgresConversions:
    """Times, which the driver knows, and arrays."""

    def time(self, moment: datetime) -> datetime:
        """Psycopg binds aware datetimes."""
        return moment

    def datetime(self, value: Any) -> datetime | None:
        """Timestamptz comes back aware."""
        return None if value is None else value.astimezone(UTC)

    def array(self, numbers: Iterable[int]) -> str:
        """An array literal."""
        return "{" + ",".join(map(str, numbers)) + "}"

    def integers(self, value: Any) -> list[int]:
        """An array column comes back as a list."""
        return list(value)


class PostgresTransaction(PostgresConversions):
    """Statements on one connection inside an open transaction."""

    dialect = "postgres"

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Run a named statement and return its rows."""
        return self.later(statement, **parameters).rows()

    def later(self, statement: str, **parameters: Any) -> Later:
        """Send a named statement; its rows can be fetched later."""
        text, order, _, _, _ = compiled(statement)
        return self._wire.send(text, [parameters[name] for name in order])

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        """Run a batch statement once for all rows."""
        if len(rows) == 1:
            statement = for_one_row(statement)
            self.later(statement, **dict(zip(compiled(statement).columns, map(_text, rows[0]), strict=True)))
        elif len(rows) >= LONG:
            self._each_of_long(statement, rows)
        elif rows:
            self.later(statement, **_columns(statement, rows))

    def _each_of_long(self, statement: str, rows: Sequence[Row]) -> None:
        found = compiled(statement, is_long=True)
        for columns, is_same in stretches(rows):
            said: dict[str, Any] = {}
            for name, values, same in zip(found.columns, columns, is_same, strict=True):
                said[name], said[f"same_{name}"] = (None, values[0]) if same else (list(values), None)
            self._run(found, said)

    def _run(self, statement: Compiled, parameters: Mapping[str, Any]) -> Later:
        return self._wire.send(statement.text, [parameters[name] for name in statement.order])

    def finish(self, batch: Sequence[Finish], now: datetime) -> _Finished:
        """Write final statuses and release the children, in one statement."""
        if len(batch) == 1:
            return _Finished(self.later("finish_one", now=now, **batch[0]._asdict()))
        return _Finished(self.later("finish", now=now, **_columns("finish", batch)))

    def finish_plain(self, batch: Sequence[Finish], now: datetime, *, only_child: int | None = None) -> Later:
        """Record successes that set off nothing but plain starts and ends."""
        if only_child is not None and len(batch) == 1:
            return self.later("finish_plain_link", child=only_child, now=now, **batch[0]._asdict())
        shared = {"runs": list({finish.run_id for finish in batch}), "count": len(batch), "now": now}
        if len(batch) == 1:
            return self.later("finish_plain_one", **shared, **batch[0]._asdict())
        return self.later("finish_plain", **shared, **_columns("finish_plain", batch))

    def release_more(self, run_id: str, step: int, released: int, now: datetime) -> _Finished:
        """Update further children of an ended step."""
        return _Finished(self.later("release_children", run_id=run_id, step=step, released=released, now=now))


def _columns(statement: str, rows: Sequence[Row]) -> dict[str, Any]:
    """One array for each column; none for a column that is all NULL, because `unnest` then fills in NULL."""
    columns = zip(compiled(statement).columns, zip(*rows, strict=True), strict=True)
    return {name: None if values.count(None) == len(values) else list(values) for name, values in columns}


def _text(value: Any) -> str | None:
    """A value as text whatever its type is, so that rows with and without it are one prepared statement."""
    kind = type(value)
    if value is None or kind is str:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return "t" if value else "f"
    return repr(value) if kind is float else str(value)

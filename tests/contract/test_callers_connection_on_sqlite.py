"""A caller's `sqlite3` connection may be set up in any way, and is as it was after a start inside its transaction."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.orm import sessionmaker

from segue.errors import ConfigError, SegueError, StoreBusyError
from tests.contract.stage import Stage, node, plan, value
from tests.contract.test_store_transactions import FLOWS

KEYED = plan(node("j", task=None, result=value(1)), node("a", 0))


def as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


class OddCursor(sqlite3.Cursor):
    """Gives lists, and nothing at all from `fetchone`."""

    def fetchall(self) -> Any:
        return [list(row) for row in super().fetchall()]

    def fetchone(self) -> Any:
        return None


class OddConnection(sqlite3.Connection):
    """Whose own methods do other things than SQLite's."""

    def cursor(self, factory: Any = OddCursor) -> Any:
        return super().cursor(factory)

    def execute(self, *args: Any) -> Any:
        return super().execute(*args).fetchall()


ROWS = {"tuples": None, "rows": sqlite3.Row, "dicts": as_dict, "nothing": lambda cursor, row: None}
TEXTS = {"str": str, "bytes": bytes, "bytearray": bytearray, "lengths": len}
LEVELS = {"legacy": "", "immediate": "IMMEDIATE", "exclusive": "EXCLUSIVE", "by hand": None}
PRAGMAS = (
    "case_sensitive_like = ON", "foreign_keys = ON", "recursive_triggers = ON", "reverse_unordered_selects = ON",
    "ignore_check_constraints = ON", "full_column_names = ON", "count_changes = ON", "cache_size = 1",
    "temp_store = FILE", "trusted_schema = OFF", "automatic_index = OFF", "cell_size_check = ON",
    "legacy_alter_table = ON", "synchronous = OFF", "locking_mode = NORMAL", "defer_foreign_keys = ON",
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def own(path: Path) -> Iterator[Stage]:
    stage = Stage(f"sqlite:///{path}")
    yield stage
    stage.close()


def joins(own: Stage, connection: sqlite3.Connection) -> None:
    """Start within the transaction that is open: nothing is seen before its commit, and everything after."""
    sqlite3.Connection.execute(connection, "INSERT INTO orders VALUES (1)")
    before = (connection.row_factory, connection.text_factory, connection.isolation_level)
    first, empty = own.engine.start([(flow, None) for flow in FLOWS], connection=connection)
    again = own.engine.start([(KEYED, "k"), (KEYED, "k")], connection=connection)
    assert again[0] == again[1]
    assert (connection.row_factory, connection.text_factory, connection.isolation_level) == before
    assert connection.in_transaction
    sqlite3.Connection.execute(connection, "COMMIT")
    assert own.statuses(first) == {"j": "succeeded", "a": "ready"}
    assert own.run(empty).status == "succeeded"
    assert own.statuses(again[0]) == {"j": "succeeded", "a": "ready"}


@pytest.mark.parametrize("has_tables", [True, False])
def test_any_factories_and_any_isolation_level_will_do(own: Stage, path: Path, has_tables: bool) -> None:
    if has_tables:
        own.store.upgrade()
    for rows, texts, level in product(ROWS.values(), TEXTS.values(), LEVELS.values()):
        connection = sqlite3.connect(path, isolation_level=level)  # type: ignore[arg-type]
        connection.execute("CREATE TABLE IF NOT EXISTS orders (id)")
        connection.row_factory, connection.text_factory = rows, texts
        connection.execute("BEGIN")
        joins(own, connection)
        connection.close()


@pytest.mark.parametrize("pragma", PRAGMAS)
def test_any_pragma_will_do(own: Stage, path: Path, pragma: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id)")
    connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    joins(own, connection)
    connection.close()


def test_a_class_of_the_callers_will_do(own: Stage, path: Path) -> None:
    connection = sqlite3.connect(path, factory=OddConnection)
    connection.execute("CREATE TABLE orders (id)")
    connection.execute("BEGIN")
    joins(own, connection)
    connection.close()


def test_booleans_that_the_program_adapts_are_numbers_to_segue(own: Stage, path: Path) -> None:
    own.store.upgrade()
    kept = dict(sqlite3.adapters)
    sqlite3.register_adapter(bool, lambda value: "yes" if value else "no")
    try:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE orders (id)")
        connection.execute("BEGIN")
        joins(own, connection)
        own.start(plan(node("a", may_fail=True), fail_fast=True))
        found = connection.execute("SELECT DISTINCT typeof(fail_fast), typeof(has_hooks) FROM segue_runs").fetchall()
        connection.close()
    finally:
        sqlite3.adapters.clear()
        sqlite3.adapters.update(kept)
    assert found == [("integer", "integer")]


def test_a_connection_that_converts_what_segue_reads_is_refused(own: Stage, path: Path) -> None:
    own.store.upgrade()
    kept = dict(sqlite3.converters)
    try:
        sqlite3.register_converter("TEXT", lambda data: data)
        for detects, is_taken in ((0, True), (sqlite3.PARSE_COLNAMES, True), (sqlite3.PARSE_DECLTYPES, False)):
            connection = sqlite3.connect(path, detect_types=detects)
            connection.execute("BEGIN")
            if is_taken:
                own.engine.start([(FLOWS[0], None)], connection=connection)
            else:
                with pytest.raises(ConfigError, match="converts all columns declared as TEXT"):
                    own.engine.start([(FLOWS[0], None)], connection=connection)
            connection.close()
    finally:
        sqlite3.converters.clear()
        sqlite3.converters.update(kept)


# The first thing said to a new file ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_the_first_start_makes_the_tables_in_the_callers_transaction(own: Stage, path: Path, ends: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id)")
    connection.execute("INSERT INTO orders VALUES (1)")
    began = time.monotonic()
    ids = own.engine.start([(FLOWS[0], None)] * 2, connection=connection)
    assert time.monotonic() - began < 10, "it did not wait for the lock that the caller holds"
    getattr(connection, ends)()
    connection.close()
    if ends == "rollback":
        assert own.store.schema_version() == 0
        ids = own.engine.start([(FLOWS[0], None)])
    assert {own.run(id_).status for id_ in ids} == {"pending"}
    assert own.store.upgrade() == []


def test_tables_that_are_outdated_are_not_written_to(own: Stage, path: Path) -> None:
    own.store.upgrade()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE segue_schema SET version = 999 WHERE version = 1")
    with pytest.raises(SegueError, match="schema version 999"):
        own.engine.start([(FLOWS[0], None)], connection=connection)
    connection.close()


# What cannot be joined ----------------------------------------------------------------------------------------------


def refused(own: Stage, connection: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        own.engine.start([(FLOWS[0], None)], connection=connection)


def test_what_is_no_connection_is_refused_with_what_to_pass(own: Stage, path: Path) -> None:
    own.store.upgrade()
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    refused(own, engine, r"SQLAlchemy's Engine.*engine\.begin\(\)")
    refused(own, sessionmaker(engine), r"Session\(engine\)")
    refused(own, connection.cursor(), r"cursor\.connection")
    refused(own, f"sqlite:///{path}", "is a str. Pass an open connection")
    refused(own, object(), "is a object")
    closed = engine.connect()
    closed.close()
    refused(own, closed, "This Connection is closed")
    connection.close()
    refused(own, connection, "closed database")
    engine.dispose()


def test_a_connection_of_another_thread_is_refused(own: Stage, path: Path) -> None:
    own.store.upgrade()
    made: list[sqlite3.Connection] = []
    thread = threading.Thread(target=lambda: made.append(sqlite3.connect(path)))
    thread.start()
    thread.join()
    refused(own, made[0], "that same thread")


def test_an_attached_file_cannot_be_joined(own: Stage, path: Path, tmp_path: Path) -> None:
    own.store.upgrade()
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute(f"ATTACH '{path}' AS queue")
    refused(own, connection, "attached as queue, but two files do not commit as one")
    connection.close()


def test_a_lock_is_waited_for_as_long_as_the_caller_says(own: Stage, path: Path) -> None:
    own.store.upgrade()
    connection = sqlite3.connect(path, timeout=0.05)
    with own.store.transaction(), pytest.raises(StoreBusyError, match=r"for 0\.05 s"):
        own.engine.start([(FLOWS[0], None)], connection=connection)
    connection.close()


def test_a_transaction_that_can_write_no_more_says_so_at_once(own: Stage, path: Path) -> None:
    own.start(FLOWS[0])
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM segue_runs").fetchall()
    own.start(FLOWS[0])
    with pytest.raises(StoreBusyError, match="BEGIN IMMEDIATE"):
        own.engine.start([(FLOWS[0], None)], connection=connection)
    connection.close()

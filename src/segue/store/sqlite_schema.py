"""Finds out which tables a SQLite database has, and creates missing ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Protocol

from segue.store import migrate


class Executes(Protocol):
    """A connection, or an object with the same method."""

    def execute(self, sql: str, parameters: Any = ..., /) -> sqlite3.Cursor:
        """Run a statement."""
        ...


def changes(cursor: sqlite3.Cursor) -> bool:
    """Whether an UPDATE without RETURNING changed a row."""
    cursor.fetchone()  # the owner of a connection may have enabled counts: then the number comes as a row first
    return cursor.rowcount > 0


def applied(connection: Executes) -> dict[int, str]:
    """The numbers of the migrations in the database, with their checksums."""
    present = connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'segue_schema'").fetchone()
    if present is None:
        return {}
    return dict(connection.execute("SELECT version, checksum FROM segue_schema").fetchall())


def migrate_within(connection: Executes, at: str) -> list[int]:
    """Apply missing migrations in the open write transaction; returns their numbers."""
    done = []
    found = applied(connection)
    migrate.check_applied("sqlite", found)
    connection.execute(
        "CREATE TABLE IF NOT EXISTS segue_schema "
        "(version INTEGER PRIMARY KEY, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
    )
    for migration in migrate.pending("sqlite", found):
        for statement in split(migration.sql):
            connection.execute(statement)
        connection.execute("INSERT INTO segue_schema VALUES (?, ?, ?)", (migration.number, migration.checksum, at))
        done.append(migration.number)
    return done


def split(sql: str) -> Iterator[str]:
    """The statements of a script, one by one."""
    pending = ""
    for line in sql.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""

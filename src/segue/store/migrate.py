"""Applies numbered SQL files to bring the tables up to date: one transaction each, recorded with its checksum.

Promise: however many processes upgrade at once, each migration is applied once and in order. After a crash each
migration is applied completely or not at all. A database that is newer than this code, or has other checksums, is
refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from segue.errors import SchemaError


class Migration(NamedTuple):
    """One numbered file."""

    number: int
    name: str
    sql: str
    checksum: str


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """The migrations of a dialect, in order."""
    folder = Path(__file__).parent / "migrations" / dialect
    found = []
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            sql = file.read_text(encoding="utf-8")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(file.name[:4]), file.name, sql, checksum))
    return tuple(sorted(found))


def latest(dialect: str) -> int:
    """The number of the newest migration that this code knows."""
    return migrations(dialect)[-1].number


def check_applied(dialect: str, applied: Mapping[int, str]) -> None:
    """Refuse a database that this code must not use: a newer one, or one with other migrations than ours.

    `applied` maps the numbers recorded in the database to their checksums. An older database passes.
    """
    known = {migration.number: migration for migration in migrations(dialect)}
    newest = max(applied, default=0)
    if newest > latest(dialect):
        raise SchemaError(
            f"The database has schema version {newest}, but this Segue supports versions up to {latest(dialect)}. "
            "Upgrade Segue in this environment, or point it at another database."
        )
    for number, checksum in applied.items():
        if known[number].checksum != checksum:
            raise SchemaError(
                f"Migration {known[number].name} in this database differs from this Segue's. "
                "It was applied by a modified or unreleased version; use that version, or a new database."
            )


def pending(dialect: str, applied: Mapping[int, str]) -> list[Migration]:
    """The migrations that are still to be applied."""
    return [migration for migration in migrations(dialect) if migration.number not in applied]


def refuse_outdated(dialect: str, applied: Mapping[int, str], where: str) -> None:
    """Raise if the database is older than this code. `where` names the database, without a password."""
    missing = pending(dialect, applied)
    if missing:
        raise SchemaError(
            f"{where} has schema version {max(applied, default=0)}, but this Segue needs {latest(dialect)}. "
            "Stop the workers of older versions, then run: segue db upgrade --database <URL>"
        )

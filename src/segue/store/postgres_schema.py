"""Finds out which migrations a PostgreSQL database has, and applies missing ones."""

from __future__ import annotations

import psycopg
from psycopg import sql

from segue.store import migrate
from segue.store.postgres_address import Address
from segue.store.postgres_session import Session, open_session

_LOCK = 7_361_736  # any number that nothing else in this database uses for an advisory lock
_TABLE_LOCK_SECONDS = 30  # then the upgrade gives up: all other access queues behind a lock that waits


def check_schema(session: Session, address: Address) -> None:
    """Create missing tables; raises SchemaError if they have another version."""
    found = applied(session)
    if not found:
        upgrade(address)
    else:
        migrate.check_applied("postgres", found)
        migrate.refuse_outdated("postgres", found, address.place)


def upgrade(address: Address) -> list[int]:
    """Apply missing migrations in one transaction. An advisory lock keeps two upgrades apart."""
    done = []
    session = open_session(address, is_long=True)
    try:
        with session.transaction():
            session.execute("SET LOCAL lock_timeout = 0")
            session.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            session.execute(f"SET LOCAL lock_timeout = '{_TABLE_LOCK_SECONDS}s'".encode())
            found = applied(session)
            migrate.check_applied("postgres", found)
            session.execute(
                "CREATE TABLE IF NOT EXISTS segue_schema "
                "(version integer PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL)"
            )
            for migration in migrate.pending("postgres", found):
                session.execute(sql.SQL(migration.sql))
                row = (migration.number, migration.checksum)
                session.execute("INSERT INTO segue_schema VALUES (%s, %s, now())", row)
                done.append(migration.number)
    finally:
        session.close()
    return done


def schema_version(address: Address) -> int:
    """The number of the latest migration in the database."""
    session = open_session(address)
    try:
        return max(applied(session), default=0)
    finally:
        session.close()


def applied(connection: psycopg.Connection[tuple[object, ...]]) -> dict[int, str]:
    """The numbers of the migrations that the database has, with their checksums."""
    if connection.execute("SELECT to_regclass('segue_schema')").fetchone() == (None,):
        return {}
    rows = connection.execute("SELECT version, checksum FROM segue_schema").fetchall()
    return {int(str(version)): str(checksum) for version, checksum in rows}

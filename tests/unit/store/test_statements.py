"""Named statements are read whole, override one another by name, and say the same in both dialects."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segue.clock import ManualClock
from segue.errors import StoreError
from segue.store import migrate, named
from segue.store.dbclock import READING_LASTS_SECONDS, DatabaseClock
from segue.store.postgres_sql import compiled
from segue.store.sqlite import _split, _text

DIALECTS = ("sqlite", "postgres")
PARTS = {  # of other statements
    part
    for file in (Path(named.__file__).parent / "statements").glob("*.sql")
    for part in re.findall(r"\{(\w+)\}", file.read_text(encoding="utf-8"))
}
OWN = {
    "sqlite": {
        "finish_step",
        "finish_steps",
        "release_run",
        "release_step",
        "release_plain_step",
        "make_ready",
        "end_plain_run",
    },  # what PostgreSQL's finish does at once
    "postgres": {"finish", "finish_one", "finish_end", "database_now"},
}


def test_both_dialects_know_the_same_statements() -> None:
    sqlite, postgres = set(named.load("sqlite")), set(named.load("postgres"))
    assert sqlite - postgres <= OWN["sqlite"]
    assert postgres - sqlite <= OWN["postgres"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_statements_have_neither_comments_nor_ends(dialect: str) -> None:
    for name, statement in named.load(dialect).items():
        if name in PARTS:
            continue
        assert statement.sql, name
        assert "--" not in statement.sql, name
        assert not statement.sql.endswith(";"), name
        assert statement.sql.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}, name


def test_a_statement_without_a_name_of_its_own_is_refused() -> None:
    with pytest.raises(StoreError, match="two statements of one name"):
        named._parse("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;\n", "x.sql")


def test_columns_are_read_from_the_header() -> None:
    [statement] = named._parse("-- name: a\n-- columns: x int, y text\n-- why\nINSERT INTO t;\n", "x.sql").values()
    assert statement == named.Statement("INSERT INTO t", (("x", "int"), ("y", "text")))


def test_the_batches_of_both_dialects_have_the_same_columns() -> None:
    for name in ("insert_runs", "insert_steps"):
        columns = [[column for column, _ in named.load(dialect)[name].columns] for dialect in DIALECTS]
        assert columns[0] == columns[1], name


def test_casts_are_not_taken_for_parameters() -> None:
    for name in named.load("postgres"):
        found = compiled(name)
        assert not re.search(r"(?<!:):[a-z]", found.text), name
        assert not re.search(r"(?<!:):[a-z]", found.named), name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_migrations_are_numbered_without_gaps(dialect: str) -> None:
    numbers = [migration.number for migration in migrate.migrations(dialect)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert migrate.latest(dialect) == numbers[-1]
    assert migrate.pending(dialect, {}) == list(migrate.migrations(dialect))


def test_scripts_are_split_at_the_ends_of_statements_only() -> None:
    sql = "-- a; comment\nCREATE TABLE t (\n  a TEXT DEFAULT ';'\n);\nCREATE VIEW v AS SELECT 1;\n"
    assert [part.strip().splitlines()[-1] for part in _split(sql)] == [");", "CREATE VIEW v AS SELECT 1;"]


def test_times_as_text_sort_as_time_does() -> None:
    moments = [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC),
        datetime(2026, 1, 2, tzinfo=UTC),
    ]
    texts = [_text(moment) for moment in moments]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {26}


def test_the_database_s_clock_is_carried_on_by_the_stopwatch() -> None:
    stopwatch = ManualClock()
    clock = DatabaseClock(stopwatch)
    assert clock.is_stale()
    with pytest.raises(RuntimeError, match="never read"):
        clock.now()
    reading = datetime(2030, 5, 5, tzinfo=UTC)
    clock.read(lambda: reading)
    assert clock.now() == reading
    stopwatch.advance(seconds=7.5)
    assert (clock.now() - reading).total_seconds() == 7.5
    assert not clock.is_stale()
    stopwatch.advance(seconds=READING_LASTS_SECONDS)
    assert clock.is_stale()


def test_half_of_the_time_that_a_reading_took_is_added() -> None:
    stopwatch = ManualClock()
    clock = DatabaseClock(stopwatch)
    reading = datetime(2030, 5, 5, tzinfo=UTC)

    def ask() -> datetime:
        stopwatch.advance(seconds=2)
        return reading

    clock.read(ask)
    assert (clock.now() - reading).total_seconds() == 1

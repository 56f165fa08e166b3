"""Named statements are read whole, override one another by name, and say the same in both dialects."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segue.errors import StoreError
from segue.store import migrate, named
from segue.store.postgres_sql import compiled
from segue.store.sqlite_schema import split
from segue.store.sqlite_transaction import utc_text

DIALECTS = ("sqlite", "postgres")
PARTS = {  # of other statements
    part
    for file in (Path(named.__file__).parent / "statements").glob("*.sql")
    for part in re.findall(r"\{(\w+)\}", file.read_text(encoding="utf-8"))
}
OWN = {
    "sqlite": {
        "claim_step",
        "claim_steps",
        "finish_step",
        "finish_steps",
        "release_run",
        "release_step",
        "release_plain_step",
        "release_plain_steps",
        "is_released_plainly",
        "make_ready",
        "end_plain_run",
        "ended_step",
        "first_ready",
        "step_to_finish",
        "steps_to_finish",
    },  # what PostgreSQL's finish and claim do at once
    "postgres": {
        "finish",
        "finish_one",
        "release_children",
        "finish_end",
        "chosen_steps",
        "database_now",
        "finish_plain",
        "finish_plain_one",
        "finish_plain_link",
        "finish_plain_end",
    },
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
    with pytest.raises(StoreError, match="two statements of the same name"):
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
def test_migrations_are_numbered_in_order(dialect: str) -> None:
    numbers = [migration.number for migration in migrate.migrations(dialect)]
    assert numbers[:5] == [1, 2, 3, 4, 5]
    assert numbers == sorted(set(numbers))
    assert migrate.latest(dialect) == numbers[-1]
    assert migrate.pending(dialect, {}) == list(migrate.migrations(dialect))


def test_scripts_are_split_at_the_ends_of_statements_only() -> None:
    sql = "-- a; comment\nCREATE TABLE t (\n  a TEXT DEFAULT ';'\n);\nCREATE VIEW v AS SELECT 1;\n"
    assert [part.strip().splitlines()[-1] for part in split(sql)] == [");", "CREATE VIEW v AS SELECT 1;"]


def test_times_as_text_sort_as_time_does() -> None:
    moments = [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC),
        datetime(2026, 1, 2, tzinfo=UTC),
    ]
    texts = [utc_text(moment) for moment in moments]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {26}

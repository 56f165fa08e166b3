"""Tables are made on first use and brought up to date once, whoever comes; what this code must not touch it refuses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from segue.errors import SchemaError
from segue.model import Progress
from segue.store import migrate, open_store
from tests.contract.stage import Stage, connect, node, plan


@pytest.fixture
def add_migration(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let this code know one migration more than it has."""
    real = migrate.migrations

    def add(sql: str) -> None:
        def more(dialect: str) -> tuple[migrate.Migration, ...]:
            found = real(dialect)
            number = found[-1].number + 1
            return (*found, migrate.Migration(number, f"{number:04}_more.sql", sql, "checksum of the new one"))

        monkeypatch.setattr(migrate, "migrations", more)

    return add


def record(url: str, sql: str, *values: object) -> None:
    with connect(url) as connection:
        connection.execute(sql if url.startswith("sqlite") else sql.replace("?", "%s"), values)
        connection.commit()


def tables(url: str) -> object:
    """Every column and index of Segue's in a database."""
    if url.startswith("sqlite"):
        sql = "SELECT type, name, sql FROM sqlite_master WHERE name LIKE 'segue%' ORDER BY name"
    else:
        sql = """SELECT table_name, column_name, data_type, is_nullable, column_default, NULL
                 FROM information_schema.columns WHERE table_name LIKE 'segue%' UNION ALL
                 SELECT tablename, indexname, indexdef, NULL, NULL, NULL FROM pg_indexes WHERE tablename LIKE 'segue%'
                 ORDER BY 1, 2"""
    with connect(url) as connection:
        return connection.execute(sql).fetchall()


def test_tables_are_made_on_first_use(bare_url: Callable[[], str]) -> None:
    store = open_store(bare_url())
    assert store.schema_version() == 0
    with store.transaction() as tx:
        assert tx.all("count_runs") == []
    assert store.schema_version() == migrate.latest(store.dialect)
    store.close()


def test_an_upgrade_says_what_it_did_and_does_it_once(bare_url: Callable[[], str]) -> None:
    store = open_store(bare_url())
    assert store.upgrade() == [migration.number for migration in migrate.migrations(store.dialect)]
    assert store.upgrade() == []
    store.close()


def test_a_migrated_database_is_as_a_fresh_one(
    bare_url: Callable[[], str], add_migration: Callable[[str], None]
) -> None:
    old, new = open_store(bare_url()), open_store(bare_url())
    old.upgrade()
    add_migration("CREATE TABLE segue_more (id integer PRIMARY KEY);\nCREATE INDEX segue_more_id ON segue_more (id);")
    assert len(old.upgrade()) == 1
    assert len(new.upgrade()) > 1
    assert old.schema_version() == new.schema_version()
    assert tables(old.url) == tables(new.url)
    assert "segue_more" in str(tables(new.url))
    old.close()
    new.close()


def test_an_older_database_is_refused_with_the_command_to_run(
    bare_url: Callable[[], str], add_migration: Callable[[str], None]
) -> None:
    url = bare_url()
    open_store(url).upgrade()
    add_migration("CREATE TABLE segue_more (id integer)")
    store = open_store(url)
    with pytest.raises(SchemaError, match="segue db upgrade"), store.transaction():
        pass
    store.upgrade()
    with store.transaction():
        pass
    store.close()


def test_a_newer_database_is_refused(bare_url: Callable[[], str]) -> None:
    url = bare_url()
    first = open_store(url)
    first.upgrade()
    number = first.schema_version() + 1
    record(url, "INSERT INTO segue_schema VALUES (?, 'x', CURRENT_TIMESTAMP)", number)
    store = open_store(url)
    for act in (store.upgrade, lambda: store.transaction().__enter__()):
        with pytest.raises(SchemaError, match=f"{number}, but this Segue supports versions up to {number - 1}"):
            act()
    store.close()
    first.close()


def test_a_database_made_from_another_text_is_refused(bare_url: Callable[[], str]) -> None:
    url = bare_url()
    open_store(url).upgrade()
    record(url, "UPDATE segue_schema SET checksum = ? WHERE version = 1", "another")
    store = open_store(url)
    for act in (store.upgrade, lambda: store.transaction().__enter__()):
        with pytest.raises(SchemaError, match=r"0001_core\.sql in this database differs"):
            act()
    store.close()


def test_upgrades_at_once_apply_each_migration_once(bare_url: Callable[[], str]) -> None:
    url = bare_url()
    together = Barrier(4)

    def upgrade(_: int) -> list[int]:
        store = open_store(url)
        together.wait()
        done = store.upgrade()
        store.close()
        return done

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(upgrade, range(4)))
    dialect = open_store(url).dialect
    assert sorted(number for done in answers for number in done) == [
        found.number for found in migrate.migrations(dialect)
    ]


def test_first_uses_at_once_make_the_tables_once(bare_url: Callable[[], str]) -> None:
    url = bare_url()
    together = Barrier(4)

    def use(_: int) -> str:
        stage = Stage(url)
        together.wait()
        run_id = stage.start(plan(node("a")), key="k")
        stage.close()
        return run_id

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(use, range(4)))) == 1


def test_a_migration_that_fails_leaves_nothing(
    bare_url: Callable[[], str], add_migration: Callable[[str], None]
) -> None:
    url = bare_url()
    open_store(url).upgrade()
    before = tables(url)
    add_migration("CREATE TABLE segue_more (id integer);\nCREATE TABLE segue_more (id integer);")
    store = open_store(url)
    with pytest.raises(Exception, match="segue_more"):
        store.upgrade()
    store.close()
    assert tables(url) == before


def test_tables_that_were_changed_by_hand_are_named(stage: Stage) -> None:
    stage.start(plan(node("a")))
    record(stage.store.url, "ALTER TABLE segue_progress RENAME TO elsewhere")
    [job] = stage.claim()
    with pytest.raises(SchemaError, match="segue db check"):
        stage.turn(progress=[Progress(job.run_id, 0, 1, 1)])

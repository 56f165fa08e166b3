"""What can go wrong with a database, each said in a way that tells what to do, and nothing lost."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from segue.errors import (
    ConfigError,
    StoreBusyError,
    StoreConflictError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from segue.store import open_store
from segue.store import sqlite as sqlite_store
from tests.contract.stage import Stage, node, plan, succeeded

NOBODY = 65534


def use(url: str) -> None:
    store = open_store(url)
    try:
        with store.transaction() as tx:
            tx.all("count_runs")
    finally:
        store.close()


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may write everything, so be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# URLs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", "segue.db", "mysql://localhost/x", "sqlite://", "sqlite:///", "sqlite:///:memory:"]
)
def test_urls_that_name_no_database_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///"):
        open_store(url)


def test_nothing_is_connected_before_it_is_used(tmp_path: Path) -> None:
    open_store("postgresql://127.0.0.1:1/nowhere")
    open_store(f"sqlite:///{tmp_path}/none/x.db")
    assert list(tmp_path.iterdir()) == []


# A file ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that anybody can reach and only its owner can write."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:  # up to the one for everybody's temporary files, whose other rights are kept
        mode = folder.stat().st_mode & 0o7777
        if folder.stat().st_uid == os.geteuid() and mode & 0o055 != 0o055:
            folder.chmod(mode | 0o055)
    return tmp_path


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="its folder does not exist"):
        use(f"sqlite:///{tmp_path}/none/x.db")


def test_a_folder_that_may_not_be_written(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with without_rights(), pytest.raises(StoreError, match="permission"):
        use(f"sqlite:///{open_folder}/x.db")
    open_folder.chmod(0o755)


def test_a_file_that_may_not_be_written(open_folder: Path) -> None:
    path = open_folder / "x.db"
    use(f"sqlite:///{path}")
    path.chmod(0o444)
    with without_rights(), pytest.raises(StoreReadOnlyError, match="permission"):
        use(f"sqlite:///{path}")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("this is not a database, but a text that is long enough to be looked at" * 20)
    with pytest.raises(StoreError, match="not a sound SQLite database"):
        use(f"sqlite:///{path}")


def test_a_file_that_stays_locked(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.05)
    use(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusyError, match=r"locked by another process for 0\.05 s"):
        use(sqlite_url)
    other.execute("COMMIT")
    use(sqlite_url)
    other.close()


def test_a_full_disk_loses_nothing_on_sqlite(sqlite_url: str) -> None:
    stage = Stage(sqlite_url)
    run_id = stage.start(plan(node("a")))
    [a] = stage.claim()
    connection = stage.store._connections._local.held.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFullError, match="full") as caught:
        stage.turn(succeeded(a, "x" * 100_000))
    assert isinstance(caught.value, OSError)
    assert stage.statuses(run_id) == {"a": "running"}
    connection.execute("PRAGMA max_page_count = 1000000")
    assert stage.turn(succeeded(a, "x" * 100_000)).ended == [run_id]
    assert stage.is_sound()
    stage.close()


# A server -------------------------------------------------------------------------------------------------------------


def changed(url: str, **parts: str) -> str:
    split = urlsplit(url)
    user, _, where = split.netloc.rpartition("@")
    return urlunsplit(split._replace(netloc=f"{parts.get('user', user)}@{parts.get('where', where)}",
                                     path=parts.get("path", split.path)))  # fmt: skip


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1/x cannot be reached"):
        use("postgresql://me:secret@127.0.0.1:1/x")


def test_a_password_is_never_shown() -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        use("postgresql://me:very-secret@127.0.0.1:1/x")
    assert "very-secret" not in str(caught.value)


def test_a_database_that_is_not_there(postgres_url: str) -> None:
    with pytest.raises(StoreUnavailableError, match="does not exist"):
        use(changed(postgres_url, path="/nowhere_at_all"))


def test_a_user_that_is_not_there(postgres_url: str) -> None:
    with pytest.raises(StoreUnavailableError, match=r"nobody_known"):
        use(changed(postgres_url, user="nobody_known:wrong"))


def test_a_database_that_may_only_be_read(postgres_url: str) -> None:
    stage = Stage(postgres_url)
    run_id = stage.start(plan(node("a")))
    stage.close()
    name = urlsplit(postgres_url).path[1:]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with pytest.raises(StoreReadOnlyError, match="is read-only"):
        Stage(postgres_url).start(plan(node("b")))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    again = Stage(postgres_url)
    assert again.statuses(run_id) == {"a": "ready"}
    again.close()


def test_a_user_who_may_not_write(postgres_url: str) -> None:
    Stage(postgres_url).start(plan(node("a")))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS segue_reader")
        connection.execute("CREATE ROLE segue_reader LOGIN PASSWORD 'reader'")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO segue_reader")
    with pytest.raises(StoreReadOnlyError, match="permission denied"):
        Stage(changed(postgres_url, user="segue_reader:reader")).start(plan(node("b")))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY segue_reader")
        connection.execute("DROP ROLE segue_reader")


def test_a_connection_that_breaks_is_replaced(postgres_url: str) -> None:
    stage = Stage(postgres_url)
    run_id = stage.start(plan(node("a")))
    [a] = stage.claim()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    for _ in range(10):  # each of the pool's connections is broken, and found so once, mostly before it is used
        try:
            assert stage.turn(succeeded(a)).ended == [run_id]
            break
        except StoreUnavailableError:
            continue
    assert stage.statuses(run_id) == {"a": "succeeded"}
    stage.close()


def test_two_that_wait_for_each_other_are_told_apart(postgres_url: str) -> None:
    """What the engine's lock order prevents, made by hand: the database ends one, and says so."""
    stage = Stage(postgres_url)
    runs = sorted(stage.start(plan(node("a"))) for _ in range(2))
    together = Barrier(2)

    def lock(ids: list[str]) -> str:
        try:
            with stage.store.transaction() as tx:
                tx.all("lock_runs", ids=ids[:1])
                together.wait()
                tx.all("lock_runs", ids=ids[1:])
        except StoreConflictError as error:
            return str(error)
        return "fine"

    with ThreadPoolExecutor(2) as threads:
        answers = sorted(threads.map(lock, [runs, runs[::-1]]))
    assert "in favour of another" in answers[0]
    assert answers[1] == "fine"
    stage.close()


def test_errors_are_also_the_builtins_that_callers_know() -> None:
    """So `except TimeoutError` and the like catch them."""
    assert issubclass(StoreUnavailableError, ConnectionError)
    assert issubclass(StoreBusyError, TimeoutError)
    assert issubclass(StoreReadOnlyError, PermissionError)
    assert issubclass(StoreFullError, OSError)


# Files that others made ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [512, 65536])
@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST", "WAL"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_a_file_of_any_kind_will_do(tmp_path: Path, page_size: int, mode: str, encoding: str) -> None:
    path = tmp_path / "app.db"
    connection = sqlite3.connect(path)
    for setting in (f"page_size = {page_size}", f"encoding = '{encoding}'", f"journal_mode = {mode}"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    connection.execute("CREATE TABLE orders (name TEXT)")
    connection.commit()
    connection.close()
    stage = Stage(f"sqlite:///{path}")
    run_id = stage.start(plan(node("naïve 🦄")))
    [job] = stage.claim()
    stage.turn(succeeded(job, "é"))
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()
    stage.close()


def test_a_connection_that_met_a_broken_file_is_replaced(sqlite_url: str) -> None:
    stage = Stage(sqlite_url)
    run_id = stage.start(plan(node("a")))
    held = stage.store._connections._local.held
    with open_store(sqlite_url).reading():  # or the log would go with the last connection
        held.connection.close()
        with pytest.raises(StoreUnavailableError, match="closed database"):
            stage.statuses(run_id)
    assert stage.statuses(run_id) == {"a": "ready"}
    stage.close()


def test_a_file_that_may_only_be_read_says_so_at_once(open_folder: Path) -> None:
    """Also one in rollback mode, which cannot be switched to WAL then."""
    path = open_folder / "x.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id)")
    connection.close()
    path.chmod(0o444)
    open_folder.chmod(0o555)
    try:
        with without_rights(), pytest.raises(StoreError, match="permission"):
            use(f"sqlite:///{path}")
    finally:
        open_folder.chmod(0o755)

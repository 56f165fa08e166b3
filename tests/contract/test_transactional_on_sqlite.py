"""What transactional tasks meet on SQLite alone: a driver that commits unasked, a database that rolls back unasked."""

from __future__ import annotations

import sqlite3

import pytest

from segue.engine import transactional
from segue.engine.transactional import TaskTransactions
from segue.errors import DefinitionError
from segue.model import Job
from tests.contract.lending import ATTEMPT, Orders, record
from tests.contract.stage import Stage, node, plan, succeeded


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def test_a_script_is_refused_where_the_driver_commits_before_it(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(DefinitionError, match="executescript"):
        transaction.connection.executescript("INSERT INTO orders VALUES (2);")
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        transaction.connection.cursor().executescript("INSERT INTO orders VALUES (2);")
    transaction.undo()
    assert orders() == []
    record(transactions, succeeded(job), 3)
    assert orders() == [3]


def test_nothing_is_written_after_the_database_ended_the_transaction(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    connection = transaction.connection
    connection.execute("CREATE TABLE once (id integer PRIMARY KEY)")
    connection.execute("INSERT INTO once VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT OR ROLLBACK INTO once VALUES (1)")
    for statement in ("INSERT INTO orders VALUES (1)", "WITH x AS (SELECT 1) INSERT INTO orders SELECT * FROM x"):
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            connection.execute(statement)
    with pytest.raises(DefinitionError, match="ended its own transaction"):
        transaction.record(succeeded(job))
    assert orders() == []


def set_everything(connection: sqlite3.Connection) -> None:
    """What a task may do to its session."""
    connection.row_factory, connection.text_factory = sqlite3.Row, bytes
    connection.create_function("json_each", 1, lambda text: 1 / 0)
    connection.create_function("max", 2, lambda a, b: 1 / 0)
    connection.create_function("twice", 1, lambda number: 2 * number)
    connection.create_collation("backwards", lambda a, b: (a < b) - (a > b))
    connection.set_trace_callback(lambda text: None)
    connection.set_progress_handler(lambda: 1, 1_000_000)
    connection.execute("PRAGMA case_sensitive_like = ON")
    connection.execute("PRAGMA cache_size = 7")
    connection.execute("CREATE TEMP TABLE mine (id integer)")
    connection.execute("SAVEPOINT left_open")


def test_a_session_is_as_new_for_the_next_task(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    set_everything(transaction.connection)
    transaction.connection.execute("INSERT INTO orders VALUES (twice(1))")
    transaction.record(succeeded(job))
    assert orders() == [2]
    transaction = transactions.begin(ATTEMPT)
    connection = transaction.connection
    assert (connection.row_factory, connection.text_factory, connection.isolation_level) == (None, str, "")
    assert connection.execute("SELECT max(1, 2), 'a' LIKE 'A'").fetchone() == (2, 1)
    assert connection.execute("PRAGMA cache_size").fetchone() != (7,)
    assert connection.execute("SELECT count(*) FROM temp.sqlite_master").fetchone() == (0,)
    for statement in ("SELECT twice(1)", "SELECT 'a' ORDER BY 1 COLLATE backwards"):
        with pytest.raises(sqlite3.OperationalError, match="no such"):
            connection.execute(statement)
    transaction.undo()


@pytest.mark.parametrize("setting", ["PRAGMA query_only = ON", "PRAGMA foreign_keys = ON", "PRAGMA cache_size = 1"])
def test_what_a_task_sets_does_not_hinder_the_record(
    stage: Stage, orders: Orders, transactions: TaskTransactions, setting: str
) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO orders VALUES (1)")
    transaction.connection.execute(setting)
    transaction.connection.set_progress_handler(lambda: 1, 1)
    transaction.record(succeeded(job))
    assert orders() == [1]
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "ready"}


def test_a_cursor_that_a_task_leaves_open_does_not_show_the_next_one_the_past(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    stage.start(plan(node("a"), node("b")))
    first, second = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.executemany("INSERT INTO orders VALUES (?)", [(i,) for i in range(500)])
    left = transaction.connection.execute("SELECT id FROM orders")
    left.fetchone()
    transaction.record(succeeded(first))
    stage.start(plan(node("c")))  # somebody else writes
    transaction = transactions.begin(ATTEMPT)
    assert transaction.connection.execute("SELECT count(*) FROM segue_runs").fetchone() == (2,)
    transaction.record(succeeded(second))


def test_the_authorizer_is_not_the_tasks_to_change(stage: Stage, transactions: TaskTransactions) -> None:
    """It is what keeps the transaction together."""
    stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    with pytest.raises(DefinitionError, match="set_authorizer"):
        transaction.connection.set_authorizer(None)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        transaction.connection.execute("COMMIT")
    with pytest.raises(DefinitionError):
        transaction.record(succeeded(job))


def test_an_untouched_session_is_kept(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    stage.start(plan(node("a"), node("b")))
    used = []
    for job in stage.claim():
        transaction = transactions.begin(ATTEMPT)
        transaction.connection.execute("INSERT INTO orders VALUES (1)")
        used.append(transaction.connection)
        transaction.record(succeeded(job))
    assert used[0] is used[1]


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_long_transaction_renews_the_lease_of_its_worker(
    stage: Stage, orders: Orders, transactions: TaskTransactions, monkeypatch: pytest.MonkeyPatch, succeeds: bool
) -> None:
    """While it holds the one write lock its worker cannot, and others look for lost workers as soon as it lets go."""
    stage.start(plan(node("a"), node("b")))
    job, other = stage.claim()
    for long_seconds, is_renewed in ((3600.0, False), (0.0, True)):
        monkeypatch.setattr(transactional, "LONG_SECONDS", long_seconds)
        transaction = transactions.begin((job.run_id, job.step, job.attempt))
        lease = lease_of(stage, other)
        stage.clock.advance(seconds=1)
        if succeeds and is_renewed:
            transaction.record(succeeded(job))
        else:
            transaction.undo()
        assert (lease_of(stage, other) > lease) is is_renewed


def lease_of(stage: Stage, job: Job) -> str:
    """Until when the worker of this step has its lease."""
    with stage.store.reading() as tx:
        [(_, _, lease_until)] = tx.all("lease_of_step", run_id=job.run_id, step=job.step)
    return str(lease_until)

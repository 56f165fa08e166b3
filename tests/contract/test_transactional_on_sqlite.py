"""What transactional tasks meet on SQLite alone: a driver that commits unasked, a database that rolls back unasked."""

from __future__ import annotations

import sqlite3

import pytest

from segue.engine.transactional import TaskTransactions
from segue.errors import DefinitionError
from tests.contract.acting import Stage, node, plan, succeeded
from tests.contract.lending import ATTEMPT, Orders, record


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
    with pytest.raises(DefinitionError, match="was ended"):
        transaction.record(succeeded(job))
    assert orders() == []

"""What transactional tasks meet on PostgreSQL alone: sessions that remember, conflicts, connections that break."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from segue import task
from segue.attempt.runner import run_job
from segue.engine.transactional import TaskTransactions
from segue.errors import StoreConflictError, StoreError
from segue.model import Verdict
from tests.contract.lending import ATTEMPT, Orders, job_of, record
from tests.contract.stage import Stage, connect, node, plan, succeeded


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@task(transactional=True, retry_on=KeyError)
def repeatable(connection: Any, url: str) -> None:
    """Reads in a snapshot; meanwhile somebody else changes the run."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    connection.execute("SELECT id FROM orders").fetchall()
    with connect(url) as other:
        other.execute("UPDATE segue_runs SET waiting_on = waiting_on")
        other.commit()


def test_an_attempt_that_goes_stale_while_it_writes_leaves_nothing(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO orders VALUES (1)")
    stage.advance(60)
    assert stage.engine.rescue() == 1
    assert transaction.record(succeeded(job)).verdict == Verdict.FAILED
    assert orders() == []


def test_the_run_is_not_locked_while_the_task_works(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    run_id = stage.start(plan(node("a"), node("b")))
    first, second = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO orders VALUES (1)")
    stage.turn(succeeded(second))
    assert transaction.record(succeeded(first)).verdict == Verdict.RECORDED
    assert stage.run(run_id).status == "succeeded"


def test_a_connection_that_is_still_busy_is_not_recorded(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO orders VALUES (1)")
    pipeline = transaction.connection.pipeline()
    pipeline.__enter__()
    with pytest.raises(StoreError, match="still busy"):
        transaction.record(succeeded(job))
    assert orders() == []
    assert record(transactions, succeeded(job), 2).verdict == Verdict.RECORDED


def test_settings_of_segue_do_not_reach_the_task(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    stage.start(plan(node("a"), node("b", 0)))
    [job] = stage.claim()
    with connect(stage.store.url) as plain:
        told = "SELECT name, setting FROM pg_settings WHERE name LIKE 'enable%' OR name IN ('jit', 'plan_cache_mode')"
        expected = plain.execute(told).fetchall()
    for _ in range(2):
        transaction = transactions.begin(ATTEMPT)
        assert transaction.connection.execute(told).fetchall() == expected
        transaction.record(succeeded(job))
        [job] = stage.claim() or [job]


def test_what_a_task_sets_does_not_reach_segue(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    role = f"weak_{stage.store.url.rpartition('/')[2]}"
    for statement in (
        "INSERT INTO orders VALUES (1)", f"CREATE ROLE {role}", f"SET ROLE {role}", "SET search_path = pg_temp",
        "SET TimeZone = 'Asia/Tokyo'", "SET DateStyle = 'German'", "DEALLOCATE ALL",
    ):  # fmt: skip
        transaction.connection.execute(statement)
    assert transaction.record(succeeded(job, output="words")).verdict == Verdict.RECORDED
    with connect(stage.store.url) as connection:
        connection.execute(f"DROP ROLE {role}")
        connection.commit()
    assert stage.run(run_id).finished_at == stage.store.now()
    assert orders() == [1]


def test_ids_are_read_as_the_user_has_them(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    """Segue reads ids as text, on its own account."""
    transaction = transactions.begin(ATTEMPT)
    [[id_]] = transaction.connection.execute("SELECT gen_random_uuid()").fetchall()
    assert type(id_).__name__ == "UUID"
    transaction.undo()


def test_a_conflict_fails_the_attempt_retryably(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    outcome = run_job(job_of(stage, repeatable, stage.store.url), transactions=transactions)
    assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, True)  # though `retry_on` does not name it
    assert outcome.error is not None
    assert outcome.error.type == StoreConflictError.__name__


def test_a_constraint_that_was_deferred_is_the_tasks_own_affair(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    with connect(stage.store.url) as connection:
        connection.execute("CREATE TABLE lines (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        connection.commit()
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO lines VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        transaction.record(succeeded(job))
    assert stage.statuses(run_id) == {"a": "running"}
    assert record(transactions, succeeded(job), 2).verdict == Verdict.RECORDED


def test_a_connection_that_broke_meanwhile_is_opened_again(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    stage.start(plan(node("a"), node("b")))
    first, second = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    pid = transaction.connection.info.backend_pid
    transaction.record(succeeded(first))
    with connect(stage.store.url) as connection:
        connection.execute(f"SELECT pg_terminate_backend({pid})")
    assert record(transactions, succeeded(second), 1).verdict == Verdict.RECORDED
    assert orders() == [1]

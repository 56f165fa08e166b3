"""Promise 13: the transaction in which a task wrote also records its outcome, so both are there once, or neither is."""

from __future__ import annotations

import select
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from segue import Skip, group, task
from segue.attempt.runner import run_job
from segue.engine import transactional
from segue.engine.transactional import TaskTransactions
from segue.errors import DefinitionError, StoreError
from segue.model import Verdict
from segue.store import open_store
from tests.contract.lending import ATTEMPT, Orders, job_of, record
from tests.contract.stage import Stage, connect, expanded, node, plan, succeeded, value

# Both or neither ------------------------------------------------------------------------------------------------------


def test_one_commit_shows_everything(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    """The task's rows, its step, the steps behind it; before it nothing is seen."""
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO orders VALUES (1)")
    assert orders() == []
    assert stage.statuses(run_id) == {"a": "running", "b": "blocked"}
    assert transaction.record(succeeded(job, 7, seconds=0.25)).verdict == Verdict.RECORDED
    assert orders() == [1]
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "ready"}
    assert stage.step(run_id, "a").seconds == 0.25
    [job] = stage.claim_named("b")
    assert record(transactions, succeeded(job), 2).verdict == Verdict.RECORDED
    assert stage.run(run_id).status == "succeeded"
    assert orders() == [1, 2]


def test_a_run_ends_with_its_hooks_and_its_result(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    run_id = stage.start(plan(node("a"), node("thanks", hook="on_success"), node("sorry", hook="on_failure")))
    [job] = stage.claim()
    record(transactions, succeeded(job), 1)
    assert stage.statuses(run_id) == {"a": "succeeded", "thanks": "ready", "sorry": "skipped"}
    [job] = stage.claim_named("thanks")
    record(transactions, succeeded(job), 2)
    assert stage.run(run_id).status == "succeeded"
    assert orders() == [1, 2]


def test_a_plan_that_was_returned_is_there_with_the_rows(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [job] = stage.claim()
    more = plan(node("x"), node("j", task=None, result=value(5)), name="more")
    assert record(transactions, expanded(job, more), 1).verdict == Verdict.RECORDED
    assert stage.statuses(run_id) == {"a": "blocked", "b": "blocked", "x": "ready", "j": "succeeded"}
    stage.work()
    assert stage.run(run_id).status == "succeeded"
    assert orders() == [1]


def test_what_is_undone_was_never_there(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO orders VALUES (1)")
    assert transaction.undo() is None
    assert orders() == []
    assert stage.statuses(run_id) == {"a": "running"}
    assert record(transactions, succeeded(job), 2).verdict == Verdict.RECORDED  # the connection is as good as before
    assert orders() == [2]


def test_a_stale_attempt_leaves_nothing(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    stage.advance(60)
    assert stage.engine.rescue() == 1
    for late in (succeeded(job, 1), expanded(job, plan(node("x")))):
        told = record(transactions, late, 1)
        assert (told.verdict, told.attempt) == (Verdict.FAILED, 1)
        assert stage.turn(told, by=stage.hire("anybody")).refused == 1
    assert orders() == []
    [again] = stage.claim(by=stage.hire("second"))
    assert record(transactions, succeeded(job, 1), 1).verdict == Verdict.FAILED  # the step runs, but not this attempt
    assert record(transactions, succeeded(again, 2), 2).verdict == Verdict.RECORDED
    assert record(transactions, succeeded(again, 2), 2).verdict == Verdict.FAILED  # said twice
    assert orders() == [2]
    assert stage.run(run_id).status == "succeeded"


@pytest.mark.parametrize("grows", [False, True], ids=["result", "plan"])
def test_a_result_counts_in_a_run_that_is_being_cancelled_and_a_plan_does_not(
    stage: Stage, orders: Orders, transactions: TaskTransactions, grows: bool
) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [job] = stage.claim()
    stage.cancel(run_id)
    told = record(transactions, expanded(job, plan(node("x"))) if grows else succeeded(job), 1)
    if grows:
        assert told.verdict == Verdict.CANCELLED
        stage.turn(told)
    else:
        assert told.verdict == Verdict.RECORDED
    assert orders() == ([] if grows else [1])
    assert stage.statuses(run_id) == {"a": "cancelled" if grows else "succeeded", "b": "cancelled"}
    assert stage.run(run_id).status == "cancelled"


def test_what_it_printed_is_on_record(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    record(transactions, succeeded(job, output="paid\n"), 1)
    [attempt] = stage.attempts(run_id)
    assert (attempt.status, attempt.worker, attempt.output) == ("succeeded", "first", "paid\n")


def test_a_run_that_is_started_inside_is_part_of_it(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    for end in ("undo", "record"):
        transaction = transactions.begin(ATTEMPT)
        [other] = stage.engine.start([(plan(node("z"), name="other"), None)], connection=transaction.connection)
        if end == "undo":
            transaction.undo()
            assert [job.name for job in stage.claim()] == []
        else:
            transaction.record(succeeded(job))
            assert stage.statuses(other) == {"z": "ready"}


def test_waiting_workers_hear_of_what_was_released(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    stage.start(plan(node("a"), node("b", 0)))
    [job] = stage.claim()
    stage.turn(by=stage.worker, heartbeat="running", sleeping=True)
    waker = stage.store.waker()
    waker.woken()
    record(transactions, succeeded(job), 1)
    if waker.fd is not None:
        select.select([waker.fd], [], [], 10)  # the server tells listeners a moment after the commit
    assert waker.woken()
    waker.close()


def test_what_is_taken_away_is_undone_at_once(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    """From another thread, while the task goes on: its locks are free, and nothing that it writes then counts."""
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    attempt = (job.run_id, job.step, job.attempt)
    transaction = transactions.begin(attempt)
    connection = transaction.connection
    connection.execute("INSERT INTO orders VALUES (1)")
    warden = threading.Thread(target=transactions.revoke, args=[attempt])
    warden.start()
    warden.join()
    with connect(stage.store.url) as other:
        other.execute("INSERT INTO orders VALUES (2)")  # on SQLite the lock is free
        other.commit()
    for _ in range(2):
        with pytest.raises((sqlite3.Error, psycopg.Error)):
            connection.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises((StoreError, DefinitionError)):
        transaction.record(succeeded(job))
    assert stage.statuses(run_id) == {"a": "running"}
    transactions.revoke(attempt)  # it has ended, so there is nothing to take away
    assert record(transactions, succeeded(job), 3).verdict == Verdict.RECORDED
    assert orders() == [2, 3]


def test_what_is_taken_away_too_late_harms_no_later_attempt(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    """Between its commit and the moment at which the connection is given back."""
    stage.start(plan(node("a"), node("b")))
    first, second = stage.claim()
    transaction = transactions.begin((first.run_id, first.step, first.attempt))
    loan = transaction._loan
    assert transaction.record(succeeded(first)).verdict == Verdict.RECORDED
    warden = threading.Thread(target=loan.revoke)
    warden.start()
    warden.join()
    assert record(transactions, succeeded(second), 2).verdict == Verdict.RECORDED
    assert orders() == [2]


# A task that does what it must not ------------------------------------------------------------------------------------

ENDINGS: dict[str, Callable[[Any], object]] = {
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "close": lambda connection: connection.close(),
    "with": lambda connection: connection.__exit__(None, None, None),
    "with, failing": lambda connection: connection.__exit__(ValueError, ValueError(), None),
}


def test_a_task_cannot_end_its_transaction(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    """It is refused; and when the task goes on nevertheless, the attempt does not count."""
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    for end in ENDINGS.values():
        transaction = transactions.begin(ATTEMPT)
        transaction.connection.execute("INSERT INTO orders VALUES (1)")
        with pytest.raises(DefinitionError, match=r"may not end its transaction .*savepoint"):
            end(transaction.connection)
        with pytest.raises(DefinitionError, match="may not end its transaction"):
            transaction.record(succeeded(job))
        assert orders() == []
        assert stage.statuses(run_id) == {"a": "running"}
    assert record(transactions, succeeded(job), 2).verdict == Verdict.RECORDED
    assert orders() == [2]


SPOKEN = ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "COMMIT; INSERT INTO orders VALUES (9)"]


@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
def test_a_task_that_ends_its_transaction_in_sql_is_found_out(
    stage: Stage, orders: Orders, transactions: TaskTransactions, raises: bool
) -> None:
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    stays: list[int] = []
    for number, words in enumerate(SPOKEN):
        transaction = transactions.begin(ATTEMPT)
        transaction.connection.execute(f"INSERT INTO orders VALUES ({number})")
        is_heard = True
        try:
            for statement in words.split("; "):
                transaction.connection.execute(statement)
        except sqlite3.DatabaseError:
            is_heard = False
        if is_heard and words.startswith("COMMIT"):
            stays.append(number)  # what was committed cannot be undone
        if raises:
            assert (transaction.undo() is not None) == is_heard
        else:
            with pytest.raises(DefinitionError):
                transaction.record(succeeded(job))
        assert stage.statuses(run_id) == {"a": "running"}
        assert orders() == stays
    assert record(transactions, succeeded(job), 2).verdict == Verdict.RECORDED


def test_a_savepoint_undoes_a_part(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    for statement in ("INSERT INTO orders VALUES (1)", "SAVEPOINT part", "INSERT INTO orders VALUES (2)"):
        transaction.connection.execute(statement)
    transaction.connection.execute("ROLLBACK TO part")
    assert transaction.record(succeeded(job)).verdict == Verdict.RECORDED
    assert orders() == [1]


def test_a_task_that_goes_on_after_a_failed_statement(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    """SQLite undoes the statement, PostgreSQL the transaction: there, nothing may be recorded as if it were written."""
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises((sqlite3.Error, psycopg.Error)):
        transaction.connection.execute("INSERT INTO nowhere VALUES (1)")
    if stage.store.dialect == "sqlite":
        transaction.record(succeeded(job))
        assert orders() == [1]
        return
    with pytest.raises(StoreError, match=r"failed and the task went on.*with connection.transaction\(\)"):
        transaction.record(succeeded(job))
    assert orders() == []
    assert stage.statuses(run_id) == {"a": "running"}


# The session is the user's, and new each time -------------------------------------------------------------------------


def test_nothing_of_a_task_is_left_for_the_next(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    connection = transaction.connection
    connection.row_factory = sqlite3.Row if stage.store.dialect == "sqlite" else psycopg.rows.dict_row
    connection.execute("INSERT INTO orders VALUES (1)")
    if stage.store.dialect == "postgres":
        connection.execute("CREATE SCHEMA elsewhere")
        for setting in ("search_path = elsewhere", "TimeZone = 'Asia/Tokyo'", "statement_timeout = '1min'"):
            connection.execute(f"SET {setting}")
        connection.execute("CREATE TEMP TABLE scrap (id integer)")
        connection.execute("SELECT pg_advisory_lock(1)")
    assert transaction.record(succeeded(job)).verdict == Verdict.RECORDED
    connection = transactions.begin(ATTEMPT).connection
    assert connection.execute("SELECT id FROM orders").fetchall() == [(1,)]
    assert type(connection.execute("SELECT id FROM orders").fetchone()) is tuple
    if stage.store.dialect == "postgres":
        [settings] = connection.execute(
            "SELECT current_setting('search_path'), current_setting('statement_timeout'), to_regclass('scrap'), "
            "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
        ).fetchall()
        assert settings == ('"$user", public', "0", None, 0)


# A whole attempt ------------------------------------------------------------------------------------------------------


@task(transactional=True, retry_on=KeyError)
def order(connection: Any, id_: int, then: str = "return") -> Any:
    connection.execute(f"INSERT INTO orders VALUES ({id_})")
    match then:
        case "return":
            return id_
        case "skip":
            raise Skip("not today")
        case "grow":
            return group(order.si(id_ + 1), order.si(id_ + 2))
        case "too much":
            return "x" * 3000
        case "commit":
            connection.execute("COMMIT")
            raise KeyError("after that")
    raise KeyError(then)


@pytest.mark.parametrize(
    "then, verdict, ids",
    [
        ("return", Verdict.RECORDED, [7]),
        ("grow", Verdict.RECORDED, [7]),
        ("skip", Verdict.SKIPPED, []),
        ("raise", Verdict.FAILED, []),
        ("too much", Verdict.FAILED, []),
    ],
)
def test_only_what_succeeded_is_kept(
    stage: Stage, orders: Orders, transactions: TaskTransactions, then: str, verdict: Verdict, ids: list[int]
) -> None:
    job = job_of(stage, order, 7, then)
    outcome = run_job(job, transactions=transactions, on_return=lambda: "printed", result_limit_bytes=1000)
    assert outcome.verdict == verdict
    assert orders() == ids
    assert stage.turn(outcome).refused == (verdict == Verdict.RECORDED)  # a worker does not even say it
    ends = {"grow": "blocked", "skip": "skipped", "raise": "failed", "too much": "failed"}
    assert stage.statuses(job.run_id)["a"] == ends.get(then, "succeeded")


def test_an_attempt_that_ended_its_transaction_is_not_tried_again(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    outcome = run_job(job_of(stage, order, 7, "commit"), transactions=transactions)
    assert outcome.error is not None
    if stage.store.dialect == "sqlite":  # it was refused, and nothing is there
        assert outcome.error.type == "sqlite3.DatabaseError"
        assert orders() == []
    else:
        assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, False)
        assert outcome.error.type == "DefinitionError"
        assert "stays and must be checked" in outcome.error.message
        assert "KeyError: 'after that'" in outcome.error.traceback


def test_without_a_database_the_attempt_fails_and_says_why(stage: Stage, orders: Orders) -> None:
    outcome = run_job(job_of(stage, order, 7))
    assert outcome.verdict == Verdict.FAILED
    assert outcome.error is not None
    assert "without a database" in outcome.error.message


def test_an_attempt_that_cannot_begin_is_handed_back(
    stage: Stage, orders: Orders, transactions: TaskTransactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was no try: the task never ran."""
    monkeypatch.setattr(transactional, "PAUSES_SECONDS", (0.0, 0.0))
    job = job_of(stage, order, 7)
    away = {"sqlite": "sqlite:////nowhere/segue.db", "postgres": "postgresql://nobody@127.0.0.1:1/nothing"}
    broken = TaskTransactions(lambda: open_store(away[stage.store.dialect]))
    outcome = run_job(job, transactions=broken)
    assert outcome.verdict == Verdict.RELEASED
    assert outcome.error is not None
    assert outcome.error.type == "StoreUnavailableError"
    stage.turn(outcome)
    assert stage.step(job.run_id, "a").failures == 0
    assert stage.statuses(job.run_id) == {"a": "ready"}

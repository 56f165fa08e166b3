"""Checkpoints: a task that comes again goes on where it was, and a call that differs from its record is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from segue import checkpoint, current, sleep, task, wait_for
from segue.attempt.recorded import fingerprint_of
from segue.authoring.context import Context, use
from segue.engine.checkpoints import MOST_CHECKPOINTS
from segue.engine.payload_uses import count_payloads
from segue.errors import CheckpointError, DefinitionError, RunFailedError
from segue.payloads import FilePayloads, Payloads
from segue.testing import Workbench
from tests.contract.recording import (
    BODY,
    CALLS,
    after,
    break_at,
    call,
    error_of,
    scripted,
    scripted_async,
    start,
)
from tests.contract.stage import connect
from tests.crash.working import let_leases_run_out


def mislabelled() -> int:
    return "text"  # type: ignore[return-value]


# Goes on --------------------------------------------------------------------------------------------------------------


def test_loops_and_branches_go_on_where_they_were(bench: Workbench) -> None:
    def body() -> list[Any]:
        found = []
        for number in range(checkpoint("count", call, 3)):
            found.append(checkpoint(f"part {number}", call, number * 10))
            break_at(number)
        if found[-1] == 20:
            found.append(checkpoint("last", call, "x"))
        return found

    run = start(bench, body)
    assert (run.result(), CALLS) == ([0, 10, 20, "x"], [3, 0, 10, 20, "x"])
    [step] = run.steps()
    assert (step.attempt, step.failures) == (4, 3)


def test_results_come_back_as_what_they_were(bench: Workbench) -> None:
    day = datetime(2026, 5, 1, tzinfo=UTC)
    seen: list[Any] = []

    def when(of: str) -> datetime:
        return day

    def body() -> None:
        seen.append(
            [checkpoint("when", when, "x"), checkpoint("also", partial(when, "y")), checkpoint("odd", call, {1: (2,)})]
        )
        break_at(0)

    start(bench, body)
    assert seen == [[day, day, {"1": [2]}]] * 2  # of a function without an annotation, JSON


def test_what_raises_is_not_recorded(bench: Workbench) -> None:
    def flaky() -> int:
        CALLS.append("flaky")
        break_at(0)
        return 1

    run = start(bench, lambda: checkpoint("flaky", flaky))
    assert (run.result(), CALLS) == (1, ["flaky", "flaky"])


def test_a_caught_failure_may_be_tried_again_and_not_passed_over(bench: Workbench) -> None:
    def flaky() -> int:
        CALLS.append("flaky")
        if len(CALLS) < 3:
            raise OSError
        return 1

    def patient() -> int:
        for _ in range(5):
            with suppress(OSError):
                return checkpoint("flaky", flaky) + checkpoint("next", abs, -1)
        return 0

    def careless() -> int:
        with suppress(OSError):
            checkpoint("flaky", flaky)
        with suppress(CheckpointError):
            checkpoint("next", abs, -1)
        return checkpoint("last", abs, -1)

    run = start(bench, patient)
    assert (run.result(), CALLS) == (2, ["flaky"] * 3)
    assert [record.number for record in run.step(0).checkpoints()] == [1, 2]
    CALLS.clear()
    assert "checkpoint('next') was called after checkpoint('flaky') had raised" in error_of(start(bench, careless))


@task(name="checkpoints.item", retries=1, retry_delay=0)
def item_of_batch(number: int) -> int:
    found = checkpoint("twice", after, call(number) * 2)
    if number == 2:
        break_at(0)
    return found


def test_each_item_of_a_batch_has_names_of_its_own(bench: Workbench) -> None:
    run = bench.segue.start(item_of_batch.map([1, 2, 3], batch=3))
    bench.work()
    assert run.result() == [2, 4, 6]
    [step] = [step for step in run.steps() if step.failures]
    assert [record.name for record in run.step(step.step).checkpoints()] == ["0: twice", "1: twice", "2: twice"]


def test_long_results_lie_in_the_payload_store(database_url: str, tmp_path: Path) -> None:
    payloads = Payloads(FilePayloads(tmp_path), threshold=10_000)

    def body() -> int:
        text = checkpoint("long", call, "x" * 50_000)
        break_at(0)
        return len(text)

    CALLS.clear()
    with Workbench(database_url, payloads=payloads) as bench:
        run = start(bench, body)
        assert (run.result(), len(CALLS)) == (50_000, 1)
        [record] = run.step(0).checkpoints()
        assert len(record.value or "") in range(10, 500)
        with bench.segue.engine.reading() as tx:
            assert count_payloads(tx)[::2] == (1, 0)  # a run uses it
        assert bench.segue.engine.broken_invariants() == []


# Refused --------------------------------------------------------------------------------------------------------------


def differing(first: Callable[[], Any], second: Callable[[], Any]) -> Callable[[], Any]:
    def body() -> None:
        (first if current().failures == 0 else second)()
        raise OSError

    return body


@pytest.mark.parametrize(
    "body, problem",
    [
        (differing(lambda: checkpoint("a", call, 1), lambda: checkpoint("b", call, 1)),
         r"checkpoint\('b'\) was called where attempt 1 had recorded checkpoint 'a' \(number 1\)"),
        (differing(lambda: checkpoint("a", call, 1), lambda: checkpoint("a", call, 2)), "with other arguments than"),
        (differing(lambda: sleep(0), lambda: checkpoint("a", call, 2)), r"where attempt 1 had recorded sleep"),
        (lambda: [checkpoint("a", call, n) for n in range(2)], r"checkpoint\('a'\) was called twice in one attempt"),
        (lambda: checkpoint("a", lambda: checkpoint("b", call, 1)), "was called while another call has not ended"),
        (lambda: checkpoint("a", lambda: sleep(5)), r"sleep\(\) was called while another call"),
        (lambda: checkpoint("a", lambda: scripted_async.fn()), "returns an awaitable; give the `async def`"),
    ],
)  # fmt: skip
def test_calls_that_differ_are_refused_at_once(bench: Workbench, body: Callable[[], Any], problem: str) -> None:
    run = start(bench, body)
    with pytest.raises(RunFailedError, match=f"CheckpointError: .*{problem}"):
        run.result()
    assert run.steps()[0].failures <= 2  # it is not tried again


@pytest.mark.parametrize(
    "body, problem",
    [
        (lambda: checkpoint("a", object), "SerializationError: .*result of checkpoint.'a'"),
        (lambda: checkpoint("a", mislabelled), "SerializationError: result of checkpoint"),
        (lambda: checkpoint("", call), "DefinitionError: checkpoint was given the name ''"),
        (lambda: checkpoint("a\x00b", call), "DefinitionError: checkpoint was given the name"),
        (lambda: checkpoint("a", call(5)), "instead of a function; write the function and its arguments"),
        (lambda: checkpoint("a", scripted_async.fn, transactional=True), "was given an async function"),
        (lambda: wait_for(""), "wait_for was given the name ''"),
        (lambda: sleep(until=datetime(2026, 1, 1)), "has a time zone"),  # noqa: DTZ001 - that is the mistake
        (lambda: sleep(until=datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))), "is out of range in UTC"),
        (lambda: checkpoint("big", call, "x" * 17_000_000), "ResultTooLargeError: The result of checkpoint"),
    ],
)
def test_wrong_calls_say_what_to_do(bench: Workbench, body: Callable[[], Any], problem: str) -> None:
    run = start(bench, body, scripted.options(retries=0).s())
    with pytest.raises(RunFailedError, match=problem):
        run.result()
    assert run.step(0).checkpoints() == []


def test_there_are_only_so_many(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_CHECKPOINTS >= 10_000
    monkeypatch.setattr("segue.attempt.calls.MOST_CHECKPOINTS", 3)
    run = start(bench, lambda: [checkpoint(f"part {n}", call, n) for n in range(4)])
    assert "would be record 4 of its step, which may have 3" in error_of(run)


def test_outside_of_a_step_it_is_the_function() -> None:
    assert checkpoint("a", call, 5) == 5
    with pytest.raises(DefinitionError, match="no step is running"):
        checkpoint("a", call, 5, transactional=True)


@pytest.mark.parametrize("call", [lambda: sleep(5), lambda: wait_for("go"), lambda: checkpoint("a", abs, 5)])
def test_it_is_refused_where_nothing_can_be_recorded(call: Callable[[], Any]) -> None:
    """In a task of Celery or an actor of Dramatiq."""
    context = Context("run", 0, 1, "resize", "celery:resize", lambda *_: None)
    with (
        use(context),
        pytest.raises(DefinitionError, match="in the step resize, which runs outside"),
    ):
        call()


def test_fingerprints_do_not_depend_on_the_process() -> None:
    words = {"a", "b", "c", "d", "e"}
    same = [fingerprint_of("checkpoint", "n", [set(order), object()], {}) for order in (sorted(words), words)]
    assert same[0] == same[1] != fingerprint_of("checkpoint", "n", [words, 5], {})


# Fenced ---------------------------------------------------------------------------------------------------------------


def test_an_attempt_that_was_taken_away_records_nothing_more(bench: Workbench) -> None:
    def body() -> list[Any]:
        found = [checkpoint("first", call, "first")]
        if "stale" not in CALLS:
            let_leases_run_out(bench.segue.url)
            bench.segue.engine.rescue()
            try:
                checkpoint("second", call, "stale")
            except Exception:  # noqa: BLE001 - it must get through this
                CALLS.append("swallowed")
            CALLS.append("went on")
        return [*found, checkpoint("second", call, "current")]

    run = start(bench, body)
    bench.work()
    assert run.result() == ["first", "current"]
    assert CALLS == ["first", "stale", "current"]
    assert [record.attempt for record in run.step(0).checkpoints()] == [1, 2]


def test_a_record_waits_for_whoever_takes_the_step_away(bench: Workbench) -> None:
    """The other transaction has changed the step, and has not committed yet when the record is sent."""
    has_changed = threading.Event()

    def take() -> None:
        with connect(bench.segue.url) as connection:
            connection.execute("UPDATE segue_steps SET attempt = attempt + 1, status = 'ready'")
            has_changed.set()
            time.sleep(0.3)  # so that the record is sent meanwhile
            connection.commit()

    def body() -> Any:
        if not CALLS:
            checkpoint("first", call, "first")
            taking = threading.Thread(target=take)
            taking.start()
            has_changed.wait(30)
            try:
                checkpoint("second", call, "stale")
            finally:
                taking.join()
        return [checkpoint("first", call, "first"), checkpoint("second", call, "current")]

    run = start(bench, body)
    bench.work()
    assert (run.result(), CALLS) == (["first", "current"], ["first", "stale", "current"])


def test_what_a_function_writes_is_committed_with_its_result(bench: Workbench) -> None:
    with connect(bench.segue.url) as connection:
        connection.execute("CREATE TABLE ledger (number integer)")
        connection.commit()

    def write(connection: Any, number: int) -> int:
        connection.execute(f"INSERT INTO ledger VALUES ({number})")
        if number == 2 and current().failures == 1:
            raise OSError("after the row")
        return number

    def body() -> Any:
        found = [checkpoint(f"row {n}", write, n, transactional=True) for n in range(1, 2 + current().failures)]
        break_at(0)
        return found

    run = start(bench, body)
    with connect(bench.segue.url) as connection:
        rows = [row[0] for row in connection.execute("SELECT number FROM ledger ORDER BY number").fetchall()]
    assert (run.result(), rows) == ([1, 2, 3], [1, 2, 3])


DAMAGES = {
    "kind": "odd", "name": "other", "fingerprint": "", "value": "{not json", "attempt": 99, "ordinal": 7,
    "due_at": "2001-01-01 00:00:00",
}  # fmt: skip


@pytest.mark.parametrize("column", DAMAGES)
def test_damaged_records_are_charged_to_their_step(database_url: str, column: str) -> None:
    CALLS.clear()
    with Workbench(database_url) as bench:
        BODY[:] = [lambda: checkpoint("part", call, 1) and sleep(60)]
        damaged = bench.segue.start(scripted)
        bench.work()
        with connect(database_url) as connection:
            connection.execute(f"UPDATE segue_checkpoints SET {column} = '{DAMAGES[column]}' WHERE ordinal = 0")
            connection.execute(
                f"UPDATE segue_checkpoints SET {column} = '{DAMAGES[column]}' WHERE '{column}' = 'due_at'"
            )
            connection.commit()
        beside = bench.segue.start(after, 1)
        bench.advance(seconds=60)
        bench.advance(seconds=60)
        assert damaged.status.is_final
        assert beside.result() == 1


def test_async_calls_come_one_after_another(bench: Workbench) -> None:
    async def ask(word: str) -> str:
        return call(word).upper()

    async def body() -> list[str]:
        words = [await checkpoint(f"ask {word}", ask, word) for word in ("a", "b")]
        break_at(0)
        return words

    run = start(bench, body, scripted_async)
    assert (run.result(), CALLS) == (["A", "B"], ["a", "b"])

"""While a turn hangs the pool is looked after by another thread, and what that hears is lost in no case."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from segue.engine.turn_request import TurnRequest, TurnResult
from segue.errors import StoreUnavailableError
from segue.model import Verdict
from segue.worker import caretaker
from tests.unit.worker.test_worker import Play, done, job

PATIENCE_SECONDS = 30.0


def patient(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Play:
    """Another thread than the loop's may ask the pool for news as often as it likes."""
    monkeypatch.setattr(caretaker, "LOOK_SECONDS", 0.001)
    play = Play(monkeypatch, **options)
    loop, collect = threading.current_thread(), play.pool.collect

    def wait(timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[Any]:
        if threading.current_thread() is loop or play.pool.news:
            return collect(timeout_seconds, extra_fds)
        threading.Event().wait(0.001)
        return []

    def turn(worker: Any, request: TurnRequest) -> TurnResult:
        said = msgspec.structs.replace(request, outcomes=list(request.outcomes))  # the worker goes on to fill its list
        return answer(worker, said)

    answer = play.engine.turn
    monkeypatch.setattr(play.engine, "turn", turn)
    monkeypatch.setattr(play.pool, "collect", wait)
    return play


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    return patient(monkeypatch)


def hanging(play: Play, until: threading.Event, answer: Any, meanwhile: Callable[[], None] = lambda: None) -> Any:
    """A turn that does not come back before something has happened."""

    def turn(_: TurnRequest) -> Any:
        meanwhile()
        play.engine.clock.advance(seconds=1)
        assert until.wait(PATIENCE_SECONDS), "nobody looked after the pool"
        return answer

    return turn


def noting(play: Play, monkeypatch: pytest.MonkeyPatch, name: str) -> threading.Event:
    """Set when this method of the pool was called by another thread than the loop's."""
    happened = threading.Event()
    loop, method = threading.current_thread(), getattr(play.pool, name)

    def call(*args: Any) -> Any:
        found = method(*args)
        if threading.current_thread() is not loop and (name != "collect" or found):
            happened.set()
        return found

    monkeypatch.setattr(play.pool, name, call)
    return happened


@pytest.mark.parametrize("answer", [TurnResult(), StoreUnavailableError("no answer")], ids=["answered", "failed"])
def test_what_ends_while_a_turn_hangs_is_said_once(
    play: Play, monkeypatch: pytest.MonkeyPatch, answer: TurnResult | Exception
) -> None:
    outcome = done(job())
    heard = noting(play, monkeypatch, "collect")

    def begin_to_end() -> None:
        play.pool.news = [[outcome]]

    play.engine.script = [TurnResult(jobs=[job()]), hanging(play, heard, answer, begin_to_end)]
    stop_when(play, lambda: bool(play.engine.said))
    play.worker.run()
    assert play.engine.said == [[outcome]]


def test_a_burst_does_not_end_before_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    play = patient(monkeypatch, burst=True)
    outcome = done(job())
    heard = noting(play, monkeypatch, "collect")

    def begin_to_end() -> None:
        play.pool.news = [[outcome]]

    play.engine.script = [TurnResult(jobs=[job()]), hanging(play, heard, TurnResult(), begin_to_end)]
    play.worker.run()
    assert play.engine.said == [[outcome]]


def test_what_a_hanging_turn_had_claimed_is_handed_back_by_a_stop(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    recalled = noting(play, monkeypatch, "recall")
    submitted: list[Any] = []
    monkeypatch.setattr(play.pool, "submit", submitted.extend)
    play.engine.script = [hanging(play, recalled, TurnResult(jobs=[job()]), play.worker.stop)]
    play.worker.run()
    assert submitted == []
    assert play.engine.said == [[done(job(), Verdict.RELEASED)]]


@pytest.mark.parametrize("how", ["grace", "twice", "at once"])
def test_what_runs_is_ended_while_a_turn_hangs(play: Play, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    ended = noting(play, monkeypatch, "stop" if how == "grace" else "kill")

    def stop() -> None:
        play.worker.stop(at_once=how == "at once")
        if how == "twice":
            play.worker.stop()
        if how == "grace":
            monkeypatch.setattr(play.worker._caretaker, "_grace_seconds", 0.0)

    play.engine.script = [TurnResult(jobs=[job()]), hanging(play, ended, StoreUnavailableError("no answer"), stop)]
    play.worker.run()
    assert play.engine.said == [[done(job(), Verdict.RELEASED)]]
    assert play.engine.unregistered == play.engine.registered


def test_who_runs_it_hears_when_it_is_to_end_at_once_and_the_database_hangs(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(caretaker, "STUCK_SECONDS", 0.0)
    play.engine.script = [hanging(play, stuck, TurnResult(), lambda: play.worker.stop(at_once=True))]
    play.worker.run(on_stuck=stuck.set)
    assert stuck.is_set()


def test_a_pool_that_raises_there_is_asked_again(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = done(job())
    loop, collect = threading.current_thread(), play.pool.collect
    asked: list[int] = []
    again = threading.Event()

    def raise_once(timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[Any]:
        if threading.current_thread() is loop:
            return collect(timeout_seconds, extra_fds)
        asked.append(1)
        if len(asked) == 1:
            raise ValueError("a frame")
        found = collect(timeout_seconds, extra_fds)
        again.set()
        return found

    def begin_to_end() -> None:
        play.pool.news = [[outcome]]

    monkeypatch.setattr(play.pool, "collect", raise_once)
    play.engine.script = [TurnResult(jobs=[job()]), hanging(play, again, TurnResult(), begin_to_end)]
    stop_when(play, lambda: bool(play.engine.said))
    play.worker.run()
    assert play.engine.said == [[outcome]]


def test_a_logging_handler_that_raises_ends_no_worker(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(record)
            raise RuntimeError("no more space")

    logged: list[logging.LogRecord] = []
    logger, handler = logging.getLogger("segue.worker"), Raising()
    logger.addHandler(handler)
    try:
        play.run(TurnResult(jobs=[job()]), StoreUnavailableError("away"), TurnResult(), news=[[done(job())]])
    finally:
        logger.removeHandler(handler)
    assert logged
    assert play.engine.said[-1] == [done(job())]


def stop_when(play: Play, is_so: Callable[[], bool]) -> None:
    """Stop the worker when it waits after that."""

    def look() -> None:
        if is_so() and not play.worker._caretaker.is_asked:
            play.worker.stop()

    play.pool.before_collect = look

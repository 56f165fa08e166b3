"""The database's clock between its readings: carried on, compared, never torn, never trusted after a jump."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.clock import ManualClock
from segue.store.dbclock import GLANCE_EVERY_SECONDS, JUMP_SECONDS, READING_LASTS_SECONDS, DatabaseClock

NOON = datetime(2030, 5, 5, 12, tzinfo=UTC)


def test_it_is_carried_on_by_the_stopwatch() -> None:
    stopwatch = ManualClock()
    clock = DatabaseClock(stopwatch)
    assert clock.is_stale()
    with pytest.raises(RuntimeError, match="never read"):
        clock.now()
    clock.read(lambda: NOON)
    assert clock.now() == NOON
    stopwatch.advance(seconds=7.5)
    assert (clock.now() - NOON).total_seconds() == 7.5
    assert not clock.is_stale()
    stopwatch.advance(seconds=READING_LASTS_SECONDS)
    assert clock.is_stale()


def test_half_of_the_time_that_a_reading_took_is_added() -> None:
    stopwatch = ManualClock()
    clock = DatabaseClock(stopwatch)

    def ask() -> datetime:
        stopwatch.advance(seconds=0.4)
        return NOON

    clock.read(ask)
    assert (clock.now() - NOON).total_seconds() == 0.2


def test_a_slow_answer_is_asked_for_once_more() -> None:
    stopwatch = ManualClock()
    clock = DatabaseClock(stopwatch)
    seconds = iter([20, 0.1])

    def ask() -> datetime:
        told = stopwatch.now()
        stopwatch.advance(seconds=next(seconds))
        return told

    clock.read(ask)
    assert abs((clock.now() - stopwatch.now()).total_seconds()) < 0.1


def test_a_forgotten_reading_is_read_again_and_stands_meanwhile() -> None:
    """Another thread may be between looking whether it is stale and asking for the time."""
    clock = DatabaseClock(ManualClock())
    clock.read(lambda: NOON)
    clock.forget()
    assert clock.is_stale()
    assert clock.now() == NOON
    clock.read(lambda: NOON + timedelta(hours=1))
    assert not clock.is_stale()
    assert clock.now() == NOON + timedelta(hours=1)


@given(
    jump=st.floats(-86400, 86400).filter(lambda seconds: abs(seconds) > 2 * JUMP_SECONDS),
    age=st.floats(GLANCE_EVERY_SECONDS, READING_LASTS_SECONDS),
    took=st.floats(0, 0.04),
)
def test_a_jump_of_the_servers_clock_is_noticed_at_the_next_glance(jump: float, age: float, took: float) -> None:
    stopwatch = ManualClock()
    clock = DatabaseClock(stopwatch)
    clock.read(lambda: NOON)
    stopwatch.advance(seconds=age)
    assert clock.wants_a_glance() or age == GLANCE_EVERY_SECONDS
    asked_at = clock.stopwatch()
    stopwatch.advance(seconds=took)
    clock.glance(NOON + timedelta(seconds=age + jump), asked_at, clock.stopwatch())
    assert abs((clock.now() - NOON).total_seconds() - (age + jump)) < 0.1
    assert not clock.is_stale()


@given(waited=st.floats(0, 30), where=st.floats(0, 1))
def test_an_answer_that_was_waited_for_is_no_jump(waited: float, where: float) -> None:
    """The server told the time at some moment of a long wait: that moment fits, and nothing is learnt."""
    stopwatch = ManualClock()
    clock = DatabaseClock(stopwatch)
    clock.read(lambda: NOON)
    asked_at = clock.stopwatch()
    stopwatch.advance(seconds=waited)
    clock.glance(NOON + timedelta(seconds=waited * where), asked_at, clock.stopwatch())
    assert abs((clock.now() - NOON).total_seconds() - waited) < 0.05


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_threads_never_see_one_reading_with_the_stopwatch_of_another() -> None:
    """Each reading is told an hour later on a stopwatch an hour later: time goes on evenly, unless they are mixed."""

    class Stopwatch(ManualClock):
        def monotonic(self) -> float:
            return float(len(hours) * 3600)

    hours: list[int] = []
    clock = DatabaseClock(Stopwatch())
    clock.read(lambda: NOON)
    done = threading.Event()
    seen: list[float] = []

    def look() -> None:
        while not done.is_set():
            before = len(hours)
            now = clock.now()
            after = len(hours)
            hours_told = (now - NOON).total_seconds() / 3600
            if not before <= hours_told <= after:
                seen.append(hours_told)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(3000):
        clock.read(lambda: NOON + timedelta(hours=len(hours)))
        hours.append(1)
    done.set()
    for thread in threads:
        thread.join()
    assert seen == []

"""When a worker turns, looks, beats and sleeps: told the time, it says what is due."""

from __future__ import annotations

import pytest

from segue.clock import ManualClock
from segue.engine.turn_request import TurnRequest, TurnResult
from segue.loop.pace import (
    FIRST_POLL_SECONDS,
    LONGEST_BACK_OFF_SECONDS,
    POLL_SECONDS,
    TIMERS_APART_SECONDS,
    UNSAID_SECONDS,
    Pace,
)
from segue.model import Job

JOB = Job("r", 0, 1, "a", "t", "[[],{}]", None, {}, None)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pace(clock: ManualClock) -> Pace:
    return Pace(clock.monotonic, lease_seconds=30.0)


def idle(pace: Pace) -> TurnRequest:
    """The request of an idle worker's turn now."""
    heartbeat = "running" if pace.heartbeat_due(want=2) else None
    return TurnRequest(want=2, heartbeat=heartbeat, sleeping=pace.is_asleep, timers=pace.timers_due())


def due(pace: Pace, *, outcomes: bool = False, progress: bool = False, want: int = 0) -> bool:
    return pace.is_turn_due(outcomes=outcomes, progress=progress, want=want)


def fall_asleep(pace: Pace, clock: ManualClock) -> None:
    for _ in range(20):
        clock.advance(seconds=pace.wait_seconds(want=2, has_outcomes=False))
        pace.after_turn(idle(pace), TurnResult())


def test_a_new_worker_looks_at_once(pace: Pace) -> None:
    assert due(pace, want=2)
    assert pace.wait_seconds(want=2, has_outcomes=False) == 0
    assert not due(pace)


def test_outcomes_are_said_at_once(pace: Pace) -> None:
    assert due(pace, outcomes=True)
    assert pace.wait_seconds(want=0, has_outcomes=True) == 0


def test_after_a_full_claim_it_looks_again_at_once(pace: Pace) -> None:
    pace.after_turn(TurnRequest(want=2), TurnResult(jobs=[JOB, JOB]))
    assert due(pace, want=1)
    pace.after_turn(TurnRequest(want=2), TurnResult(jobs=[JOB]))
    assert not due(pace, want=1)
    pace.after_turn(TurnRequest(want=2), TurnResult(again=True))
    assert due(pace, want=1)


def test_who_finds_nothing_looks_ever_more_seldom_and_falls_asleep(pace: Pace, clock: ManualClock) -> None:
    waits = []
    while not pace.is_asleep:
        pace.after_turn(idle(pace), TurnResult())
        waits.append(pace.wait_seconds(want=2, has_outcomes=False))
        clock.advance(seconds=waits[-1])
    assert waits[0] == pytest.approx(2 * FIRST_POLL_SECONDS)
    assert waits == sorted(waits)
    fall_asleep(pace, clock)
    assert pace.wait_seconds(want=2, has_outcomes=False) <= POLL_SECONDS


def test_falling_asleep_is_said_with_a_heartbeat_and_followed_by_one_more_look(pace: Pace, clock: ManualClock) -> None:
    while not pace.is_asleep:
        pace.after_turn(idle(pace), TurnResult())
        clock.advance(seconds=pace.wait_seconds(want=2, has_outcomes=False))
    assert pace.heartbeat_due(want=2)
    pace.after_turn(idle(pace), TurnResult())
    assert due(pace, want=2)  # who started something just before was not told that it sleeps
    pace.after_turn(idle(pace), TurnResult())
    assert not due(pace, want=2)
    assert not pace.heartbeat_due(want=2)


def test_waking_up_is_said_too(pace: Pace, clock: ManualClock) -> None:
    fall_asleep(pace, clock)
    pace.after_turn(TurnRequest(want=2), TurnResult(jobs=[JOB]))
    assert not pace.is_asleep
    assert pace.heartbeat_due(want=2)


def test_a_hint_makes_it_look(pace: Pace, clock: ManualClock) -> None:
    fall_asleep(pace, clock)
    pace.hint()
    assert due(pace, want=2)
    assert not due(pace, want=0)


def test_the_lease_is_renewed_three_times_in_its_length(pace: Pace, clock: ManualClock) -> None:
    clock.advance(seconds=9.9)
    assert not pace.heartbeat_due(want=0)
    clock.advance(seconds=0.2)
    assert pace.heartbeat_due(want=0)
    assert due(pace)
    pace.after_turn(TurnRequest(heartbeat="running"), TurnResult())
    assert not pace.heartbeat_due(want=0)


def test_limits_are_looked_at_when_they_may_let_something_start(pace: Pace, clock: ManualClock) -> None:
    fall_asleep(pace, clock)
    pace.after_turn(TurnRequest(want=2), TurnResult(look_seconds=0.004))
    assert pace.wait_seconds(want=2, has_outcomes=False) == pytest.approx(0.004)
    clock.advance(seconds=0.004)
    assert due(pace, want=2)
    assert not due(pace)
    pace.after_turn(TurnRequest(want=2), TurnResult())
    assert pace.wait_seconds(want=2, has_outcomes=False) > 0.1


def test_timers_are_looked_at_when_the_next_one_comes_due(pace: Pace, clock: ManualClock) -> None:
    fall_asleep(pace, clock)
    clock.advance(seconds=1)
    pace.after_turn(TurnRequest(want=2, timers=True), TurnResult(knows_timers=True, timer_seconds=0.3))
    assert pace.wait_seconds(want=2, has_outcomes=False) == pytest.approx(0.3)
    clock.advance(seconds=0.3)
    assert due(pace, want=2)
    assert pace.timers_due()


def test_a_timer_that_a_turn_has_set_is_looked_at_when_it_comes_due(pace: Pace, clock: ManualClock) -> None:
    pace.after_turn(TurnRequest(want=2, timers=True), TurnResult(knows_timers=True, jobs=[JOB]))
    clock.advance(seconds=0.001)
    pace.after_turn(TurnRequest(want=2), TurnResult(knows_timers=True, timer_seconds=0.006))
    assert not pace.timers_due()
    pace.after_turn(TurnRequest(want=2), TurnResult(jobs=[JOB]))  # one that has not looked forgets nothing
    assert pace.wait_seconds(want=2, has_outcomes=False) == pytest.approx(FIRST_POLL_SECONDS)
    clock.advance(seconds=0.006)
    assert pace.timers_due()


def test_a_timer_is_counted_from_when_its_time_was_read(pace: Pace) -> None:
    pace.after_turn(
        TurnRequest(want=2, timers=True), TurnResult(knows_timers=True, timer_seconds=0.01, age_seconds=0.004)
    )
    assert pace.wait_seconds(want=2, has_outcomes=False) == pytest.approx(0.006)


def test_timers_in_quick_succession_are_looked_at_together(pace: Pace, clock: ManualClock) -> None:
    pace.after_turn(TurnRequest(want=2, timers=True), TurnResult(knows_timers=True, timer_seconds=0.0))
    assert not pace.timers_due()
    assert pace.wait_seconds(want=2, has_outcomes=False) == pytest.approx(TIMERS_APART_SECONDS)


def test_who_goes_to_sleep_has_looked_at_the_timers_of_others(pace: Pace, clock: ManualClock) -> None:
    fall_asleep(pace, clock)
    pace.after_turn(TurnRequest(want=2, timers=True), TurnResult(knows_timers=True))
    pace.hint()
    assert pace.timers_due()


def test_what_was_left_unsaid_is_said_soon_even_by_who_can_take_nothing(pace: Pace, clock: ManualClock) -> None:
    pace.after_turn(TurnRequest(want=1), TurnResult(jobs=[JOB], unsaid=True))
    assert not due(pace)
    assert pace.wait_seconds(want=0, has_outcomes=False) == pytest.approx(UNSAID_SECONDS)
    clock.advance(seconds=UNSAID_SECONDS)
    assert due(pace)
    pace.after_turn(TurnRequest(), TurnResult())
    assert not due(pace)


def test_progress_is_said_twice_a_second(pace: Pace, clock: ManualClock) -> None:
    pace.after_turn(TurnRequest(), TurnResult())
    assert not due(pace, progress=True)
    clock.advance(seconds=0.5)
    assert due(pace, progress=True)


def test_cancels_are_asked_for_while_something_runs(pace: Pace, clock: ManualClock) -> None:
    assert pace.cancels_due(True)
    assert not pace.cancels_due(False)
    pace.after_turn(TurnRequest(cancels=True), TurnResult())
    assert not pace.cancels_due(True)
    clock.advance(seconds=0.5)
    assert pace.cancels_due(True)


def test_rescue_is_due_now_and_then(pace: Pace, clock: ManualClock) -> None:
    assert pace.rescue_due()
    assert not pace.rescue_due()
    clock.advance(seconds=5)
    assert pace.rescue_due()


def test_it_backs_off_up_to_the_longest_and_starts_over(pace: Pace, clock: ManualClock) -> None:
    waits = []
    for _ in range(10):
        waits.append(pace.back_off())
        assert not due(pace, outcomes=True, want=2)
        assert pace.wait_seconds(want=2, has_outcomes=True) == pytest.approx(waits[-1])
        clock.advance(seconds=waits[-1])
        assert due(pace, outcomes=True)
    assert waits[:3] == [0.1, 0.2, 0.4]
    assert waits[-1] == LONGEST_BACK_OFF_SECONDS
    pace.after_turn(TurnRequest(), TurnResult())
    assert pace.back_off() == 0.1

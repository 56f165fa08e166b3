"""Which ticks are dealt with: against a plain walk over all of them, and jitter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.model import Overlap
from segue.scheduler.deciding import judge
from segue.scheduler.ticking import ON_TIME_SECONDS, TICKS_AT_ONCE, Ticking, due_of
from segue.timetable import parse_timetable

BEGIN = datetime(2026, 3, 28, tzinfo=UTC)
EXPRESSIONS = ["every 10 seconds", "every 7 minutes", "*/15 * * * *", "30 2 * * *", "0 * * * MON"]


@given(
    expression=st.sampled_from(EXPRESSIONS),
    passed=st.integers(0, 3 * 24 * 3600),
    jitter=st.sampled_from([0.0, 5.0, 600.0]),
    catch_up=st.sampled_from(["none", "latest", "all"]),
    window=st.sampled_from([None, 0.0, 90.0, 7200.0]),
)
def test_what_is_dealt_with_is_what_a_plain_walk_finds(
    expression: str, passed: int, jitter: float, catch_up: str, window: float | None
) -> None:
    timetable = parse_timetable(expression, "Europe/Paris")
    ticking = Ticking("name", timetable, jitter=jitter, catch_up=catch_up, window=window)
    first = timetable.next_after(BEGIN)
    assert first is not None
    now = BEGIN + timedelta(seconds=passed)
    due = [tick for tick in timetable.between(BEGIN, now) if ticking.due(tick) <= now]
    batch = ticking.batch(first, now)

    def is_recent(tick: datetime) -> bool:
        return window is None or (now - ticking.due(tick)).total_seconds() <= window

    wanted = [tick for tick in (due if catch_up == "all" else due[-1:]) if is_recent(tick)]
    if catch_up == "none":
        wanted = [tick for tick in wanted if (now - ticking.due(tick)).total_seconds() <= ON_TIME_SECONDS]
    handled = wanted[:TICKS_AT_ONCE]
    assert list(batch.ticks) == handled
    left = [tick for tick in due if tick not in wanted]
    assert batch.missed == ((left[0], left[-1]) if left else None)
    if len(wanted) > TICKS_AT_ONCE:
        assert batch.next_tick == wanted[TICKS_AT_ONCE]
    else:
        assert batch.next_tick == timetable.next_after(due[-1] if due else BEGIN)
    assert batch.next_tick is None or batch.due_at == ticking.due(batch.next_tick)


@given(st.text(min_size=1), st.integers(0, 10**6), st.floats(0, 1e6), st.integers(1, 10**5))
def test_jitter_is_bounded_and_always_the_same(name: str, at: int, jitter: float, gap: int) -> None:
    tick = BEGIN + timedelta(seconds=at)
    following = tick + timedelta(seconds=gap)
    due = due_of(name, tick, following, jitter)
    assert tick <= due <= min(tick + timedelta(seconds=jitter), following)
    assert due == due_of(name, tick, following, jitter)
    assert due < following or jitter < 1e-3


def test_jitter_spreads_schedules_of_the_same_moment() -> None:
    dues = {due_of(f"schedule-{number}", BEGIN, None, 600.0) for number in range(100)}
    assert len(dues) == 100
    assert max(dues) - min(dues) > timedelta(seconds=500)


@pytest.mark.parametrize("is_queueing", [False, True])
@pytest.mark.parametrize("is_running", [False, True])
@pytest.mark.parametrize("overlap", Overlap)
def test_the_table_of_overlap(overlap: Overlap, is_running: bool, is_queueing: bool) -> None:
    verdict = judge(overlap, is_running=is_running, is_queueing=is_queueing)
    if overlap is Overlap.ALLOW or not (is_running or is_queueing):
        assert verdict == "started"
    else:
        expected = {
            Overlap.SKIP: "skipped",
            Overlap.QUEUE_ONE: "skipped" if is_queueing else "queued",
            Overlap.QUEUE_ALL: "queued",
            Overlap.CANCEL_RUNNING: "queued",
        }
        assert verdict == expected[overlap]

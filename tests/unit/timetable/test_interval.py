"""Steady intervals: how they are written, and that their ticks are at anchor + k * interval and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from segue.timetable import Every, parse_timetable

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "written,interval,text",
    [
        ("every 15 minutes", timedelta(minutes=15), "every 15 minutes"),
        ("every 90s", timedelta(seconds=90), "every 1m30s"),
        ("every 1h30m", timedelta(minutes=90), "every 1h30m"),
        ("every 2 days", timedelta(days=2), "every 2 days"),
        ("  EVERY  1 Hour ", timedelta(hours=1), "every 1 hour"),
        ("every minute", timedelta(minutes=1), "every 1 minute"),
        ("every 1 hour and 30 minutes", timedelta(minutes=90), "every 1h30m"),
        ("every 1 day, 2 hours", timedelta(hours=26), "every 1d2h"),
        ("every 2 weeks", timedelta(days=14), "every 14 days"),
        ("every 1.5 hours", timedelta(minutes=90), "every 1h30m"),
        ("every 2.5s", timedelta(seconds=2.5), "every 2.5 seconds"),
        (90, timedelta(seconds=90), "every 1m30s"),
        (1.25, timedelta(seconds=1.25), "every 1.25 seconds"),
        (timedelta(days=1, microseconds=1), timedelta(days=1, microseconds=1), "every 1d0.000001s"),
    ],
)
def test_intervals_as_they_are_written(written: str | float | timedelta, interval: timedelta, text: str) -> None:
    timetable = parse_timetable(written)
    assert isinstance(timetable, Every)
    assert timetable.interval == interval
    assert timetable.text == text
    assert timetable.describe() == text
    assert parse_timetable(text) == timetable


def test_without_an_anchor_ticks_are_where_one_would_look_for_them() -> None:
    quarter = parse_timetable("every 15 minutes")
    assert quarter.next_after(NOON) == NOON + timedelta(minutes=15)
    assert quarter.next_after(NOON - timedelta(microseconds=1)) == NOON
    assert parse_timetable("every day").next_after(NOON) == datetime(2026, 3, 29, tzinfo=UTC)


def test_the_anchor_sets_the_phase_before_and_after_it() -> None:
    anchor = datetime(2026, 3, 28, 12, 7, 3, 21, tzinfo=UTC)
    timetable = parse_timetable("every 10 minutes", anchor=anchor)
    assert timetable.next_after(anchor) == anchor + timedelta(minutes=10)
    assert timetable.next_after(anchor - timedelta(days=365)) == anchor - timedelta(days=365) + timedelta(minutes=10)
    assert timetable.latest_in(NOON, anchor) == anchor
    assert timetable.latest_in(anchor, anchor + timedelta(minutes=9)) is None


def test_the_latest_of_ticks_a_second_apart() -> None:
    timetable = parse_timetable("every second")
    for seconds in (0, 1, 2, 59.5, 86_400):
        until = NOON + timedelta(seconds=seconds)
        assert timetable.latest_in(NOON - timedelta(microseconds=1), until) == until.replace(microsecond=0)


def test_the_beginning_is_the_anchor_of_last_resort() -> None:
    timetable = parse_timetable("every 7 minutes", starts_at=NOON)
    assert timetable.next_after(NOON - timedelta(days=9)) == NOON
    assert timetable.next_after(NOON) == NOON + timedelta(minutes=7)


def test_clocks_on_walls_move_no_tick() -> None:
    paris = parse_timetable(
        "every 1 day", "Europe/Paris", anchor=datetime(2026, 3, 27, 2, tzinfo=ZoneInfo("Europe/Paris"))
    )
    ticks = list(paris.between(NOON - timedelta(days=2), NOON + timedelta(days=2)))
    assert [tick.hour for tick in ticks] == [1, 1, 1, 1]  # 02:00 in winter, 03:00 in summer
    assert ticks == list(parse_timetable("every 1 day", anchor=ticks[0]).between(ticks[0] - timedelta(1), ticks[-1]))


def test_ticks_do_not_drift_in_years() -> None:
    interval = timedelta(seconds=1, microseconds=333_333)
    timetable = parse_timetable(interval, anchor=NOON)
    late = NOON + 1_000_000_007 * interval
    assert timetable.next_after(late) == late + interval
    assert timetable.next_after(late - timedelta(microseconds=1)) == late

"""Moments and durations are written in one form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from segue.times import clock_time, full_time, since

NOW = datetime(2026, 11, 29, 16, 41, 17, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    "moment, text",
    [
        (NOW, "16:41:17 UTC"),
        (NOW.replace(hour=0, minute=0, second=0), "00:00:00 UTC"),
        (NOW - timedelta(days=1), "2026-11-28 16:41:17 UTC"),
        (NOW + timedelta(hours=8), "2026-11-30 00:41:17 UTC"),
        (NOW.astimezone(timezone(timedelta(hours=9))), "16:41:17 UTC"),  # the next day in Tokyo
        (datetime(4, 1, 1, tzinfo=UTC), "0004-01-01 00:00:00 UTC"),
        (None, "an unknown time"),
    ],
)
def test_a_moment_has_its_date_unless_it_is_today(moment: datetime | None, text: str) -> None:
    assert clock_time(moment, NOW) == text


def test_today_is_a_day_of_utc_wherever_the_reader_is() -> None:
    assert clock_time(NOW, NOW.astimezone(timezone(timedelta(hours=9)))) == "16:41:17 UTC"
    assert full_time(NOW.astimezone(timezone(timedelta(hours=9)))) == "2026-11-29 16:41:17 UTC"


@pytest.mark.parametrize(
    "seconds, text", [(-1, "0.0 s"), (0.04, "0.0 s"), (3.14, "3.1 s"), (60, "1 min 00 s"), (9000, "2 h 30 min")]
)
def test_how_long_something_has_lasted(seconds: float, text: str) -> None:
    assert since(NOW - timedelta(seconds=seconds), NOW) == text

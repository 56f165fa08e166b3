"""Cron timetables tick exactly when a minute-by-minute walk over real time says so; see `oracle`.

Here on all days around changes of the clocks in 1970 to 2037 (every third change; `make proof` takes all), and in some
ordinary weeks. Every minute of those years is compared by `python -m tests.unit.timetable.full_oracle`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from segue.timetable import parse_timetable
from tests.unit.timetable.oracle import BEGIN, DAY, EXPRESSIONS, ZONES, Matcher, Oracle, days_around_changes

INSTANT = timedelta(microseconds=1)


def assert_ticks_are_right(zone: str, stretches: Sequence[tuple[int, int]], expressions: Sequence[str]) -> int:
    oracle = Oracle(expressions)
    timetables = [parse_timetable(text, zone) for text in expressions]
    total = 0
    for begin, end in stretches:
        wanted: list[list[int]] = [[] for _ in expressions]
        for second, place in oracle.ticks(ZoneInfo(zone), begin, end):
            wanted[place].append(second)
        after, until = datetime.fromtimestamp(begin, UTC) - INSTANT, datetime.fromtimestamp(end, UTC) - INSTANT
        for timetable, expected in zip(timetables, wanted, strict=True):
            ticks = [int(tick.timestamp()) for tick in timetable.between(after, until)]
            assert ticks == expected, f"{timetable.text} in {zone} between {after} and {until}"
            total += len(ticks)
    return total


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.proof)])
def test_changes_of_the_clocks(zone: str, stride: int) -> None:
    """An odd stride has both of spring and autumn."""
    stretches = days_around_changes(zone)
    assert len(stretches) > (10 if zone == "Pacific/Apia" else 60)
    stretches = stretches[::stride]
    assert assert_ticks_are_right(zone, stretches, EXPRESSIONS) > len(stretches) * 200


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Antarctica/Troll", "America/Santiago", "Antarctica/Casey"])
def test_every_minute_ticks_where_shown(zone: str) -> None:
    stretches = days_around_changes(zone, datetime(2010, 1, 3, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC))
    assert len(stretches) >= 3
    assert_ticks_are_right(zone, stretches, ["* * * * *", "0-59 0-23 * * *", "*/7 */5 * * *"])


@pytest.mark.parametrize("zone", ZONES)
def test_ordinary_weeks(zone: str) -> None:
    chance = random.Random(zone)
    changed = {day for begin, end in days_around_changes(zone) for day in range(begin // DAY - 2, end // DAY + 2)}
    ordinary = [day for day in range(3, 68 * 365) if not changed.intersection(range(day - 1, day + 8))]
    stretches = [(day * DAY, (day + 7) * DAY) for day in chance.sample(ordinary, 5)]
    assert_ticks_are_right(zone, stretches, EXPRESSIONS)


# --- the oracle itself, against days that can be looked up ----------------------------------------------------------


@pytest.mark.parametrize(
    "expression,days",
    [
        ("0 0 L * *", [date(2026, 1, 31), date(2026, 2, 28)]),
        ("0 0 LW * *", [date(2026, 1, 30), date(2026, 2, 27)]),
        ("0 0 * * SUN#2", [date(2026, 1, 11), date(2026, 2, 8)]),
        ("0 0 * * 5L", [date(2026, 1, 30), date(2026, 2, 27)]),
        (
            "0 0 13 * FRI",
            [date(2026, 1, day) for day in (2, 9, 13, 16, 23, 30)] + [date(2026, 2, d) for d in (6, 13, 20, 27)],
        ),
        ("0 0 */13 * 7", [date(2026, 2, 1)]),
    ],
)
def test_the_oracle_knows_its_days(expression: str, days: list[date]) -> None:
    matcher = Matcher(expression)
    winter = [date(2026, 1, 1) + timedelta(days=number) for number in range(59)]
    assert [day for day in winter if matcher.on(day)] == days


def test_the_oracle_knows_the_rule() -> None:
    oracle = Oracle(["30 2 * * *", "30 * * * *"])
    paris = ZoneInfo("Europe/Paris")

    def of(place: int, day: datetime) -> list[str]:
        begin = int(day.timestamp())
        found = [
            datetime.fromtimestamp(due.second, UTC)
            for due in oracle.ticks(paris, begin, begin + 5 * 3600)
            if due.place == place
        ]
        return [f"{tick:%H:%M}" for tick in found]

    spring, autumn = datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert of(0, spring) == ["01:00"]
    assert of(1, spring) == ["22:30", "23:30", "00:30", "01:30", "02:30"]
    assert of(0, autumn) == ["00:30"]
    assert of(1, autumn) == ["22:30", "23:30", "00:30", "01:30", "02:30"]
    assert BEGIN.timestamp() == 0

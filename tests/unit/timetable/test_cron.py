"""Cron timetables by example: the daylight-saving rule in odd places, days that are rare, bounds, words."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest

from segue.errors import ConfigError
from segue.timetable import Cron, Timetable, parse_timetable
from segue.timetable.expression import first_day

INSTANT = timedelta(microseconds=1)


def on_the_wall(timetable: Timetable, day: str, days: int = 1) -> list[str]:
    """The ticks from the beginning of a day on, as the clock in the zone shows them, with its offset from UTC."""
    zone = ZoneInfo(timetable.timezone)
    begin = datetime.combine(date.fromisoformat(day), time.min, tzinfo=zone)
    end = begin + timedelta(days=days)  # on the wall: such a day may have 23 hours or 25
    ticks = timetable.between(begin.astimezone(UTC) - INSTANT, end.astimezone(UTC) - INSTANT)
    return [f"{tick.astimezone(zone):%d %H:%M%z}" for tick in ticks]


# --- clocks put forward ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression,zone,day,ticks",
    [
        ("30 2 * * *", "Europe/Paris", "2026-03-29", ["29 03:00+0200"]),
        ("0,30 2 * * *", "Europe/Paris", "2026-03-29", ["29 03:00+0200"]),
        ("0 2,3 * * *", "Europe/Paris", "2026-03-29", ["29 03:00+0200"]),
        ("30 2,3 * * *", "Europe/Paris", "2026-03-29", ["29 03:00+0200", "29 03:30+0200"]),
        ("0-59 2 * * *", "Europe/Paris", "2026-03-29", ["29 03:00+0200"]),
        ("0 0 * * *", "America/Santiago", "2026-09-06", ["06 01:00-0300"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["04 02:30+1100"]),
        ("30 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["04 02:30+1100"]),
        ("45 2 * * *", "Pacific/Chatham", "2026-09-27", ["27 03:45+1345"]),
        ("0 2 * * *", "Antarctica/Troll", "2026-03-29", ["29 03:00+0200"]),
        ("0 2 * * *", "Pacific/Apia", "2011-12-31", ["31 00:00+1400", "31 02:00+1400"]),
    ],
)
def test_fixed_times_that_are_skipped_tick_once_right_after_the_gap(
    expression: str, zone: str, day: str, ticks: list[str]
) -> None:
    assert on_the_wall(parse_timetable(expression, zone), day) == ticks


@pytest.mark.parametrize(
    "expression,zone,day,ticks",
    [
        (
            "*/30 1-3 * * *",
            "Europe/Paris",
            "2026-03-29",
            ["29 01:00+0100", "29 01:30+0100", "29 03:00+0200", "29 03:30+0200"],
        ),
        ("*/30 2 * * *", "Europe/Paris", "2026-03-29", []),
        ("*/30 0-1 * * *", "America/Santiago", "2026-09-06", ["06 01:00-0300", "06 01:30-0300"]),
        ("* 2 30 12 *", "Pacific/Apia", "2011-12-31", []),
    ],
)
def test_wildcards_do_not_tick_at_times_that_are_never_shown(
    expression: str, zone: str, day: str, ticks: list[str]
) -> None:
    assert on_the_wall(parse_timetable(expression, zone), day) == ticks


def test_a_whole_day_that_is_skipped_costs_no_second_tick() -> None:
    daily = parse_timetable("0 0 * * *", "Pacific/Apia")
    assert on_the_wall(daily, "2011-12-28", days=5) == [
        "28 00:00-1000",
        "29 00:00-1000",
        "31 00:00+1400",  # for the 30th and for the 31st
        "01 00:00+1400",
    ]


# --- clocks put back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression,zone,day,ticks",
    [
        ("30 2 * * *", "Europe/Paris", "2026-10-25", ["25 02:30+0200"]),
        (
            "0 1-4 * * *",
            "Europe/Paris",
            "2026-10-25",
            ["25 01:00+0200", "25 02:00+0200", "25 03:00+0100", "25 04:00+0100"],
        ),
        ("30 23 * * *", "America/Santiago", "2026-04-04", ["04 23:30-0300"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", ["05 01:45+1100"]),
        ("0 1,2 * * *", "Antarctica/Troll", "2026-10-25", ["25 01:00+0200", "25 02:00+0200"]),
    ],
)
def test_fixed_times_that_come_twice_tick_at_the_first(expression: str, zone: str, day: str, ticks: list[str]) -> None:
    assert on_the_wall(parse_timetable(expression, zone), day) == ticks


@pytest.mark.parametrize(
    "expression,zone,day,ticks",
    [
        (
            "*/30 2 * * *",
            "Europe/Paris",
            "2026-10-25",
            ["25 02:00+0200", "25 02:30+0200", "25 02:00+0100", "25 02:30+0100"],
        ),
        ("30 */23 * * *", "America/Santiago", "2026-04-04", ["04 00:30-0300", "04 23:30-0300", "04 23:30-0400"]),
        ("*/45 1 * * *", "Australia/Lord_Howe", "2026-04-05", ["05 01:00+1100", "05 01:45+1100", "05 01:45+1030"]),
    ],
)
def test_wildcards_tick_both_times(expression: str, zone: str, day: str, ticks: list[str]) -> None:
    assert on_the_wall(parse_timetable(expression, zone), day) == ticks


def test_the_hours_of_real_time_are_never_skipped() -> None:
    hourly = parse_timetable("@hourly", "Antarctica/Troll")
    year = list(hourly.between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)))
    assert {late - early for early, late in pairwise(year)} == {timedelta(hours=1)}
    assert len(year) == 365 * 24


def test_asked_within_the_repeated_hour() -> None:
    second_time = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10, shown for the second time
    paris = {
        text: parse_timetable(text, "Europe/Paris").next_after(second_time) for text in ("30 2 * * *", "*/30 2 * * *")
    }
    assert paris["30 2 * * *"] == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert paris["*/30 2 * * *"] == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


# --- which days -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression,following",
    [
        ("0 0 29 2 *", "2028-02-29"),
        ("0 0 29 2 */7", "2032-02-29"),
        ("0 0 * 2 MON#5", "2044-02-29"),
        ("0 0 L 2 *", "2026-02-28"),
        ("0 0 LW * *", "2026-01-30"),
        ("0 0 * * 5L", "2026-01-30"),
        ("0 0 13 * FRI", "2026-01-02"),
        ("0 0 1-7 * */7", "2026-01-04"),
        ("0 0 */100,1-7 * MON", "2026-01-05"),
        ("0 0 */12 * fri", "2026-02-13"),
        ("0 0 1 jan-mar/2 *", "2026-03-01"),
        ("0 0 * * SUN", "2026-01-04"),
        ("0 0 * * 7", "2026-01-04"),
        ("@weekly", "2026-01-04"),
        ("@monthly", "2026-02-01"),
        ("@Yearly", "2027-01-01"),
        ("@annually", "2027-01-01"),
        ("@midnight", "2026-01-02"),
        ("@daily", "2026-01-02"),
    ],
)
def test_days(expression: str, following: str) -> None:
    tick = parse_timetable(expression).next_after(datetime(2026, 1, 1, tzinfo=UTC))
    assert tick is not None
    assert tick.date().isoformat() == following


def test_rare_days_are_found_fast() -> None:
    rare = parse_timetable("0 0 29 2 *", "America/New_York")
    moments = [datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(200)]
    first_day.cache_clear()
    began = perf_counter()
    for moment in moments:
        rare.next_after(moment)
    assert (perf_counter() - began) / len(moments) < 0.005  # wanted: 0.001; machines may be busy


# --- the contract of every timetable --------------------------------------------------------------------------------


def test_ticks_are_strictly_later_and_in_utc() -> None:
    timetable = parse_timetable("0 2 * * *", "Europe/Paris")
    tick = datetime(2026, 1, 10, 1, tzinfo=UTC)
    assert timetable.next_after(tick - timedelta(microseconds=1)) == tick
    following = timetable.next_after(tick)
    assert following == tick + timedelta(days=1)
    assert following.tzinfo is UTC
    elsewhere = tick.astimezone(timezone(timedelta(hours=-9)))
    assert timetable.next_after(elsewhere) == following


def test_bounds_include_their_own_moments() -> None:
    first, last = datetime(2026, 1, 10, 2, tzinfo=UTC), datetime(2026, 1, 12, 2, tzinfo=UTC)
    timetable = parse_timetable("0 2 * * *", starts_at=first, ends_at=last)
    ages = datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    assert list(timetable.between(*ages)) == [first, first + timedelta(days=1), last]
    assert timetable.latest_in(*ages) == last
    assert timetable.next_after(last) is None
    assert timetable.latest_in(last, ages[1]) is None


def test_bounds_in_another_zone_are_the_same_moments() -> None:
    paris = ZoneInfo("Europe/Paris")
    here = parse_timetable("0 2 * * *", starts_at=datetime(2026, 10, 25, 2, 30, tzinfo=paris, fold=1))
    assert here.starts_at == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert here == parse_timetable("0 2 * * *", starts_at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    assert hash(here) == hash(parse_timetable(here.text, here.timezone, starts_at=here.starts_at))


def test_the_ends_of_the_calendar_are_no_error() -> None:
    timetable = parse_timetable("0 0 1 1 *", "Asia/Tokyo")
    first = timetable.next_after(datetime.min.replace(tzinfo=UTC))
    assert first is not None
    assert first.year == 1
    assert timetable.next_after(datetime.max.replace(tzinfo=UTC)) is None
    assert parse_timetable("* * * * *", "America/New_York").next_after(datetime.max.replace(tzinfo=UTC)) is None
    assert parse_timetable("every 2 days").next_after(datetime.max.replace(tzinfo=UTC)) is None


def test_the_latest_tick_of_a_long_time_is_found_without_walking_through_it() -> None:
    timetable = parse_timetable("*/5 9-16 1-7 JAN MON-FRI", "America/New_York")
    began = perf_counter()
    latest = timetable.latest_in(datetime(1950, 1, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert perf_counter() - began < 1
    assert latest == datetime(2026, 1, 30, 21, 55, tzinfo=UTC)  # 1-7 or Monday to Friday: neither begins with *


def test_moments_without_a_zone_are_refused() -> None:
    timetable = parse_timetable("@daily")
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
    for ask in (
        lambda: timetable.next_after(naive),
        lambda: timetable.latest_in(naive, datetime(2026, 2, 1, tzinfo=UTC)),
        lambda: list(timetable.between(datetime(2026, 1, 1, tzinfo=UTC), naive)),
        lambda: parse_timetable("@daily", starts_at=naive),
        lambda: parse_timetable("every hour", anchor=naive),
    ):
        with pytest.raises(ConfigError, match="has no time zone"):
            ask()


# --- as text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression,zone,text,words",
    [
        ("0 2 * * *", "Europe/Paris", "0 2 * * *", "at 02:00 every day, Europe/Paris"),
        (
            "  */15\t*  * * mon-fri ",
            None,
            "*/15 * * * MON-FRI",
            "every 15th minute of every hour on Monday through Friday, UTC",
        ),
        ("@Hourly", "Asia/Kathmandu", "0 * * * *", "at the start of every hour, Asia/Kathmandu"),
        ("0 9 l * *", "UTC", "0 9 L * *", "at 09:00 on the last day of every month, UTC"),
    ],
)
def test_text_and_words(expression: str, zone: str | None, text: str, words: str) -> None:
    timetable = parse_timetable(expression, zone)
    assert timetable.text == text
    assert timetable.describe() == words
    assert parse_timetable(timetable.text, timetable.timezone) == timetable


def test_words_tell_the_bounds_as_the_clock_on_the_wall_shows_them() -> None:
    timetable = parse_timetable(
        "@daily",
        "Europe/Paris",
        starts_at=datetime(2026, 6, 30, 22, tzinfo=UTC),
        ends_at=datetime(2026, 12, 31, 23, 0, 30, tzinfo=UTC),
    )
    assert timetable.describe() == (
        "at 00:00 every day, Europe/Paris, from 2026-07-01 00:00 Europe/Paris, until 2027-01-01 00:00:30 Europe/Paris"
    )


def test_a_timetable_is_made_of_canonical_text_only() -> None:
    with pytest.raises(ConfigError, match=r"Use parse_timetable, or '0 0 \* \* \*'"):
        Cron(expression="@daily")

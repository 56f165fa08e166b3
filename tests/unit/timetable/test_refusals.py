"""What is no timetable is refused: the error names what was given, says what is wrong and what to write instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segue.errors import ConfigError
from segue.timetable import Every, parse_timetable


@pytest.mark.parametrize(
    "given,wrong,remedy",
    [
        ("", "empty", "'0 2 * * *'"),
        ("   ", "empty", "'every 15 minutes'"),
        ("0 2 * *", "this has 4", "minute, hour, day of month, month, day of week"),
        ("0 0 2 * * *", "six fields", "'0 2 * * *'"),
        ("0 0 0 2 * * *", "this has 7", "five fields"),
        ("0 25 * * *", "hour '25'", "0-23"),
        ("60 * * * *", "minute '60'", "0-59"),
        ("0 0 0 * *", "day of month '0'", "1-31"),
        ("0 0 * 13 *", "month '13'", "JAN-DEC"),
        ("0 0 * JANUARY *", "month 'JANUARY'", "JAN-DEC"),
        ("0 0 * * 8", "day of week '8'", "0 and 7 are Sunday"),
        ("0 0 * * FRI-SUN", "day of week 'FRI-SUN'", "ranges upward"),
        ("0 0 * * MONL", "day of week 'MONL'", "5L"),
        ("0 0 * * 5#6", "day of week '5#6'", "5#2"),
        ("0 22-2 * * *", "hour '22-2'", "lists 1,3"),
        ("-5 * * * *", "minute '-5'", "0-59"),
        ("1,,2 * * * *", "minute '1,,2'", "lists"),
        ("*/0 * * * *", "minute '*/0'", "steps"),
        ("? * * * *", "minute '?'", "Write * for any"),
        ("0 0 15W * *", "15W", "nearest weekday"),
        ("٣ * * * *", "minute '٣'", "0-59"),
        ("*/90 * * * *", "step of 90", "'every 90 minutes'"),
        ("0 */36 * * *", "step of 36", "'every 36 hours'"),
        ("5-5/10 * * * *", "step over the one value '5-5'", "Write '5'"),
        ("0 0 * * FRI-5/2", "step over the one value 'FRI-5'", "Write 'FRI'"),
        ("0 0 * MAR-MAR/2 *", "step over the one value 'MAR-MAR'", "Write 'MAR'"),
        ("0 0 30 2 *", "never fires", "'0 0 L * *'"),
        ("0 0 31 4,6,9,11 *", "never fires", "day of month"),
        ("0 0 30-31 FEB *", "never fires", "day of month"),
        ("0 0 */15 2 MON#5", "never fires", "day of month"),
        ("@reboot", "Unknown shorthand '@reboot'", "@daily"),
        ("@every 5m", "this has 2", "five fields"),
        ("0 2 * * *" + ",1" * 200, "longer than 250", "Split it in two"),
        ("15 minutes", "not a schedule", "'every 15 minutes'"),
        ("1h30m", "not a schedule", "'every 1h30m'"),
        ("every", "does not say how often", "'every 90s'"),
        ("every 5", "not a number with a unit", "'every 90s'"),
        ("every fortnight", "not a number with a unit", "'every 2 days'"),
        ("every 2 fortnights", "'fortnights' is not a unit", "weeks"),
        ("every -5m", "'-5m'", "'every 90s'"),
        ("every 0 seconds", "too short", "1 second"),
        ("every 0.5s", "too short", "1 second"),
        ("every 1.0000001s", "finer than a microsecond", "'every 90s'"),
        ("every 3 months", "no fixed length", "'@monthly'"),
        ("every 1 year", "no fixed length", "'@yearly'"),
        ("every " + "9" * 200 + " days", "too long", "36600 days"),
        ("every " + "9" * 5000 + " days", "longer than 250", "'every 90s'"),
        (0, "too short", "1 second"),
        (-60, "too short", "1 second"),
        (0.999, "too short", "1 second"),
        (float("nan"), "nan", "1 second"),
        (float("inf"), "inf", "36600 days"),
        (10**400, "out of range", "36600 days"),
        (timedelta(milliseconds=5), "too short", "1 second"),
        (timedelta(days=40_000), "too long", "36600 days"),
        (True, "True is not", "timedelta"),
        (None, "None is not", "timedelta"),
    ],
)
def test_what_is_no_timetable(given: Any, wrong: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_timetable(given)
    message = str(raised.value)
    assert wrong in message
    assert remedy in message
    if isinstance(given, str):
        assert given.strip()[:9].casefold() in message.casefold(), "it says what was given"


@pytest.mark.parametrize(
    "zone,remedy",
    [
        ("Europe/Pariss", "Did you mean 'Europe/Paris'?"),
        ("europe/paris", "Did you mean 'Europe/Paris'?"),
        ("paris", "Did you mean 'Europe/Paris'?"),
        ("New York", "Did you mean 'America/New_York'?"),
        ("America/Newyork", "Did you mean 'America/New_York'?"),
        (" UTC ", "Did you mean 'UTC'?"),
        ("CEST", "Write a place"),
        ("UTC+2", "Write a place"),
        ("+02:00", "Write a place"),
        ("America", "Write a name"),
        ("", "Write a name"),
        ("Atlantis/Capital", "Write a name"),
        ("../Europe/Paris", "Europe/Paris"),
        ("/etc/localtime", "Write a name"),
        ("localtime", "Write a name"),
        ("right/Europe/Paris", "Europe/Paris"),
        ("x\0y", "Write a name"),
        ("x" * 5000, "Write a name"),
    ],
)
@pytest.mark.parametrize("expression", ["0 2 * * *", "every 2 hours"])
def test_unknown_time_zones(expression: str, zone: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match="is unknown") as raised:
        parse_timetable(expression, zone)
    assert repr(zone) in str(raised.value)
    assert remedy in str(raised.value)


def test_bounds_that_leave_nothing() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    with pytest.raises(ConfigError, match=r"ends_at=2026-01-01\S* is before starts_at=2026-02-01\S*, .* Swap them"):
        parse_timetable("@daily", starts_at=late, ends_at=early)
    with pytest.raises(ConfigError, match="For no bound omit it"):
        parse_timetable("@daily", ends_at=datetime.max.replace(tzinfo=UTC))
    with pytest.raises(ConfigError, match="starts_at='2026-01-01' is not a datetime"):
        parse_timetable("@daily", starts_at="2026-01-01")  # type: ignore[arg-type]


def test_zones_are_texts() -> None:
    with pytest.raises(ConfigError, match="is not a text"):
        parse_timetable("@daily", UTC)  # type: ignore[arg-type]


def test_intervals_made_by_hand_are_checked_as_well() -> None:
    with pytest.raises(ConfigError, match="too short"):
        Every(interval=timedelta(0))
    with pytest.raises(ConfigError, match="is not a timedelta"):
        Every(interval=60)  # type: ignore[arg-type]

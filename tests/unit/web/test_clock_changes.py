"""What a change of the clocks does to ticks, as the pages of schedules say it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from segue.timetable import parse_timetable
from segue.web.clock_changes import Tick, upcoming

NOW = datetime(2026, 12, 1, 13, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")


def after(expression: str, zone: str, count: int = 3, own: ZoneInfo = PARIS) -> list[Tick]:
    return upcoming(parse_timetable(expression, zone), NOW, count, own=own)


@pytest.mark.parametrize(
    "expression, zone, there, note, is_moved",
    [
        ("30 2 * * *", "Europe/Paris", "Sun 28 Mar 2027 03:00 CEST", "moved: ", True),
        ("30 2 * * *", "Europe/Paris", "Sun 31 Oct 2027 02:30 CEST", "only the first ticks", False),
        ("*/30 * * * *", "Europe/Paris", "Sun 31 Oct 2027 02:30 CET", "this is the second", False),
        ("*/30 * * * *", "Europe/Paris", "Sun 28 Mar 2027 03:00 CEST", "UTC+1 before, UTC+2 from then on", False),
        ("15 2 * * *", "Australia/Lord_Howe", "Sun 3 Oct 2027 02:30 UTC+11", "moved: ", True),
        ("45 1 * * *", "Australia/Lord_Howe", "Sun 4 Apr 2027 01:45 UTC+11", "only the first ticks", False),
        ("every 6 hours", "Europe/Paris", "Sun 28 Mar 2027 08:00 CEST", "clocks have changed: UTC+1", False),
    ],
)
def test_a_tick_says_what_the_clocks_do_to_it(
    expression: str, zone: str, there: str, note: str, is_moved: bool
) -> None:  # fmt: skip
    [found] = [tick for tick in after(expression, zone) if tick.there == there]
    assert note in found.note
    assert found.is_moved == is_moved


def test_ticks_are_in_order_and_those_far_ahead_are_only_the_special_ones() -> None:
    for expression, zone in (("30 2 * * *", "Europe/Paris"), ("*/5 * * * *", "Australia/Lord_Howe"), ("@daily", "UTC")):
        ticks = after(expression, zone, count=10)
        assert ticks == sorted(ticks, key=lambda tick: tick.tick)
        assert len({tick.tick for tick in ticks}) == len(ticks)
        assert not any(tick.note for tick in ticks[:10])
        assert all(tick.note for tick in ticks[10:])
    assert len(after("@daily", "UTC", count=10)) == 10


def test_a_schedule_that_ends_has_no_more_ticks() -> None:
    ends = parse_timetable("@daily", "Europe/Paris", ends_at=datetime(2026, 12, 3, 12, tzinfo=UTC))
    assert [tick.there for tick in upcoming(ends, NOW, 10, own=PARIS)] == [
        "Wed 2 Dec 2026 00:00 CET", "Thu 3 Dec 2026 00:00 CET",
    ]  # fmt: skip


def test_the_time_of_the_person_is_shown_only_if_it_differs() -> None:
    assert after("@daily", "Europe/Berlin")[0].here == ""
    assert after("@daily", "Europe/Berlin", own=ZoneInfo("America/New_York"))[0].here == "Tue 1 Dec 2026 18:00 EST"

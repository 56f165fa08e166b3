"""What holds for every timetable: random expressions, zones and moments, the latter often near changed clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from segue.errors import ConfigError
from segue.timetable import Timetable, parse_timetable
from tests.unit.timetable.oracle import DAY, MINUTE, ZONES, Oracle, days_around_changes

MANY_ZONES = (*ZONES, "UTC", "Antarctica/Casey", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Kwajalein")
INSTANT = timedelta(microseconds=1)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    value = st.integers(low, high)
    ends = st.tuples(value, value).filter(lambda pair: pair[0] < pair[1])
    span = ends.map(lambda pair: f"{pair[0]}-{pair[1]}")
    step = st.integers(1, high - low)
    term = st.one_of(
        st.just("*"),
        value.map(str),
        span,
        step.map(lambda n: f"*/{n}"),
        st.tuples(span, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        st.tuples(value, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )
    return st.lists(term, min_size=1, max_size=3).map(",".join)


def or_any(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), strategy)


days_of_month = or_any(field(1, 31) | st.sampled_from(["L", "LW", "1,L"]))
months = or_any(field(1, 12) | st.sampled_from(["MAR-OCT", "JAN,APR", "SEP"]))
weekdays = or_any(field(0, 7) | st.sampled_from(["SUN", "MON-FRI", "SUN#1", "7#5", "0L", "SAT,SUN", "3#2,5L"]))
expressions = st.tuples(field(0, 59), field(0, 23), days_of_month, months, weekdays).map(" ".join)


@cache
def changed_days(zone: str) -> list[tuple[int, int]]:
    return days_around_changes(zone)


@st.composite
def moments(draw: st.DrawFn, zone: str) -> datetime:
    """Any microsecond of 1970 to 2037, but in two of three cases one within a day or so of changed clocks."""
    second = draw(st.integers(2 * DAY, 68 * 365 * DAY))
    near = changed_days(zone)
    if near and draw(st.integers(0, 2)):
        begin, end = near[draw(st.integers(0, len(near) - 1))]
        second = draw(st.integers(begin, end))
    second = draw(st.sampled_from([second, second - second % MINUTE]))
    return datetime.fromtimestamp(second, UTC) + timedelta(microseconds=draw(st.sampled_from([0, 0, 1, 999_999])))


@st.composite
def timetables(draw: st.DrawFn) -> tuple[Timetable, datetime]:
    """A timetable, and a moment at which to ask."""
    zone = draw(st.sampled_from(MANY_ZONES))
    moment = draw(moments(zone))
    starts_at, ends_at = draw(
        st.sampled_from([(None, None), (None, None), (moment - timedelta(hours=5), moment + timedelta(days=3))])
    )
    if draw(st.integers(0, 3)) == 0:
        interval = draw(st.timedeltas(timedelta(seconds=1), timedelta(days=40)))
        return parse_timetable(interval, zone, anchor=draw(moments(zone)), starts_at=starts_at, ends_at=ends_at), moment
    return parsed(draw(expressions), zone, starts_at=starts_at, ends_at=ends_at), moment


def parsed(expression: str, zone: str, **bounds: datetime | None) -> Timetable:
    """The timetable of a random expression; one that never fires is no example."""
    try:
        return parse_timetable(expression, zone, **bounds)
    except ConfigError as refused:
        assume("never fires" not in str(refused))
        raise


@given(timetables())
def test_the_next_tick_is_later_and_nothing_lies_between(asked: tuple[Timetable, datetime]) -> None:
    timetable, moment = asked
    tick = timetable.next_after(moment)
    if tick is None:
        assert timetable.ends_at is not None
        return
    assert tick > moment
    assert tick.tzinfo is UTC
    for part in (0.1, 0.5, 0.9, 0.999):
        assert timetable.next_after(moment + part * (tick - moment - INSTANT)) == tick
    assert timetable.next_after(tick - INSTANT) == tick
    assert list(timetable.between(moment, tick - INSTANT)) == []


@given(timetables(), st.timedeltas(timedelta(0), timedelta(days=3)), st.floats(0, 1))
def test_a_walk_in_pieces_finds_the_same_ticks(
    asked: tuple[Timetable, datetime], span: timedelta, where: float
) -> None:
    timetable, after = asked
    until = after + min(span, timedelta(hours=3) if timetable.text.startswith("every ") else span)
    whole = list(timetable.between(after, until))
    middle = after + where * (until - after)
    assert whole == [*timetable.between(after, middle), *timetable.between(middle, until)]
    assert all(early < late for early, late in pairwise([after, *whole]))
    assert whole == [] or whole[-1] <= until
    assert timetable.latest_in(after, until) == (whole[-1] if whole else None)
    for tick, following in islice(pairwise(whole), 50):
        assert timetable.next_after(tick) == following


@given(expressions, st.sampled_from(MANY_ZONES), st.data())
def test_random_expressions_tick_where_the_oracle_says(expression: str, zone: str, data: st.DataObject) -> None:
    timetable = parsed(expression, zone)
    middle = int(data.draw(moments(zone)).timestamp()) // MINUTE * MINUTE
    begin, end = middle - DAY // 2, middle + DAY // 2
    walk = Oracle([expression]).ticks(ZoneInfo(zone), begin - 2 * DAY, end)
    oracle = [due.second for due in walk if due.second >= begin]
    after, until = datetime.fromtimestamp(begin, UTC) - INSTANT, datetime.fromtimestamp(end, UTC) - INSTANT
    assert [tick.timestamp() for tick in timetable.between(after, until)] == oracle


@given(timetables())
def test_the_text_says_it_all(asked: tuple[Timetable, datetime]) -> None:
    timetable, _ = asked
    again = parse_timetable(
        timetable.text,
        timetable.timezone,
        anchor=getattr(timetable, "anchor", None),
        starts_at=timetable.starts_at,
        ends_at=timetable.ends_at,
    )
    assert again == timetable
    assert again.text == timetable.text
    assert timetable.describe()


@given(st.text(alphabet="0123456789*/-,#LWSUNMJAN @everyhms. ", max_size=30))
def test_any_text_gives_a_timetable_or_a_config_error(text: str) -> None:
    try:
        timetable = parse_timetable(text)
    except ConfigError:
        return
    assert timetable.describe()
    assert timetable.next_after(datetime(2026, 1, 1, tzinfo=UTC)) is not None

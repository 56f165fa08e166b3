"""Followed events: each once, also those whose transaction committed late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from segue.client.following import OVERLAP, PAGE, EventFollower
from segue.engine.views.waiting import EventInfo

pytestmark = pytest.mark.unit
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Table:
    """Events as the database has them."""

    def __init__(self) -> None:
        self.events: dict[str, EventInfo] = {}
        self.read = 0

    def add(self, second: int) -> str:
        id_ = f"{second:08}"
        self.events[id_] = EventInfo(id_, BEGIN + timedelta(seconds=second), "run.paused", None, None, None, None, {})
        return id_

    def page(self, *, before: str | None, limit: int) -> list[EventInfo]:
        self.read += 1
        return [self.events[id_] for id_ in sorted(self.events, reverse=True) if before is None or id_ < before][:limit]


def looked(follower: EventFollower) -> list[str]:
    return [event.id for event in follower.look()]


@pytest.fixture
def table() -> Table:
    return Table()


def test_what_was_there_before_is_not_new(table: Table) -> None:
    table.add(1)
    follower = EventFollower(table.page)
    assert looked(follower) == []
    new = [table.add(2), table.add(3)]
    assert looked(follower) == new
    assert looked(follower) == []


def test_an_empty_table_has_no_past(table: Table) -> None:
    follower = EventFollower(table.page)
    assert looked(follower) == []
    assert looked(follower) == []
    first = table.add(1)
    assert looked(follower) == [first]


def test_an_event_that_is_committed_late_is_given_once(table: Table) -> None:
    table.add(1000)
    follower = EventFollower(table.page)
    follower.look()
    last = table.add(1010)
    assert looked(follower) == [last]
    late = table.add(1005)
    assert looked(follower) == [late]
    table.add(1010 - int(OVERLAP.total_seconds()) - 1)
    assert looked(follower) == []  # later than is promised


def test_many_events_are_read_in_pages_and_old_ones_are_not_read_again(table: Table) -> None:
    for second in range(10 * PAGE):
        table.add(second)
    follower = EventFollower(table.page)
    follower.look()
    table.read = 0
    new = [table.add(10 * PAGE + second) for second in range(3 * PAGE)]
    assert looked(follower) == new
    table.read = 0
    assert looked(follower) == []
    assert table.read == 1


def test_it_goes_on_behind_an_event(table: Table) -> None:
    ids = [table.add(second) for second in range(3 * PAGE)]
    follower = EventFollower(table.page, after=ids[10])
    assert looked(follower) == ids[11:]
    assert looked(follower) == []
    late = EventFollower(table.page, after="0")
    assert looked(late) == ids


def test_a_look_that_fails_loses_nothing(table: Table) -> None:
    follower = EventFollower(table.page)
    follower.look()
    new, events = table.add(1), table.events
    table.events = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        follower.look()
    table.events = events
    assert looked(follower) == [new]

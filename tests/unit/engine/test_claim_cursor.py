"""Where claims begin to look, and when they look from the beginning again."""

from __future__ import annotations

from datetime import UTC, datetime

from segue.engine.claiming.cursor import BEGINNING, FIRST_RANK, FULL_LOOK_SECONDS, ClaimCursor

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST = (FIRST_RANK, BEGINNING)
BEHIND = (-5, NOON)


class Watch:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_look_that_was_long_and_in_vain_rests() -> None:
    watch = Watch()
    cursor = ClaimCursor(watch)
    assert cursor.start("default") == FIRST
    cursor.rest("default", 2.0, BEHIND)
    for _ in range(3):
        watch.seconds += 0.6
        assert cursor.is_resting("default")
        cursor.reset()  # nothing was found behind it: no reason to begin from the beginning
        assert cursor.start("default") == BEHIND
        assert cursor.start("other") == FIRST
    watch.seconds += 0.6
    assert not cursor.is_resting("default")
    assert cursor.start("default") == FIRST


def test_other_looks_begin_from_the_beginning_ten_times_a_second_or_when_nothing_was_found() -> None:
    watch = Watch()
    cursor = ClaimCursor(watch)
    cursor.start("default")
    cursor.rest("default", 0.0, BEHIND)
    assert cursor.start("default") == FIRST
    assert cursor.start("default") == BEHIND
    watch.seconds += FULL_LOOK_SECONDS
    assert cursor.start("default") == FIRST
    assert cursor.start("default") == BEHIND
    cursor.reset()
    assert cursor.start("default") == FIRST

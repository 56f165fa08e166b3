"""Which attempts are looked after: all of a task at first, few of one that always left everything as it was."""

from __future__ import annotations

from segue.worker.pool.surroundings import CLEAN_BEFORE_TRUST, LOOK_EVERY, Trust


def test_a_task_is_trusted_once_it_was_clean_often_enough_and_until_it_is_not() -> None:
    trust = Trust()
    assert all(trust.wants_a_look("short") for _ in range(CLEAN_BEFORE_TRUST))
    assert sum(trust.wants_a_look("short") for _ in range(10 * LOOK_EVERY)) == 10
    assert trust.wants_a_look("another")
    trust.lose("short")
    assert all(trust.wants_a_look("short") for _ in range(CLEAN_BEFORE_TRUST))

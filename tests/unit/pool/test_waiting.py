"""Waiting: wake-ups are kept until they are heard, and extra descriptors may come and go."""

from __future__ import annotations

import os

from segue.worker.pool.waiting import Doorbell, Waiter


def test_a_wake_up_before_the_wait_ends_it_once() -> None:
    waiter = Waiter()
    waiter.wake()
    waiter.wake()
    assert waiter.wait(60) == ([], True)
    assert waiter.wait(0) == ([], False)
    waiter.close()


def test_an_extra_descriptor_ends_the_wait_and_is_left_to_the_caller() -> None:
    waiter, bell = Waiter(), Doorbell()
    bell.ring()
    assert waiter.wait(60, [bell.fileno()]) == ([], True)
    assert waiter.wait(60, [bell.fileno()]) == ([], True)
    assert waiter.wait(0) == ([], False)
    waiter.close()


def test_a_descriptor_that_was_closed_and_opened_again_is_still_seen() -> None:
    waiter, bell = Waiter(), Doorbell()
    number = bell.fileno()
    assert waiter.wait(0, [number]) == ([], False)
    other = Doorbell()
    os.dup2(other.fileno(), number)  # the same number is another pipe now
    other.ring()
    assert waiter.wait(60, [number]) == ([], True)
    waiter.close()


def test_a_watched_descriptor_is_reported() -> None:
    waiter, bell = Waiter(), Doorbell()
    waiter.watch(bell.fileno())
    bell.ring()
    assert waiter.wait(60) == ([bell.fileno()], False)
    bell.answer()
    assert waiter.wait(0) == ([], False)
    waiter.unwatch(bell.fileno())
    waiter.unwatch(bell.fileno())
    bell.ring()
    assert waiter.wait(0) == ([], False)
    waiter.close()
    waiter.wake()  # nobody waits any more; no error

"""Waiting: wake-ups are kept until they are heard, and extra descriptors may come and go."""

from __future__ import annotations

import os

import pytest

from segue.loop.self_pipe import Wakeup
from segue.worker.pool.waiting import Waiter


def test_a_wake_up_before_the_wait_ends_it_once() -> None:
    waiter = Waiter()
    waiter.wake()
    waiter.wake()
    assert waiter.wait(60) == ([], True)
    assert waiter.wait(0) == ([], False)
    waiter.close()


def test_an_extra_descriptor_ends_the_wait_and_is_left_to_the_caller() -> None:
    waiter, bell = Waiter(), Wakeup()
    bell.ring()
    assert waiter.wait(60, [bell.fileno()]) == ([], True)
    assert waiter.wait(60, [bell.fileno()]) == ([], True)
    assert waiter.wait(0) == ([], False)
    waiter.close()


def test_a_descriptor_that_was_closed_and_opened_again_is_still_seen() -> None:
    waiter, bell = Waiter(), Wakeup()
    number = bell.fileno()
    assert waiter.wait(0, [number]) == ([], False)
    other = Wakeup()
    os.dup2(other.fileno(), number)  # the same number is another pipe now
    other.ring()
    assert waiter.wait(60, [number]) == ([], True)
    waiter.close()


def test_a_bell_that_was_closed_rings_nowhere() -> None:
    """Its numbers are other files' by then."""
    bell = Wakeup()
    number = bell.fileno()
    bell.close()
    others = [os.pipe() for _ in range(4)]
    assert number in [descriptor for pair in others for descriptor in pair]
    for _, write in others:
        os.set_blocking(write, False)
    bell.ring()
    for read, write in others:
        os.set_blocking(read, False)
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
        os.close(read)
        os.close(write)
    bell.close()


def test_a_watched_descriptor_is_reported() -> None:
    waiter, bell = Waiter(), Wakeup()
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

"""A wait that ends when somebody rings: a thread, a signal handler, or long before."""

from __future__ import annotations

import os
import signal
import threading
import time

from segue.scheduler.bell import Bell


def test_a_ring_before_the_wait_is_heard() -> None:
    bell = Bell()
    bell.ring()
    assert bell.wait()
    assert bell.is_rung


def test_a_wait_ends_without_a_ring() -> None:
    bell = Bell()
    assert not bell.wait(0.0)
    bell.close()
    bell.close()


def test_another_thread_ends_the_wait() -> None:
    bell = Bell()
    bell.wait(0.0)
    ringer = threading.Thread(target=bell.ring)
    ringer.start()
    begun = time.monotonic()
    assert bell.wait(30)
    assert time.monotonic() - begun < 10
    ringer.join()


def test_a_signal_handler_may_ring_into_its_own_wait() -> None:
    bell = Bell()
    before = signal.signal(signal.SIGUSR1, lambda *_: bell.ring())
    timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        assert bell.wait(30)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)

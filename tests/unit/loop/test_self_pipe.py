"""A wait that ends when somebody rings: a thread, a signal handler, or long before."""

from __future__ import annotations

import os
import select
import signal
import threading
import time

from segue.loop.self_pipe import Wakeup


def test_a_ring_before_the_wait_is_heard() -> None:
    wakeup = Wakeup()
    wakeup.ring()
    assert wakeup.wait()
    assert wakeup.is_rung


def test_a_wait_ends_without_a_ring() -> None:
    wakeup = Wakeup()
    assert not wakeup.wait(0.0)
    wakeup.close()
    wakeup.close()


def test_another_thread_ends_the_wait() -> None:
    wakeup = Wakeup()
    wakeup.wait(0.0)
    ringer = threading.Thread(target=wakeup.ring)
    ringer.start()
    begun = time.monotonic()
    assert wakeup.wait(30)
    assert time.monotonic() - begun < 10
    ringer.join()


def test_a_signal_handler_may_ring_into_its_own_wait() -> None:
    wakeup = Wakeup()
    before = signal.signal(signal.SIGUSR1, lambda *_: wakeup.ring())
    timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        assert wakeup.wait(30)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_what_was_rung_before_anybody_polls_can_be_read() -> None:
    wakeup = Wakeup()
    wakeup.ring()
    assert select.select([wakeup.fileno()], [], [], 0)[0] == [wakeup.fileno()]
    wakeup.answer()
    assert not wakeup.is_rung
    assert select.select([wakeup.fileno()], [], [], 0)[0] == []
    wakeup.close()


def test_a_signal_makes_it_readable_without_a_ring() -> None:
    """As the zygote has it: Python writes the signal's number into the pipe."""
    wakeup = Wakeup()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    before_fd = signal.set_wakeup_fd(wakeup.write_fd)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert select.select([wakeup.fileno()], [], [], 30)[0] == [wakeup.fileno()]
        wakeup.answer()
        assert select.select([wakeup.fileno()], [], [], 0)[0] == []
    finally:
        signal.set_wakeup_fd(before_fd)
        signal.signal(signal.SIGUSR1, before)
        wakeup.close()

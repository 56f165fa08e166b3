"""When a worker that was idle for long enough ends."""

from __future__ import annotations

import time

from segue.worker.idling import Idling


def test_idle_time_begins_anew_with_each_piece_of_work() -> None:
    now = [100.0]
    idling = Idling(10.0, lambda: now[0])
    now[0] += 60.0  # it took a minute to start
    told = [idling.is_over(is_busy=False)]
    for seconds, is_busy in ((9.0, False), (0.5, True), (9.9, False), (0.2, False)):
        now[0] += seconds
        told.append(idling.is_over(is_busy=is_busy))
    assert told == [False, False, False, False, True]
    assert not Idling(None, time.monotonic).is_over(is_busy=False)

"""When a child must be looked at though nothing is heard of it."""

from __future__ import annotations

import math
from collections import deque
from types import SimpleNamespace
from typing import Any

from segue.attempt.outcomes import cancelled
from segue.model import Job
from segue.worker.pool.deadlines import has_timed_out, holds_up_others, is_to_be_killed, next_alarm
from segue.worker.pool.window import LONG_SECONDS


def job(timeout: float | None = None) -> Job:
    return Job("run", 0, 1, "a", "app.a", "[[],{}]", None, {}, timeout)


def slot(*jobs: Job, **changes: Any) -> Any:
    state = {"is_open": True, "reopen_at": 7.0, "ending": None, "kill_at": 0.0, "pid": 1, "head_since": 100.0}
    return SimpleNamespace(**{**state, "queue": deque(jobs), **changes})


def test_a_place_without_a_child_gets_one() -> None:
    assert next_alarm(slot(is_open=False)) == 7.0


def test_an_idle_child_needs_no_look() -> None:
    assert next_alarm(slot()) == math.inf
    assert next_alarm(slot(job())) == math.inf


def test_an_attempt_ends_at_its_timeout_once_its_child_is_born() -> None:
    assert next_alarm(slot(job(timeout=3))) == 103.0
    assert has_timed_out(slot(job(timeout=3)), 103.0)
    assert not has_timed_out(slot(job(timeout=3)), 102.9)
    assert not has_timed_out(slot(job(timeout=3), pid=0), 200.0)
    assert not has_timed_out(slot(job()), 200.0)
    assert not has_timed_out(slot(), 200.0)


def test_what_waits_behind_a_long_job_is_taken_back() -> None:
    busy = slot(job(timeout=3), job())
    assert next_alarm(busy) == 100.0 + LONG_SECONDS
    assert holds_up_others(busy, 101.0)
    assert not holds_up_others(slot(job()), 101.0)


def test_a_child_that_does_not_end_is_killed_once_it_is_born() -> None:
    ending = slot(job(timeout=3), ending=cancelled(job()), kill_at=105.0)
    assert next_alarm(ending) == 105.0
    assert is_to_be_killed(ending, 105.0)
    assert not is_to_be_killed(ending, 104.9)
    unborn = slot(job(), ending=cancelled(job()), kill_at=105.0, pid=0)
    assert next_alarm(unborn) == math.inf
    assert not is_to_be_killed(unborn, 200.0)

"""Rhythm's progress: what it reports, how often, and what it expects."""

from __future__ import annotations

from typing import Any

import pytest

from segue.compat.rhythm import duplicates, progress
from segue.compat.rhythm.progress import ETA, NEVER_SECONDS, ExponentialWeightedAverage, Progress, get_length, throttle


class Clock:
    """Python's own clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


class Task:
    """What `Progress` needs of a task."""

    def __init__(self) -> None:
        self.reports: list[Any] = []

    def update_progress(self, report: Any) -> None:
        self.reports.append(report)


def test_a_loop_reports_what_is_done(clock: Clock) -> None:
    task = Task()
    for _ in Progress(task, name="lines", units="lines")(["a", "b", "c", "d"]):
        clock.now += 2
    assert [report["done"] for report in task.reports] == [0, 2, 3, 4]  # the first item came at once
    last = task.reports[-1]
    assert (last["name"], last["units"], last["total"], last["fraction_done"]) == ("lines", "lines", 4, 1.0)
    assert last["time_remaining_sec"] == pytest.approx(0)
    assert last["avg_rate"] == pytest.approx(4 / 6)


def test_reports_are_throttled(clock: Clock) -> None:
    shown = Progress(total=10, throttle_time=5, unit_scale=2)
    first = shown.update(1)
    assert first is not None
    assert (first["done"], first["total"], first["time_remaining_sec"]) == (2, 20, NEVER_SECONDS)
    clock.now += 4
    assert shown.update(2) is None
    clock.now += 1
    assert shown.update(3) is not None


def test_without_a_total_nothing_is_estimated(clock: Clock) -> None:
    found = Progress(throttle_time=0).update(3)
    assert found is not None
    assert (found["done"], found["total"], found["fraction_done"], found["time_remaining_sec"]) == (3, None, None, None)


def test_the_time_that_is_left_follows_the_rate(clock: Clock) -> None:
    eta = ETA(alpha=0.5)
    assert eta.update(0) == NEVER_SECONDS
    clock.now += 1
    assert eta.update(0.1) == pytest.approx(9, rel=1e-3)
    clock.now += 1
    assert eta.update(0.1) == pytest.approx(0.9 / (0.1 / 3), rel=1e-3)
    assert eta.update(2) == 0


def test_a_weighted_average_follows_the_last_values() -> None:
    average = ExponentialWeightedAverage(alpha=0.5)
    assert [average.update(value) for value in (3, 3, 9)] == [3, 3, pytest.approx(3 + 6 * 4 / 7)]


def test_small_parts(clock: Clock) -> None:
    calls: list[int] = []
    limited = throttle(1)(calls.append)
    for _ in range(3):
        limited(1)
    assert calls == [1]
    assert (get_length([1, 2]), get_length(iter([1, 2])), get_length(x for x in [1])) == (2, 2, None)
    assert sorted(duplicates(["a", "b", "a", "c", "b"])) == ["a", "b"]

"""The workloads: each submits its graph a few times, waits, checks the order, and yields the times.

A workload is a generator of `(what, unit, value)`; a repeated `what` is another repetition.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from segue.authoring import Task
from segue.bench.setting import Setting
from segue.bench.tasks import DIAMOND_NODES, diamond, fan, line, single
from segue.bench.timestamps import Mark, check_chain, check_fan
from segue.client import Run

Figure = tuple[str, str, float]

IDLE_SECONDS = 0.5  # before a chain: lets the system become idle and the worker sleep


@dataclass(frozen=True, slots=True)
class Sizes:
    """The size of each workload."""

    chain: int = 40
    fans: tuple[int, ...] = (1_000, 10_000)
    diamonds: int = 500
    drain: int = 5_000
    single_starts: int = 500
    idle_seconds: float = 30.0
    import_times: int = 10
    filling: int = 1_000_000  # runs and steps that the database already contains
    timers: int = 200  # of each kind
    held: int = 10_000  # steps that wait for a place of a limit
    largest_fan: int = 100_000
    longest_chain: int = 100_000


QUICK = Sizes(
    fans=(200, 1_000), diamonds=50, drain=1_000, single_starts=50, idle_seconds=5, import_times=3,
    filling=20_000, timers=40, held=500, largest_fan=5_000, longest_chain=1_000,
)  # fmt: skip


def chain(setting: Setting, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """Measure one workflow of tasks in sequence on an idle system."""
    setting.warm_up()
    for _ in range(repeat or 10):
        yield from one_chain(setting, sizes.chain)


def one_chain(setting: Setting, count: int) -> Iterator[Figure]:
    """Measure one chain with a warm worker."""
    time.sleep(IDLE_SECONDS)
    number = setting.next_run()
    begun = time.monotonic()
    run = setting.segue.start(line(number, count))
    marks = setting.marks(number, count)
    check_chain(marks)
    setting.wait_for_end([run])
    yield f"chain of {count}, per step", "ms", per_step_ms(marks)
    yield f"chain of {count}, from start to last end", "ms", (marks[-1].ended - begun) * 1000


def per_step_ms(marks: list[Mark]) -> float:
    """The average time from the end of one step to the end of the next."""
    return (marks[-1].ended - marks[0].ended) / (len(marks) - 1) * 1000


def fanout(setting: Setting, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """Measure a task, a group that receives its result, and a task that receives all results."""
    setting.warm_up()
    for width in sizes.fans:
        for _ in range(repeat or (5 if width <= 1_000 else 3)):
            yield from one_fan(setting, width)


def one_fan(setting: Setting, width: int) -> Iterator[Figure]:
    """Measure one fan-out with a warm worker."""
    number = setting.next_run()
    begun = time.monotonic()
    run = setting.segue.start(fan(number, width))
    started = time.monotonic()
    marks = setting.marks(number, width + 2, timeout_seconds=120 + width / 100)
    check_fan(marks)
    seen = setting.wait_for_end([run])
    what = f"task → {width:,} → join"
    yield f"{what}, to the end of the join", "s", marks[-1].ended - begun
    yield f"{what}, start() alone", "s", started - begun
    yield f"{what}, until the run is seen ended", "s", seen - begun


def diamonds(setting: Setting, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """Measure many small workflows a → (b, c, d) → e, started together."""
    setting.warm_up()
    count = sizes.diamonds
    for _ in range(repeat or 3):
        number = setting.next_run()
        begun = time.monotonic()
        runs = setting.segue.start_many(diamond, [(number, DIAMOND_NODES * each) for each in range(count)])
        started = time.monotonic()
        marks = setting.marks(number, DIAMOND_NODES * count)
        ended = max(mark.ended for mark in marks)
        for first in range(0, len(marks), DIAMOND_NODES):
            check_fan(marks[first : first + DIAMOND_NODES])
        setting.wait_for_end(runs)
        yield f"{count} diamonds, to the last end", "/s", count / (ended - begun)
        yield f"{count} diamonds, start_many() alone", "s", started - begun


def drain(setting: Setting, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """Measure independent tasks, started while no worker runs, and then executed."""
    yield "start(), one task each", "/s", _single_starts(setting, sizes.single_starts)
    for _ in range(repeat or 3):
        yield from one_drain(setting, sizes.drain)


def _single_starts(setting: Setting, count: int) -> float:
    number = setting.next_run()
    setting.segue.start(single, number, 0)
    begun = time.monotonic()
    runs = [setting.segue.start(single, number, node) for node in range(1, count)]
    seconds = time.monotonic() - begun
    _work_off(setting, number, runs, count)
    return len(runs) / seconds


def one_drain(setting: Setting, count: int, task: Task[Any, Any] = single) -> Iterator[Figure]:
    """Execute one queue of `task` with a new worker."""
    setting.rest()
    number = setting.next_run()
    begun = time.monotonic()
    runs = setting.segue.start_many(task, [(number, node) for node in range(count)])
    started = time.monotonic()
    marks = _work_off(setting, number, runs, count)
    first, last = min(mark.begun for mark in marks), max(mark.ended for mark in marks)
    yield f"drain of {count:,} tasks, first begin to last end", "/s", count / (last - first)
    yield f"start_many() of {count:,} tasks", "/s", count / (started - begun)


def _work_off(setting: Setting, number: int, runs: list[Run], count: int) -> list[Mark]:
    setting.hire()
    marks = setting.marks(number, count)
    setting.wait_for_end(runs)
    setting.rest()
    return marks

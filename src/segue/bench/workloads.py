"""The workloads: each submits its graph a few times, waits, checks the order, and says how long it took.

A workload is a generator of `(what, unit, value)`; the same `what` again is another repetition.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from segue.authoring import Task
from segue.bench.ground import Ground
from segue.bench.marks import Mark, check_chain, check_fan
from segue.bench.tasks import DIAMOND_NODES, diamond, fan, line, single
from segue.client import Run

Figure = tuple[str, str, float]

QUIET_SECONDS = 0.5  # before a chain: the system is to be idle, its worker asleep


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each workload there is."""

    chain: int = 40
    fans: tuple[int, ...] = (1_000, 10_000)
    diamonds: int = 500
    drain: int = 5_000
    single_starts: int = 500
    idle_seconds: float = 30.0
    import_times: int = 10
    filling: int = 1_000_000  # runs and steps that are in the database already
    held: int = 10_000  # steps that wait for a place of a limit
    largest_fan: int = 100_000
    longest_chain: int = 100_000


QUICK = Sizes(
    fans=(200, 1_000), diamonds=50, drain=1_000, single_starts=50, idle_seconds=5, import_times=3,
    filling=20_000, held=500, largest_fan=5_000, longest_chain=1_000,
)  # fmt: skip


def chain(ground: Ground, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """One workflow of tasks in sequence on an idle system."""
    ground.warm_up()
    for _ in range(repeat or 10):
        yield from one_chain(ground, sizes.chain)


def one_chain(ground: Ground, count: int) -> Iterator[Figure]:
    """One chain, by a worker that is warm."""
    time.sleep(QUIET_SECONDS)
    number = ground.next_run()
    begun = time.monotonic()
    run = ground.segue.start(line(number, count))
    marks = ground.marks(number, count)
    check_chain(marks)
    ground.settle([run])
    yield f"chain of {count}, per step", "ms", per_step_ms(marks)
    yield f"chain of {count}, from start to last end", "ms", (marks[-1].ended - begun) * 1000


def per_step_ms(marks: list[Mark]) -> float:
    """From the end of one step to the end of the next, on average."""
    return (marks[-1].ended - marks[0].ended) / (len(marks) - 1) * 1000


def fanout(ground: Ground, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """A task, a group that is given its result, a task that is given all of theirs."""
    ground.warm_up()
    for width in sizes.fans:
        for _ in range(repeat or (5 if width <= 1_000 else 3)):
            yield from one_fan(ground, width)


def one_fan(ground: Ground, width: int) -> Iterator[Figure]:
    """One fan-out, by a worker that is warm."""
    number = ground.next_run()
    begun = time.monotonic()
    run = ground.segue.start(fan(number, width))
    started = time.monotonic()
    marks = ground.marks(number, width + 2, timeout_seconds=120 + width / 100)
    check_fan(marks)
    seen = ground.settle([run])
    what = f"task → {width:,} → join"
    yield f"{what}, to the end of the join", "s", marks[-1].ended - begun
    yield f"{what}, start() alone", "s", started - begun
    yield f"{what}, until the run is seen ended", "s", seen - begun


def diamonds(ground: Ground, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """Many small workflows a → (b, c, d) → e, started together."""
    ground.warm_up()
    count = sizes.diamonds
    for _ in range(repeat or 3):
        number = ground.next_run()
        begun = time.monotonic()
        runs = ground.segue.start_many(diamond, [(number, DIAMOND_NODES * each) for each in range(count)])
        started = time.monotonic()
        marks = ground.marks(number, DIAMOND_NODES * count)
        ended = max(mark.ended for mark in marks)
        for first in range(0, len(marks), DIAMOND_NODES):
            check_fan(marks[first : first + DIAMOND_NODES])
        ground.settle(runs)
        yield f"{count} diamonds, to the last end", "/s", count / (ended - begun)
        yield f"{count} diamonds, start_many() alone", "s", started - begun


def drain(ground: Ground, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """Independent tasks, put there while no worker runs, then worked off."""
    yield "start(), one task each", "/s", _single_starts(ground, sizes.single_starts)
    for _ in range(repeat or 3):
        yield from one_drain(ground, sizes.drain)


def _single_starts(ground: Ground, count: int) -> float:
    number = ground.next_run()
    ground.segue.start(single, number, 0)
    begun = time.monotonic()
    runs = [ground.segue.start(single, number, node) for node in range(1, count)]
    seconds = time.monotonic() - begun
    _work_off(ground, number, runs, count)
    return len(runs) / seconds


def one_drain(ground: Ground, count: int, task: Task[Any, Any] = single) -> Iterator[Figure]:
    """One queue of `task` worked off, by a worker that was started for it."""
    ground.rest()
    number = ground.next_run()
    begun = time.monotonic()
    runs = ground.segue.start_many(task, [(number, node) for node in range(count)])
    started = time.monotonic()
    marks = _work_off(ground, number, runs, count)
    first, last = min(mark.begun for mark in marks), max(mark.ended for mark in marks)
    yield f"drain of {count:,} tasks, first begin to last end", "/s", count / (last - first)
    yield f"start_many() of {count:,} tasks", "/s", count / (started - begun)


def _work_off(ground: Ground, number: int, runs: list[Run], count: int) -> list[Mark]:
    ground.hire()
    marks = ground.marks(number, count)
    ground.settle(runs)
    ground.rest()
    return marks

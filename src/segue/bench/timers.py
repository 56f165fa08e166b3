"""Measures how late timers are: steps with a delay, and attempts after a `Retry`.

A worker is awake and has free slots. Both figures include the time to record the previous step, to claim this one and
to pass it to a child.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import median, quantiles

from segue.bench.setting import Setting
from segue.bench.tasks import RETRY_SECONDS, single, stumble
from segue.bench.workloads import Figure, Sizes

DELAY_SECONDS = 0.1
_APART_SECONDS = 0.01  # so that timers come due one by one, and not at regular intervals


def timers(setting: Setting, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """Measure timers of both kinds, one after another, with a worker that has little else to do."""
    setting.warm_up()
    for _ in range(repeat or 3):
        yield from _figures("delayed step", _delayed(setting, sizes.timers))
        yield from _figures("retry", _retried(setting, sizes.timers))


def _figures(what: str, late_seconds: Sequence[float]) -> Iterator[Figure]:
    yield f"{what}, late, median", "ms", median(late_seconds) * 1000
    yield f"{what}, late, 95th percentile", "ms", quantiles(late_seconds, n=20)[-1] * 1000


def _delayed(setting: Setting, count: int) -> list[float]:
    number = setting.next_run()
    begun, runs = [], []
    for node in range(count):
        begun.append(time.monotonic())
        runs.append(setting.segue.start(single.options(delay=DELAY_SECONDS).s(number, node)))
        time.sleep(_APART_SECONDS * (1 + node % 3))
    marks = setting.marks(number, count)
    setting.wait_for_end(runs)
    return [mark.begun - begun[mark.node] - DELAY_SECONDS for mark in marks]


def _retried(setting: Setting, count: int) -> list[float]:
    number = setting.next_run()
    runs = []
    for node in range(count):
        runs.append(setting.segue.start(stumble, number, node))
        time.sleep(_APART_SECONDS * (1 + node % 3))
    marks = setting.marks(number, 2 * count)
    setting.wait_for_end(runs)
    pairs = zip(marks[::2], marks[1::2], strict=True)
    return [second.begun - first.ended - RETRY_SECONDS for first, second in pairs]

"""How many attempts ended, how long they took and had waited: series over time, from `segue_statistics`. Reads only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from segue.engine.histogram import quantile
from segue.engine.statistics import HOUR, MINUTES_FOR, cell_of
from segue.engine.stored import moment_of
from segue.engine.tally import MINUTE, Cell
from segue.jsonable import Jsonable
from segue.plan.namespaces import bare, is_in, stored
from segue.store.protocol import Row, Transaction

POINTS = 60


class Series(Jsonable, msgspec.Struct, frozen=True):
    """The attempts that ended at one task, in one queue, or all. Lists have a number for each step of time."""

    name: str  # of the queue or task; "" for all, and for tasks that are not known
    attempts: int
    failed: int  # of them
    per_second: float
    failure_ratio: float | None  # None: no attempts
    mean_seconds: float | None  # how long an attempt took
    p50_seconds: float | None
    p95_seconds: float | None
    mean_waited: float | None  # how long its step had been ready before, in seconds; None: not known
    p50_waited: float | None
    p95_waited: float | None
    attempts_over_time: tuple[int, ...]
    failed_over_time: tuple[int, ...]
    seconds_over_time: tuple[float, ...]  # how long the attempts took, together


class Statistics(Jsonable, msgspec.Struct, frozen=True):
    """Statistics of attempts over a time. The last numbers may be ten seconds late."""

    since: datetime
    until: datetime
    step_seconds: int  # between two numbers of a list
    by: str | None  # "queue", "task", or None
    series: tuple[Series, ...]  # the most attempts first


def statistics(
    tx: Transaction, now: datetime, *, age: timedelta, by: str | None = None, queue: str | None = None,
    task: str | None = None, namespace: str = "", prefix: str | None = "", points: int = POINTS,
) -> Statistics:  # fmt: skip
    """The attempts that ended since `age` ago, those of each queue or task, or all together."""
    is_long = age > MINUTES_FOR
    unit = HOUR if is_long else MINUTE
    step = max(math.ceil(age.total_seconds() / points / unit), 1) * unit
    end = (int(now.timestamp()) // unit + 1) * unit
    count = max(math.ceil(age.total_seconds() / step), 1)
    since = datetime.fromtimestamp(end - count * step, UTC)
    wanted = None if queue is None or prefix is None else stored(namespace, queue)
    groups: dict[str, list[Cell]] = {}
    for at, of_queue, of_task, row in _rows(tx, since, wanted, task, is_long=is_long):
        if not is_in(prefix, of_queue) or (queue is not None and bare(of_queue) != queue):
            continue
        name = bare(of_queue) if by == "queue" else of_task if by == "task" else ""
        cells = groups.get(name)
        if cells is None:
            cells = groups[name] = [Cell() for _ in range(count)]
        index = int(at.timestamp() - since.timestamp()) // step
        if 0 <= index < count:
            cells[index].add(cell_of(row))
    if by is None and not groups:
        groups[""] = [Cell() for _ in range(count)]
    seconds = max((now - since).total_seconds(), 1.0)
    series = [_series(name, cells, seconds) for name, cells in groups.items()]
    series.sort(key=lambda each: (-each.attempts, each.name))
    return Statistics(since, now, step, by, tuple(series))


def _rows(
    tx: Transaction, since: datetime, queue: str | None, task: str | None, *, is_long: bool
) -> Iterator[tuple[datetime, str, str, Row]]:
    for span in (HOUR, MINUTE) if is_long else (MINUTE,):
        for at, of_queue, of_task, *numbers in tx.all(
            "list_statistics", span=span, since=since, queue=queue, task=task
        ):
            moment = moment_of(tx, at)
            if moment is not None:
                yield moment, of_queue, of_task, tuple(numbers)


def _series(name: str, cells: list[Cell], seconds: float) -> Series:
    total = Cell()
    for cell in cells:
        total.add(cell)
    attempts, waits = total.attempts, sum(total.waits.values())
    return Series(
        name=name, attempts=attempts, failed=total.failed, per_second=attempts / seconds,
        failure_ratio=total.failed / attempts if attempts else None,
        mean_seconds=total.seconds / attempts if attempts else None,
        p50_seconds=quantile(total.took, 0.5), p95_seconds=quantile(total.took, 0.95),
        mean_waited=total.waited / waits if waits else None,
        p50_waited=quantile(total.waits, 0.5), p95_waited=quantile(total.waits, 0.95),
        attempts_over_time=tuple(cell.attempts for cell in cells),
        failed_over_time=tuple(cell.failed for cell in cells),
        seconds_over_time=tuple(cell.seconds for cell in cells),
    )  # fmt: skip

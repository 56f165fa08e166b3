"""huey on SQLite: pipelines and chords. A pipeline cannot contain a chord, so the first task enqueues it."""

from __future__ import annotations

import os

from huey import SqliteHuey
from huey.api import chord

from benchmarks.peers.rival import FOLDER_VARIABLE, Rival, diamond_nodes, python
from segue.bench.timestamps import mark

huey = SqliteHuey("peers", filename=f"{os.environ.get(FOLDER_VARIABLE, '.')}/huey.db", timeout=60)


@huey.task()  # type: ignore[untyped-decorator]
def single(run: int, node: int) -> None:
    mark(run, node)  # any other value than None would be stored as a result


@huey.task()  # type: ignore[untyped-decorator]
def link(run: int, node: int, previous: object = None) -> int:
    return mark(run, node)


@huey.task()  # type: ignore[untyped-decorator]
def member(run: int, node: int) -> int:
    return mark(run, node)


@huey.task()  # type: ignore[untyped-decorator]
def join(results: object = None, *, run: int, node: int) -> int:
    return mark(run, node)


@huey.task()  # type: ignore[untyped-decorator]
def spread(run: int, first: int, width: int) -> int:
    value = mark(run, first)
    last = first + width + 1
    huey.enqueue(chord([member.s(run, node) for node in range(first + 1, last)], join.s(run=run, node=last)))
    return value


class HueyRival(Rival):
    name = "huey"
    setting = "SQLite (WAL), consumer with 2 processes, polled every 5 ms (by default it backs off to 10 s)"
    durable = "no: a task leaves the queue before it runs"
    notes = "fan-out and diamonds: the first task enqueues the chord"

    def commands(self) -> list[list[str]]:
        options = ["-k", "process", "-w", "2", "-d", "0.005", "-m", "0.005", "-b", "1", "-q"]
        return [python("-m", "huey.bin.huey_consumer", f"{__name__}.huey", *options)]

    def chain(self, run: int, count: int) -> None:
        pipeline = link.s(run, 0)
        for node in range(1, count):
            pipeline = pipeline.then(link, run, node)
        huey.enqueue(pipeline)

    def fan(self, run: int, width: int) -> None:
        spread(run, 0, width)

    def diamonds(self, run: int, count: int) -> None:
        for first, sides, _ in map(diamond_nodes, range(count)):
            spread(run, first, len(sides))

    def enqueue(self, run: int, count: int) -> None:
        for node in range(count):
            single(run, node)

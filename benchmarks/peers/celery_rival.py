"""Celery's canvas, on RabbitMQ or Redis, with results in Redis.

`celery -A benchmarks.peers.celery_rival worker` imports this module, too; the environment selects the broker.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, chain, group
from redis import Redis

from benchmarks.peers.rival import RABBITMQ_VARIABLE, REDIS_VARIABLE, Rival, diamond_nodes, python
from segue.bench.timestamps import mark

BROKER_VARIABLE = "PEERS_CELERY_BROKER"

app = Celery("peers")
app.conf.update(
    broker_url=os.environ.get(BROKER_VARIABLE, ""),
    result_backend=f"{os.environ.get(REDIS_VARIABLE, '')}/1",
    worker_prefetch_multiplier=64,  # as its guide advises for many short tasks
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    result_expires=600,
)


@app.task(ignore_result=True)  # type: ignore[untyped-decorator]
def single(run: int, node: int) -> int:
    return mark(run, node)


@app.task  # type: ignore[untyped-decorator]
def begin(run: int, node: int) -> int:
    return mark(run, node)


@app.task  # type: ignore[untyped-decorator]
def follow(previous: Any, run: int, node: int) -> int:
    return mark(run, node)


class CeleryRival(Rival):
    durable = "no: a task is acknowledged before it runs; chords are counted in Redis' memory"

    def __init__(self, broker: str) -> None:
        self.name = f"celery-{broker}"
        self.setting = f"{broker} broker, Redis results, prefork, 2 processes, prefetch 64"
        url = os.environ[RABBITMQ_VARIABLE] if broker == "rabbitmq" else f"{os.environ[REDIS_VARIABLE]}/0"
        os.environ[BROKER_VARIABLE] = url  # for the worker
        app.conf.broker_url = url

    def prepare(self) -> None:
        Redis.from_url(os.environ[REDIS_VARIABLE]).flushall()  # our own server; it may hold leftovers
        app.control.purge()

    def commands(self) -> list[list[str]]:
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]
        return [python("-m", "celery", "-A", __name__, "worker", "--pool", "prefork", "--concurrency", "2", *quiet)]

    def chain(self, run: int, count: int) -> None:
        chain(begin.s(run, 0), *(follow.s(run, node) for node in range(1, count))).apply_async()

    def fan(self, run: int, width: int) -> None:
        self._spread(run, 0, range(1, width + 1), width + 1)

    def diamonds(self, run: int, count: int) -> None:
        for first, sides, last in map(diamond_nodes, range(count)):
            self._spread(run, first, sides, last)

    def enqueue(self, run: int, count: int) -> None:
        for node in range(count):
            single.delay(run, node)

    def _spread(self, run: int, first: int, members: Any, last: int) -> None:
        chain(begin.s(run, first), group(follow.s(run, node) for node in members), follow.s(run, last)).apply_async()

    def close(self) -> None:
        app.close()

"""procrastinate on PostgreSQL. It has tasks but no workflows: in a chain each task defers the next.

As a program, this module is a worker.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import procrastinate

from benchmarks.peers.rival import POSTGRES_VARIABLE, Rival, python
from segue.bench.timestamps import mark

AT_ONCE = 8  # jobs in each worker process

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ.get(POSTGRES_VARIABLE, ""), min_size=2, max_size=10)
)


@app.task(name="single")
async def single(run: int, node: int) -> int:
    return mark(run, node)


@app.task(name="link")
async def link(run: int, node: int, count: int) -> int:
    value = mark(run, node)
    if node + 1 < count:
        await link.defer_async(run=run, node=node + 1, count=count)
    return value


class ProcrastinateRival(Rival):
    name = "procrastinate"
    setting = f"PostgreSQL, 2 worker processes, {AT_ONCE} jobs each"
    durable = "yes, at least once; a job and the one that it defers are separate transactions"
    notes = "chain: each job defers the next"
    cannot = {  # noqa: RUF012 - constant
        "fanout": "jobs cannot wait for others",
        "diamonds": "jobs cannot wait for others",
    }

    def prepare(self) -> None:
        app.open()
        if not app.check_connection():
            app.schema_manager.apply_schema()

    def commands(self) -> list[list[str]]:
        return [python("-m", __name__)] * 2

    def chain(self, run: int, count: int) -> None:
        link.defer(run=run, node=0, count=count)

    def enqueue(self, run: int, count: int) -> None:
        jobs: list[dict[str, Any]] = [{"run": run, "node": node} for node in range(count)]
        single.batch_defer(*jobs)

    def close(self) -> None:
        app.close()


async def work() -> None:
    """Run jobs until a signal stops it."""
    async with app.open_async():
        await app.run_worker_async(concurrency=AT_ONCE)


if __name__ == "__main__":
    asyncio.run(work())

"""DBOS Transact on PostgreSQL or SQLite: workflows whose steps are calls, and queues for parallel work.

A chain is one workflow in the calling process, its usual form. Fan-outs go through a queue that two worker processes
listen to; its polling is lowered from 1 s to 50 ms. As a program, this module is such a worker.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig

from benchmarks.peers.rival import POSTGRES_VARIABLE, Rival, diamond_nodes, python, session_folder
from segue.bench.timestamps import mark

URL_VARIABLE = "PEERS_DBOS_URL"
TASKS, PARENTS = "tasks", "parents"
POLL_SECONDS = 0.05
JOIN_POLL_SECONDS = 0.02
AT_ONCE = 16  # workflows in each worker process


@DBOS.step()
def step(run: int, node: int) -> int:
    return mark(run, node)


@DBOS.workflow()
def single(run: int, node: int) -> int:
    return step(run, node)


@DBOS.workflow()
def member(run: int, node: int) -> int:
    return mark(run, node)


@DBOS.workflow()
def sequence(run: int, count: int) -> int:
    value = 0
    for node in range(count):
        value = step(run, node)
    return value


@DBOS.workflow()
def spread(run: int, width: int) -> int:
    step(run, 0)
    handles = [DBOS.enqueue_workflow(TASKS, member, run, node) for node in range(1, width + 1)]
    for handle in handles:
        handle.get_result(polling_interval_sec=JOIN_POLL_SECONDS)
    return step(run, width + 1)


@DBOS.workflow()
def diamond(run: int, first: int, sides: list[int], last: int) -> int:
    for node in (first, *sides):
        step(run, node)
    return step(run, last)


def launch(*, listen: bool) -> None:
    """Connect this process. With `listen` it works on the queues, otherwise only on its own calls."""
    config: DBOSConfig = {
        "name": "peers",
        "system_database_url": os.environ[URL_VARIABLE],
        "log_level": "ERROR",
        "application_version": "1",
        "executor_id": str(os.getpid()),
    }
    if os.environ[URL_VARIABLE].startswith("postgres"):
        config["sys_db_pool_size"] = 20
    DBOS(config=config)
    if not listen:
        DBOS.listen_queues([])
    DBOS.launch()


class DbosRival(Rival):
    durable = "yes: every step and workflow is committed before the next"
    notes = "chain: steps called in process; fan-out: child workflows on a queue; diamonds: b, c, d one after another"

    def __init__(self, storage: str) -> None:
        self.name = f"dbos-{storage}"
        self.setting = f"{storage}, 2 processes, {AT_ONCE} workflows each, polled every {POLL_SECONDS * 1000:.0f} ms"
        sqlite = f"sqlite:///{session_folder() / 'dbos.db'}"
        os.environ[URL_VARIABLE] = os.environ[POSTGRES_VARIABLE] if storage == "postgres" else sqlite

    def prepare(self) -> None:
        launch(listen=False)
        DBOS.register_queue(TASKS, worker_concurrency=AT_ONCE, polling_interval_sec=POLL_SECONDS)
        DBOS.register_queue(PARENTS, polling_interval_sec=POLL_SECONDS)
        self._client = DBOSClient(system_database_url=os.environ[URL_VARIABLE])

    def commands(self) -> list[list[str]]:
        return [python("-m", __name__)] * 2

    def chain(self, run: int, count: int) -> None:
        sequence(run, count)

    def fan(self, run: int, width: int) -> None:
        self._send(PARENTS, "spread", run, width)

    def diamonds(self, run: int, count: int) -> None:
        for nodes in map(diamond_nodes, range(count)):
            self._send(TASKS, "diamond", run, *nodes)

    def enqueue(self, run: int, count: int) -> None:
        for node in range(count):
            self._send(TASKS, "single", run, node)

    def _send(self, queue: str, workflow: str, *args: Any) -> None:
        self._client.enqueue({"queue_name": queue, "workflow_name": workflow}, *args)

    def close(self) -> None:
        self._client.destroy()
        DBOS.destroy()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # also in the threads that it starts
    launch(listen=True)
    signal.sigwait({signal.SIGTERM})
    os._exit(0)

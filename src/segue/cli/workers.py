"""`segue workers`: lists the workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from segue.cli.across import records, with_namespaces
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.cli.wording import STYLES
from segue.client.records import worker_record
from segue.client.views import ENDED, WorkerInfo
from segue.client.wording import counted
from segue.times import ago

MOST_ENDED = 1000
NONE = Text("-", DIM)  # the queues and tasks of other executors' workers are not Segue's


@click.command(short_help="List the workers that are alive.")
@with_setup
@click.option("--all", "lists_all", is_flag=True, help="Also those that stopped or were lost in the last hour.")
@json_option
@pass_setup
def command(setup: Setup, lists_all: bool, as_json: bool) -> None:
    """List the workers that have not ended, as far as is known. With --json: a list of objects.

    \b
    Example:
      segue workers
    """
    with setup.segue() as segue:
        workers = segue.workers()
        if lists_all:
            workers += segue.ended_workers(limit=MOST_ENDED)
        now = segue.engine.store.now()
    if as_json:
        print_json(records(setup, workers, worker_record))
        return
    out = console()
    if not workers:
        out.print(
            Text(setup.follow_up("No worker is running. Start one: segue worker -A <module>"), DIM), soft_wrap=True
        )
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for name in ("worker", "status", "pool", "queues", "tasks", "code", "started", "heard of"):
        table.add_column(
            name, no_wrap=name != "queues", overflow="fold", justify="right" if name == "tasks" else "left"
        )
    for worker in workers:
        table.add_row(
            worker.name, _status(worker, now), f"{worker.pool} × {worker.concurrency}", _listed(worker.queues),
            _tasks(worker), _code(worker), Text(ago(worker.started_at, now), DIM),
            Text(ago(worker.heartbeat_at, now), DIM),
        )  # fmt: skip
    put(out, with_namespaces(setup, table, workers))
    silent = sum(worker.lease_until < now and worker.status not in ENDED for worker in workers)
    if silent:
        out.print(Text(f"{counted(silent, 'worker')} let the lease expire; the steps will be rescued.", "red"))


def _tasks(worker: WorkerInfo) -> str | Text:
    """How many tasks of the user it knows, as its banner says."""
    return f"{sum(not name.startswith('segue.') for name in worker.tasks):,}" if worker.tasks else NONE


def _listed(names: Sequence[str]) -> str | Text:
    return ", ".join(names) or NONE


def _code(worker: WorkerInfo) -> Text:
    """The beginning of the version of its code, as much as tells versions apart."""
    return Text((worker.code_version or "-")[:8], DIM)


def _status(worker: WorkerInfo, now: datetime) -> Text:
    if worker.status in ENDED:
        return Text(worker.status, STYLES["lost"] if worker.status == "lost" else DIM)
    if worker.lease_until < now:
        return Text("silent", STYLES["lost"])
    return Text(worker.status, STYLES["succeeded"] if worker.status == "running" else STYLES["stopping"])

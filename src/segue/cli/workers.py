"""`segue workers`: who works."""

from __future__ import annotations

from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.pictures import DIM
from segue.cli.printing import console, print_json, put
from segue.cli.records import worker_record
from segue.cli.wording import STYLES, ago, counted
from segue.engine.views.look import WorkerInfo


@click.command(short_help="List the workers that are alive.")
@with_setup
@json_option
@pass_setup
def command(setup: Setup, as_json: bool) -> None:
    """List the workers that have not ended, as far as is known. With --json: a list of objects.

    \b
    Example:
      segue workers
    """
    with setup.segue() as segue:
        workers = segue.workers()
        now = segue.engine.store.now()
    if as_json:
        print_json([worker_record(worker) for worker in workers])
        return
    out = console()
    if not workers:
        out.print(
            Text(setup.follow_up("No worker is running. Start one: segue worker -A <module>"), DIM), soft_wrap=True
        )
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for name in ("worker", "status", "pool", "queues", "tasks", "started", "heard of"):
        table.add_column(
            name, no_wrap=name != "queues", overflow="fold", justify="right" if name == "tasks" else "left"
        )
    for worker in workers:
        table.add_row(
            worker.name, _status(worker, now), f"{worker.pool} × {worker.concurrency}", ", ".join(worker.queues),
            f"{len(worker.tasks):,}", Text(ago(worker.started_at, now), DIM), Text(ago(worker.heartbeat_at, now), DIM),
        )  # fmt: skip
    put(out, table)
    silent = sum(worker.lease_until < now for worker in workers)
    if silent:
        out.print(Text(f"{counted(silent, 'worker')} let the lease run out; the steps will be rescued.", "red"))


def _status(worker: WorkerInfo, now: datetime) -> Text:
    if worker.lease_until < now:
        return Text("silent", STYLES["lost"])
    return Text(worker.status, STYLES["succeeded"] if worker.status == "running" else STYLES["stopping"])

"""`segue queues`: lists the queues."""

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
from segue.client.records import queue_record
from segue.client.views import QueueInfo
from segue.times import since

MOST = 10_000


@click.command(short_help="List queues, what waits on them, and who works on them.")
@with_setup
@json_option
@pass_setup
def command(setup: Setup, as_json: bool) -> None:
    """List the queues on which steps wait or run, or on which workers work. With --json: a list of objects.

    No count goes beyond 10,000; with --json, 10,001 means that there are more.

    \b
    Example:
      segue queues
    """
    with setup.segue() as segue:
        queues = segue.queues()
        now = segue.engine.store.now()
    if as_json:
        print_json(records(setup, queues, queue_record))
        return
    out = console()
    if not queues:
        out.print(Text("Nothing waits, nothing runs, and no worker is alive.", DIM))
        return
    put(out, with_namespaces(setup, _table(queues, now), queues))


def _table(queues: Sequence[QueueInfo], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for name in ("queue", "ready", "oldest", "running", "delayed", "limited", "workers", "places", ""):
        numeric = name not in ("queue", "")
        table.add_column(name, no_wrap=numeric, overflow="fold", justify="right" if numeric else "left")
    for queue in queues:
        oldest = "" if queue.oldest_ready_at is None else since(queue.oldest_ready_at, now)
        table.add_row(
            queue.name, _counted(queue.ready), oldest, _counted(queue.running + queue.sent), _counted(queue.delayed),
            _counted(queue.limited), _counted(queue.workers), _counted(queue.places), _says(queue),
        )  # fmt: skip
    return table


def _counted(count: int) -> str:
    return "" if not count else f"{count:,}" if count <= MOST else f"{MOST:,}+"


def _says(queue: QueueInfo) -> Text:
    if queue.is_closed:
        return Text("closed by its limit", "yellow")
    if not queue.workers and (queue.ready or queue.limited) and not queue.name.startswith("@"):
        return Text("no worker works on it", "red")
    return Text("" if queue.concurrency is None else f"limit {queue.concurrency:,}", DIM)

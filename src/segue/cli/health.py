"""`segue health`: whether a worker of this machine is alive, for probes that run a command.

Exit codes: 0 one is; 1 none is, or the database does not answer; 2 invalid usage.
"""

from __future__ import annotations

import socket
import sys
from datetime import datetime

import click

from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import print_json, print_line
from segue.client.records import worker_record
from segue.client.views import WorkerInfo
from segue.client.wording import ago


@click.command(short_help="Say whether a worker of this machine is alive.")
@with_setup
@click.argument("name", required=False)
@json_option
@pass_setup
def command(setup: Setup, name: str | None, as_json: bool) -> None:
    """Say whether a worker is alive, as the database knows it: its lease has not expired.

    NAME is the name or id of a worker, as `segue workers` shows it, or the name of a machine; without it, it is this
    machine. The exit code is 0 if a worker is alive and 1 if not. It takes a fraction of a second of processor time:
    for frequent probes use `segue worker --health`.

    \b
    Example:
      segue health
      segue health shop-worker-7:1
    """
    wanted = name or socket.gethostname()
    with setup.segue() as segue:
        now = segue.engine.store.now()
        found = [worker for worker in segue.workers() if is_named(worker, wanted)]
    alive = [worker for worker in found if worker.lease_until >= now]
    if as_json:
        print_json([worker_record(worker) for worker in alive])
    else:
        print_line(_said(wanted, alive, found, now), to_stderr=not alive)
    sys.exit(0 if alive else 1)


def is_named(worker: WorkerInfo, name: str) -> bool:
    """Whether this is the worker's id, its name `host:pid`, or its host."""
    return name in (worker.id, worker.name, worker.name.rpartition(":")[0])


def _said(wanted: str, alive: list[WorkerInfo], found: list[WorkerInfo], now: datetime) -> str:
    if alive:
        newest = max(alive, key=lambda worker: worker.heartbeat_at)
        return f"{newest.name} is {newest.status}, heard of {ago(newest.heartbeat_at, now)}"
    if found:
        newest = max(found, key=lambda worker: worker.heartbeat_at)
        return f"{newest.name} is lost: it was heard of {ago(newest.heartbeat_at, now)}, and its lease has expired"
    return f"no worker of {wanted} is registered; `segue workers` lists those that are"

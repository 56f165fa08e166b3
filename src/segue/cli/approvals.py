"""`segue approvals`: the steps that wait for a message, usually from a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from segue.cli.across import records, with_namespaces
from segue.cli.completing import complete_workflows
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.client.records import wait_record
from segue.client.views import WaitInfo
from segue.model import short_id
from segue.times import ago


@click.command(short_help="List the steps that wait for a message.")
@with_setup
@click.option(
    "--workflow", metavar="NAME", shell_complete=complete_workflows, help="Only steps of this workflow (its full name)."
)
@click.option("--name", metavar="NAME", help="Only steps that wait for a message of this name.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="NUMBER", default=100, show_default=True, help="How many at most."
)
@json_option
@pass_setup
def command(setup: Setup, workflow: str | None, name: str | None, limit: int, as_json: bool) -> None:
    """List the steps that wait for a message (segue.wait_for), those of the oldest runs first.

    `segue send RUN NAME [VALUE]` lets a step continue. With --json: a list of {run, workflow, key, step, step_name,
    name, since, until}.

    \b
    Example:
      segue approvals
      segue approvals --name approved --json
    """
    with setup.segue() as segue:
        waits = segue.approvals.list(workflow=workflow, name=name, limit=limit)
        now = segue.engine.store.now()
    if as_json:
        print_json(records(setup, waits, wait_record))
        return
    out = console()
    if not waits:
        is_filtered = workflow is not None or name is not None
        out.print(Text("No matching step waits for a message." if is_filtered else "No step waits for a message.", DIM))
        return
    put(out, with_namespaces(setup, _table(waits, now), waits))
    if len(waits) == limit:
        out.print(Text(f"only the first {limit:,} are shown; --limit shows more", DIM))
    out.print(Text(setup.follow_up("let one continue with: segue send RUN NAME [VALUE]"), DIM), soft_wrap=True)


def _table(waits: Sequence[WaitInfo], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    table.add_column("run", no_wrap=True)
    table.add_column("workflow", overflow="fold", ratio=1, min_width=10)
    table.add_column("waits for", overflow="fold")
    table.add_column("step", overflow="fold")
    table.add_column("since", no_wrap=True)
    table.add_column("until", no_wrap=True)
    for wait in waits:
        workflow = Text(wait.workflow)
        if wait.key is not None:
            workflow.append(f" {wait.key}", DIM)
        until = Text("forever" if wait.until is None else ago(wait.until, now), DIM)
        since = Text(ago(wait.since, now), DIM)
        table.add_row(short_id(wait.run_id), workflow, Text(wait.name, "bold"), wait.step_name, since, until)
    return table

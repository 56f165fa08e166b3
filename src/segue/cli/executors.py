"""`segue executors`: lists the executors that are polled, and how their platforms are."""

from __future__ import annotations

from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from segue.cli.across import records, with_namespaces
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.cli.wording import STYLES
from segue.client.records import executor_record
from segue.client.views import ExecutorInfo
from segue.times import ago

_PHASES = ("planned", "unsure", "queued", "running")
_SILENT_SECONDS = 300.0


@click.command(short_help="List executors and how their platforms are.")
@with_setup
@json_option
@pass_setup
def command(setup: Setup, as_json: bool) -> None:
    """List the executors such as Slurm, with what is outside, as their dispatchers know it. With --json: objects.

    planned: not submitted yet; unsure: it may have been submitted, and is searched for; queued and running: as the
    platform says.

    \b
    Example:
      segue executors
    """
    with setup.segue() as segue:
        found = list(segue.executors.list())
        now = segue.engine.store.now()
    if as_json:
        print_json(records(setup, found, executor_record))
        return
    out = console()
    if not found:
        hint = "No dispatcher has served an executor. Start one: segue dispatcher -A <module>"
        out.print(Text(setup.follow_up(hint), DIM), soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for name in ("executor", "kind", *_PHASES, "answered", "every", "state"):
        table.add_column(name, no_wrap=name != "state", overflow="fold", justify="right" if name in _PHASES else "left")
    for executor in found:
        counts = [Text(f"{count:,}" if (count := executor.open.get(phase, 0)) else "-") for phase in _PHASES]
        answered = "-" if executor.looked_at is None else ago(executor.looked_at, now)
        pace = executor.pace.get("look_seconds")
        every = f"{pace:g} s" if isinstance(pace, (int, float)) else "-"
        table.add_row(
            executor.name, executor.kind or "-", *counts, Text(answered, DIM), Text(every, DIM), _state(executor, now)
        )
    put(out, with_namespaces(setup, table, found))


def _state(executor: ExecutorInfo, now: datetime) -> Text:
    said = f": {executor.problem}" if executor.problem else ""
    if executor.written_at is None or (now - executor.written_at).total_seconds() > _SILENT_SECONDS:
        return Text("no dispatcher has said anything for 5 min", STYLES["lost"])
    if executor.blind_since is not None:
        return Text(f"has not answered for {_span(executor.blind_since, now)}{said}", STYLES["failed"])
    if executor.busy_since is not None:
        return Text(f"has taken nothing for {_span(executor.busy_since, now)}{said}", STYLES["stopping"])
    return Text("answers", STYLES["succeeded"])


def _span(since: datetime, now: datetime) -> str:
    return ago(since, now).removesuffix(" ago").replace("just now", "a moment")

"""`segue events`: what people did to runs, and alerts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime

import click
import msgspec
from rich.table import Table
from rich.text import Text

from segue.cli.across import records, with_namespaces
from segue.cli.completing import complete_runs
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.client.masked_views import without_secrets
from segue.client.records import event_record
from segue.client.views import ALERTS, EventInfo
from segue.model import short_id
from segue.times import ago

ALERT = "alert"


@click.command(short_help="List what people did to runs, and alerts.")
@with_setup
@click.argument("run_id", metavar="[RUN]", required=False, shell_complete=complete_runs)
@click.option(
    "--kind", "kinds", multiple=True, metavar="KIND",
    help="Only this kind, such as run.paused or step.*; 'alert' for all alerts. Repeatable.",
)  # fmt: skip
@click.option("--by", "actor", metavar="ACTOR", help="Only what this one did: user@host, or the name that was given.")
@click.option("--before", metavar="ID", help="Only those before this event: the next page.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="NUMBER", default=30, show_default=True, help="How many at most."
)
@json_option
@pass_setup
def command(
    setup: Setup, run_id: str | None, kinds: tuple[str, ...], actor: str | None, before: str | None, limit: int,
    as_json: bool,
) -> None:  # fmt: skip
    """List the recorded events of all runs, or of one RUN, the newest first: what people did, and alerts.

    Alerts are run.late_start, run.late_end, run.deadline, step.late_start, step.late_end, step.schedule_to_start and
    schedule.stuck.
    With --json: a list of {id, at, kind, run, workflow, step, step_name, detail}.

    \b
    Example:
      segue events --kind alert
      segue events 4104e24d
      segue events --kind 'run.*' --json
    """
    wanted = [found for kind in kinds for found in (ALERTS if kind == ALERT else (kind,))]
    with setup.segue() as segue:
        about = None if run_id is None else segue.get(run_id).id
        found = segue.events.list(about, kinds=wanted, actor=actor, before=before, limit=limit)
        now = segue.engine.store.now()
    events = [without_secrets(each) for each in found]
    if as_json:
        print_json(records(setup, events, event_record))
        return
    out = console()
    if not events:
        out.print(Text("No such events." if kinds or actor or before else "No events.", DIM))
        return
    put(out, with_namespaces(setup, _table(events, now), events))
    if len(events) == limit:
        words = [
            "segue events",
            *([] if about is None else [about]),
            *(f"--kind {shlex.quote(kind)}" for kind in kinds),
            *([] if actor is None else [f"--by {shlex.quote(actor)}"]),
        ]
        more = setup.follow_up(" ".join([*words, f"--before {events[-1].id}"]))
        out.print(Text(f"older ones: {more}", DIM), soft_wrap=True)


def _table(events: Sequence[EventInfo], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    table.add_column("when", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("run", no_wrap=True)
    table.add_column("about", overflow="fold", ratio=1, min_width=10)
    table.add_column("detail", overflow="fold", ratio=1)
    for event in events:
        about = Text(event.workflow or "")
        if event.step is not None:
            about.append(f" {event.step_name or f'#{event.step}'}", "bold")
        style = "red" if event.kind in ALERTS else ""
        table.add_row(
            Text(ago(event.at, now), DIM), Text(event.kind, style), short_id(event.run_id or ""), about,
            Text(detail_text(event), DIM),
        )  # fmt: skip
    return table


def detail_text(event: EventInfo) -> str:
    """The other facts of an event, on one line."""
    return ", ".join(
        f"{key}={value if isinstance(value, str) else msgspec.json.encode(value).decode()}"
        for key, value in event.detail.items()
    )

"""`segue audit`: who did what over HTTP, and who was refused."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.times import clock_time


@click.command(short_help="List who did what in the web pages and over the API.")
@with_setup
@click.option("--actor", metavar="NAME", help="Only what this person or program did.")
@click.option("--action", metavar="NAME", help="Only this operation, or login.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@click.option("--before", metavar="ID", help="The next page: only entries older than this one.")
@json_option
@pass_setup
def command(setup: Setup, actor: str | None, action: str | None, limit: int, before: str | None, as_json: bool) -> None:
    """List the audit log, the newest entries first: logins, changes over HTTP, and what was refused.

    With --json: a list of objects. What people did to runs, in whatever way, is in `segue events`.

    \b
    Example:
      segue audit --action login
    """
    with setup.segue() as segue:
        found, now = (
            segue.access.audit(actor=actor, action=action, before=before, limit=limit),
            segue.engine.store.now(),
        )
    if as_json:
        print_json([entry.to_dict() for entry in found])
        return
    out = console()
    if not found:
        out.print(Text("No entries.", DIM))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for title in ("when", "who", "role", "action", "target", "outcome", "from"):
        table.add_column(title, overflow="fold")
    for entry in found:
        outcome = entry.reason or "" if entry.ok else f"refused: {entry.reason or ''}"
        who = f"{entry.actor or 'unknown'} ({entry.how})" if entry.how else entry.actor or "unknown"
        table.add_row(
            clock_time(entry.at, now), who, entry.role or "", entry.action, entry.target or "", outcome,
            entry.address or "",
        )  # fmt: skip
    put(out, table)

"""`segue errors`: what failed, by the kind of error."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import click
from rich.table import Table
from rich.text import Text

from segue.cli.durations import duration_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.client.views import ErrorGroup, ErrorGroups, ErrorKind
from segue.masking import masked_text
from segue.model import short_id
from segue.printable import first_line
from segue.times import ago, full_time

BARS = " ▁▂▃▄▅▆▇█"


@click.command(short_help="List what failed, by the kind of error.")
@with_setup
@click.argument("fingerprint", required=False)
@duration_option("--newer-than", default="1d", help="Only failures more recent than this.")
@click.option("--task", metavar="NAME", help="Only those of this task (its full name).")
@click.option("--error-type", metavar="TYPE", help="Only errors of this type.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most.")
@json_option
@pass_setup
def command(
    setup: Setup, fingerprint: str | None, newer_than: float, task: str | None, error_type: str | None, limit: int,
    as_json: bool,
) -> None:  # fmt: skip
    """List the kinds of errors, the most frequent first; or, with a FINGERPRINT, the failures of one kind.

    Errors are of the same kind if their task, type, place and message are the same, apart from numbers, ids, paths and
    quoted texts. Attempts that a retry made good are counted, too. With --json: an object.

    \b
    Example:
      segue errors
      segue errors --task shop.load --newer-than 1h
      segue errors 9f3a7c20b1d4e856
    """
    with setup.segue() as segue:
        now = segue.engine.store.now()
        if fingerprint is not None:
            kind = segue.failures.get(fingerprint, limit=limit)
            if as_json:
                print_json(kind.to_dict())
            else:
                _show(kind, now)
            return
        found = segue.failures.groups(since=now - timedelta(seconds=newer_than), task=task, type=error_type)
    if as_json:
        print_json(found.to_dict() | {"groups": [group.to_dict() for group in found.groups[:limit]]})
        return
    _list(setup, found, found.groups[:limit], now)


def _list(setup: Setup, found: ErrorGroups, groups: Sequence[ErrorGroup], now: datetime) -> None:
    out = console()
    if not groups:
        out.print(Text(f"Nothing failed since {full_time(found.since)}.", DIM))
    else:
        put(out, _table(groups, now))
        out.print(Text(setup.follow_up("runs and traceback of one: segue errors FINGERPRINT"), DIM), soft_wrap=True)
    if found.is_cut:
        text = f"the newest {found.looked_at:,} failed attempts, since {full_time(found.since)}"
        out.print(Text(text, DIM), soft_wrap=True)


def _table(groups: Sequence[ErrorGroup], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    table.add_column("fingerprint", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("last", no_wrap=True)
    table.add_column("task", overflow="fold", min_width=10)
    table.add_column("error", overflow="fold", ratio=1)
    for group in groups:
        error = Text(group.type, "red").append(f": {first_line(masked_text(group.message))}", DIM)
        table.add_row(
            group.fingerprint, f"{group.count:,}", spark(group.buckets), Text(ago(group.last_seen, now), DIM),
            group.task or Text("(deleted)", DIM), error,
        )  # fmt: skip
    return table


def spark(counts: Sequence[int]) -> str:
    """Numbers as small bars."""
    most = max(counts, default=0)
    return "".join(BARS[-(-count * (len(BARS) - 1) // most) if most else 0] for count in counts)


def _show(kind: ErrorKind, now: datetime) -> None:
    out = console()
    counted = f"{kind.count:,}" if kind.count <= 10_000 else "more than 10,000"
    out.print(
        Text(f"{counted} failures, first {ago(kind.first_seen, now)}, last {ago(kind.last_seen, now)}"), soft_wrap=True
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for name in ("when", "run", "workflow", "step", "attempt", "worker"):
        table.add_column(name, no_wrap=name != "workflow", overflow="fold")
    for failure in kind.failures:
        table.add_row(
            Text(ago(failure.at, now), DIM), short_id(failure.run_id), failure.workflow or Text("(deleted)", DIM),
            failure.step_name or f"#{failure.step}", str(failure.attempt), failure.worker,
        )  # fmt: skip
    put(out, table)
    error = kind.failures[0].error if kind.failures else None
    if error is not None:
        out.print(Text(f"\n{error.type}: {masked_text(error.message)}", "red"), soft_wrap=True)
        if error.traceback:
            out.print(Text(masked_text(error.traceback).rstrip(), DIM), soft_wrap=True)

"""The records of a task inside its step, as a table for `segue show --step`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from segue.cli.rendering import DIM
from segue.client.views import CheckpointInfo
from segue.printable import printable, shortened

_LONGEST_VALUE = 60


def checkpoints_table(records: Sequence[CheckpointInfo], now: datetime) -> Table:
    """One line for each record: its number, name, attempt, and value."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=DIM)
    table.add_column("", justify="right")
    table.add_column("checkpoint", overflow="fold")
    table.add_column("attempt", justify="right")
    table.add_column("recorded (UTC)", no_wrap=True)
    table.add_column("value", overflow="ellipsis", no_wrap=True)
    for record in records:
        name = record.name if record.kind == "checkpoint" else f"{record.kind} {record.name}".rstrip()
        recorded = f"{record.started_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(record.number), printable(name), str(record.attempt or "fork"), recorded, _value(record, now))
    return table


def _value(record: CheckpointInfo, now: datetime) -> Text:
    until = "" if record.due_at is None else f" until {record.due_at:%Y-%m-%d %H:%M:%S}"
    if record.kind == "sleep":
        is_over = record.due_at is not None and record.due_at <= now
        return Text(f"slept{until}" if is_over else f"sleeps{until}", DIM if is_over else "cyan")
    if record.finished_at is None:
        return Text(f"waits{until}", "cyan")
    if record.value is None:
        return Text("was not sent in time", "yellow")
    return Text(shortened(record.value, _LONGEST_VALUE))

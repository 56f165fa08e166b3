"""`segue stats`: how many attempts end, how long they take and had waited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import click
from rich.table import Table
from rich.text import Text

from segue.cli.durations import Duration, duration_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.cli.wording import STYLES
from segue.client.views import Series
from segue.times import duration, full_time

LEVELS = "▁▂▃▄▅▆▇█"
NONE = Text("-", DIM)


@click.command(short_help="Show throughput, durations and waiting over time.")
@with_setup
@duration_option("--since", kind=Duration(least=60.0), default="1h", help="How far back.")
@click.option("--by", type=click.Choice(["queue", "task", "all"]), default="queue", help="What a line is about.")
@click.option("--queue", metavar="NAME", help="Only this queue.")
@click.option("--task", metavar="NAME", help="Only this task (its full name).")
@json_option
@pass_setup
def command(
    setup: Setup, since: float, by: str, queue: str | None, task: str | None, as_json: bool
) -> None:  # fmt: skip
    """Show how many attempts ended and how many of them failed, how long they took and had been ready before.

    Workers write these numbers every ten seconds. Minutes are kept for two days, and hours for 90 days. Half of the
    attempts took less than p50, and 95 percent less than p95; both are estimates. With --json: one object.

    \b
    Example:
      segue stats
      segue stats --since 1d --by task --queue mail
    """
    with setup.segue() as segue:
        found = segue.statistics(
            since=timedelta(seconds=since), by=None if by == "all" else by, queue=queue, task=task
        )  # fmt: skip
    if as_json:
        print_json(found.to_dict())
        return
    out = console()
    if not any(series.attempts for series in found.series):
        out.print(Text(f"No attempt has ended since {full_time(found.since)}, as far as is known.", DIM))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    columns = (
        by if by != "all" else "",
        "over time",
        "attempts",
        "per second",
        "failed",
        "p50",
        "p95",
        "wait p50",
        "p95",
    )
    for index, name in enumerate(columns):
        table.add_column(name, no_wrap=True, overflow="fold", justify="left" if index < 2 else "right")
    for series in found.series:
        table.add_row(*_row(series, "all" if by == "all" else "(not known)"))
    put(out, table)


def sparkline(numbers: Sequence[float]) -> str:
    """The numbers as a row of bars: the highest is the largest number, and only 0 has the lowest."""
    most = max(numbers, default=0)
    if most <= 0:
        return LEVELS[0] * len(numbers)
    last = len(LEVELS) - 1
    return "".join(LEVELS[max(min(int(number / most * len(LEVELS)), last), 1) if number else 0] for number in numbers)


def _row(series: Series, nameless: str) -> list[str | Text]:
    return [
        series.name or Text(nameless, DIM), sparkline(series.attempts_over_time),
        f"{series.attempts:,}", f"{series.per_second:.3g}", _share(series), _time(series.p50_seconds),
        _time(series.p95_seconds), _time(series.p50_waited), _time(series.p95_waited),
    ]  # fmt: skip


def _share(series: Series) -> Text:
    if not series.failed or series.failure_ratio is None:
        return NONE
    return Text(f"{series.failure_ratio * 100:.2g} %", STYLES["failed"])


def _time(seconds: float | None) -> str | Text:
    return NONE if seconds is None else duration(seconds)

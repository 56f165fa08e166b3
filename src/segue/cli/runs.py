"""`segue runs`: lists runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from segue.cli.across import records, with_namespaces
from segue.cli.completing import complete_runs
from segue.cli.filters import filter_options, typed
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.reasons import main_reasons, reason_word, resting
from segue.cli.rendering import DIM, bar
from segue.cli.wording import status_text
from segue.client import Run, Segue
from segue.client.argument_masking import ArgumentMasker
from segue.client.pages import is_by_failure, place_after
from segue.client.views import MOST_LOOKED_AT, Reason, RunInfo
from segue.client.without_secrets import shown_run
from segue.model import FINAL_STEP_STATUSES, StepStatus, short_id
from segue.times import ago, duration, full_time

WIDE = 80  # from this many columns on, a run that goes on has a bar
BAR_CELLS = 10
Counts = Mapping[StepStatus, int]


@click.command(short_help="List runs, the newest first.")
@with_setup
@filter_options
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="NUMBER", default=20, show_default=True, help="How many at most."
)
@click.option(
    "--before", metavar="RUN", shell_complete=complete_runs, help="The next page: only runs older than this one."
)
@json_option
@pass_setup
def command(setup: Setup, filters: dict[str, Any], limit: int, before: str | None, as_json: bool) -> None:
    """List runs, the newest first. With --json: a list of objects.

    The first column is the short id, the end of the id; every command accepts it. --json has the whole ids. A run that
    waits shows for what, such as "sleeping" or "no worker", instead of its status.

    With --status failed alone, or with --failed-since, the latest failure is the first. A search that no index
    answers looks at 20,000 runs, says how far it came, and shows how to go on.

    \b
    Example:
      segue runs --status failed --limit 5
      segue runs --tag backfill --meta customer=42 --newer-than 2d
    """
    with setup.segue() as segue:
        page = segue.pages(cursor=_cursor(segue, before, filters), limit=limit, **filters)
        runs = page.runs
        counts = {run.id: Run(segue.engine, run.id).counts() for run in runs if as_json or not run.status.is_final}
        now = segue.engine.store.now()
        reasons = {} if as_json else main_reasons(setup, segue, resting(runs, counts))
        if as_json:
            masker = ArgumentMasker(segue)
            print_json(records(setup, runs, lambda run: shown_run(masker, run, counts[run.id])))
            return
    out = console()
    if not runs and page.next is None:
        out.print(Text("No runs." if not (filters or before) else "No matching runs.", DIM))
        return
    if runs:
        put(out, with_namespaces(setup, runs_table(runs, counts, now, width=out.width, reasons=reasons), runs))
    if page.next is not None:
        last = page.next if page.looked_back_to else short_id(runs[-1].id)
        more = " ".join(["segue runs", f"--before {last}", *([typed(filters)] if filters else [])])
        words = "older ones"
        if page.looked_back_to is not None:
            words = f"looked through {MOST_LOOKED_AT:,} runs, back to {full_time(page.looked_back_to)}; to go on"
        out.print(Text(f"{words}: {setup.follow_up(more)}", DIM), soft_wrap=True)


def _cursor(segue: Segue, before: str | None, filters: dict[str, Any]) -> str | None:
    """Where to go on: after a run, or at a place that an earlier list gave."""
    if before is None or "~" in before:
        return before
    return place_after(segue.get(before).info(), by_failure=is_by_failure(filters))


def runs_table(
    runs: Sequence[RunInfo], counts: Mapping[str, Counts], now: datetime, *, width: int,
    reasons: Mapping[str, Reason] | None = None,
) -> Table:  # fmt: skip
    """One line for each run. A run with a reason shows that instead of its status."""
    reasons = reasons or {}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    table.add_column("run", no_wrap=True)
    table.add_column("workflow", overflow="fold", ratio=1, min_width=10)
    table.add_column("status", no_wrap=True)
    table.add_column("created", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("steps", justify="right", no_wrap=True)
    for run in runs:
        steps, line = _steps(run, counts.get(run.id))
        name = Text(run.workflow)
        if run.key is not None:
            name.append(f" {run.key}", DIM)
        status = reason_word(reasons[run.id]) if run.id in reasons else status_text(run.status.value)
        if line is not None and width >= WIDE + BAR_CELLS:
            status.append(" ").append_text(line)
        table.add_row(short_id(run.id), name, status, Text(ago(run.created_at, now), DIM), _time(run, now), steps)
    return table


def _steps(run: RunInfo, counts: Counts | None) -> tuple[str, Text | None]:
    if counts is None or run.status.is_final:
        return f"{run.steps:,}", None
    total = sum(counts.values())
    if not total:  # a debounced run, which is planned when its window ends
        return "", None
    done = sum(count for status, count in counts.items() if status in FINAL_STEP_STATUSES)
    return f"{done:,}/{total:,}", bar(done, total, cells=BAR_CELLS)


def _time(run: RunInfo, now: datetime) -> str:
    if run.started_at is None:
        return ""
    return duration(((run.finished_at or now) - run.started_at).total_seconds())

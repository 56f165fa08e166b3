"""`segue schedules list|show|next|ticks`: the schedules, their next ticks, and what happened to past ticks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from segue.cli.across import records, with_namespaces
from segue.cli.completing import complete_schedules
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.cli.wording import STYLES, status_text
from segue.client.records import in_zone, schedule_record, tick_record, tick_times
from segue.client.views import ScheduleInfo, TickInfo
from segue.model import short_id
from segue.times import ago, duration

TICKS_SHOWN = 5
ROOM_FOR_BOTH = 100  # columns for the next tick in UTC and in the schedule's own time zone
_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")  # of a run, in a reason


@click.command("list", short_help="List the schedules.")
@with_setup
@click.option("--workflow", metavar="NAME", help="Only those that start this workflow or task (its full name).")
@json_option
@pass_setup
def list_command(setup: Setup, workflow: str | None, as_json: bool) -> None:
    """List the schedules: the next tick of each, in UTC and in its own time zone, and the outcome of its last tick.

    With --json: a list of objects.

    \b
    Example:
      segue schedules list
    """
    with setup.segue() as segue:
        found = segue.schedules.list(workflow=workflow)
        now = segue.engine.store.now()
    if as_json:
        print_json(records(setup, found, schedule_record))
        return
    out = console()
    if not found:
        out.print(Text("There are no schedules. Declare one, @workflow(schedule='0 2 * * *'), or add one:", DIM))
        out.print(
            Text(setup.follow_up("  segue schedules create NAME WORKFLOW --schedule '0 2 * * *'"), DIM), soft_wrap=True
        )
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    is_wide = out.width >= ROOM_FOR_BOTH  # otherwise there is no room for the next tick in the schedule's own time zone
    for title in ("name", "when", "next (UTC)", *(["there"] if is_wide else []), "last"):
        table.add_column(title, no_wrap=title not in ("name", "when"), overflow="fold")
    for each in found:
        table.add_row(each.name, each.description, *_next(each)[: 2 if is_wide else 1], _last(each.last, now))
    put(out, with_namespaces(setup, table, found))
    for each in found:
        if each.problem is not None:
            out.print(Text(f"{each.name}: {setup.follow_up(each.problem)}", "red"), soft_wrap=True)


@click.command("show", short_help="Show a schedule.")
@with_setup
@click.argument("name", metavar="NAME", shell_complete=complete_schedules)
@json_option
@pass_setup
def show_command(setup: Setup, name: str, as_json: bool) -> None:
    """Show a schedule, its policies, its last ticks and the next ones.

    With --json: the object of `list`, with `next` and `ticks`.

    \b
    Example:
      segue schedules show nightly
    """
    with setup.segue() as segue:
        each = segue.schedules.get(name)
        upcoming = segue.schedules.next(name, TICKS_SHOWN)
        ticks = segue.schedules.ticks(name, limit=TICKS_SHOWN)
        now = segue.engine.store.now()
    if as_json:
        following = [tick_times(tick, each.timezone) for tick in upcoming]
        print_json(schedule_record(each) | {"next": following, "ticks": [tick_record(tick) for tick in ticks]})
        return
    out = console()
    for label, value in _facts(each, now):
        out.print(Text(f"{label:<10} ", DIM).append_text(Text(value)), soft_wrap=True)
    if each.problem is not None:
        out.print(Text(setup.follow_up(each.problem), "red"), soft_wrap=True)
    past = ticks_table(ticks, each.timezone)
    for title, table in (("last ticks", past), ("next ticks", _upcoming(upcoming, each))):
        if table.row_count:
            out.print(Text(f"\n{title}", DIM))
            put(out, table)


@click.command("next", short_help="Show the next ticks.")
@with_setup
@click.argument("name", metavar="NAME", shell_complete=complete_schedules)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=1, max=1000),
    metavar="NUMBER",
    default=5,
    show_default=True,
    help="How many at most.",
)
@json_option
@pass_setup
def next_command(setup: Setup, name: str, count: int, as_json: bool) -> None:
    """Show the next ticks of a schedule, in UTC and in its own time zone.

    With --json: a list of {tick, local}.

    \b
    Example:
      segue schedules next nightly -n 10
    """
    with setup.segue() as segue:
        each = segue.schedules.get(name)
        ticks = segue.schedules.next(name, count)
    if as_json:
        print_json([tick_times(tick, each.timezone) for tick in ticks])
    elif not ticks:
        console().print(Text(f"It {'' if each.is_active else 'is inactive, and '}has no next tick.", DIM))
    else:
        put(console(), _upcoming(ticks, each))


@click.command("ticks", short_help="Show what happened to past ticks.")
@with_setup
@click.argument("name", metavar="NAME", shell_complete=complete_schedules)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="NUMBER", default=20, show_default=True, help="How many at most."
)
@json_option
@pass_setup
def ticks_command(setup: Setup, name: str, limit: int, as_json: bool) -> None:
    """Show what happened to the ticks of a schedule, the newest first.

    With --json: a list of {tick, status, reason, run, run_status, decided_at}.

    \b
    Example:
      segue schedules ticks nightly --limit 100
    """
    with setup.segue() as segue:
        each = segue.schedules.get(name)
        ticks = segue.schedules.ticks(name, limit=limit)
    if as_json:
        print_json([tick_record(tick) for tick in ticks])
    elif not ticks:
        console().print(Text("It has not ticked yet.", DIM))
    else:
        out = console()
        put(out, ticks_table(ticks, each.timezone))


def ticks_table(ticks: Sequence[TickInfo], timezone: str) -> Table:
    """Ticks and what happened to them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for title in ("tick (UTC)", "there", "status", "run"):
        table.add_column(title, no_wrap=title != "run", overflow="fold")
    for tick in ticks:
        run = (
            Text(short_id(tick.run_id))
            if tick.run_id is not None
            else Text(_ID.sub(lambda found: short_id(found[0]), tick.reason or ""), DIM)
        )
        table.add_row(_utc(tick.tick), local(tick.tick, timezone), _fate(tick), run)
    return table


def local(moment: datetime, timezone: str) -> str:
    """A time as clocks in a zone show it, with the zone's abbreviation."""
    return f"{in_zone(moment, timezone):%a %Y-%m-%d %H:%M:%S %Z}"


def _next(each: ScheduleInfo) -> tuple[Text, Text]:
    if not each.is_active:
        return Text("inactive", STYLES["skipped"]), Text("")
    if each.next_tick is None:
        return Text("never again", DIM), Text("")
    return Text(_utc(each.next_tick)), Text(local(each.next_tick, each.timezone))


def _last(tick: TickInfo | None, now: datetime) -> Text:
    if tick is None:
        return Text("-", DIM)
    return _fate(tick).append(f"  {ago(tick.decided_at or tick.tick, now)}", DIM)


def _fate(tick: TickInfo) -> Text:
    """The status of the run that a tick started, or the tick's own status."""
    if tick.status == "started":
        return status_text(tick.run_status) if tick.run_status is not None else Text("started, run pruned", DIM)
    return Text(tick.status, STYLES["skipped"] if tick.status == "skipped" else STYLES["pending"])


def _facts(each: ScheduleInfo, now: datetime) -> list[tuple[str, str]]:
    window = "" if each.catch_up_window is None else f", within {duration(each.catch_up_window)}"
    told = [
        ("schedule", f"{each.name}{'' if each.is_active else '  (inactive)'}"),
        ("starts", f"{each.workflow}{_arguments(each)}"),
        ("when", each.description + (f"  ({each.expression})" if each.expression not in each.description else "")),
        ("overlap", each.overlap),
        ("catch-up", f"{each.catch_up}{window}"),
        ("made by", f"{each.source}, changed {ago(each.updated_at, now)}"),
    ]
    if each.jitter:
        told.insert(3, ("jitter", f"up to {duration(each.jitter)} late"))
    if each.tags:
        told.append(("tags", ", ".join(each.tags)))
    return told


def _arguments(each: ScheduleInfo) -> str:
    args, kwargs = each.arguments
    words = [repr(value) for value in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
    return f"({', '.join(words)})" if words else ""


def _upcoming(ticks: Sequence[datetime], each: ScheduleInfo) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for title in ("tick (UTC)", "there"):
        table.add_column(title, no_wrap=True)
    for tick in ticks:
        table.add_row(_utc(tick), local(tick, each.timezone))
    return table


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"

"""`segue schedules create|update|activate|deactivate|remove|run|backfill`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import click
from rich.text import Text

from segue.authoring import Element
from segue.cli.application import find_work
from segue.cli.completing import complete_schedules, complete_work
from segue.cli.durations import Duration, duration_option
from segue.cli.options import AnyCallable, Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.cli.schedule_looking import local, ticks_table
from segue.cli.start import by_name, positional, tell_started
from segue.cli.who import Who, who_option
from segue.client.records import schedule_record, tick_record
from segue.client.views import ScheduleInfo
from segue.client.wording import counted
from segue.errors import ConfigError
from segue.model import CatchUp, Overlap
from segue.timetable.zones import zone_named

TICKS_TOLD = 50  # ticks of a backfill that are listed; further ones are only counted
NONE = "none"  # a value that removes a bound
_MAY_BE_NONE = ("starts_at", "ends_at", "catch_up_window")


def when_options(*, is_new: bool) -> Callable[[AnyCallable], AnyCallable]:
    """The options for the times and policies of a schedule; the function receives them as `**when`.

    An option that is not given has a default if the schedule `is_new`; otherwise it stays as it is.
    """

    def default(value: str) -> str:
        return f" [default: {value}]" if is_new else ""

    options = (
        click.option(
            "--schedule", required=is_new, metavar="WHEN", help="Cron ('0 2 * * *'), '@daily', or 'every 15 minutes'."
        ),
        click.option("--timezone", metavar="ZONE", help=f"An IANA name, such as Europe/Paris.{default('UTC')}"),
        click.option("--starts-at", metavar="MOMENT", help="It does not tick before this, in its time zone."),
        click.option("--ends-at", metavar="MOMENT", help="It does not tick after this, in its time zone."),
        duration_option("--jitter", help="Start each tick late by up to this; a tick's delay is always the same."),
        click.option(
            "--overlap", type=click.Choice([word.value for word in Overlap]),
            help=f"What a tick does while an earlier run has not ended.{default('skip')}",
        ),
        click.option(
            "--catch-up", type=click.Choice([word.value for word in CatchUp]),
            help=f"Which missed ticks start after an outage.{default('latest')}",
        ),
        duration_option(
            "--catch-up-window", kind=Duration(above=True, word=NONE), help="Do not catch up ticks older than this."
        ),
        click.option("--tag", "tags", multiple=True, metavar="TAG", help="Given to its runs (repeatable)."),
    )  # fmt: skip

    def with_options(function: AnyCallable) -> AnyCallable:
        for option in reversed(options):
            function = option(function)
        return function

    return with_options


@click.command("create", short_help="Create a schedule.")
@with_setup
@click.argument("name", metavar="NAME")
@click.argument("workflow", metavar="WORKFLOW", shell_complete=complete_work)
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@click.option("--arg", "named", multiple=True, metavar="KEY=VALUE", help="A keyword argument (repeatable).")
@when_options(is_new=True)
@click.option("--inactive", is_flag=True, help="Create it switched off; `activate` switches it on.")
@who_option
@json_option
@pass_setup
def create_command(
    setup: Setup, /, name: str, workflow: str, arguments: tuple[str, ...], named: tuple[str, ...],
    inactive: bool, as_json: bool, who: Who, **when: Any,
) -> None:  # fmt: skip
    """Create a schedule that starts WORKFLOW with these arguments; both are read as by `segue start`.

    One required parameter may be left out: it receives the tick, as the date in the schedule's time zone. With --json:
    the schedule as in `list`.

    \b
    Example:
      segue schedules create -A shop.tasks reports nightly --schedule '0 2 * * *' --timezone Europe/Paris
      segue schedules create -A shop.tasks poll poll north --schedule 'every 30s' --overlap queue_one
    """
    setup.import_apps()
    work = _with_arguments(find_work(workflow), arguments, named)
    options = _changes(when, "UTC")
    with setup.segue() as segue:
        each = segue.schedules.create(name, work, active=not inactive, **options, **who)
    _print_schedule(each, as_json=as_json)


@click.command("update", short_help="Change a schedule.")
@with_setup
@click.argument("name", metavar="NAME", shell_complete=complete_schedules)
@when_options(is_new=False)
@who_option
@json_option
@pass_setup
def update_command(setup: Setup, /, name: str, as_json: bool, who: Who, **when: Any) -> None:
    """Change the given options; `none` removes a bound or window. If the ticks change, they continue from now.

    A schedule that the code declares is changed in the code. With --json: the schedule as in `list`.

    \b
    Example:
      segue schedules update reports --schedule '30 2 * * *' --ends-at none
    """
    with setup.segue() as segue:
        changes = _changes(when, segue.schedules.get(name).timezone)
        if not changes:
            raise click.UsageError("No change was given.")
        each = segue.schedules.update(name, **changes, **who)
    _print_schedule(each, as_json=as_json)


@click.command("activate", short_help="Switch a schedule on.")
@with_setup
@click.argument("name", metavar="NAME", shell_complete=complete_schedules)
@who_option
@json_option
@pass_setup
def activate_command(setup: Setup, name: str, as_json: bool, who: Who) -> None:
    """Switch a schedule on. The ticks that passed while it was off are not caught up; see backfill.

    \b
    Example:
      segue schedules activate reports
    """
    with setup.segue() as segue:
        each = segue.schedules.activate(name, **who)
    _print_schedule(each, as_json=as_json)


@click.command("deactivate", short_help="Switch a schedule off.")
@with_setup
@click.argument("name", metavar="NAME", shell_complete=complete_schedules)
@who_option
@json_option
@pass_setup
def deactivate_command(setup: Setup, name: str, as_json: bool, who: Who) -> None:
    """Switch a schedule off until it is activated. Running runs continue; queued ticks start nothing.

    A schedule that the code declares also stays off, even when workers restart.

    \b
    Example:
      segue schedules deactivate reports
    """
    with setup.segue() as segue:
        each = segue.schedules.deactivate(name, **who)
    _print_schedule(each, as_json=as_json)


@click.command("remove", short_help="Remove a schedule.")
@with_setup
@click.argument("name", metavar="NAME", shell_complete=complete_schedules)
@who_option
@json_option
@pass_setup
def remove_command(setup: Setup, name: str, as_json: bool, who: Who) -> None:
    """Remove a schedule; its runs stay. A schedule that the code declares comes back when a worker starts.

    \b
    Example:
      segue schedules remove reports
    """
    with setup.segue() as segue:
        is_declared = segue.schedules.get(name).source == "code"
        segue.schedules.remove(name, **who)
    if as_json:
        print_json({"name": name, "did": "remove"})
        return
    console().print(Text(f"{name} is removed"))
    if is_declared:
        console().print(
            Text("The code declares it, so a worker that starts brings it back. To switch it off, deactivate it.", DIM)
        )


@click.command("run", short_help="Start a run of a schedule now.")
@with_setup
@click.argument("name", metavar="NAME", shell_complete=complete_schedules)
@click.option("--key", help="A second start of this schedule with the same key starts nothing and shows the first run.")
@who_option
@json_option
@pass_setup
def run_command(setup: Setup, name: str, key: str | None, as_json: bool, who: Who) -> None:
    """Start a run of a schedule now, also while others of it run; its tick is the current time.

    A workflow must be known here: name its module with -A. With --json: {run}.

    \b
    Example:
      segue schedules run -A shop.tasks reports
    """
    setup.import_apps()
    with setup.segue() as segue:
        run = segue.schedules.run_now(name, key=key, **who)
    if as_json:
        print_json({"run": run.id})
    else:
        tell_started(setup, run)


@click.command("backfill", short_help="Start missing ticks of the past.")
@with_setup
@click.argument("name", metavar="NAME", shell_complete=complete_schedules)
@click.option("--since", required=True, metavar="MOMENT", help="The first: 2026-11-01, or '2026-11-01 02:00'.")
@click.option("--until", required=True, metavar="MOMENT", help="The last; a date includes the whole day.")
@click.option("--dry-run", is_flag=True, help="Only show what would start.")
@click.option(
    "--overlap", type=click.Choice([Overlap.QUEUE_ALL.value, Overlap.ALLOW.value]),
    help="One after another, or all at the same time. [default: as the schedule, or queue_all]",
)  # fmt: skip
@who_option
@json_option
@pass_setup
def backfill_command(
    setup: Setup,
    name: str,
    since: str,
    until: str,
    dry_run: bool,
    overlap: str | None,
    as_json: bool,
    who: Who,
) -> None:
    """Start the ticks of a past period that have not started a run yet. Times without a zone are in the schedule's.

    With --json: a list of {tick, status, reason, run, run_status, decided_at}; of a dry run the status is "planned".

    \b
    Example:
      segue schedules backfill reports --since 2026-11-01 --until 2026-11-19 --dry-run
    """
    setup.import_apps()
    with setup.segue() as segue:
        zone = segue.schedules.get(name).timezone
        last = min(_moment("--until", until, zone, is_end=True), segue.engine.store.now())
        ticks = segue.schedules.backfill(
            name, _moment("--since", since, zone), last, dry_run=dry_run, overlap=overlap, **who
        )
    if as_json:
        print_json([tick_record(tick) for tick in ticks])
        return
    out = console()
    if ticks:
        put(out, ticks_table(ticks[:TICKS_TOLD], zone))
    if len(ticks) > TICKS_TOLD:
        out.print(Text(f"… {len(ticks) - TICKS_TOLD:,} more", DIM))
    if dry_run:
        planned = sum(tick.status == "planned" for tick in ticks)
        out.print(Text(f"{counted(planned, 'tick')} would start; without --dry-run they do.", DIM))
    elif not ticks:
        out.print(Text("It has no ticks in this period.", DIM))


def _with_arguments(work: Any, words: tuple[str, ...], named: tuple[str, ...]) -> Any:
    if not words and not named:
        return work
    if isinstance(work, Element):
        raise ConfigError(f"{work!r} has its arguments already; leave them out.")
    return work.s(*positional(work, words), **by_name(work, named))


def _changes(when: dict[str, Any], zone: str) -> dict[str, Any]:
    """The given options, as keyword arguments of `create` and `update`."""
    zone = when.get("timezone") or zone
    changes = {name: value for name, value in when.items() if value not in (None, ())}
    for name, value in changes.items():
        if value == NONE and name in _MAY_BE_NONE:
            changes[name] = None
        elif name in ("starts_at", "ends_at"):
            changes[name] = _moment(_option(name), value, zone, is_end=name == "ends_at")
    return changes


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _moment(option: str, text: str, zone: str, *, is_end: bool = False) -> datetime:
    """A date or time as typed. Without a zone it is in `zone`; a date means its beginning, or its end with `is_end`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        said = f"{text!r} is not a date or time; write 2026-11-20, or '2026-11-20 02:00'."
        raise click.BadParameter(said, param_hint=f"'{option}'") from None
    if is_end and len(text) <= len("2026-11-20"):
        moment += timedelta(days=1, microseconds=-1)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone_named(zone))


def _print_schedule(each: ScheduleInfo, *, as_json: bool) -> None:
    if as_json:
        print_json(schedule_record(each))
        return
    following = "inactive" if each.next_tick is None else f"next {local(each.next_tick, each.timezone)}"
    console().print(Text(f"{each.name}: {each.workflow}, {each.description}; {following}"), soft_wrap=True)

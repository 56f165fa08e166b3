"""`segue limits`: how many may run at the same time, how often they may start, and how keys share a queue."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from segue.cli.across import records, with_namespaces
from segue.cli.completing import complete_limits
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.cli.usage import Commands
from segue.cli.who import Who, who_option
from segue.client.records import limit_record
from segue.client.views import LimitInfo, ShareInfo
from segue.errors import SegueError
from segue.model import DEFAULT_QUEUE


@click.group(cls=Commands, short_help="See and set limits, rates and weights.")
def command() -> None:
    """See and set limits, rates and weights. NAME is task:NAME, queue:NAME, workflow:NAME, or the name of a Limit.

    \b
    Example:
      segue limits list
      segue limits set queue:net --concurrency 10
      segue limits set mail --rate 100/min --burst 20
      segue limits weight gold 3 --queue net
    """


@command.command("list", short_help="List limits, the places taken, and the steps that wait.")
@with_setup
@click.option("--shares", is_flag=True, help="Also list the keys that share queues, with their weights.")
@json_option
@pass_setup
def list_(setup: Setup, shares: bool, as_json: bool) -> None:
    """List limits, how many of their places are taken, and how many steps or runs wait. With --json: an object.

    \b
    Example:
      segue limits list --shares
    """
    with setup.segue() as segue:
        limits = segue.limits.list()
        keys = segue.limits.shares() if shares else []
    if as_json:
        print_json({"limits": records(setup, limits, limit_record), "shares": records(setup, keys, limit_record)})
        return
    out = console()
    if limits:
        put(out, with_namespaces(setup, _limits_table(limits), limits))
    else:
        out.print(
            Text(setup.follow_up("No limits. Set one: segue limits set queue:NAME --concurrency 10"), DIM),
            soft_wrap=True,
        )
    if keys:
        put(out, Text(), with_namespaces(setup, _shares_table(keys), keys))


@command.command("set", short_help="Set the size of a limit.")
@with_setup
@click.argument("name", shell_complete=complete_limits)
@click.option("--concurrency", type=int, metavar="PLACES", help="How many may run at the same time; 0: none.")
@click.option("--rate", metavar="RATE", help="How many may start in a period: 10/s, 100/min, 5/30s.")
@click.option("--burst", type=float, metavar="STARTS", help="How many unused starts may accumulate.")
@who_option
@json_option
@pass_setup
def set_(
    setup: Setup,
    name: str,
    concurrency: int | None,
    rate: str | None,
    burst: float | None,
    as_json: bool,
    who: Who,
) -> None:
    """Set the size of a limit; it overrides the code. Workers use it within about a second.

    \b
    Example:
      segue limits set task:shop.fetch --concurrency 4
    """
    with setup.segue() as segue:
        segue.limits.set(name, concurrency=concurrency, rate=rate, burst=burst, **who)
        found = next((each for each in segue.limits.list() if each.name == name), None)
    if as_json:
        print_json(None if found is None else limit_record(found))
    elif found is not None:
        console().print(Text(f"{name}: {_size(found)}"), soft_wrap=True)


@command.command("remove", short_help="Remove a limit.")
@with_setup
@click.argument("name", shell_complete=complete_limits)
@who_option
@json_option
@pass_setup
def remove(setup: Setup, name: str, as_json: bool, who: Who) -> None:
    """Remove a limit. The value in the code applies again when a worker or a run that uses the limit starts.

    \b
    Example:
      segue limits remove queue:net
    """
    with setup.segue() as segue:
        removed = segue.limits.remove(name, **who)
    if not removed:
        raise SegueError(f"There is no limit {name!r}. `segue limits list` lists the limits.")
    if as_json:
        print_json({"name": name, "did": "remove"})
    else:
        console().print(Text(f"{name} is removed"), soft_wrap=True)


@command.command("weight", short_help="Set the weight of a key in a queue.")
@with_setup
@click.argument("key")
@click.argument("weight", type=float, required=False)
@click.option(
    "--queue", metavar="NAME", default=DEFAULT_QUEUE, show_default=True, help="The queue that it shares with others."
)
@who_option
@json_option
@pass_setup
def weight_(setup: Setup, key: str, weight: float | None, queue: str, as_json: bool, who: Who) -> None:
    """Set the weight of a key (of fair_by) in a queue; other keys have weight 1. Without WEIGHT: as in the code.

    \b
    Example:
      segue limits weight gold 3 --queue net
    """
    with setup.segue() as segue:
        segue.limits.weight(key, weight, queue=queue, **who)
    if as_json:
        print_json({"queue": queue, "key": key, "weight": weight})
        return
    told = "has the weight from the code" if weight is None else f"has the weight {weight:g}"
    console().print(Text(f"{key} {told} on queue {queue}"), soft_wrap=True)


def _size(limit: LimitInfo) -> str:
    parts = [] if limit.concurrency is None else [f"{limit.concurrency} at once"]
    if limit.rate is not None:
        burst = "" if limit.burst is None else f" (burst {limit.burst:g})"
        parts.append(f"{limit.rate:g} in {limit.period:g} s{burst}")
    return ", ".join(parts)


def _limits_table(limits: list[LimitInfo]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for name in ("limit", "size", "taken", "keys", "waiting", "set by"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("taken", "keys", "waiting") else "left")
    for limit in limits:
        table.add_row(
            limit.name, _size(limit), f"{limit.used:,}", f"{limit.keys:,}", f"{limit.waiting:,}",
            Text(limit.source, DIM),
        )  # fmt: skip
    return table


def _shares_table(shares: list[ShareInfo]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for name in ("queue", "key", "weight", "served"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("queue", "key") else "right")
    for share in shares:
        table.add_row(
            share.queue, share.key, "" if share.weight is None else f"{share.weight:g}", f"{share.served:,.1f}"
        )
    return table

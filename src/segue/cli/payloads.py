"""`segue payloads`: values that lie in a payload store, and the deletion of those that no run uses."""

from __future__ import annotations

import click
from rich.text import Text

from segue.cli.durations import Duration, duration_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, say_now
from segue.cli.usage import Commands
from segue.client.wording import counted

_grace = duration_option(
    "--grace",
    kind=Duration(),
    default="24h",
    help="How much older than a day a payload must be; longer than any outage of the database.",
)


@click.group(cls=Commands, short_help="Count and delete values in the payload store.")
def command() -> None:
    """Count and delete values that lie in the payload store, which SEGUE_PAYLOADS names.

    \b
    Example:
      segue payloads count
      segue payloads sweep
    """


@command.command("count", short_help="Count them.")
@with_setup
@json_option
@pass_setup
def count_command(setup: Setup, as_json: bool) -> None:
    """Count the payloads that the database knows. With --json: {payloads, bytes, unused}.

    The bytes are those of the values, before they are compressed. Needs no access to the store.

    \b
    Example:
      segue payloads count
    """
    with setup.segue() as segue:
        found = segue.payloads.count()
    if as_json:
        print_json(found._asdict())
        return
    said = f"{counted(found.payloads, 'payload')} of {found.bytes / 2**20:,.1f} MiB, {found.unused:,} used by no run"
    console().print(Text(said), soft_wrap=True)


@command.command("sweep", short_help="Delete now what no run uses.")
@with_setup
@_grace
@click.option("--strays", is_flag=True, help="Also what no run has ever used, because its process died.")
@click.option("--list", "only_list", is_flag=True, help="With --strays: list these, and delete nothing.")
@json_option
@pass_setup
def sweep_command(setup: Setup, grace: float, strays: bool, only_list: bool, as_json: bool) -> None:
    """Delete now the payloads that no run uses any more. With --json: {deleted, strays}.

    The process that does the chores deletes them anyway, about once a minute. With --strays the whole store is listed,
    and what the database does not know is deleted, too: use it only if no other database has its payloads there.

    \b
    Example:
      segue payloads sweep
      segue payloads sweep --strays --list
    """
    if only_list and not strays:
        raise click.UsageError("--list lists strays: add --strays.")
    with setup.segue() as segue:
        setup.import_apps(required=False)
        deleted = 0 if only_list else segue.payloads.sweep(grace=grace)
        found = segue.payloads.strays(grace=grace) if strays else []
        if not only_list:
            segue.payloads.delete_strays(found)
    if as_json:
        print_json({"deleted": deleted, "strays": found})
        return
    if only_list:
        for reference in found:
            click.echo(reference)
        say_now(f"{counted(len(found), 'payload')} of no run, and nothing deleted")
        return
    console().print(Text(f"{counted(deleted + len(found), 'payload')} deleted"))

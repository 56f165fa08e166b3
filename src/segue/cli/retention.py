"""`segue retention`: how long runs that have ended are kept."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from segue.cli.across import records, with_namespaces
from segue.cli.durations import Duration, duration_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.rendering import DIM
from segue.cli.usage import Commands
from segue.cli.who import Who, who_option
from segue.client.records import rule_record
from segue.client.retention import BUILT_IN, Rule
from segue.client.wording import counted
from segue.errors import SegueError
from segue.model import FINAL_RUN_STATUSES
from segue.times import duration

FOR_EVER = "forever"


_of_workflow = click.option("--workflow", default="", metavar="NAME", help="For this workflow (its full name). [all]")
_of_status = click.option(
    "--status",
    default="",
    type=click.Choice(["", *sorted(status.value for status in FINAL_RUN_STATUSES)]),
    metavar="STATUS",
    help="For runs with this final status: succeeded, failed or cancelled. [all]",
)


@click.group(cls=Commands, short_help="Set how long runs are kept.")
def command() -> None:
    """Set how long runs that have ended are kept. The most specific rule applies; without a rule it is 30 days.

    \b
    Example:
      segue retention set --max-age 90d
      segue retention set --workflow shop.tasks.poll --max-age 1d --max-count 1000
      segue retention list
    """


@command.command("list", short_help="List the rules.")
@with_setup
@json_option
@pass_setup
def list_command(setup: Setup, as_json: bool) -> None:
    """List the rules. With --json: a list of {workflow, status, max_age_seconds, max_count}.

    \b
    Example:
      segue retention list
    """
    with setup.segue() as segue:
        rules = segue.retention.list()
    if as_json:
        print_json(records(setup, rules, rule_record))
        return
    out = console()
    if not any((rule.workflow, rule.status) == ("", "") for rule in rules):
        rules = [BUILT_IN, *rules]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=DIM)
    for title in ("workflow", "status", "kept for", "at most"):
        table.add_column(title, overflow="fold")
    for rule in rules:
        table.add_row(*(Text(word, DIM) if word == "all" else word for word in _words(rule)))
    put(out, with_namespaces(setup, table, rules))


@command.command("set", short_help="Create or change a rule.")
@with_setup
@_of_workflow
@_of_status
@duration_option("--max-age", kind=Duration(word=FOR_EVER), required=True, help="How long a run is kept after its end.")
@click.option(
    "--max-count", type=click.IntRange(min=0), metavar="NUMBER", help="The newest runs of each workflow. [any number]"
)
@who_option
@json_option
@pass_setup
def set_command(
    setup: Setup,
    workflow: str,
    status: str,
    max_age: float | str,
    max_count: int | None,
    as_json: bool,
    who: Who,
) -> None:
    """Create or change a rule. With --json: the rule as in `list`.

    \b
    Example:
      segue retention set --max-age 90d
      segue retention set --workflow shop.tasks.invoice --status failed --max-age forever
    """
    with setup.segue() as segue:
        kept = None if isinstance(max_age, str) else max_age
        rule = segue.retention.set(workflow, status, max_age=kept, max_count=max_count, **who)
    if as_json:
        print_json(rule_record(rule))
        return
    _, _, age, most = _words(rule)
    which = (rule.workflow or "all workflows", rule.status or "all statuses")
    console().print(
        Text(f"{', '.join(which)}: kept for {age}" + (f", at most {most}" if max_count is not None else "")),
        soft_wrap=True,
    )


@command.command("remove", short_help="Remove a rule.")
@with_setup
@_of_workflow
@_of_status
@who_option
@json_option
@pass_setup
def remove_command(setup: Setup, workflow: str, status: str, as_json: bool, who: Who) -> None:
    """Remove a rule, so that a more general one applies. With --json: {removed}.

    \b
    Example:
      segue retention remove --workflow shop.tasks.poll
    """
    with setup.segue() as segue:
        removed = segue.retention.remove(workflow, status, **who)
    if not removed:
        raise SegueError("There is no such rule. `segue retention list` lists the rules.")
    if as_json:
        print_json({"removed": removed})
    else:
        console().print(Text("The rule is removed."))


@command.command("sweep", short_help="Delete now what is due.")
@with_setup
@json_option
@pass_setup
def sweep_command(setup: Setup, as_json: bool) -> None:
    """Delete now what is due by the rules, in small transactions. With --json: {deleted}.

    The process that does the chores deletes it anyway, about once a minute.

    \b
    Example:
      segue retention sweep
    """
    with setup.segue() as segue:
        deleted = segue.retention.sweep()
    if as_json:
        print_json({"deleted": deleted})
    else:
        console().print(Text(f"{counted(deleted, 'run, tick or event', 'runs, ticks and events')} deleted"))


def _words(rule: Rule) -> tuple[str, str, str, str]:
    kept = "ever" if rule.max_age is None else duration(rule.max_age).removesuffix(" 0 h")
    most = "any number" if rule.max_count is None else counted(rule.max_count, "run")
    return rule.workflow or "all", rule.status or "all", kept, most

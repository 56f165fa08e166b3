"""`segue edit`: gives a step other arguments."""

from __future__ import annotations

from typing import Any

import click

from segue.authoring import tasks
from segue.cli.bulk import this_person
from segue.cli.one_step import reason_option, run_argument, say_to_step, step_argument
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.start import by_name, positional
from segue.client import Run
from segue.client.step import editing
from segue.engine.verbs import Verb


@click.command(short_help="Give a step other arguments.")
@with_setup
@run_argument
@step_argument
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@click.option("--arg", "named", multiple=True, metavar="KEY=VALUE", help="A keyword argument (repeatable).")
@reason_option
@json_option
@pass_setup
def command(
    setup: Setup, run_id: str, step: str, arguments: tuple[str, ...], named: tuple[str, ...], reason: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Give the STEP of this name or number other arguments: one that has not begun, or one to be retried.

    The ARGUMENTs take the place of all positional ones that it had; --arg sets a single one by its name, however it
    had been given. Each is read as `segue start` reads its own; with -A they are read as the task annotates them, and
    checked. With --json: {id, status, changed, step, name, step_status}. Exit code 1 when the step runs, or succeeded.

    \b
    Example:
      segue edit 019ab3 'load[3]' s3://bucket/other.csv --arg chunk=500
      segue retry 019ab3
    """
    if not arguments and not named:
        raise click.UsageError(
            "Give the new arguments: ARGUMENT... for the positional ones, --arg KEY=VALUE for others."
        )
    setup.import_apps()

    def verb(run: Run) -> Verb:
        args, kwargs = new_arguments(run, step, arguments, named)
        return editing(step, args, kwargs, actor=this_person(), reason=reason)

    say_to_step(setup, run_id, step, verb, participle="has other arguments", as_json=as_json, when_over="retry")


def new_arguments(
    run: Run, step: str, arguments: tuple[str, ...], named: tuple[str, ...]
) -> tuple[list[Any], dict[str, Any]]:
    """Words of the command line as arguments for a step, by the annotations of its task if that is known here."""
    task = tasks.get(run.step(step).info().task or "")
    return positional(task, arguments), by_name(task, named)

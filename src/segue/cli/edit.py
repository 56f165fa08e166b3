"""`segue edit`: changes the arguments of a step."""

from __future__ import annotations

from typing import Any

import click

from segue.authoring import tasks
from segue.cli.bulk import this_person
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.start import by_name, positional
from segue.cli.step_verbs import reason_option, run_argument, say_to_step, step_argument
from segue.client import Run
from segue.client.step import editing
from segue.client.verbs import Verb


@click.command(short_help="Change the arguments of a step.")
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
    """Change the arguments of the STEP of this name or number: one that has not begun, or one to be retried.

    The ARGUMENTs replace all positional arguments that it had; --arg sets one argument by its name, even if it was
    passed by position. Each is read as `segue start` reads its arguments; with -A they are converted by the task's
    annotations, and checked. With --json: {id, status, changed, step, name, step_status}. Exit code 1 if the step is
    running, or succeeded.

    \b
    Example:
      segue edit 4104e24d 'load[3]' s3://bucket/other.csv --arg chunk=500
      segue retry 4104e24d
    """
    if not arguments and not named:
        raise click.UsageError(
            "Give the new arguments: ARGUMENT... for the positional ones, --arg KEY=VALUE for others."
        )
    setup.import_apps()

    def verb(run: Run) -> Verb:
        args, kwargs = new_arguments(run, step, arguments, named)
        return editing(step, args, kwargs, actor=this_person(), reason=reason)

    say_to_step(setup, run_id, step, verb, participle="has new arguments", as_json=as_json, when_over="retry")


def new_arguments(
    run: Run, step: str, arguments: tuple[str, ...], named: tuple[str, ...]
) -> tuple[list[Any], dict[str, Any]]:
    """Words of the command line as arguments of a step, converted by its task's annotations, if it is known."""
    task = tasks.get(run.step(step).info().task or "")
    return positional(task, arguments), by_name(task, named)

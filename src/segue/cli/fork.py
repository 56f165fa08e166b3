"""`segue fork`: starts a new run from a step of another run."""

from __future__ import annotations

import click

from segue.cli.bulk import this_person
from segue.cli.edit import new_arguments
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import print_json
from segue.cli.start import metadata_of, tell_started
from segue.cli.step_verbs import reason_option, run_argument, step_argument
from segue.client.argument_masking import ArgumentMasker
from segue.client.without_secrets import shown_run


@click.command(short_help="Start a new run from a step of another.")
@with_setup
@run_argument
@step_argument
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@click.option("--arg", "named", multiple=True, metavar="KEY=VALUE", help="A keyword argument (repeatable).")
@click.option("--key", help="A second fork with the same key starts nothing and shows the run that has it.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A word to find the new run by (repeatable).")
@click.option(
    "--meta",
    "metadata",
    multiple=True,
    metavar="KEY=VALUE",
    help="Stored with the new run, to find it by (repeatable).",
)
@reason_option
@json_option
@pass_setup
def command(
    setup: Setup, run_id: str, step: str, arguments: tuple[str, ...], named: tuple[str, ...], key: str | None,
    tags: tuple[str, ...], metadata: tuple[str, ...], reason: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Start a new run that takes over the work of RUN and differs from the STEP of this name or number on.

    In the new run, the STEP, all steps below it and all steps that have not succeeded start from the beginning. RUN
    itself does not change, and may still be running. ARGUMENTs and --arg are new arguments for the STEP, as for `segue
    edit`. With --json: the new run as an object, as `segue runs` prints it, and `is_new`, false if a run had the key
    already.

    \b
    Example:
      segue fork 4104e24d train --arg rate=0.1 --key rate-0.1
    """
    setup.import_apps()
    with setup.segue() as segue:
        run = segue.get(run_id)
        args, kwargs = new_arguments(run, step, arguments, named)
        made = run.fork(
            step, args=args or None, kwargs=kwargs, key=key, tags=tags, metadata=metadata_of(metadata),
            actor=this_person(), reason=reason,
        )  # fmt: skip
        info = made.info()
        counts = made.counts()
        if as_json:
            print_json(shown_run(ArgumentMasker(segue), info, counts) | {"is_new": made.is_new})
            return
    tell_started(setup, made, key)

"""`segue cancel`: ends runs."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import BulkVerb, RunArguments, apply_verb, bulk_options
from segue.cli.options import Setup, pass_setup, with_setup
from segue.client.verbs import LIVE, Done, cancel_run
from segue.model import RunStatus


@click.command(short_help="Cancel runs.")
@with_setup
@bulk_options
@pass_setup
def command(setup: Setup, arguments: RunArguments) -> None:
    """Cancel runs: steps that have not begun never will, running steps are ended, finalizers still run.

    A run that has ended stays as it is; a paused run continues to its end. Name runs by their ids, or select them by
    filters. With --json: a list of {id, status, changed} or {id, error}. Exit code 1 if a run was not found.

    \b
    Example:
      segue cancel 4104e24d 1fbecb5c
      segue cancel --workflow shop.nightly --older-than 2d --dry-run
    """
    apply_verb(
        setup,
        arguments,
        BulkVerb(
            "cancel",
            "cancelled",
            partial(cancel_run, actor=arguments.actor, reason=arguments.reason),
            among=LIVE,
            remark=_remark,
        ),
    )


def _remark(done: Done) -> str:
    if RunStatus(done.status).is_final:
        return "" if done.changed else "no change: it has ended"
    return "ending: running steps are asked to stop" if done.changed else "no change: it is ending already"

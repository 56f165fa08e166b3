"""`segue resume`: continues paused runs."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import BulkVerb, RunArguments, apply_verb, bulk_options
from segue.cli.options import Setup, pass_setup, with_setup
from segue.client.verbs import Done, resume_run
from segue.model import RunStatus


@click.command(short_help="Continue paused runs.")
@with_setup
@bulk_options
@pass_setup
def command(setup: Setup, arguments: RunArguments) -> None:
    """Resume paused runs: they continue exactly where they were paused. Runs that are not paused stay as they are.

    Name runs by their ids, or select them by filters. With --json: a list of {id, status, changed} or {id, error}. Exit
    code 1 if a run was not found.

    \b
    Example:
      segue resume 4104e24d
      segue resume --workflow shop.nightly --tag backfill
    """
    verb = partial(resume_run, actor=arguments.actor, reason=arguments.reason)
    apply_verb(setup, arguments, BulkVerb("resume", "resumed", verb, among=(RunStatus.PAUSED,), remark=_remark))


def _remark(done: Done) -> str:
    return "" if done.changed else "no change: not paused"

"""`segue resume`: lets paused runs go on."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import Asked, Saying, bulk_options, say
from segue.cli.options import Setup, pass_setup, with_setup
from segue.engine.control import Done, resume_run
from segue.model import RunStatus


@click.command(short_help="Let paused runs go on.")
@with_setup
@bulk_options
@pass_setup
def command(setup: Setup, asked: Asked) -> None:
    """Resume paused runs: they go on exactly where they were paused. Those that are not paused stay as they are.

    Name runs by their ids, or choose them by filters. With --json: a list of {id, status, changed} or {id, error}. Exit
    code 1 when a run was not found.

    \b
    Example:
      segue resume 019ab3
      segue resume --workflow shop.nightly --tag backfill
    """
    verb = partial(resume_run, actor=asked.actor, reason=asked.reason)
    say(setup, asked, Saying("resume", "resumed", verb, among=(RunStatus.PAUSED,), remark=_remark))


def _remark(done: Done) -> str:
    return "" if done.changed else "it was not paused"

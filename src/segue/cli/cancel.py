"""`segue cancel`: ends runs."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import Asked, Saying, bulk_options, say
from segue.cli.options import Setup, pass_setup, with_setup
from segue.engine.control import Done, cancel_run
from segue.engine.verbs import LIVE
from segue.model import RunStatus


@click.command(short_help="End runs.")
@with_setup
@bulk_options
@pass_setup
def command(setup: Setup, asked: Asked) -> None:
    """End runs: what has not begun never will, what runs is ended, finalizers still run.

    A run that is over stays as it is; one that is paused goes on, to its end. Name runs by their ids, or choose them by
    filters. With --json: a list of {id, status, changed} or {id, error}. Exit code 1 when a run was not found.

    \b
    Example:
      segue cancel 019ab3 019ab4
      segue cancel --workflow shop.nightly --older-than 2d --dry-run
    """
    say(
        setup,
        asked,
        Saying(
            "cancel",
            "cancelled",
            partial(cancel_run, actor=asked.actor, reason=asked.reason),
            among=LIVE,
            remark=_remark,
        ),
    )


def _remark(done: Done) -> str:
    if RunStatus(done.status).is_final:
        return "" if done.changed else "it was over already"
    return "it is ending: what runs is asked to stop" if done.changed else "it is ending already"

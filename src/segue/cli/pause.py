"""`segue pause`: lets nothing new of runs start."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import Asked, Saying, bulk_options, say
from segue.cli.options import Setup, pass_setup, with_setup
from segue.engine.control import Done, pause_run
from segue.engine.verbs import LIVE
from segue.model import RunStatus


@click.command(short_help="Let nothing new of runs start.")
@with_setup
@bulk_options
@click.option("--stop-running", is_flag=True, help="End what runs, too; it starts again when the run is resumed.")
@pass_setup
def command(setup: Setup, asked: Asked, stop_running: bool) -> None:
    """Pause runs: nothing new of them starts until `segue resume`. What runs goes on, unless --stop-running ends it.

    What was ended starts again with the same arguments, and that is not counted as a try. Name runs by their ids, or
    choose them by filters. With --json: a list of {id, status, changed} or {id, error}. Exit code 1 when a run was not
    found.

    \b
    Example:
      segue pause 019ab3 --stop-running
      segue pause --workflow shop.nightly --tag backfill --reason 'the warehouse is down'
    """
    verb = partial(pause_run, stop_running=stop_running, actor=asked.actor, reason=asked.reason)
    say(setup, asked, Saying("pause", "paused", verb, among=LIVE, remark=_remark))


def _remark(done: Done) -> str:
    if done.changed:
        return ""
    return "it was paused already" if done.status == RunStatus.PAUSED else "it was over already"

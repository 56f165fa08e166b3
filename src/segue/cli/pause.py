"""`segue pause`: pauses runs."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import BulkVerb, RunArguments, apply_verb, bulk_options
from segue.cli.options import Setup, pass_setup, with_setup
from segue.client.verbs import LIVE, Done, pause_run
from segue.model import RunStatus


@click.command(short_help="Pause runs: start nothing new.")
@with_setup
@bulk_options
@click.option("--stop-running", is_flag=True, help="Also end running steps; they start again after a resume.")
@pass_setup
def command(setup: Setup, arguments: RunArguments, stop_running: bool) -> None:
    """Pause runs: no step of them starts until `segue resume`. Running steps continue, unless --stop-running ends them.

    Steps that were ended start again with the same arguments; this does not count as a try. Name runs by their ids, or
    select them by filters. With --json: a list of {id, status, changed} or {id, error}. Exit code 1 if a run was not
    found.

    \b
    Example:
      segue pause 4104e24d --stop-running
      segue pause --workflow shop.nightly --tag backfill --reason 'the warehouse is down'
    """
    verb = partial(pause_run, stop_running=stop_running, actor=arguments.actor, reason=arguments.reason)
    apply_verb(
        setup,
        arguments,
        BulkVerb("pause", "paused", verb, among=LIVE, remark=_remark, options={"stop_running": stop_running}),
    )


def _remark(done: Done) -> str:
    if done.changed:
        return ""
    return "no change: already paused" if done.status == RunStatus.PAUSED else "no change: it has ended"

"""`segue retry`: runs failed steps again."""

from __future__ import annotations

import click

from segue.cli.bulk import BulkVerb, RunArguments, apply_verb, bulk_options
from segue.cli.completing import complete_steps
from segue.cli.options import Setup, pass_setup, with_setup
from segue.client.step import retrying
from segue.client.verbs import RETRIED, Done
from segue.model import RunStatus


@click.command(short_help="Run failed steps again.")
@with_setup
@bulk_options
@click.option(
    "--from",
    "step",
    metavar="STEP",
    shell_complete=complete_steps,
    help="Rerun this step and all below it, even if they succeeded.",
)
@click.option("--fresh", is_flag=True, help="Let tasks forget their checkpoints, and run from scratch.")
@pass_setup
def command(setup: Setup, arguments: RunArguments, step: str | None, fresh: bool) -> None:
    """Retry runs: every step that failed or was cancelled runs again, then the steps after it. Succeeded steps stay.

    Arguments stay the same; `segue edit` changes those of a step. A run that succeeded is left as it is. With --from,
    the STEP of this name or number and all steps below it run again instead, including those that succeeded. A task
    that failed goes on from its checkpoints, unless --fresh; one that had succeeded always runs from scratch.

    Name runs by their ids, or select them by filters; without --status, filters select only failed runs. With --json: a
    list of {id, status, changed} or {id, error}. Exit code 1 if a run was not found, or its state does not allow it.

    \b
    Example:
      segue retry 4104e24d
      segue retry 4104e24d --from 'load[3]'
      segue retry --workflow shop.nightly --newer-than 1d --error-type TimeoutError
    """
    verb = retrying(step, fresh=fresh, actor=arguments.actor, reason=arguments.reason)
    among = tuple(RunStatus) if "status" in arguments.filters else RETRIED
    apply_verb(
        setup,
        arguments,
        BulkVerb("retry", "retried", verb, among=among, remark=_remark, options={"step": step, "fresh": fresh}),
    )


def _remark(done: Done) -> str:
    if done.changed:
        return ""
    return "no change: it succeeded" if done.status == RunStatus.SUCCEEDED else "no change: nothing failed in it"

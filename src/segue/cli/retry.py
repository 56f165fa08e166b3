"""`segue retry`: runs what failed again."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import Asked, Saying, bulk_options, say
from segue.cli.options import Setup, pass_setup, with_setup
from segue.client.selection import RETRIED
from segue.client.step import retrying_from
from segue.engine.reopening.retry import retry_run
from segue.engine.verbs import Done, Verb
from segue.model import RunStatus


@click.command(short_help="Run again what failed.")
@with_setup
@bulk_options
@click.option("--from", "step", metavar="STEP", help="This step and everything below it, also what succeeded.")
@pass_setup
def command(setup: Setup, asked: Asked, step: str | None) -> None:
    """Retry runs: every step that failed or was cancelled runs again, then what comes after it. What succeeded stays.

    Arguments are as they were; `segue edit` gives a step others. A run that succeeded is left as it is. With --from,
    the STEP of this name or number and everything below it run again instead, also what succeeded.

    Name runs by their ids, or choose them by filters; those choose failed runs only, unless --status says otherwise.
    With --json: a list of {id, status, changed} or {id, error}. Exit code 1 when a run was not found, or its state does
    not allow it.

    \b
    Example:
      segue retry 019ab3
      segue retry 019ab3 --from 'load[3]'
      segue retry --workflow shop.nightly --newer-than 1d --error-type TimeoutError
    """
    verb: Verb = partial(retry_run, actor=asked.actor, reason=asked.reason)
    if step is not None:
        verb = retrying_from(step, actor=asked.actor, reason=asked.reason)
    among = tuple(RunStatus) if "status" in asked.filters else RETRIED
    say(setup, asked, Saying("retry", "retried", verb, among=among, remark=_remark))


def _remark(done: Done) -> str:
    if done.changed:
        return ""
    return "it succeeded" if done.status == RunStatus.SUCCEEDED else "nothing failed in it"

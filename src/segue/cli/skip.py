"""`segue skip`: skips a step."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import this_person
from segue.cli.options import Setup, pass_setup, with_setup
from segue.cli.step_verbs import say_to_step, step_options
from segue.client.verbs import skip_step


@click.command(short_help="Skip a step.")
@with_setup
@step_options
@pass_setup
def command(setup: Setup, run_id: str, step: str, reason: str | None, as_json: bool) -> None:
    """Skip the STEP of this name or number: one that has not begun, or one that failed or was cancelled.

    Its join rule decides each step that depends on it, as when a task raises Skip; a run that had ended continues. With
    --json: {id, status, changed, step, name, step_status}. Exit code 1 if the step is running, or succeeded.

    \b
    Example:
      segue skip 4104e24d 'load[3]' --reason 'the file is empty'
    """
    verb = partial(skip_step, step=step, actor=this_person(), reason=reason)
    say_to_step(setup, run_id, step, lambda _: verb, participle="skipped", as_json=as_json)

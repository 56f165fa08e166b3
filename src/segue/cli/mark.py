"""`segue mark`: sets the result of a step."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import this_person
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.start import value_of
from segue.cli.step_verbs import reason_option, run_argument, say_to_step, step_argument
from segue.client.step import result_text
from segue.client.verbs import mark_step


@click.command(short_help="Set the result of a step.")
@with_setup
@run_argument
@step_argument
@click.argument("result", required=False)
@reason_option
@json_option
@pass_setup
def command(setup: Setup, run_id: str, step: str, result: str | None, reason: str | None, as_json: bool) -> None:
    """Make the STEP of this name or number succeeded with this RESULT: a step that has not begun, waits for a message,
    failed, was cancelled or was skipped.

    The RESULT is JSON; a text that is not valid JSON is a string; without RESULT it is null. Steps below it that were
    skipped or failed are planned again, and a run that had ended continues. With --json: {id, status, changed, step,
    name, step_status}. Exit code 1 if the step is running, or succeeded with another result.

    \b
    Example:
      segue mark 4104e24d 'load[3]' '{"rows": 0}'
    """
    text = result_text(None if result is None else value_of(result))
    verb = partial(mark_step, step=step, result=text, actor=this_person(), reason=reason)
    say_to_step(setup, run_id, step, lambda _: verb, participle="marked as succeeded", as_json=as_json)

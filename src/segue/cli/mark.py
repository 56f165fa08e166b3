"""`segue mark`: gives a step a result."""

from __future__ import annotations

from functools import partial

import click

from segue.cli.bulk import this_person
from segue.cli.one_step import reason_option, run_argument, say_to_step, step_argument
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.start import value_of
from segue.client.step import result_text
from segue.engine.reopening.by_hand import mark_step


@click.command(short_help="Give a step a result.")
@with_setup
@run_argument
@step_argument
@click.argument("result", required=False)
@reason_option
@json_option
@pass_setup
def command(setup: Setup, run_id: str, step: str, result: str | None, reason: str | None, as_json: bool) -> None:
    """Let the STEP of this name or number have succeeded with this RESULT: one that has not begun, waits for a message,
    or failed, was cancelled or skipped.

    The RESULT is JSON, and what is not valid JSON is taken as a string; without one it is null. What was skipped or
    failed below the step comes back, and a run that had ended goes on. With --json: {id, status, changed, step, name,
    step_status}. Exit code 1 when the step runs, or succeeded with another result.

    \b
    Example:
      segue mark 019ab3 'load[3]' '{"rows": 0}'
    """
    text = result_text(None if result is None else value_of(result))
    verb = partial(mark_step, step=step, result=text, actor=this_person(), reason=reason)
    say_to_step(setup, run_id, step, lambda _: verb, participle="marked as succeeded", as_json=as_json)

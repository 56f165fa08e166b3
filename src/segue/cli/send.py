"""`segue send`: sends a message to a run."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.text import Text

from segue.cli.completing import complete_runs
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json
from segue.cli.start import value_of
from segue.client import Run
from segue.client.views import Sent
from segue.model import Gate, StepStatus


@click.command(short_help="Send a message to a run.")
@with_setup
@click.argument("run_id", metavar="RUN", shell_complete=complete_runs)
@click.argument("name")
@click.argument("value", required=False)
@click.option("--key", help="A message with the same name and key is sent only once.")
@json_option
@pass_setup
def command(setup: Setup, run_id: str, name: str, value: str | None, key: str | None, as_json: bool) -> None:
    """Send a message to a RUN. A step that waits for this NAME takes it, now or later.

    The VALUE becomes the result of that step. It is JSON; a text that is not valid JSON is a string; without VALUE it
    is null. With --json: {run, name, step, is_new}; `step` is null until a step has taken it. Exit code 1 if the run
    has ended.

    \b
    Example:
      segue send 4104e24d approved
      segue send 4104e24d approved '{"by": "ann"}' --key ticket-17
    """
    with setup.segue() as segue:
        run = segue.get(run_id)
        sent = run.send(name, None if value is None else value_of(value), key=key)
        awaited = [] if sent.step is not None or as_json else _awaited(run)
    if as_json:
        print_json({"run": sent.run_id, "name": sent.name, "step": sent.step, "is_new": sent.is_new})
        return
    console().print(Text.assemble((sent.run_id, "bright_black"), "  ", _answer(sent, awaited)), soft_wrap=True)


def _awaited(run: Run) -> list[str]:
    """The messages for which steps of the run wait."""
    waiting = run.steps(status=StepStatus.READY)
    return sorted({step.event for step in waiting if step.gate == Gate.EVENT and step.event is not None})


def _answer(sent: Sent, awaited: Sequence[str]) -> str:
    if not sent.is_new:
        what = "is kept until a step waits for it" if sent.step is None else f"was taken by {sent.step}"
        return f"{sent.name!r} was sent before under this key, and {what}; nothing was changed"
    if sent.step is None:
        others = f". Steps of this run wait for {', '.join(map(repr, awaited))}" if awaited else ""
        return f"no step waits for {sent.name!r}; it is kept until a step does{others}"
    return f"{sent.step} took {sent.name!r}"

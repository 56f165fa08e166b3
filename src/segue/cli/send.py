"""`segue send`: sends a message to a run."""

from __future__ import annotations

import click
from rich.text import Text

from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json
from segue.cli.start import value_of
from segue.engine.sending import Sent


@click.command(short_help="Send a message to a run.")
@with_setup
@click.argument("run_id", metavar="RUN")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--key", help="A message with the same name and key is sent once, however often this is typed.")
@json_option
@pass_setup
def command(setup: Setup, run_id: str, name: str, value: str | None, key: str | None, as_json: bool) -> None:
    """Send a message to a RUN. The step that waits for this NAME takes it, or the first one that will.

    The VALUE becomes that step's result. It is JSON, and what is not valid JSON is taken as a string; without one it is
    null. With --json: {run, name, step, is_new}; `step` is null while no step has taken it. Exit code 1 when the run is
    over.

    \b
    Example:
      segue send 019ab3 approved
      segue send 019ab3 approved '{"by": "ann"}' --key ticket-17
    """
    with setup.segue() as segue:
        sent = segue.send(run_id, name, None if value is None else value_of(value), key=key)
    if as_json:
        print_json({"run": sent.run_id, "name": sent.name, "step": sent.step, "is_new": sent.is_new})
        return
    console().print(Text.assemble((sent.run_id, "bright_black"), "  ", _said(sent)), soft_wrap=True)


def _said(sent: Sent) -> str:
    if not sent.is_new:
        what = "is kept until a step waits for it" if sent.step is None else f"was taken by {sent.step}"
        return f"{sent.name!r} was sent before under this key, and {what}; nothing was done"
    if sent.step is None:
        return f"no step waits for {sent.name!r}; it is kept until one does"
    return f"{sent.step} took {sent.name!r}"

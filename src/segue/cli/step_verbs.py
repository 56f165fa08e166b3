"""Verbs for one step of a run: `segue skip`, `mark` and `edit` share their arguments and their report."""

from __future__ import annotations

from collections.abc import Callable

import click
from rich.text import Text

from segue.cli.completing import complete_runs, complete_steps
from segue.cli.options import AnyCallable, Setup, json_option
from segue.cli.printing import console, print_json
from segue.cli.wording import status_text
from segue.client import Run
from segue.client.verbs import Verb, say_to
from segue.model import RunStatus

run_argument = click.argument("run_id", metavar="RUN", shell_complete=complete_runs)
step_argument = click.argument("step", shell_complete=complete_steps)
reason_option = click.option("--reason", metavar="TEXT", help="Why; recorded together with who did it.")


def step_options(function: AnyCallable) -> AnyCallable:
    """Give a command RUN, STEP, --reason and --json."""
    for option in (json_option, reason_option, step_argument, run_argument):
        function = option(function)
    return function


def say_to_step(
    setup: Setup, run_id: str, step: str, make: Callable[[Run], Verb], *, participle: str, as_json: bool,
    when_over: str | None = None,
) -> None:  # fmt: skip
    """Apply the verb that `make` returns for the run, and print the outcome. If the run has ended nevertheless, also
    print `when_over`, the command to type next.
    """
    with setup.segue() as segue:
        run = segue.get(run_id)
        verb, engine = make(run), segue.engine
        done = say_to(engine, verb, run.id)
        info = run.step(step).info()
    if as_json:
        record = {"id": run.id, "status": done.status, "changed": done.changed}
        print_json(record | {"step": info.step, "name": info.name, "step_status": info.status})
        return
    said = f"{info.name} {participle}" if done.changed else f"{info.name}: no change"
    words = Text.assemble((run.id, "bright_black"), "  ", status_text(done.status), f"  {said}")
    console().print(words, soft_wrap=True)
    if when_over is not None and RunStatus(done.status).is_final:
        console().print(Text("  " + setup.follow_up(f"segue {when_over} {run.id}"), "bright_black"), soft_wrap=True)

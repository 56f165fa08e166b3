"""`segue result`: prints the result of a run."""

from __future__ import annotations

import click

from segue.authoring import encode
from segue.cli.completing import complete_runs
from segue.cli.durations import duration_option
from segue.cli.options import Setup, pass_setup, with_setup
from segue.cli.printing import say_json
from segue.errors import NotFinishedError, RunFailedError
from segue.model import short_id


@click.command(short_help="Print the result of a run as JSON.")
@with_setup
@click.argument("run_id", metavar="RUN", shell_complete=complete_runs)
@click.option("--json", is_flag=True, expose_value=False, help="Print JSON, which it always does.")
@click.option("--wait", is_flag=True, help="Wait for the end of the run.")
@duration_option("--timeout", help="How long to wait; implies --wait.", otherwise="forever")
@pass_setup
def command(setup: Setup, run_id: str, wait: bool, timeout: float | None) -> None:
    """Print the result of a run as JSON; exit code 1 if it has none, because it failed or has not ended.

    \b
    Example:
      segue result 4104e24d --wait --timeout 60
    """
    with setup.segue() as segue:
        run = segue.get(run_id)
        if wait or timeout is not None:
            run.wait(timeout)
        try:
            say_json(encode(run.result()))
        except NotFinishedError as error:
            short = short_id(run.id)
            raise NotFinishedError(f"Run {short} has not ended. Wait for it: segue result {short} --wait") from error
        except RunFailedError as error:
            raise RunFailedError(f"{error}. See: segue show {short_id(run.id)} --attempts") from error

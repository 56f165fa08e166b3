"""`segue logs`: prints what a step has printed, and with --follow what it prints, at whatever executor it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import click

from segue.cli.completing import complete_runs, complete_steps
from segue.cli.durations import Duration, duration_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import print_json
from segue.client.masked_views import without_secrets
from segue.client.views import OutputInfo
from segue.errors import SegueError
from segue.output import print_line
from segue.printable import added, printable


@click.command(short_help="Print what a step prints.")
@with_setup
@click.argument("run_id", metavar="RUN", shell_complete=complete_runs)
@click.argument("step", metavar="STEP", shell_complete=complete_steps)
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="This attempt. [default: the latest]")
@click.option("--follow", "-f", is_flag=True, help="Go on until the step has ended, also with its next attempts.")
@duration_option("--every", kind=Duration(least=0.1), default="2s", help="With --follow: how often it is read.")
@json_option
@pass_setup
def command(
    setup: Setup, run_id: str, step: str, attempt: int | None, follow: bool, every: float, as_json: bool
) -> None:  # fmt: skip
    """Print the end of what an attempt at a STEP of RUN has printed. STEP is a name or a number.

    While the step runs on a worker, the worker is asked to write it; a step at an executor such as Slurm is asked for
    there, and -A names the module that makes the executor. Afterwards the end of the output is in the database.

    \b
    Example:
      segue logs 4104e24d fold --follow -A shop.tasks
    """
    if as_json and follow:
        raise click.UsageError("--json prints one object; leave out --follow.")
    setup.import_apps()
    with setup.segue() as segue:
        run = segue.get(run_id)
        ask = partial(segue.executors.output, run.id, step, attempt=attempt)
        before = OutputInfo(0, "", False, False)
        while True:
            found = _asked(ask, before, follow=follow)
            if as_json:
                print_json({"attempt": found.attempt, "output": found.text, "is_over": found.is_over})
                return
            _put(before, found)
            if not follow or found.step_is_over or (attempt is not None and found.is_over):
                return
            before = found
            time.sleep(every)


def _asked(ask: Callable[[], OutputInfo], before: OutputInfo, *, follow: bool) -> OutputInfo:
    """The output now; while it is followed, an executor that does not answer is asked again."""
    try:
        return without_secrets(ask())
    except SegueError as error:
        if not follow or before.attempt == 0:
            raise
        return without_secrets(OutputInfo(before.attempt, before.text, False, False, str(error)))


def _put(before: OutputInfo, found: OutputInfo) -> None:
    if found.problem is not None and found.problem != before.problem:
        print_line(printable(found.problem), to_stderr=True)
    if before.attempt not in (0, found.attempt):
        print_line(f"--- attempt {found.attempt} ---", to_stderr=True)
    sys.stdout.write(printable(added(before.text if before.attempt == found.attempt else "", found.text)))
    sys.stdout.flush()

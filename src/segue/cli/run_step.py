"""`segue run-step`: runs one step whose job lies in a spool. The jobs of executors call it.

Exit codes: 0 the outcome was left in the spool, whatever it is; 2 the job cannot be read; 82 another process has the
attempt.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from segue.cli.durations import Duration, duration_option
from segue.cli.options import Setup, pass_setup, with_setup
from segue.worker.spooled import run_spooled


@click.command(short_help="Run one step from a spool: what the jobs of executors call.")
@with_setup
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@duration_option(
    "--grace-seconds",
    kind=Duration(least=0),
    default="10s",
    help="How long the task may go on after a SIGTERM.",
)
@pass_setup
def command(setup: Setup, folder: Path, grace_seconds: float) -> None:
    """Run the step whose job is in FOLDER, and leave its outcome there. It needs no database.

    Executors such as Slurm call this in their jobs. It is also the way to repeat by hand what a job did: copy its
    folder, and remove the files "begun" and "outcome.json" from the copy.

    \b
    Example:
      segue run-step /shared/segue/segue-agp7q3nmz5ykjlhkx6ptrc2gfa
    """
    setup.import_apps()
    sys.exit(run_spooled(folder, grace_seconds=grace_seconds))

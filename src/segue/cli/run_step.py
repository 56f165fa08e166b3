"""`segue run-step`: runs one step that an executor has taken to its platform. The jobs of executors call it.

Exit codes: 0 how the step ended is recorded, or left in the spool, whatever it is; 1 with --exit-like-task, it did not
succeed; 2 the job cannot be read; 82 another process has the attempt, or it is over; 83 the database could not be
reached for too long.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import click

from segue.cli.durations import Duration, duration_option
from segue.cli.logging_options import LogOptions, with_log_options
from segue.cli.options import Setup, pass_setup, with_setup
from segue.worker.pushed import How, run_pushed
from segue.worker.spooled import run_spooled


@click.command(short_help="Run one step: what the jobs of executors call.")
@with_setup
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--push", "push_id", metavar="ID", help="Run the attempt of this push, and report into the database.")
@duration_option(
    "--grace-seconds",
    kind=Duration(least=0),
    default="10s",
    help="How long the task may go on after a SIGTERM.",
)
@duration_option(
    "--patience-seconds",
    kind=Duration(least=0),
    default="10m",
    help="With --push: how long the database may be away when the step begins or ends.",
)
@click.option("--exit-like-task", is_flag=True, help="With --push: exit with 1 if the step did not succeed.")
@with_log_options
@pass_setup
def command(
    setup: Setup, /, folder: Path | None, push_id: str | None, grace_seconds: float, patience_seconds: float,
    exit_like_task: bool, log_options: LogOptions,
) -> None:  # fmt: skip
    """Run one step, either of two ways. Executors call this in their jobs.

    With FOLDER, the job is in a spool, and its outcome is left there. No database is needed. It is also the way to
    repeat by hand what a job did: copy its folder, and remove the files "begun" and "outcome.json" from the copy.

    With --push, this process begins the attempt in the database, says every half minute that it lives, and reports how
    it ended. -A names the modules that define the task.

    The output of the task goes to stdout, and a line about how the attempt ended to stderr, as in the log of a worker.

    \b
    Example:
      segue run-step /shared/segue/segue-agp7q3nmz5ykjlhkx6ptrc2gfa
      segue run-step --push 019ad0c4-6d5e-7c1f-8a6b-7c8d9e0f1a2b -A shop.tasks
    """
    if (folder is None) == (push_id is None):
        raise click.UsageError("Name either the FOLDER of a spool, or --push ID.")
    log_options.set_up(forwards=False)  # what the task logs is printed with its output
    if folder is not None:
        setup.import_apps()
        sys.exit(run_spooled(folder, grace_seconds=grace_seconds))
    try:
        push_id = str(uuid.UUID(push_id))
    except ValueError:
        raise click.UsageError(f"--push {push_id} is not the id of a push, such as {uuid.UUID(int=7)}.") from None
    how = How(setup.apps, patience_seconds, grace_seconds, exit_like_task)

    sys.exit(run_pushed(push_id, setup.segue, how))

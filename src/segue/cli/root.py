"""The command `segue` itself: its sub-commands, loaded when they are asked for, and how errors reach a person.

Promises: `segue --help` imports no sub-command. Every `SegueError` is one readable message on stderr, with exit code 2
when what was asked makes no sense (configuration, unknown names, a plan that cannot run) and 1 otherwise; `--debug`
shows the traceback.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

import click

from segue.cli.options import Setup, with_setup
from segue.errors import ConfigError, DefinitionError, PlanError, SegueError, UnknownTaskError
from segue.version import __version__

WRONGLY_ASKED = (ConfigError, DefinitionError, PlanError, UnknownTaskError)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a sub-command lives, and what the list of commands says of it."""

    module: str
    section: str
    summary: str


WORK, LOOK, CARE, TRY = "Work", "Look and steer", "Database", "Try and measure"
COMMANDS = {
    "worker": Entry("segue.cli.worker", WORK, "Run steps until stopped."),
    "dev": Entry("segue.cli.dev", WORK, "A worker and the chores in one process, with a live view."),
    "scheduler": Entry("segue.cli.scheduler", WORK, "Do the chores: schedules, rescue, retention."),
    "start": Entry("segue.cli.start", WORK, "Start a run of a workflow."),
    "runs": Entry("segue.cli.runs", LOOK, "List runs, the newest first."),
    "show": Entry("segue.cli.show", LOOK, "Show a run and its steps."),
    "explain": Entry("segue.cli.explain", LOOK, "Say why a run or a step is not moving."),
    "result": Entry("segue.cli.result", LOOK, "Print the result of a run as JSON."),
    "pause": Entry("segue.cli.pause", LOOK, "Let nothing new of runs start."),
    "resume": Entry("segue.cli.resume", LOOK, "Let paused runs go on."),
    "cancel": Entry("segue.cli.cancel", LOOK, "End runs."),
    "retry": Entry("segue.cli.retry", LOOK, "Run again what failed."),
    "fork": Entry("segue.cli.fork", LOOK, "Start a new run from a step of another."),
    "skip": Entry("segue.cli.skip", LOOK, "Let a step be skipped."),
    "mark": Entry("segue.cli.mark", LOOK, "Give a step a result."),
    "edit": Entry("segue.cli.edit", LOOK, "Give a step other arguments."),
    "approvals": Entry("segue.cli.approvals", LOOK, "List the steps that wait for a message."),
    "send": Entry("segue.cli.send", LOOK, "Send a message to a run."),
    "events": Entry("segue.cli.events", LOOK, "List what people did to runs, and alerts."),
    "subscriptions": Entry("segue.cli.subscriptions", LOOK, "Tell somebody when something happens."),
    "schedules": Entry("segue.cli.schedules", LOOK, "See and change what starts by itself."),
    "limits": Entry("segue.cli.limits", LOOK, "See and set limits, rates and weights."),
    "workers": Entry("segue.cli.workers", LOOK, "List the workers that are alive."),
    "retention": Entry("segue.cli.retention", CARE, "Say how long runs are kept."),
    "db": Entry("segue.cli.db", CARE, "Upgrade, check, prune and measure the database."),
    "demo": Entry("segue.cli.demo", TRY, "Measure Python's standard library with a workflow."),
    "bench": Entry("segue.cli.bench", TRY, "Measure how fast Segue is on this machine."),
}


class Failure(click.ClickException):
    """An error of Segue's, on its way to the terminal."""

    def show(self, file: Any = None) -> None:
        """Print the message on stderr."""
        click.echo(f"{click.style('segue:', fg='red', bold=True)} {self.format_message()}", err=True)


class Misuse(Failure):
    """What was asked makes no sense, whatever the database says."""

    exit_code = 2


class Root(click.Group):
    """Loads a sub-command when it is named, and lists them by section without loading any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All there are, in the order of the list."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a sub-command, whose attribute `command` it is."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = import_module(entry.module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The sub-commands by section."""
        for section in (WORK, LOOK, CARE, TRY):
            rows = [(name, entry.summary) for name, entry in COMMANDS.items() if entry.section == section]
            with formatter.section(section):
                formatter.write_dl(rows, col_max=16)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the sub-command; an error of Segue's becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except SegueError as error:
            _fail(error, ctx.ensure_object(Setup))


def _fail(error: SegueError, setup: Setup) -> NoReturn:
    if setup.debug:
        traceback.print_exception(error, file=sys.stderr)
    kind = Misuse if isinstance(error, WRONGLY_ASKED) else Failure
    raise kind(setup.follow_up(str(error))) from error


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "--version", "-V", message="segue %(version)s")
@with_setup
def segue() -> None:
    """Durable workflows of background tasks, on SQLite or PostgreSQL and nothing else.

    \b
    Example:
      segue demo
      export SEGUE_DATABASE_URL=sqlite:///segue.db SEGUE_APP=shop.tasks
      segue dev                        in one terminal
      segue start nightly 2026-11-20 --wait    in another

    `segue COMMAND --help` tells more about each.
    """

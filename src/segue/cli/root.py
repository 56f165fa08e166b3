"""The command `segue` itself: its sub-commands, loaded when they are used, and how errors are shown.

Promises: `segue --help` imports no sub-command. Every error is one readable message on stderr that begins with
`segue:`. The exit code is 2 if the request makes no sense (configuration, unknown names, a plan that cannot run), 130
after Ctrl-C, and 1 otherwise; `--debug` shows the traceback.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

import click

from segue.cli.options import Setup, with_setup
from segue.cli.usage import Commands, usage_text
from segue.errors import ConfigError, DefinitionError, PlanError, SegueError, UnknownTaskError
from segue.masking import masked_text
from segue.output import fit_streams, leave_output, print_line
from segue.printable import printable
from segue.version import __version__

WRONGLY_ASKED = (ConfigError, DefinitionError, PlanError, UnknownTaskError)


@dataclass(frozen=True, slots=True)
class Entry:
    """The module of a sub-command, and its line in the list of commands."""

    module: str
    section: str
    summary: str


WORK, LOOK, CARE, TRY = "Work", "Look and steer", "Database", "Try and measure"
COMMANDS = {
    "worker": Entry("segue.cli.worker", WORK, "Run steps until stopped."),
    "dev": Entry("segue.cli.dev", WORK, "A worker and the chores in one process, with a live view."),
    "scheduler": Entry("segue.cli.scheduler", WORK, "Do the chores: schedules, rescue, retention."),
    "web": Entry("segue.cli.web", WORK, "Serve the web pages and the HTTP API."),
    "dispatcher": Entry("segue.cli.dispatcher", WORK, "Take steps to executors such as Slurm, and follow them there."),
    "run-step": Entry("segue.cli.run_step", WORK, "Run one step: what the jobs of executors call."),
    "start": Entry("segue.cli.start", WORK, "Start a run of a workflow."),
    "runs": Entry("segue.cli.runs", LOOK, "List runs, the newest first."),
    "show": Entry("segue.cli.show", LOOK, "Show a run and its steps."),
    "explain": Entry("segue.cli.explain", LOOK, "Say why a run or a step is not moving."),
    "logs": Entry("segue.cli.logs", LOOK, "Print what a step prints."),
    "result": Entry("segue.cli.result", LOOK, "Print the result of a run as JSON."),
    "pause": Entry("segue.cli.pause", LOOK, "Pause runs: start nothing new."),
    "resume": Entry("segue.cli.resume", LOOK, "Continue paused runs."),
    "cancel": Entry("segue.cli.cancel", LOOK, "Cancel runs."),
    "retry": Entry("segue.cli.retry", LOOK, "Run failed steps again."),
    "fork": Entry("segue.cli.fork", LOOK, "Start a new run from a step of another."),
    "skip": Entry("segue.cli.skip", LOOK, "Skip a step."),
    "mark": Entry("segue.cli.mark", LOOK, "Set the result of a step."),
    "edit": Entry("segue.cli.edit", LOOK, "Change the arguments of a step."),
    "approvals": Entry("segue.cli.approvals", LOOK, "List the steps that wait for a message."),
    "send": Entry("segue.cli.send", LOOK, "Send a message to a run."),
    "events": Entry("segue.cli.events", LOOK, "List what people did to runs, and alerts."),
    "errors": Entry("segue.cli.errors", LOOK, "List what failed, by the kind of error."),
    "subscriptions": Entry("segue.cli.subscriptions", LOOK, "Send notifications of events."),
    "schedules": Entry("segue.cli.schedules", LOOK, "See and change schedules."),
    "limits": Entry("segue.cli.limits", LOOK, "See and set limits, rates and weights."),
    "definitions": Entry("segue.cli.definitions", LOOK, "List the tasks and workflows that the code defines."),
    "executors": Entry("segue.cli.executors", LOOK, "List executors and how their platforms are."),
    "queues": Entry("segue.cli.queues", LOOK, "List queues, what waits on them, and who works on them."),
    "stats": Entry("segue.cli.stats", LOOK, "Show throughput, durations and waiting over time."),
    "workers": Entry("segue.cli.workers", LOOK, "List the workers that are alive."),
    "health": Entry("segue.cli.health", LOOK, "Say whether a worker of this machine is alive."),
    "tokens": Entry("segue.cli.tokens", CARE, "Make and revoke access tokens for the web pages and the API."),
    "audit": Entry("segue.cli.audit", CARE, "List who did what in the web pages and over the API."),
    "observe": Entry("segue.cli.observe", CARE, "Print a dashboard and alert rules."),
    "retention": Entry("segue.cli.retention", CARE, "Set how long runs are kept."),
    "payloads": Entry("segue.cli.payloads", CARE, "Count and delete values in the payload store."),
    "db": Entry("segue.cli.db", CARE, "Upgrade, check, prune and measure the database."),
    "completion": Entry("segue.cli.completion", TRY, "Print a script for the Tab key of your shell."),
    "demo": Entry("segue.cli.demo", TRY, "Measure Python's standard library with a workflow."),
    "bench": Entry("segue.cli.bench", TRY, "Measure how fast Segue is on this machine."),
}


INTERRUPTED = 130  # the exit code after Ctrl-C, as in shells


class Failure(click.ClickException):
    """An error of Segue, on its way to the terminal."""

    def show(self, file: Any = None) -> None:
        """Print the message on stderr."""
        click.echo(click.style("segue:", fg="red", bold=True), err=True, nl=False)
        print_line(f" {self.format_message()}", to_stderr=True)


class Misuse(Failure):
    """The request itself makes no sense, regardless of the database."""

    exit_code = 2


class Root(Commands):
    """Loads a sub-command when it is named, and lists all by section without loading any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All sub-commands, in the order of the list."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a sub-command; its attribute `command` is the command."""
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

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the command line; from here on, text that is printed fits the output's encoding."""
        fit_streams()
        with _errors_as_messages(Setup()):
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the sub-command. An error of Segue becomes a message and an exit code."""
        with _errors_as_messages(ctx.ensure_object(Setup)):
            return super().invoke(ctx)


@contextmanager
def _errors_as_messages(setup: Setup) -> Iterator[None]:
    """Show errors as messages. Click's messages quote what was typed, so they are made printable, too."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except click.Abort as error:  # at a question, click turns Ctrl-C and the end of the input into this
        if isinstance(error.__context__, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        raise Failure("No answer, so nothing was changed. Answer, or add --yes.") from error
    except BrokenPipeError:  # the reader has closed the pipe
        leave_output()
        sys.exit(1)
    except UnicodeEncodeError as error:  # bytes of the command line that are not text
        what = f"{error.object[:80]!r} contains bytes that are not UTF-8 text; write it in UTF-8"
        raise Misuse(what) from error
    except (SegueError, OSError) as error:
        _fail(error, setup)
    except (click.exceptions.NoArgsIsHelpError, Failure):
        raise
    except click.UsageError as error:
        raise Misuse(printable(usage_text(error))) from error
    except click.ClickException as error:
        raise Failure(printable(error.format_message())) from error


def _fail(error: SegueError | OSError, setup: Setup) -> NoReturn:
    if setup.debug:
        print_line(masked_text("".join(traceback.format_exception(error)).rstrip()), to_stderr=True)
    kind = Misuse if isinstance(error, WRONGLY_ASKED) else Failure
    raise kind(setup.follow_up(masked_text(str(error)))) from error


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

    `segue COMMAND --help` describes each command.
    """
